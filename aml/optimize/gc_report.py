"""What a garbage collection did, or would do: the plan and the outcome of each file, summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from aml.errors import PRECEDENCE, ExitStatus
from aml.ledger.budget import AgentBudget
from aml.optimize.garbage import RULES
from aml.optimize.gc_apply import FileOutcome, LeftoverOutcome
from aml.optimize.gc_plan import FilePlan, GcPlan
from aml.optimize.leftovers import STALE_LOCK, UNFINISHED_WRITE
from aml.optimize.sources import EMPTY, MERGED, SALVAGED

#: Everything that a report counts, by class; the last ones are only told, never removed.
CLASSES = (
    *RULES,
    EMPTY,
    MERGED,
    SALVAGED,
    UNFINISHED_WRITE,
    "content_duplicate",
    "odd_element",
    "damaged_file",
    STALE_LOCK,
)


class FileStep(Struct, frozen=True):
    """What became, or would become, of one whole file; ``path`` is inside the store, ``records`` were taken over."""

    path: str
    what: str
    reason: str
    records: int


class OddElement(Struct, frozen=True):
    """An element that is never judged: its position in the file, counted from 0, and why."""

    position: int
    reason: str


class GarbageRecord(Struct, frozen=True):
    """One piece of garbage. Its ``fate``: removed (or would be, in a dry run), deferred, or left, since its file could
    not be changed. ``position`` counts from 0, ``value`` runs from 0 to 1."""

    agent: str
    kind: str
    id: str | None
    position: int
    fate: str
    rule: str
    reason: str
    value: float


class GcFile(Struct, frozen=True):
    """One record file, with the compressed copy beside it. Counts are elements, sizes are bytes on disk.

    ``removed`` is what would be removed in a dry run; ``pinned`` counts garbage that its id or a tag holds; ``too_new``
    counts the odd elements with a schema newer than AML knows; ``content_duplicates`` are groups of ids whose records
    are the same but for the id.
    """

    agent: str
    kind: str
    records: int
    removed: int
    removed_by_rule: dict[str, int]
    deferred: int
    pinned: int
    odd_elements: tuple[OddElement, ...]
    too_new: int
    content_duplicates: tuple[tuple[str, ...], ...]
    steps: tuple[FileStep, ...]
    bytes_before: int
    bytes_after: int | None
    archive: str | None
    problem: str | None
    status: int
    attempted: bool


class LeftoverReport(Struct, frozen=True):
    """An unfinished write or a stale lock: how old (seconds), how large (bytes), whether it is gone (or would be)."""

    path: str
    what: str
    age_seconds: float
    size: int
    removed: bool
    problem: str | None
    status: int


class GcReport(Struct, frozen=True):
    """A garbage collection. ``run`` is None for a dry run, and where it was not confirmed.

    ``counts`` has each class of garbage: what was removed, merged or salvaged (or would be), and what is only told.
    """

    run: str | None
    dry_run: bool
    counts: dict[str, int]
    files: tuple[GcFile, ...]
    leftovers: tuple[LeftoverReport, ...]
    records: tuple[GarbageRecord, ...]
    budgets: tuple[AgentBudget, ...]
    notes: tuple[str, ...]
    status: ExitStatus

    @property
    def changes(self) -> int:
        """How many elements and whole files went, or would go."""
        files = sum(len(file.steps) for file in self.files) + sum(one.removed for one in self.leftovers)
        return self.total("removed") + files

    def total(self, name: str) -> int:
        """Sum of one count over all files."""
        return sum(getattr(file, name) or 0 for file in self.files)


def build_report(
    plan: GcPlan,
    outcomes: Mapping[tuple[str, str], FileOutcome],
    cleared: Sequence[LeftoverOutcome],
    *,
    run: str | None,
    dry_run: bool,
    notes: tuple[str, ...] = (),
) -> GcReport:
    """``outcomes`` by agent and kind; a file without one was only planned."""
    pairs = [(file, outcomes.get((file.agent, file.kind))) for file in plan.files]
    files = tuple(_file(file, outcome, dry_run) for file, outcome in pairs)
    leftovers = _leftovers(plan, cleared, dry_run)
    return GcReport(
        run=run,
        dry_run=dry_run,
        counts=_counts(files, leftovers),
        files=files,
        leftovers=leftovers,
        records=tuple(one for file, outcome in pairs for one in _records(file, outcome, dry_run)),
        budgets=tuple(AgentBudget(agent.agent, agent.budget.limit, agent.budget.reason) for agent in plan.agents),
        notes=(*plan.notes, *notes),
        status=ExitStatus.DONE if dry_run else _status(files, leftovers),
    )


def _file(plan: FilePlan, outcome: FileOutcome | None, dry_run: bool) -> GcFile:
    applied = outcome.plan if outcome else plan
    removed = len(applied.removals) if dry_run else len(outcome.gone.keys) if outcome else 0
    done = dry_run or (outcome is not None and (outcome.gone.keys or outcome.quarantined or not outcome.problem))
    steps = applied.steps if done else ()
    rules = Counter(one.rule for one in applied.removals) if removed else Counter()
    return GcFile(
        agent=applied.agent,
        kind=applied.kind,
        records=applied.records,
        removed=removed,
        removed_by_rule=dict(rules),
        deferred=len(applied.deferred),
        pinned=applied.pinned,
        odd_elements=tuple(OddElement(position, reason) for position, reason in applied.odd),
        too_new=applied.too_new,
        content_duplicates=applied.copies,
        steps=tuple(FileStep(one.path, one.what, one.reason, one.records) for one in steps),
        bytes_before=outcome.bytes_before if outcome else applied.size,
        bytes_after=(outcome.bytes_after if outcome else applied.size) if not (dry_run and plan.touches) else None,
        archive=outcome.gone.archive if outcome else None,
        problem=outcome.problem if outcome else plan.problem,
        status=int(outcome.status if outcome else plan.problem_status),
        attempted=outcome is not None,
    )


def _leftovers(plan: GcPlan, cleared: Sequence[LeftoverOutcome], dry_run: bool) -> tuple[LeftoverReport, ...]:
    outcomes = {one.leftover.path: one for one in cleared}
    found = []
    for one in plan.leftovers:
        outcome = outcomes.get(one.path)
        gone = outcome.removed if outcome else dry_run and one.what == UNFINISHED_WRITE
        problem = outcome.problem if outcome else None
        status = int(outcome.status) if outcome else int(ExitStatus.DONE)
        found.append(LeftoverReport(one.path, one.what, round(one.age, 3), one.size, gone, problem, status))
    return tuple(found)


def _counts(files: Sequence[GcFile], leftovers: Sequence[LeftoverReport]) -> dict[str, int]:
    counts = Counter[str]()
    for file in files:
        counts.update(file.removed_by_rule)
        counts.update(one.what for one in file.steps)
        counts["content_duplicate"] += sum(len(group) - 1 for group in file.content_duplicates)
        counts["odd_element"] += len(file.odd_elements)
        counts["damaged_file"] += file.status == ExitStatus.DAMAGED
    counts.update(one.what for one in leftovers if one.removed or one.what == STALE_LOCK)
    return {name: counts[name] for name in CLASSES}


def _records(file: FilePlan, outcome: FileOutcome | None, dry_run: bool) -> list[GarbageRecord]:
    plan = outcome.plan if outcome else file
    gone = dry_run or (outcome is not None and bool(outcome.gone.keys))
    fates = ((plan.removals, "removed" if gone else "left"), (plan.deferred, "deferred"))
    return [
        GarbageRecord(plan.agent, plan.kind, one.id, one.ordinal, fate, one.rule, one.reason, one.value)
        for chosen, fate in fates
        for one in chosen
    ]


def _status(files: Sequence[GcFile], leftovers: Sequence[LeftoverReport]) -> ExitStatus:
    found = {ExitStatus.DONE}
    problems = [ExitStatus(one.status) for one in files if one.problem]
    problems += [ExitStatus(one.status) for one in leftovers if one.problem]
    if any(file.too_new for file in files):
        found.add(ExitStatus.SCHEMA)
    failed = [one.attempted for one in files if one.status == ExitStatus.FAILED]
    failed += [True for one in leftovers if one.status == ExitStatus.FAILED]
    if any(failed) or len(failed) == len(files) > 0:
        found.add(ExitStatus.FAILED)
    wanted = sum(bool(one.removed or one.steps or one.status) for one in files)
    wanted += sum(bool(one.removed or one.status) for one in leftovers)
    if problems and len(problems) == wanted and set(problems) == {ExitStatus.LOCKED}:
        found.add(ExitStatus.LOCKED)
    if files and len(problems) == len(files) and set(problems) == {ExitStatus.DAMAGED}:
        found.add(ExitStatus.DAMAGED)
    if problems or any(file.deferred for file in files):
        found.add(ExitStatus.PARTIAL)
    return next(status for status in PRECEDENCE if status in found)
