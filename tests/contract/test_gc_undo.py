"""Garbage collection has a way back: records by their neighbours, whole files from quarantine."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.undo import OriginalUndo, UndoReport
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.cli.running import PROJECT
from tests.contract.collecting import counted, quarantined, run_gc, without, write_copy, write_stray
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale
from tests.support.live_writer import agent_lock, append_record
from tests.support.records import solution
from tests.support.stores import Form, encode_array, make_store, read_array, record_spans, tree_digest, write_array

FORMS: list[Form] = ["plain", "gzip"]
GARBAGE = [
    None,
    stale("x", note="older"),
    fresh("a"),
    without(fresh("-"), "id"),
    fresh("x", note="newer"),
    None,
    without(fresh("no-agent"), "agent"),
    without(fresh("no-time"), "timestamp"),
    fresh("b"),
    without(fresh("-", note=2), "id", "agent"),
]


def _everything(tmp_path: Path, form: Form = "plain") -> Path:
    """A store with garbage of every class that is removed."""
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}, "beta": {"patterns": [fresh("z")]}}, form=form)
    write_copy(memory, [fresh("c"), fresh("a")], agent="beta")
    (memory / "alpha/solutions.json").write_bytes(b"")
    (memory / "alpha/decisions.json").write_bytes(encode_array([fresh("d"), fresh("e"), fresh("f")])[:-9])
    write_stray(memory)
    (memory / "global").mkdir()
    write_stray(memory, name="global/cross-agent.json.tmp")
    return memory


def _gc(memory: Path, **options: Any) -> str:
    report = run_gc(memory, max_loss=UNLIMITED, **options)
    assert report.run is not None
    return report.run


def _originals(report: UndoReport) -> dict[str, OriginalUndo]:
    return {one.path: one for one in report.originals}


def _spans(memory: Path) -> list[bytes]:
    return record_spans(memory / "alpha/patterns.json")


@pytest.mark.parametrize("form", FORMS)
def test_gc_of_everything_and_undo_gives_back_every_file_and_record(tmp_path: Path, form: Form) -> None:
    memory = _everything(tmp_path, form)
    before, spans = tree_digest(memory), _spans(memory)
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
    assert _spans(memory) == [spans[2], spans[4], spans[8]]
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
    assert _spans(memory) == spans
    after = tree_digest(memory)
    assert after.keys() == before.keys()
    changed = {path for path in before if after[path] != before[path]}
    assert changed <= {"alpha/patterns.json"}, "only a file from which records were cut has another time"


def test_gc_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    memory = _everything(tmp_path)
    assert run_gc(memory, max_loss=UNLIMITED, salvage=True).status is ExitStatus.DONE
    before = tree_digest(memory)
    again = run_gc(memory, max_loss=UNLIMITED, salvage=True, later_days=1)
    assert (again.status, counted(again), again.changes) == (ExitStatus.DONE, {}, 0)
    assert tree_digest(memory) == before


def test_a_dry_run_leaves_no_trace_and_tells_what_the_run_does(tmp_path: Path) -> None:
    memory = _everything(tmp_path)
    before = tree_digest(tmp_path)
    planned = run_gc(memory, salvage=True, dry_run=True)
    assert tree_digest(tmp_path) == before
    assert sorted(path.name for path in memory.parent.iterdir()) == ["memory"], "not even AML's own folders"
    done = run_gc(memory, salvage=True)
    assert planned.counts == done.counts
    assert planned.records == done.records
    assert [file.steps for file in planned.files] == [file.steps for file in done.files]


def test_an_undo_can_be_tried_without_a_trace(tmp_path: Path) -> None:
    memory = _everything(tmp_path)
    run = _gc(memory, salvage=True)
    before = tree_digest(tmp_path)
    planned = run_undo(memory, run, dry_run=True)
    assert tree_digest(tmp_path) == before
    done = run_undo(memory, run)
    assert (planned.files, planned.originals) == (done.files, done.originals)


# ---- once more, and in parts


def test_undo_twice_does_nothing_more(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    write_stray(memory)
    run = _gc(memory)
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
    run = _gc(memory)
    run_undo(memory, run)
    before = tree_digest(memory)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "k"]
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


def test_undo_twice_does_nothing_more_after_a_salvage(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    path = memory / "alpha/patterns.json"
    path.write_bytes(encode_array([fresh("a"), stale("a"), fresh("k"), fresh("l")])[:-9])
    run = _gc(memory, salvage=True)
    run_undo(memory, run)
    before = tree_digest(memory)
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_of_older_versions_only_leaves_the_file_as_it_is(tmp_path: Path, form: Form) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), fresh("k")]}}, form=form)
    write_copy(memory, [stale("a")])
    before = tree_digest(memory)
    run = _gc(memory)
    after = tree_digest(memory)
    assert after == {path: found for path, found in before.items() if path != "alpha/patterns.json.gz"}
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


def test_a_twin_elsewhere_is_not_the_neighbour_that_went(tmp_path: Path) -> None:
    records = [fresh("a"), without(fresh("a"), "agent"), fresh("b"), fresh("a")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    run = _gc(memory)
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert read_array(memory / "alpha/patterns.json") == records


def test_single_records_come_back_and_whole_files_do_not(tmp_path: Path) -> None:
    memory = _everything(tmp_path)
    run = _gc(memory)
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
    run = _gc(memory)
    assert run_undo(memory, run, "x").files[0].restored == 1
    notes = [one.get("note") for one in read_array(memory / "alpha/patterns.json")]
    assert notes == ["older", None, "newer", None]


# ---- the store went on


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
    spans = _spans(memory)
    run = _gc(memory)
    path = memory / "alpha/patterns.json"
    write_array(path, CHANGES[name](read_array(path)), form=form)
    kept = _spans(memory)
    report = run_undo(memory, run)
    assert report.files[0].restored + len(report.files[0].conflicts) == 7
    assert [one for one in _spans(memory) if one in kept] == kept
    restored = [one for one in _spans(memory) if one not in kept]
    assert restored == [one for one in spans if one in restored], "in their order"
    assert restored.count(b"null") == 2


def test_a_file_that_was_written_to_since_is_left_and_its_records_come_back_by_neighbours(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None, stale("k"), fresh("k")]}})
    copy = write_copy(memory, [fresh("n")])
    data = copy.read_bytes()
    run = _gc(memory)
    path = memory / "alpha/patterns.json"
    write_array(path, [*read_array(path), fresh("later")])
    report = run_undo(memory, run)
    assert report.status is ExitStatus.PARTIAL
    assert "was written to since" in str(_originals(report)["alpha/patterns.json"].problem)
    assert _originals(report)["alpha/patterns.json.gz"].put_back
    assert copy.read_bytes() == data
    assert [one and one["id"] for one in read_array(path)] == ["a", None, "k", "k", "n", "later"]


@pytest.mark.parametrize("data", [b"[]", b"{", b""])
def test_what_took_the_place_of_an_empty_file_or_a_copy_stays(tmp_path: Path, data: bytes) -> None:
    memory = _everything(tmp_path)
    run = _gc(memory)
    for path in ("alpha/solutions.json", "beta/patterns.json.gz", "alpha/patterns.json.tmp"):
        assert not (memory / path).exists()
        (memory / path).write_bytes(data)
    report = run_undo(memory, run)
    assert report.status is (ExitStatus.PARTIAL)
    assert (memory / "beta/patterns.json.gz").read_bytes() == data
    assert (memory / "alpha/solutions.json").read_bytes() == data
    told = _originals(report)["beta/patterns.json.gz"].problem or ""
    assert "quarantine" in told, "and where its original lies"


def test_an_agent_folder_that_is_gone_is_made_again(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    copy = write_copy(memory, [fresh("n")])
    data = copy.read_bytes()
    run = _gc(memory)
    shutil.rmtree(memory / "alpha")
    report = run_undo(memory, run)
    assert (memory / "alpha/solutions.json").read_bytes() == b""
    assert copy.read_bytes() == data
    assert len(read_array(memory / "alpha/patterns.json")) == 7
    assert report.status is ExitStatus.PARTIAL, "what gc wrote is gone, and its original was not put in its place"


def test_what_aml_prune_did_in_between_is_no_hindrance(tmp_path: Path) -> None:
    records = [*GARBAGE, *(fresh(f"f{number}") for number in range(5)), stale("old")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    spans = _spans(memory)
    collected = _gc(memory)
    pruned = run_prune(memory, max_loss=UNLIMITED).run
    run_undo(memory, collected)
    run_undo(memory, pruned)
    assert _spans(memory) == spans


def test_what_prune_took_and_gave_back_in_between_is_no_hindrance_to_whole_files(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    path = memory / "alpha/patterns.json"
    data = encode_array([fresh("a"), fresh("b"), stale("old")]).replace(b",\n  {", b" ,{", 1)
    path.write_bytes(data)
    write_copy(memory, [fresh("n")])
    collected = _gc(memory)
    run_undo(memory, run_prune(memory, max_loss=UNLIMITED).run)
    assert run_undo(memory, collected).status is ExitStatus.DONE
    assert path.read_bytes() == data


# ---- attributes, other forms


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_put_back_has_its_mode_and_time(tmp_path: Path, mode: int) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    paths = [memory / "alpha/solutions.json", write_copy(memory, [fresh("n")]), write_stray(memory)]
    for path in paths:
        path.chmod(mode)
    before = tree_digest(memory)
    run_undo(memory, _gc(memory))
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in paths] == [oct(mode)] * 3
    assert tree_digest(memory) == before


def test_a_copy_without_its_file_is_a_copy_without_its_file_again(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}})
    write_copy(memory, [fresh("a"), None, fresh("b")])
    before = tree_digest(memory)
    run = _gc(memory)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "b"]
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_without_its_file_becomes_the_file(tmp_path: Path, form: Form) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}}, form=form)
    copy = write_copy(memory, [fresh("a"), fresh("b")])
    data = copy.read_bytes()
    run = _gc(memory)
    path = memory / "alpha/patterns.json"
    assert [one["id"] for one in read_array(path)] == ["a", "b"]
    assert path.read_bytes().startswith(b"\x1f\x8b") == (form == "gzip"), "in the form of its neighbours"
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 <= 0o044
    run_undo(memory, run)
    assert copy.read_bytes() == data


def test_a_neighbour_that_is_a_link_does_not_stop_a_copy_from_becoming_the_file(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}})
    write_copy(memory, [fresh("a"), None])
    (memory / "alpha/decisions.json").symlink_to(tmp_path / "gone")
    report = run_gc(memory)
    assert {file.kind: file.problem for file in report.files if file.problem}.keys() == {"decisions"}
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a"]


def test_a_copy_that_is_plain_json_is_merged_too(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    copy = memory / "alpha/patterns.json.gz"
    copy.write_bytes(encode_array([fresh("b")]))
    before = tree_digest(memory)
    run = _gc(memory)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "b"]
    assert not copy.exists()
    run_undo(memory, run)
    assert tree_digest(memory) == before


def test_a_damaged_copy_leaves_both_alone_unless_it_is_salvaged(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}})
    copy = memory / "alpha/patterns.json.gz"
    copy.write_bytes(gzip.compress(encode_array([fresh("b"), fresh("c")])[:-9], mtime=0))
    before = tree_digest(memory)
    assert run_gc(memory).status is ExitStatus.DAMAGED
    assert tree_digest(memory) == before
    report = run_gc(memory, salvage=True)
    assert counted(report) == {"null_element": 1, "salvaged_file": 1}
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "b"]
    run_undo(memory, report.run)
    assert tree_digest(memory) == before


def test_a_damaged_file_stops_the_merge_of_its_copy(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}})
    (memory / "alpha/patterns.json").write_bytes(b'[{"id": "a"}')
    write_copy(memory, [fresh("b")])
    before = tree_digest(memory)
    report = run_gc(memory)
    assert (report.status, counted(report)) == (ExitStatus.PARTIAL, {"damaged_file": 1})
    assert tree_digest(memory) == before


def test_what_is_salvaged_is_json(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    parts = [json.dumps(fresh(ident)).encode() for ident in "abcd"]
    broken = parts[1].replace(b'"agent":', b'"agent"', 1)
    path = memory / "alpha/patterns.json"
    path.write_bytes(b"[" + b", ".join([parts[0], broken, parts[2], parts[3][:-30]]))
    run_gc(memory, salvage=True)
    assert [one["id"] for one in read_array(path)] == ["a", "c"]


def test_a_version_that_cannot_stay_does_not_keep_that_of_the_copy_away(tmp_path: Path) -> None:
    useless = without(fresh("x", note="useless"), "agent")
    memory = make_store(tmp_path, {"alpha": {"patterns": [useless, fresh("k")]}})
    write_copy(memory, [stale("x", note="complete")])
    run_gc(memory, max_loss=UNLIMITED)
    notes = {one["id"]: one.get("note") for one in read_array(memory / "alpha/patterns.json")}
    assert notes == {"x": "complete", "k": None}


# ---- AML's own files, damaged or hostile


HOSTILE = ["../x", "a/../b", "alpha/..", "/etc/passwd", "alpha/x/y", "x", "", "alpha/", ".git/config", "alpha/a\0b"]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_journal_that_names_a_strange_file_is_not_obeyed(tmp_path: Path, path: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    run = _gc(memory)
    journal = memory.with_name("memory.aml") / f"runs/{run}.json"
    told = json.loads(journal.read_bytes())
    told["quarantined"] = [path]
    journal.write_text(json.dumps(told), encoding="utf-8")
    before = tree_digest(memory)
    for dry_run in (True, False):
        with pytest.raises(DamagedError, match="journal"):
            run_undo(memory, run, dry_run=dry_run)
    assert tree_digest(memory) == before


def _origin_of(place: Path) -> Path:
    return place.parents[1] / ".origin" / place.parent.name / place.name


def _spoil_origin(place: Path) -> None:
    _origin_of(place).write_bytes(b'{"run": 1')


def _another_origin(place: Path) -> None:
    origin = _origin_of(place)
    origin.write_text(json.dumps(json.loads(origin.read_bytes()) | {"path": "alpha/metrics.json"}), encoding="utf-8")


def _spoil_bytes(place: Path) -> None:
    place.write_bytes(b"[1]")


def _lose(place: Path) -> None:
    shutil.rmtree(place.parent)


@pytest.mark.parametrize("spoil", [_spoil_origin, _another_origin, _spoil_bytes, _lose])
def test_an_original_that_is_damaged_or_gone_is_told_and_nothing_is_made_of_it(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}, "beta": {}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    (memory / "beta/solutions.json").write_bytes(b"")
    run = _gc(memory)
    (place,) = memory.with_name("memory-backup").glob("quarantine/*/beta/solutions.json")
    spoil(place)
    report = run_undo(memory, run)
    assert report.status in (ExitStatus.PARTIAL, ExitStatus.FAILED)
    assert str(place.parents[1]) in str(_originals(report)["beta/solutions.json"].problem)
    assert not (memory / "beta/solutions.json").exists()
    assert (memory / "alpha/solutions.json").read_bytes() == b"", "the others come back"
    assert read_array(memory / "alpha/patterns.json")[1] is None


@pytest.mark.parametrize("what", ["file", "link to nowhere", "link to a folder"])
def test_something_in_the_way_of_the_quarantine_stops_every_change(tmp_path: Path, what: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    write_copy(memory, [fresh("b")])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    in_the_way = memory.with_name("memory-backup") / "quarantine"
    in_the_way.parent.mkdir()
    if what == "file":
        in_the_way.write_bytes(b"")
    else:
        in_the_way.symlink_to(elsewhere if what.endswith("folder") else tmp_path / "gone/gone")
    before = tree_digest(memory)
    try:
        status = run_gc(memory).status
    except AmlError as error:
        status = error.status
    if what == "link to a folder" and status is ExitStatus.DONE:
        assert list(elsewhere.rglob("solutions.json")), "who links it elsewhere finds all of it there"
        return
    assert status is ExitStatus.FAILED
    assert tree_digest(memory) == before
    in_the_way.unlink()
    assert run_gc(memory).status is ExitStatus.DONE, "with the obstacle gone, the next run does it"


def test_a_lost_archive_does_not_keep_whole_files_from_coming_back(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    run = _gc(memory)
    (archive,) = memory.with_name("memory-backup").rglob("*.jsonl.gz")
    archive.unlink()
    with suppress(DamagedError, FileAccessError):
        run_undo(memory, run)
    assert (memory / "alpha/solutions.json").exists()


def test_the_longest_name_of_an_unfinished_write_is_no_hindrance(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    path = write_stray(memory, name=f"alpha/{'x' * 245}.json.tmp")
    run = _gc(memory)
    assert not path.exists()
    run_undo(memory, run)
    assert path.exists()


# ---- death and writers


def _dies(memory: Path, where: str, number: int) -> None:
    """A gc in a child that is gone in the moment before it calls that method of a transaction for the n-th time."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from aml.store.transact import Transaction\n"
        "from tests.contract.collecting import run_gc\n"
        "where, left = sys.argv[2], [int(sys.argv[3])]\n"
        "real = getattr(Transaction, where)\n"
        "def dying(*args, **options):\n"
        "    left[0] -= 1\n"
        "    if not left[0]:\n"
        "        os._exit(9)\n"
        "    return real(*args, **options)\n"
        "setattr(Transaction, where, dying)\n"
        "run_gc(Path(sys.argv[1]), max_loss=1.0, salvage=True)\n"
    )
    words = [sys.executable, "-c", script, str(memory), where, str(number)]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, timeout=60)
    assert done.returncode == 9, done.stderr.decode()


