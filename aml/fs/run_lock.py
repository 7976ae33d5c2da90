"""One AML run at a time changes a given store: a flock that dies with its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aml.errors import LockedError
from aml.fs.access import explained
from aml.fs.flock import lock_within, open_lock_file
from aml.model.undecodable import UNDECODABLE

#: Where Linux tells of all locks.
_LOCKS = Path("/proc/locks")
#: How much of a lock file is read (bytes): names of operations and hosts are short.
_LONGEST_SIGNATURE = 4096


class Holder(msgspec.Struct, frozen=True):
    """Who runs: the operation, process id, host and start time (ISO 8601, UTC)."""

    operation: str
    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"aml {self.operation} (pid {self.pid} on {self.host}, started {self.started})"


@contextmanager
def run_lock(path: Path, operation: str, started: str, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold the run lock at ``path``.

    Raises LockedError, naming the holder, where another run keeps it for longer than ``timeout`` seconds.
    """
    with explained("lock", path):
        descriptor = open_lock_file(path)
    try:
        if not lock_within(descriptor, timeout):
            raise _locked(descriptor, path)
        sign(descriptor, path, operation, started)
        yield
    finally:
        os.close(descriptor)


def current_holder(path: Path) -> Holder | None:
    """Who holds the run lock at ``path`` now, as far as can be told without touching it; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        holder = signed_by(descriptor)
        inode = os.fstat(descriptor).st_ino
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # who signed may be over, and still alive: a program that uses AML, or another one with the same number
    return holder if holder is not None and _is_alive(holder) and _is_locked(inode) is not False else None


def _is_alive(holder: Holder) -> bool:
    if holder.host != os.uname().nodename:
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _is_locked(inode: int) -> bool | None:
    """Whether somebody has a flock on that inode; None where the system does not tell."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    held = (line.split() for line in lines if "->" not in line)
    return any(len(one) > 5 and one[1] == "FLOCK" and one[5].rpartition(":")[2] == str(inode) for one in held)


def sign(descriptor: int, path: Path, operation: str, started: str) -> None:
    """Write into a lock file whose lock was just taken that this process holds it. Raises FileAccessError."""
    with explained("write", path):
        os.ftruncate(descriptor, 0)
        holder = Holder(operation, os.getpid(), os.uname().nodename, started)
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)


def signed_by(descriptor: int) -> Holder | None:
    """Who signed a lock file last; None where nobody has yet, or a run was killed while it did. Raises OSError."""
    try:
        return msgspec.json.decode(os.pread(descriptor, _LONGEST_SIGNATURE, 0), type=Holder)
    except UNDECODABLE:
        return None


def _locked(descriptor: int, path: Path) -> LockedError:
    holder = signed_by(descriptor)
    if holder is None:
        return LockedError(f"another AML run holds {path}", advice="wait for it to end")
    return LockedError(f"{holder} is changing this store", advice="wait for it to end; the lock goes with its process")
