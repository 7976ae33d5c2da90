"""The loss budget: no run takes more than its share, the least valuable go first, and the rest is said to wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.config import PruneSettings
from aml.errors import ExitStatus
from tests.contract.pruning import UNLIMITED, fresh, removed_ids, run_prune, run_undo, stale
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import encode_array, make_store, read_array


def _stale(number: int, start: int = 0) -> list[object]:
    return [stale(f"s{index:04}") for index in range(start, start + number)]


def _store(tmp_path: Path, number: int) -> Path:
    return make_store(tmp_path, {"alpha": {"patterns": _stale(number)}})


def _removed_by_runs(memory: Path, days: list[float], max_loss: float | None = None) -> list[int]:
    return [run_prune(memory, later_days=day, max_loss=max_loss).total("removed") for day in days]


# Per run 30 % of what is there. Within 30 days 50 % of what is there and what went. An agent of up to 66 records may
# once lose 20, but never above half of its records.
@pytest.mark.parametrize(
    ("records", "first", "second", "third"),
    [
        (1, 0, 0, 0),
        (2, 1, 0, 0),
        (3, 1, 0, 0),
        (10, 5, 0, 0),
        (39, 19, 0, 0),
        (40, 20, 0, 0),
        (41, 20, 0, 0),
        (50, 20, 5, 0),
        (66, 20, 13, 0),
        (67, 20, 13, 0),
        (100, 30, 20, 0),
        (200, 60, 40, 0),
    ],
)
def test_a_run_stops_at_its_share_and_a_month_at_half(
    tmp_path: Path, records: int, first: int, second: int, third: int
) -> None:
    memory = _store(tmp_path, records)
    assert _removed_by_runs(memory, [0, 1, 2]) == [first, second, third]
    assert len(read_array(memory / "alpha/patterns.json")) == records - first - second - third


def test_the_month_passes(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    # after day 30 the first run is out of the window, after day 31 the second: 50 live, 30 % of them
    assert _removed_by_runs(memory, [0, 1, 29, 30.5, 31.5]) == [30, 20, 0, 15, 10]


def test_what_waits_is_reported_with_status_partial(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    planned = run_prune(memory, dry_run=True)
    assert (planned.total("removed"), planned.total("deferred"), planned.status) == (30, 70, ExitStatus.DONE)
    report = run_prune(memory)
    assert (report.total("removed"), report.total("deferred"), report.status) == (30, 70, ExitStatus.PARTIAL)
    assert report.total("kept") == 70


def test_within_budget_is_simply_done(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [*_stale(30), *(fresh(f"f{n}") for n in range(70))]}})
    report = run_prune(memory)
    assert (report.total("removed"), report.total("deferred"), report.status) == (30, 0, ExitStatus.DONE)


def test_the_whole_budget_lifted_lifts_both_limits(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    assert _removed_by_runs(memory, [0, 1, 2]) == [30, 20, 0]
    report = run_prune(memory, later_days=3, max_loss=UNLIMITED)
    assert (report.total("removed"), report.status) == (50, ExitStatus.DONE)


@pytest.mark.parametrize("records", [1, 2, 10, 100])
def test_a_budget_of_nothing_removes_nothing(tmp_path: Path, records: int) -> None:
    memory = _store(tmp_path, records)
    before = (memory / "alpha/patterns.json").read_bytes()
    report = run_prune(memory, max_loss=0.0)
    assert (report.total("removed"), report.total("deferred"), report.status) == (0, records, ExitStatus.PARTIAL)
    assert (memory / "alpha/patterns.json").read_bytes() == before


@pytest.mark.parametrize(("share", "removed"), [(0.1, 10), (0.29, 29), (0.5, 50), (0.7, 70), (0.999, 99)])
def test_a_share_by_hand_is_meant_to_the_letter(tmp_path: Path, share: float, removed: int) -> None:
    assert _removed_by_runs(_store(tmp_path, 100), [0], share) == [removed]
    assert _removed_by_runs(_store(tmp_path / "small", 10), [0], share) == [removed // 10]


def test_the_shares_are_settings(tmp_path: Path) -> None:
    settings = PruneSettings(max_loss=0.1, max_window_loss=0.15, window_days=10, small_agent_allowance=0)
    memory = _store(tmp_path, 100)
    assert [run_prune(memory, later_days=day, settings=settings).total("removed") for day in (0, 1, 2, 10.5)] == [
        10,
        5,
        0,
        8,
    ]


def test_each_agent_has_its_own_budget_over_all_its_kinds(tmp_path: Path) -> None:
    kinds: dict[str, list[object]] = {
        "patterns": _stale(40),
        "solutions": [solution(id=f"s{n}", worked=False) for n in range(30)],
        "decisions": [decision(id=f"d{n}", created_days=200) for n in range(30)],
    }
    memory = make_store(tmp_path, {"alpha": kinds, "beta": {"patterns": _stale(10)}, "gamma": kinds})
    report = run_prune(memory)
    removed = {
        agent: sum(one.agent == agent and one.fate == "removed" for one in report.records)
        for agent in ["alpha", "beta", "gamma"]
    }
    assert removed == {"alpha": 30, "beta": 5, "gamma": 30}


def test_what_undo_put_back_is_not_lost(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    for day in range(4):
        report = run_prune(memory, later_days=day)
        assert report.total("removed") == 30, f"day {day}"
        run_undo(memory, report.run, later_days=day)


def test_what_undo_put_back_in_part_is_not_lost_in_part(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    first = run_prune(memory)
    some = [str(ident) for ident in removed_ids(first)[:10]]
    run_undo(memory, first.run, *some)
    # 80 live, 20 lost: 30 % of 80 is 24, half of 100 less 20 is 30
    assert run_prune(memory, later_days=1).total("removed") == 24


def test_what_an_agent_wrote_back_is_not_lost(tmp_path: Path) -> None:
    memory = _store(tmp_path, 100)
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    for day in range(3):
        report = run_prune(memory, later_days=day, max_loss=0.5)
        assert report.total("removed") == 50, f"day {day}"
        path.write_bytes(before)


def test_an_id_with_other_content_is_another_loss(tmp_path: Path) -> None:
    """Counted by distinct id and content: an agent that keeps making the same poor record loses each of them."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [*_stale(20), *(fresh(f"f{n}") for n in range(80))]}})
    path = memory / "alpha/patterns.json"
    removed = []
    for day in range(4):
        removed.append(run_prune(memory, later_days=day).total("removed"))
        poor = [one | {"note": day} for one in _stale(20) if isinstance(one, dict)]
        path.write_bytes(encode_array([*poor, *(fresh(f"f{n}") for n in range(80))]))
    # each day 100 live; lost 0, 20, 40, 60: half of live and lost less lost is 50, 40, 30, 20
    assert removed == [20, 20, 20, 20]


