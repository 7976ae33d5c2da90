"""What lies in a store: every folder and file that a backup covers, by agent. Reads no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct, field

from aml.errors import AmlError
from aml.fs.access import explain, explained
from aml.fs.durable import is_temporary
from aml.repository.manifest import FileEntry, FolderEntry, Unread, path_fields
from aml.store.layout import agent_of

_LOCK_SUFFIX = ".lock"
_TEMPORARY_SUFFIX = ".tmp"


class Part(Struct):
    """One agent's share of a store, or (``agent`` None) all that belongs to no agent.

    ``files`` are paths with what the system says of them; ``skipped`` are links, locks and what else no backup
    holds.
    """

    agent: str | None
    folders: list[FolderEntry] = field(default_factory=list)
    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Tree(Struct, frozen=True):
    """Folders and files by path, as a backup holds them or as the store has them now.

    ``unread`` are paths of which nothing is known, nor of what lies below them, with the reasons; ``rest_unread`` is
    the reason why nothing is known of what belongs to no agent, if so. ``skipped`` are in the way of a file, but no
    file themselves.
    """

    folders: dict[str, FolderEntry] = {}
    files: dict[str, FileEntry] = {}
    unread: dict[str, str] = {}
    skipped: frozenset[str] = frozenset()
    rest_unread: str = ""

    def covers(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether it is known what was at ``path``: neither it nor a folder above it was unreadable."""
        if self.rest_unread and agent_of(path, is_folder=is_folder) is None:
            return False
        return not self.unread or not any(above in self.unread for above in with_parents(path))

    def unknown(self) -> Iterator[tuple[str, str]]:
        """What is not known, as people read it, and why."""
        for path, reason in self.unread.items():
            yield path_fields(path)[0], reason
        if self.rest_unread:
            yield "(what belongs to no agent)", self.rest_unread


def with_parents(path: str) -> Iterator[str]:
    """A relative path and each folder above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def is_passing(name: str, *, is_folder: bool) -> bool:
    """Whether something of that name is only there for a moment: a lock, or a write that has not ended."""
    if is_folder:
        return name.endswith(_LOCK_SUFFIX)
    return name.endswith(_TEMPORARY_SUFFIX) or is_temporary(name)


def scan(root: Path, agents: Collection[str] | None) -> list[Part]:
    """The parts of the store at ``root``: first what belongs to no agent, then each agent by name.

    With ``agents``, only theirs. A folder that cannot be listed is ``unread``. Raises FileAccessError where the store
    itself cannot be listed.
    """
    rest = Part(None)
    parts: list[Part] = []
    with explained("list", root), os.scandir(root) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        agent = agent_of(entry.name, is_folder=entry.is_dir(follow_symlinks=False))
        if agents is not None and agent not in agents:
            continue
        part = rest if agent is None else Part(agent)
        below = _take(root, entry, entry.name, part)
        while below:
            below += _take_folder(root, *below.pop(), part)
        if part is not rest and (part.folders or part.unread):
            parts.append(part)
    return parts if agents is not None else [rest, *parts]


_Below = list[tuple[str, os.stat_result]]


def _take(root: Path, entry: os.DirEntry[str], path: str, part: Part) -> _Below:
    """Note what an entry is; returns it if it is a folder to go into."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []
    except OSError as error:
        part.unread.append(unread(path, explain(error, "read", root / path)))
        return []
    mode = found.st_mode
    if is_passing(entry.name, is_folder=stat.S_ISDIR(mode)):
        part.skipped.append(path)
    elif stat.S_ISDIR(mode):
        return [(path, found)]
    elif stat.S_ISREG(mode):
        part.files.append((path, found))
    else:
        part.skipped.append(path)
    return []


def _take_folder(root: Path, path: str, found: os.stat_result, part: Part) -> _Below:
    try:
        with os.scandir(root / path) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        part.unread.append(unread(path, explain(error, "list", root / path)))
        return []
    name, exact = path_fields(path)
    part.folders.append(FolderEntry(name, stat.S_IMODE(found.st_mode), found.st_mtime_ns, exact))
    return [one for entry in entries for one in _take(root, entry, f"{path}/{entry.name}", part)]


def unread(path: str, error: AmlError) -> Unread:
    """A path that could not be read, and why."""
    name, exact = path_fields(path)
    # the message holds the path too, which need not be text
    return Unread(name, os.fsencode(error.message).decode(errors="replace"), exact)
