"""Making room: which patterns go where an agent's folder, or the store, holds more than its limit. Pure.

The rules come first, and what they take counts. Then each agent that is over its limit is brought down to its target,
and after that the store, from the patterns of all agents in one order. The loss budget of each agent holds throughout.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, field, structs

from aml.ledger.budget import Budget
from aml.model.kinds import DECISION, PATTERN
from aml.prune.candidates import Group, ranked
from aml.prune.options import PruneOptions
from aml.prune.plan import AgentPlan, FilePlan, FileScan, PrunePlan, plan_file
from aml.prune.rules import AGENT_SPACE, STORE_SPACE


class Sizes(Struct, frozen=True):
    """Bytes on disk: of each agent's folder, and of the store with all that is in it.

    ``saved`` is by how much compressing its decisions makes, or has made, an agent's folder smaller. ``shrinks`` is
    there where that is still to come: the share of their size that the decisions will then take. ``plain`` are agents
    whose decisions could be compressed, but may not be by the settings.
    """

    agents: dict[str, int]
    store: int
    saved: dict[str, int] = {}
    shrinks: dict[str, float] = {}
    plain: frozenset[str] = frozenset()


class Room(Struct, frozen=True):
    """An agent's folder, or the store (``agent`` is None), that holds more than its limit.

    ``before`` is what it holds (bytes), ``saved`` what compressing saves, ``after`` what is expected to remain.
    ``is_enough`` tells whether that is the target, or, where no pattern has to go for it, under the limit.
    ``stays_plain`` tells whether decisions in it could be compressed, but may not be by the settings.
    """

    agent: str | None
    before: int
    saved: int
    after: int
    limit: int
    target: int
    is_enough: bool
    stays_plain: bool = False


class Claim(Struct):
    """What may go from one agent for space, and what was chosen so far.

    ``left`` is what the rules left of its loss budget, ``freed`` what they and space free on disk (bytes). ``taken``
    and ``deferred`` are ordinals of patterns with the place they go under, and their values.
    """

    plan: AgentPlan
    scan: FileScan | None
    left: int
    freed: float
    room: float = 0.0
    taken: dict[int, tuple[int, float]] = field(default_factory=dict)
    deferred: dict[int, tuple[int, float]] = field(default_factory=dict)
    protected: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)

    def take(self, group: Group, place: int) -> None:
        """Let a group go if the loss budget has room for all of it; else it and all that follow are deferred."""
        fits = len(group.ordinals) <= self.left
        chosen = self.taken if fits else self.deferred
        chosen.update({one: (place, value) for one, value in zip(group.ordinals, group.values, strict=True)})
        self.left = self.left - len(group.ordinals) if fits else 0
        if fits:
            self.room += group.freed
            self.freed += group.freed

    def ranking(self, policy: str) -> Iterator[Group]:
        """What was neither taken nor deferred before, in the order in which it goes."""
        found = self.scan.candidates if self.scan is not None else None
        for group in ranked(found, policy) if found is not None else ():
            if group.ordinals[0] not in self.taken and group.ordinals[0] not in self.deferred:
                yield group


def claim_of(plan: AgentPlan, parts: Iterable[FileScan | FilePlan], sizes: Sizes) -> Claim:
    """What is to be kept of an agent's scans until all agents are planned."""
    scans = {part.kind: part for part in parts if isinstance(part, FileScan)}
    freed = 0.0
    for file in plan.files:
        if file.kind in scans:
            gone = frozenset(file.removals.ordinals)
            scan = scans[file.kind]
            share = sizes.shrinks.get(plan.agent, 1.0) if file.kind == DECISION.plural else 1.0
            freed += sum(
                size * share for ordinal, size in zip(scan.ordinals, scan.freed, strict=True) if ordinal in gone
            )
    removed = sum(len(file.removals) for file in plan.files)
    return Claim(plan, scans.get(PATTERN.plural), max(0, plan.budget.limit - removed), freed)


