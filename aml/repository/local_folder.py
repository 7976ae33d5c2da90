"""A repository in a local folder: private, durable, and never through a link."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from aml.errors import DamagedError, LockedError
from aml.fs.access import explain, explained
from aml.fs.durable import is_temporary, make_private_folder, remove_durably, write_durably
from aml.fs.files import files_below
from aml.fs.flock import lock_within, open_lock_file
from aml.fs.own_folder import prepare_folder
from aml.fs.run_lock import sign, signed_by
from aml.repository.destination import (
    MAX_VALUE_BYTES,
    Entry,
    check_key,
    check_prefix,
    missing,
    too_large,
    too_short,
)

LOCK_NAME = "lock"
#: Where a repository keeps what it holds.
_FOLDERS = frozenset({"packs", "index", "snapshots"})

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class LocalFolder:
    """A folder as a destination; folders are made 0700 and files 0600.

    The folder itself may be reached through a link; nothing below it is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)

    def __str__(self) -> str:
        return str(self.root)

    def prepare(self) -> None:
        prepare_folder(self.root)

    def put(self, key: str, data: bytes | bytearray) -> None:
        path = self._path(key)
        make_private_folder(path.parent)
        write_durably(path, data)

    def get(self, key: str, *, limit: int = MAX_VALUE_BYTES) -> bytes:
        with self._opened(key) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise too_large(key, limit)
            return _read(descriptor, 0, size)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        with self._opened(key) as descriptor:
            if offset + length > os.fstat(descriptor).st_size:
                raise too_short(key, offset, length)
            part = _read(descriptor, offset, length)
        if len(part) != length:
            raise too_short(key, offset, length)
        return part

    def entries(self, prefix: str) -> list[Entry]:
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        if folder:
            self._refuse_links(folder)
        return sorted(self._below(folder, prefix), key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        if path.parent.is_dir():
            remove_durably(path)

    @contextmanager
    def hold(self, *, exclusive: bool, purpose: str, timeout: float) -> Iterator[None]:
        path = self.root / LOCK_NAME
        with explained("lock", path):
            descriptor = _open_lock(path, exclusive=exclusive)
        if descriptor is None:
            yield
            return
        try:
            _wait(descriptor, path, exclusive=exclusive, timeout=timeout)
            if exclusive:
                sign(descriptor, path, purpose, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            yield
        finally:
            os.close(descriptor)

    def remove_strays(self) -> int:
        # every other folder here belongs to the ledger, or to the agents' runtime
        here = self._listed("")
        folders = [one.path for one in here if one.name in _FOLDERS and one.is_dir(follow_symlinks=False)]
        files = chain((one for one in here if one.is_file(follow_symlinks=False)), *map(files_below, folders))
        strays = [Path(one.path) for one in files if is_temporary(one.name)]
        for stray in strays:
            remove_durably(stray)
        return len(strays)

    def _below(self, folder: str, prefix: str) -> list[Entry]:
        found: list[Entry] = []
        # a list in place of calls of itself: somebody may have put folders there deeper than the interpreter's stack
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            for one in self._listed(folder):
                key = f"{folder}/{one.name}" if folder else one.name
                if one.name.startswith(".") or not (key.startswith(prefix) or prefix.startswith(f"{key}/")):
                    continue
                if one.is_dir(follow_symlinks=False):
                    waiting.append(key)
                elif one.is_file(follow_symlinks=False) and key.startswith(prefix):
                    with _explained("read", one.path), suppress(FileNotFoundError):
                        about = one.stat(follow_symlinks=False)
                        found.append(Entry(key, about.st_size, about.st_mtime))
        return found

    def _listed(self, folder: str) -> list[os.DirEntry[str]]:
        path = f"{self._root}/{folder}"
        with _explained("list", path), suppress(FileNotFoundError), os.scandir(path) as entries:
            return list(entries)
        return []

    def _path(self, key: str) -> Path:
        return Path(self._checked(key))

    def _checked(self, key: str) -> str:
        check_key(key)
        self._refuse_links(key)
        # a Path costs more than opening the file, and a repository has thousands
        return f"{self._root}/{key}"

    def _refuse_links(self, key: str) -> None:
        path = self._root
        for name in key.split("/"):
            path = f"{path}/{name}"
            if os.path.islink(path):
                raise DamagedError(f"{path} is a link, which a repository never holds", advice="remove that link")

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        path = self._checked(key)
        with _explained("read", path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise missing(key, str(self.root)) from None
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise DamagedError(f"{path} is no regular file")
                yield descriptor
            finally:
                os.close(descriptor)


@contextmanager
def _explained(aim: str, path: str) -> Iterator[None]:
    """As ``explained``, for a path that is not worth making a Path of unless something fails."""
    try:
        yield
    except OSError as error:
        raise explain(error, aim, Path(path)) from error


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """So many bytes, or fewer where the file ends; one read does for any file on a local disk."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
        data += more
    return data


def _open_lock(path: Path, *, exclusive: bool) -> int | None:
    """The lock file, made where it is missing; None for a reader where it can be neither opened nor made."""
    try:
        return open_lock_file(path, os.O_RDWR if exclusive else os.O_RDONLY)
    except OSError as error:
        if exclusive or error.errno not in _READ_ONLY:
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # on a read-only medium without a lock file there is no writer to keep out
        if error.errno in (*_READ_ONLY, errno.ENOENT):
            return None
        raise


def _wait(descriptor: int, path: Path, *, exclusive: bool, timeout: float) -> None:
    with explained("lock", path):
        taken = lock_within(descriptor, timeout, exclusive=exclusive)
    if not taken:
        raise _locked(descriptor, path)


def _locked(descriptor: int, path: Path) -> LockedError:
    advice = "wait for it to end; the lock goes with its process"
    holder = signed_by(descriptor)
    if holder is None:
        return LockedError(f"another AML run uses the repository at {path.parent}", advice=advice)
    return LockedError(f"the repository at {path.parent} is in use; its last writer was {holder}", advice=advice)
