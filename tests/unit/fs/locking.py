"""Impatient runtime locks, locks of others, and waiting for something to happen."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aml
from aml.fs.runtime_lock import LockPolicy, RuntimeLock, lock_path

QUICK = LockPolicy(timeout=0.4, renew=0.05, trusted=2.0, stale=5.0, watch=0.2, rest=0, poll=0.01)


class NoNotes:
    """Notes that nobody reads."""

    def will_hold(self, lock: Path, mtime_ns: int) -> None:
        """Nothing is remembered."""

    def gave_back(self, lock: Path) -> None:
        """Nothing is remembered."""

    def could_not_remove(self, lock: Path) -> None:
        """Nothing is remembered."""

    def is_left_over(self, lock: Path) -> bool:
        return False

    def last_release(self, lock: Path) -> float | None:
        return None

    def cancel(self) -> None:
        """Nothing waits."""

    def is_cancelled(self) -> bool:
        return False


def lock_of(file: Path, policy: LockPolicy = QUICK) -> RuntimeLock:
    return RuntimeLock(file, NoNotes(), policy)


def make_lock(file: Path, *, age: float = 0.0) -> Path:
    """A lock folder of somebody else's, last renewed ``age`` seconds ago."""
    folder = lock_path(file)
    folder.mkdir()
    moment = time.time() - age
    os.utime(folder, (moment, moment))
    return folder


def signature(folder: Path) -> tuple[int, int, int]:
    """What must not change about a stranger's lock: which folder it is, its mode, its modification time."""
    found = folder.lstat()
    return (found.st_ino, found.st_mode, found.st_mtime_ns)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def start(program: str, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(aml.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *words], env=environment, stdout=subprocess.PIPE, text=True
    )
