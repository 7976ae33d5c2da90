"""Garbage collection has a way back: records by their neighbours, whole files from quarantine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from tests.contract.collecting import (
    FORMS,
    GARBAGE,
    counted,
    everything,
    gc_run,
    originals_of,
    quarantined,
    run_gc,
    spans_of,
    without,
    write_copy,
    write_stray,
)
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale
from tests.support.stores import Form, encode_array, make_store, read_array, tree_digest, write_array


@pytest.mark.parametrize("form", FORMS)
def test_gc_of_everything_and_undo_gives_back_every_file_and_record(tmp_path: Path, form: Form) -> None:
    memory = everything(tmp_path, form)
    before, spans = tree_digest(memory), spans_of(memory)
    report = run_gc(memory, max_loss=UNLIMITED, salvage=True)
    assert counted(report) == {
        "null_element": 2,
        "duplicate_id": 1,
        "without_id": 2,
        "without_agent": 1,
        "without_timestamp": 1,
        "empty_file": 1,
        "packed_copy": 1,
        "salvaged_file": 1,
        "unfinished_write": 2,
    }
    assert spans_of(memory) == [spans[2], spans[4], spans[8]]
    assert sorted(quarantined(memory)) == [
        "alpha/decisions.json",
        "alpha/patterns.json.tmp",
        "alpha/solutions.json",
        "beta/patterns.json",
        "beta/patterns.json.gz",
        "global/cross-agent.json.tmp",
    ]
    undone = run_undo(memory, report.run)
    assert (undone.status, sum(file.restored for file in undone.files)) == (ExitStatus.DONE, 7)
    assert all(one.put_back for one in undone.originals)
    assert spans_of(memory) == spans
    after = tree_digest(memory)
    assert after.keys() == before.keys()
    changed = {path for path in before if after[path] != before[path]}
    assert changed <= {"alpha/patterns.json"}, "only a file from which records were cut has another time"


def test_gc_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    memory = everything(tmp_path)
    assert run_gc(memory, max_loss=UNLIMITED, salvage=True).status is ExitStatus.DONE
    before = tree_digest(memory)
    again = run_gc(memory, max_loss=UNLIMITED, salvage=True, later_days=1)
    assert (again.status, counted(again), again.changes) == (ExitStatus.DONE, {}, 0)
    assert tree_digest(memory) == before


def test_a_dry_run_leaves_no_trace_and_tells_what_the_run_does(tmp_path: Path) -> None:
    memory = everything(tmp_path)
    before = tree_digest(tmp_path)
    planned = run_gc(memory, salvage=True, dry_run=True)
    assert tree_digest(tmp_path) == before
    assert sorted(path.name for path in memory.parent.iterdir()) == ["memory"], "not even AML's own folders"
    done = run_gc(memory, salvage=True)
    assert planned.counts == done.counts
    assert planned.records == done.records
    assert [file.steps for file in planned.files] == [file.steps for file in done.files]


def test_an_undo_can_be_tried_without_a_trace(tmp_path: Path) -> None:
    memory = everything(tmp_path)
    run = gc_run(memory, salvage=True)
    before = tree_digest(tmp_path)
    planned = run_undo(memory, run, dry_run=True)
    assert tree_digest(tmp_path) == before
    done = run_undo(memory, run)
    assert (planned.files, planned.originals) == (done.files, done.originals)


def test_undo_twice_does_nothing_more(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    write_stray(memory)
    run = gc_run(memory)
    run_undo(memory, run)
    before = tree_digest(memory)
    again = run_undo(memory, run)
    assert (again.status, [file.restored for file in again.files]) == (ExitStatus.DONE, [0])
    assert not any(one.put_back for one in again.originals)
    assert tree_digest(memory) == before


@pytest.mark.parametrize("copied", [[stale("a"), fresh("n")], [stale("a")]], ids=["with a new one", "older only"])
def test_undo_twice_does_nothing_more_after_a_merge(tmp_path: Path, copied: list[Any]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), fresh("k")]}})
    write_copy(memory, copied)
    run = gc_run(memory)
    run_undo(memory, run)
    before = tree_digest(memory)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "k"]
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


def test_undo_twice_does_nothing_more_after_a_salvage(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    path = memory / "alpha/patterns.json"
    path.write_bytes(encode_array([fresh("a"), stale("a"), fresh("k"), fresh("l")])[:-9])
    run = gc_run(memory, salvage=True)
    run_undo(memory, run)
    before = tree_digest(memory)
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_of_older_versions_only_leaves_the_file_as_it_is(tmp_path: Path, form: Form) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), fresh("k")]}}, form=form)
    write_copy(memory, [stale("a")])
    before = tree_digest(memory)
    run = gc_run(memory)
    after = tree_digest(memory)
    assert after == {path: found for path, found in before.items() if path != "alpha/patterns.json.gz"}
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


def test_a_twin_elsewhere_is_not_the_neighbour_that_went(tmp_path: Path) -> None:
    records = [fresh("a"), without(fresh("a"), "agent"), fresh("b"), fresh("a")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    run = gc_run(memory)
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert read_array(memory / "alpha/patterns.json") == records


def test_single_records_come_back_and_whole_files_do_not(tmp_path: Path) -> None:
    memory = everything(tmp_path)
    run = gc_run(memory)
    undone = run_undo(memory, run, "no-agent")
    assert [(file.restored, file.kind) for file in undone.files] == [(1, "patterns")]
    assert undone.originals == []
    ids = [one.get("id") for one in read_array(memory / "alpha/patterns.json")]
    assert ids == ["a", "x", "no-agent", "b"]
    assert not (memory / "alpha/patterns.json.tmp").exists()
    run_undo(memory, run)
    assert read_array(memory / "alpha/patterns.json") == GARBAGE


def test_a_single_version_of_an_id_comes_back_beside_the_other(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}})
    run = gc_run(memory)
    assert run_undo(memory, run, "x").files[0].restored == 1
    notes = [one.get("note") for one in read_array(memory / "alpha/patterns.json")]
    assert notes == ["older", None, "newer", None]


CHANGES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "appended": lambda found: [*found, fresh("new")],
    "put in front": lambda found: [fresh("new"), *found],
    "removed the first": lambda found: found[1:],
    "changed one": lambda found: [found[0] | {"note": "changed"}, *found[1:]],
    "emptied": lambda found: [],
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("form", FORMS)
def test_what_an_agent_wrote_since_stays(tmp_path: Path, form: Form, name: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}}, form=form)
    spans = spans_of(memory)
    run = gc_run(memory)
    path = memory / "alpha/patterns.json"
    write_array(path, CHANGES[name](read_array(path)), form=form)
    kept = spans_of(memory)
    report = run_undo(memory, run)
    assert report.files[0].restored + len(report.files[0].conflicts) == 7
    assert [one for one in spans_of(memory) if one in kept] == kept
    restored = [one for one in spans_of(memory) if one not in kept]
    assert restored == [one for one in spans if one in restored], "in their order"
    assert restored.count(b"null") == 2


def test_a_file_that_was_written_to_since_is_left_and_its_records_come_back_by_neighbours(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None, stale("k"), fresh("k")]}})
    copy = write_copy(memory, [fresh("n")])
    data = copy.read_bytes()
    run = gc_run(memory)
    path = memory / "alpha/patterns.json"
    write_array(path, [*read_array(path), fresh("later")])
    report = run_undo(memory, run)
    assert report.status is ExitStatus.PARTIAL
    assert "was written to since" in str(originals_of(report)["alpha/patterns.json"].problem)
    assert originals_of(report)["alpha/patterns.json.gz"].put_back
    assert copy.read_bytes() == data
    assert [one and one["id"] for one in read_array(path)] == ["a", None, "k", "k", "n", "later"]


@pytest.mark.parametrize("data", [b"[]", b"{", b""])
def test_what_took_the_place_of_an_empty_file_or_a_copy_stays(tmp_path: Path, data: bytes) -> None:
    memory = everything(tmp_path)
    run = gc_run(memory)
    for path in ("alpha/solutions.json", "beta/patterns.json.gz", "alpha/patterns.json.tmp"):
        assert not (memory / path).exists()
        (memory / path).write_bytes(data)
    report = run_undo(memory, run)
    assert report.status is (ExitStatus.PARTIAL)
    assert (memory / "beta/patterns.json.gz").read_bytes() == data
    assert (memory / "alpha/solutions.json").read_bytes() == data
    told = originals_of(report)["beta/patterns.json.gz"].problem or ""
    assert "quarantine" in told, "and where its original lies"


def test_an_agent_folder_that_is_gone_is_made_again(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    copy = write_copy(memory, [fresh("n")])
    data = copy.read_bytes()
    run = gc_run(memory)
    shutil.rmtree(memory / "alpha")
    report = run_undo(memory, run)
    assert (memory / "alpha/solutions.json").read_bytes() == b""
    assert copy.read_bytes() == data
    assert len(read_array(memory / "alpha/patterns.json")) == 7
    assert report.status is ExitStatus.PARTIAL, "what gc wrote is gone, and its original was not put in its place"


def test_what_aml_prune_did_in_between_is_no_hindrance(tmp_path: Path) -> None:
    records = [*GARBAGE, *(fresh(f"f{number}") for number in range(5)), stale("old")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    spans = spans_of(memory)
    collected = gc_run(memory)
    pruned = run_prune(memory, max_loss=UNLIMITED).run
    run_undo(memory, collected)
    run_undo(memory, pruned)
    assert spans_of(memory) == spans


def test_what_prune_took_and_gave_back_in_between_is_no_hindrance_to_whole_files(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    path = memory / "alpha/patterns.json"
    data = encode_array([fresh("a"), fresh("b"), stale("old")]).replace(b",\n  {", b" ,{", 1)
    path.write_bytes(data)
    write_copy(memory, [fresh("n")])
    collected = gc_run(memory)
    run_undo(memory, run_prune(memory, max_loss=UNLIMITED).run)
    assert run_undo(memory, collected).status is ExitStatus.DONE
    assert path.read_bytes() == data


def test_both_versions_of_an_id_come_back_whichever_run_is_undone_first(tmp_path: Path) -> None:
    older, newer = stale("x", note="older", executions=4), stale("x", note="newer", executions=5)
    memory = make_store(tmp_path, {"alpha": {"patterns": [older, fresh("k"), newer]}})
    spans = spans_of(memory)
    run = gc_run(memory)
    pruned = run_prune(memory, max_loss=UNLIMITED, later_days=0.1)
    assert len(spans_of(memory)) == 1
    for undone in (run, str(pruned.run)):
        report = run_undo(memory, undone, later_days=0.2)
        assert report.status is ExitStatus.DONE, report
    assert sorted(spans_of(memory)) == sorted(spans)


def test_a_twin_that_never_left_is_not_taken_for_one_that_another_undo_put_back(tmp_path: Path) -> None:
    records = [fresh("a"), None, without(fresh("q"), "agent"), fresh("a")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    spans = spans_of(memory)
    first = run_gc(memory, max_loss=0.25)
    between = spans_of(memory)
    second = run_gc(memory, max_loss=UNLIMITED, later_days=1)
    run_undo(memory, str(second.run), later_days=2)
    assert spans_of(memory) == between
    run_undo(memory, str(first.run), later_days=3)
    assert spans_of(memory) == spans
