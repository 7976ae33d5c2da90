"""What the ledger knows of garbage collections: history, loss budget, pins; and what is left alone."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from aml.errors import AmlError, ExitStatus
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.contract.collecting import (
    counted,
    everything,
    gc_run,
    run_gc,
    without,
)
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale
from tests.support.stores import make_store, read_array, tree_digest, write_array


def test_history_tells_of_gc_and_of_its_undo(tmp_path: Path) -> None:
    memory = everything(tmp_path)
    run = gc_run(memory)
    undo = run_undo(memory, run).run
    found = prune_history(open_store(memory))
    assert [(one.id, one.operation, one.state, one.target) for one in found] == [
        (undo, "undo", "done", run),
        (run, "gc", "done", None),
    ] or found[1].state == "partial"
    assert found[1].counts["duplicate_id"] == 1


def test_nulls_are_no_loss(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [*(fresh(str(number)) for number in range(10)), None]}})
    first = run_gc(memory)
    again = run_gc(memory, later_days=1, dry_run=True)
    assert counted(first) == {"null_element": 1}
    assert again.budgets == first.budgets


def test_what_gc_removed_counts_in_the_budget_of_prune_until_it_is_undone(tmp_path: Path) -> None:
    records = [*(without(fresh("-", note=number), "id") for number in range(30)), *map(fresh, map(str, range(70)))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    run = run_gc(memory).run
    limits = [run_prune(memory, dry_run=True, later_days=day).budgets[0].limit for day in (1, 31)]
    assert limits == [20, 21], "50 % of 100 in 30 days, of which 30 went; then 30 % of 70"
    run_undo(memory, run)
    assert run_prune(memory, dry_run=True, later_days=1).budgets[0].limit == 30


def test_the_budget_holds_and_the_rest_goes_later(tmp_path: Path) -> None:
    records: list[Any] = [without(fresh("-", note=number), "id") for number in range(60)]
    records += map(fresh, map(str, range(40)))
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    first = run_gc(memory)
    assert (first.total("removed"), first.total("deferred"), first.status) == (30, 30, ExitStatus.PARTIAL)
    second = run_gc(memory, later_days=1)
    assert (second.total("removed"), second.total("deferred")) == (20, 10)
    for run in (second.run, first.run):
        run_undo(memory, run)
    assert read_array(memory / "alpha/patterns.json") == records
    for max_loss, removed in ((0.0, 0), (0.1, 10)):
        assert run_gc(memory, max_loss=max_loss, dry_run=True).total("removed") == removed


def test_pinned_records_stay_whatever_is_wrong_with_them(tmp_path: Path) -> None:
    records = [
        stale("x", tags=["keep"]),
        fresh("x"),
        without(fresh("-", tags=["PINNED"]), "id"),
        without(fresh("y", tags=["keep"]), "agent"),
    ]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    before = tree_digest(memory)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert (report.total("removed"), report.total("pinned")) == (0, 3)
    assert tree_digest(memory) == before


STATED: dict[str, Any] = {
    "an id of 0": {"id": 0},
    "an id that is false": {"id": False},
    "an id that is a list": {"id": []},
    "an agent that is an object": {"agent": {}},
    "a time of 0": {"timestamp": 0},
    "a time that is no time": {"timestamp": "soon"},
    "a time that is blank": {"timestamp": " "},
    "a time of too many digits": {"timestamp": 10**400},
}


@pytest.mark.parametrize("name", STATED)
def test_what_is_stated_oddly_is_stated(tmp_path: Path, name: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [without(fresh("a"), "timestamp") | STATED[name]]}})
    if "timestamp" not in STATED[name]:
        write_array(memory / "alpha/patterns.json", [fresh("a") | STATED[name]])
    before = tree_digest(memory)
    assert run_gc(memory, max_loss=UNLIMITED).total("removed") == 0
    assert tree_digest(memory) == before


def test_an_empty_text_in_one_place_does_not_hide_the_time_in_another(tmp_path: Path) -> None:
    record = fresh("a") | {"lifecycle": {"created_at": ""}}
    del record["timestamp"]
    memory = make_store(tmp_path, {"alpha": {"patterns": [record]}})
    assert run_gc(memory, max_loss=UNLIMITED).total("removed") == 0


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), ("\ud83d", "\\ud83d")], ids=["a number", "half a pair of surrogates"]
)
def test_ids_that_only_look_alike_are_two(tmp_path: Path, one: object, other: object) -> None:
    records = [fresh("-") | {"id": one}, fresh("-") | {"id": other}]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    assert run_gc(memory, max_loss=UNLIMITED).total("removed") == 0


def test_links_pipes_and_folders_are_left_alone(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}})
    outside = tmp_path / "outside"
    write_array(outside / "patterns.json", [None, stale("x"), fresh("x")])
    (memory / "linked").symlink_to(outside)
    (memory / "alpha/solutions.json").symlink_to(outside / "patterns.json")
    (memory / "alpha/decisions.json.gz").symlink_to(outside / "patterns.json")
    (memory / "alpha/patterns.json.tmp").symlink_to(outside / "patterns.json")
    os.utime(memory / "alpha/patterns.json.tmp", (1, 1), follow_symlinks=False)
    (memory / "alpha/folder.json.tmp").mkdir()
    os.utime(memory / "alpha/folder.json.tmp", (1, 1))
    os.mkfifo(memory / "alpha/pipe.json.tmp")
    os.utime(memory / "alpha/pipe.json.tmp", (1, 1))
    before = tree_digest(memory)
    there = tree_digest(outside)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert counted(report) == {"null_element": 1, "damaged_file": 2}
    after = tree_digest(memory)
    assert {path for path in before if before[path] != after.get(path)} == {"alpha/patterns.json"}
    assert tree_digest(outside) == there


@pytest.mark.parametrize("days", [-1, 70])
def test_a_clock_that_cannot_be_right_stops_gc(tmp_path: Path, days: float) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}})
    gc_run(memory)
    write_array(memory / "alpha/patterns.json", [fresh("a"), None])
    before = tree_digest(memory)
    with pytest.raises(AmlError, match="trust-clock"):
        run_gc(memory, later_days=days)
    assert tree_digest(memory) == before
    assert run_gc(memory, later_days=days, trust_clock=True).total("removed") == 1


def test_many_versions_of_one_id_make_no_large_archive(tmp_path: Path) -> None:
    versions = [fresh("x", note=number) for number in range(600)]
    memory = make_store(tmp_path, {"alpha": {"patterns": versions}})
    before = (memory / "alpha/patterns.json").read_bytes()
    report = run_gc(memory)
    assert report.total("deferred") > 300, "the budget holds some back, which are twins of those that go"
    (archive,) = memory.with_name("memory-backup").rglob("*.jsonl.gz")
    assert len(gzip.decompress(archive.read_bytes())) < 3 * len(before)
    assert run_undo(memory, str(report.run)).status is ExitStatus.DONE
    assert (memory / "alpha/patterns.json").read_bytes() == before


def test_an_integer_that_python_does_not_read_stops_nothing(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}})
    file = memory / "alpha/patterns.json"
    odd = b'{"id": "x", "timestamp": "2026-01-01T00:00:00Z", "note": ' + b"1" * 5000 + b"}"
    file.write_bytes(file.read_bytes().replace(b"null", odd + b", null"))
    report = run_gc(memory, max_loss=UNLIMITED)
    assert report.counts["null_element"] == 1
    assert odd in file.read_bytes()


def test_a_copy_of_a_record_that_stays_neither_comes_back_nor_is_lost(tmp_path: Path) -> None:
    memory = make_store(
        tmp_path, {"alpha": {"patterns": [fresh("x"), fresh("x"), *(fresh(f"f{n}") for n in range(8))]}}
    )
    assert run_gc(memory, max_loss=UNLIMITED).counts["duplicate_id"] == 1
    report = run_prune(memory, later_days=0.1)
    assert report.total("came_back") == 0
    assert report.budgets[0].limit == 4, "the allowance of a small agent, of nine records"
