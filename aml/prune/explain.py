"""What a prune would do to one record now, by which rule and by which figures, or why it stays. Reads only."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import groupby, islice

from msgspec import Struct, structs

from aml.codec.json_array import RecordArray
from aml.codec.views import Seen, Unreadable, view_record, view_records
from aml.errors import AmlError, ChangedError, DamagedError, FileAccessError, NotFoundError, UsageError
from aml.ledger.archive import read_archive
from aml.ledger.history import read_history
from aml.ledger.runs import Journal, RecordKey, Run, RunFile
from aml.model.kinds import KIND_BY_PLURAL, PATTERN
from aml.model.record import RecordView
from aml.model.timestamps import to_iso
from aml.prune.apply import plan_store
from aml.prune.findings import planned_array
from aml.prune.options import SPACE, PruneOptions
from aml.prune.plan import AgentPlan, FilePlan, PrunePlan, Selection, finding_of
from aml.prune.rules import Figures, protection_of
from aml.prune.space import Room, Sizes
from aml.prune.verdicts import APPLIES, Guard, Verdict, guards_of, verdict_on_space, verdicts_on
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, read_ahead

#: How often all is looked at again where an agent writes meanwhile.
_ATTEMPTS = 3

#: Among how many ids the nearest ones are looked for, and how many are named.
_POOL, _NAMED = 20_000, 3
#: Ids that begin with so many characters of it are near.
_ALIKE = 4
#: Comparing letter by letter is slow.
_COMPARED = 2_000

_ID = re.compile(rb'"id"\s*:\s*"((?:[^"\\]|\\.)*)"')


class Removed(Struct, frozen=True):
    """A removal by an earlier run; ``started`` is when that run began. ``rule`` and what follows are None where its
    archive cannot be read; ``undone`` tells whether an undo has put the record back since."""

    run: str
    started: str
    agent: str
    kind: str
    id: str
    undone: bool
    rule: str | None = None
    reason: str | None = None
    figures: Figures | None = None
    value: float | None = None


class Purse(Struct, frozen=True):
    """The loss budget of the record's agent: how many records a run may remove now and why so many; how many the rules
    condemn."""

    limit: int
    reason: str
    condemned: int


class Explanation(Struct, frozen=True):
    """One record of the store.

    ``fate`` is what a prune would do now: removed, deferred, protected, kept or unreadable; ``rule`` the rule that
    condemns it, if any, and ``reason`` why. ``size`` in bytes of its text, times ISO 8601 UTC. An unreadable record has
    no figures.
    """

    agent: str
    kind: str
    id: str
    position: int
    sha256: str
    size: int
    fate: str
    rule: str | None
    reason: str
    figures: Figures | None
    value: float | None
    confidence: float | None
    created: str | None
    last_used: str | None
    rules: tuple[Verdict, ...]
    protections: tuple[Guard, ...]
    budget: Purse
    space: tuple[Room, ...]
    came_back: bool
    removed_before: tuple[Removed, ...]


class Unread(Struct, frozen=True):
    """A record file that could not be read, and why; nothing in it can be explained."""

    agent: str
    kind: str
    problem: str


class ExplainReport(Struct, frozen=True):
    """What is to be told of the id that was asked for: every record that carries it, and where it is not in the store,
    the removals by earlier runs."""

    id: str
    strategies: tuple[str, ...]
    records: tuple[Explanation, ...]
    removed: tuple[Removed, ...]
    unread: tuple[Unread, ...]
    notes: tuple[str, ...] = ()


class _Event(Struct):
    """A record that a run removed, as the journal has it."""

    run: Run
    file: RunFile
    key: RecordKey
    undone: bool = False


class _Place(Struct, frozen=True):
    """Where a record stands, in a file of that content."""

    agent: str
    kind: str
    sha256: str
    ordinal: int


def explain_record(
    store: Store,
    ident: str,
    options: PruneOptions,
    now: float,
    *,
    sizes: Sizes | None = None,
    notes: tuple[str, ...] = (),
) -> ExplainReport:
    """Everything about the record with that id (a unique beginning of it will do), as of ``now``.

    ``sizes`` are needed where the strategy space is asked for; ``notes`` go into the report. Raises UsageError for an
    empty id, NotFoundError where neither the store nor an earlier run knows it, ChangedError and other AmlError.
    """
    if not ident:
        raise UsageError("the id of a record is empty", advice="aml prune --dry-run --verbose lists some")
    agents = store.choose_agents(options.agents)
    events = _events(store, options.agents, ident)
    for _ in range(_ATTEMPTS):
        found, unread = _look(store, agents, ident)
        chosen = _resolve(store, agents, ident, {*found, *(event.key.id or "" for event in events)}, unread)
        removed = [(event, _told(store, event)) for event in events if event.key.id == chosen]
        try:
            records = tuple(_explain_all(store, chosen, found.get(chosen, []), options, now, sizes, removed))
        except ChangedError:
            continue  # an agent has written since the first look
        gone = () if records else tuple(told for _, told in removed)
        return ExplainReport(chosen, options.strategies, records, gone, tuple(unread), notes)
    raise ChangedError("the store keeps changing while it is looked at", advice="run the command again")


def _events(store: Store, agents: tuple[str, ...], ident: str) -> list[_Event]:
    """What runs removed of records whose id begins so, the oldest first."""
    journal = Journal(store)
    events: list[_Event] = []
    for run in journal.since(0.0):
        for file in run.files:
            if agents and file.agent not in agents:
                continue
            back = set(file.restored)
            for event in events:
                if event.key in back and (event.file.agent, event.file.kind) == (file.agent, file.kind):
                    event.undone = True
            events += [_Event(run, file, key) for key in file.removed if key.id and key.id.startswith(ident)]
    return events


def _told(store: Store, event: _Event) -> Removed:
    """The removal with what its archive says of it, where that can be read."""
    file, ident = event.file, event.key.id or ""
    told = Removed(event.run.id, event.run.started, file.agent, file.kind, ident, event.undone)
    if file.archive is None:
        return told
    try:
        archived = read_archive(store, file.archive)
    except (DamagedError, FileAccessError):
        return told
    for one in archived:
        if RecordKey.of(one.id, one.sha256) == event.key:
            return structs.replace(told, rule=one.rule, reason=one.reason, figures=one.figures, value=one.value)
    return told


def _look(store: Store, agents: Sequence[str], ident: str) -> tuple[dict[str, list[_Place]], list[Unread]]:
    """Where records stand whose id begins so, by their ids; and which files could not be read."""
    found: dict[str, list[_Place]] = {}
    unread: list[Unread] = []
    for file, content in _contents(store, agents):
        try:
            if isinstance(content, AmlError):
                raise content
            for ordinal, one in enumerate(_idents(content)):
                if one is not None and one.startswith(ident):
                    place = _Place(file.agent, file.kind, content.sha256, ordinal)
                    found.setdefault(one, []).append(place)
        except AmlError as error:
            unread.append(Unread(file.agent, file.kind, str(error)))
    return found, unread


def _contents(store: Store, agents: Sequence[str]) -> Iterator[tuple[RecordFile, Content | AmlError]]:
    for agent in agents:
        yield from read_ahead(store.record_files(agent), store.max_unpacked_bytes)


def _idents(content: Content) -> Iterator[str | None]:
    """The id of each element in order. Raises DamagedError where the content is no whole array."""
    array = content.array()
    for ordinal, one in enumerate(view_records(array, KIND_BY_PLURAL[content.file.kind].view)):
        yield _ident_within(array.raw(ordinal)) if isinstance(one, Unreadable) else one.ident


def _ident_within(raw: bytes) -> str | None:
    """The id of an element that cannot be read as a record: what stands after the first key of that name."""
    match = _ID.search(raw)
    return match[1].decode(errors="backslashreplace") if match is not None and raw.startswith(b"{") else None


def _resolve(store: Store, agents: Sequence[str], ident: str, known: set[str], unread: Sequence[Unread]) -> str:
    """The id itself, or the only one that begins so."""
    if ident in known:
        return ident
    if len(known) == 1:
        return known.pop()
    if known:
        raise NotFoundError(
            f"{ident} fits {len(known):,} records", advice=f"say more of it: {', '.join(sorted(known)[:5])}"
        )
    where = f"; {len(unread)} of its files cannot be read" if unread else ""
    near = _nearest(store, agents, ident)
    raise NotFoundError(
        f"there is no record {ident!r} in {store.root}, and no run removed one{where}",
        advice=f"nearest: {', '.join(near)}" if near else "aml prune --dry-run --verbose lists some",
    )


def _nearest(store: Store, agents: Sequence[str], ident: str) -> list[str]:
    """Ids that are much like the one that is not there; of a large store, some of its ids are looked at."""
    known = {event.key.id or "" for event in _events(store, (), ident[:_ALIKE])}
    for _, content in _contents(store, agents):
        if isinstance(content, Content):
            with suppress(AmlError):
                known.update(one for one in islice(_idents(content), _POOL) if one is not None)
        if len(known) >= _POOL:
            break
    alike = [one for one in sorted(known) if one.startswith(ident[:_ALIKE])]
    return alike[:_NAMED] or get_close_matches(ident, sorted(known)[:_COMPARED], n=_NAMED, cutoff=0.5)


def _explain_all(
    store: Store,
    ident: str,
    places: Sequence[_Place],
    options: PruneOptions,
    now: float,
    sizes: Sizes | None,
    removed: Sequence[tuple[_Event, Removed]],
) -> Iterator[Explanation]:
    """Raises ChangedError where a file is not any more what ``places`` says."""
    wanted = {place.agent for place in places}
    if not wanted:
        return
    # room in the store is made from all agents in one order; everything else concerns one agent
    agents = [one for one in store.choose_agents(options.agents) if one in wanted or sizes is not None]
    history = read_history(Journal(store), now, options.limits.window_days)
    plan = plan_store(store, agents, options, now, history, explain=False, sizes=sizes)
    planned = {agent.agent: agent for agent in plan.agents}
    for (name, kind), found in groupby(places, key=lambda place: (place.agent, place.kind)):
        file = next((one for one in planned[name].files if one.kind == kind), None)
        stand = list(found)
        if file is None or file.sha256 != stand[0].sha256:
            raise ChangedError(f"{name}/{kind} changed while it was looked at")
        array = planned_array(store, file)
        events = [one for one in removed if (one[0].file.agent, one[0].file.kind) == (name, kind)]
        for place in stand:
            yield _explain(ident, place.ordinal, array, file, planned[name], plan, events, sizes)


def _explain(
    ident: str,
    ordinal: int,
    array: RecordArray,
    file: FilePlan,
    agent: AgentPlan,
    plan: PrunePlan,
    removed: Sequence[tuple[_Event, Removed]],
    sizes: Sizes | None,
) -> Explanation:
    raw = array.raw(ordinal)
    kind = KIND_BY_PLURAL[file.kind]
    sha256 = hashlib.sha256(raw).hexdigest()
    seen = view_record(raw, kind.view)
    view = None if isinstance(seen, Unreadable) else seen
    rules = () if view is None else verdicts_on(view, kind, plan.options, plan.now)
    guards = () if view is None else guards_of(view, plan.now, plan.options.protection)
    fate, rule, reason, figures = _fate(ordinal, seen, len(raw), file, plan, rules)
    if sizes is not None and kind is PATTERN and view is not None:
        rules += (verdict_on_space(file.agent, plan.options.space, sizes, chosen=rule == SPACE),)
    return Explanation(
        agent=file.agent,
        kind=file.kind,
        id=ident,
        position=ordinal,
        sha256=sha256,
        size=len(raw),
        fate=fate,
        rule=rule,
        reason=reason,
        figures=figures,
        value=None if view is None else round(view.value, 6),
        confidence=None if view is None else view.confidence,
        created=_moment(None if view is None else view.created),
        last_used=_moment(None if view is None else view.last_used),
        rules=rules,
        protections=guards,
        budget=Purse(
            agent.budget.limit,
            agent.budget.reason,
            sum(len(one.removals) + len(one.deferred) for one in agent.files),
        ),
        space=tuple(room for room in plan.space if room.agent in (None, file.agent)),
        came_back=any(_is_back(event, sha256) for event, _ in removed),
        removed_before=tuple(told for _, told in removed),
    )


def _fate(
    ordinal: int, seen: Seen, size: int, file: FilePlan, plan: PrunePlan, rules: Sequence[Verdict]
) -> tuple[str, str | None, str, Figures | None]:
    """What would happen, by which rule, why, and the figures behind it."""
    unreadable = dict(file.unreadable).get(ordinal)
    if unreadable is not None or not isinstance(seen, RecordView):
        told_why = unreadable if isinstance(seen, RecordView) else seen.reason
        return "unreadable", None, told_why or "", None
    for fate, chosen in (("removed", file.removals), ("deferred", file.deferred)):
        place = _rule_of(ordinal, chosen)
        if place is not None:
            told = finding_of(seen, place, size, plan.options, plan.now)
            return fate, told.rule, told.reason, told.figures
    condemns = next((one.rule for one in rules if one.asked and one.verdict == APPLIES), None)
    if condemns is not None:
        why = protection_of(seen, seen.judgement, plan.now, plan.options.protection)
        return "protected", condemns, why or "", None
    return "kept", None, "no rule that was asked for applies", None


def _rule_of(ordinal: int, chosen: Selection) -> int | None:
    at = bisect_left(chosen.ordinals, ordinal)
    return chosen.rules[at] if at < len(chosen.ordinals) and chosen.ordinals[at] == ordinal else None


def _is_back(event: _Event, sha256: str) -> bool:
    """Whether a record of the id that a run removed is that one: by its content where others carry the id as well."""
    shared = event.key.id in event.file.shared
    if event.key in event.file.copies:
        return False  # it was one of two, and the other one never left
    return not event.undone and (not shared or event.key.digest == sha256[:16])


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else to_iso(seconds)
