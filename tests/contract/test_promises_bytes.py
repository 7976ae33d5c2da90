"""The promises about bytes: kept records keep theirs, a dry run changes none, and what it shows is what a run does."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.contract.pruning import UNLIMITED, fates, fresh, removed_ids, run_prune, run_undo, stale, totals
from tests.support.records import Record, decision, solution
from tests.support.stores import Form, encode_array, gunzipped, make_store, read_array, record_spans, tree_digest

RECORDS = [
    stale("s0"),
    fresh("f1", note='quotes " and \\ and , ] }'),
    stale("s2"),
    stale("s3", deep=[[[{"a": [1, 2, {"b": []}]}]]]),
    fresh("f4", price=10**30, tiny=1e-7, exact=0.1),
    fresh("f5", text="Zürich 東京 🙂"),
    stale("s6"),
]
KEPT = (1, 4, 5)


def _compact(records: list[Record]) -> bytes:
    return encode_array(records, indent=None)


def _one_line_each(records: list[Record]) -> bytes:
    return ("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in records) + "\n]\n").encode()


def _tabs_and_windows_lines(records: list[Record]) -> bytes:
    return json.dumps(records, indent="\t", ensure_ascii=True).replace("\n", "\r\n").encode()


def _unruly(records: list[Record]) -> bytes:
    gaps = [" ", ",", ",\n\n", "\t,  ", "\r\n,\r\n", ",  ", " ,\t"]
    parts = [
        gap + json.dumps(one, indent=number % 4) for number, (gap, one) in enumerate(zip(gaps, records, strict=True))
    ]
    return (" \n [ " + "".join(parts) + "  \n\n] \n ").encode()


def _with_byte_order_mark(records: list[Record]) -> bytes:
    return b"\xef\xbb\xbf" + encode_array(records)


LAYOUTS: list[Callable[[list[Record]], bytes]] = [
    encode_array,
    _compact,
    _one_line_each,
    _tabs_and_windows_lines,
    _unruly,
    _with_byte_order_mark,
]


@pytest.mark.parametrize("form", ["plain", "gzip"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__.strip("_"))
def test_records_that_stay_keep_their_bytes(
    tmp_path: Path, layout: Callable[[list[Record]], bytes], form: Form
) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    path = memory / "alpha/patterns.json"
    text = layout(RECORDS)
    path.write_bytes(gzip.compress(text) if form == "gzip" else text)
    spans = record_spans(path)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["s0", "s2", "s3", "s6"]
    assert record_spans(path) == [spans[ordinal] for ordinal in KEPT]
    lead, tail = text[: text.index(b"[") + 1], text[text.rindex(b"]") :]
    after = gunzipped(path.read_bytes())
    assert after.startswith(lead), "what stands before the array stays"
    assert after.endswith(tail), "what stands after the array stays"
    assert run_undo(memory, report.run).status is ExitStatus.DONE
    assert record_spans(path) == spans


@pytest.mark.parametrize("layout", [encode_array, _compact, _one_line_each, _with_byte_order_mark])
@pytest.mark.parametrize("keep", [(), (0,), (6,), (3,), (0, 6), (1, 2, 3), (0, 2, 4, 6), (1, 3, 5)])
def test_prune_then_undo_gives_back_the_file_byte_for_byte(
    tmp_path: Path, layout: Callable[[list[Record]], bytes], keep: tuple[int, ...]
) -> None:
    """Where one separator stands between all records, as every writer makes it, even the bytes between come back."""
    records = [(fresh if number in keep else stale)(f"r{number}") for number in range(7)]
    if not keep and layout in (_one_line_each, _with_byte_order_mark):
        pytest.skip("an array that lost all records does not know its layout any more; its records come back whole")
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    path = memory / "alpha/patterns.json"
    path.write_bytes(layout(records))
    before = path.read_bytes()
    run = run_prune(memory, max_loss=UNLIMITED).run
    assert path.read_bytes() != before
    run_undo(memory, run)
    assert path.read_bytes() == before


def test_mode_and_attributes_of_a_rewritten_file_stay(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": RECORDS}})
    path = memory / "alpha/patterns.json"
    path.chmod(0o640)
    run = run_prune(memory, max_loss=UNLIMITED).run
    assert path.stat().st_mode & 0o7777 == 0o640
    run_undo(memory, run)
    assert path.stat().st_mode & 0o7777 == 0o640


ODD_ELEMENTS = [None, 5, "text", True, [], [stale("nested")], {}]


def test_elements_that_are_no_records_stay_where_they_are(tmp_path: Path) -> None:
    records = [None, stale("a"), *ODD_ELEMENTS, fresh("b"), None, stale("c"), None]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["a", "c"]
    assert report.total("unreadable") == 9, "all but objects"
    assert read_array(path) == [one for one in records if one not in (records[1], records[-2])]
    run_undo(memory, report.run)
    assert path.read_bytes() == before


ODD_RECORDS = [
    b'{"id": "nan", "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}, "x": NaN}',
    b'{"id": "infinity", "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}, "x": [-Infinity]}',
    b'{"id": "bad utf-8 \xff", "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}}',
    b'{"id": "deep", "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}, "x": ' + b"[" * 9000 + b"]" * 9000 + b"}",
    b'{"id": "no comma" "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}}',
    b'{"id": "single quotes", \'evolution\': {}}',
    b'{"id": "new", "version": "9.0.0", "evolution": {"lastUsed": "2020-01-01T00:00:00Z"}}',
]


@pytest.mark.parametrize("odd", ODD_RECORDS, ids=lambda raw: raw[8:20].decode(errors="replace"))
def test_one_odd_record_is_kept_verbatim_and_its_neighbours_are_handled(tmp_path: Path, odd: bytes) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    path = memory / "alpha/patterns.json"
    kept, gone = json.dumps(fresh("f")).encode(), json.dumps(stale("s")).encode()
    path.write_bytes(b"[" + b", ".join([gone, odd, kept, gone, odd]) + b"]")
    before = path.read_bytes()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert path.read_bytes() == b"[" + b", ".join([odd, kept, odd]) + b"]"
    assert report.total("unreadable") == 2
    run_undo(memory, report.run)
    assert path.read_bytes() == before


def _large_store(tmp_path: Path, form: Form = "plain") -> Path:
    never = {"wouldRepeat": False}
    agents: dict[str, dict[str, list[object]]] = {
        f"agent-{number}": {
            "patterns": [(stale if (number + n) % 3 else fresh)(f"p{n}", success=n / 40) for n in range(30 + number)],
            "solutions": [solution(id=f"s{n}", worked=n % 2 == 0, verified=n) for n in range(5)],
            "decisions": [None, *(decision(id=f"d{n}", created_days=100 * n, outcome=never) for n in range(4))],
        }
        for number in range(3)
    }
    return make_store(tmp_path, agents, form=form)


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_a_dry_run_changes_no_byte_no_time_and_no_folder(tmp_path: Path, form: Form) -> None:
    memory = _large_store(tmp_path, form)
    folders = sorted(folder for folder, *_ in os.walk(tmp_path))
    times = {folder: os.stat(folder).st_mtime_ns for folder in folders}
    before = tree_digest(tmp_path)
    for max_loss in (None, UNLIMITED):
        assert run_prune(memory, dry_run=True, max_loss=max_loss).status is ExitStatus.DONE
    assert tree_digest(tmp_path) == before
    assert {folder: os.stat(folder).st_mtime_ns for folder, *_ in os.walk(tmp_path)} == times


def test_a_dry_run_after_runs_changes_nothing_either(tmp_path: Path) -> None:
    memory = _large_store(tmp_path)
    run = run_prune(memory).run
    before = tree_digest(tmp_path)
    run_prune(memory, dry_run=True, later_days=1)
    run_undo(memory, run, dry_run=True)
    assert tree_digest(tmp_path) == before


@pytest.mark.parametrize("max_loss", [None, 0.1, UNLIMITED])
def test_what_a_dry_run_shows_is_what_the_run_does(tmp_path: Path, max_loss: float | None) -> None:
    memory = _large_store(tmp_path)
    for day in range(3):
        planned = run_prune(memory, dry_run=True, max_loss=max_loss, later_days=day)
        before = {path: read_array(path) for path in memory.rglob("*.json")}
        done = run_prune(memory, max_loss=max_loss, later_days=day)
        assert fates(planned) == fates(done)
        assert totals(planned) == totals(done)
        assert planned.records == done.records
        assert [file.kept for file in planned.files] == [len(read_array(path)) for path in _paths(memory, done)]
        gone = sum(len(before[path]) - len(read_array(path)) for path in before)
        assert gone == planned.total("removed")


def _paths(memory: Path, report: object) -> list[Path]:
    files = getattr(report, "files")  # noqa: B009
    return [memory / file.agent / f"{file.kind}.json" for file in files]


def test_what_a_dry_undo_shows_is_what_undo_does(tmp_path: Path) -> None:
    memory = _large_store(tmp_path)
    run = run_prune(memory).run
    (memory / "agent-1/patterns.json").unlink()
    (memory / "agent-2/decisions.json").write_bytes(b"{}")
    planned, done = run_undo(memory, run, dry_run=True), run_undo(memory, run)
    assert planned.files == done.files


def test_a_prune_that_removes_nothing_leaves_bytes_and_times_alone(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None], "solutions": []}}, form="gzip")
    before = tree_digest(memory)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert (report.total("removed"), report.status) == (0, ExitStatus.DONE)
    assert tree_digest(memory) == before
    assert not memory.with_name("memory-backup").exists()


def test_what_is_removed_is_in_the_archive_with_its_reason(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": RECORDS}})
    spans = record_spans(memory / "alpha/patterns.json")
    report = run_prune(memory, max_loss=UNLIMITED)
    archive = memory.with_name("memory-backup") / "archives" / "alpha" / f"patterns-{report.run}.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(archive.read_bytes()).decode().split("\n") if line]
    assert [line["text"].encode() for line in lines] == [spans[ordinal] for ordinal in (0, 2, 3, 6)]
    for line in lines:
        assert (line["run"], line["agent"], line["kind"]) == (report.run, "alpha", "patterns")
        assert (line["rule"], line["figures"]["limit_days"]) == ("unused_too_long", 90)
        assert line["reason"] == "last used 200 days ago, limit 90"
    for folder in ("memory-backup", "memory.aml"):
        beside = memory.with_name(folder)
        assert (beside / ".gitignore").read_text(encoding="utf-8").splitlines()[-1] == "*"
        assert beside.stat().st_mode & 0o077 == 0, "what the store no longer has belongs to its owner alone"
    assert archive.stat().st_mode & 0o077 == 0
