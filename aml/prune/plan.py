"""Planning a prune: which records would go, by which rule, and which stay although a rule found them. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from aml.codec.json_array import RecordArray
from aml.codec.views import Seen, Unreadable, view_records
from aml.ledger.budget import Budget, budget
from aml.ledger.history import AgentHistory, RemovedKeys
from aml.ledger.runs import RecordKey
from aml.model.kinds import KIND_BY_PLURAL, KINDS
from aml.model.record import RecordView
from aml.prune.options import STRATEGIES, PruneOptions
from aml.prune.rules import Figures, protection_of, rules_for

_KIND_RANK = {kind.plural: rank for rank, kind in enumerate(KINDS)}


class Candidate(Struct, frozen=True):
    """A record that a rule found and nothing protects. ``ordinal`` is its position in the file, ``size`` in bytes."""

    ordinal: int
    id: str | None
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
    ordinals of records with the same id that stay.
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
    twins: dict[int, tuple[int, ...]] = {}
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
    present: frozenset[RecordKey]
    came_back: int
    shared_ids: dict[str, tuple[int, ...]]


def scan_file(
    agent: str,
    kind: str,
    sha256: str,
    size: int,
    array: RecordArray,
    options: PruneOptions,
    now: float,
    removed: RemovedKeys,
) -> FileScan:
    """Judge every record of one file. ``removed`` are keys that earlier runs removed: which of them are here again?"""
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
            value = view.value
            why = protection_of(view, value, now, options.protection)
            if why is not None:
                protected.append(Spared(ordinal, view.ident, finding.rule, why))
            else:
                size = len(array.elements[ordinal])
                candidates.append(
                    Candidate(ordinal, view.ident, finding.rule, finding.reason, finding.figures, round(value, 6), size)
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
        *_came_back(seen, array, removed),
        _shared_ids(seen) if candidates else {},
    )


def _came_back(seen: Sequence[Seen], array: RecordArray, removed: RemovedKeys) -> tuple[frozenset[RecordKey], int]:
    """Which of the keys that earlier runs removed are here again, and how many records carry them."""
    if not removed.keys:
        return frozenset(), 0
    by_id = removed.by_id()
    found: set[RecordKey] = set()
    records = 0
    for ordinal, view in enumerate(seen):
        if isinstance(view, RecordView):
            ident = view.ident
            if ident is None or ident in removed.shared:
                keys = removed.keys & {RecordKey.of(ident, hashlib.sha256(array.raw(ordinal)).hexdigest())}
            else:
                keys = by_id.get(ident, set())
            found |= keys
            records += bool(keys)
    return frozenset(found), records


def _shared_ids(seen: Sequence[Seen]) -> dict[str, tuple[int, ...]]:
    """For each id that several records of the file carry: their ordinals."""
    idents = [view.ident if isinstance(view, RecordView) else None for view in seen]
    if len(set(idents)) == len(idents):
        return {}
    ordinals: defaultdict[str, list[int]] = defaultdict(list)
    for ordinal, ident in enumerate(idents):
        if ident is not None:
            ordinals[ident].append(ordinal)
    return {ident: tuple(found) for ident, found in ordinals.items() if len(found) > 1}


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
        else plan_file(part, {o for rank, o in chosen if rank == _KIND_RANK[part.kind]})
        for part in parts
    ]
    return AgentPlan(agent, live, allowed, tuple(files))


def plan_file(scan: FileScan, ordinals: set[int]) -> FilePlan:
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
        came_back=scan.came_back,
        twins=_twins(removals, scan.shared_ids, ordinals),
    )


def _twins(
    removals: Sequence[Candidate], shared_ids: Mapping[str, tuple[int, ...]], gone: set[int]
) -> dict[int, tuple[int, ...]]:
    if not shared_ids:
        return {}
    staying = {
        removal.ordinal: tuple(ordinal for ordinal in shared_ids.get(removal.id or "", ()) if ordinal not in gone)
        for removal in removals
    }
    return {ordinal: twins for ordinal, twins in staying.items() if twins}


def replan_file(before: FilePlan, scan: FileScan) -> FilePlan:
    """The plan for a file that an agent changed since: no more records go than were planned to."""
    ranked = sorted(scan.candidates, key=lambda candidate: (candidate.value, candidate.id or "", candidate.ordinal))
    return plan_file(scan, {candidate.ordinal for candidate in ranked[: len(before.removals)]})