def test_unreadable_elements_count_as_live_but_never_go(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [*_stale(50), *([None] * 50)]}})
    assert run_prune(memory).total("removed") == 30


def _by_value() -> dict[str, list[Record]]:
    """Ids name the order in which they must go."""
    poor = {"created_days": 300, "unused_days": 200, "saved_ms": 0}
    return {
        "patterns": [
            pattern(id="9", success=0.9, confidence=0.8, executions=9, **poor),
            pattern(id="1", success=0.0, confidence=0.0, executions=1, **poor),
            pattern(id="8", success=0.8, confidence=0.7, executions=9, **poor),
            # 0.4 * 0.5 + 0.3 * 0.2 + 0.2 * 10 / 50 = 0.3, as much as the solution that did not work
            pattern(id="3", success=0.5, confidence=0.2, executions=10, **poor),
            pattern(id="2", success=0.5, confidence=0.2, executions=10, **poor),
        ],
        "solutions": [solution(id="5", worked=False), solution(id="4", worked=False)],
        "decisions": [
            decision(id="7", created_days=200),
            decision(id="6", created_days=200, scores={"maintainability": 0.4}),
        ],
    }


@pytest.mark.parametrize("number", range(1, 10))
def test_the_least_valuable_go_first(tmp_path: Path, number: int) -> None:
    memory = make_store(tmp_path, {"alpha": _by_value()})
    report = run_prune(memory, max_loss=number / 9)
    assert removed_ids(report) == [str(rank) for rank in range(1, number + 1)]


def test_ties_of_one_id_go_by_position(tmp_path: Path) -> None:
    twins = [stale("same", note=number) for number in range(4)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*twins, fresh("a"), fresh("b"), fresh("c"), fresh("d")]}})
    run_prune(memory, max_loss=0.25)
    notes = [one.get("note") for one in read_array(memory / "alpha/patterns.json")]
    assert notes == [2, 3, None, None, None, None]
