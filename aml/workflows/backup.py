"""Backups: make one, list them, show one, compare two, verify them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from aml.backup.checked import load_checked, save_checked
from aml.backup.create import BackupReport, OddPath, create, source_of
from aml.backup.options import PRE_RESTORE, BackupOptions
from aml.backup.scan import Tree
from aml.backup.trees import load_tree, observe, select
from aml.errors import AmlError, DamagedError, ExitStatus, NotFoundError, UsageError
from aml.fs.files import is_there
from aml.hooks import hooked
from aml.ledger.operations import Operation, last_operations, note_operation
from aml.ledger.runs import Journal
from aml.model.timestamps import to_iso
from aml.model.units import count
from aml.repository.description import DESCRIPTION_KEY
from aml.repository.manifest import FileEntry, FolderEntry, Scope
from aml.repository.repository import create as create_repository
from aml.repository.repository import writing
from aml.repository.snapshots import LATEST, Snapshot, Snapshots
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.conditions import (
    Conditions,
    changing,
    destination_of,
    doubt_about,
    reading_backups,
    repository_folder,
)

if TYPE_CHECKING:
    from aml.backup.compare import DiffReport

#: What AML keeps in the folder of a repository; and what a disk that was just formatted or mounted holds.
_OWN_NAMES = frozenset((DESCRIPTION_KEY, "snapshots", "packs", "index", "lock", "archives", "quarantine"))
_NOBODYS_NAMES = frozenset((".gitignore", "lost+found"))

Progress = Callable[[str], None]
Warn = Callable[[str], None]


class BackupLine(Struct, frozen=True):
    """One backup as a list shows it; ``agents`` None means the whole store, sizes are in bytes."""

    id: str
    time: str
    kind: str
    sequence: int
    parent: str | None
    agents: tuple[str, ...] | None
    files: int
    bytes: int
    added_bytes: int
    tags: tuple[str, ...]
    description: str
    host: str
    complete: bool


class BackupList(Struct, frozen=True):
    """All backups of a repository, the oldest first; ``stored_bytes`` is what all of them take together.

    ``damaged`` are manifests that cannot be read: what they name is in the repository, but which backup it is, is lost.
    """

    repository: str
    backups: tuple[BackupLine, ...]
    damaged: tuple[OddPath, ...]
    stored_bytes: int
    status: ExitStatus


class AgentShare(Struct, frozen=True):
    """What a backup holds of one agent, or (None) of what belongs to no agent."""

    agent: str | None
    files: int
    bytes: int


class BackupDetails(Struct, frozen=True):
    """One backup in full; ``folders`` and ``files`` are listed where that was asked for."""

    backup: BackupLine
    shares: tuple[AgentShare, ...]
    unread: tuple[OddPath, ...]
    damaged: tuple[OddPath, ...]
    schemas: dict[str, int]
    folders: tuple[FolderEntry, ...]
    files: tuple[FileEntry, ...]
    status: ExitStatus


def backup(
    store: Store,
    options: BackupOptions | None = None,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    progress: Progress = lambda _: None,
    warn: Warn = lambda _: None,
    again: Callable[[Callable[[], BackupReport]], BackupReport] = lambda attempt: attempt(),
) -> BackupReport:
    """Back the store up, between the hooks for it; only what is new since the last backup is written.

    ``now`` in seconds since 1970 UTC; ``again`` may make an attempt more than once. Raises AmlError: there is no new
    backup then, and all others are as they were.
    """
    options = options or BackupOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    store.choose_agents(options.agents)
    place = repository_folder(store, conditions)
    with hooked(conditions.backup_hooks, "backup", store=store.root, repository=place, warn=warn) as told:
        report = again(lambda: _locked_backup(store, options, moment, conditions, progress))
        told.ids["backup"] = report.id
        told.counts |= _counts(report)
        told.status = report.status
    return report


def _locked_backup(
    store: Store, options: BackupOptions, now: float, conditions: Conditions, progress: Progress
) -> BackupReport:
    # what another run left must never be what stops a backup
    journal = Journal(store, passes_over_damage=True)
    began = time.monotonic()
    waits = conditions.locks.timeout
    with changing(store, journal, "backup", now, conditions, judges_ages=False, wait=waits) as (_, notes):
        report = back_up(store, journal, options, now, conditions, progress)
        done = operation("backup", now, began, report.status, report.id, _counts(report))
        failed = try_to_write(lambda: note_operation(store, done))
    return structs.replace(report, notes=(*notes, *report.notes, *failed))


def _counts(report: BackupReport) -> dict[str, int]:
    counts = {name: getattr(report, name) for name in ("files", "bytes", "added_bytes", "stored_bytes")}
    return counts | {"unread": len(report.unread)}


def back_up(
    store: Store,
    journal: Journal,
    options: BackupOptions,
    now: float,
    conditions: Conditions,
    progress: Progress = lambda _: None,
) -> BackupReport:
    """Make a backup; the run lock must be held. Raises as ``backup`` does."""
    destination = destination_of(store, conditions, writes=True)
    doubt = None if conditions.trust_clock else doubt_about(store, journal, now, conditions)
    missing = not is_there(destination.root / DESCRIPTION_KEY)
    if missing and conditions.repository is not None:
        _refuse_foreign(destination.root)
    create_repository(destination, datetime.fromtimestamp(now, UTC))
    with writing(
        destination, purpose="backup", timeout=conditions.locks.timeout, compression=options.compression
    ) as writer:
        checked = load_checked(store, writer.description.id)
        if options.kind == "full":
            from aml.repository.check import check

            # it relies on what it finds there as little as on the stat cache
            every = check(destination, "sample", sample=1.0, checked=checked.packs, damaged=checked.damaged_packs)
            checked.take_up(every, now)
        known = set(writer.loaded.packs)
        report = create(
            store, writer, options, now, checked=checked, clock_doubted=doubt is not None, progress=progress
        )
        fresh = set(writer.loaded.packs) - known
        notes: list[str] = []
        if missing and "backup" in last_operations(store):
            notes.append(f"{destination} held no repository, though this store was backed up before: is it mounted?")
        if fresh or report.repaired or checked.damaged_packs:
            # they have just been read back
            checked.packs |= dict.fromkeys(fresh, now)
            notes += try_to_write(lambda: save_checked(store, writer.description.id, checked))
    if doubt:
        notes.append(f"{doubt}: the backup was made, and is no measure for the clock")
    return structs.replace(report, notes=(*report.notes, *notes))


def _refuse_foreign(folder: Path) -> None:
    """Raise UsageError where other things lie in ``folder`` and nothing of AML's: it was most likely not meant."""
    names = set(os.listdir(folder)) if folder.is_dir() else set()
    if names and not names & _OWN_NAMES and not names <= _NOBODYS_NAMES:
        one = min(names - _NOBODYS_NAMES)
        raise UsageError(
            f"{folder} is no repository, and holds other things, such as {one}",
            advice=f"name a new folder, such as {folder / 'aml-backup'}",
        )


