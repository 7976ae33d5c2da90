"""The lock folder that AML shares with the agents: taken, kept alive, proven, given back, and never stolen."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import aml
from aml.errors import ExitStatus, LockedError
from aml.fs.runtime_lock import LockPolicy, lock_path
from tests.support.live_writer import agent_lock
from tests.unit.fs.locking import beside, lock_of, make_lock, signature, start

# --- taking and giving back


def test_the_lock_is_a_folder_beside_the_file_and_goes_with_the_block(file: Path) -> None:
    with lock_of(file):
        assert file.with_name("patterns.json.lock").is_dir()
    assert os.listdir(file.parent) == ["patterns.json"]


def test_a_file_that_does_not_exist_yet_can_be_locked(tmp_path: Path) -> None:
    with lock_of(tmp_path / "new.json") as lock:
        lock.prove()
        assert (tmp_path / "new.json.lock").is_dir()
    assert os.listdir(tmp_path) == []


def test_the_lock_is_given_back_when_the_block_fails(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_of(file):
        raise ZeroDivisionError
    assert not lock_path(file).exists()


def test_the_defaults_keep_the_protocol_of_the_agents() -> None:
    """Renewed at least every 2 s, trusted for less than 5 s, taken over after 60 s and 20 s of watching, 1.5 s rest."""
    policy = LockPolicy()
    assert policy.timeout == 120
    assert policy.renew <= 2
    assert policy.trusted <= 5
    assert policy.stale >= 60
    assert policy.watch >= 20
    assert policy.rest >= 1.5


def test_a_lock_that_is_held_is_respected_by_an_agent(file: Path) -> None:
    with lock_of(file), pytest.raises(FileExistsError):
        lock_path(file).mkdir()


def test_nothing_is_ever_put_inside_the_folder_and_its_time_moves(file: Path) -> None:
    times = set()
    with lock_of(file):
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert os.listdir(lock_path(file)) == []
            times.add(lock_path(file).stat().st_mtime_ns)
            time.sleep(0.01)
    assert len(times) >= 4
    assert max(times) - min(times) > 200_000_000


def test_a_renewed_lock_looks_alive_to_agents(file: Path) -> None:
    with lock_of(file):
        time.sleep(0.4)
        assert abs(time.time() - lock_path(file).stat().st_mtime) < 0.3


def test_the_lock_is_not_made_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(aml.FileAccessError, match="gone"), lock_of(tmp_path / "gone" / "patterns.json"):
        pytest.fail("there is nothing to lock")


def test_no_descriptor_and_no_thread_is_left(file: Path) -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before, threads = open_descriptors(), threading.active_count()
    for _ in range(5):
        with lock_of(file):
            pass
    make_lock(file)
    with pytest.raises(LockedError), lock_of(file, LockPolicy(timeout=0, rest=0)):
        pass
    assert (open_descriptors(), threading.active_count()) == (before, threads)


def test_a_system_whose_mkdir_drops_the_sticky_bit_can_be_locked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems than Linux, and some file systems, keep only the permission bits of a new folder."""
    mkdir = os.mkdir
    monkeypatch.setattr(os, "mkdir", lambda path, mode=0o777: mkdir(path, mode & 0o777))
    with lock_of(file) as lock:
        lock.prove()
    assert not lock_path(file).exists()


# --- waiting for others


def test_a_live_lock_is_waited_for(file: Path) -> None:
    folder = make_lock(file)

    def give_back() -> None:
        time.sleep(0.3)
        folder.rmdir()

    began = time.monotonic()
    with beside(give_back), lock_of(file, LockPolicy(timeout=20, rest=0)) as lock:
        assert time.monotonic() - began >= 0.29
        lock.prove()


def test_a_lock_held_too_long_is_an_error_that_names_the_file_and_leaves_the_lock(file: Path) -> None:
    folder = make_lock(file)
    before = signature(folder)
    began = time.monotonic()
    with pytest.raises(LockedError, match=r"patterns\.json") as caught, lock_of(file):
        pytest.fail("somebody else holds it")
    assert 0.4 <= time.monotonic() - began < 5
    assert caught.value.status is ExitStatus.LOCKED
    assert str(folder) in caught.value.advice
    assert signature(folder) == before


def test_an_abandoned_lock_is_taken_over_after_it_was_watched(file: Path) -> None:
    make_lock(file, age=100)
    began = time.monotonic()
    with lock_of(file, LockPolicy(timeout=20, stale=60, watch=0.5, rest=0)) as lock:
        assert time.monotonic() - began >= 0.5
        lock.prove()
    assert not lock_path(file).exists()


def test_an_old_lock_is_not_taken_over_before_it_was_watched_long_enough(file: Path) -> None:
    """Its holder may just have been asleep together with the machine."""
    folder = make_lock(file, age=10_000)
    before = signature(folder)
    with pytest.raises(LockedError), lock_of(file, LockPolicy(timeout=0.3, stale=60, watch=5, rest=0)):
        pytest.fail("it was not watched long enough")
    assert signature(folder) == before


