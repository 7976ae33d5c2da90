"""Precise records for tests, by age and figures relative to a fixed moment; ``None`` leaves a key out.

Extra keyword arguments become keys at the top level of the record and replace those of the same name.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

Record = dict[str, Any]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""The moment to which all ages are relative."""

_PATTERN_METRICS = {
    "successRate": "success_rate",
    "executionCount": "execution_count",
    "avgTimeSavedMs": "avg_time_saved_ms",
    "errorPreventionCount": "error_prevention_count",
}
_PATTERN_EVOLUTION = {
    "created": "created_at",
    "lastUsed": "last_used_at",
    "refinements": "refinement_count",
    "confidenceScore": "confidence",
}


def days_ago(days: float) -> str:
    """The moment so many days before NOW, as the runtime writes it."""
    moment = NOW - timedelta(days=days)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def pattern(
    *,
    id: str | None = None,  # noqa: A002 - named like the key
    agent: str = "alpha",
    created_days: float | None = 100,
    unused_days: float | None = 10,
    success: float | None = 0.5,
    executions: int | None = 5,
    confidence: float | None = 0.5,
    saved_ms: float | None = 0,
    prevented: int | None = 0,
    tags: Sequence[str] | None = None,
    active: bool | None = True,
    **extra: Any,
) -> Record:
    """A pattern in schema 1.x: 1.0.0 unless both ``tags`` and ``active`` are given."""
    created = _moment(created_days)
    record = _head(id, agent, created) | {
        "pattern": {
            "type": "cache-aside",
            "context": {"framework": "fastapi", "size": 40},
            "approach": {"technique": "Cache the price list", "rationale": "It was read on every request."},
            "conditions": {"whenApplicable": ["more reads than writes"], "whenNotApplicable": []},
        },
        "metrics": _present(
            successRate=success, executionCount=executions, avgTimeSavedMs=saved_ms, errorPreventionCount=prevented
        ),
        "evolution": _present(
            created=created, lastUsed=_moment(unused_days), refinements=1, confidenceScore=confidence
        ),
    }
    return record | _tail(tags, active) | extra


def solution(
    *,
    id: str | None = None,  # noqa: A002 - named like the key
    agent: str = "alpha",
    created_days: float | None = 100,
    worked: bool | None = True,
    verified: int | None = 0,
    prevented: int | None = 0,
    fix_minutes: float | None = 12,
    tags: Sequence[str] | None = None,
    active: bool | None = True,
    **extra: Any,
) -> Record:
    """A solution in schema 1.x: 1.0.0 unless both ``tags`` and ``active`` are given."""
    record = _head(id, agent, _moment(created_days)) | {
        "problem": {"errorType": "TimeoutError", "errorMessage": "no answer within 30 s", "context": {"line": 3}},
        "solution": {"rootCause": "no deadline", "fixApproach": "set one", "prevention": "lint for it"},
        "effectiveness": _present(
            worked=worked, timeToFixMinutes=fix_minutes, preventedRecurrence=prevented, relatedErrorsFixed=0
        ),
    }
    return record | _tail(tags, active) | _present(verifiedCount=verified) | extra


def decision(
    *,
    id: str | None = None,  # noqa: A002 - named like the key
    agent: str = "alpha",
    created_days: float | None = 100,
    reviewed_days: float | None = None,
    outcome: Mapping[str, Any] | None = None,
    scores: Mapping[str, float] | None = None,
    would_repeat: bool | None = None,
    tags: Sequence[str] | None = None,
    active: bool | None = True,
    **extra: Any,
) -> Record:
    """A decision in schema 1.x: 1.0.0 unless both ``tags`` and ``active`` are given.

    Its outcome is ``outcome`` as it stands, or made of ``scores`` and ``would_repeat`` where one of them is given; else
    it has none. For an outcome of null, replace the key: ``decision() | {"outcome": None}``.
    """
    record = _head(id, agent, _moment(created_days)) | {
        "decision": {
            "type": "library",
            "question": "Which validator?",
            "context": {"team": "core"},
            "chosenOption": "zod",
            "alternativesConsidered": ["joi"],
            "decisionFactors": {"primary": ["types"], "secondary": []},
        }
    }
    result = dict(outcome) if outcome is not None else _outcome(scores, would_repeat)
    reviewed = _present(reviewedAt=_moment(reviewed_days))
    return record | _present(outcome=result) | _tail(tags, active) | reviewed | extra


def to_v110(record: Record) -> Record:
    """The same record in schema 1.1.0: ``tags`` and ``active`` are there, timestamps have an offset."""
    result = copy.deepcopy(record)
    result.setdefault("tags", [])
    result.setdefault("active", True)
    for holder, key in ((result, "timestamp"), (result, "reviewedAt"), *_evolution_dates(result)):
        if key in holder:
            holder[key] = _with_offset(holder[key])
    return result


def to_v120(record: Record) -> Record:
    """The same record in schema 1.2.0: adds ``metadata``, and ``variations`` to patterns."""
    result = to_v110(record)
    if "pattern" in result:
        result.setdefault("variations", [])
    modified = result.get("timestamp", _with_offset(days_ago(0)))
    result["metadata"] = {"created_by": result.get("agent"), "last_modified": modified, "version": "1.2.0"}
    return result


def to_v200(record: Record) -> Record:
    """The same record in schema 2.0.0: ``version``; patterns have ``performance`` and ``lifecycle``."""
    result: Record = {}
    for key, value in to_v120(record).items():
        if key == "metrics" and "pattern" in record:
            result["performance"] = _renamed(value, _PATTERN_METRICS)
        elif key == "evolution" and "pattern" in record:
            result["lifecycle"] = _renamed(value, _PATTERN_EVOLUTION)
        else:
            result[key] = value
    result["metadata"]["version"] = result["version"] = "2.0.0"
    return result


def _head(record_id: str | None, agent: str, created: str | None) -> Record:
    return {"id": record_id or str(uuid4()), "agent": agent, **_present(timestamp=created)}


def _tail(tags: Sequence[str] | None, active: bool | None) -> Record:
    return _present(tags=None if tags is None else list(tags), active=active)


def _present(**values: Any) -> Record:
    return {key: value for key, value in values.items() if value is not None}


def _moment(days: float | None) -> str | None:
    return None if days is None else days_ago(days)


def _outcome(scores: Mapping[str, float] | None, would_repeat: bool | None) -> Record | None:
    if scores is None and would_repeat is None:
        return None
    return {"successMetrics": dict(scores or {}), "lessonsLearned": [], **_present(wouldRepeat=would_repeat)}


def _evolution_dates(record: Record) -> list[tuple[Record, str]]:
    evolution = record.get("evolution", {})
    return [(evolution, "created"), (evolution, "lastUsed")]


def _with_offset(moment: Any) -> Any:
    """The moment with an offset instead of ``Z``; what cannot be read stays as it is."""
    if not isinstance(moment, str):
        return moment
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> Record:
    return {names.get(key, key): value for key, value in values.items()}