def try_to_write(write: Callable[[], None]) -> list[str]:
    """Write something down for later runs; why that failed, if so: what was done stands all the same."""
    try:
        write()
    except AmlError as error:
        return [f"not written down for later runs: {error.message}"]
    return []


def operation(
    name: str, now: float, began: float, status: int, subject: str = "", counts: dict[str, int] | None = None
) -> Operation:
    """A run to be noted: ``now`` (seconds since 1970 UTC) is when it started, ``began`` the same by time.monotonic."""
    return Operation(name, to_iso(now), round(time.monotonic() - began, 3), int(status), subject, counts or {})


def list_backups(
    store: Store,
    *,
    agents: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    limit: int | None = None,
    conditions: Conditions | None = None,
) -> BackupList:
    """Backups that hold all of ``agents`` and have all of ``tags``, the newest ``limit`` of them.

    A repository that is not there yet holds none. Raises AmlError.
    """
    conditions = conditions or Conditions()
    folder = str(repository_folder(store, conditions))
    try:
        with reading_backups(store, conditions, "list") as reader:
            found = reader.snapshots()
            stored = sum(entry.size for entry in reader.loaded.packs.values())
    except NotFoundError:
        return BackupList(folder, (), (), 0, ExitStatus.DONE)
    known = {one.agent for snapshot in found.readable for one in snapshot.manifest.listings if one.agent is not None}
    choose(agents, tuple(sorted(known)), "agent")
    chosen = [one for one in found.readable if _holds(one, agents) and set(tags) <= set(one.manifest.tags)]
    if limit is not None:
        chosen = chosen[-limit:]
    return BackupList(
        repository=folder,
        backups=tuple(_line(one) for one in chosen),
        damaged=tuple(OddPath(flaw.key, flaw.reason) for flaw in found.flaws),
        stored_bytes=stored,
        status=ExitStatus.DAMAGED if found.flaws else ExitStatus.DONE,
    )


