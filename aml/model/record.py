"""The schema-neutral view of one record.

Agents write four schema versions, in camelCase and, by hand, in snake_case. A view answers the questions that
operations ask (how old, how successful, how valuable) for all of them, so that no operation ever names a field of a
schema. None means unknown, and an unknown figure never condemns a record.

Views are decoded straight from bytes: the struct fields here and in parts.py are all of a record that is ever looked
at. Scalars are declared Any on purpose, because a hand-written record may hold anything there; the properties check.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from aml.model.parts import (
    FULL_SPEED,
    Course,
    Effectiveness,
    Figures,
    Metadata,
    Outcome,
    amount,
    first,
    first_time,
    ratio,
)
from aml.model.schema import version_by_marks
from aml.model.timestamps import parse_timestamp

#: Values a pattern is credited with where a part of its value is unknown: success, confidence, executions, saved ms.
_UNKNOWN_SUCCESS, _UNKNOWN_CONFIDENCE, _UNKNOWN_EXECUTIONS, _UNKNOWN_SAVED_MS = 0.5, 0.3, 1.0, 0.0

#: To how many digits scores are meant: what should be 0.85 must not miss a limit of 0.85 by binary rounding.
_DIGITS = 9

#: What a record is worth, 0 to 1; its confidence, success and executions where they are known.
Judgement = tuple[float, float | None, float | None, float | None]


class RecordView(Struct, gc=False):
    """What every kind of record has in common. Times are seconds since 1970 UTC, None is unknown."""

    id: Any = None
    agent: Any = None
    timestamp: Any = None
    tags: Any = None
    active: Any = None
    version: Any = None
    metadata: Metadata | None = None

    @property
    def schema_version(self) -> str:
        """The version of the schema that the record has, told as ``version_of`` does."""
        has_both = self.tags is not None and self.active is not None
        return version_by_marks(self.version, self.metadata is not None, has_both)

    @property
    def ident(self) -> str | None:
        """The record's id as text; None where it has none that could name it."""
        ident = self.id
        if type(ident) is str:
            return ident or None
        return str(ident) if type(ident) is int else None

    @property
    def tag_names(self) -> tuple[str, ...]:
        if type(self.tags) is list:
            return tuple([tag for tag in self.tags if type(tag) is str])
        return (self.tags,) if type(self.tags) is str else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Which of id, agent and time of creation the record does not state at all; what is odd is stated."""
        if self.id and self.agent and self.timestamp:
            return ()
        places = {"id": (self.id,), "agent": (self.agent,), "timestamp": (self.timestamp, *self._begun)}
        return tuple(name for name, values in places.items() if all(value is None or value == "" for value in values))

    @property
    def _begun(self) -> tuple[Any, ...]:
        """Whatever stands where the time of creation may stand, too."""
        return ()

    @property
    def is_inactive(self) -> bool:
        return self.active is False

    @property
    def created(self) -> float | None:
        return parse_timestamp(self.timestamp)

    @property
    def last_used(self) -> float | None:
        return parse_timestamp(self.timestamp)

    @property
    def success(self) -> float | None:
        """0 to 1."""
        return None

    @property
    def executions(self) -> float | None:
        return None

    @property
    def saved_ms(self) -> float | None:
        """Average time saved in milliseconds."""
        return None

    @property
    def worked(self) -> bool | None:
        """Whether a solution solved its problem."""
        return None

    @property
    def would_repeat(self) -> bool | None:
        """Whether a decision would be taken again."""
        return None

    @property
    def outcome_score(self) -> float | None:
        """Mean score of a decision's outcome, 0 to 1."""
        return None

    @property
    def value(self) -> float:
        """What the record is worth, 0 to 1."""
        raise TypeError(f"{type(self).__name__} does not say what a record is worth")

    @property
    def confidence(self) -> float | None:
        """0 to 1; for kinds without a confidence of their own, their value."""
        return self.value

    @property
    def moments(self) -> tuple[float | None, float | None]:
        """When it was created and last used, with nothing read twice."""
        created = self.created
        return created, created

    @property
    def judgement(self) -> Judgement:
        """Value, confidence, success and executions, with nothing worked out twice."""
        value = self.value
        return value, value, self.success, self.executions


