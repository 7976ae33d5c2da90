"""The last run of each operation, whoever wrote it down, and whatever lies among the notes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aml.ledger.latest import last_runs
from aml.ledger.operations import CLOCK_TRUSTED, Operation, note_operation
from aml.ledger.runs import Journal
from aml.model.timestamps import to_iso
from aml.store.open import Store, open_store
from tests.support.records import NOW
from tests.support.stores import make_store

START = NOW.timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = open_store(make_store(tmp_path, {}))
    found.state.mkdir()
    return found


def journal(store: Store, operation: str, *, ago: float, state: str | None = "done", took: float = 2.5) -> str:
    """A run that began so many seconds ago; without a state it has not ended."""
    runs = Journal(store)
    run = runs.begin(operation, START - ago, version="1", options={}, target="x" if operation == "undo" else None)
    if state is not None:
        run.state, run.finished = state, to_iso(START - ago + took)
    run.counts = {"removed": 3}
    runs.write(run)
    return run.id


def note(store: Store, operation: str, *, ago: float, status: int = 0) -> None:
    note_operation(store, Operation(operation, to_iso(START - ago), 1.5, status, "b1", {"files": 2}))


def test_there_are_none_at_first(store: Store) -> None:
    found = last_runs(store)
    assert (found.runs, found.problems) == ((), ())


def test_the_newest_of_each_operation_is_told_the_newest_first(store: Store) -> None:
    for ago in (500, 400, 300):
        journal(store, "prune", ago=ago, state="partial" if ago == 300 else "done")
    journal(store, "undo", ago=200)
    journal(store, "gc", ago=100, state=None)
    note(store, "backup", ago=250, status=3)
    found = last_runs(store).runs
    assert [one.operation for one in found] == ["gc", "undo", "backup", "prune"]
    gc, undo, backup, prune = found
    assert (gc.state, gc.seconds) == ("begun", None)
    assert (undo.subject, undo.seconds, undo.exit) == ("x", 2.5, None)
    assert (backup.state, backup.exit, backup.subject, backup.seconds) == ("partial", 3, "b1", 1.5)
    assert (prune.state, prune.started, prune.counts) == ("partial", to_iso(START - 300), {"removed": 3})


@pytest.mark.parametrize(
    ("status", "state"), [(0, "done"), (1, "failed"), (3, "partial"), (4, "trouble"), (5, "trouble"), (12, "failed")]
)
def test_a_check_that_finds_trouble_has_not_failed(store: Store, status: int, state: str) -> None:
    note(store, "health", ago=5, status=status)
    assert [one.state for one in last_runs(store).runs] == [state]


@pytest.mark.parametrize(("noted", "journaled", "state"), [(50, 100, "failed"), (100, 50, "done")])
def test_of_an_operation_that_is_written_down_twice_the_newer_note_counts(
    store: Store, noted: float, journaled: float, state: str
) -> None:
    journal(store, "restore", ago=journaled)
    note(store, "restore", ago=noted, status=1)
    (found,) = last_runs(store).runs
    assert (found.state, found.started) == (state, to_iso(START - 50))


def test_what_comes_last_is_told_by_number_where_the_clock_stood_wrong(store: Store) -> None:
    journal(store, "prune", ago=-1_000_000)
    journal(store, "prune", ago=10)
    (found,) = last_runs(store).runs
    assert found.started == to_iso(START - 10)


def test_an_overruled_clock_is_no_operation(store: Store) -> None:
    note(store, CLOCK_TRUSTED, ago=5)
    assert last_runs(store).runs == ()


@pytest.mark.parametrize("damage", ["garbage", "a folder", "a pipe", "a link to nothing", "a list", "numbers"])
def test_what_cannot_be_read_is_told_and_the_run_before_it_counts(store: Store, damage: str) -> None:
    journal(store, "prune", ago=100)
    path = store.state / "runs" / f"{journal(store, 'prune', ago=50)}.json"
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "a pipe":
        os.mkfifo(path)
    elif damage == "a link to nothing":
        path.symlink_to("nothing")
    else:
        texts = {"garbage": "\0{", "a list": "[]", "numbers": json.dumps({"id": 1, "operation": 2, "started": 3})}
        path.write_text(texts[damage], encoding="utf-8")
    (store.state / "runs" / "stranger.json").write_text("{}", encoding="utf-8")
    found = last_runs(store)
    assert [one.started for one in found.runs] == [to_iso(START - 100)]
    assert len(found.problems) == 1
    assert path.stem in found.problems[0]


@pytest.mark.parametrize("name", ["runs", "operations.json"])
def test_notes_that_are_none_hide_no_other(store: Store, name: str) -> None:
    journal(store, "prune", ago=100)
    note(store, "backup", ago=100)
    (store.state / name).rename(store.state / "away")
    if name == "runs":
        (store.state / name).write_text("", encoding="utf-8")
    else:
        os.mkfifo(store.state / name)
    found = last_runs(store)
    assert [one.operation for one in found.runs] == [{"runs": "backup", "operations.json": "prune"}[name]]
    assert len(found.problems) == 1
