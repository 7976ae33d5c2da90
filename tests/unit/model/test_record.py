"""The schema-neutral view: figures worked out by hand, both spellings, and nothing that a record may hold raises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aml.codec.views import Unreadable, view_record
from aml.model.kinds import DECISION, KINDS, PATTERN, SOLUTION, Kind
from aml.model.record import RecordView
from aml.model.timestamps import parse_timestamp
from tests.support.records import decision, pattern, solution, to_v110, to_v120, to_v200


def view(record: object, kind: Kind) -> RecordView:
    seen = view_record(json.dumps(record).encode(), kind.view)
    assert isinstance(seen, RecordView)
    return seen


@pytest.mark.parametrize(
    ("figures", "value"),
    [
        # 0.4 success + 0.3 confidence + 0.2 min(executions / 50, 1) + 0.1 min(saved ms / 1000, 1)
        ({"success": 1.0, "confidence": 1.0, "executions": 50, "saved_ms": 1000}, 1.0),
        ({"success": 1.0, "confidence": 1.0, "executions": 9999, "saved_ms": 10**9}, 1.0),
        ({"success": 0.0, "confidence": 0.0, "executions": 0, "saved_ms": 0}, 0.0),
        ({"success": 0.5, "confidence": 0.4, "executions": 25, "saved_ms": 100}, 0.2 + 0.12 + 0.1 + 0.01),
        # unknown parts count as 0.5, 0.3, 1 and 0
        ({"success": None, "confidence": None, "executions": None, "saved_ms": None}, 0.2 + 0.09 + 0.004),
        ({"success": None, "confidence": 1.0, "executions": 50, "saved_ms": 0}, 0.2 + 0.3 + 0.2),
    ],
)
@pytest.mark.parametrize("migrate", [dict, to_v110, to_v120, to_v200])
def test_the_value_of_a_pattern(figures: dict[str, Any], value: float, migrate: Any) -> None:
    assert view(migrate(pattern(**figures)), PATTERN).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("figures", "value"),
    [
        # 0.7 if it worked, else 0.3; + 0.05 verified up to 0.2; + 0.02 prevented up to 0.1; at most 1
        ({"worked": True, "verified": 0, "prevented": 0}, 0.7),
        ({"worked": False, "verified": 0, "prevented": 0}, 0.3),
        ({"worked": None, "verified": None, "prevented": None}, 0.3),
        ({"worked": True, "verified": 2, "prevented": 3}, 0.7 + 0.1 + 0.06),
        ({"worked": True, "verified": 99, "prevented": 99}, 1.0),
        ({"worked": False, "verified": 99, "prevented": 99}, 0.3 + 0.2 + 0.1),
    ],
)
def test_the_value_of_a_solution(figures: dict[str, Any], value: float) -> None:
    assert view(solution(**figures), SOLUTION).value == pytest.approx(value)
    assert view(solution(**figures), SOLUTION).confidence == pytest.approx(value)


def _scores(speed: float | None = None, **others: float) -> dict[str, float]:
    return ({} if speed is None else {"developmentSpeed": speed}) | others


@pytest.mark.parametrize(
    ("scores", "again", "score", "value"),
    [
        (None, None, None, 0.5),
        (None, True, None, 0.6),
        (None, False, None, 0.4),
        (_scores(1.5), None, 1.0, 1.0),
        (_scores(2.0), True, 1.0, 1.0),
        (_scores(0.75), None, 0.5, 0.5),
        (_scores(0.0, apiPerformance=0.0), False, 0.0, 0.1),
        (_scores(0.0), None, 0.0, 0.1),
        (_scores(1.5, apiPerformance=0.5, clientSatisfaction=0.1, maintainability=0.4), None, 0.5, 0.5),
        (_scores(maintainability=0.8), True, 0.8, 0.9),
    ],
)
def test_the_score_and_value_of_a_decision(
    scores: dict[str, float] | None, again: bool | None, score: float | None, value: float
) -> None:
    seen = view(decision(scores=scores, would_repeat=again), DECISION)
    assert seen.outcome_score == (None if score is None else pytest.approx(score))
    assert seen.would_repeat is again
    assert seen.value == pytest.approx(value)


def test_custom_metrics_are_left_out_of_the_score() -> None:
    outcome = {"successMetrics": {"maintainability": 0.2, "customMetrics": {"joy": 1.0}, "other": 1.0}}
    assert view(decision(outcome=outcome), DECISION).outcome_score == pytest.approx(0.2)


def test_hand_written_records_in_snake_case_read_the_same() -> None:
    by_hand = {
        "id": "p",
        "timestamp": "2026-01-01",
        "metrics": {"success_rate": 0.25, "execution_count": 7, "avg_time_saved_ms": 500},
        "evolution": {"created_at": "2026-01-02", "last_used": "2026-01-03", "confidence_score": 0.75},
    }
    seen = view(by_hand, PATTERN)
    assert (seen.success, seen.executions, seen.saved_ms, seen.confidence) == (0.25, 7, 500, 0.75)
    assert (seen.created, seen.last_used) == (parse_timestamp("2026-01-02"), parse_timestamp("2026-01-03"))
    outcome = {
        "success_metrics": {"development_speed": 0.3, "api_performance": 0.4, "client_satisfaction": 0.6},
        "would_repeat": False,
    }
    judged = view({"outcome": outcome, "reviewed_at": "2026-01-04"}, DECISION)
    assert judged.outcome_score == pytest.approx((0.2 + 0.4 + 0.6) / 3)
    assert judged.would_repeat is False
    assert judged.last_used == parse_timestamp("2026-01-04")
    solved = view({"effectiveness": {"worked": True, "prevented_recurrence": 2}, "verified_count": 1}, SOLUTION)
    assert solved.value == pytest.approx(0.7 + 0.05 + 0.04)


def test_where_a_time_comes_from() -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
    assert view({"timestamp": old}, PATTERN).last_used is None, "creation is not the last use"
    assert view({"timestamp": old}, PATTERN).created == parse_timestamp(old)
    assert view({"timestamp": old}, SOLUTION).last_used == parse_timestamp(old)
    assert view({"timestamp": old, "reviewedAt": new}, DECISION).last_used == parse_timestamp(new)
    assert view({"timestamp": old, "reviewedAt": new}, DECISION).created == parse_timestamp(old)
    assert view({"timestamp": old, "reviewedAt": "soon"}, DECISION).last_used == parse_timestamp(old)
    both = {"lifecycle": {"created_at": new, "last_used_at": new}, "evolution": {"created": old, "lastUsed": old}}
    assert view(both | {"timestamp": old}, PATTERN).created == parse_timestamp(new)
    assert view(both, PATTERN).last_used == parse_timestamp(new)


WRONG: list[Any] = [
    None,
    "",
    "0.1",
    "many",
    True,
    False,
    [],
    [0.1],
    {},
    {"value": 1},
    -1,
    -0.5,
    1e308,
    10**30,
    10**400,
    "\x00",
]
NUMERIC = ["successRate", "executionCount", "avgTimeSavedMs"]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_wrong_types_never_raise_and_count_as_unknown(kind: Kind, wrong: Any) -> None:
    parts = [
        "metrics",
        "performance",
        "evolution",
        "lifecycle",
        "effectiveness",
        "outcome",
        "reviewedAt",
        "verifiedCount",
    ]
    parts += ["tags", "active", "version", "timestamp", "id"]
    for record in (
        dict.fromkeys(parts, wrong),
        {
            part: {"successMetrics": wrong, "worked": wrong, "wouldRepeat": wrong, "created": wrong}
            for part in parts[:6]
        },
        {part: dict.fromkeys([*NUMERIC, "lastUsed", "confidence"], wrong) for part in parts[:6]},
    ):
        seen = view(record, kind)
        assert 0 <= seen.value <= 1
        assert seen.created is None
        assert seen.last_used is None
        assert seen.success is None or isinstance(wrong, bool)
        assert seen.worked is None or isinstance(wrong, bool)
        assert seen.would_repeat is None or isinstance(wrong, bool)
        assert isinstance(seen.tag_names, tuple)
        assert seen.ident is None or isinstance(seen.ident, str)


@pytest.mark.parametrize("wrong", [1.01, 1.5, 40, 100, -0.1, "0.9", True, None])
def test_a_share_outside_0_to_1_is_unknown(wrong: Any) -> None:
    """A hand-written success of 40 may mean 40 %, but AML does not guess."""
    record = {"metrics": {"successRate": wrong}, "evolution": {"confidenceScore": wrong}}
    seen = view(record, PATTERN)
    assert (seen.success, seen.confidence) == (None, None)


def test_whole_numbers_and_floats_are_both_figures() -> None:
    record = {
        "metrics": {"successRate": 1, "executionCount": 3.0, "avgTimeSavedMs": 0.5},
        "evolution": {"confidenceScore": 0},
    }
    seen = view(record, PATTERN)
    assert (seen.success, seen.executions, seen.saved_ms, seen.confidence) == (1.0, 3.0, 0.5, 0.0)


@pytest.mark.parametrize(
    ("ident", "expected"), [("x", "x"), ("", None), (7, "7"), (None, None), (1.5, None), ([], None)]
)
def test_ids_are_text(ident: Any, expected: str | None) -> None:
    assert view({"id": ident}, PATTERN).ident == expected


def test_tags_are_the_texts_among_them() -> None:
    assert view({"tags": ["a", 1, None, "b", ["c"]]}, PATTERN).tag_names == ("a", "b")
    assert view({"tags": "keep"}, PATTERN).tag_names == ("keep",)
    assert view({"tags": {"keep": True}}, PATTERN).tag_names == ()


def test_only_false_is_inactive() -> None:
    assert [view({"active": value}, PATTERN).is_inactive for value in (False, None, 0, "false", True)] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("version", "too_new"),
    [
        ("2.0.0", False),
        ("1.9.9", False),
        ("2.0.1", True),
        ("2.1.0", True),
        ("10.0.0", True),
        ("two", False),
        ("3", False),
        (3, False),
        (None, False),
    ],
)
def test_versions_after_the_newest_known_are_not_judged(version: Any, too_new: bool) -> None:
    seen = view_record(json.dumps({"version": version}).encode(), PATTERN.view)
    assert isinstance(seen, Unreadable) == too_new
    if isinstance(seen, Unreadable):
        assert seen.too_new
        assert str(version) in seen.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"null", "null"),
        (b"[]", "an array"),
        (b'"text"', "a string"),
        (b"3", "a number"),
        (b"true", "a boolean"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": 1 "b": 2}', "not valid JSON"),
        (b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", "too deep"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_judged_says_why(raw: bytes, reason: str) -> None:
    seen = view_record(raw, PATTERN.view)
    assert isinstance(seen, Unreadable)
    assert reason in seen.reason
