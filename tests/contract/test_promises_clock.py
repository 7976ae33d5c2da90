"""No clock is believed blindly: ages are judged only where now fits the run journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.errors import ClockError, ExitStatus
from tests.contract.pruning import UNLIMITED, fresh, run_prune, run_undo, stale
from tests.support.stores import make_store, tree_digest

MINUTE = 1 / (24 * 60)


def _store_with_a_run(tmp_path: Path) -> Path:
    """A store that was pruned at NOW, in which something is left to prune."""
    records = [*(stale(f"s{n}") for n in range(60)), *(fresh(f"f{n}") for n in range(40))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    assert run_prune(memory).status is ExitStatus.PARTIAL
    return memory


@pytest.mark.parametrize("later_days", [-400, -1, -6 * MINUTE, 61, 4000])
def test_a_clock_that_contradicts_the_newest_run_is_refused(tmp_path: Path, later_days: float) -> None:
    memory = _store_with_a_run(tmp_path)
    before = tree_digest(memory)
    journal = tree_digest(memory.with_name("memory.aml") / "runs")
    with pytest.raises(ClockError, match="--trust-clock"):
        run_prune(memory, later_days=later_days)
    assert tree_digest(memory) == before
    assert tree_digest(memory.with_name("memory.aml") / "runs") == journal


@pytest.mark.parametrize("later_days", [-4 * MINUTE, 0, 1, 59])
def test_a_clock_that_fits_is_believed(tmp_path: Path, later_days: float) -> None:
    memory = _store_with_a_run(tmp_path)
    assert run_prune(memory, later_days=later_days).total("removed") > 0


@pytest.mark.parametrize("later_days", [-400, 61])
def test_trust_in_the_clock_can_be_confirmed(tmp_path: Path, later_days: float) -> None:
    memory = _store_with_a_run(tmp_path)
    report = run_prune(memory, later_days=later_days, trust_clock=True, max_loss=UNLIMITED)
    assert report.run is not None
    assert (report.total("removed") > 0) == (later_days > 0)
    run_prune(
        memory, later_days=later_days + 1
    )  # the newest run is the trusted one, so its time is believed from now on


@pytest.mark.parametrize("later_days", [-1, 61])
def test_a_dry_run_warns_and_goes_on(tmp_path: Path, later_days: float) -> None:
    memory = _store_with_a_run(tmp_path)
    report = run_prune(memory, later_days=later_days, dry_run=True)
    assert any("--trust-clock" in note for note in report.notes)
    assert report.status is ExitStatus.DONE
    assert report.total("records") == 70


def test_a_dry_run_with_a_good_clock_does_not_warn(tmp_path: Path) -> None:
    assert run_prune(_store_with_a_run(tmp_path), later_days=1, dry_run=True).notes == ()


def test_without_any_run_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    assert run_prune(memory, later_days=9999, max_loss=0.0).notes == ()


def test_undo_goes_by_no_clock(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("a"), fresh("b"), fresh("c")]}})
    run = run_prune(memory).run
    assert run_undo(memory, run, later_days=-500).files[0].restored == 1


def test_the_newest_run_is_told_by_its_number_and_not_by_its_time(tmp_path: Path) -> None:
    """A run that was trusted under a clock in the future must not refuse every run after the clock was mended."""
    memory = _store_with_a_run(tmp_path)
    run_prune(memory, later_days=3650, trust_clock=True, max_loss=0.0)
    with pytest.raises(ClockError):
        run_prune(memory, later_days=1)
    run_prune(memory, later_days=1, trust_clock=True, max_loss=0.0)
    assert run_prune(memory, later_days=2, max_loss=UNLIMITED).status is ExitStatus.DONE
