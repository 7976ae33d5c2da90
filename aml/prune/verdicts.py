"""Each rule and each protection spelt out for one record: what it looks at, where it draws the line, and what it says.

The rules themselves only say yes or no, fast; a test holds both to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from aml.model import units
from aml.model.kinds import Kind
from aml.model.record import RecordView
from aml.model.timestamps import SECONDS_PER_DAY, days_between
from aml.prune.options import SPACE, Protection, PruneOptions, Space, Thresholds
from aml.prune.rules import RULES, protection_of
from aml.prune.space import Sizes

APPLIES, DOES_NOT, LACKS = "applies", "does not apply", "lacks a figure"


class Condition(Struct, frozen=True):
    """One figure that a rule looks at: its name, its value (None if unknown), the limit, whether it is met (None where
    that cannot be told), and all that as text."""

    figure: str
    value: float | bool | None
    limit: float | bool
    met: bool | None
    text: str


class Verdict(Struct, frozen=True):
    """What one rule says of a record: ``verdict`` is "applies", "does not apply" or "lacks a figure".

    ``asked`` tells whether its strategy is among those that were asked for.
    """

    rule: str
    strategy: str
    asked: bool
    verdict: str
    conditions: tuple[Condition, ...]


class Guard(Struct, frozen=True):
    """One protection: its name, whether it holds for a record, and why or why not."""

    protection: str
    holds: bool
    reason: str


Look = Callable[[RecordView, float, Thresholds], Condition]


def _over(figure: str, words: str, moment: float | None, now: float, days: float) -> Condition:
    age = days_between(moment, now)
    met = None if moment is None else now - moment > days * SECONDS_PER_DAY
    told = f"{words} at an unknown time" if age is None else f"{words} {age:,.0f} days ago"
    return Condition(figure, None if age is None else round(age, 2), days, met, f"{told}, goes over {days:g}")


def _under(figure: str, value: float | None, limit: float, *, percent: bool) -> Condition:
    shown, line = (f"{value or 0:.0%}", f"{limit:.0%}") if percent else (f"{value or 0:.2f}", f"{limit:.2f}")
    told = f"{figure} {'unknown' if value is None else shown}, goes under {line}"
    return Condition(figure, value, limit, None if value is None else value < limit, told)


def _flag(figure: str, value: bool | None, words: str) -> Condition:
    told = "unknown" if value is None else "yes" if value else "no"
    return Condition(figure, value, False, None if value is None else not value, f"{words}: {told}, goes if no")


def _tried(view: RecordView, _now: float, limits: Thresholds) -> Condition:
    found, least = view.executions, limits.min_executions
    told = "executions unknown" if found is None else f"executions {found:,.0f}"
    return Condition("executions", found, least, None if found is None else found >= least, f"{told}, from {least:g}")


def _created(name: str) -> Look:
    return lambda view, now, limits: _over("created_days", "created", view.created, now, getattr(limits, name))


def _used(name: str) -> Look:
    return lambda view, now, limits: _over("last_used_days", "last used", view.last_used, now, getattr(limits, name))


def _success(name: str) -> Look:
    return lambda view, _now, limits: _under("success", view.success, getattr(limits, name), percent=True)


def _confidence(view: RecordView, _now: float, limits: Thresholds) -> Condition:
    return _under("confidence", view.confidence, limits.low_confidence, percent=False)


def _worked(view: RecordView, _now: float, _limits: Thresholds) -> Condition:
    return _flag("worked", view.worked, "it worked")


def _active(view: RecordView, _now: float, _limits: Thresholds) -> Condition:
    return _flag("active", not view.is_inactive, "active")


def _again(view: RecordView, _now: float, _limits: Thresholds) -> Condition:
    return _flag("would_repeat", view.would_repeat, "would be repeated")


def _score(view: RecordView, _now: float, limits: Thresholds) -> Condition:
    return _under("score", view.outcome_score, limits.negative_score, percent=False)


#: What each rule looks at. All of it must be met, but for ANY_OF, where one is enough.
LOOKS: dict[str, tuple[Look, ...]] = {
    "unused_too_long": (_used("unused_days"),),
    "failed_pattern": (_success("failed_success"), _tried, _created("failed_days")),
    "old_decision": (_created("decision_days"),),
    "old_failed_solution": (_worked, _created("solution_days")),
    "inactive": (_active, _used("inactive_days")),
    "low_success_rate": (_success("low_success"), _tried),
    "low_confidence": (_confidence, _tried),
    "outdated_solution": (_worked,),
    "negative_outcome": (_again, _score),
}
ANY_OF = frozenset({"negative_outcome"})


def verdicts_on(view: RecordView, kind: Kind, options: PruneOptions, now: float) -> tuple[Verdict, ...]:
    """What every rule of that kind says, in the order in which they are tried; ``now`` in seconds since 1970 UTC."""
    found = []
    for rule in RULES:
        if kind in rule.kinds:
            conditions = tuple(look(view, now, options.thresholds) for look in LOOKS[rule.name])
            verdict = _together([one.met for one in conditions], any_of=rule.name in ANY_OF)
            found.append(Verdict(rule.name, rule.strategy, rule.strategy in options.strategies, verdict, conditions))
    return tuple(found)


def verdict_on_space(agent: str, space: Space, sizes: Sizes, *, chosen: bool) -> Verdict:
    """What making room says of a pattern, which is ``chosen`` to go or not: what lies on disk, and the limits."""
    held = ((agent, sizes.agents.get(agent, 0), space.agent_bytes), ("the store", sizes.store, space.store_bytes))
    conditions = tuple(
        Condition(
            figure,
            float(size),
            float(limit),
            size > limit,
            f"{whose}: {units.size(size)}, limit {units.size(limit)}",
        )
        for figure, (whose, size, limit) in zip(("agent_bytes", "store_bytes"), held, strict=True)
    )
    return Verdict(SPACE, SPACE, True, APPLIES if chosen else DOES_NOT, conditions)


def _together(met: list[bool | None], *, any_of: bool) -> str:
    """The verdict where all conditions must be met, or any of them; what is unknown condemns nobody."""
    if any_of:
        return APPLIES if True in met else LACKS if None in met else DOES_NOT
    return DOES_NOT if False in met else LACKS if None in met else APPLIES


def guards_of(view: RecordView, now: float, protection: Protection) -> tuple[Guard, ...]:
    """Every protection, and whether it holds for that record."""
    names = sorted({tag for tag in view.tag_names if tag.casefold() in protection.folded_tags})
    created = days_between(view.created, now)
    is_new = view.created is not None and now - view.created < protection.new_days * SECONDS_PER_DAY
    age = "its creation is unknown" if created is None else f"created {created:,.0f} days ago"
    pinned = bool(protection.ids) and view.ident in protection.ids
    return (
        Guard("pinned_id", pinned, "its id is pinned in the settings" if pinned else "its id is not pinned"),
        Guard("pinned_tag", bool(names), f"its tags: {', '.join(names)}" if names else "it has no pinned tag"),
        Guard("new", is_new, f"{age}, protected under {protection.new_days:g}"),
        _worth(view, now, protection),
    )


def _worth(view: RecordView, now: float, protection: Protection) -> Guard:
    # asked of the rule itself, with everything else taken out of it
    alone = Protection(protection.value, protection.used_days, new_days=-1e12, ids=(), tags=())
    holds = protection_of(view, view.judgement, now, alone) is not None
    confidence, used = view.confidence, days_between(view.last_used, now)
    trust = "unknown" if confidence is None else f"{confidence:.2f}"
    last = "at an unknown time" if used is None else f"{used:,.0f} days ago"
    told = f"value {view.value:.2f}, confidence {trust}, protected from {protection.value:.2f}"
    return Guard("valuable", holds, f"{told} if used within {protection.used_days:g} days; last used {last}")
