"""The order of runs is that of their numbers, and a run under a wrong clock does not make that clock right."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.errors import ClockError
from aml.model.timestamps import SECONDS_PER_DAY
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale, totals
from tests.support.records import pattern
from tests.support.stores import make_store, read_array, tree_digest


def _days(seconds: float) -> float:
    return seconds / SECONDS_PER_DAY


def _hundred(tmp_path: Path) -> Path:
    return make_store(tmp_path, {"alpha": {"patterns": [stale(f"s{n}") for n in range(100)]}})


@pytest.mark.parametrize("back", [0, 1, 60, 200, 290])
def test_a_clock_that_steps_back_a_little_does_not_widen_the_budget(tmp_path: Path, back: float) -> None:
    """Pruned, undone, clock set back: the runs after that are newer than the undo, whatever their time says."""
    memory = _hundred(tmp_path)
    run_undo(memory, run_prune(memory, later_days=_days(-10)).run, later_days=_days(-5))
    removed = [totals(run_prune(memory, later_days=_days(number - back)))["removed"] for number in range(4)]
    assert removed == [30, 20, 0, 0]


@pytest.mark.parametrize("back", [0, 200])
def test_what_came_back_is_seen_under_a_clock_that_stepped_back(tmp_path: Path, back: float) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("s"), *(fresh(f"f{n}") for n in range(9))]}})
    path = memory / "alpha/patterns.json"
    cached = path.read_bytes()
    run_undo(memory, run_prune(memory, later_days=_days(-10)).run, later_days=_days(-5))
    assert totals(run_prune(memory, later_days=_days(-back)))["removed"] == 1
    path.write_bytes(cached)
    assert totals(run_prune(memory, later_days=_days(1 - back)))["came_back"] == 1


def test_what_was_put_back_did_not_come_back_under_a_clock_that_stepped_back(tmp_path: Path) -> None:
    """The undo is the newer of the two, although its time is the earlier one."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("s"), *(fresh(f"f{n}") for n in range(9))]}})
    run = run_prune(memory).run
    run_undo(memory, run, later_days=_days(-200))
    assert totals(run_prune(memory, later_days=_days(10), max_loss=0.0))["came_back"] == 0


@pytest.mark.parametrize("years", [3, 30])
def test_a_run_trusted_in_the_future_is_not_the_last_word_for_ever(tmp_path: Path, years: int) -> None:
    """Its removals were undone by a run of today, so they neither count as lost nor as come back."""
    memory = _hundred(tmp_path)
    run_prune(memory, max_loss=0.0)
    ahead = run_prune(memory, later_days=years * 365, trust_clock=True)
    assert totals(ahead)["removed"] == 30
    run_undo(memory, ahead.run)
    report = run_prune(memory, later_days=1, trust_clock=True)
    assert (totals(report)["came_back"], totals(report)["removed"]) == (0, 30)


def _lately_used(tmp_path: Path) -> Path:
    """One record that may go, and ten that only a clock far ahead would judge old."""
    return make_store(
        tmp_path, {"alpha": {"patterns": [stale("s"), *(pattern(id=f"p{n}", unused_days=1) for n in range(10))]}}
    )


@pytest.mark.parametrize("later_days", [61, 400, 4000])
def test_an_undo_does_not_make_a_clock_ahead_believed(tmp_path: Path, later_days: float) -> None:
    memory = _lately_used(tmp_path)
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    run = run_prune(memory).run
    assert run_undo(memory, run, later_days=later_days).files[0].restored == 1
    assert path.read_bytes() == before
    for _ in range(2):
        with pytest.raises(ClockError, match="--trust-clock"):
            run_prune(memory, later_days=later_days, max_loss=UNLIMITED)
    assert path.read_bytes() == before
    assert any("--trust-clock" in note for note in run_prune(memory, later_days=later_days, dry_run=True).notes)


@pytest.mark.parametrize("later_days", [-400, 400])
def test_an_undo_under_a_wrong_clock_does_not_make_the_right_one_refused(tmp_path: Path, later_days: float) -> None:
    memory = _lately_used(tmp_path)
    run_undo(memory, run_prune(memory).run, later_days=later_days)
    assert totals(run_prune(memory, later_days=1))["removed"] == 1


def test_an_undo_under_a_clock_behind_does_not_make_it_believed(tmp_path: Path) -> None:
    memory = _lately_used(tmp_path)
    run = run_prune(memory).run
    run_undo(memory, run, later_days=-30)
    before = tree_digest(memory)
    with pytest.raises(ClockError):
        run_prune(memory, later_days=-30)
    assert tree_digest(memory) == before


def test_undos_under_a_right_clock_keep_it_believed(tmp_path: Path) -> None:
    """A store that is only ever undone for months is not refused: each undo fits the run before it."""
    memory = _lately_used(tmp_path)
    run = run_prune(memory).run
    for month in range(1, 5):
        run_undo(memory, run, later_days=month * 50)
    assert totals(run_prune(memory, later_days=220, max_loss=0.0))["removed"] == 0
    assert len(read_array(memory / "alpha/patterns.json")) == 11
