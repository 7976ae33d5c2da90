"""The runtime's lock where somebody takes it over, changes it, or might have: it proves nothing any more."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ChangedError, LockedError
from aml.fs.runtime_lock import LockPolicy, RuntimeLock, lock_path
from tests.unit.fs.locking import QUICK, NoNotes, lock_of, signature


def take_over(folder: Path, *, mtime_ns: int | None = None) -> tuple[int, int, int]:
    """What an agent does with a lock that it holds for dead."""
    folder.rmdir()
    folder.mkdir()
    if mtime_ns is not None:
        os.utime(folder, ns=(mtime_ns, mtime_ns))
    return signature(folder)


SLOW_TO_RENEW = LockPolicy(timeout=0.4, renew=30, trusted=20, rest=0, poll=0.01)


@pytest.mark.parametrize("policy", [QUICK, SLOW_TO_RENEW], ids=["renewing", "between renewals"])
def test_a_lock_that_was_taken_over_proves_nothing_and_is_left_alone(file: Path, policy: LockPolicy) -> None:
    with lock_of(file, policy) as lock:
        lock.prove()
        stranger = take_over(lock_path(file))
        with pytest.raises(ChangedError, match="nothing was written"):
            lock.prove()
        time.sleep(0.3)
        assert signature(lock_path(file)) == stranger
    assert signature(lock_path(file)) == stranger


def test_a_lock_made_anew_with_the_same_time_is_still_a_strangers(file: Path) -> None:
    with lock_of(file, SLOW_TO_RENEW) as lock:
        stranger = take_over(lock_path(file), mtime_ns=lock_path(file).stat().st_mtime_ns)
        with pytest.raises(ChangedError):
            lock.prove()
    assert signature(lock_path(file)) == stranger


def test_a_lock_whose_time_somebody_else_set_counts_as_lost(file: Path) -> None:
    with lock_of(file, SLOW_TO_RENEW) as lock:
        os.utime(lock_path(file), (1_700_000_000, 1_700_000_000))
        touched = signature(lock_path(file))
        with pytest.raises(ChangedError):
            lock.prove()
    assert signature(lock_path(file)) == touched


def test_a_lock_that_vanished_is_not_made_again(file: Path) -> None:
    with lock_of(file) as lock:
        lock_path(file).rmdir()
        with pytest.raises(ChangedError):
            lock.prove()
        time.sleep(0.2)
    assert not lock_path(file).exists()


def test_a_lock_that_was_lost_once_stays_lost(file: Path) -> None:
    """Even if everything looks as before again: somebody may have written in between."""
    with lock_of(file, SLOW_TO_RENEW) as lock:
        before = lock_path(file).stat().st_mtime_ns
        os.utime(lock_path(file), ns=(before + 1, before + 1))
        with pytest.raises(ChangedError):
            lock.prove()
        os.utime(lock_path(file), ns=(before, before))
        with pytest.raises(ChangedError):
            lock.prove()


def test_a_stranger_who_came_unnoticed_is_left_alone_at_the_end(file: Path) -> None:
    with lock_of(file, SLOW_TO_RENEW):
        stranger = take_over(lock_path(file))
    assert signature(lock_path(file)) == stranger


def test_a_lock_that_was_not_renewed_for_too_long_proves_nothing_and_is_left(file: Path) -> None:
    """An agent may be about to take it over, so it is as good as lost."""
    with lock_of(file, LockPolicy(renew=30, trusted=0.3, rest=0)) as lock:
        lock.prove()
        before = signature(lock_path(file))
        time.sleep(0.35)
        with pytest.raises(ChangedError):
            lock.prove()
    assert signature(lock_path(file)) == before


class HeldUp(NoNotes):
    """Notes on a disk that takes very long over the n-th of them."""

    def __init__(self, number: int, seconds: float) -> None:
        self._left, self._seconds = number, seconds
        self.done = threading.Event()

    def will_hold(self, lock: Path, mtime_ns: int) -> None:
        self._left -= 1
        if self._left == 0:
            time.sleep(self._seconds)
            self.done.set()


@pytest.mark.parametrize("number", [1, 2], ids=["when made", "when renewed"])
def test_a_renewal_that_came_late_proves_nothing(file: Path, number: int) -> None:
    """The time that it set was old by then: agents see a lock that is long dead."""
    notes = HeldUp(number, seconds=1.0)
    with RuntimeLock(file, notes, LockPolicy(renew=0.2, trusted=0.8, rest=0, stale=1.2, watch=0.3)) as lock:
        notes.done.wait(10)
        age = time.time() - lock_path(file).stat().st_mtime
        try:
            lock.prove()
        except ChangedError:
            return
        assert age < 0.8, f"proven by a time that was {age:.2f} s old"


@pytest.mark.parametrize("sticky", [True, False])
def test_a_lock_taken_over_before_it_was_opened_is_not_touched(
    file: Path, monkeypatch: pytest.MonkeyPatch, sticky: bool
) -> None:
    """Held up right after mkdir for longer than it may be: the folder that is there then is a stranger's."""
    policy = LockPolicy(timeout=0.3, renew=0.05, trusted=0.5, rest=0, poll=0.01)
    strangers: list[tuple[int, int, int]] = []
    open_, mkdir = os.open, os.mkdir

    def open_late(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if Path(path) == lock_path(file) and not strangers:
            time.sleep(0.6)
            os.rmdir(path)
            mkdir(path)
            strangers.append(signature(lock_path(file)))
        return open_(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", open_late)
    if not sticky:
        monkeypatch.setattr(os, "mkdir", lambda path, mode=0o777: mkdir(path, mode & 0o777))
    with pytest.raises((LockedError, ChangedError)), lock_of(file, policy) as lock:
        lock.prove()
    assert strangers
    assert signature(lock_path(file)) == strangers[0]