def _holds(snapshot: Snapshot, agents: Collection[str]) -> bool:
    return set(agents) <= {one.agent for one in snapshot.manifest.listings}


def show_backup(
    store: Store, wanted: str, *, files: bool = False, conditions: Conditions | None = None
) -> BackupDetails:
    """One backup by its id, a unique prefix of it, or ``latest``. Raises NotFoundError, DamagedError, AmlError."""
    conditions = conditions or Conditions()
    with reading_backups(store, conditions, "show") as reader:
        snapshot = find(store, reader.snapshots(), wanted)
        tree = load_tree(reader, snapshot, select(snapshot, (), ()))
    manifest = snapshot.manifest
    entries = sorted(tree.files.values(), key=lambda entry: entry.path)
    return BackupDetails(
        backup=_line(snapshot),
        shares=tuple(AgentShare(one.agent, one.files, one.bytes) for one in manifest.listings),
        unread=tuple(OddPath(one.path, one.reason) for one in manifest.unread),
        damaged=tuple(OddPath(entry.path, entry.damaged) for entry in entries if entry.damaged is not None),
        schemas=manifest.schemas,
        folders=tuple(sorted(tree.folders.values(), key=lambda folder: folder.path)) if files else (),
        files=tuple(entries) if files else (),
        status=ExitStatus.DONE,
    )


def diff_backups(
    store: Store,
    before: str,
    after: str | None = None,
    *,
    agents: tuple[str, ...] = (),
    conditions: Conditions | None = None,
) -> DiffReport:
    """What changed from one backup to another, or to the store as it is now. Raises NotFoundError, DamagedError."""
    from aml.backup.compare import diff, from_backup, from_store  # prune comes here for each backup it makes

    conditions = conditions or Conditions()
    with reading_backups(store, conditions, "diff") as reader:
        found = reader.snapshots()
        first = find(store, found, before, agents)
        one = load_tree(reader, first, select(first, agents, ()))
        contents = from_backup(reader, store.max_unpacked_bytes)
        if after is None:
            now = observe(store, select(first, agents, ()), one.files.values())
            return diff(first.id, None, one, now, (contents, from_store(store)))
        second = find(store, found, after, agents)
        other = load_tree(reader, second, select(second, agents, ()))
        return diff(first.id, second.id, _within(one, second), _within(other, first), (contents, contents))


def _within(tree: Tree, other: Snapshot) -> Tree:
    """What of a tree lies in the scope of another backup: the rest is unknown there, not gone."""
    selection = select(other, (), ())
    return Tree({}, {path: entry for path, entry in tree.files.items() if selection.has(path)})


