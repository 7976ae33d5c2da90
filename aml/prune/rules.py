"""The rules: pure functions from a record's view to a finding, or to None where the record stays.

A rule that lacks a figure finds nothing: unknown never condemns.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.model.record import RecordView
from aml.model.timestamps import days_between
from aml.prune.options import Protection, Thresholds

Figures = dict[str, float | bool | str | None]


class Finding(Struct, frozen=True):
    """Why a record may go: the rule's name, a sentence for a person, and the figures behind it."""

    rule: str
    reason: str
    figures: Figures


Judge = Callable[[RecordView, float, Thresholds], Finding | None]


def unused_too_long(view: RecordView, now: float, limits: Thresholds) -> Finding | None:
    age = days_between(view.last_used, now)
    if age is None or age <= limits.unused_days:
        return None
    return _aged("unused_too_long", "last used", age, limits.unused_days)


def failed_pattern(view: RecordView, now: float, limits: Thresholds) -> Finding | None:
    success, executions = view.success, view.executions
    if success is None or success >= limits.failed_success or not _tried(executions, limits):
        return None
    age = days_between(view.created, now)
    if age is None or age <= limits.failed_days:
        return None
    reason = f"success {success:.0%} after {executions:.0f} executions, created {age:.0f} days ago"
    figures = {"success": success, "limit": limits.failed_success, "executions": executions, "age_days": round(age, 2)}
    return Finding("failed_pattern", reason, {**figures, "limit_days": limits.failed_days})


def old_decision(view: RecordView, now: float, limits: Thresholds) -> Finding | None:
    age = days_between(view.created, now)
    if age is None or age <= limits.decision_days:
        return None
    return _aged("old_decision", "taken", age, limits.decision_days)


def old_failed_solution(view: RecordView, now: float, limits: Thresholds) -> Finding | None:
    if view.worked is not False:
        return None
    age = days_between(view.created, now)
    if age is None or age <= limits.solution_days:
        return None
    finding = _aged("old_failed_solution", "did not work, created", age, limits.solution_days)
    return Finding(finding.rule, finding.reason, {**finding.figures, "worked": False})


def inactive(view: RecordView, now: float, limits: Thresholds) -> Finding | None:
    if not view.is_inactive:
        return None
    age = days_between(view.last_used, now)
    if age is None or age <= limits.inactive_days:
        return None
    finding = _aged("inactive", "inactive, last used", age, limits.inactive_days)
    return Finding(finding.rule, finding.reason, {**finding.figures, "active": False})


def low_success_rate(view: RecordView, now: float, limits: Thresholds) -> Finding | None:  # noqa: ARG001
    success, executions = view.success, view.executions
    if success is None or success >= limits.low_success or not _tried(executions, limits):
        return None
    reason = f"success {success:.0%} after {executions:.0f} executions, limit {limits.low_success:.0%}"
    return Finding(
        "low_success_rate", reason, {"success": success, "limit": limits.low_success, "executions": executions}
    )


def low_confidence(view: RecordView, now: float, limits: Thresholds) -> Finding | None:  # noqa: ARG001
    confidence, executions = view.confidence, view.executions
    if confidence is None or confidence >= limits.low_confidence or not _tried(executions, limits):
        return None
    reason = f"confidence {confidence:.2f} after {executions:.0f} executions, limit {limits.low_confidence:.2f}"
    figures = {"confidence": confidence, "limit": limits.low_confidence, "executions": executions}
    return Finding("low_confidence", reason, {**figures})


def outdated_solution(view: RecordView, now: float, limits: Thresholds) -> Finding | None:  # noqa: ARG001
    if view.worked is not False:
        return None
    return Finding("outdated_solution", "its effectiveness says that it did not work", {"worked": False})


def negative_outcome(view: RecordView, now: float, limits: Thresholds) -> Finding | None:  # noqa: ARG001
    score, again = view.outcome_score, view.would_repeat
    figures: Figures = {"score": score, "limit": limits.negative_score, "would_repeat": again}
    if again is False:
        return Finding("negative_outcome", "it would not be repeated", figures)
    if score is not None and score < limits.negative_score:
        return Finding("negative_outcome", f"mean outcome {score:.2f}, limit {limits.negative_score:.2f}", figures)
    return None


def _aged(rule: str, what: str, age: float, limit: float) -> Finding:
    return Finding(
        rule, f"{what} {age:.0f} days ago, limit {limit:g}", {"age_days": round(age, 2), "limit_days": limit}
    )


def _tried(executions: float | None, limits: Thresholds) -> bool:
    return executions is not None and executions >= limits.min_executions


#: Strategy, kind -> rules, in the order in which they are tried.
_RULES: dict[tuple[str, str], tuple[Judge, ...]] = {
    ("time", PATTERN.plural): (unused_too_long, failed_pattern, inactive),
    ("time", SOLUTION.plural): (old_failed_solution, inactive),
    ("time", DECISION.plural): (old_decision, inactive),
    ("performance", PATTERN.plural): (low_success_rate, low_confidence),
    ("performance", SOLUTION.plural): (outdated_solution,),
    ("performance", DECISION.plural): (negative_outcome,),
}


def rules_for(kind: Kind, strategies: tuple[str, ...]) -> tuple[Judge, ...]:
    """The rules that judge a kind under the given strategies; a record goes under the first that finds something."""
    return tuple(judge for strategy in strategies for judge in _RULES.get((strategy, kind.plural), ()))


def protection_of(view: RecordView, value: float, now: float, protection: Protection) -> str | None:
    """Why a condemned record, worth ``value``, stays all the same, or None."""
    if protection.ids and view.ident in protection.ids:
        return "its id is pinned in the settings"
    if view.tags:
        pinned = next((tag for tag in view.tag_names if tag in protection.tags), None)
        if pinned is not None:
            return f"it carries the tag {pinned}"
    age = days_between(view.created, now)
    if age is not None and age < protection.new_days:
        return "it was created in the last days"
    confidence = view.confidence
    is_high = value >= protection.value
    if not is_high and (confidence is None or confidence < protection.value):
        return None
    unused = days_between(view.last_used, now)
    if unused is not None and unused > protection.used_days:
        return None
    return "its value is high" if is_high else "its confidence is high"
