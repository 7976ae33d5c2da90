"""Changing one record file under the runtime's lock: read, replace, read back."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from aml.codec.compression import pack
from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus, FileAccessError
from aml.fs.access import explained
from aml.fs.durable import make_folder, move_durably, remove_durably, replace_durably, write_durably
from aml.fs.files import is_there, stat_if_there
from aml.fs.runtime_lock import LockNotes, LockPolicy, RuntimeLock
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import (
    Content,
    Digest,
    Fingerprint,
    fingerprint,
    identity,
    read_content,
    read_digest,
    read_fast_digest,
    reads_as,
    refuse_link,
)

Outcome = TypeVar("Outcome")

#: How often a file is tried that somebody changes in the very moment of writing.
_ATTEMPTS = 3

#: Where a file does not read back that records were taken out of.
_IN_ARCHIVE = "everything removed is in the archive, and aml prune undo puts it back"


class Transaction:
    """One record file, locked against agents for as long as the transaction lasts."""

    def __init__(self, store: Store, file: RecordFile, lock: RuntimeLock) -> None:
        self._store = store
        self._file = file
        self._lock = lock

    def read(self) -> Content:
        return read_content(self._file, self._store.max_unpacked_bytes)

    def read_if_there(self) -> Content | None:
        return self.peek(self._store, self._file)

    @staticmethod
    def peek(store: Store, file: RecordFile) -> Content | None:
        """The content of a file without its lock, or None where there is no such file."""
        return read_content(file, store.max_unpacked_bytes) if is_there(file.path) else None

    def create(self, text: bytes) -> int:
        """Make a file that is not there, in the form that the agent's other files have; returns its bytes on disk."""
        data = self.formed(text)
        self.create_as(data)
        return len(data)

    def formed(self, text: bytes) -> bytes:
        """``text`` in the form that the agent's other files have, of those that can be read."""
        for other in self._store.record_files(self._file.agent):
            with suppress(DamagedError, FileAccessError, ChangedError):
                content = self.peek(self._store, other)
                if content is not None and content.form == "gzip":
                    return pack(text)
        return text

    def create_as(self, data: bytes, path: Path | None = None, *, mode: int | None = None) -> None:
        """Make the file, or another one beside it that nobody locks, with just these bytes; the folder tells the mode.

        Raises ChangedError where something of that name is there, FileAccessError.
        """
        path = path or self._file.path

        def prove() -> None:
            if is_there(path):
                raise ChangedError(f"{path} was made without its lock while AML held it")
            self._lock.prove()

        if mode is None:
            with explained("write", path):
                mode = stat.S_IMODE(os.stat(path.parent).st_mode) & 0o666
        write_durably(path, data, mode=mode, proof=prove)

    def replace(self, before: Content, text: bytes) -> int:
        """Put ``text`` in place of ``before``, in the same form, and read it back; returns its bytes on disk.

        Raises ChangedError where the lock was lost or the file is no longer ``before``, and only then: it says that
        nothing was written.
        """
        data = before.rewritten(text)
        self.replace_as(before, data)
        return len(data)

    def replace_as(self, before: Content, data: bytes) -> None:
        """The same with just these bytes, in whatever form they are."""
        put = replace_durably(self._file.path, data, before.stat, lambda: self._prove_unchanged(before))
        self._read_back(lambda: reads_as(self._file, data), put, _IN_ARCHIVE)

    def digest(self) -> Digest:
        """What the file holds, by its SHA-256 alone."""
        return read_digest(self._file)

    def seen_as(self, seen: Fingerprint, sha256: str) -> Digest:
        """What the file holds, as another process has read it. Raises ChangedError where it is not that file now."""
        with explained("look at", self._file.path):
            found = os.stat(self._file.path, follow_symlinks=False)
        if fingerprint(found) != seen:
            raise self._changed(self._file.path)
        return Digest(self._file, sha256, found)

    def move_in(self, before: Digest, ready: Path, sha256: str) -> None:
        """Move the file ``ready``, of the same file system, in place of ``before``, and read it back by its SHA-256.

        Raises as ``replace`` does.
        """

        def is_there() -> tuple[bool, os.stat_result]:
            found = self.digest()
            return found.sha256 == sha256, found.stat

        self._move_in(before, ready, is_there, "what it held is in quarantine")

    def move_in_fast(self, before: Digest, ready: Path, digest: bytes) -> None:
        """The same by its ``fast_digest``, for what is without the records that went to an archive."""

        def is_there() -> tuple[bool, os.stat_result]:
            found, about = read_fast_digest(self._file)
            return found == digest, about

        self._move_in(before, ready, is_there, _IN_ARCHIVE)

    def _move_in(
        self, before: Digest, ready: Path, is_there: Callable[[], tuple[bool, os.stat_result]], advice: str
    ) -> None:
        put = move_durably(ready, self._file.path, before.stat, lambda: self._prove_unchanged(before))
        self._read_back(is_there, put, advice)

    def repack(self, before: Content, data: bytes) -> int:
        """Put ``data``, the text of ``before`` in another form, in its place, and read it back; returns its size.

        What the file says is as old as it was, and so is the file: its modification time stays. Raises as ``replace``.
        """
        path = self._file.path
        put = replace_durably(path, data, before.stat, lambda: self._prove_unchanged(before), keep_time=True)
        self._read_back(lambda: reads_as(self._file, data), put, "a backup made before holds the file")
        return len(data)

    def remove(self, before: Content) -> None:
        """Remove the file that ``before`` was read from: the locked one, or one beside it that nobody locks.

        Raises ChangedError where it is no longer ``before`` or the lock was lost, FileAccessError.
        """
        self._prove_unchanged(before)
        remove_durably(before.file.path)

    def _prove_unchanged(self, before: Content | Digest) -> None:
        # an editor that knows no locks may have written since
        found = stat_if_there(before.file.path)
        if found is None or fingerprint(found) != fingerprint(before.stat):
            raise self._changed(before.file.path)
        self._lock.prove()

    @staticmethod
    def _changed(path: Path) -> ChangedError:
        return ChangedError(f"{path} was changed without its lock while AML held it")

    def _read_back(self, is_there: Callable[[], tuple[bool, os.stat_result]], put: os.stat_result, advice: str) -> None:
        """Raise FileAccessError where the file put in place holds other bytes than were written.

        A file that somebody has replaced or edited since is no sign of that: whoever did has read what AML put there.
        """
        try:
            same, about = is_there()
        except (ChangedError, DamagedError):
            return
        if not same and identity(about) == identity(put):
            raise FileAccessError(
                f"{self._file.path} does not read back as it was written", advice=f"check the disk; {advice}"
            )


