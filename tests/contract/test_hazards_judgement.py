"""Hazards of judging: what is valuable or unknown stays, what is negative is seen, one record is counted once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from tests.contract.pruning import UNLIMITED, fates, fresh, removed_ids, run_prune, stale, totals
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import make_store, read_array

BEST = {"success": 1.0, "confidence": 1.0, "executions": 9999}


@pytest.mark.parametrize("unused_days", [91, 180, 364])
@pytest.mark.parametrize("aggressive", [False, True])
def test_h34_a_pattern_that_always_worked_stays(tmp_path: Path, unused_days: float, aggressive: bool) -> None:
    """H34: a pattern with 100 % success, confidence 1.0 and 9,999 uses was deleted at day 91."""
    records = [pattern(id="best", created_days=700, unused_days=unused_days, **BEST), stale("poor")]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    report = run_prune(memory, max_loss=UNLIMITED, aggressive=aggressive)
    assert removed_ids(report) == ["poor"]
    assert report.total("protected") == 1


def test_h34_high_confidence_alone_protects_and_protection_ends_after_a_year(tmp_path: Path) -> None:
    """H34: protected while last used within 365 days; nothing is kept for ever for its figures alone."""
    records = [
        pattern(id="sure", created_days=700, unused_days=200, confidence=0.85, success=0.5, executions=5),
        pattern(id="unsure", created_days=700, unused_days=200, confidence=0.84, success=0.5, executions=5),
        pattern(id="forgotten", created_days=700, unused_days=366, **BEST),
    ]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["forgotten", "unsure"]


NO_TIMES: list[Any] = [
    None,
    "",
    "soon",
    "yesterday",
    "2026-13-45T99:99:99Z",
    "N/A",
    "9999999999999999999999",
    0,
    0.0,
    -1,
    True,
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00.000Z",
    1e300,
    10**400,
    [],
    {},
    ["2020-01-01"],
    {"$date": "2020-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("when", NO_TIMES, ids=lambda value: repr(value)[:60])
def test_h35_an_unknown_age_is_never_old(tmp_path: Path, when: Any) -> None:
    """H35: an unparsable or missing time counted as 999 days old."""
    used, made, taken, solved, idle = (
        pattern(id="used"),
        pattern(id="made", success=0.25, executions=9),
        decision(id="taken"),
        solution(id="solved", worked=False),
        solution(id="idle", active=False),
    )
    used["evolution"]["lastUsed"] = when
    made["timestamp"] = made["evolution"]["created"] = when
    for record in (taken, solved, idle):
        record["timestamp"] = when
    agents = {"alpha": {"patterns": [used, made], "solutions": [solved, idle], "decisions": [taken]}}
    memory = make_store(tmp_path, agents)
    report = run_prune(memory, max_loss=UNLIMITED, strategies=("time",))
    assert removed_ids(report) == []
    assert report.total("unreadable") == 0


@pytest.mark.parametrize("missing", [("timestamp",), ("evolution",), ("timestamp", "evolution")])
def test_h35_a_missing_time_is_unknown(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """H35: creation is not the last use; a pattern without a last use has an unknown one."""
    record = {key: value for key, value in stale("x").items() if key not in missing}
    if "evolution" in record:
        del record["evolution"]["lastUsed"]
    memory = make_store(tmp_path, {"alpha": {"patterns": [record]}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == []


def _decision(ident: str, outcome: object) -> Record:
    return decision(id=ident) | {"outcome": outcome}


LOW = {"developmentSpeed": 0.3, "apiPerformance": 0.3, "clientSatisfaction": 0.3, "maintainability": 0.3}
LOW_SNAKE = {"development_speed": 0.3, "api_performance": 0.3, "client_satisfaction": 0.3, "maintainability": 0.3}


@pytest.mark.parametrize(
    "outcome",
    [
        {"successMetrics": LOW, "wouldRepeat": True},
        {"successMetrics": {}, "wouldRepeat": False},
        {"wouldRepeat": False},
        {"success_metrics": LOW_SNAKE, "would_repeat": True},
        {"would_repeat": False},
        {"successMetrics": {"maintainability": 0.4}},
        {"successMetrics": LOW | {"customMetrics": {"joy": 1.0, "speed": 99}}},
        {"successMetrics": {"developmentSpeed": 0.7}},  # 0.7 / 1.5 is under a half
    ],
    ids=lambda value: repr(value)[:60],
)
def test_h36_negative_outcomes_are_seen_in_either_spelling(tmp_path: Path, outcome: object) -> None:
    """H36: negative outcomes in camelCase were never seen."""
    memory = make_store(tmp_path, {"alpha": {"decisions": [_decision("bad", outcome)]}})
    report = run_prune(memory, max_loss=UNLIMITED, strategies=("performance",))
    assert [(one.id, one.rule) for one in report.records] == [("bad", "negative_outcome")]


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        {},
        "went well",
        [],
        0,
        False,
        {"successMetrics": None, "wouldRepeat": None},
        {"successMetrics": {}, "wouldRepeat": "no"},
        {"successMetrics": "low", "wouldRepeat": 0},
        {"successMetrics": {"developmentSpeed": "0.1", "maintainability": None}},
        {"successMetrics": {"customMetrics": {"joy": 0.0}}},
        {"successMetrics": {"developmentSpeed": 0.75}},  # 0.75 / 1.5 is just a half
        {"successMetrics": {"apiPerformance": -1, "maintainability": 50}},
    ],
    ids=lambda value: repr(value)[:60],
)
def test_h36_null_missing_and_odd_outcomes_judge_nothing(tmp_path: Path, outcome: object) -> None:
    """H36: a null outcome raised, and the whole agent was skipped."""
    memory = make_store(
        tmp_path, {"alpha": {"decisions": [_decision("open", outcome), _decision("bad", {"wouldRepeat": False})]}}
    )
    report = run_prune(memory, max_loss=UNLIMITED, strategies=("performance",))
    assert report.status is ExitStatus.DONE
    assert removed_ids(report) == ["bad"], "the neighbour is judged, the odd one stays"


def _found_by_several_rules() -> list[Record]:
    """Each falls under unused_too_long, failed_pattern, low_success_rate, low_confidence and inactive at once."""
    doomed = {"success": 0.1, "executions": 9, "confidence": 0.1, "active": False}
    return [stale(f"doomed-{number}", **doomed) for number in range(6)] + [fresh(f"kept-{n}") for n in range(4)]


@pytest.mark.parametrize("max_loss", [None, 0.4, UNLIMITED])
def test_h47_a_record_under_several_rules_is_counted_once(tmp_path: Path, max_loss: float | None) -> None:
    """H47: a dry run counted one record under two rules, the real run once."""
    agents = {
        "alpha": {"patterns": _found_by_several_rules(), "decisions": [_decision("d", {"wouldRepeat": False})]},
        "beta": {"solutions": [solution(id="s", worked=False, active=False, created_days=400)]},
    }
    memory = make_store(tmp_path, agents)
    planned = run_prune(memory, dry_run=True, max_loss=max_loss)
    done = run_prune(memory, max_loss=max_loss)
    keys = [(one.agent, one.kind, one.id) for one in planned.records]
    assert len(keys) == len(set(keys))
    assert fates(planned) == fates(done)
    assert totals(planned) == totals(done)
    for report in (planned, done):
        for file in report.files:
            assert sum(file.removed_by_rule.values()) == file.removed
            assert file.records == file.kept + file.removed
    left = [read_array(memory / agent / f"{kind}.json") for agent in agents for kind in agents[agent]]
    assert sum(map(len, left)) == planned.total("kept")


def test_h47_the_first_rule_in_a_fixed_order_gives_the_reason(tmp_path: Path) -> None:
    """H47: strategies count in one order, however they are named."""
    memory = make_store(tmp_path, {"alpha": {"patterns": _found_by_several_rules()}})
    for strategies in itertools.permutations(("time", "performance")):
        report = run_prune(memory, dry_run=True, max_loss=UNLIMITED, strategies=strategies)
        assert {one.rule for one in report.records} == {"unused_too_long"}
    report = run_prune(memory, dry_run=True, max_loss=UNLIMITED, strategies=("performance",))
    assert {one.rule for one in report.records} == {"low_success_rate"}