def plan_space(now: float, options: PruneOptions, claims: Sequence[Claim], sizes: Sizes) -> PrunePlan:
    """The whole plan, in which room is made after the rules."""
    space, of = options.space, sizes.agents
    for claim in claims:
        held = of.get(claim.plan.agent, 0) - sizes.saved.get(claim.plan.agent, 0) - claim.freed
        if held > space.agent_bytes:
            _choose([claim], held - space.agent_bytes * space.target, AGENT_SPACE, space.policy)
    saved = sum(sizes.saved.values())
    held = sizes.store - saved - sum(claim.freed for claim in claims)
    if held > space.store_bytes:
        _choose(claims, held - space.store_bytes * space.target, STORE_SPACE, space.policy)
    rooms = [
        _room(name, of[name], sizes, [claim], space.agent_bytes, space.target, AGENT_SPACE)
        for claim in claims
        if of.get(name := claim.plan.agent, 0) > space.agent_bytes
    ]
    if sizes.store > space.store_bytes:
        rooms.append(_room(None, sizes.store, sizes, claims, space.store_bytes, space.target, STORE_SPACE))
    return PrunePlan(now, options, tuple(_replanned(claim) for claim in claims), tuple(rooms))


def _room(
    agent: str | None, before: int, sizes: Sizes, claims: Sequence[Claim], limit: int, share: float, place: int
) -> Room:
    saved = sum(sizes.saved.values()) if agent is None else sizes.saved.get(agent, 0)
    plain = bool(sizes.plain) if agent is None else agent in sizes.plain
    after = max(0, round(before - saved - sum(claim.freed for claim in claims)))
    target = int(limit * share)
    chosen = (one for claim in claims for found in (claim.taken, claim.deferred) for one, _ in found.values())
    enough = after <= target or (after <= limit and place not in chosen)
    return Room(agent, before, saved, after, limit, target, enough, plain)


def _choose(claims: Sequence[Claim], excess: float, place: int, policy: str) -> None:
    """Choose patterns of all ``claims`` in one order until ``excess`` bytes are found; protected ones stay."""

    def marked(number: int, claim: Claim) -> Iterator[tuple[float, int, int, Group]]:
        return ((group.score, number, group.ordinals[0], group) for group in claim.ranking(policy))

    for _, number, _, group in heapq.merge(*(marked(number, claim) for number, claim in enumerate(claims))):
        if excess <= 0:
            break
        claim = claims[number]
        if group.protected is None:
            claim.take(group, place)
            excess -= group.freed
        else:
            news = set(group.ordinals) - claim.seen
            claim.protected[group.protected] += len(news)
            claim.seen |= news


def _replanned(claim: Claim) -> AgentPlan:
    scan = claim.scan
    if scan is None or not (claim.taken or claim.deferred or claim.protected):
        return claim.plan
    files = tuple(
        _with_space(claim, scan, frozenset(file.removals.ordinals)) if file.kind == scan.kind else file
        for file in claim.plan.files
    )
    return structs.replace(claim.plan, files=files)


def _with_space(claim: Claim, scan: FileScan, by_rules: frozenset[int]) -> FilePlan:
    """The plan of the patterns where, beside what the rules took, goes what was chosen for space."""
    chosen = claim.taken | claim.deferred
    condemned = sorted(
        [
            *zip(scan.ordinals, scan.rules, scan.values, strict=True),
            *((ordinal, place, value) for ordinal, (place, value) in chosen.items()),
        ]
    )
    scan.ordinals = [ordinal for ordinal, _, _ in condemned]
    scan.rules = [place for _, place, _ in condemned]
    scan.protected += claim.protected
    plan = plan_file(scan, {*by_rules, *claim.taken})
    return structs.replace(plan, room=claim.room)


def replan_space(before: FilePlan, scan: FileScan, gone: set[int], limit: int, options: PruneOptions) -> FilePlan:
    """The plan for patterns that an agent changed since: what the rules take of at most ``limit`` records is ``gone``.

    As many bytes are freed as would bring the file to the size that was planned, by no more records than were planned.
    """
    places = [place for place in before.removals.rules if place >= AGENT_SPACE]
    left = max(0, min(limit - len(gone), len(places)))
    agent = AgentPlan(scan.agent, 0, 0, allowance_used=False, budget=Budget(limit, limit, ""), files=())
    claim = Claim(agent, scan, left, 0.0)
    _choose([claim], before.room + scan.size - before.size, places[0], options.space.policy)
    return _with_space(claim, scan, frozenset(gone))
