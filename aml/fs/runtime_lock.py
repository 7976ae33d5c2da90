"""The lock of the agents' runtime: a folder ``<file>.lock``, made by mkdir and kept alive by its modification time.

The runtime takes a lock over that it believes to be dead, so holding one is a claim to be renewed and proven:

- a thread renews the modification time about every second;
- just before a result is put in place, and again before the lock is given back, ``prove`` checks that the folder is
  still the one made here, that nobody else touched it, and that the last renewal is recent by a clock that counts
  suspended time. A folder's inode is reused once it is gone, but not while it is held open, so an open descriptor
  tells "still mine" from "made anew by somebody else", and renewing through it never touches a stranger's lock.

A lock of somebody else's is taken over only if it is over a minute old and stands still while it is watched.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from aml.errors import ChangedError, FileAccessError, LockedError
from aml.fs.access import explained
from aml.fs.parallel import begun

#: Set on AML's lock folders by mkdir itself, so that a crashed run's lock is known for its own without a doubt.
_OWN_MODE = 0o1755

_NANO = 1_000_000_000

#: Seconds between two looks at a stranger's lock that count as watching it.
_LONGEST_GLANCE = 1.0


class LockPolicy(Struct, frozen=True):
    """Patience, all in seconds."""

    timeout: float = 120.0
    renew: float = 1.0
    trusted: float = 5.0
    stale: float = 60.0
    watch: float = 20.0
    rest: float = 1.5
    poll: float = 0.05


class LockNotes(Protocol):
    """Where a run writes down its locks, so that the next one can clear those of a run that crashed."""

    def will_hold(self, lock: Path, mtime_ns: int) -> None:
        """Called before the lock is made or renewed with that modification time."""

    def gave_back(self, lock: Path) -> None:
        """Called after the lock was removed."""

    def could_not_remove(self, lock: Path) -> None:
        """Called where the lock was to be given back, and the system refused it."""

    def is_left_over(self, lock: Path) -> bool:
        """Whether that lock of this run could not be removed."""

    def last_release(self, lock: Path) -> float | None:
        """When this run or the one before gave the lock back: seconds since 1970 UTC."""

    def cancel(self) -> None:
        """Have every wait for a lock given up, since the run was interrupted."""

    def is_cancelled(self) -> bool: ...


def lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


class RuntimeLock:
    """A context manager that holds the runtime's lock on one file. Raises LockedError after ``policy.timeout``."""

    def __init__(self, path: Path, notes: LockNotes, policy: LockPolicy) -> None:
        self._file = path
        self._folder = lock_path(path)
        self._notes = notes
        self._policy = policy
        self._descriptor = -1
        self._mtime_ns = 0
        self._renewed = 0.0
        self._lost = False
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RuntimeLock:
        self._rest()
        self._acquire()
        try:
            self._thread = begun(threading.Thread(target=self._keep_alive, name="aml-lock", daemon=True))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            with self._guard:
                if self._is_mine():
                    self._remove()
        finally:
            os.close(self._descriptor)

    def prove(self) -> None:
        """Raise ChangedError unless the lock is certainly still held."""
        with self._guard:
            if not self._is_mine():
                raise ChangedError(
                    f"the lock on {self._file} was lost while this process was held up, so nothing was written",
                    advice="run the command again",
                )

    def _rest(self) -> None:
        """Leave a file alone for a while after its last release: agents back off for a second before they retry."""
        released = self._notes.last_release(self._folder)
        if released is not None:
            since = time.time() - released
            if 0 <= since < self._policy.rest:
                time.sleep(self._policy.rest - since)

    def _acquire(self) -> None:
        if self._notes.is_left_over(self._folder):
            self._remove_leftover()
        deadline = boot_time() + self._policy.timeout
        watched: _Watched | None = None
        while os.path.lexists(self._folder) or not self._try_to_make():
            watched = _Watched.look(self._folder, watched)
            if watched is not None and watched.is_abandoned(self._policy):
                self._clear_abandoned(watched)
                watched = None
                continue
            if self._notes.is_cancelled():
                raise LockedError(f"{self._file} was not waited for any longer, since the run was interrupted")
            if boot_time() >= deadline:
                raise LockedError(
                    f"{self._file} stayed locked by an agent for {self._policy.timeout:g} s",
                    advice=f"try again when it is idle, or wait longer with --lock-timeout; the lock is {self._folder}",
                )
            time.sleep(self._policy.poll)

    def _remove_leftover(self) -> None:
        """Remove the folder of a lock that this run could not give back: to wait for itself would take for ever."""
        with suppress(FileNotFoundError):
            if os.stat(self._folder, follow_symlinks=False).st_mode & stat.S_ISVTX:
                self._remove()

    def _try_to_make(self) -> bool:
        # taken before the time that the folder will show, so that a delay in between counts against this lock
        renewed = boot_time()
        mtime_ns = time.time_ns()
        self._notes.will_hold(self._folder, mtime_ns)
        with explained("lock", self._file):
            try:
                os.mkdir(self._folder, _OWN_MODE)
            except FileExistsError:
                self._notes.gave_back(self._folder)
                return False
            descriptor = self._open_made(renewed)
            if descriptor is None:
                return False
            try:
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                self._mtime_ns = os.fstat(descriptor).st_mtime_ns
            except OSError:
                os.close(descriptor)
                self._remove()
                raise
        self._descriptor = descriptor
        self._renewed = renewed
        return True

    def _open_made(self, made: float) -> int | None:
        """Open the folder just made; None where so much time has passed that it may be a stranger's by now."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            self._remove()
            raise
        if boot_time() - made >= self._policy.trusted:
            os.close(descriptor)
            return None
        return descriptor

    def _clear_abandoned(self, watched: _Watched) -> None:
        again = _Watched.look(self._folder, watched)
        if again is None or again.mtime_ns != watched.mtime_ns:
            return
        with explained("take over the abandoned lock", self._folder):
            try:
                os.rmdir(self._folder)
            except FileNotFoundError:
                return

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._policy.renew):
            with self._guard:
                if not self._is_mine():
                    self._lost = True
                    return
                renewed = boot_time()
                mtime_ns = time.time_ns()
                try:
                    self._notes.will_hold(self._folder, mtime_ns)
                    os.utime(self._descriptor, ns=(mtime_ns, mtime_ns))
                    self._mtime_ns = os.fstat(self._descriptor).st_mtime_ns
                except OSError:
                    self._lost = True
                    return
                self._renewed = renewed

    def _is_mine(self) -> bool:
        if self._lost or boot_time() - self._renewed >= self._policy.trusted:
            self._lost = True
            return False
        try:
            there = os.stat(self._folder, follow_symlinks=False)
        except OSError:
            self._lost = True
            return False
        mine = os.fstat(self._descriptor)
        same = (there.st_dev, there.st_ino, there.st_mtime_ns) == (mine.st_dev, mine.st_ino, self._mtime_ns)
        self._lost = not same
        return same

    def _remove(self) -> None:
        try:
            with explained("unlock", self._file), suppress(FileNotFoundError):
                os.rmdir(self._folder)
        except FileAccessError:
            self._notes.could_not_remove(self._folder)
            raise
        self._notes.gave_back(self._folder)


class _Watched(Struct, frozen=True):
    """A lock of somebody else's: its modification time, and for how long it has been seen to stand still (seconds)."""

    mtime_ns: int
    looked: float
    still: float = 0.0

    @classmethod
    def look(cls, folder: Path, before: _Watched | None) -> _Watched | None:
        try:
            found = os.stat(folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            raise LockedError(
                f"{folder} is not a lock folder, so agents cannot lock that file either",
                advice="find out what made it, and move it away",
            )
        now = boot_time()
        if before is not None and before.mtime_ns == found.st_mtime_ns:
            # time that this process or the whole machine slept through was not spent watching
            return cls(before.mtime_ns, now, before.still + min(now - before.looked, _LONGEST_GLANCE))
        return cls(found.st_mtime_ns, now)

    def is_abandoned(self, policy: LockPolicy) -> bool:
        age = time.time() - self.mtime_ns / _NANO
        return age > policy.stale and self.still > policy.watch


def remove_own_lock(lock: Path, mtimes_ns: frozenset[int]) -> None:
    """Remove a crashed AML run's lock folder; one that somebody else made meanwhile is left alone.

    Raises FileAccessError where the folder cannot be removed, such as when somebody put a file into it.
    """
    try:
        found = os.stat(lock, follow_symlinks=False)
    except OSError:
        return
    own = found.st_mtime_ns in mtimes_ns or stat.S_IMODE(found.st_mode) & stat.S_ISVTX
    if own and stat.S_ISDIR(found.st_mode):
        with explained("remove the lock of a crashed run,", lock):
            os.rmdir(lock)


def boot_time() -> float:
    """Seconds by a clock that never steps and goes on while the machine or the process sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
