"""A restore in place that fails half-way puts back all that it did, but for what agents have changed since."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml.errors import AmlError
from aml.fs.runtime_lock import LockPolicy
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from tests.cli.running import aml
from tests.contract.recovering import look
from tests.contract.side_by_side import IMPATIENT, changed_since_backup, memory
from tests.support.live_writer import fresh_pattern
from tests.support.stores import read_array, write_array

#: Taken in hand one after the other: what is removed, and then what is put in place.
REMOVED, FIRST, NEW, LAST = "alpha/since/more.md", "alpha/patterns.json", "beta/gone.md", "beta/patterns.json"
HASTY = Conditions(locks=LockPolicy(timeout=0.2, rest=0))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def wanted(project: Path) -> str:
    return changed_since_backup(project)


def locked(project: Path, agent: str) -> Path:
    """An agent's lock on its patterns, which it does not give back."""
    lock = memory(project) / agent / "patterns.json.lock"
    lock.mkdir()
    return lock


def restore_while(
    project: Path, wanted: str, actions: dict[str, Callable[[], object]], conditions: Conditions = HASTY
) -> None:
    """Restore in place; each action is done once, just before its file is taken in hand."""

    def progress(name: str) -> None:
        actions.pop(name, lambda: None)()

    restore(open_store(memory(project)), wanted, conditions=conditions, progress=progress)


def test_files_folders_modes_and_times_are_as_before(project: Path, wanted: str) -> None:
    before = look(memory(project))
    lock = locked(project, "beta")
    with pytest.raises(AmlError, match="stayed locked"):
        restore_while(project, wanted, {})
    lock.rmdir()
    after = look(memory(project))
    # in this folder the lock came and went
    assert after.pop("beta")[:2] == before.pop("beta")[:2]
    assert after == before
    assert not list((project / ".loom/memory.aml").glob("restore/*"))
    restore_while(project, wanted, {})
    assert (memory(project) / "alpha/notes/deep/one.md").read_bytes() == b"then"
    assert not (memory(project) / "alpha/since").exists()


def test_what_agents_changed_meanwhile_stays_and_is_named(project: Path, wanted: str) -> None:
    root = memory(project)

    def write() -> None:
        write_array(root / FIRST, [fresh_pattern("alpha")])
        (root / "alpha/since").mkdir()
        (root / REMOVED).write_bytes(b"made again")
        (root / "alpha/mode.md").unlink()
        locked(project, "beta")

    with pytest.raises(AmlError, match="stayed locked") as failed:
        restore_while(project, wanted, {LAST: write})
    assert f"{FIRST}: an agent has changed it since it was restored" in str(failed.value)
    assert f"{REMOVED}: it was made again after its removal" in str(failed.value)
    assert len(read_array(root / FIRST)) == 1
    assert (root / REMOVED).read_bytes() == b"made again"
    assert not (root / NEW).exists()
    assert not (root / "alpha/mode.md").exists()


@pytest.mark.parametrize("barrier", ["lock", "link"])
def test_what_cannot_be_put_back_now_is_put_back_by_the_next_run(project: Path, wanted: str, barrier: str) -> None:
    root = memory(project)
    since = look(root)

    def bar() -> None:
        if barrier == "lock":
            locked(project, "alpha")
        else:
            (root / "alpha").rename(root / "moved")
            (root / "alpha").symlink_to(root / "moved")
        locked(project, "beta")

    with pytest.raises(AmlError, match="could not be put back") as failed:
        restore_while(project, wanted, {LAST: bar})
    assert ("has become a link" if barrier == "link" else "stayed locked") in str(failed.value)
    if barrier == "lock":
        (root / "alpha/patterns.json.lock").rmdir()
    else:
        (root / "alpha").unlink()
        (root / "moved").rename(root / "alpha")
    (root / "beta/patterns.json.lock").rmdir()
    answer = aml(project, "optimize", "gc", "--yes", now=time.time())
    assert (answer.status, "had died while it was being undone, which is done now" in answer.err) == (0, True), answer
    assert {path: node[:2] for path, node in look(root).items()} == {path: node[:2] for path, node in since.items()}


class _Stopped(BaseException):
    """What the signal of this test raises."""


@pytest.fixture
def stop() -> Iterator[Callable[[], None]]:
    """Has this process interrupted, as by ctrl-c."""

    def raise_it(*_: object) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGUSR1, raise_it)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_while_it_is_put_back_leaves_nothing_half_way(
    project: Path, wanted: str, stop: Callable[[], None]
) -> None:
    before = look(memory(project))
    noted = project / ".loom/memory.aml/restore"

    def interrupt() -> None:
        while not list(noted.glob("*/back")):
            time.sleep(0.01)
        time.sleep(0.1)
        stop()
        time.sleep(0.1)
        for agent in ("alpha", "beta"):
            (memory(project) / agent / "patterns.json.lock").rmdir()

    waiting = threading.Thread(target=interrupt)

    def bar() -> None:
        for agent in ("alpha", "beta"):
            locked(project, agent)
        waiting.start()

    with pytest.raises(_Stopped):
        restore_while(project, wanted, {LAST: bar}, IMPATIENT)
    waiting.join()
    after = look(memory(project))
    assert {path: node[:2] for path, node in after.items()} == {path: node[:2] for path, node in before.items()}
    assert not list(noted.iterdir())
