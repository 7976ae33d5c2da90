"""Migrate: plan and stage, confirmation, backup, apply, journal; on failure everything back. And what is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct, structs, to_builtins

from aml import __version__
from aml.errors import AmlError, InterruptedRunError, UsageError
from aml.ledger.runs import Journal, Run, RunFile, state_after
from aml.ledger.state import FileLockNotes
from aml.migrate.apply import FileOutcome, MigrateRun, apply_plan, migrate_latecomers
from aml.migrate.claim import Claim
from aml.migrate.detect import DetectReport, detect
from aml.migrate.ending import RolledBack, claimed_by, clear_up, roll_back
from aml.migrate.options import OPERATION, MigrateOptions, refuse_unknown
from aml.migrate.plan import MigratePlan, plan_store
from aml.migrate.report import MigrateReport, build_report
from aml.migrate.staging import Staging
from aml.model.schema import READABLE
from aml.model.units import count
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Fingerprint
from aml.workflows.conditions import Conditions, changing, doubt_about
from aml.workflows.notes import NOT_CONFIRMED, stranger_notes, unfinished_migration

if TYPE_CHECKING:
    from aml.backup.create import BackupReport

Confirm = Callable[[MigrateReport], bool]
Progress = Callable[[str], None]


class MigrateHistory(Struct, frozen=True):
    """What the store is said to be, and all runs that migrated it, the newest first."""

    claims: tuple[Claim, ...]
    runs: tuple[Run, ...]


def detect_schema(store: Store, *, agents: tuple[str, ...] = (), progress: Progress = lambda _: None) -> DetectReport:
    """Which schema versions the records have, and whether what claims one is true. Raises AmlError."""
    told = unfinished_migration(store)
    return detect(store, agents, notes=(*([told] if told else []), *stranger_notes(store)), progress=progress)


def migrate_history(store: Store) -> MigrateHistory:
    """What migrated the store so far. Raises AmlError."""
    journal = Journal(store)
    runs = [journal.read(run_id) for run_id in reversed(journal.ids())]
    return MigrateHistory(detect(store).claims, tuple(run for run in runs if run.operation == OPERATION))


def migrate(
    store: Store,
    options: MigrateOptions | None = None,
    *,
    now: float | None = None,
    dry_run: bool = False,
    backup: bool = True,
    accept_unreadable: bool = False,
    conditions: Conditions | None = None,
    confirm: Confirm | None = None,
    progress: Progress = lambda _: None,
) -> MigrateReport:
    """Bring every record to the target's schema version: all of them, or none.

    ``now`` in seconds since 1970 UTC. With ``backup`` the store is backed up before, and nothing is changed where that
    fails. ``accept_unreadable`` agrees to records that the agents' runtime cannot read any more; without, they are an
    error, unless ``confirm`` agrees, which sees what a dry run would report and may say no.
    Raises AmlError, with every file as it was but for those that agents wrote meanwhile, which the message names.
    """
    options = options or MigrateOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    refuse_unknown(options.target)
    store.choose_agents(options.agents)
    strangers = stranger_notes(store)
    if dry_run or confirm is not None:
        # asked before any lock is taken: nobody else shall wait for an answer
        told = unfinished_migration(store)
        plan = plan_store(store, options, samples=True, progress=progress)
        notes = (*([told] if told else []), *strangers)
        preview = build_report(plan, run=None, dry_run=True, notes=notes)
        if dry_run:
            return preview
        _refuse(plan, accepted=True)
        if confirm is not None and preview.migrated:
            if not confirm(preview):
                return structs.replace(preview, notes=(NOT_CONFIRMED,))
            accept_unreadable = True
    journal = Journal(store)
    with changing(store, journal, OPERATION, moment, conditions, judges_ages=False) as (locks, found):
        run = journal.begin(OPERATION, moment, version=__version__, options=to_builtins(options))
        run.clock_doubted = doubt_about(store, journal, moment, conditions) is not None
        started = MigrateRun(store, run.id, options, Staging.of(store, run.id), locks, conditions.locks)
        with _discarded_on_error(started.staging):
            started.staging.prepare()
            plan = plan_store(store, options, started.staging.put, progress=progress)
            _refuse(plan, accepted=accept_unreadable)
            saved = _back_up_first(store, journal, moment, conditions, progress) if backup and plan.due else None
            run.target = None if saved is None else saved.id
        report = _carry_out(journal, run, plan, started, locks, progress)
    notes = (*found, *strangers, *(saved.notes if saved is not None else ()), *report.notes)
    return structs.replace(report, backup=run.target, notes=notes)


def _refuse(plan: MigratePlan, *, accepted: bool) -> None:
    """Raise AmlError for what must stop the run before it changes anything."""
    obstacle = plan.obstacle
    if obstacle is not None:
        raise type(obstacle)(f"nothing was changed: {obstacle.message}", advice=obstacle.advice)
    if plan.unreadable and not accepted:
        files = sum(1 for file in plan.files if file.unreadable)
        patterns = f"{count(plan.unreadable, 'pattern')} in {count(files, 'file')}"
        raise UsageError(
            f"nothing was changed: the agents' runtime could not read {patterns} any more: "
            f"it reads {READABLE} and older",
            advice=f"say --yes if no such agent works on this store, or --to {READABLE}",
        )


@contextmanager
def _discarded_on_error(staging: Staging) -> Iterator[None]:
    """Remove what was staged where nothing comes of it."""
    try:
        yield
    except BaseException:
        # what cannot be removed now, the next run removes
        with suppress(AmlError):
            staging.discard()
        raise


def _back_up_first(
    store: Store, journal: Journal, now: float, conditions: Conditions, progress: Progress
) -> BackupReport:
    """Raises AmlError, and then nothing is changed."""
    from aml.backup.options import PRE_MIGRATION
    from aml.workflows.backup_first import back_up_first

    unchanged, otherwise = "the backup before the migration failed, so nothing was changed", "migrate without it"
    return back_up_first(
        store, journal, PRE_MIGRATION, now, conditions, progress, unchanged=unchanged, otherwise=otherwise
    )


def _carry_out(
    journal: Journal,
    run: Run,
    plan: MigratePlan,
    started: MigrateRun,
    locks: FileLockNotes,
    progress: Progress,
) -> MigrateReport:
    """Replace all files or none, then see what agents wrote meanwhile."""
    run.quarantined = [file.file.path_in_store for file in plan.due]
    # should it die when all is done, the next run has nothing else to tell it by
    run.counts = build_report(plan, run=run.id, dry_run=False).counts()
    try:
        if run.quarantined:
            journal.write(run)
        outcomes = apply_plan(plan, started, progress)
        _note_done(journal, run, build_report(plan, outcomes, run=run.id, dry_run=False), outcomes)
    except BaseException as error:
        rolled = _undo(journal, run, started, locks, error)
        if isinstance(error, AmlError):
            raise _told_again(error, rolled) from error
        if isinstance(error, KeyboardInterrupt) and (rolled.left or rolled.failed):
            raise InterruptedRunError(f"the migration was interrupted and undone; {rolled.told}") from error
        raise
    # all of it is done from here on
    late = migrate_latecomers(started, {file.file: file.seen for file in plan.files} | _seen(outcomes))
    report = build_report(plan, [*outcomes, *late.outcomes], late.left, run=run.id, dry_run=False)
    if late.outcomes or late.left:
        _note_done(journal, run, report, [*outcomes, *late.outcomes])
    notes = clear_up(started.store, run)
    return structs.replace(report, claimed=claimed_by(run) is not None, notes=(*report.notes, *notes))


def _seen(outcomes: list[FileOutcome]) -> dict[RecordFile, Fingerprint | None]:
    return {one.plan.file: one.seen for one in outcomes}


def _note_done(journal: Journal, run: Run, report: MigrateReport, outcomes: list[FileOutcome]) -> None:
    """Write down that all of it is done: what the run kept for a way back is not looked at any more."""
    replaced = {one.plan.file: one.plan for one in outcomes if one.is_replaced}
    run.files = [
        RunFile(file.agent, file.kind, bytes_before=plan.size, bytes_after=plan.size_after)
        for file, plan in replaced.items()
    ]
    kept, run.quarantined, run.counts = run.quarantined, [], report.counts()
    try:
        journal.finish(run, state_after(report.status))
    except BaseException:
        run.quarantined = kept
        raise


def _undo(journal: Journal, run: Run, started: MigrateRun, locks: FileLockNotes, error: BaseException) -> RolledBack:
    """Put back every file that was replaced; where that is not possible now, the next run does it."""
    locks.go_on()
    with suppress(AmlError):
        # of no use any more, and the disk may be full; the folder stays until all is cleared up
        started.staging.empty()
    rolled = roll_back(started.store, run, locks, started.policy)
    run.files, run.counts = [], run.counts if rolled.failed else {}
    # what cannot be written down now, the next run finds out by itself
    with suppress(AmlError):
        if rolled.failed:
            run.state = "begun"
            journal.write(run)
        else:
            journal.finish(run, "failed" if isinstance(error, AmlError) else "interrupted")
            clear_up(started.store, run)
    return rolled


def _told_again(error: AmlError, rolled: RolledBack) -> AmlError:
    """The same error, with what has become of the files."""
    kind = next(one for one in type(error).__mro__ if one.__module__ == AmlError.__module__)
    again: AmlError = kind(f"the migration was undone: {error.message}; {rolled.told}", advice=error.advice)
    return again
