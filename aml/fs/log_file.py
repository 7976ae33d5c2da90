"""A file of lines that several processes write at once, and that is replaced before it grows too large."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from aml.errors import FileAccessError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of, write_all
from aml.fs.files import is_at
from aml.fs.flock import lock_within

#: Whoever holds the lock writes some lines and lets go of it: one that keeps it longer (seconds) is stuck.
_LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.001

#: What every line begins with, and so a log that is not empty.
_BEGIN = b"{"

_STREAMS = (Path("/dev"), Path("/dev/fd"))


class LogFile(Struct, frozen=True):
    """A log at ``path``, in which each line is one JSON object.

    It is replaced before it exceeds ``max_bytes`` (0: never); then it is PATH.1, the one before PATH.2, and so on up to
    ``keep``. The lock is on the file itself, and belongs to whoever finds the same file at the path after taking it.
    """

    path: Path
    max_bytes: int
    keep: int

    def append(self, lines: Iterable[bytes]) -> None:
        """Add whole lines, each by one call. Raises FileAccessError; a line that does not fit is not begun."""
        with explained("write", self.path):
            waiting = list(lines)
            while waiting:
                with self._opened() as descriptor:
                    state = os.fstat(descriptor)
                    if stat.S_ISREG(state.st_mode) and not self._is_stream:
                        waiting = self._write(descriptor, state, waiting)
                    else:
                        write_all(descriptor, b"".join(waiting))
                        waiting = []

    @property
    def _is_stream(self) -> bool:
        """Whether the path is a name for an open stream, such as /dev/stderr, whatever that leads to."""
        return self.path.parent in _STREAMS or Path("/proc") in self.path.parents

    def _write(self, descriptor: int, state: os.stat_result, lines: list[bytes]) -> list[bytes]:
        """Write what this file has room for; returns the rest, for the file that is to take its place."""
        size = state.st_size
        self._refuse_other_files(descriptor, size)
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # a power cut left half a line
            size = _append_whole(descriptor, b"\n", size)
        for number, line in enumerate(lines):
            is_full = self.max_bytes and size and size + len(line) > self.max_bytes
            if is_full and self._makes_way(state):
                return lines[number:]
            size = _append_whole(descriptor, line, size)
        return []

    def _refuse_other_files(self, descriptor: int, size: int) -> None:
        if size and os.pread(descriptor, 1, 0) != _BEGIN:
            raise FileAccessError(f"{self.path} is no log: its first line is not JSON", advice="name another file")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file at the path, under its lock; made if it is not there. Raises OSError, FileAccessError."""
        while True:
            descriptor = self._open()
            try:
                if self._is_stream or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    yield descriptor
                    return
                if not lock_within(descriptor, _LOCK_SECONDS, poll=_POLL_SECONDS):
                    raise FileAccessError(
                        f"cannot write {self.path}: another process keeps it locked", advice="see who has it open"
                    )
                if is_at(descriptor, self.path):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        if self._is_stream:
            return os.open(self.path, os.O_WRONLY | flags)
        if self.path.is_symlink():
            # in a folder that others write to it may lead anywhere
            raise FileAccessError(f"cannot write {self.path}: it is a link", advice="name the file itself")
        flags |= os.O_RDWR | os.O_NOFOLLOW
        while True:
            with suppress(FileNotFoundError):
                return os.open(self.path, flags)
            with suppress(FileExistsError):
                descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
                give_to_owner_of(self.path.parent, descriptor)
                return descriptor

    def _makes_way(self, state: os.stat_result) -> bool:
        """Make way for a new file, with the rights of the one that was described. The lock on that one is held.

        Who may write the file but not its folder goes on with the one that there is, and others rotate it.
        """
        try:
            for number in range(self.keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.rename(self._old(number), self._old(number + 1))
            if self.keep:
                os.rename(self.path, self._old(1))
            else:
                os.unlink(self.path)
        except PermissionError:
            return False
        descriptor = self._open()
        try:
            # whoever collects the log may read the new one as well
            os.fchmod(descriptor, stat.S_IMODE(state.st_mode))
            with suppress(PermissionError):
                os.fchown(descriptor, state.st_uid, state.st_gid)
        finally:
            os.close(descriptor)
        return True

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _append_whole(descriptor: int, line: bytes, size: int) -> int:
    """Write a line by one call; returns the size of the file then. What was written of it in part is taken back."""
    written = os.write(descriptor, line)
    if written != len(line):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return size + written
