"""Restore: into a new folder, or in place with a backup of what was there; and the drill that proves it works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from aml import __version__
from aml.backup.options import PRE_RESTORE, BackupOptions, RestoreOptions
from aml.backup.read import is_record_file
from aml.backup.restore import (
    RestoreReport,
    Wanted,
    preview,
    preview_new,
    restore_in_place,
    restore_to,
    status_of,
    wanted_of,
)
from aml.backup.scan import Tree, scan
from aml.backup.staging import Staging
from aml.backup.trees import Selection, load_tree, observe
from aml.codec.views import view_records
from aml.errors import AmlError, ExitStatus, UsageError
from aml.fs.access import explained
from aml.fs.new_folder import refuse_occupied
from aml.ledger.history import RemovedKeys, read_history
from aml.ledger.operations import Operation, note_operation
from aml.ledger.runs import Journal, RecordKey, Run, RunFile
from aml.ledger.state import FileLockNotes
from aml.model.kinds import KIND_BY_FILE_NAME, Kind
from aml.repository.repository import Reader
from aml.repository.snapshots import LATEST, Snapshot, snapshot_key
from aml.store.layout import RecordFile, agent_of, record_file
from aml.store.open import Store
from aml.store.transact import Transaction
from aml.workflows.backup import back_up, find, find_at, is_foreign, operation
from aml.workflows.conditions import Conditions, changing, reading_backups, repository_folder
from aml.workflows.notes import NOT_CONFIRMED

#: How far back (days) removals are looked at: all of them.
_ALL_DAYS = 36_500.0

Confirm = Callable[[RestoreReport], bool]
Progress = Callable[[str], None]


def restore(
    store: Store,
    wanted: str | datetime = "latest",
    options: RestoreOptions | None = None,
    *,
    target: Path | None = None,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
    confirm: Confirm | None = None,
    progress: Progress = lambda _: None,
) -> RestoreReport:
    """Restore a backup: ``wanted`` is its id, a unique prefix, ``latest``, or the moment it was made at or before.

    Into ``target``, which must be new or empty, or else in place: what the store holds is backed up first, and then
    replaced file by file under the agents' locks. ``now`` in seconds since 1970 UTC; ``confirm`` sees what a dry run
    would report and may say no. Raises AmlError, with the store as it was.
    """
    options = options or RestoreOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    if target is not None:
        return _restore_to(store, wanted, options, target, conditions, progress, dry_run=dry_run)
    if dry_run or confirm is not None:
        seen = _preview(store, wanted, options, conditions)
        if dry_run:
            return seen
        if confirm is not None and not confirm(seen):
            return structs.replace(seen, notes=(NOT_CONFIRMED,))
        # what was confirmed is what is restored, whatever is newest by then
        wanted = seen.snapshot
    return _restore_in_place(store, wanted, options, moment, conditions, progress)


def _find(
    store: Store, reader: Reader, wanted: str | datetime, options: RestoreOptions
) -> tuple[Snapshot, tuple[str, ...]]:
    """The backup that is meant, and what is to be told of the choice."""
    snapshots = reader.snapshots()
    if isinstance(wanted, str):
        found = find(store, snapshots, wanted, options.agents)
    else:
        found = find_at(store, snapshots, wanted, options.agents)
    notes = [f"this is a backup of another store, {found.manifest.source}"] if is_foreign(store, found) else []
    if isinstance(wanted, datetime) or wanted == LATEST:
        # keys begin with the second in which a backup was made
        last = f"snapshots/{wanted.astimezone(UTC):%Y%m%dT%H%M%S}~" if isinstance(wanted, datetime) else "snapshots/~"
        unread = [flaw.key for flaw in snapshots.flaws if snapshot_key(found.id) < flaw.key < last]
        if unread:
            notes.append(f"newer, but damaged: {', '.join(unread[-3:])}; this is the newest backup that can be read")
    return found, tuple(notes)


def _preview(store: Store, wanted: str | datetime, options: RestoreOptions, conditions: Conditions) -> RestoreReport:
    with reading_backups(store, conditions, "restore") as reader:
        snapshot, notes = _find(store, reader, wanted, options)
        chosen = wanted_of(reader, snapshot, options)
    seen = preview(store, chosen, _observed(store, chosen), options)
    return structs.replace(seen, notes=(*notes, *seen.notes))


def _observed(store: Store, chosen: Wanted) -> Tree:
    return observe(store, chosen.selection, chosen.tree.files.values()) if store.root.is_dir() else Tree()


def _restore_to(
    store: Store,
    wanted: str | datetime,
    options: RestoreOptions,
    target: Path,
    conditions: Conditions,
    progress: Progress,
    *,
    dry_run: bool,
) -> RestoreReport:
    real = Path(os.path.realpath(target))
    places = (
        (store.root, "the store"),
        (Path(os.path.realpath(repository_folder(store, conditions))), "the repository"),
        (store.state, "AML's own folder"),
        (store.keep, "the folder of archives"),
    )
    for place, what in places:
        if real == place or place in real.parents:
            raise UsageError(f"{target} lies inside {what}", advice="name a new folder somewhere else")
    refuse_occupied(target)
    with reading_backups(store, conditions, "restore") as reader:
        snapshot, notes = _find(store, reader, wanted, options)
        chosen = wanted_of(reader, snapshot, options)
        if dry_run:
            report = structs.replace(preview_new(chosen), target=str(target))
        else:
            report = restore_to(reader, chosen, real, options, progress)
    return structs.replace(report, notes=(*notes, *report.notes))


def _restore_in_place(
    store: Store,
    wanted: str | datetime,
    options: RestoreOptions,
    now: float,
    conditions: Conditions,
    progress: Progress,
) -> RestoreReport:
    journal = Journal(store)
    began = time.monotonic()
    with reading_backups(store, conditions, "restore") as reader:
        # looked at before anything is locked, so that a wrong id or a damaged list costs nothing
        snapshot, of_choice = _find(store, reader, wanted, options)
        chosen = wanted_of(reader, snapshot, options)
    with (
        _root_made(store) as made,
        changing(store, journal, "restore", now, conditions, judges_ages=False) as (locks, of_state),
    ):
        notes = (*of_choice, *of_state)
        seen = preview(store, chosen, _observed(store, chosen), options)
        if not (made or seen.steps):
            return structs.replace(seen, dry_run=False, status=status_of(seen), notes=(*notes, *seen.notes))
        before = None
        if not made:
            tags = BackupOptions(tags=(PRE_RESTORE,), compression=conditions.compression)
            before = back_up(store, journal, tags, now, conditions).id
        run = journal.begin("restore", now, version=__version__, options=_told(options), target=snapshot.id)
        journal.write(run)
        try:
            report = _swap(store, run, snapshot.id, before, options, locks, conditions, progress)
        except BaseException as error:
            if not Staging.of(store, run.id).is_ready():
                # where this cannot be written down, the next run finds out that nothing was changed
                with suppress(AmlError):
                    journal.finish(run, "failed" if isinstance(error, AmlError) else "interrupted")
            raise
        run.files = _put_back(store, journal, report, now)
        run.counts = {name: report.count(name) for name in ("added", "changed", "removed")}
        journal.finish(run, "partial" if report.status is ExitStatus.PARTIAL else "done")
        counts = run.counts | {"records": report.records_after}
        done = operation("restore", now, began, report.status, snapshot.id, counts)
        late = _clear_up(store, run, done)
    return structs.replace(report, backup=before, notes=(*notes, *report.notes, *late))


def _clear_up(store: Store, run: Run, done: Operation) -> list[str]:
    """What comes after a restore that is done: where it fails, that is only worth a note."""
    notes = []
    for step in (Staging.of(store, run.id).discard, lambda: note_operation(store, done)):
        try:
            step()
        except AmlError as error:
            notes.append(f"the restore is done, but: {error.message}")
    return notes


def _swap(
    store: Store,
    run: Run,
    snapshot: str,
    backup: str | None,
    options: RestoreOptions,
    locks: FileLockNotes,
    conditions: Conditions,
    progress: Progress,
) -> RestoreReport:
    with reading_backups(store, conditions, "restore") as reader:
        chosen = wanted_of(reader, find(store, reader.snapshots(), snapshot), options)
        before = _backed_up(store, reader, backup, chosen.selection)
        return restore_in_place(store, reader, chosen, before, run.id, options, locks, conditions.locks, progress)


def _backed_up(store: Store, reader: Reader, backup: str | None, selection: Selection) -> Tree:
    """What the store held when it was backed up, and what no backup holds of it."""
    if backup is None:
        return Tree()
    tree = load_tree(reader, find(store, reader.snapshots(), backup), selection)
    missed, skipped = dict(tree.unread), set[str]()
    for part in scan(store.root, selection.agents):
        missed |= {one.location: one.reason for one in part.unread}
        skipped.update(part.skipped)
    return Tree(tree.folders, tree.files, missed, frozenset(skipped))


@contextmanager
def _root_made(store: Store) -> Iterator[bool]:
    """Make the store's own folder where it is gone; whether it was. Where nothing is restored, it goes again."""
    if store.root.is_dir():
        yield False
        return
    with explained("create", store.root):
        os.makedirs(store.root)
    try:
        yield True
    except BaseException:
        with suppress(OSError):
            os.rmdir(store.root)
        raise


def _told(options: RestoreOptions) -> dict[str, object]:
    return {name: value for name, value in structs.asdict(options).items() if value}


def _put_back(store: Store, journal: Journal, report: RestoreReport, now: float) -> list[RunFile]:
    """Which records that earlier runs had removed are in the store again by this restore: they did not come back by
    themselves, and count no longer as lost."""
    history = read_history(journal, now, _ALL_DAYS)
    found = []
    for file in report.files:
        agent = agent_of(file.path)
        if agent in history and file.what != "removed" and is_record_file(file.path):
            kind = KIND_BY_FILE_NAME[file.path.rpartition("/")[2]]
            keys = _carried(store, record_file(store.root, agent, kind), kind, history[agent].of(kind.plural))
            if keys:
                found.append(RunFile(agent, kind.plural, restored=sorted(keys, key=lambda key: key.digest)))
    return found


def _carried(store: Store, file: RecordFile, kind: Kind, removed: RemovedKeys) -> set[RecordKey]:
    try:
        content = Transaction.peek(store, file)
        array = content.array() if content else None
    except (AmlError, UnicodeEncodeError):
        return set()  # damaged in the backup already, or no name in this locale: no record is known there
    return set().union(*removed.carried(view_records(array, kind.view), array)) if array else set()
