"""The parts of records that are looked at, in every schema and spelling, and how what stands there is read.

The fields of these structs are all of a part that is ever decoded.
"""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from aml.model.timestamps import parse_timestamp

#: A development speed of 1.5 counts as the full score; the runtime's scale runs from 0 to 2.
FULL_SPEED = 1.5


def ratio(value: object, limit: float = 1.0) -> float | None:
    """``value`` as a float where it is a number from 0 to ``limit``, else None."""
    if (type(value) is float or type(value) is int) and 0 <= value <= limit:
        return float(value)
    return None


def amount(value: object) -> float | None:
    """``value`` as a float where it is a finite number of at least 0, else None."""
    if type(value) is int:
        return float(value) if 0 <= value < 1 << 53 else None
    if type(value) is float and value >= 0 and math.isfinite(value):
        return value
    return None


def first(*values: Any) -> Any:
    """The first of ``values`` that is not None."""
    return next((value for value in values if value is not None), None)


def first_time(*values: object) -> float | None:
    """The first of ``values`` that can be read as a time, in seconds since 1970 UTC."""
    for value in values:
        if value is not None:
            moment = parse_timestamp(value)
            if moment is not None:
                return moment
    return None


class Figures(Struct, gc=False):
    """``metrics`` of schema 1.x and ``performance`` of 2.0.0, in either spelling."""

    successRate: Any = None
    success_rate: Any = None
    executionCount: Any = None
    execution_count: Any = None
    avgTimeSavedMs: Any = None
    avg_time_saved_ms: Any = None


class Course(Struct, gc=False):
    """``evolution`` of schema 1.x and ``lifecycle`` of 2.0.0, in either spelling."""

    created: Any = None
    createdAt: Any = None
    created_at: Any = None
    lastUsed: Any = None
    last_used: Any = None
    last_used_at: Any = None
    confidenceScore: Any = None
    confidence_score: Any = None
    confidence: Any = None

    @property
    def begun(self) -> Any:
        return first(self.created_at, self.created, self.createdAt)

    @property
    def used(self) -> Any:
        return first(self.last_used_at, self.lastUsed, self.last_used)

    @property
    def trust(self) -> Any:
        return first(self.confidence, self.confidenceScore, self.confidence_score)


class Metadata(Struct, gc=False):
    """``metadata`` of schema 1.2.0 and later, of which only matters that it is there."""


class Effectiveness(Struct, gc=False):
    """``effectiveness`` of a solution."""

    worked: Any = None
    preventedRecurrence: Any = None
    prevented_recurrence: Any = None


class SuccessMetrics(Struct, gc=False):
    """``successMetrics`` of a decision's outcome; custom metrics are left out on purpose."""

    developmentSpeed: Any = None
    development_speed: Any = None
    apiPerformance: Any = None
    api_performance: Any = None
    clientSatisfaction: Any = None
    client_satisfaction: Any = None
    maintainability: Any = None


class Outcome(Struct, gc=False):
    """``outcome`` of a decision."""

    successMetrics: SuccessMetrics | None = None
    success_metrics: SuccessMetrics | None = None
    wouldRepeat: Any = None
    would_repeat: Any = None
