"""Hazards of removing: no record goes without its archive, and one that comes back is noticed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from aml.errors import AmlError, ExitStatus
from aml.store.open import open_store
from aml.workflows.undo import prune_history
from tests.contract.pruning import UNLIMITED, fresh, problems, removed_ids, run_prune, run_undo, stale
from tests.support.records import solution
from tests.support.stores import make_store, read_array, tree_digest

RECORDS = [fresh("a"), stale("b"), fresh("c"), stale("d"), fresh("e")]
OBSTACLES = ["memory-backup", "memory-backup/archives", "memory-backup/archives/alpha", "memory.aml", "memory.aml/runs"]


def _store(tmp_path: Path) -> Path:
    kinds = {"patterns": RECORDS, "solutions": [solution(id="s1", worked=False), solution(id="s2")]}
    return make_store(tmp_path, {"alpha": kinds})


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("dangling", [False, True], ids=["a file", "a dangling link"])
def test_h46_no_archive_no_removal(tmp_path: Path, obstacle: str, dangling: bool) -> None:
    """H46: the archive could not be written, and the records went anyway."""
    memory = _store(tmp_path)
    in_the_way = memory.parent / obstacle
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    if dangling:
        in_the_way.symlink_to(tmp_path / "gone" / "gone")
    else:
        in_the_way.write_bytes(b"")
    before = tree_digest(memory)
    assert _status_of_prune(memory) is ExitStatus.FAILED
    assert tree_digest(memory) == before, "not a byte of the store changed, and no stray file or lock stays"
    in_the_way.unlink()
    again = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(again) == ["b", "d", "s1"], "with the obstacle gone, the next run does it"
    assert again.total("came_back") == 0, "what never went cannot come back"


def _status_of_prune(memory: Path) -> ExitStatus:
    try:
        report = run_prune(memory, max_loss=UNLIMITED)
    except AmlError as error:
        return error.status
    assert report.total("removed") == 0
    assert set(problems(report)) == {"alpha/patterns", "alpha/solutions"}
    return report.status


def test_h46_a_disk_that_takes_no_more_bytes(tmp_path: Path) -> None:
    """H46: an archive written by halves is no archive."""
    noise = random.Random(7)
    # text that does not compress, so that the archive is larger than a file may be
    big = [stale(f"old-{number}", note=noise.randbytes(3000).hex()) for number in range(10)] + [fresh("f")]
    memory = make_store(tmp_path, {"alpha": {"patterns": big}})
    before = tree_digest(memory)
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "from aml.__main__ import main\n"
        "sys.argv = ['aml', '--store', sys.argv[1], 'prune', '--max-loss', '100%']\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(memory)], capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitStatus.FAILED, done.stderr
    assert "Traceback" not in done.stderr
    assert tree_digest(memory) == before
    assert list(memory.parent.rglob("*.jsonl.gz")) == []


def test_h51_records_that_come_back_are_counted_reported_and_pruned_again(tmp_path: Path) -> None:
    """H51: a live agent's cached copy brought pruned records back, unnoticed."""
    memory = _store(tmp_path)
    path = memory / "alpha/patterns.json"
    cached = path.read_bytes()
    first = run_prune(memory, max_loss=UNLIMITED)
    path.write_bytes(cached)
    planned = run_prune(memory, max_loss=UNLIMITED, dry_run=True, later_days=1)
    second = run_prune(memory, max_loss=UNLIMITED, later_days=1)
    assert planned.total("came_back") == second.total("came_back") == 2
    assert [file.came_back for file in second.files if file.kind == "solutions"] == [0]
    assert removed_ids(second) == ["b", "d"], "they are pruned again like any record"
    assert [one["id"] for one in read_array(path)] == ["a", "c", "e"]
    assert run_prune(memory, max_loss=UNLIMITED, later_days=2).total("came_back") == 0
    assert {run.id for run in prune_history(open_store(memory)) if run.counts.get("came_back")} == {second.run}
    assert first.total("came_back") == 0


def test_h51_what_undo_put_back_did_not_come_back(tmp_path: Path) -> None:
    """H51: a record that its owner wanted back is no sign of a live agent."""
    memory = _store(tmp_path)
    run = run_prune(memory, max_loss=UNLIMITED).run
    run_undo(memory, run)
    assert run_prune(memory, max_loss=UNLIMITED, later_days=1, dry_run=True).total("came_back") == 0


def test_h51_a_twin_that_stayed_did_not_come_back(tmp_path: Path) -> None:
    """H51: of two versions of one id the old one went; the newer one was there all along."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("x"), fresh("x"), fresh("y"), fresh("z")]}})
    assert run_prune(memory, max_loss=UNLIMITED).total("removed") == 1
    assert run_prune(memory, max_loss=UNLIMITED, later_days=1).total("came_back") == 0


def test_h51_what_came_back_is_not_lost(tmp_path: Path) -> None:
    """H51: the loss budget of 30 days counts what is gone, and a record that came back is not."""
    records = [stale(f"s{number:03}") for number in range(30)] + [fresh(f"f{number:03}") for number in range(70)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    path = memory / "alpha/patterns.json"
    cached = path.read_bytes()
    for day in range(4):
        report = run_prune(memory, later_days=day)
        assert (report.total("removed"), report.total("deferred")) == (30, 0), f"day {day}"
        assert report.status is ExitStatus.DONE
        path.write_bytes(cached)
