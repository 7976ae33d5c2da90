"""Hazards of garbage collection: what cannot be read stays, what is legal stays, the newer of two versions stays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.contract.collecting import counted, quarantined, run_gc, write_copy
from tests.contract.pruning import UNLIMITED, fresh, run_undo, stale
from tests.support.records import decision, pattern, solution
from tests.support.stores import Form, encode_array, gunzipped, make_store, read_array, record_spans, tree_digest

FORMS: list[Form] = ["plain", "gzip"]
KINDS = {
    "patterns": [fresh("p1"), fresh("p2")],
    "solutions": [solution(id="s1"), solution(id="s2")],
    "decisions": [decision(id="d1"), decision(id="d2")],
}


def _damaged(form: Form) -> bytes:
    """A file of 14 records that lost its last five bytes (of its text: gzip that unpacks to a truncated array)."""
    text = encode_array([fresh(f"r{number:02}") for number in range(14)])[:-5]
    return gzip.compress(text, mtime=0) if form == "gzip" else text


@pytest.mark.parametrize("dry_run", [True, False])
def test_h01_a_gzip_store_is_read_and_nothing_of_it_goes(tmp_path: Path, dry_run: bool) -> None:
    """H01: gc deleted every file of a gzip store as unreadable."""
    memory = make_store(tmp_path, {"alpha": KINDS, "beta": KINDS}, form="gzip")
    before = tree_digest(memory)
    report = run_gc(memory, dry_run=dry_run)
    assert (report.status, counted(report), report.total("records")) == (ExitStatus.DONE, {}, 12)
    assert tree_digest(memory) == before, "not a byte, not a time"


def test_h01_what_goes_from_a_gzip_file_leaves_gzip_under_the_same_name(tmp_path: Path) -> None:
    """H01: neighbours of garbage stay, in the form in which they were."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None, stale("b"), fresh("b")]}}, form="gzip")
    path = memory / "alpha/patterns.json"
    spans = record_spans(path)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert counted(report) == {"null_element": 1, "duplicate_id": 1}
    assert path.read_bytes().startswith(b"\x1f\x8b")
    assert record_spans(path) == [spans[0], spans[3]]


def test_h01_several_members_are_one_file(tmp_path: Path) -> None:
    """H01: the runtime reads gzip of several members, and so does gc."""
    memory = make_store(tmp_path, {"alpha": {}})
    text = encode_array([fresh("a"), fresh("b")])
    path = memory / "alpha/patterns.json"
    path.write_bytes(gzip.compress(text[:40]) + gzip.compress(text[40:]))
    before = tree_digest(memory)
    assert run_gc(memory).status is ExitStatus.DONE
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("max_loss", [None, UNLIMITED])
def test_h06_a_truncated_file_is_told_and_kept(tmp_path: Path, form: Form, max_loss: float | None) -> None:
    """H06: a file truncated by five bytes, 13 records salvageable, was deleted by gc as empty."""
    memory = make_store(tmp_path, {"alpha": KINDS})
    path = memory / "alpha/patterns.json"
    path.write_bytes(_damaged(form))
    before = tree_digest(memory)
    for dry_run in (True, False):
        report = run_gc(memory, max_loss=max_loss, dry_run=dry_run)
        assert counted(report) == {"damaged_file": 1}
        (problem,) = [file.problem for file in report.files if file.problem]
        assert "13" in problem or "salvage" in problem
        assert report.status is (ExitStatus.DONE if dry_run else ExitStatus.PARTIAL)
        assert tree_digest(memory) == before
    assert quarantined(memory) == {}


