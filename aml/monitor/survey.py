"""What lies in a store, by name and size: one walk, which opens no file."""

from __future__ import annotations

import os
import stat
from enum import Enum
from pathlib import Path

from msgspec import Struct, field

from aml.errors import FileAccessError
from aml.fs.access import explain
from aml.fs.durable import is_temporary
from aml.model.kinds import KIND_BY_FILE_NAME
from aml.store.layout import GLOBAL, PACKED, UNFINISHED, is_agent_name, is_copy, is_text
from aml.store.open import Store

_JSON = ".json"
_LOCK = ".lock"


class Role(Enum):
    """What a file is in a store, told by its place and name."""

    RECORDS = "records"
    DOCUMENT = "document"
    PACKED = "packed copy"
    UNFINISHED = "unfinished write"
    TEMPORARY = "unfinished write of AML's"
    OTHER = "other"


class StoreFile(Struct, frozen=True):
    """One regular file: ``path`` inside the store, the ``folder`` it lies in (empty at the top), ``size`` in bytes,
    ``mtime`` in seconds since 1970 UTC."""

    path: str
    folder: str
    name: str
    role: Role
    size: int
    mtime: float

    @property
    def subject(self) -> str:
        """What findings call it: ``agent/patterns`` for records, else its path."""
        return f"{self.folder}/{KIND_BY_FILE_NAME[self.name].plural}" if self.role is Role.RECORDS else self.path


class LockFolder(Struct, frozen=True):
    """A lock on a file: ``path`` inside the store, ``mtime`` in seconds since 1970 UTC, and whether it is a folder."""

    path: str
    mtime: float
    is_folder: bool


class Survey(Struct):
    """All of a store but what the runtime keeps copies in, and folders inside those of agents.

    ``strangers`` are folders whose names are no text, ``links`` and ``foreign`` folders and odd files by path.
    """

    agents: list[str] = field(default_factory=list)
    files: list[StoreFile] = field(default_factory=list)
    locks: list[LockFolder] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    unlisted: list[tuple[str, FileAccessError]] = field(default_factory=list)

    def of(self, *roles: Role) -> list[StoreFile]:
        """The files of these roles, by path."""
        return [file for file in self.files if file.role in roles]


def survey_store(store: Store) -> Survey:
    """Raises FileAccessError where the store itself cannot be listed; what cannot be inside it is ``unlisted``."""
    found = Survey()
    folders = []
    for entry in _listed(store.root):
        if entry.is_symlink():
            found.links.append(entry.name)
        elif entry.is_dir(follow_symlinks=False):
            if is_agent_name(entry.name) and not is_text(entry.name):
                found.strangers.append(entry.name)
            elif not (is_copy(entry.name) or entry.name.startswith(".")):
                folders.append(entry.name)
        else:
            _take_file(found, entry, "")
    for name in folders:
        if is_agent_name(name):
            found.agents.append(name)
        try:
            for entry in _listed(store.root / name):
                _take(found, entry, name)
        except FileAccessError as error:
            found.unlisted.append((name, error))
    return found


def _take(found: Survey, entry: os.DirEntry[str], folder: str) -> None:
    path = f"{folder}/{entry.name}"
    if entry.name.endswith(_LOCK):
        about = _stat(entry)
        if about is not None:
            found.locks.append(LockFolder(path, about.st_mtime, stat.S_ISDIR(about.st_mode)))
    elif entry.is_symlink():
        found.links.append(path)
    elif entry.is_dir(follow_symlinks=False) and _role(folder, entry.name) is not Role.RECORDS:
        if is_agent_name(folder) or folder == GLOBAL:
            found.foreign.append(path)
    else:
        _take_file(found, entry, folder)


def _take_file(found: Survey, entry: os.DirEntry[str], folder: str) -> None:
    path = f"{folder}/{entry.name}" if folder else entry.name
    about = _stat(entry)
    if about is None:
        return
    role = _role(folder, entry.name)
    # what stands in place of a memory file is read as one, which says what is wrong with it
    if not stat.S_ISREG(about.st_mode) and role is Role.OTHER:
        found.odd.append(path)
        return
    found.files.append(StoreFile(path, folder, entry.name, role, about.st_size, about.st_mtime))


def _role(folder: str, name: str) -> Role:
    in_agent = bool(folder) and is_agent_name(folder)
    if is_temporary(name):
        return Role.TEMPORARY
    if in_agent and name in KIND_BY_FILE_NAME:
        return Role.RECORDS
    if name.endswith(_JSON + UNFINISHED):
        return Role.UNFINISHED
    if name.endswith(_JSON + PACKED):
        return Role.PACKED
    return Role.DOCUMENT if name.endswith(_JSON) and not name.startswith(".") else Role.OTHER


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda one: one.name)
    except OSError as error:
        raise explain(error, "list", folder) from error


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for a file that has just gone, as those of live agents do."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, "read", Path(entry.path)) from error
