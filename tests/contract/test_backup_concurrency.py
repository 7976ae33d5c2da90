"""Backups side by side with each other and with rotation: nobody is harmed."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from aml.store.open import open_store
from aml.workflows.backup import list_backups
from tests.cli.running import aml_child
from tests.contract.side_by_side import (
    assert_all_sound,
    contents,
    end,
    ids_of,
    make_project,
    memory,
    restored,
    start,
)
from tests.support.stores import write_array


def test_of_two_creates_at_once_each_makes_a_whole_backup(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project)
    answers = [end(process) for process in [start(project, "backup", "create") for _ in range(2)]]
    assert [answer.status for answer in answers] == [0, 0], answers
    assert [one.sequence for one in list_backups(open_store(memory(project))).backups] == [1, 2]
    for one in ids_of(project):
        assert restored(project, one, tmp_path / "look") == contents(memory(project))
    assert_all_sound(project)


def test_a_create_that_may_not_wait_says_locked_and_harms_nothing(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project, records=2000)
    words = ("backup", "create", "--lock-timeout", "0")
    statuses = Counter(end(process).status for process in [start(project, *words) for _ in range(4)])
    assert statuses.keys() <= {ExitStatus.DONE, ExitStatus.LOCKED}, statuses
    assert len(ids_of(project)) == statuses[ExitStatus.DONE] >= 1
    for one in ids_of(project):
        assert restored(project, one, tmp_path / "look") == contents(memory(project))
    assert_all_sound(project)


class Loop(threading.Thread):
    """Calls a function over and over until ``stop`` is set, and keeps what it raised."""

    def __init__(self, stop: threading.Event, action: Callable[[], object]) -> None:
        super().__init__()
        self._stop_event = stop
        self._action = action
        self.rounds = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        while not self._stop_event.is_set():
            try:
                self._action()
            except BaseException as error:  # noqa: BLE001  (the test raises it)
                self.error = error
                self._stop_event.set()
            self.rounds += 1


def in_loops(seconds: float, *actions: Callable[[], object]) -> list[int]:
    """Run each action in a loop of its own, side by side; returns how often each came round."""
    stop = threading.Event()
    loops = [Loop(stop, action) for action in actions]
    for loop in loops:
        loop.start()
    stop.wait(seconds)
    stop.set()
    for loop in loops:
        loop.join()
        if loop.error is not None:
            raise loop.error
    return [loop.rounds for loop in loops]


def age_packs(project: Path) -> None:
    """Make all packs old enough for a rotation to remove them."""
    long_ago = time.time() - 90_000
    for pack in (project / ".loom" / "memory-backup" / "packs").rglob("*.gz"):
        with suppress(FileNotFoundError):
            os.utime(pack, (long_ago, long_ago))


class Changing:
    """A store whose one file has another content each time it is backed up."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.states: list[list[Any]] = []
        self.change()

    def change(self) -> None:
        state = [{"id": f"{len(self.states)}-{number}", "note": random.random()} for number in range(60)]
        self.states.append(state)
        file = memory(self.project) / "alpha" / "patterns.json"
        write_array(file.with_name("patterns.json.tmp"), state)
        file.with_name("patterns.json.tmp").rename(file)

    def create(self) -> None:
        self.change()
        answer = aml_child(self.project, "backup", "create")
        assert answer.status == 0, answer.err

    def rotate(self) -> None:
        age_packs(self.project)
        answer = aml_child(self.project, "backup", "rotate", "--keep-last", "2")
        assert answer.status == 0, answer.err

    def check(self, found: dict[str, list[Any]]) -> None:
        assert found["alpha/patterns.json"] in self.states


@pytest.mark.parametrize("seconds", [1.5, pytest.param(20, marks=pytest.mark.slow)])
def test_creates_and_restores_go_on_while_backups_are_rotated_away(tmp_path: Path, seconds: float) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()

    def look() -> None:
        target = tmp_path / "look"
        answer = aml_child(project, "backup", "restore", "latest", "--target", str(target))
        assert answer.status == 0, answer.err
        changing.check(contents(target))
        shutil.rmtree(target)

    rounds = in_loops(seconds, changing.create, changing.rotate, look)

    assert min(rounds) >= 2, rounds
    for one in ids_of(project):
        changing.check(restored(project, one, tmp_path / "last"))
    assert_all_sound(project)


@pytest.mark.parametrize("seconds", [1.5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_restore_in_place_and_a_rotation_take_turns(tmp_path: Path, seconds: float) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()
    statuses: Counter[int] = Counter()

    def put_back() -> None:
        answer = aml_child(project, "backup", "restore", "latest")
        statuses[answer.status] += 1
        # another run may hold the store just then, which a restore does not wait for
        assert answer.status in (ExitStatus.DONE, ExitStatus.LOCKED), answer.err
        changing.check(contents(memory(project)))

    rounds = in_loops(seconds, changing.rotate, put_back)

    assert min(rounds) >= 2, rounds
    for one in ids_of(project):
        changing.check(restored(project, one, tmp_path / "last"))
    assert_all_sound(project)


def test_a_verification_finds_nothing_wrong_while_backups_are_made(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()

    def verify() -> None:
        answer = aml_child(project, "backup", "verify", "--json")
        assert answer.status == 0, answer.out

    assert min(in_loops(3, changing.create, verify)) >= 2