def test_a_lock_that_stands_still_but_is_young_is_not_taken_over(file: Path) -> None:
    """Newer agents renew every 15 s: standing still for a while means nothing."""
    folder = make_lock(file, age=40)
    before = signature(folder)
    with pytest.raises(LockedError), lock_of(file, LockPolicy(timeout=0.5, stale=60, watch=0.05, rest=0)):
        pytest.fail("it is not stale")
    assert signature(folder) == before


def test_an_old_lock_that_is_renewed_is_never_taken_over(file: Path) -> None:
    """Its holder's clock is an hour behind: the time looks old, but it moves."""
    folder = make_lock(file, age=3600)
    inode = folder.stat().st_ino
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.1):
            moment = time.time() - 3600
            os.utime(folder, (moment, moment))

    with beside(renew):
        try:
            with pytest.raises(LockedError), lock_of(file, LockPolicy(timeout=1.5, stale=60, watch=0.5, rest=0)):
                pytest.fail("its holder lives")
        finally:
            stop.set()
    assert folder.stat().st_ino == inode


def test_a_lock_with_a_time_in_the_future_is_not_taken_over(file: Path) -> None:
    folder = make_lock(file, age=-5000)
    before = signature(folder)
    with pytest.raises(LockedError), lock_of(file, LockPolicy(timeout=0.4, stale=60, watch=0.1, rest=0)):
        pytest.fail("it is not old")
    assert signature(folder) == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_refused_and_left(file: Path, kind: str) -> None:
    obstacle = lock_path(file)
    if kind == "file":
        obstacle.write_text("mine")
    else:
        obstacle.symlink_to("nowhere")
    os.utime(obstacle, (1, 1), follow_symlinks=False)
    before = signature(obstacle)
    began = time.monotonic()
    policy = LockPolicy(timeout=30, stale=0.1, watch=0.1, rest=0)
    with pytest.raises(LockedError, match="not a lock folder"), lock_of(file, policy):
        pytest.fail("it cannot be locked")
    assert time.monotonic() - began < 5, "waiting for it is vain"
    assert signature(obstacle) == before


_WATCHER = """
import sys
from pathlib import Path
from aml.fs.runtime_lock import LockPolicy, RuntimeLock
class NoNotes:
    will_hold = gave_back = could_not_remove = is_left_over = last_release = is_cancelled = lambda self, *_: None
with RuntimeLock(Path(sys.argv[1]), NoNotes(), LockPolicy(timeout=60, stale=1.0, watch=4.0, rest=0)):
    print("taken", flush=True)
"""


@pytest.mark.slow
def test_time_asleep_does_not_count_as_watching(file: Path) -> None:
    """The machine sleeps, agent and AML with it; AML wakes first and must not take the living agent's lock."""
    with agent_lock(file, refresh=60) as lock:
        before = signature(lock.folder)
        watcher = start(_WATCHER, str(file))
        try:
            time.sleep(0.8)
            watcher.send_signal(signal.SIGSTOP)
            time.sleep(4.2)
            watcher.send_signal(signal.SIGCONT)
            time.sleep(0.4)
            after = signature(lock.folder)
        finally:
            watcher.kill()
            watcher.communicate()
        assert after == before


# --- races


_RACER = """
import os, sys, time
from pathlib import Path
from aml.errors import LockedError
from aml.fs.runtime_lock import LockPolicy, RuntimeLock
class NoNotes:
    will_hold = gave_back = could_not_remove = is_left_over = last_release = is_cancelled = lambda self, *_: None
file, marker, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for _ in range(rounds):
    with RuntimeLock(file, NoNotes(), LockPolicy(timeout=60, rest=0, poll=0.001)) as lock:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        lock.prove()
        file.write_text(str(int(file.read_text()) + 1))
        os.unlink(marker)
"""


def test_there_are_never_two_holders_among_processes(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    racers = [start(_RACER, str(counter), str(tmp_path / "inside"), "60") for _ in range(3)]
    assert [racer.wait(timeout=100) for racer in racers] == [0, 0, 0]
    for racer in racers:
        racer.communicate()
    assert counter.read_text() == "180"
    assert os.listdir(tmp_path) == ["counter"]


def test_there_are_never_two_holders_among_threads(file: Path) -> None:
    inside: list[int] = []
    crowded: list[int] = []

    def race() -> None:
        for _ in range(40):
            with lock_of(file, LockPolicy(timeout=60, rest=0, poll=0.001)):
                inside.append(1)
                if len(inside) > 1:
                    crowded.append(len(inside))
                inside.pop()

    with beside(race), beside(race):
        race()
    assert crowded == []


def test_one_of_two_takes_an_abandoned_lock_over(file: Path) -> None:
    make_lock(file, age=100)
    policy = LockPolicy(timeout=20, stale=60, watch=0.3, rest=0, poll=0.001)
    inside: list[int] = []
    most: list[int] = []

    def race() -> None:
        with lock_of(file, policy) as lock:
            inside.append(1)
            time.sleep(0.1)
            most.append(len(inside))
            inside.pop()
            lock.prove()

    with beside(race):
        race()
    assert most == [1, 1]
