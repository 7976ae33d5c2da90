"""Planning a garbage collection: which records and files would go, within each agent's loss budget. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aml.ledger.budget import Budget, Limits, budget, first_within
from aml.ledger.history import AgentHistory
from aml.ledger.removal import Removal
from aml.model.kinds import KINDS
from aml.optimize.garbage import RULES, Pins, Scan, with_twins
from aml.optimize.leftovers import Leftover
from aml.optimize.sources import Step

_KIND_RANK = {kind.plural: rank for rank, kind in enumerate(KINDS)}
_RULE_RANK = {rule: rank for rank, rule in enumerate(RULES)}

#: What of a rank tells identical pieces of garbage apart: all but the position itself.
_SAME = 5


class GcOptions(Struct, frozen=True):
    """A garbage collection. ``agents`` empty means all of them, and then what they share too.

    ``salvage`` asks to replace damaged files by what can be read of them; ``temporary_days`` is the age from which an
    unfinished write is a leftover.
    """

    agents: tuple[str, ...] = ()
    salvage: bool = False
    temporary_days: float = 1.0
    pins: Pins = Pins()
    limits: Limits = Limits()


class FilePlan(Struct, frozen=True):
    """What would happen to one record file and the compressed copy beside it; pinned to the content of both.

    ``records`` counts elements without nulls, ``size`` bytes on disk. ``steps`` are about whole files. ``odd`` are
    elements that are never judged: position and reason. ``losses`` counts the removals that the loss budget counts.
    ``problem`` says why the file is left alone, if it is.
    """

    agent: str
    kind: str
    pins: tuple[str | None, str | None] = (None, None)
    size: int = 0
    records: int = 0
    removals: tuple[Removal, ...] = ()
    deferred: tuple[Removal, ...] = ()
    pinned: int = 0
    odd: tuple[tuple[int, str], ...] = ()
    too_new: int = 0
    losses: int = 0
    copies: tuple[tuple[str, ...], ...] = ()
    steps: tuple[Step, ...] = ()
    problem: str | None = None
    problem_status: int = 0

    @property
    def touches(self) -> bool:
        return bool(self.removals or self.steps)


class AgentPlan(Struct, frozen=True):
    """What would happen to one agent: ``live`` records now, ``lost`` within the window of the loss budget."""

    agent: str
    live: int
    lost: int
    allowance_used: bool
    budget: Budget
    files: tuple[FilePlan, ...]

    @property
    def losses(self) -> int:
        """How many of the removals the loss budget counts."""
        return sum(file.losses for file in self.files)


class GcPlan(Struct, frozen=True):
    """What would happen to a store. ``now`` in seconds since 1970 UTC; ``notes`` are what could not be looked at."""

    now: float
    options: GcOptions
    agents: tuple[AgentPlan, ...]
    leftovers: tuple[Leftover, ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[FilePlan, ...]:
        return tuple(file for agent in self.agents for file in agent.files)


class Judged(Struct, frozen=True):
    """One file that was looked at: what is pinned and what becomes of whole files, and the garbage in it."""

    pins: tuple[str | None, str | None]
    size: int
    steps: tuple[Step, ...]
    scan: Scan


def plan_agent(agent: str, parts: Sequence[Judged | FilePlan], history: AgentHistory, options: GcOptions) -> AgentPlan:
    """Fit the garbage of an agent into its loss budget; ``parts`` are files judged, and plans of those left alone."""
    judged = [part for part in parts if isinstance(part, Judged)]
    live = sum(one.scan.records for one in judged)
    lost = history.lost({one.scan.kind: frozenset(one.scan.present) for one in judged})
    allowed = budget(live, lost, history.allowance_used, options.limits)
    chosen = _choose([one.scan for one in judged], allowed.limit)
    files = [part if isinstance(part, FilePlan) else plan_file(part, chosen[part.scan.kind]) for part in parts]
    return AgentPlan(agent, live, lost, history.allowance_used, allowed, tuple(files))


def replan_file(agent: AgentPlan, before: FilePlan, judged: Judged, options: GcOptions) -> FilePlan:
    """The plan for a file that changed since: no more records go than were planned to, nor than is allowed now."""
    live = agent.live - before.records + judged.scan.records
    allowed = budget(live, agent.lost, agent.allowance_used, options.limits).limit
    elsewhere = agent.losses - before.losses
    limit = min(before.losses, allowed - elsewhere)
    return plan_file(judged, _choose([judged.scan], limit)[judged.scan.kind])


def plan_file(judged: Judged, chosen: frozenset[int]) -> FilePlan:
    """The plan for one file in which the garbage at the ordinals ``chosen`` goes."""
    scan = judged.scan
    return FilePlan(
        scan.agent,
        scan.kind,
        pins=judged.pins,
        size=judged.size,
        records=scan.records,
        removals=with_twins(scan, chosen),
        deferred=tuple(one for one in scan.garbage if one.ordinal not in chosen),
        pinned=scan.pinned,
        odd=tuple(scan.odd),
        too_new=scan.too_new,
        losses=sum(one.ordinal in chosen and one.ordinal not in scan.free for one in scan.garbage),
        copies=tuple(scan.copies),
        steps=judged.steps,
    )


def _choose(scans: Sequence[Scan], limit: int) -> dict[str, frozenset[int]]:
    """For each kind the ordinals of what goes: all that is no loss, and at most ``limit`` records."""
    ranked = sorted(
        (_RULE_RANK[one.rule], one.value, _KIND_RANK[scan.kind], one.id or "", _first(scan, one), one.ordinal)
        for scan in scans
        for one in scan.garbage
        if one.ordinal not in scan.free
    )
    within = {(rank[2], rank[-1]) for rank in first_within(ranked, limit, same=_SAME)}
    return {
        scan.kind: frozenset(
            one.ordinal
            for one in scan.garbage
            if one.ordinal in scan.free or (_KIND_RANK[scan.kind], one.ordinal) in within
        )
        for scan in scans
    }


def _first(scan: Scan, one: Removal) -> int:
    return scan.first_of.get(one.ordinal, one.ordinal)