@pytest.mark.parametrize("form", FORMS)
def test_h06_salvage_on_request_keeps_every_whole_record_and_the_original(tmp_path: Path, form: Form) -> None:
    """H06: what can be read is put in place only after the damaged original is in quarantine."""
    memory = make_store(tmp_path, {"alpha": KINDS})
    path = memory / "alpha/patterns.json"
    path.write_bytes(_damaged(form))
    expected = record_spans_of(tmp_path, [fresh(f"r{number:02}") for number in range(13)])
    before = tree_digest(memory)
    planned = run_gc(memory, salvage=True, dry_run=True)
    assert tree_digest(memory) == before
    report = run_gc(memory, salvage=True)
    assert (report.status, counted(report)) == (ExitStatus.DONE, {"salvaged_file": 1})
    assert counted(planned) == counted(report)
    (step,) = [step for file in report.files for step in file.steps]
    assert (step.path, step.records) == ("alpha/patterns.json", 13)
    assert record_spans(path) == expected
    assert path.read_bytes().startswith(b"\x1f\x8b") == (form == "gzip")
    assert quarantined(memory) == {"alpha/patterns.json": _damaged(form)}
    assert run_undo(memory, report.run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


def record_spans_of(tmp_path: Path, records: list[object]) -> list[bytes]:
    path = tmp_path / "expected.json"
    path.write_bytes(encode_array(records))
    return record_spans(path)


def test_h06_gzip_cut_short_is_kept_and_salvaged_with_a_doubt(tmp_path: Path) -> None:
    """H06: without its checksum nobody knows whether the bytes are right, and the report says so."""
    memory = make_store(tmp_path, {"alpha": KINDS}, form="gzip")
    path = memory / "alpha/patterns.json"
    path.write_bytes(path.read_bytes()[:-4])
    before = tree_digest(memory)
    assert counted(run_gc(memory)) == {"damaged_file": 1}
    assert tree_digest(memory) == before
    report = run_gc(memory, salvage=True)
    assert [one["id"] for one in read_array(path)] == ["p1", "p2"]
    assert "check" in next(step.reason for file in report.files for step in file.steps)


@pytest.mark.parametrize("salvage", [False, True])
@pytest.mark.parametrize(
    "data", [b"\x00" * 4096, b"not json", b"null", b"7", b"\x1f\x8b", b"\n", gzip.compress(b"", mtime=0)]
)
def test_h06_a_file_of_which_nothing_can_be_read_stays(tmp_path: Path, data: bytes, salvage: bool) -> None:
    """H06: no record can be read is no reason to take a file away, asked for or not."""
    memory = make_store(tmp_path, {"alpha": KINDS})
    (memory / "alpha/patterns.json").write_bytes(data)
    before = tree_digest(memory)
    report = run_gc(memory, salvage=salvage)
    assert (report.status, counted(report)) == (ExitStatus.PARTIAL, {"damaged_file": 1})
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [{}, {"id": "x"}, {"patterns": [fresh("a")]}, fresh("a")])
def test_h08_an_object_where_an_array_should_be_is_told_and_kept(tmp_path: Path, form: Form, value: object) -> None:
    """H08: gc turned an object where an array was expected into []."""
    memory = make_store(tmp_path, {"alpha": KINDS})
    data = json.dumps(value).encode()
    (memory / "alpha/patterns.json").write_bytes(gzip.compress(data, mtime=0) if form == "gzip" else data)
    before = tree_digest(memory)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert (report.status, counted(report)) == (ExitStatus.PARTIAL, {"damaged_file": 1})
    assert "an object stands where a JSON array should be" in str([file.problem for file in report.files])
    assert tree_digest(memory) == before


def test_h08_salvage_finds_the_records_inside_of_an_object(tmp_path: Path) -> None:
    """H08: on request, records of an object become an array, and the object lies in quarantine."""
    memory = make_store(tmp_path, {"alpha": {}})
    data = json.dumps({"version": 1, "patterns": [fresh("a"), fresh("b")]}).encode()
    (memory / "alpha/patterns.json").write_bytes(data)
    assert run_gc(memory, salvage=True).status is ExitStatus.DONE
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "b"]
    assert quarantined(memory) == {"alpha/patterns.json": data}


@pytest.mark.parametrize("form", FORMS)
def test_h37_the_same_id_in_two_agents_is_legal(tmp_path: Path, form: Form) -> None:
    """H37: with one id in two agents, gc deleted one agent's copy."""
    memory = make_store(tmp_path, {"alpha": KINDS, "beta": KINDS}, form=form)
    before = tree_digest(memory)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert counted(report) == {}
    assert tree_digest(memory) == before


def test_h37_the_same_id_in_two_kinds_is_legal(tmp_path: Path) -> None:
    """H37: ids are unique per agent and kind."""
    kinds = {"patterns": [fresh("x")], "solutions": [solution(id="x")], "decisions": [decision(id="x")]}
    memory = make_store(tmp_path, {"alpha": kinds})
    before = tree_digest(memory)
    assert counted(run_gc(memory, max_loss=UNLIMITED)) == {}
    assert tree_digest(memory) == before


