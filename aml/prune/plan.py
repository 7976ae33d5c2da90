"""Planning a prune: which records would go, by which rule, and which stay although a rule applies. Pure.

A plan names records by their position in a file and is pinned to the file's content. It holds a few bytes a record, so
that a store of millions can be planned; what a person wants to read about each is worked out where it is wanted.
"""

from __future__ import annotations

import hashlib
from array import array as packed_array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from aml.codec.json_array import MAX_DEPTH, RecordArray, is_deeper_than
from aml.codec.views import Seen, Unreadable, view_records
from aml.errors import ExitStatus
from aml.ledger.budget import Budget, budget, first_within
from aml.ledger.history import AgentHistory, RemovedKeys
from aml.ledger.runs import RecordKey
from aml.model.kinds import KIND_BY_PLURAL, KINDS, PATTERN
from aml.model.record import RecordView
from aml.prune.options import SPACE, PruneOptions
from aml.prune.rules import AGENT_SPACE, RULES, Figures, protection_of, rule_name, rules_for

if TYPE_CHECKING:
    from aml.prune.candidates import Candidates
    from aml.prune.space import Room

TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"

#: What of a rank tells identical records apart: all but the position itself.
_SAME = 4

_KIND_RANK = {kind.plural: rank for rank, kind in enumerate(KINDS)}


class Finding(Struct, frozen=True):
    """What is to be told about one condemned record. ``size`` in bytes, ``value`` from 0 to 1."""

    id: str | None
    rule: str
    reason: str
    figures: Figures
    value: float
    size: int


class Selection(Struct, frozen=True):
    """Some records of one file: their ordinals in ascending order, and for each the place of its rule in RULES (or
    AGENT_SPACE, STORE_SPACE)."""

    ordinals: Sequence[int] = ()
    rules: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.ordinals)

    def by_rule(self) -> dict[str, int]:
        """How many records go under each rule."""
        found: Counter[str] = Counter()
        for place, number in Counter(self.rules).items():
            found[rule_name(place)] += number
        return dict(found)


class FilePlan(Struct, frozen=True):
    """What would happen to one record file; pinned to its content by ``sha256`` of its bytes on disk.

    ``protected`` counts records by what protects them. ``unreadable`` are elements that are never judged: ordinal and
    reason. ``twins`` maps the ordinal of a removal to the ordinals of records with the same id that stay. ``findings``
    are by ordinal, and only there where they were asked for. ``problem`` says why the file is left alone, if it is.
    ``room`` is how many bytes on disk are expected to be freed by what goes for space alone.
    """

    agent: str
    kind: str
    sha256: str = ""
    size: int = 0
    records: int = 0
    removals: Selection = Selection()
    deferred: Selection = Selection()
    protected: dict[str, int] = {}
    unreadable: tuple[tuple[int, str], ...] = ()
    too_new: int = 0
    came_back: int = 0
    twins: dict[int, tuple[int, ...]] = {}
    findings: dict[int, Finding] = {}
    problem: str | None = None
    problem_status: int = 0
    room: float = 0.0


class AgentPlan(Struct, frozen=True):
    """What would happen to one agent.

    ``live`` counts its records before the run, readable or not; ``lost`` those that went within the window of the loss
    budget and are not there now; ``allowance_used`` tells whether the allowance for small agents is taken.
    """

    agent: str
    live: int
    lost: int
    allowance_used: bool
    budget: Budget
    files: tuple[FilePlan, ...]


class PrunePlan(Struct, frozen=True):
    """What would happen to a store. ``now`` in seconds since 1970 UTC. ``space`` tells of what is over its limit."""

    now: float
    options: PruneOptions
    agents: tuple[AgentPlan, ...]
    space: tuple[Room, ...] = ()

    @property
    def files(self) -> tuple[FilePlan, ...]:
        return tuple(file for agent in self.agents for file in agent.files)

    @property
    def removals(self) -> int:
        return sum(len(file.removals) for file in self.files)


class FileScan(Struct):
    """What the rules say about one file, before the loss budget.

    ``first_of`` maps the ordinal of a condemned record, where others may be identical to it, to that of the first one.
    ``candidates`` are records that may go for space, ``freed`` the bytes on disk that each condemned one takes; both
    are there only where space is asked for. ``problem`` says why the file is to be left alone, if it is.
    """

    agent: str
    kind: str
    records: int
    sha256: str = ""
    size: int = 0
    ordinals: list[int] = field(default_factory=list)
    rules: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    findings: dict[int, Finding] = field(default_factory=dict)
    protected: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    too_new: int = 0
    present: set[RecordKey] = field(default_factory=set)
    came_back: int = 0
    shared_ids: dict[str, tuple[int, ...]] = field(default_factory=dict)
    first_of: dict[int, int] = field(default_factory=dict)
    candidates: Candidates | None = None
    freed: Sequence[float] = ()
    problem: str | None = None


