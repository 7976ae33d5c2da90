"""Applying a migration plan: file by file under its lock, the original into quarantine first, then the checked bytes.

Either every file is replaced or whoever calls puts all of them back, so whatever stands in the way of one is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from msgspec import Struct, structs

from aml.errors import AmlError, ExitStatus
from aml.fs.files import is_there, stat_if_there
from aml.fs.parallel import large_ones_alone
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.quarantine import link_into_quarantine
from aml.migrate.options import OPERATION, MigrateOptions
from aml.migrate.plan import FilePlan, MigratePlan, obstacle_in, plan_content
from aml.migrate.staging import Staging
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Digest, Fingerprint, fingerprint, read_content
from aml.store.transact import Transaction, transaction, with_attempts

#: How often files are looked through for what agents wrote meanwhile.
_ROUNDS = 3


class MigrateRun(Struct, frozen=True):
    """What applying needs to know of the run it belongs to."""

    store: Store
    id: str
    options: MigrateOptions
    staging: Staging
    notes: LockNotes
    policy: LockPolicy


class FileOutcome(Struct, frozen=True):
    """What a run did to one file. ``plan`` is what was applied: the plan itself, or one made anew under the lock.

    ``seen`` tells the file apart as the run left it, None where it is gone; ``is_late`` that an agent had written it
    after all others were replaced.
    """

    plan: FilePlan
    seen: Fingerprint | None
    is_replaced: bool = False
    is_late: bool = False


def apply_plan(plan: MigratePlan, run: MigrateRun, progress: Callable[[str], None]) -> list[FileOutcome]:
    """Replace every file that is due, those of ordinary size side by side, large ones alone.

    Raises the first error that stands in the way of one; those begun are brought to an end before.
    """

    def work(file: FilePlan) -> FileOutcome:
        progress(file.file.path_in_store)
        return _apply_file(file, run)

    return large_ones_alone(plan.due, lambda file: max(file.size, file.size_after), work, run.notes.cancel)


def _apply_file(planned: FilePlan, run: MigrateRun) -> FileOutcome:
    def work() -> FileOutcome:
        # an agent's folder that is gone would be made again by a lock in it
        if not is_there(planned.file.path):
            return FileOutcome(planned, None)
        with transaction(run.store, planned.file, run.notes, run.policy) as held:
            return _replace(held, planned, run) if is_there(planned.file.path) else FileOutcome(planned, None)

    def stop(error: AmlError, _: ExitStatus) -> NoReturn:
        raise error

    return with_attempts(work, stop)


def _replace(held: Transaction, planned: FilePlan, run: MigrateRun) -> FileOutcome:
    if planned.after is not None:
        before = held.digest()
        if before.sha256 == planned.sha256 and _put_staged(held, before, planned.after, run):
            return FileOutcome(planned, _seen(planned.file), is_replaced=True)
    content = held.read()
    plan, data = plan_content(content, content.array(), run.options)
    obstacle = None if run.options.skip_bad else obstacle_in([plan])
    if obstacle is not None:
        raise obstacle
    if data is None or plan.after is None:
        return FileOutcome(plan, fingerprint(content.stat))
    link_into_quarantine(run.store, run.id, content, OPERATION, plan.after)
    held.replace_as(content, data)
    return FileOutcome(plan, _seen(planned.file), is_replaced=True)


def _put_staged(held: Transaction, before: Digest, after: str, run: MigrateRun) -> bool:
    """Move the file that is ready into its place; False where that lies on another file system."""
    ready = run.staging.ready(before.file)
    if ready is None:
        return False
    link_into_quarantine(run.store, run.id, before, OPERATION, after)
    held.move_in(before, ready, after)
    return True


def _seen(file: RecordFile) -> Fingerprint | None:
    found = stat_if_there(file.path)
    return None if found is None else fingerprint(found)


class Latecomers(Struct, frozen=True):
    """Files that agents wrote while a migration ran, and what was left as it is, with the reason."""

    outcomes: tuple[FileOutcome, ...] = ()
    left: tuple[FilePlan, ...] = ()


def migrate_latecomers(run: MigrateRun, known: dict[RecordFile, Fingerprint | None]) -> Latecomers:
    """Migrate what came after a file was looked at: ``known`` tells the files apart as they were then.

    It is no part of the whole any more, which is done: what stands in the way of one file is told, and not raised.
    """
    known = dict(known)
    done: list[FileOutcome] = []
    left: dict[RecordFile, FilePlan] = {}
    for _ in range(_ROUNDS):
        changed = _changed(run, known)
        if not changed:
            break
        for file in changed:
            left.pop(file, None)
            try:
                outcome = _latecomer(file, run)
            except AmlError as error:
                left[file] = FilePlan(file, problem=str(error), status=error.status)
                known[file] = _seen(file)
                continue
            known[file] = outcome.seen
            if outcome.plan.strays:
                left[file] = outcome.plan
            if outcome.is_replaced:
                done.append(outcome)
    return Latecomers(tuple(done), tuple(left.values()))


def _changed(run: MigrateRun, known: dict[RecordFile, Fingerprint | None]) -> Sequence[RecordFile]:
    agents = run.options.agents or run.store.agents()
    files = [file for agent in agents for file in run.store.record_files(agent)]
    return [file for file in files if known.get(file) != _seen(file)]


def _latecomer(file: RecordFile, run: MigrateRun) -> FileOutcome:
    """Look at a file without its lock first: most often an agent wrote what needs no migration."""
    content = read_content(file, run.store.max_unpacked_bytes)
    plan, data = plan_content(content, content.array(), run.options)
    if data is None:
        return FileOutcome(plan, fingerprint(content.stat))
    skipping = structs.replace(run, options=structs.replace(run.options, skip_bad=True))
    return structs.replace(_apply_file(FilePlan(file), skipping), is_late=True)