def test_h37_copies_in_two_agents_are_not_merged_across_them(tmp_path: Path) -> None:
    """H37: a compressed copy belongs to the agent in whose folder it lies."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("x", note="alpha's")]}, "beta": {}})
    write_copy(memory, [fresh("x", note="beta's")], agent="beta")
    run_gc(memory, max_loss=UNLIMITED)
    assert [one["note"] for one in read_array(memory / "alpha/patterns.json")] == ["alpha's"]
    assert [one["note"] for one in read_array(memory / "beta/patterns.json")] == ["beta's"]


NEWER = {
    "used later, and stands first": [fresh("x", note="newer"), stale("x", note="older")],
    "used later, and stands last": [stale("x", note="older"), fresh("x", note="newer")],
    "used later, though executed less": [
        fresh("x", note="newer", executions=1),
        stale("x", note="older", executions=99),
    ],
    "executed more often": [fresh("x", note="newer", executions=9), fresh("x", note="older", executions=5)],
    "alike, and stands last": [fresh("x", note="older"), fresh("x", note="newer")],
    "created later, neither used": [
        pattern(id="x", created_days=3, unused_days=None, note="newer"),
        pattern(id="x", created_days=30, unused_days=None, note="older"),
    ],
    "three versions": [stale("x", note="older"), fresh("x", note="newer"), stale("x", note="older", executions=9)],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NEWER)
def test_h38_of_two_versions_of_an_id_the_newer_stays_and_the_other_is_archived(
    tmp_path: Path, form: Form, name: str
) -> None:
    """H38: of two versions of one id in one file, gc kept the older."""
    records = [fresh("k1"), *NEWER[name], fresh("k2")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}}, form=form)
    path = memory / "alpha/patterns.json"
    spans = record_spans(path)
    report = run_gc(memory, max_loss=UNLIMITED)
    assert counted(report) == {"duplicate_id": len(records) - 3}
    assert [one.get("note") for one in read_array(path)] == [None, "newer", None]
    assert set(record_spans(path)) <= set(spans)
    (archive,) = memory.with_name("memory-backup").rglob("*.jsonl.gz")
    archived = [json.loads(json.loads(line)["text"]) for line in gunzipped(archive.read_bytes()).splitlines()]
    assert [one["note"] for one in archived] == ["older"] * (len(records) - 3)
    assert run_undo(memory, report.run).status is ExitStatus.DONE
    assert record_spans(path) == spans
    assert [run.operation for run in prune_history(open_store(memory))] == ["undo", "gc"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("newer_in", ["the file", "the copy"])
def test_h38_the_newer_stays_wherever_it_stands(tmp_path: Path, form: Form, newer_in: str) -> None:
    """H38: a compressed copy may hold the older version of an id, or the newer one."""
    older, newer = stale("x", note="older"), fresh("x", note="newer")
    here, there = (newer, older) if newer_in == "the file" else (older, newer)
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), here]}}, form=form)
    copy = write_copy(memory, [there, fresh("b")])
    report = run_gc(memory, max_loss=UNLIMITED)
    assert counted(report) == {"packed_copy": 1} | ({"duplicate_id": 1} if newer_in == "the copy" else {})
    found = {one["id"]: one.get("note") for one in read_array(memory / "alpha/patterns.json")}
    assert found == {"a": None, "x": "newer", "b": None}
    assert not copy.exists()


TIES = {
    "patterns": (fresh("x", note="live"), fresh("x", note="copy")),
    "solutions": (solution(id="x", verified=4, note="live"), solution(id="x", note="copy")),
    "decisions": (decision(id="x", would_repeat=True, note="live"), decision(id="x", note="copy")),
}


@pytest.mark.parametrize("kind", TIES)
def test_h38_where_no_figure_tells_the_live_version_is_newer_than_a_copy(tmp_path: Path, kind: str) -> None:
    """H38: a solution is verified without its time being changed; what was compressed long ago must not win."""
    live, copied = TIES[kind]
    memory = make_store(tmp_path, {"alpha": {kind: [live]}})
    write_copy(memory, [copied], kind)
    run_gc(memory, max_loss=UNLIMITED)
    assert [one["note"] for one in read_array(memory / f"alpha/{kind}.json")] == ["live"]
