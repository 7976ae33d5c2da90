"""The lock folder that AML shares with the agents: taken, kept alive, proven, given back, and never stolen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import aml
from aml.errors import ChangedError, ExitStatus, LockedError
from aml.fs.runtime_lock import LockPolicy, RuntimeLock, lock_path, remove_own_lock
from aml.ledger.state import FileLockNotes, lock_notes, prepare_folder
from aml.store.open import Store, open_store
from tests.support.live_writer import agent_lock

QUICK = LockPolicy(timeout=0.4, renew=0.05, trusted=2.0, stale=5.0, watch=0.2, rest=0, poll=0.01)


class NoNotes:
    """Notes that nobody reads."""

    def will_hold(self, lock: Path, mtime_ns: int) -> None:
        """Nothing is remembered."""

    def gave_back(self, lock: Path) -> None:
        """Nothing is remembered."""

    def last_release(self, lock: Path) -> float | None:
        return None

    def cancel(self) -> None:
        """Nothing waits."""

    def is_cancelled(self) -> bool:
        return False


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "patterns.json"
    path.write_text("[]")
    return path


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
    will_hold = gave_back = last_release = is_cancelled = lambda self, *_: None
with RuntimeLock(Path(sys.argv[1]), NoNotes(), LockPolicy(timeout=60, stale=1.0, watch=4.0, rest=0)):
    print("taken", flush=True)
"""


def start(program: str, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(aml.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *words], env=environment, stdout=subprocess.PIPE, text=True
    )


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


# --- being overtaken


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


# --- rest after a release


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / "memory"
    for agent in ("alpha", "beta"):
        (folder / agent).mkdir(parents=True)
        (folder / agent / "patterns.json").write_text("[]")
    opened = open_store(folder)
    prepare_folder(opened.state)
    return opened


def patterns(store: Store, agent: str = "alpha") -> Path:
    return store.root / agent / "patterns.json"


def seconds_to_lock(file: Path, notes: FileLockNotes, policy: LockPolicy) -> float:
    began = time.monotonic()
    with RuntimeLock(file, notes, policy):
        return time.monotonic() - began


RESTING = LockPolicy(rest=0.6)


def test_a_file_rests_after_its_release_so_that_agents_get_their_turn(store: Store) -> None:
    with lock_notes(store) as notes:
        assert seconds_to_lock(patterns(store), notes, RESTING) < 0.3
        assert seconds_to_lock(patterns(store), notes, RESTING) >= 0.5
        assert seconds_to_lock(patterns(store, "beta"), notes, RESTING) < 0.3


def test_the_rest_holds_from_one_run_to_the_next(store: Store) -> None:
    with lock_notes(store) as notes:
        seconds_to_lock(patterns(store), notes, RESTING)
    with lock_notes(store) as notes:
        assert seconds_to_lock(patterns(store), notes, RESTING) >= 0.5


def test_the_rest_survives_a_run_that_locked_nothing(store: Store) -> None:
    with lock_notes(store) as notes:
        seconds_to_lock(patterns(store), notes, RESTING)
    with lock_notes(store):
        pass
    with lock_notes(store) as notes:
        assert seconds_to_lock(patterns(store), notes, RESTING) >= 0.5


def test_the_lock_is_free_for_agents_while_it_rests(store: Store) -> None:
    with lock_notes(store) as notes:
        seconds_to_lock(patterns(store), notes, RESTING)
        with beside(lambda: seconds_to_lock(patterns(store), notes, RESTING) and None), agent_lock(patterns(store)):
            time.sleep(0.1)


# --- races


_RACER = """
import os, sys, time
from pathlib import Path
from aml.errors import LockedError
from aml.fs.runtime_lock import LockPolicy, RuntimeLock
class NoNotes:
    will_hold = gave_back = last_release = is_cancelled = lambda self, *_: None
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


# --- crashed runs


_CRASHING = """
import os, signal, sys
from pathlib import Path
from aml.fs.runtime_lock import LockPolicy, RuntimeLock
from aml.ledger.state import lock_notes
from aml.store.open import open_store
store = open_store(sys.argv[1])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "just made":
    os.utime = lambda *_, **__: die()
if sys.argv[2] == "about to make":
    os.mkdir = lambda *_, **__: die()
with lock_notes(store) as notes:
    policy = LockPolicy(rest=0, renew=0.05)
    with RuntimeLock(store.root / "alpha" / "patterns.json", notes, policy):
        if sys.argv[2] == "renewed":
            import time
            time.sleep(0.3)
        if sys.argv[2] != "given back":
            die()
    die()
"""


def crash(store: Store, moment: str) -> None:
    """A run that is killed with -9 at that moment."""
    process = start(_CRASHING, str(store.root), moment)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["just made", "held", "renewed"])
def test_the_lock_of_a_crashed_run_is_cleared_at_once_by_the_next(store: Store, moment: str) -> None:
    crash(store, moment)
    assert lock_path(patterns(store)).is_dir()
    began = time.monotonic()
    with lock_notes(store):
        assert not lock_path(patterns(store)).exists()
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("moment", ["about to make", "just made", "held", "renewed", "given back"])
def test_the_lock_that_an_agent_made_after_the_crash_is_never_cleared(store: Store, moment: str) -> None:
    crash(store, moment)
    folder = lock_path(patterns(store))
    if folder.exists():
        folder.rmdir()
    stranger = signature(make_lock(patterns(store)))
    with lock_notes(store):
        assert signature(folder) == stranger
    assert signature(folder) == stranger


def test_an_agents_lock_on_another_file_is_never_cleared(store: Store) -> None:
    crash(store, "held")
    stranger = signature(make_lock(patterns(store, "beta"), age=100_000))
    with lock_notes(store):
        assert signature(lock_path(patterns(store, "beta"))) == stranger


def test_the_lock_of_a_crashed_run_is_cleared_after_the_project_moved(store: Store) -> None:
    crash(store, "held")
    moved = store.root.parent.with_name("moved")
    store.root.parent.rename(moved)
    with lock_notes(open_store(moved / store.root.name)):
        assert not (moved / store.root.name / "alpha" / "patterns.json.lock").exists()


@pytest.mark.parametrize("name", ["../outside.json.lock", "alpha/../../outside.json.lock", "{outside}"])
def test_forged_notes_clear_nothing_outside_the_store(store: Store, name: str) -> None:
    outside = store.root.parent / "outside.json.lock"
    outside.mkdir()
    name = name.format(outside=outside)
    note = f'{{"lock":"{name}","mtime_ns":{outside.stat().st_mtime_ns}}}\n'
    (store.state / "locks.jsonl").write_text(note)
    with lock_notes(store):
        assert outside.is_dir()


def test_notes_cut_short_by_the_crash_still_clear_the_locks_before(store: Store) -> None:
    crash(store, "held")
    with (store.state / "locks.jsonl").open("a") as notes:
        notes.write('{"lock":"beta/patt')
    with lock_notes(store):
        assert not lock_path(patterns(store)).exists()


def test_only_a_folder_with_a_noted_time_is_removed_as_own(file: Path) -> None:
    folder = lock_path(file)
    remove_own_lock(folder, frozenset({1}))
    make_lock(file)
    noted = folder.stat().st_mtime_ns
    remove_own_lock(folder, frozenset({noted - 1, noted + 1}))
    assert folder.is_dir()
    remove_own_lock(folder, frozenset({noted - 1, noted}))
    assert not folder.exists()
    folder.write_text("a file")
    remove_own_lock(folder, frozenset({folder.stat().st_mtime_ns}))
    assert folder.is_file()
    assert folder.read_text() == "a file"
