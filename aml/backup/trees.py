"""Two trees side by side: what a backup holds, what the store has now, and how they differ."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Literal

from msgspec import Struct, structs

from aml.backup.read import entry_of, read_settled
from aml.backup.scan import Part, Tree, scan, unread, with_parents
from aml.errors import ChangedError, DamagedError, FileAccessError, NotFoundError, UsageError
from aml.fs.files import stat_if_there
from aml.repository.destination import UNREADABLE
from aml.repository.manifest import FileEntry, FolderEntry, Unread, owners_of, part_name
from aml.repository.repository import Reader, StoredDocument
from aml.repository.snapshots import Snapshot
from aml.store.layout import agent_of
from aml.store.open import Store
from aml.store.read import fingerprint

What = Literal["added", "changed", "removed", "same"]


class Selection(Struct, frozen=True):
    """A part of a tree: the files of these agents (None: of all, and of none), at or below these paths (empty: all)."""

    agents: frozenset[str] | None = None
    paths: tuple[str, ...] = ()

    def needs(self, folder: str) -> bool:
        """Whether a folder is selected, or lies above one that is, so that it has to be there."""
        return self.has(folder, is_folder=True) or any(path.startswith(f"{folder}/") for path in self.paths)

    def has(self, path: str, *, is_folder: bool = False) -> bool:
        if self.agents is not None and agent_of(path, is_folder=is_folder) not in self.agents:
            return False
        return not self.paths or any(above in self.paths for above in with_parents(path))


class Change(Struct, frozen=True):
    """What becomes of one file from one tree to another; ``same`` content may still have another mode or time."""

    path: str
    what: What
    before: FileEntry | None
    after: FileEntry | None


def select(snapshot: Snapshot, agents: Collection[str], paths: Collection[str]) -> Selection:
    """What of a backup is meant by agents and paths inside the store; nothing means all of its scope.

    Raises UsageError for an agent that the backup does not hold, or a path that leads out of the store.
    """
    held = {one.agent for one in snapshot.manifest.listings if one.agent is not None}
    for agent in agents:
        if agent not in held:
            near = get_close_matches(agent, held, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"backup {snapshot.id} holds no agent {agent!r}",
                advice=f"{guess}it holds: {', '.join(sorted(held)) or 'none'}",
            )
    scope = snapshot.manifest.scope.agents
    chosen = frozenset(agents) if agents else None if scope is None else frozenset(scope)
    return Selection(chosen, tuple(_inside(path) for path in paths))


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise UsageError(f"{path!r} is no path inside the store", advice="name it as aml backup show --verbose does")
    return str(pure)


def load_tree(reader: Reader, snapshot: Snapshot, selection: Selection, *, skip_damaged: bool = False) -> Tree:
    """What a backup holds of a selection.

    Raises DamagedError where a listing cannot be read; with ``skip_damaged``, the agent whose listing it is counts as
    unread.
    """
    folders: dict[str, FolderEntry] = {}
    files: dict[str, FileEntry] = {}
    missed = {one.location: one.reason for one in snapshot.manifest.unread}
    rest_unread = ""
    for reference in snapshot.manifest.listings:
        if selection.agents is not None and reference.agent not in selection.agents:
            continue
        try:
            listing = reader.read_listing(reference)
            if owners_of(listing) - {reference.agent}:
                # a restore of one agent would touch another
                raise DamagedError("it names files of somebody else")
        except UNREADABLE as error:
            what = f"the list of files of {part_name(reference.agent)} in backup {snapshot.id}"
            reason = (
                f"{what} {'cannot be read' if isinstance(error, FileAccessError) else 'is damaged'}: {error.message}"
            )
            if not skip_damaged:
                raise DamagedError(
                    reason, advice="--skip-damaged restores everything else; aml backup verify tells what is whole"
                ) from error
            if reference.agent is None:
                rest_unread = reason
            else:
                missed[reference.agent] = reason
            continue
        folders |= {one.location: one for one in listing.folders if selection.needs(one.location)}
        files |= {one.location: one for one in listing.files if selection.has(one.location)}
    return Tree(folders, files, missed, rest_unread=rest_unread)


def refuse_unknown_paths(reader: Reader, snapshot: Snapshot, tree: Tree, selection: Selection) -> None:
    """Raise NotFoundError for a path that was asked for and that the backup does not hold."""
    for path in selection.paths:
        if path not in tree.folders and path not in tree.files and tree.covers(path):
            whole = load_tree(reader, snapshot, Selection(selection.agents), skip_damaged=True)
            near = get_close_matches(path, [*whole.folders, *whole.files], n=3)
            advice = f"nearest: {', '.join(near)}" if near else "aml backup show --verbose lists what it holds"
            raise NotFoundError(f"backup {snapshot.id} does not hold {path!r}", advice=advice)


def with_obstacles(store: Store, current: Tree, wanted: Tree) -> Tree:
    """``current`` with what stands where folders have to be although it is not of the part that is restored."""
    found = set(current.skipped)
    for path in wanted.folders.keys() - current.folders.keys() - current.files.keys():
        if not current.covers(path):
            continue
        there = stat_if_there(store.root / path)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            found.add(path)
    return structs.replace(current, skipped=frozenset(found))


def observe(store: Store, selection: Selection, known: Iterable[FileEntry] = ()) -> Tree:
    """What the store has now of a selection; a file that is as one of ``known`` says is not read again."""
    cached = {entry.location: entry for entry in known}
    folders: dict[str, FolderEntry] = {}
    files: dict[str, FileEntry] = {}
    missed: list[Unread] = []
    skipped: set[str] = set()
    for part in scan(store.root, selection.agents):
        skipped.update(part.skipped)
        folders |= {one.location: one for one in part.folders if selection.needs(one.location)}
        files |= {entry.location: entry for entry in _observed(store, part, selection, cached)}
        missed += part.unread
    return Tree(folders, files, {one.location: one.reason for one in missed}, frozenset(skipped))


def _observed(store: Store, part: Part, selection: Selection, cached: dict[str, FileEntry]) -> Iterator[FileEntry]:
    for path, found in part.files:
        if not selection.has(path):
            continue
        before = cached.get(path)
        if before is not None and before.stat == fingerprint(found):
            yield before
            continue
        try:
            read = read_settled(store.root / path)
        except (FileAccessError, ChangedError) as error:
            part.unread.append(unread(path, error))
            continue
        if read is not None:
            yield entry_of(path, read, _hashed, store.max_unpacked_bytes)


def _hashed(data: bytes) -> StoredDocument:
    return StoredDocument(hashlib.sha256(data).hexdigest(), len(data), [])


def compare(before: Tree, after: Tree) -> list[Change]:
    """Every file of either tree, by path."""
    changes = []
    for path in sorted({*before.files, *after.files}):
        one, other = before.files.get(path), after.files.get(path)
        if one is None or other is None:
            what: What = "added" if one is None else "removed"
        else:
            what = "same" if is_same_content(one, other) else "changed"
        changes.append(Change(path, what, one, other))
    return changes


def is_same_content(one: FileEntry, other: FileEntry) -> bool:
    """Whether two files hold the same in the same form; gzip bytes of the same content may differ."""
    return one.stored_sha256 == other.stored_sha256 and one.form == other.form
