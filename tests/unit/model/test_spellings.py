"""Where a record says one thing in several places or spellings: which of them counts, and what is worked out of it."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from aml.codec.views import view_record
from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.model.record import RecordView
from aml.model.timestamps import parse_timestamp
from tests.support.records import decision, pattern, solution

#: For each figure of a pattern where it may stand, that which counts most first.
PLACES: dict[str, list[tuple[str, str]]] = {
    name: [(part, spelling) for part in parts for spelling in spellings]
    for name, parts, spellings in (
        ("success", ("performance", "metrics"), ("success_rate", "successRate")),
        ("executions", ("performance", "metrics"), ("execution_count", "executionCount")),
        ("saved_ms", ("performance", "metrics"), ("avg_time_saved_ms", "avgTimeSavedMs")),
        ("confidence", ("lifecycle", "evolution"), ("confidence", "confidenceScore", "confidence_score")),
        ("created", ("lifecycle", "evolution"), ("created_at", "created", "createdAt")),
        ("last_used", ("lifecycle", "evolution"), ("last_used_at", "lastUsed", "last_used")),
    )
}
FIRST, SECOND = 0.25, 0.75
EARLY, LATE = "2026-01-02T00:00:00.000Z", "2026-05-06T00:00:00.000Z"


def view(record: object, kind: Kind = PATTERN) -> RecordView:
    seen = view_record(json.dumps(record).encode(), kind.view)
    assert isinstance(seen, RecordView)
    return seen


def saying(*said: tuple[tuple[str, str], Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for (part, spelling), value in said:
        record.setdefault(part, {})[spelling] = value
    return record


def values_of(name: str) -> tuple[Any, Any]:
    return (EARLY, LATE) if name in ("created", "last_used") else (FIRST, SECOND)


@pytest.mark.parametrize("name", PLACES)
def test_a_figure_is_read_wherever_it_stands_and_the_newer_schema_counts_first(name: str) -> None:
    one, other = values_of(name)
    read = parse_timestamp(one) if isinstance(one, str) else one
    for place in PLACES[name]:
        assert getattr(view(saying((place, one))), name) == read
    for more, less in combinations(PLACES[name], 2):
        assert getattr(view(saying((more, one), (less, other))), name) == read, (more, less)
        assert getattr(view(saying((more, None), (less, one))), name) == read, (more, less)


@pytest.mark.parametrize("name", ["created", "last_used"])
def test_a_time_that_cannot_be_read_gives_way_to_the_older_schema(name: str) -> None:
    found = view(saying((PLACES[name][0], "soon"), (PLACES[name][-1], LATE)) | {"timestamp": EARLY})
    assert getattr(found, name) == parse_timestamp(LATE)
    unread = view(saying((PLACES[name][-1], "soon")) | {"timestamp": EARLY})
    assert getattr(unread, name) == (parse_timestamp(EARLY) if name == "created" else None)


def test_moments_and_judgement_are_what_is_asked_for_one_by_one() -> None:
    records = [
        (pattern(created_days=30, unused_days=2, success=0.4, executions=7, confidence=0.6), PATTERN),
        (pattern(created_days=None, unused_days=None, success=None, executions=None, confidence=None), PATTERN),
        (solution(created_days=30, worked=True), SOLUTION),
        (solution(worked=False), SOLUTION),
        (solution(worked=None), SOLUTION),
        (decision(created_days=30, reviewed_days=3, scores={"maintainability": 0.4}), DECISION),
        (decision(created_days=30, would_repeat=True), DECISION),
    ]
    for record, kind in records:
        seen = view(record, kind)
        assert seen.moments == (seen.created, seen.last_used)
        assert seen.judgement == (seen.value, seen.confidence, seen.success, seen.executions)


def test_the_success_of_each_kind() -> None:
    assert [view(solution(worked=worked), SOLUTION).success for worked in (True, False, None)] == [1.0, 0.0, None]
    assert view(decision(scores={"maintainability": 0.4}), DECISION).success == 0.4
    assert view(decision(would_repeat=True), DECISION).success is None


@pytest.mark.parametrize(("executions", "saved_ms"), [(50.5, 1000.5), (50, 1000), (51, 1001), (9e9, 9e9)])
def test_beyond_50_executions_and_a_second_saved_nothing_is_worth_more(executions: float, saved_ms: float) -> None:
    figures = {"successRate": 0, "executionCount": executions, "avgTimeSavedMs": saved_ms}
    assert view({"metrics": figures, "evolution": {"confidenceScore": 0}}).value == 0.3


@pytest.mark.parametrize(("speed", "score"), [(0, 0.0), (1.2, 0.8), (1.5, 1.0), (2, 1.0), (2.1, None), (-1, None)])
def test_a_speed_counts_up_to_one_and_a_half_and_is_read_up_to_2(speed: float, score: float | None) -> None:
    for spelling in ("developmentSpeed", "development_speed"):
        found = view({"outcome": {"successMetrics": {spelling: speed}}}, DECISION)
        assert found.outcome_score == score
