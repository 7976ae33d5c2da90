"""Restoring: into a new folder, or in place of what the store holds now; and ending what a crashed restore began."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, structs

from aml.backup.create import OddPath
from aml.backup.options import RestoreOptions
from aml.backup.restore_plan import RestorePlan, plan_restore, refuse_collisions
from aml.backup.scan import Tree
from aml.backup.staging import FORMAT, Staged, Staging, make_ready, stage
from aml.backup.swap import Swap, overwritten_folder
from aml.backup.trees import Change, Selection, load_tree, refuse_unknown_paths, select, with_obstacles
from aml.backup.write_files import Identity, Written, write_files
from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError
from aml.fs.access import explained
from aml.fs.durable import is_temporary, remove_durably
from aml.fs.files import files_below
from aml.fs.names import folds_names
from aml.fs.new_folder import new_folder
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.model.timestamps import to_iso
from aml.repository.manifest import FileEntry, path_fields
from aml.repository.repository import Reader
from aml.repository.snapshots import Snapshot
from aml.store.open import Store

#: How many damaged files a message names.
_NAMED = 5

REMINDER = "running agents write their cached copies back: restart them"


class RestoredFile(Struct, frozen=True):
    """What becomes of one file: ``what`` is added, changed or removed. Sizes in bytes; None where there is no file.

    ``records_*`` count the elements of a record file.
    """

    path: str
    what: str
    bytes_before: int | None
    bytes_after: int | None
    records_before: int | None
    records_after: int | None


class RestoreReport(Struct, frozen=True):
    """A restore of one backup, or what a dry run would do. ``target`` None means in place; ``time`` is the backup's.

    ``files`` are those added, changed or removed; ``same`` counts the others, of which ``steps`` also counts those that
    get another mode or time, and folders made and removed; ``bytes`` and the ``records_*`` go over
    all that was selected. ``left`` was left alone and ``damaged`` cannot be read from the repository, each with the
    reason; ``overwritten`` is what agents wrote meanwhile, with the archive that holds it. ``backup`` is the id of the
    backup that was made of the store before.
    """

    snapshot: str
    time: str
    target: str | None
    dry_run: bool
    files: tuple[RestoredFile, ...]
    same: int
    steps: int
    bytes: int
    records_before: int
    records_after: int
    left: tuple[OddPath, ...]
    damaged: tuple[OddPath, ...]
    overwritten: tuple[OddPath, ...]
    run: str | None
    backup: str | None
    notes: tuple[str, ...]
    status: ExitStatus

    def count(self, what: str) -> int:
        """How many files are added, changed or removed."""
        return sum(one.what == what for one in self.files)


class Wanted(Struct, frozen=True):
    """What of a backup is to be restored."""

    snapshot: Snapshot
    selection: Selection
    tree: Tree


def wanted_of(reader: Reader, snapshot: Snapshot, options: RestoreOptions) -> Wanted:
    """The part of a backup that the options mean. Raises UsageError, NotFoundError, DamagedError."""
    selection = select(snapshot, options.agents, options.paths)
    tree = load_tree(reader, snapshot, selection, skip_damaged=options.skip_damaged)
    refuse_unknown_paths(reader, snapshot, tree, selection)
    return Wanted(snapshot, selection, tree)


def preview(store: Store, wanted: Wanted, current: Tree, options: RestoreOptions) -> RestoreReport:
    """What a restore in place would do now."""
    current = with_obstacles(store, current, wanted.tree)
    plan = plan_restore(current, wanted.tree, wanted.selection, keep_extra=options.keep_extra)
    return _report(wanted, plan, dry_run=True)


def restore_in_place(
    store: Store,
    reader: Reader,
    wanted: Wanted,
    before: Tree,
    run: str,
    options: RestoreOptions,
    notes: LockNotes,
    policy: LockPolicy,
    progress: Callable[[str], None],
) -> RestoreReport:
    """Make the store what the backup says; ``before`` is what it held when it was backed up for this restore.

    The staging folder stays until the run is written down as done, then ``Staging.discard`` is due. Raises AmlError
    with the store as it was; only where it cannot even be put back, the staging folder stays ready for the next run.
    """
    before = with_obstacles(store, before, wanted.tree)
    plan = plan_restore(before, wanted.tree, wanted.selection, keep_extra=options.keep_extra)
    staging = Staging.of(store, run)
    try:
        staging.prepare()
        if folds_names(staging.folder):
            refuse_collisions(wanted.tree)
        plan, damaged, identities = _stage(store, reader, wanted, plan, staging, options)
        staged = Staged(FORMAT, run, wanted.snapshot.id, plan.steps, identities)
        make_ready(staging, staged)
    except BaseException:
        # what cannot be removed now is removed by the next run; the error that led here is the one to tell
        with suppress(AmlError):
            staging.discard()
        raise
    swap = Swap(store, staging, staged, notes, policy, progress)
    try:
        swap.forward()
    except BaseException as error:
        _undo(swap, staging, error)
        raise
    report = _report(wanted, plan, damaged=damaged, dry_run=False)
    left = (*report.left, *swap.left)
    report = structs.replace(report, left=left, overwritten=tuple(swap.overwritten), run=run)
    return structs.replace(report, status=status_of(report))


def _undo(swap: Swap, staging: Staging, error: BaseException) -> None:
    """Put the store back as it was; raises where that fails, with the staging folder left for the next run."""
    try:
        interrupt = _whatever_signal_comes(staging.turn_back, swap.backward)
    except AmlError as second:
        raise AmlError(
            f"the restore stopped half-way ({error}), and the store could not be put back: {second.message}",
            advice="mend that; the next aml command that changes this store brings it to an end",
        ) from error
    if swap.left and isinstance(error, AmlError):
        error.message += "; " + "; ".join(f"{one.path}: {one.reason}" for one in swap.left)
    staging.discard()
    if interrupt is not None:
        raise interrupt from error


def _whatever_signal_comes(*steps: Callable[[], None]) -> BaseException | None:
    """Take every step, again where a signal stopped it: an impatient one must not leave the store half put back.

    Returns the last signal's exception, to be raised once all is done.
    """
    interrupt = None
    for step in steps:
        try:
            step()
        except AmlError:
            raise
        except BaseException as came:  # noqa: BLE001  (raised again once all is done)
            interrupt = came
            step()
    return interrupt


def _stage(
    store: Store, reader: Reader, wanted: Wanted, plan: RestorePlan, staging: Staging, options: RestoreOptions
) -> tuple[RestorePlan, list[OddPath], list[Identity]]:
    """Stage a plan, and what of it cannot be read whole; the plan comes back without that."""
    written = stage(store, reader, staging, plan.steps.puts)
    entries = [put.entry for put in plan.steps.puts]
    damaged = _damaged(wanted.snapshot, entries, written, skip=options.skip_damaged)
    if damaged:
        bad = {entry.location for entry, one in zip(entries, written, strict=True) if one.damage is not None}
        plan = _without(plan, bad)
        staging.discard()
        written = stage(store, reader, staging, plan.steps.puts)
        _damaged(wanted.snapshot, [put.entry for put in plan.steps.puts], written, skip=False)
    return plan, damaged, [one.identity for one in written if one.identity is not None]


def _without(plan: RestorePlan, paths: set[str]) -> RestorePlan:
    steps = structs.replace(plan.steps, puts=tuple(put for put in plan.steps.puts if put.path not in paths))
    changes = tuple(change for change in plan.changes if change.path not in paths)
    return structs.replace(plan, steps=steps, changes=changes)


def _damaged(
    snapshot: Snapshot, entries: Sequence[FileEntry], written: Sequence[Written], *, skip: bool
) -> list[OddPath]:
    """The files that cannot be read whole from the repository. Raises DamagedError for them unless they are skipped."""
    found = [
        OddPath(entry.path, one.damage.message)
        for entry, one in zip(entries, written, strict=True)
        if one.damage is not None
    ]
    if found and not skip:
        named = "; ".join(f"{one.path}: {one.reason}" for one in found[:_NAMED])
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise DamagedError(
            f"{len(found)} of {len(entries)} files of backup {snapshot.id} cannot be restored, so nothing was: "
            f"{named}{more}",
            advice="--skip-damaged restores everything else; aml backup verify tells which backups are whole",
        )
    return found


def finish_restore(store: Store, run: str, notes: LockNotes, policy: LockPolicy) -> tuple[str, str]:
    """End a restore whose process died: forward where it was ready, backward where it was being undone; else nothing
    had been changed.

    Returns the state that the run is to have in the journal, and a note. Raises AmlError where neither completing it
    nor undoing it is possible now.
    """
    staging = Staging.of(store, run)
    if not staging.is_there():
        told = "had died and left nothing to go on with; aml backup diff tells whether it had changed the store"
        return "interrupted", f"run {run} (restore) {told}"
    if not staging.is_ready():
        staging.discard()
        return "interrupted", f"run {run} (restore) had died before it changed anything"
    swap = Swap(store, staging, staging.read(), notes, policy)
    _remove_unfinished(store.keep / overwritten_folder(run))
    swap.clear_unfinished()
    if staging.is_turned_back():
        swap.backward()
        staging.discard()
        told = "; ".join(["which is done now", *(f"{one.path}: {one.reason}" for one in swap.left)])
        return "failed", f"run {run} (restore) had died while it was being undone, {told}"
    try:
        swap.forward()
    except AmlError as error:
        _undo(swap, staging, error)
        return "failed", f"run {run} (restore) had died; completing it failed ({error.message}), so it was undone"
    kept = [f"{one.path}: {one.reason}" for one in (*swap.left, *swap.overwritten)]
    told = "; ".join(["it was completed", *kept])
    return "partial" if swap.left else "done", f"run {run} (restore) had died: {told}"


def _remove_unfinished(archives: Path) -> None:
    """Remove writes that did not end from the archives of one restore. Raises FileAccessError."""
    for entry in files_below(archives):
        if is_temporary(entry.name):
            remove_durably(Path(entry.path))


def discard_leftovers(store: Store, runs: Sequence[str]) -> list[str]:
    """Remove the staging folders of restores that are over; returns notes of those that could not be removed."""
    notes = []
    for run in runs:
        try:
            Staging.of(store, run).discard()
        except FileAccessError as error:
            notes.append(f"left over from the restore {run}, which is over: {error.message}")
    return notes


def restore_to(
    reader: Reader, wanted: Wanted, target: Path, options: RestoreOptions, progress: Callable[[str], None]
) -> RestoreReport:
    """Restore into ``target``, a folder that is new or empty: built beside it, then put there in one step.

    Raises UsageError where something is there, DamagedError, FileAccessError; there is nothing at ``target`` then.
    """
    with new_folder(target) as building:
        damaged = build(reader, wanted, building, progress, skip_damaged=options.skip_damaged)
        with explained("write", target):
            for path, folder in sorted(wanted.tree.folders.items(), reverse=True):
                os.utime(building / path, ns=(folder.mtime_ns, folder.mtime_ns))
                os.chmod(building / path, folder.mode)
    plan = plan_restore(Tree(), wanted.tree, wanted.selection, keep_extra=False)
    report = _report(wanted, plan, damaged=damaged, dry_run=False)
    notes = tuple(note for note in report.notes if note != REMINDER)
    return structs.replace(report, target=str(target), notes=notes)


def preview_new(wanted: Wanted) -> RestoreReport:
    """What a restore into a new folder would do."""
    return _report(wanted, plan_restore(Tree(), wanted.tree, wanted.selection, keep_extra=False), dry_run=True)


def build(
    reader: Reader, wanted: Wanted, root: Path, progress: Callable[[str], None], *, skip_damaged: bool
) -> list[OddPath]:
    """Write all that is wanted below ``root``, an empty folder; returns what cannot be read from the repository.

    Folders get their modes and times only from the caller. Raises DamagedError unless that is to be skipped,
    FileAccessError, and UsageError for names that the file system does not tell apart.
    """
    if folds_names(root):
        refuse_collisions(wanted.tree)
    with explained("write", root):
        for path, folder in sorted(wanted.tree.folders.items()):
            os.mkdir(root / path, folder.mode | stat.S_IRWXU)
    entries = [entry for _, entry in sorted(wanted.tree.files.items())]
    written = write_files(reader, [(entry, f"{root}/{entry.location}") for entry in entries], progress)
    return _damaged(wanted.snapshot, entries, written, skip=skip_damaged)


def _report(wanted: Wanted, plan: RestorePlan, *, damaged: Sequence[OddPath] = (), dry_run: bool) -> RestoreReport:
    bad = {one.path for one in damaged}
    changes = [change for change in plan.changes if path_fields(change.path)[0] not in bad]
    report = RestoreReport(
        snapshot=wanted.snapshot.id,
        time=to_iso(wanted.snapshot.manifest.time.timestamp()),
        target=None,
        dry_run=dry_run,
        files=tuple(_restored(change) for change in changes if change.what != "same"),
        same=sum(change.what == "same" for change in changes),
        steps=plan.steps.number,
        bytes=sum(change.after.size for change in changes if change.after is not None),
        records_before=_records(change.before for change in changes),
        records_after=_records(change.after for change in changes),
        left=(*plan.left, *(OddPath(path, reason) for path, reason in wanted.tree.unknown())),
        damaged=tuple(damaged),
        overwritten=(),
        run=None,
        backup=None,
        notes=_notes(wanted, plan, dry_run=dry_run),
        status=ExitStatus.DONE,
    )
    return report if dry_run else structs.replace(report, status=status_of(report))


def status_of(report: RestoreReport) -> ExitStatus:
    """What a restore of that outcome is worth: partial where something was left alone."""
    return ExitStatus.PARTIAL if report.left or report.damaged else ExitStatus.DONE


def _notes(wanted: Wanted, plan: RestorePlan, *, dry_run: bool) -> tuple[str, ...]:
    agents = wanted.snapshot.manifest.scope.agents
    notes = [] if agents is None else [f"this backup holds only {', '.join(agents)}; everything else stays as it is"]
    if not wanted.snapshot.manifest.totals.files:
        notes.append("this backup holds no file")
    if plan.steps.number and not dry_run:
        notes.append(REMINDER)
    return tuple(notes)


def _records(entries: Iterable[FileEntry | None]) -> int:
    return sum(entry.records or 0 for entry in entries if entry is not None)


def _restored(change: Change) -> RestoredFile:
    before, after = change.before, change.after
    return RestoredFile(
        path=path_fields(change.path)[0],
        what=change.what,
        bytes_before=before.size if before is not None else None,
        bytes_after=after.size if after is not None else None,
        records_before=before.records if before is not None else None,
        records_after=after.records if after is not None else None,
    )
