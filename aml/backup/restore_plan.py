"""What a restore will do to a store: pure, from what a backup holds and what the store has now."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from msgspec import Struct

from aml.backup.create import OddPath
from aml.backup.scan import Tree, with_parents
from aml.backup.trees import Change, Selection, compare
from aml.errors import UsageError
from aml.repository.manifest import FileEntry, FolderEntry, path_fields


class Put(Struct, frozen=True):
    """A file to be put in place: ``before`` is what the store holds there now, if anything."""

    entry: FileEntry
    before: FileEntry | None

    @property
    def path(self) -> str:
        return self.entry.location


class Removal(Struct, frozen=True):
    """A file to be removed, since the backup does not hold it."""

    before: FileEntry

    @property
    def path(self) -> str:
        return self.before.location


class Steps(Struct, frozen=True):
    """What is done, in this order: files go, folders go (deepest first), folders come (topmost first), files come.

    ``settings`` are files of the right content whose mode or time is not that of the backup, ``folders`` those whose
    mode and time are set in the end, and ``were`` all folders as they are now, for a way back.
    """

    removals: tuple[Removal, ...]
    emptied: tuple[FolderEntry, ...]
    made: tuple[FolderEntry, ...]
    puts: tuple[Put, ...]
    settings: tuple[Put, ...]
    folders: tuple[FolderEntry, ...]
    were: tuple[FolderEntry, ...]

    @property
    def number(self) -> int:
        """How many things change, not counting the times of folders."""
        modes = {folder.location: folder.mode for folder in self.were}
        others = sum(modes.get(folder.location, folder.mode) != folder.mode for folder in self.folders)
        return others + sum(map(len, (self.removals, self.emptied, self.made, self.puts, self.settings)))


class RestorePlan(Struct, frozen=True):
    """``left`` are paths that stay as they are, and why; ``changes`` is what becomes of each other file."""

    steps: Steps
    left: tuple[OddPath, ...]
    changes: tuple[Change, ...]


def plan_restore(current: Tree, wanted: Tree, selection: Selection, *, keep_extra: bool) -> RestorePlan:
    """How to make ``current`` like ``wanted`` within a selection.

    Exact but for what the backup could not read, what cannot be read now (no backup could bring it back), and what
    lies behind links: all of that stays, and is told in ``left``. With ``keep_extra``, nothing is removed.
    """
    kept = set(current.folders) if keep_extra else _kept_folders(current, wanted)
    left: dict[str, str] = {}
    changes, puts, settings, removals = [], [], [], []
    for change in compare(current, wanted):
        if change.after is None:
            reason = "" if wanted.covers(change.path) else "the backup could not read it"
        else:
            reason = _obstacle(change.path, current, keep_extra=keep_extra)
            if not reason and change.path in kept:
                reason = "a folder that has to stay is in its place"
        if reason:
            left[change.path] = reason
        elif change.after is None and change.before is not None and not keep_extra:
            removals.append(Removal(change.before))
            changes.append(change)
        elif change.after is not None:
            changes.append(change)
            if change.what != "same":
                puts.append(Put(change.after, change.before))
            elif change.before is not None and _differs_outside(change.before, change.after):
                settings.append(Put(change.after, change.before))
    reachable = _reachable(current, wanted, keep_extra=keep_extra)
    steps = Steps(
        tuple(removals),
        emptied=_emptied(current, kept, selection),
        made=tuple(one for one in reachable if one.location not in current.folders),
        puts=tuple(puts),
        settings=tuple(settings),
        folders=tuple(one for one in reachable if selection.has(one.location, is_folder=True)),
        were=tuple(one for path, one in sorted(current.folders.items()) if selection.has(path, is_folder=True)),
    )
    return RestorePlan(steps, tuple(_odd(path, reason) for path, reason in sorted(left.items())), tuple(changes))


def _emptied(current: Tree, kept: Collection[str], selection: Selection) -> tuple[FolderEntry, ...]:
    deepest_first = sorted(current.folders.items(), reverse=True)
    return tuple(one for path, one in deepest_first if path not in kept and selection.has(path, is_folder=True))


def _reachable(current: Tree, wanted: Tree, *, keep_extra: bool) -> list[FolderEntry]:
    """The folders of the backup that are there, or can be made, topmost first."""
    return [
        folder
        for path, folder in sorted(wanted.folders.items())
        if not (keep_extra and path in current.files) and not _obstacle(path, current, keep_extra=keep_extra)
    ]


def _odd(path: str, reason: str) -> OddPath:
    return OddPath(path_fields(path)[0], reason)


def _kept_folders(current: Tree, wanted: Tree) -> set[str]:
    """Folders that stay: those of the backup, and those that hold something which stays."""
    kept = set(wanted.folders) & set(current.folders)
    staying = [*current.unread, *current.skipped]
    staying += [path for path in current.files if not wanted.covers(path)]
    staying += [path for path in current.folders if not wanted.covers(path, is_folder=True)]
    for path in staying:
        kept.update(above for above in with_parents(path) if above in current.folders)
    return kept


def _obstacle(path: str, current: Tree, *, keep_extra: bool) -> str:
    """What keeps a file or folder of the backup from being put at ``path``; "" where nothing does."""
    if not current.covers(path):
        return "what is there now cannot be read, so no backup could bring it back"
    above = list(with_parents(path))
    for one in above:
        if one in current.skipped:
            return f"{path_fields(one)[0]} is in the way: a link, a lock, or something else that AML does not touch"
    if keep_extra and any(one in current.files for one in above[1:]):
        return "a file stands where its folder should be"
    return ""


def _differs_outside(before: FileEntry, after: FileEntry) -> bool:
    return (before.mode, before.mtime_ns) != (after.mode, after.mtime_ns)


def refuse_collisions(tree: Tree) -> None:
    """Raise UsageError where two names of a backup would be one on a file system that folds case or normal forms."""
    seen: dict[str, str] = {}
    for path in _all_paths(tree):
        folded = unicodedata.normalize("NFC", path).casefold()
        other = seen.setdefault(folded, path)
        if other != path:
            raise UsageError(
                f"{other!r} and {path!r} would be one file on the file system of the target, so nothing was restored",
                advice="restore to a file system that tells them apart, or one of them with --path",
            )


def _all_paths(tree: Tree) -> Iterable[str]:
    return sorted({*tree.folders, *tree.files})
