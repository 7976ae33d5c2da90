"""The rules: pure functions over a record's view.

Each rule says whether it applies, which is asked of every record and therefore kept lean, and explains itself, which is
asked only of the records that go. A rule that lacks a figure does not apply: unknown never condemns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from msgspec import Struct

from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.model.record import Judgement, RecordView
from aml.model.timestamps import SECONDS_PER_DAY, days_between
from aml.prune.options import SPACE, Protection, Thresholds

Figures = dict[str, float | bool | str | None]
Applies = Callable[[RecordView, float, Thresholds], bool]
Explain = Callable[[RecordView, float, Thresholds], tuple[str, Figures]]


class Rule(Struct, frozen=True):
    """One rule: its name, the strategy and the kinds it belongs to.

    Both functions take the view, now in seconds since 1970 UTC, and the thresholds; ``explain`` gives a sentence for a
    person and the figures behind it, and is called only where ``applies`` is true.
    """

    name: str
    strategy: str
    kinds: tuple[Kind, ...]
    applies: Applies
    explain: Explain


def _older(moment: float | None, now: float, days: float) -> bool:
    return moment is not None and now - moment > days * SECONDS_PER_DAY


def _aged(what: str, moment: float | None, now: float, limit: float) -> tuple[str, Figures]:
    age = days_between(moment, now) or 0.0
    return f"{what} {age:.0f} days ago, limit {limit:g}", {"age_days": round(age, 2), "limit_days": limit}


def _tried(view: RecordView, limits: Thresholds) -> bool:
    executions = view.executions
    return executions is not None and executions >= limits.min_executions


def _is_unused(view: RecordView, now: float, limits: Thresholds) -> bool:
    return _older(view.last_used, now, limits.unused_days)


def _why_unused(view: RecordView, now: float, limits: Thresholds) -> tuple[str, Figures]:
    return _aged("last used", view.last_used, now, limits.unused_days)


def _has_failed(view: RecordView, now: float, limits: Thresholds) -> bool:
    success = view.success
    if success is None or success >= limits.failed_success:
        return False
    return _tried(view, limits) and _older(view.created, now, limits.failed_days)


def _why_failed(view: RecordView, now: float, limits: Thresholds) -> tuple[str, Figures]:
    reason, figures = _success(view, limits.failed_success)
    age, ages = _aged("created", view.created, now, limits.failed_days)
    return f"{reason}; {age}", {**figures, **ages}


def _is_old_decision(view: RecordView, now: float, limits: Thresholds) -> bool:
    return _older(view.created, now, limits.decision_days)


def _why_old_decision(view: RecordView, now: float, limits: Thresholds) -> tuple[str, Figures]:
    return _aged("taken", view.created, now, limits.decision_days)


def _is_old_failed_solution(view: RecordView, now: float, limits: Thresholds) -> bool:
    return view.worked is False and _older(view.created, now, limits.solution_days)


def _why_old_failed_solution(view: RecordView, now: float, limits: Thresholds) -> tuple[str, Figures]:
    reason, figures = _aged("it did not work; created", view.created, now, limits.solution_days)
    return reason, {"worked": False, **figures}


def _is_inactive(view: RecordView, now: float, limits: Thresholds) -> bool:
    return view.is_inactive and _older(view.last_used, now, limits.inactive_days)


def _why_inactive(view: RecordView, now: float, limits: Thresholds) -> tuple[str, Figures]:
    reason, figures = _aged("inactive; last used", view.last_used, now, limits.inactive_days)
    return reason, {"active": False, **figures}


def _has_low_success(view: RecordView, _now: float, limits: Thresholds) -> bool:
    success = view.success
    return success is not None and success < limits.low_success and _tried(view, limits)


def _why_low_success(view: RecordView, _now: float, limits: Thresholds) -> tuple[str, Figures]:
    return _success(view, limits.low_success)


def _success(view: RecordView, limit: float) -> tuple[str, Figures]:
    success, executions = view.success or 0.0, view.executions or 0.0
    figures: Figures = {"success": success, "limit": limit, "executions": executions}
    return f"success {success:.0%} after {executions:.0f} executions, limit {limit:.0%}", figures


def _has_low_confidence(view: RecordView, _now: float, limits: Thresholds) -> bool:
    confidence = view.confidence
    return confidence is not None and confidence < limits.low_confidence and _tried(view, limits)


def _why_low_confidence(view: RecordView, _now: float, limits: Thresholds) -> tuple[str, Figures]:
    confidence, executions = view.confidence or 0.0, view.executions or 0.0
    figures: Figures = {"confidence": confidence, "limit": limits.low_confidence, "executions": executions}
    return f"confidence {confidence:.2f} after {executions:.0f} executions, limit {limits.low_confidence:.2f}", figures


def _is_outdated(view: RecordView, _now: float, _limits: Thresholds) -> bool:
    return view.worked is False


def _why_outdated(_view: RecordView, _now: float, _limits: Thresholds) -> tuple[str, Figures]:
    return "its effectiveness says that it did not work", {"worked": False}


def _is_negative(view: RecordView, _now: float, limits: Thresholds) -> bool:
    if view.would_repeat is False:
        return True
    score = view.outcome_score
    return score is not None and score < limits.negative_score


def _why_negative(view: RecordView, _now: float, limits: Thresholds) -> tuple[str, Figures]:
    score, again = view.outcome_score, view.would_repeat
    figures: Figures = {"score": score, "limit": limits.negative_score, "would_repeat": again}
    if again is False or score is None:
        return "it would not be repeated", figures
    return f"mean outcome {score:.2f}, limit {limits.negative_score:.2f}", figures


_ALL = (PATTERN, SOLUTION, DECISION)

#: Every rule, in the order in which they are tried: a record goes under the first that applies.
RULES = (
    Rule("unused_too_long", "time", (PATTERN,), _is_unused, _why_unused),
    Rule("failed_pattern", "time", (PATTERN,), _has_failed, _why_failed),
    Rule("old_decision", "time", (DECISION,), _is_old_decision, _why_old_decision),
    Rule("old_failed_solution", "time", (SOLUTION,), _is_old_failed_solution, _why_old_failed_solution),
    Rule("inactive", "time", _ALL, _is_inactive, _why_inactive),
    Rule("low_success_rate", "performance", (PATTERN,), _has_low_success, _why_low_success),
    Rule("low_confidence", "performance", (PATTERN,), _has_low_confidence, _why_low_confidence),
    Rule("outdated_solution", "performance", (SOLUTION,), _is_outdated, _why_outdated),
    Rule("negative_outcome", "performance", (DECISION,), _is_negative, _why_negative),
)

#: Places after the rules for what goes to make room, in its agent's folder or in the store: no rule condemns that
#: record by itself.
AGENT_SPACE, STORE_SPACE = len(RULES), len(RULES) + 1


def rule_name(place: int) -> str:
    """The name under which a record at that place goes."""
    return RULES[place].name if place < AGENT_SPACE else SPACE


def rules_for(kind: Kind, strategies: tuple[str, ...]) -> tuple[tuple[int, Applies], ...]:
    """The rules that judge a kind under the given strategies: their places in RULES, and what to ask."""
    chosen = enumerate(RULES)
    return tuple((place, rule.applies) for place, rule in chosen if kind in rule.kinds and rule.strategy in strategies)


@cache
def _folded(tags: tuple[str, ...]) -> frozenset[str]:
    return frozenset(tag.casefold() for tag in tags)


def protection_of(view: RecordView, judgement: Judgement, now: float, protection: Protection) -> str | None:
    """Why a condemned record, of which ``judgement`` is known already, stays all the same, or None."""
    if protection.ids and view.ident in protection.ids:
        return "its id is pinned in the settings"
    if view.tags:
        folded = _folded(protection.tags)
        for tag in view.tag_names:
            if tag.casefold() in folded:
                return f"it carries the tag {tag}"
    created = view.created
    if created is not None and now - created < protection.new_days * SECONDS_PER_DAY:
        return f"it was created in the last {protection.new_days:g} days"
    value, confidence, _, _ = judgement
    is_high = value >= protection.value
    if not is_high and (confidence is None or confidence < protection.value):
        return None
    if _older(view.last_used, now, protection.used_days):
        return None
    return "its value is high" if is_high else "its confidence is high"
