"""Whole files and garbage collection: copies, quarantine and its notes, what stands in the way, deaths and writers."""

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

import pytest

from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError
from aml.fs.runtime_lock import LockPolicy
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.cli.running import PROJECT
from tests.contract.collecting import (
    FORMS,
    counted,
    everything,
    gc_run,
    originals_of,
    run_gc,
    spans_of,
    without,
    write_copy,
    write_stray,
)
from tests.contract.pruning import UNLIMITED, fresh, run_undo, stale
from tests.support.live_writer import agent_lock, append_record
from tests.support.records import solution
from tests.support.stores import Form, encode_array, make_store, read_array, tree_digest


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_put_back_has_its_mode_and_time(tmp_path: Path, mode: int) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    paths = [memory / "alpha/solutions.json", write_copy(memory, [fresh("n")]), write_stray(memory)]
    for path in paths:
        path.chmod(mode)
    before = tree_digest(memory)
    run_undo(memory, gc_run(memory))
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in paths] == [oct(mode)] * 3
    assert tree_digest(memory) == before


def test_a_copy_without_its_file_is_a_copy_without_its_file_again(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}})
    write_copy(memory, [fresh("a"), None, fresh("b")])
    before = tree_digest(memory)
    run = gc_run(memory)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "b"]
    assert run_undo(memory, run).status is ExitStatus.DONE
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_without_its_file_becomes_the_file(tmp_path: Path, form: Form) -> None:
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s")]}}, form=form)
    copy = write_copy(memory, [fresh("a"), fresh("b")])
    data = copy.read_bytes()
    run = gc_run(memory)
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
    run = gc_run(memory)
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


HOSTILE = ["../x", "a/../b", "alpha/..", "/etc/passwd", "alpha/x/y", "x", "", "alpha/", ".git/config", "alpha/a\0b"]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_journal_that_names_a_strange_file_is_not_obeyed(tmp_path: Path, path: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    run = gc_run(memory)
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
    run = gc_run(memory)
    (place,) = memory.with_name("memory-backup").glob("quarantine/*/beta/solutions.json")
    spoil(place)
    report = run_undo(memory, run)
    assert report.status in (ExitStatus.PARTIAL, ExitStatus.FAILED)
    assert str(place.parents[1]) in str(originals_of(report)["beta/solutions.json"].problem)
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
    run = gc_run(memory)
    (archive,) = memory.with_name("memory-backup").rglob("*.jsonl.gz")
    archive.unlink()
    with suppress(DamagedError, FileAccessError):
        run_undo(memory, run)
    assert (memory / "alpha/solutions.json").exists()


def test_the_longest_name_of_an_unfinished_write_is_no_hindrance(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    path = write_stray(memory, name=f"alpha/{'x' * 245}.json.tmp")
    run = gc_run(memory)
    assert not path.exists()
    run_undo(memory, run)
    assert path.exists()


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
    memory = everything(tmp_path)
    spans, before = spans_of(memory), tree_digest(memory)
    _dies(memory, where, number)
    report = run_gc(memory, max_loss=UNLIMITED, salvage=True, later_days=0.01)
    assert report.status is ExitStatus.DONE
    assert not list(memory.rglob("*.lock"))
    found = [run for run in prune_history(open_store(memory)) if run.quarantined or any(f.removed for f in run.files)]
    for run in found:
        assert run_undo(memory, run.id, later_days=0.02).status is ExitStatus.DONE
    assert spans_of(memory) == spans
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
    memory = everything(tmp_path)
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


@pytest.mark.parametrize(
    "harm", [{"mode": 2**70}, {"mode": -1}, {"mode": 0o6777}, {"mtime_ns": -1}, {"mtime_ns": 2**63}]
)
def test_a_note_that_no_system_could_follow_is_damage(tmp_path: Path, harm: dict[str, int]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    run = gc_run(memory)
    (origin,) = memory.with_name("memory-backup").rglob(".origin/alpha/solutions.json")
    origin.write_text(json.dumps(json.loads(origin.read_text()) | harm))
    report = run_undo(memory, run)
    assert report.status is ExitStatus.DAMAGED
    assert not (memory / "alpha/solutions.json").exists()
