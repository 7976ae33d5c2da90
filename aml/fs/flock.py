"""Locks between AML's own processes: a flock dies with its process, so there is never one to be cleared away."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aml.errors import FileAccessError, LockedError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of

_POLL_SECONDS = 0.02


def lock_within(descriptor: int, seconds: float, *, exclusive: bool = True, poll: float = _POLL_SECONDS) -> bool:
    """Take the lock on an open file, waiting so many seconds for it; False where somebody kept it longer.

    It is looked for every ``poll`` seconds."""
    wanted = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, wanted | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(poll)
        else:
            return True


def open_lock_file(path: Path, access: int = os.O_RDWR) -> int:
    """Open a file that is there to be locked (``access`` is O_RDWR or O_RDONLY), made private where it is missing.

    Raises OSError, also for a link, and FileAccessError for a pipe or device, which is never waited for.
    """
    flags = access | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileAccessError(f"cannot lock {path}: it is not a regular file", advice="move it away")
        give_to_owner_of(path.parent, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def file_lock(path: Path, seconds: float, *, taken: str, advice: str = "") -> Iterator[None]:
    """Keep other processes out while the context lasts, by the lock on a file that is there for nothing else.

    Raises LockedError, with the message ``taken``, where one of them keeps it for longer than ``seconds``;
    FileAccessError.
    """
    with explained("lock", path):
        descriptor = open_lock_file(path)
    try:
        if not lock_within(descriptor, seconds):
            raise LockedError(taken, advice=advice)
        yield
    finally:
        os.close(descriptor)