#: Writes into a scan which records are condemned, protected or unreadable.
Judge = Callable[[FileScan, Sequence[Seen], RecordArray, PruneOptions, float], None]


def judge_by_rules(scan: FileScan, seen: Sequence[Seen], array: RecordArray, options: PruneOptions, now: float) -> None:
    """Try the rules of the chosen strategies on every record."""
    rules = rules_for(KIND_BY_PLURAL[scan.kind], options.strategies)
    thresholds, protection = options.thresholds, options.protection
    for ordinal, view in enumerate(seen):
        if isinstance(view, Unreadable):
            scan.unreadable.append((ordinal, view.reason))
            scan.too_new += view.too_new
            continue
        for place, applies in rules:
            if applies(view, now, thresholds):
                judgement = view.judgement
                why = protection_of(view, judgement, now, protection)
                if why is not None:
                    scan.protected[why] += 1
                elif is_deeper_than(array.elements[ordinal], MAX_DEPTH):
                    scan.unreadable.append((ordinal, TOO_DEEP))
                else:
                    condemn(scan, ordinal, place, judgement[0], view.ident)
                break


def condemn(scan: FileScan, ordinal: int, place: int, value: float, ident: str | None) -> None:
    """Note a record as condemned by the rule at that place in RULES; in ascending order of ordinals."""
    scan.ordinals.append(ordinal)
    scan.rules.append(place)
    scan.values.append(round(value, 6))
    scan.ids.append(ident)


def scan_file(
    agent: str,
    kind: str,
    array: RecordArray,
    options: PruneOptions,
    now: float,
    removed: RemovedKeys,
    *,
    sha256: str = "",
    size: int = 0,
    explain: bool = False,
    judge: Judge = judge_by_rules,
) -> FileScan:
    """Judge every record of one file, of which ``sha256`` and ``size`` are those of its bytes on disk.

    ``removed`` are keys that earlier runs removed, to tell which of them are here again. ``explain`` asks for a finding
    for each condemned record.
    """
    scan = FileScan(agent, kind, len(array), sha256, size)
    seen = view_records(array, KIND_BY_PLURAL[kind].view)
    judge(scan, seen, array, options, now)
    if explain:
        for ordinal, rule in zip(scan.ordinals, scan.rules, strict=True):
            view = seen[ordinal]
            if isinstance(view, RecordView):
                scan.findings[ordinal] = finding_of(view, rule, len(array.elements[ordinal]), options, now)
    _look_for_removed(scan, seen, array, removed)
    for_space = SPACE in options.strategies
    if scan.ordinals or (for_space and kind == PATTERN.plural):
        scan.shared_ids = shared_ids(seen)
        scan.first_of = identical(zip(scan.ordinals, scan.ids, strict=True), scan.shared_ids, array)
    if for_space:
        from aml.prune.candidates import look_for_candidates

        look_for_candidates(scan, seen, array, options, now)
    return scan


def finding_of(view: RecordView, rule: int, size: int, options: PruneOptions, now: float) -> Finding:
    """What is to be told about a record of so many bytes that the rule at that place in RULES condemns."""
    if rule < AGENT_SPACE:
        reason, figures = RULES[rule].explain(view, now, options.thresholds)
    else:
        from aml.prune.candidates import why_for_space

        reason, figures = why_for_space(view, rule, size, options.space)
    return Finding(view.ident, rule_name(rule), reason, figures, round(view.value, 6), size)


def _look_for_removed(scan: FileScan, seen: Sequence[Seen], array: RecordArray, removed: RemovedKeys) -> None:
    """Which of the keys that earlier runs removed are here again, and how many records carry them."""
    for keys in removed.carried(seen, array):
        scan.present |= keys
        scan.came_back += 1


def shared_ids(seen: Sequence[Seen]) -> dict[str, tuple[int, ...]]:
    """For each id that several records of the file carry: their ordinals."""
    idents = [view.ident if isinstance(view, RecordView) else None for view in seen]
    if len(set(idents)) == len(idents):
        return {}
    ordinals: defaultdict[str, list[int]] = defaultdict(list)
    for ordinal, ident in enumerate(idents):
        if ident is not None:
            ordinals[ident].append(ordinal)
    return {ident: tuple(found) for ident, found in ordinals.items() if len(found) > 1}


