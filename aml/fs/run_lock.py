"""One AML run at a time changes a given store: a flock that dies with its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aml.errors import LockedError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of
from aml.fs.flock import lock_within
from aml.model.undecodable import UNDECODABLE

#: Where Linux tells of all locks.
_LOCKS = Path("/proc/locks")


class Holder(msgspec.Struct, frozen=True):
    """Who runs: the operation, process id, host and start time (ISO 8601, UTC)."""

    operation: str
    pid: int
    host: str
    started: str


@contextmanager
def run_lock(path: Path, operation: str, started: str, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold the run lock at ``path``.

    Raises LockedError, naming the holder, where another run keeps it for longer than ``timeout`` seconds.
    """
    with explained("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        if not lock_within(descriptor, timeout):
            raise _locked(descriptor, path)
        _sign(descriptor, path, Holder(operation, os.getpid(), os.uname().nodename, started))
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
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
        inode = os.fstat(descriptor).st_ino
    except OSError:
        return None
    except UNDECODABLE:
        return None
    finally:
        os.close(descriptor)
    # who signed may be over, and still alive: a program that uses AML, or another one with the same number
    return holder if _is_alive(holder) and _is_locked(inode) is not False else None


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


def _sign(descriptor: int, path: Path, holder: Holder) -> None:
    with explained("write", path):
        give_to_owner_of(path.parent, descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)


def _locked(descriptor: int, path: Path) -> LockedError:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except UNDECODABLE:
        # between taking the lock and signing it, or a run killed in between
        return LockedError(f"another AML run holds {path}", advice="wait for it to end")
    return LockedError(
        f"aml {holder.operation} (pid {holder.pid} on {holder.host}, started {holder.started}) is changing this store",
        advice="wait for it to end; the lock goes with its process",
    )
