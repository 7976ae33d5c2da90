"""The loss budget: how many of an agent's records one run may remove. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct

Ranked = TypeVar("Ranked", bound=tuple[Any, ...])


class Limits(Struct, frozen=True):
    """Shares are from 0 to 1, ``window_days`` are days, the allowance is a number of records."""

    run_share: float = 0.30
    window_share: float = 0.50
    window_days: float = 30.0
    allowance: int = 20


class Budget(Struct, frozen=True):
    """How many records may go now, and by which limit.

    ``run_limit`` is the share of one run alone: a run that removes more than that has used the allowance.
    """

    limit: int
    run_limit: int
    reason: str


def budget(live: int, lost: int, allowance_used: bool, limits: Limits) -> Budget:
    """The budget of an agent.

    ``live`` records are in its files now; ``lost`` distinct records were removed within the window and are not there
    now; ``allowance_used`` tells whether a run within the window took the allowance for small agents.
    """
    run_limit = _share(limits.run_share, live)
    allowance = 0 if allowance_used or limits.run_share == 0 else min(limits.allowance, live // 2)
    window_limit = max(0, _share(max(limits.window_share, limits.run_share), live + lost) - lost)
    wanted = max(run_limit, allowance)
    if window_limit < wanted:
        return Budget(
            window_limit,
            run_limit,
            f"at most {limits.window_share:.0%} of its records in {limits.window_days:g} days, {lost} went before",
        )
    if allowance > run_limit:
        return Budget(
            allowance,
            run_limit,
            f"the allowance of a small agent, {allowance} records once in {limits.window_days:g} days",
        )
    return Budget(run_limit, run_limit, f"at most {limits.run_share:.0%} of an agent's records in a run")


class AgentBudget(Struct, frozen=True):
    """An agent's loss budget in records, and which limit it is, as reports tell it."""

    agent: str
    limit: int
    reason: str


def first_within(ranked: Sequence[Ranked], limit: int, *, same: int) -> Sequence[Ranked]:
    """At most the first ``limit`` of ranked candidates; those equal in their first ``same`` members stay together."""
    while 0 < limit < len(ranked) and ranked[limit - 1][:same] == ranked[limit][:same]:
        limit -= 1
    return ranked[: max(limit, 0)]


def _share(share: float, records: int) -> int:
    # the tiny addition keeps 30 % of 10 from becoming 2 by binary rounding
    return math.floor(share * records + 1e-9)