class PatternView(RecordView, gc=False):
    """A way of working that an agent learned.

    Nearly every pattern of a large store is plain schema 1.x as the runtime writes it, so each property looks there
    first and walks through the other spellings only where that finds nothing.
    """

    metrics: Figures | None = None
    performance: Figures | None = None
    evolution: Course | None = None
    lifecycle: Course | None = None

    @property
    def _begun(self) -> tuple[Any, ...]:
        courses = [course for course in (self.lifecycle, self.evolution) if course is not None]
        return tuple(value for course in courses for value in (course.created_at, course.created, course.createdAt))

    @property
    def created(self) -> float | None:
        life, past = self.lifecycle, self.evolution
        if life is None and past is not None and past.created is not None and past.created_at is None:
            return first_time(past.created, self.timestamp)
        return first_time(life and life.begun, past and past.begun, self.timestamp)

    @property
    def last_used(self) -> float | None:
        life, past = self.lifecycle, self.evolution
        if life is None and past is not None and past.lastUsed is not None and past.last_used_at is None:
            return parse_timestamp(past.lastUsed)
        return first_time(life and life.used, past and past.used)

    @property
    def moments(self) -> tuple[float | None, float | None]:
        return self.created, self.last_used

    @property
    def success(self) -> float | None:
        figures = self.metrics
        if self.performance is None and figures is not None and figures.success_rate is None:
            return ratio(figures.successRate)
        return ratio(self._figure("success_rate", "successRate"))

    @property
    def executions(self) -> float | None:
        figures = self.metrics
        if self.performance is None and figures is not None and figures.execution_count is None:
            return amount(figures.executionCount)
        return amount(self._figure("execution_count", "executionCount"))

    @property
    def saved_ms(self) -> float | None:
        figures = self.metrics
        if self.performance is None and figures is not None and figures.avg_time_saved_ms is None:
            return amount(figures.avgTimeSavedMs)
        return amount(self._figure("avg_time_saved_ms", "avgTimeSavedMs"))

    def _figure(self, snake: str, camel: str) -> Any:
        """The figure of that name, in the newer schema first."""
        found = (self.performance, self.metrics)
        return first(*(getattr(figures, name) for figures in found if figures for name in (snake, camel)))

    @property
    def confidence(self) -> float | None:
        life, past = self.lifecycle, self.evolution
        if life is None and past is not None and type(past.confidenceScore) is float and past.confidence is None:
            return ratio(past.confidenceScore)
        return ratio(first(life and life.trust, past and past.trust))

    @property
    def value(self) -> float:
        return self.judgement[0]

    @property
    def judgement(self) -> Judgement:
        success, confidence, executions, saved = self.success, self.confidence, self.executions, self.saved_ms
        value = _pattern_value(
            _UNKNOWN_SUCCESS if success is None else success,
            _UNKNOWN_CONFIDENCE if confidence is None else confidence,
            _UNKNOWN_EXECUTIONS if executions is None else executions,
            _UNKNOWN_SAVED_MS if saved is None else saved,
        )
        return value, confidence, success, executions


def _pattern_value(success: float, confidence: float, executions: float, saved_ms: float) -> float:
    return round(
        0.4 * success
        + 0.3 * confidence
        + 0.2 * (executions / 50 if executions < 50 else 1.0)
        + 0.1 * (saved_ms / 1000 if saved_ms < 1000 else 1.0),
        _DIGITS,
    )


class SolutionView(RecordView, gc=False):
    """An error and what was done about it."""

    effectiveness: Effectiveness | None = None
    verifiedCount: Any = None
    verified_count: Any = None

    @property
    def worked(self) -> bool | None:
        worked = self.effectiveness and self.effectiveness.worked
        return worked if isinstance(worked, bool) else None

    @property
    def success(self) -> float | None:
        worked = self.worked
        return None if worked is None else float(worked)

    @property
    def value(self) -> float:
        found = self.effectiveness
        prevented = found and first(found.preventedRecurrence, found.prevented_recurrence)
        prevented = float(prevented) if isinstance(prevented, bool) else amount(prevented)
        verified = amount(first(self.verifiedCount, self.verified_count))
        basis = 0.7 if self.worked else 0.3
        return round(
            min(1.0, basis + min(0.05 * (verified or 0.0), 0.2) + min(0.02 * (prevented or 0.0), 0.1)), _DIGITS
        )


class DecisionView(RecordView, gc=False):
    """A choice, and what came of it."""

    outcome: Outcome | None = None
    reviewedAt: Any = None
    reviewed_at: Any = None

    @property
    def last_used(self) -> float | None:
        return self.moments[1]

    @property
    def moments(self) -> tuple[float | None, float | None]:
        created = self.created
        reviewed = first_time(self.reviewedAt, self.reviewed_at)
        return created, created if reviewed is None else reviewed

    @property
    def would_repeat(self) -> bool | None:
        found = self.outcome
        again = found and first(found.wouldRepeat, found.would_repeat)
        return again if isinstance(again, bool) else None

    @property
    def outcome_score(self) -> float | None:
        found = self.outcome
        metrics = found and first(found.successMetrics, found.success_metrics)
        if not metrics:
            return None
        speed = ratio(first(metrics.developmentSpeed, metrics.development_speed), limit=2.0)
        scores = [
            None if speed is None else min(speed / FULL_SPEED, 1.0),
            ratio(first(metrics.apiPerformance, metrics.api_performance)),
            ratio(first(metrics.clientSatisfaction, metrics.client_satisfaction)),
            ratio(metrics.maintainability),
        ]
        known = [score for score in scores if score is not None]
        return round(sum(known) / len(known), _DIGITS) if known else None

    @property
    def success(self) -> float | None:
        return self.outcome_score

    @property
    def value(self) -> float:
        return self.judgement[0]

    @property
    def judgement(self) -> Judgement:
        score, again = self.outcome_score, self.would_repeat
        change = 0.0 if again is None else 0.1 if again else -0.1
        value = round(max(0.1, min(1.0, (0.5 if score is None else score) + change)), _DIGITS)
        return value, value, score, None
