"""What is noted of the runtime's locks: files rest after a release, and a crashed run's locks are cleared."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from aml.fs.runtime_lock import LockPolicy, RuntimeLock, lock_path, remove_own_lock
from aml.ledger.state import FileLockNotes, lock_notes, prepare_folder
from aml.store.open import Store, open_store
from tests.support.live_writer import agent_lock
from tests.unit.fs.locking import beside, make_lock, signature, start

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
