"""A prune plan as a file that people review: written once, edited by hand, and then not trusted when it is applied.

The file is JSON. It names each removal by position and SHA-256, each record file by the SHA-256 of its bytes, and the
store by path, device and inode. Entries may be deleted from it; anything else that was altered is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from aml.codec.json_array import MAX_DEPTH, RecordArray, is_deeper_than
from aml.codec.views import Seen, Unreadable
from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError, UsageError
from aml.fs.access import explained
from aml.fs.durable import write_output
from aml.fs.files import is_there, read_regular
from aml.model.kinds import KIND_BY_PLURAL, PATTERN
from aml.model.record import RecordView
from aml.model.timestamps import to_iso
from aml.model.undecodable import UNDECODABLE
from aml.prune.apply import CHANGED
from aml.prune.findings import find, planned_array
from aml.prune.options import SPACE, STRATEGIES, PruneOptions, Thresholds
from aml.prune.plan import FilePlan, FileScan, Judge, PrunePlan, condemn, shared_ids
from aml.prune.rules import AGENT_SPACE, RULES, protection_of
from aml.store.open import Store, settings_file_for

#: What such a file says of itself, and the version of its format.
WHAT, FORMAT = "aml prune plan", 1

#: More than a million removals; a larger file is no plan that anybody reviewed.
_MAX_BYTES = 1 << 29

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACES = {rule.name: place for place, rule in enumerate(RULES)}


class Identity(Struct, frozen=True):
    """Which store a plan is for: the real path of its root, and device and inode of that folder."""

    path: str
    device: int
    inode: int


class PlannedOptions(Struct, frozen=True):
    """What the plan was made with. The thresholds are told for the reader: what applies is in the settings."""

    strategies: tuple[str, ...]
    agents: tuple[str, ...] = ()
    aggressive: bool = False
    thresholds: Thresholds = Thresholds()


class PlannedRemoval(Struct, frozen=True):
    """One record that would go: its position in the file from 0, and the SHA-256 of its text.

    ``rule`` says under which rule; ``reason``, ``figures`` and ``value`` are for the reader.
    """

    position: int
    id: str | None
    sha256: str
    rule: str
    reason: str = ""
    figures: dict[str, Any] = {}
    value: float = 0.0


class PlannedFile(Struct, frozen=True):
    """The removals from one record file of which the bytes on disk have that SHA-256."""

    agent: str
    kind: str
    sha256: str
    removals: tuple[PlannedRemoval, ...]


class PlanFile(Struct, frozen=True):
    """A plan in a file. ``aml`` is the version that wrote it, ``made`` when: ISO 8601 UTC."""

    what: str
    format: int
    aml: str
    made: str
    store: Identity
    options: PlannedOptions
    files: tuple[PlannedFile, ...]


def identity_of(store: Store) -> Identity:
    """Raises FileAccessError."""
    with explained("read", store.root):
        found = os.stat(store.root)
    # a path need not be text
    return Identity(str(store.root).encode(errors="backslashreplace").decode(), found.st_dev, found.st_ino)


def plan_file_of(store: Store, plan: PrunePlan, version: str) -> PlanFile:
    """A plan with all that a reader wants to see. Raises ChangedError where a file changed since it was planned."""
    files = []
    for file in plan.files:
        if file.removals:
            array = planned_array(store, file)
            find(array, file, plan, zip(file.removals.ordinals, file.removals.rules, strict=True))
            removals = tuple(_entry(array, file, ordinal) for ordinal in file.removals.ordinals)
            files.append(PlannedFile(file.agent, file.kind, file.sha256, removals))
    options = plan.options
    told = PlannedOptions(options.strategies, options.agents, options.aggressive, options.thresholds)
    return PlanFile(WHAT, FORMAT, version, to_iso(plan.now), identity_of(store), told, tuple(files))


def _entry(array: RecordArray, file: FilePlan, ordinal: int) -> PlannedRemoval:
    found = file.findings[ordinal]
    sha256 = hashlib.sha256(array.elements[ordinal]).hexdigest()
    return PlannedRemoval(ordinal, found.id, sha256, found.rule, found.reason, found.figures, found.value)


def refuse_place(store: Store, path: Path) -> Path:
    """Where a plan may be written: the real path. Raises UsageError inside the store or AML's own folders, and over
    anything that is not such a plan."""
    if "\0" in str(path):
        raise UsageError("the name of a plan cannot hold a NUL", advice="name another file")
    real = Path(os.path.realpath(path))
    if real == settings_file_for(store.root):
        raise UsageError(f"{path} is where the settings of this project stand", advice="name another file")
    for folder, what in ((store.root, "the store"), (store.state, "AML's own folder"), (store.keep, "the repository")):
        if real == folder or folder in real.parents:
            raise UsageError(f"the plan {path} would lie inside {what} {folder}", advice="name a file outside of it")
    if os.path.lexists(real):
        try:
            read_plan_file(real)
        except AmlError as error:
            raise UsageError(
                f"{path} is there already, and is not such a plan", advice="name another file, or move that one away"
            ) from error
    return real


def write_plan_file(path: Path, plan: PlanFile) -> None:
    """Put a plan on disk for good, readable by its owner alone. Raises UsageError where it is too large."""
    data = msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n"
    if len(data) > _MAX_BYTES:
        raise UsageError("the plan is too large to be reviewed", advice="plan fewer agents at a time: --agent")
    write_output(path, data)


def read_plan_file(path: Path) -> tuple[PlanFile, str]:
    """A plan and the SHA-256 of its file. Raises DamagedError, UsageError for another format, FileAccessError."""
    if not is_there(path):
        raise FileAccessError(f"there is no plan {path}", advice="aml prune --plan FILE writes one")
    with explained("read", path):
        if os.stat(path).st_size > _MAX_BYTES:
            raise DamagedError(f"{path} is too large to be a prune plan", advice="aml prune --plan FILE writes one")
    data = read_regular(path)
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.what == WHAT and head.format != FORMAT:
            raise UsageError(
                f"{path}: format {head.format} of a plan is not known here", advice="plan again with this AML"
            )
        if head.what != WHAT:
            raise ValueError("it does not say that it is one")
        plan = msgspec.json.decode(data, type=PlanFile)
    except UNDECODABLE as error:
        raise DamagedError(
            f"{path} is no prune plan, or a damaged one: {error}", advice="aml prune --plan FILE writes one"
        ) from error
    return plan, hashlib.sha256(data).hexdigest()


class _Head(Struct):
    what: str = ""
    format: int = 0


def check_plan_file(path: Path, plan: PlanFile, store: Store) -> None:
    """Everything that can be told without reading a record.

    Raises UsageError naming the place in the file, and AmlError where the plan was made for another store.
    """
    here = identity_of(store)
    if plan.store != here:
        again = "a folder that stood at this path before" if plan.store.path == here.path else repr(plan.store.path)
        raise AmlError(
            f"{path} is a plan for another store, {again}; this one is {here.path}",
            advice="name the store it was made for, or plan again",
        )
    agents = store.agents()
    _check_names(f"{path}: options.strategies", plan.options.strategies, STRATEGIES, "strategy")
    _check_names(f"{path}: options.agents", plan.options.agents, agents, "agent")
    if not plan.options.strategies:
        raise UsageError(f"{path}: options.strategies is empty", advice=_ADVICE)
    seen = set()
    for number, file in enumerate(plan.files):
        place = f"{path}: files[{number}]"
        _check_names(f"{place}.agent", (file.agent,), agents, "agent")
        _check_names(f"{place}.kind", (file.kind,), tuple(KIND_BY_PLURAL), "kind")
        if plan.options.agents and file.agent not in plan.options.agents:
            raise UsageError(f"{place}.agent: {file.agent!r} is not among options.agents", advice=_ADVICE)
        if (file.agent, file.kind) in seen:
            raise UsageError(f"{place}: {file.agent}/{file.kind} is there twice", advice=_ADVICE)
        seen.add((file.agent, file.kind))
        if not _SHA256.fullmatch(file.sha256):
            raise UsageError(f"{place}.sha256 is no SHA-256", advice=_ADVICE)
        _check_removals(place, file, plan.options.strategies)


_ADVICE = "entries may be deleted, but not altered or added; aml prune --plan FILE writes a new plan"


def _check_names(place: str, names: Sequence[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{place}: unknown {what} {name!r}", advice=_ADVICE)


def _check_removals(place: str, file: PlannedFile, strategies: Sequence[str]) -> None:
    positions = set()
    for number, one in enumerate(file.removals):
        here = f"{place}.removals[{number}]"
        if one.position < 0 or one.position in positions:
            how = "is negative" if one.position < 0 else "is there twice"
            raise UsageError(f"{here}: position {one.position} {how}", advice=_ADVICE)
        positions.add(one.position)
        if not _is_rule(one.rule, file.kind, strategies):
            raise UsageError(f"{here}: {one.rule!r} is no rule of those strategies for {file.kind}", advice=_ADVICE)


def _is_rule(name: str, kind: str, strategies: Sequence[str]) -> bool:
    if name == SPACE:
        return kind == PATTERN.plural and SPACE in strategies
    place = _PLACES.get(name)
    return place is not None and KIND_BY_PLURAL[kind] in RULES[place].kinds and RULES[place].strategy in strategies


#: For each file (agent and kind) of which the bytes have that SHA-256, the records that have to go for space now.
ForSpace = dict[tuple[str, str], tuple[str, dict[int, int]]]


def for_space(plan: PrunePlan) -> ForSpace:
    """What a plan that was made now takes, or would take with a larger loss budget, for space."""
    return {
        (file.agent, file.kind): (
            file.sha256,
            {
                ordinal: place
                for some in (file.removals, file.deferred)
                for ordinal, place in zip(some.ordinals, some.rules, strict=True)
                if place >= AGENT_SPACE
            },
        )
        for file in plan.files
    }


def judge_by_file(path: Path, plan: PlanFile, wanted_space: ForSpace) -> Judge:
    """Condemns what stands in a checked plan, where its rule still does, and nothing else."""
    files = {(file.agent, file.kind): (number, file) for number, file in enumerate(plan.files)}

    def judge(scan: FileScan, seen: Sequence[Seen], array: RecordArray, options: PruneOptions, now: float) -> None:
        for ordinal, view in enumerate(seen):
            if isinstance(view, Unreadable):
                scan.unreadable.append((ordinal, view.reason))
                scan.too_new += view.too_new
        number, file = files.get((scan.agent, scan.kind), (0, None))
        if file is None or not file.removals:
            return
        if file.sha256 != scan.sha256:
            scan.problem = CHANGED
            return
        sha256, space = wanted_space.get((scan.agent, scan.kind), ("", {}))
        if any(one.rule == SPACE and (sha256 != scan.sha256 or one.position not in space) for one in file.removals):
            scan.problem = (
                "it takes records for space that need not go any more; aml prune --plan FILE writes a new one"
            )
            return
        entries = sorted(enumerate(file.removals), key=lambda one: one[1].position)
        _refuse_split_twins(f"{path}: files[{number}]", file, seen, array)
        for index, one in entries:
            place = space[one.position] if one.rule == SPACE else _PLACES[one.rule]
            view = _checked(f"{path}: files[{number}].removals[{index}]", one, place, seen, array, options, now)
            why = protection_of(view, view.judgement, now, options.protection)
            if why is not None:
                scan.protected[why] += 1
            else:
                condemn(scan, one.position, place, view.value, view.ident)

    return judge


def _checked(
    where: str,
    one: PlannedRemoval,
    place: int,
    seen: Sequence[Seen],
    array: RecordArray,
    options: PruneOptions,
    now: float,
) -> RecordView:
    """The record that an entry names. Raises UsageError where it is another one, or is not condemned now."""
    if one.position >= len(array):
        raise UsageError(f"{where}: position {one.position} is beyond the {len(array)} records", advice=_ADVICE)
    element, view = array.elements[one.position], seen[one.position]
    if hashlib.sha256(element).hexdigest() != one.sha256:
        raise UsageError(f"{where}: the record at position {one.position} is another one", advice=_ADVICE)
    if not isinstance(view, RecordView) or is_deeper_than(element, MAX_DEPTH):
        raise UsageError(f"{where}: the record at position {one.position} cannot be judged", advice=_ADVICE)
    if view.ident != one.id:
        raise UsageError(f"{where}: the id of that record is {view.ident!r}, not {one.id!r}", advice=_ADVICE)
    if place < AGENT_SPACE and not RULES[place].applies(view, now, options.thresholds):
        raise UsageError(
            f"{where}: {one.rule} does not condemn that record now",
            advice="delete that entry, or plan again with the settings as they are now",
        )
    return view


def _refuse_split_twins(where: str, file: PlannedFile, seen: Sequence[Seen], array: RecordArray) -> None:
    """Identical records go together or stay together: were one left, nobody could tell later which one is missing."""
    shared = shared_ids(seen)
    idents = [view.ident if isinstance(view, RecordView) else None for view in seen]
    positions = {one.position for one in file.removals}
    doubtful = {
        one.sha256
        for one in file.removals
        if one.position < len(idents) and (idents[one.position] is None or idents[one.position] in shared)
    }
    if not doubtful:
        return
    for ordinal, ident in enumerate(idents):
        if ordinal not in positions and (ident is None or ident in shared):
            sha256 = hashlib.sha256(array.elements[ordinal]).hexdigest()
            if sha256 in doubtful:
                raise UsageError(
                    f"{where}: the record at position {ordinal} is identical to one that is to go, and is not listed",
                    advice="identical records go together: delete the entries of all of them, or of none",
                )


def with_missing(plan: PrunePlan, wanted: PlanFile) -> PrunePlan:
    """The plan, which also names the files that are not there any more."""
    there = {(file.agent, file.kind) for file in plan.files}
    agents = []
    for agent in plan.agents:
        gone = tuple(
            FilePlan(file.agent, file.kind, problem="it is not there any more", problem_status=ExitStatus.PARTIAL)
            for file in wanted.files
            if file.agent == agent.agent and file.removals and (file.agent, file.kind) not in there
        )
        agents.append(structs.replace(agent, files=(*agent.files, *gone)) if gone else agent)
    return structs.replace(plan, agents=tuple(agents))