@pytest.mark.parametrize(("where", "number"), [("replace_as", 1), ("replace_as", 2), ("remove", 1), ("remove", 3)])
def test_a_run_that_died_is_ended_by_the_next_and_both_can_be_undone(tmp_path: Path, where: str, number: int) -> None:
    memory = _everything(tmp_path)
    spans, before = _spans(memory), tree_digest(memory)
    _dies(memory, where, number)
    report = run_gc(memory, max_loss=UNLIMITED, salvage=True, later_days=0.01)
    assert report.status is ExitStatus.DONE
    assert not list(memory.rglob("*.lock"))
    found = [run for run in prune_history(open_store(memory)) if run.quarantined or any(f.removed for f in run.files)]
    for run in found:
        assert run_undo(memory, run.id, later_days=0.02).status is ExitStatus.DONE
    assert _spans(memory) == spans
    after = tree_digest(memory)
    assert {path for path in before if after.get(path) != before[path]} <= {"alpha/patterns.json"}
    assert after.keys() == before.keys()


def test_a_record_that_stands_in_the_copy_only_was_not_removed_by_a_run_that_died(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), fresh("k")]}})
    write_copy(memory, [fresh("n"), without(fresh("q"), "agent")])
    before = tree_digest(memory)
    _dies(memory, "replace_as", 1)
    assert tree_digest(memory) == before
    run_gc(memory, max_loss=UNLIMITED, later_days=0.01)
    dead = prune_history(open_store(memory))[1]
    assert (dead.state, [len(file.removed) for file in dead.files]) == ("interrupted", [0])