def find(store: Store, snapshots: Snapshots, wanted: str, agents: Collection[str] = ()) -> Snapshot:
    """The backup meant by an id, a unique prefix of it, or ``latest``: the newest complete one of the whole store, or
    with ``agents`` the newest that holds all of them. Raises NotFoundError, naming the nearest."""
    try:
        return (_states(store, snapshots, agents) if wanted == LATEST else snapshots).find(wanted)
    except NotFoundError as error:
        raise _with_hint(snapshots, error, wanted) from error


def find_at(store: Store, snapshots: Snapshots, moment: datetime, agents: Collection[str] = ()) -> Snapshot:
    """The newest complete backup made at or before a moment, of those that ``latest`` chooses from, and whose clock was
    believed. Raises NotFoundError."""
    if moment.microsecond == 0:
        # a time to the second, as lists show it, means all of that second
        moment = moment.replace(microsecond=999_999)
    believed = Snapshots([one for one in snapshots.readable if not one.manifest.clock_doubted], snapshots.flaws)
    try:
        return _states(store, believed, agents).at(moment)
    except NotFoundError:
        pass
    try:
        # from before this store was copied from another place, with its backups
        return believed.at(moment, scope=Scope()) if not agents else believed.at(moment)
    except NotFoundError as error:
        raise _with_hint(snapshots, error) from error


def _states(store: Store, snapshots: Snapshots, agents: Collection[str]) -> Snapshots:
    """The backups that stand for a state of the store, or of some agents, at their time.

    Those that a restore made of what it replaced do not, else the same restore twice would undo itself; nor those of
    another store, unless that is gone: then it may be this one, which was moved.
    """
    readable = [one for one in snapshots.readable if PRE_RESTORE not in one.manifest.tags] or snapshots.readable
    own = [one for one in readable if one.manifest.source == source_of(store)]
    readable = own or [one for one in readable if not is_foreign(store, one)] or readable
    if agents:
        fitting = [one for one in readable if _holds(one, agents)]
    else:
        fitting = [one for one in readable if one.manifest.scope.agents is None]
    return Snapshots(fitting or readable, snapshots.flaws)


def is_foreign(store: Store, snapshot: Snapshot) -> bool:
    """Whether a backup is of another store, which is still there."""
    source = snapshot.manifest.source
    return source not in ("", source_of(store)) and os.path.isdir(source)


def _with_hint(snapshots: Snapshots, error: NotFoundError, wanted: str = "") -> AmlError:
    if not snapshots.readable and snapshots.flaws:
        manifests = count(len(snapshots.flaws), "manifest")
        return DamagedError(
            f"no backup can be read: {manifests} of backups {'is' if len(snapshots.flaws) == 1 else 'are'} damaged",
            advice="aml backup verify tells how; aml backup create makes a new backup",
        )
    if not snapshots.readable:
        return NotFoundError("there is no backup yet", advice="aml backup create makes one")
    from difflib import get_close_matches

    near = get_close_matches(wanted, [one.id for one in snapshots.readable], n=3)
    if near:
        return NotFoundError(error.message, advice=f"{error.advice}; nearest: {', '.join(near)}")
    newest = snapshots.readable[-1]
    kind = "" if newest.manifest.complete else ", which is incomplete"
    return NotFoundError(error.message, advice=f"{error.advice}; the newest is {newest.id}{kind}")


def _line(snapshot: Snapshot) -> BackupLine:
    manifest = snapshot.manifest
    return BackupLine(
        id=snapshot.id,
        time=to_iso(manifest.time.timestamp()),
        kind=manifest.kind,
        sequence=manifest.sequence,
        parent=manifest.parent,
        agents=manifest.scope.agents,
        files=manifest.totals.files,
        bytes=manifest.totals.bytes,
        added_bytes=manifest.totals.added_bytes,
        tags=tuple(manifest.tags),
        description=manifest.description,
        host=manifest.host,
        complete=manifest.complete,
    )
