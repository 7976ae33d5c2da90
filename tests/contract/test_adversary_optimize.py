"""What an adversary tried against garbage collection, compression and making room."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import aml, small_store
from tests.contract.collecting import run_gc, without
from tests.contract.pruning import fresh, run_undo
from tests.support.stores import gunzipped, make_store, record_spans


def test_the_archive_of_many_versions_of_one_id_grows_no_faster_than_their_file(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("same", n=number) for number in range(600)]}})
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    report = run_gc(memory, max_loss=0.3)
    archives = (memory.parent / "memory-backup/archives").rglob("*.gz")
    archived = sum(len(gunzipped(one.read_bytes())) for one in archives)
    assert run_undo(memory, report.run).status is ExitStatus.DONE
    assert path.read_bytes() == before
    assert archived < 3 * len(before)


def test_an_integer_of_many_digits_in_a_record_without_an_agent_stops_no_garbage_collection(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("k"), None]}})
    path = memory / "alpha/patterns.json"
    odd = b'{"id":"x","timestamp":"2026-01-01T00:00:00Z","note":' + b"1" * 5000 + b"}"
    path.write_bytes(b"[" + odd + b"," + path.read_bytes().strip()[1:])
    run_gc(memory, max_loss=1.0)
    assert b"null" not in path.read_bytes()


def test_two_runs_undone_newest_first_put_back_the_order_also_beside_an_identical_twin(tmp_path: Path) -> None:
    twin = fresh("a")
    memory = make_store(tmp_path, {"alpha": {"patterns": [twin, None, without(fresh("q"), "agent"), twin]}})
    path = memory / "alpha/patterns.json"
    before = record_spans(path)
    first = run_gc(memory, max_loss=0.34)
    second = run_gc(memory, max_loss=0.5, later_days=1)
    assert len(record_spans(path)) == 1
    run_undo(memory, second.run, later_days=2)
    run_undo(memory, first.run, later_days=2)
    assert record_spans(path) == before


@pytest.mark.parametrize("told", [{"mode": 1 << 70}, {"mtime_ns": -(10**30)}], ids=["mode", "mtime"])
def test_an_origin_that_tells_nonsense_is_damage_and_no_traceback(tmp_path: Path, told: dict[str, int]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("k")]}})
    (memory / "alpha/solutions.json").write_bytes(b"")
    report = run_gc(memory)
    folder = memory.with_name("memory-backup") / f"quarantine/{report.run}/.origin/alpha"
    origin = folder / "solutions.json"
    origin.write_text(json.dumps(json.loads(origin.read_bytes()) | told))
    undone = run_undo(memory, report.run)
    assert [one.status for one in undone.originals] == [ExitStatus.DAMAGED]


def test_a_file_put_back_never_gets_more_than_rights_to_read_and_write_and_run(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("k")]}})
    empty = memory / "alpha/solutions.json"
    empty.write_bytes(b"")
    report = run_gc(memory)
    origin = memory.with_name("memory-backup") / f"quarantine/{report.run}/.origin/alpha/solutions.json"
    origin.write_text(json.dumps(json.loads(origin.read_bytes()) | {"mode": -1}))
    run_undo(memory, report.run)
    assert not empty.exists() or not empty.stat().st_mode & 0o7000


def test_a_plan_is_never_written_in_place_of_the_settings(tmp_path: Path) -> None:
    small_store(tmp_path)
    assert aml(tmp_path, "prune", "--plan", ".loom/aml.toml").status == ExitStatus.USAGE
    assert aml(tmp_path, "prune", "--dry-run").status == ExitStatus.DONE


def test_one_emoji_in_a_file_does_not_double_the_memory_that_judging_it_takes(tmp_path: Path) -> None:
    peaks = []
    for number, sign in enumerate(("", "\U0001f600")):
        records = [fresh(f"k{one}", pad="x" * 1000 + sign) for one in range(1500)]
        memory = make_store(tmp_path / str(number), {"alpha": {"patterns": [*records, None]}})
        tracemalloc.start()
        run_gc(memory, dry_run=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