def identical(
    records: Iterable[tuple[int, str | None]], shared: Mapping[str, object], array: RecordArray
) -> dict[int, int]:
    """Of ``records`` (ordinal and id) those that share their id, or have none: the ordinal of the first that is
    identical to each."""
    firsts: dict[bytes, int] = {}
    return {
        ordinal: firsts.setdefault(hashlib.sha256(array.elements[ordinal]).digest(), ordinal)
        for ordinal, ident in records
        if ident is None or ident in shared
    }


def plan_agent(
    agent: str, parts: Sequence[FileScan | FilePlan], history: AgentHistory, options: PruneOptions
) -> AgentPlan:
    """Fit what the rules found into the agent's loss budget: the least valuable go first, the rest is deferred.

    ``parts`` are scans, and plans of files that are left alone.
    """
    scans = [part for part in parts if isinstance(part, FileScan)]
    live = sum(scan.records for scan in scans)
    lost = history.lost({scan.kind: frozenset(scan.present) for scan in scans})
    allowed = budget(live, lost, history.allowance_used, options.limits)
    chosen = _least_valuable(scans, allowed.limit)
    files = [part if isinstance(part, FilePlan) else plan_file(part, chosen[part.kind]) for part in parts]
    return AgentPlan(agent, live, lost, history.allowance_used, allowed, tuple(files))


def _least_valuable(scans: Sequence[FileScan], limit: int) -> dict[str, set[int]]:
    """For each kind the ordinals of what goes: at most ``limit`` records, ties broken by kind, id and position.

    Identical records go together or stay together: were one left, nobody could tell later which of them is missing.
    """
    if sum(len(scan.ordinals) for scan in scans) <= limit:
        return {scan.kind: set(scan.ordinals) for scan in scans}
    ranked = sorted(
        (value, _KIND_RANK[scan.kind], ident or "", scan.first_of.get(ordinal, ordinal), ordinal)
        for scan in scans
        for value, ident, ordinal in zip(scan.values, scan.ids, scan.ordinals, strict=True)
    )
    chosen: dict[str, set[int]] = {scan.kind: set() for scan in scans}
    for _, rank, _, _, ordinal in first_within(ranked, limit, same=_SAME):
        chosen[KINDS[rank].plural].add(ordinal)
    return chosen


def plan_file(scan: FileScan, gone: set[int]) -> FilePlan:
    """The plan for one file in which the condemned records at the ordinals ``gone`` go."""
    return FilePlan(
        scan.agent,
        scan.kind,
        sha256=scan.sha256,
        size=scan.size,
        records=scan.records,
        removals=_select(scan, gone, inside=True),
        deferred=_select(scan, gone, inside=False),
        protected=dict(scan.protected),
        unreadable=tuple(scan.unreadable),
        too_new=scan.too_new,
        came_back=scan.came_back,
        twins=_twins(scan, gone),
        findings=scan.findings,
        problem=scan.problem,
        problem_status=ExitStatus.PARTIAL if scan.problem else ExitStatus.DONE,
    )


def _select(scan: FileScan, gone: set[int], *, inside: bool) -> Selection:
    chosen = [
        (ordinal, rule) for ordinal, rule in zip(scan.ordinals, scan.rules, strict=True) if (ordinal in gone) is inside
    ]
    return Selection(packed_array("Q", [ordinal for ordinal, _ in chosen]), bytes(rule for _, rule in chosen))


def _twins(scan: FileScan, gone: set[int]) -> dict[int, tuple[int, ...]]:
    found = {}
    for ordinals in scan.shared_ids.values():
        staying = tuple(ordinal for ordinal in ordinals if ordinal not in gone)
        if staying:
            found.update(dict.fromkeys((ordinal for ordinal in ordinals if ordinal in gone), staying))
    return found


def replan_file(agent: AgentPlan, before: FilePlan, scan: FileScan, options: PruneOptions) -> FilePlan:
    """The plan for a file that an agent changed since.

    No more records go than were planned to, and no more than the budget of the agent allows as it is now.
    """
    live = agent.live - before.records + scan.records
    allowed = budget(live, agent.lost, agent.allowance_used, options.limits).limit
    elsewhere = sum(len(file.removals) for file in agent.files if file.kind != before.kind)
    limit = max(0, min(len(before.removals), allowed - elsewhere))
    chosen = _least_valuable([scan], limit)[scan.kind]
    if before.room:
        from aml.prune.space import replan_space

        return replan_space(before, scan, chosen, limit, options)
    return plan_file(scan, chosen)