def test_a_live_writer_loses_nothing_and_is_not_harmed(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None, stale("x"), fresh("x")]}})
    write_copy(memory, [fresh("n")])
    path = memory / "alpha/patterns.json"
    with agent_lock(path):
        append_record(path, fresh("live"))
        assert run_gc(memory, max_loss=UNLIMITED, locks=LockPolicy(timeout=0.2, rest=0)).status is ExitStatus.LOCKED
        append_record(path, fresh("live-2"))
    assert run_gc(memory, max_loss=UNLIMITED).status is ExitStatus.DONE
    assert [one["id"] for one in read_array(path)] == ["a", "x", "live", "live-2", "n"]


def test_a_folder_that_cannot_be_written_to_is_named_and_left(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    memory = _everything(tmp_path)
    before = tree_digest(memory)
    (memory / "alpha").chmod(0o500)
    try:
        report = run_gc(memory, max_loss=UNLIMITED)
    finally:
        (memory / "alpha").chmod(0o755)
    assert report.status is ExitStatus.FAILED
    assert {path for path in before if tree_digest(memory).get(path) != before[path]} == {
        "beta/patterns.json",
        "beta/patterns.json.gz",
        "global/cross-agent.json.tmp",
    }


# ---- the ledger knows of it


def test_history_tells_of_gc_and_of_its_undo(tmp_path: Path) -> None:
    memory = _everything(tmp_path)
    run = _gc(memory)
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
    _gc(memory)
    write_array(memory / "alpha/patterns.json", [fresh("a"), None])
    before = tree_digest(memory)
    with pytest.raises(AmlError, match="trust-clock"):
        run_gc(memory, later_days=days)
    assert tree_digest(memory) == before
    assert run_gc(memory, later_days=days, trust_clock=True).total("removed") == 1


def test_both_versions_of_an_id_come_back_whichever_run_is_undone_first(tmp_path: Path) -> None:
    older, newer = stale("x", note="older", executions=4), stale("x", note="newer", executions=5)
    memory = make_store(tmp_path, {"alpha": {"patterns": [older, fresh("k"), newer]}})
    spans = _spans(memory)
    run = _gc(memory)
    pruned = run_prune(memory, max_loss=UNLIMITED, later_days=0.1)
    assert len(_spans(memory)) == 1
    for undone in (run, str(pruned.run)):
        report = run_undo(memory, undone, later_days=0.2)
        assert report.status is ExitStatus.DONE, report
    assert sorted(_spans(memory)) == sorted(spans)


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


@pytest.mark.parametrize(
    "harm", [{"mode": 2**70}, {"mode": -1}, {"mode": 0o6777}, {"mtime_ns": -1}, {"mtime_ns": 2**63}]
)
def test_a_note_that_no_system_could_follow_is_damage(tmp_path: Path, harm: dict[str, int]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    run = _gc(memory)
    (origin,) = memory.with_name("memory-backup").rglob(".origin/alpha/solutions.json")
    origin.write_text(json.dumps(json.loads(origin.read_text()) | harm))
    report = run_undo(memory, run)
    assert report.status is ExitStatus.DAMAGED
    assert not (memory / "alpha/solutions.json").exists()


def test_a_twin_that_never_left_is_not_taken_for_one_that_another_undo_put_back(tmp_path: Path) -> None:
    records = [fresh("a"), None, without(fresh("q"), "agent"), fresh("a")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    spans = _spans(memory)
    first = run_gc(memory, max_loss=0.25)
    between = _spans(memory)
    second = run_gc(memory, max_loss=UNLIMITED, later_days=1)
    run_undo(memory, str(second.run), later_days=2)
    assert _spans(memory) == between
    run_undo(memory, str(first.run), later_days=3)
    assert _spans(memory) == spans