def with_attempts(work: Callable[[], Outcome], left_alone: Callable[[AmlError, ExitStatus], Outcome]) -> Outcome:
    """What came of ``work`` on one file, which is tried again where somebody changes it in the moment of writing.

    An error becomes what ``left_alone`` makes of it and of the status that it is worth.
    """
    for left in reversed(range(_ATTEMPTS)):
        try:
            return work()
        except ChangedError as error:
            if not left:
                return left_alone(error, ExitStatus.PARTIAL)
        except AmlError as error:
            return left_alone(error, error.status)
    raise AssertionError("unreachable: the last attempt returns")


@contextmanager
def transaction(store: Store, file: RecordFile, notes: LockNotes, policy: LockPolicy) -> Iterator[Transaction]:
    """Lock ``file`` as the agents' runtime does; an agent's folder that is gone is made again.

    Raises LockedError where an agent keeps it past the timeout, DamagedError where the agent's folder is a link.
    """
    folder = file.path.parent
    if not is_there(folder):
        # an agent may make it in the same moment
        with explained("create", folder), suppress(FileExistsError):
            make_folder(folder, stat.S_IMODE(os.stat(store.root).st_mode))
    refuse_link(folder)
    with RuntimeLock(file.path, notes, policy) as lock:
        yield Transaction(store, file, lock)
