"""Each rule and each protection at its very line: what goes, what stays, and the figures and words it is told with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aml.config import PruneSettings
from aml.prune.report import PruneReport
from aml.store.open import open_store
from aml.workflows.explain import prune_explain
from aml.workflows.prune import prune_options
from tests.contract.pruning import UNLIMITED, moment, run_prune
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import make_store

SECOND = 1 / 86_400
KINDS = {"pattern": "patterns", "problem": "solutions", "decision": "decisions"}
WORTHY = "protected from 0.85 if used within 365 days; "
WORTH = {"success": 1.0, "confidence": 1.0, "executions": 50, "saved_ms": 1000}


def store_of(tmp_path: Path, *records: Record) -> Path:
    held: dict[str, list[object]] = {plural: [] for plural in KINDS.values()}
    for record in records:
        held[next(plural for mark, plural in KINDS.items() if mark in record)].append(record)
    return make_store(tmp_path, {"alpha": held})


def planned(tmp_path: Path, *records: Record, strategies: tuple[str, ...] = ()) -> PruneReport:
    return run_prune(store_of(tmp_path, *records), dry_run=True, max_loss=UNLIMITED, strategies=strategies)


def failing(ident: str, **figures: Any) -> Record:
    return pattern(id=ident, **{"success": 0.29, "executions": 3, "created_days": 30 + SECOND} | figures)


def scored(ident: str, *scores: float, **more: Any) -> Record:
    names = ("apiPerformance", "clientSatisfaction", "maintainability")
    return decision(id=ident, scores=dict(zip(names, scores, strict=False)), **more)


# For each rule what goes, and what stays since one figure is at the line or missing; then what is told.
LINES = {
    "unused_too_long": (
        pattern(id="x", unused_days=90 + SECOND),
        [pattern(id="a", unused_days=90), pattern(id="b", unused_days=None)],
        "last used 90 days ago, limit 90",
        {"age_days": 90.0, "limit_days": 90.0},
    ),
    "failed_pattern": (
        failing("x", created_days=40.125),
        [
            failing("a", success=0.30),
            failing("b", success=None),
            failing("c", executions=2),
            failing("d", executions=None),
            failing("e", created_days=30),
            failing("f", created_days=None),
        ],
        "success 29% after 3 executions, limit 30%; created 40 days ago, limit 30",
        {"success": 0.29, "limit": 0.3, "executions": 3.0, "age_days": 40.12, "limit_days": 30.0},
    ),
    "old_decision": (
        decision(id="x", created_days=180 + SECOND),
        [decision(id="a", created_days=180), decision(id="b", created_days=None)],
        "taken 180 days ago, limit 180",
        {"age_days": 180.0, "limit_days": 180.0},
    ),
    "old_failed_solution": (
        solution(id="x", worked=False, created_days=365 + SECOND),
        [
            solution(id="a", worked=False, created_days=365),
            solution(id="b", worked=False, created_days=None),
            solution(id="c", worked=True, created_days=999),
            solution(id="d", worked=None, created_days=999),
        ],
        "it did not work; created 365 days ago, limit 365",
        {"worked": False, "age_days": 365.0, "limit_days": 365.0},
    ),
    "inactive": (
        pattern(id="x", active=False, unused_days=30 + SECOND),
        [
            pattern(id="a", active=False, unused_days=30),
            pattern(id="b", active=False, unused_days=None),
            pattern(id="c", active=True, unused_days=60),
            pattern(id="d", active=None, unused_days=60),
            solution(id="e", active=False, created_days=30),
            decision(id="f", active=False, created_days=60, reviewed_days=30),
        ],
        "inactive; last used 30 days ago, limit 30",
        {"active": False, "age_days": 30.0, "limit_days": 30.0},
    ),
    "low_success_rate": (
        pattern(id="x", success=0.19, executions=3, created_days=20),
        [
            pattern(id="a", success=0.20, executions=3),
            pattern(id="b", success=0.19, executions=2),
            pattern(id="c", success=0.19, executions=None),
            pattern(id="d", success=None),
        ],
        "success 19% after 3 executions, limit 20%",
        {"success": 0.19, "limit": 0.2, "executions": 3.0},
    ),
    "low_confidence": (
        pattern(id="x", confidence=0.14, executions=3),
        [
            pattern(id="a", confidence=0.15, executions=3),
            pattern(id="b", confidence=0.14, executions=2),
            pattern(id="c", confidence=0.14, executions=None),
            pattern(id="d", confidence=None),
        ],
        "confidence 0.14 after 3 executions, limit 0.15",
        {"confidence": 0.14, "limit": 0.15, "executions": 3.0},
    ),
    "outdated_solution": (
        solution(id="x", worked=False),
        [solution(id="a", worked=True), solution(id="b", worked=None)],
        "its effectiveness says that it did not work",
        {"worked": False},
    ),
    "negative_outcome": (
        scored("x", 0.49),
        [scored("a", 0.50), scored("b", 0.2, 0.8), scored("c"), decision(id="d", would_repeat=True)],
        "mean outcome 0.49, limit 0.50",
        {"score": 0.49, "limit": 0.5, "would_repeat": None},
    ),
}
PERFORMANCE = ("low_success_rate", "low_confidence", "outdated_solution", "negative_outcome")


def strategy_of(rule: str) -> str:
    return "performance" if rule in PERFORMANCE else "time"


@pytest.mark.parametrize("rule", LINES)
def test_a_rule_takes_what_is_beyond_its_line_and_nothing_else(tmp_path: Path, rule: str) -> None:
    goes, staying, reason, figures = LINES[rule]
    report = planned(tmp_path, goes, *staying, strategies=(strategy_of(rule),))
    assert [(one.id, one.rule, one.reason, one.figures) for one in report.records] == [("x", rule, reason, figures)]
    assert report.total("kept") == len(staying)
    assert report.total("protected") == report.total("deferred") == 0


@pytest.mark.parametrize("rule", LINES)
def test_the_verdict_on_each_is_told_as_it_falls(tmp_path: Path, rule: str) -> None:
    goes, staying, _, _ = LINES[rule]
    store = open_store(store_of(tmp_path, goes, *staying))
    for record in (goes, *staying):
        [explained] = prune_explain(store, record["id"], now=moment(0)).records
        [verdict] = [one for one in explained.rules if one.rule == rule]
        met = [one.met for one in verdict.conditions]
        assert (verdict.verdict == "applies") is (record is goes)
        if rule == "negative_outcome":
            assert (verdict.verdict == "lacks a figure") is (None in met and True not in met)
        else:
            assert (verdict.verdict == "lacks a figure") is (None in met and False not in met)
        assert verdict.strategy == strategy_of(rule)
        assert verdict.asked


# What is told of a figure: its name, its value, the limit, whether it is met, and all that as text.
CONDITIONS = {
    ("unused_too_long", "x"): [("last_used_days", 90.0, 90.0, True, "last used 90 days ago, goes over 90")],
    ("unused_too_long", "b"): [("last_used_days", None, 90.0, None, "last used at an unknown time, goes over 90")],
    ("failed_pattern", "x"): [
        ("success", 0.29, 0.3, True, "success 29%, goes under 30%"),
        ("executions", 3.0, 3.0, True, "executions 3, from 3"),
        ("created_days", 40.12, 30.0, True, "created 40 days ago, goes over 30"),
    ],
    ("failed_pattern", "d"): [
        ("success", 0.29, 0.3, True, "success 29%, goes under 30%"),
        ("executions", None, 3.0, None, "executions unknown, from 3"),
        ("created_days", 30.0, 30.0, True, "created 30 days ago, goes over 30"),
    ],
    ("old_decision", "b"): [("created_days", None, 180.0, None, "created at an unknown time, goes over 180")],
    ("old_failed_solution", "c"): [
        ("worked", True, False, False, "it worked: yes, goes if no"),
        ("created_days", 999.0, 365.0, True, "created 999 days ago, goes over 365"),
    ],
    ("inactive", "x"): [
        ("active", False, False, True, "active: no, goes if no"),
        ("last_used_days", 30.0, 30.0, True, "last used 30 days ago, goes over 30"),
    ],
    ("low_success_rate", "d"): [
        ("success", None, 0.2, None, "success unknown, goes under 20%"),
        ("executions", 5.0, 3.0, True, "executions 5, from 3"),
    ],
    ("low_confidence", "b"): [
        ("confidence", 0.14, 0.15, True, "confidence 0.14, goes under 0.15"),
        ("executions", 2.0, 3.0, False, "executions 2, from 3"),
    ],
    ("outdated_solution", "b"): [("worked", None, False, None, "it worked: unknown, goes if no")],
    ("negative_outcome", "x"): [
        ("would_repeat", None, False, None, "would be repeated: unknown, goes if no"),
        ("score", 0.49, 0.5, True, "score 0.49, goes under 0.50"),
    ],
    ("negative_outcome", "d"): [
        ("would_repeat", True, False, False, "would be repeated: yes, goes if no"),
        ("score", None, 0.5, None, "score unknown, goes under 0.50"),
    ],
}


@pytest.mark.parametrize(("rule", "ident"), CONDITIONS)
def test_every_figure_is_told_with_its_limit(tmp_path: Path, rule: str, ident: str) -> None:
    goes, staying, _, _ = LINES[rule]
    [record] = [one for one in (goes, *staying) if one["id"] == ident]
    [explained] = prune_explain(open_store(store_of(tmp_path, record)), ident, now=moment(0)).records
    [verdict] = [one for one in explained.rules if one.rule == rule]
    assert [(one.figure, one.value, one.limit, one.met, one.text) for one in verdict.conditions] == CONDITIONS[
        rule, ident
    ]


@pytest.mark.parametrize(
    ("record", "held", "told"),
    [
        (
            pattern(id="pin", created_days=2, unused_days=1, confidence=0.9, tags=["keep", "Pinned", "x", "keep"]),
            [True, True, True, True],
            [
                "its id is pinned in the settings",
                "its tags: Pinned, keep",
                "created 2 days ago, protected under 7",
                "value 0.49, confidence 0.90, " + WORTHY + "last used 1 days ago",
            ],
        ),
        (
            pattern(id="x", unused_days=None, confidence=None) | {"timestamp": None, "evolution": {}},
            [False, False, False, False],
            [
                "its id is not pinned",
                "it has no pinned tag",
                "its creation is unknown, protected under 7",
                "value 0.31, confidence unknown, " + WORTHY + "last used at an unknown time",
            ],
        ),
    ],
)
def test_every_protection_is_told_with_why_or_why_not(
    tmp_path: Path, record: Record, held: list[bool], told: list[str]
) -> None:
    options = prune_options(PruneSettings(pinned_ids=("pin",)))
    store = open_store(store_of(tmp_path, record))
    [explained] = prune_explain(store, record["id"], options, now=moment(0)).records
    assert [one.protection for one in explained.protections] == ["pinned_id", "pinned_tag", "new", "valuable"]
    assert [one.holds for one in explained.protections] == held
    assert [one.reason for one in explained.protections] == told


def test_what_cannot_be_judged_is_counted_and_what_stays_is_done_with(tmp_path: Path) -> None:
    newer = pattern(id="new", unused_days=999, version="9.0.0")
    report = planned(tmp_path, *(newer | {"id": f"n{number}"} for number in range(3)), pattern(id="x"), solution())
    assert {file.kind: (file.too_new, file.unreadable, file.status) for file in report.files} == {
        "patterns": (3, 3, 0),
        "solutions": (0, 0, 0),
        "decisions": (0, 0, 0),
    }


def test_values_are_told_to_six_digits(tmp_path: Path) -> None:
    [found] = planned(tmp_path, pattern(id="x", unused_days=91, confidence=0.1234589)).records
    assert found.value == 0.257038


def test_a_decision_that_nobody_would_repeat_goes_whatever_its_score(tmp_path: Path) -> None:
    made = [scored("a", 0.9, would_repeat=False), decision(id="b", would_repeat=False), scored("c", 0.9, 0.9)]
    report = planned(tmp_path, *made, scored("d", 0.1, would_repeat=True))
    assert [(one.id, one.reason, one.figures) for one in report.records] == [
        ("a", "it would not be repeated", {"score": 0.9, "limit": 0.5, "would_repeat": False}),
        ("b", "it would not be repeated", {"score": None, "limit": 0.5, "would_repeat": False}),
        ("d", "mean outcome 0.10, limit 0.50", {"score": 0.1, "limit": 0.5, "would_repeat": True}),
    ]


@pytest.mark.parametrize("kind", [pattern, solution, decision])
def test_what_is_inactive_and_unused_goes_whatever_its_kind(tmp_path: Path, kind: Any) -> None:
    days = {"unused_days": 31} if kind is pattern else {"created_days": 31}
    report = planned(tmp_path, kind(id="x", active=False, **days))
    assert [(one.id, one.rule) for one in report.records] == [("x", "inactive")]


def test_only_the_strategies_that_are_asked_for_take_anything(tmp_path: Path) -> None:
    report = planned(tmp_path, *(goes | {"id": rule} for rule, (goes, _, _, _) in LINES.items()), strategies=("time",))
    assert {one.id for one in report.records} == {rule for rule in LINES if rule not in PERFORMANCE}


# A condemned record is protected up to the line, and for what is said; beyond it, it goes.
@pytest.mark.parametrize(
    ("stays", "goes", "reason"),
    [
        (
            solution(id="x", worked=False, created_days=7 - SECOND),
            solution(id="x", worked=False, created_days=7),
            "it was created in the last 7 days",
        ),
        (
            pattern(id="x", created_days=999, unused_days=365, **WORTH),
            pattern(id="x", created_days=999, unused_days=365 + SECOND, **WORTH),
            "its value is high",
        ),
        (
            pattern(id="x", unused_days=91, confidence=0.85),
            pattern(id="x", unused_days=91, confidence=0.84),
            "its confidence is high",
        ),
        (
            pattern(id="x", created_days=999, unused_days=365, confidence=0.85),
            pattern(id="x", created_days=999, unused_days=365 + SECOND, confidence=0.85),
            "its confidence is high",
        ),
        (
            pattern(id="x", unused_days=91, tags=["a", "PINNED"]),
            pattern(id="x", unused_days=91, tags=["a", "pinned?"]),
            "it carries the tag PINNED",
        ),
        (
            solution(id="pin", worked=False),
            solution(id="pin2", worked=False),
            "its id is pinned in the settings",
        ),
    ],
)
def test_a_protection_holds_up_to_its_line(tmp_path: Path, stays: Record, goes: Record, reason: str) -> None:
    settings = PruneSettings(pinned_ids=("pin",))
    told = []
    for number, record in enumerate((stays, goes)):
        memory = store_of(tmp_path / str(number), record)
        report = run_prune(memory, dry_run=True, max_loss=UNLIMITED, settings=settings)
        told.append((len(report.records), [file.protected_by_reason for file in report.files if file.protected]))
        options = prune_options(settings, max_loss=UNLIMITED)
        [explained] = prune_explain(open_store(memory), record["id"], options, now=moment(0)).records
        assert sum(one.holds for one in explained.protections) == (record is stays)
        assert explained.fate == ("protected" if record is stays else "removed")
    assert told == [(0, [{reason: 1}]), (1, [])]
