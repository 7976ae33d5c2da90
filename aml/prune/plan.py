"""Planning a prune: which records would go, by which rule, and which stay although a rule found them. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from aml.codec.json_array import RecordArray
from aml.codec.views import Seen, Unreadable, view_records
from aml.ledger.budget import Budget, budget
from aml.ledger.history import AgentHistory
from aml.model.kinds import KIND_BY_PLURAL, KINDS
from aml.model.record import RecordView
from aml.prune.options import STRATEGIES, PruneOptions
from aml.prune.rules import Figures, protection_of, rules_for

_KIND_RANK = {kind.plural: rank for rank, kind in enumerate(KINDS)}


class Candidate(Struct, frozen=True):
    """A record that a rule found and nothing protects. ``ordinal`` is its position in the file, ``size`` in bytes."""

    ordinal: int
    id: str | None
    sha256: str
    rule: str
    reason: str
    figures: Figures
    value: float
    size: int


class Spared(Struct, frozen=True):
    """A record that a rule found and that stays, or that cannot be judged, and why."""

    ordinal: int
    id: str | None
    rule: str | None
    reason: str


class FilePlan(Struct, frozen=True):
    """What would happen to one record file; pinned to its content by ``sha256`` of its bytes on disk.

    ``problem`` says why the file is left alone as a whole, if it is. ``twins`` maps the ordinal of a removal to the
    SHA-256 of records with the same id that stay.
    """

    agent: str
    kind: str
    sha256: str = ""
    size: int = 0
    records: int = 0
    removals: tuple[Candidate, ...] = ()
    deferred: tuple[Candidate, ...] = ()
    protected: tuple[Spared, ...] = ()
    unreadable: tuple[Spared, ...] = ()
    too_new: int = 0
    came_back: int = 0
    twins: dict[int, tuple[str, ...]] = {}
    problem: str | None = None
    problem_status: int = 0


class AgentPlan(Struct, frozen=True):
    """What would happen to one agent. ``live`` counts its records before the run, readable or not."""

    agent: str
    live: int
    budget: Budget
    files: tuple[FilePlan, ...]


class PrunePlan(Struct, frozen=True):
    """What would happen to a store. ``now`` in seconds since 1970 UTC."""

    now: float
    options: PruneOptions
    agents: tuple[AgentPlan, ...]

    @property
    def files(self) -> tuple[FilePlan, ...]:
        return tuple(file for agent in self.agents for file in agent.files)

    @property
    def removals(self) -> int:
        return sum(len(file.removals) for file in self.files)


class FileScan(Struct, frozen=True):
    """What the rules say about one file, before the loss budget."""

    agent: str
    kind: str
    sha256: str
    size: int
    records: int
    candidates: tuple[Candidate, ...]
    protected: tuple[Spared, ...]
    unreadable: tuple[Spared, ...]
    too_new: int
    present: frozenset[str]
    shared_ids: dict[str, tuple[tuple[int, str], ...]]


def scan_file(
    agent: str,
    kind: str,
    sha256: str,
    size: int,
    array: RecordArray,
    options: PruneOptions,
    now: float,
    known: frozenset[str],
) -> FileScan:
    """Judge every record of one file. ``known`` are ids that earlier runs removed: which of them are here again?"""
    seen = view_records(array, KIND_BY_PLURAL[kind].view)
    rules = rules_for(KIND_BY_PLURAL[kind], tuple(name for name in STRATEGIES if name in options.strategies))
    thresholds = options.thresholds
    candidates: list[Candidate] = []
    protected: list[Spared] = []
    unreadable: list[Spared] = []
    for ordinal, view in enumerate(seen):
        if isinstance(view, Unreadable):
            unreadable.append(Spared(ordinal, None, None, view.reason))
            continue
        for judge in rules:
            finding = judge(view, now, thresholds)
            if finding is None:
                continue
            why = protection_of(view, now, options.protection)
            if why is not None:
                protected.append(Spared(ordinal, view.ident, finding.rule, why))
            else:
                raw = array.raw(ordinal)
                candidates.append(
                    Candidate(
                        ordinal,
                        view.ident,
                        hashlib.sha256(raw).hexdigest(),
                        finding.rule,
                        finding.reason,
                        finding.figures,
                        round(view.value, 6),
                        len(raw),
                    )
                )
            break
    return FileScan(
        agent,
        kind,
        sha256,
        size,
        len(array),
        tuple(candidates),
        tuple(protected),
        tuple(unreadable),
        sum(isinstance(view, Unreadable) and view.too_new for view in seen),
        _present(seen, known),
        _shared_ids(seen, array, candidates),
    )


def _present(seen: Sequence[Seen], known: frozenset[str]) -> frozenset[str]:
    if not known:
        return frozenset()
    return frozenset(view.ident for view in seen if isinstance(view, RecordView) and view.ident is not None) & known


def _shared_ids(
    seen: Sequence[Seen], array: RecordArray, candidates: Sequence[Candidate]
) -> dict[str, tuple[tuple[int, str], ...]]:
    """For each condemned id that several records of the file carry: their ordinals and SHA-256."""
    wanted = {candidate.id for candidate in candidates if candidate.id is not None}
    if not wanted:
        return {}
    ordinals: defaultdict[str, list[int]] = defaultdict(list)
    for ordinal, view in enumerate(seen):
        if isinstance(view, RecordView) and view.ident in wanted:
            ordinals[view.ident].append(ordinal)
    return {
        ident: tuple((ordinal, hashlib.sha256(array.raw(ordinal)).hexdigest()) for ordinal in found)
        for ident, found in ordinals.items()
        if len(found) > 1
    }


def plan_agent(
    agent: str, parts: Sequence[FileScan | FilePlan], history: AgentHistory, options: PruneOptions
) -> AgentPlan:
    """Fit what the rules found into the agent's loss budget: the least valuable go first, the rest is deferred.

    ``parts`` are scans, and plans of files that are left alone.
    """
    scans = [part for part in parts if isinstance(part, FileScan)]
    live = sum(scan.records for scan in scans)
    lost = history.lost({scan.kind: scan.present for scan in scans})
    allowed = budget(live, lost, history.allowance_used, options.limits)
    ranked = sorted(
        (
            (candidate.value, _KIND_RANK[scan.kind], candidate.id or "", candidate.ordinal)
            for scan in scans
            for candidate in scan.candidates
        ),
    )
    chosen = {(rank, ordinal) for _, rank, _, ordinal in ranked[: allowed.limit]}
    files = [
        part
        if isinstance(part, FilePlan)
        else plan_file(part, {o for rank, o in chosen if rank == _KIND_RANK[part.kind]}, history)
        for part in parts
    ]
    return AgentPlan(agent, live, allowed, tuple(files))


def plan_file(scan: FileScan, ordinals: set[int], history: AgentHistory) -> FilePlan:
    """The plan for one file in which the candidates at ``ordinals`` go."""
    removals = tuple(candidate for candidate in scan.candidates if candidate.ordinal in ordinals)
    return FilePlan(
        scan.agent,
        scan.kind,
        sha256=scan.sha256,
        size=scan.size,
        records=scan.records,
        removals=removals,
        deferred=tuple(candidate for candidate in scan.candidates if candidate.ordinal not in ordinals),
        protected=scan.protected,
        unreadable=scan.unreadable,
        too_new=scan.too_new,
        came_back=len(scan.present & history.ids(scan.kind)),
        twins=_twins(removals, scan.shared_ids, ordinals),
    )


def _twins(
    removals: Sequence[Candidate], shared_ids: Mapping[str, tuple[tuple[int, str], ...]], gone: set[int]
) -> dict[int, tuple[str, ...]]:
    twins = {}
    for removal in removals:
        staying = tuple(sha256 for ordinal, sha256 in shared_ids.get(removal.id or "", ()) if ordinal not in gone)
        if staying:
            twins[removal.ordinal] = staying
    return twins


def replan_file(before: FilePlan, scan: FileScan, history: AgentHistory) -> FilePlan:
    """The plan for a file that an agent changed since: no more records go than were planned to."""
    ranked = sorted(scan.candidates, key=lambda candidate: (candidate.value, candidate.id or "", candidate.ordinal))
    return plan_file(scan, {candidate.ordinal for candidate in ranked[: len(before.removals)]}, history)
