"""Waiting for a flock: it dies with its process, so there is never one to be cleared away."""

from __future__ import annotations

import fcntl
import time

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
