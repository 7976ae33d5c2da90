"""What a prune did, or would do: the plan and the outcome of each file, summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from aml.errors import PRECEDENCE, ExitStatus
from aml.ledger.budget import AgentBudget
from aml.model.units import size
from aml.prune.apply import FileOutcome
from aml.prune.plan import FilePlan, PrunePlan

if TYPE_CHECKING:
    from aml.prune.space import Room


class UnreadableRecord(Struct, frozen=True):
    """An element that was not judged: its position in the file, counted from 0, and why."""

    position: int
    reason: str


class FileReport(Struct, frozen=True):
    """One file. Counts are records; ``removed`` is what would be removed in a dry run. Sizes in bytes on disk.

    ``attempted`` tells whether the run tried to change the file. ``too_new`` counts those among the unreadable records
    that have a schema newer than AML knows.
    """

    agent: str
    kind: str
    records: int
    kept: int
    removed: int
    removed_by_rule: dict[str, int]
    protected: int
    protected_by_reason: dict[str, int]
    deferred: int
    unreadable: int
    unreadable_records: tuple[UnreadableRecord, ...]
    too_new: int
    came_back: int
    bytes_before: int
    bytes_after: int | None
    archive: str | None
    problem: str | None
    status: int
    attempted: bool


class RecordReport(Struct, frozen=True):
    """One record that a rule condemns.

    Its ``fate``: it is removed (or would be, in a dry run), deferred to a later run, or left, since its file could not
    be changed.
    """

    agent: str
    kind: str
    id: str | None
    fate: str
    rule: str
    reason: str
    figures: dict[str, float | bool | str | None]
    value: float
    size: int


class SpaceReport(Struct, frozen=True):
    """An agent's folder, or the store (``agent`` is null), that held more than its limit. All in bytes on disk.

    ``saved`` is what compressing saved of ``before``, ``after`` what remains (expected, in a dry run), ``short_by``
    what is still too much against ``target``.
    """

    agent: str | None
    before: int
    saved: int
    after: int
    limit: int
    target: int
    short_by: int


class PruneReport(Struct, frozen=True):
    """A prune of one store.

    ``run`` is None for a dry run, and where it was not confirmed. ``backup`` is the id of the backup that was made of
    the store before, if any, ``plan_file`` the path of the plan that was written or applied. ``records`` lists the
    records one by one where that was asked for; ``space`` tells of all that held more than its limit, likewise.
    """

    run: str | None
    dry_run: bool
    strategies: tuple[str, ...]
    files: tuple[FileReport, ...]
    records: tuple[RecordReport, ...]
    budgets: tuple[AgentBudget, ...]
    notes: tuple[str, ...]
    status: ExitStatus
    backup: str | None = None
    space: tuple[SpaceReport, ...] = ()
    plan_file: str | None = None

    def total(self, name: str) -> int:
        """Sum of one count over all files."""
        return sum(getattr(file, name) or 0 for file in self.files)


def build_report(
    plan: PrunePlan,
    outcomes: dict[tuple[str, str], FileOutcome],
    *,
    run: str | None,
    dry_run: bool,
    notes: tuple[str, ...] = (),
) -> PruneReport:
    """``outcomes`` by agent and kind; a file without one was only planned."""
    files = [(file, outcomes.get((file.agent, file.kind))) for file in plan.files]
    reports = tuple(_file_report(file, outcome, dry_run) for file, outcome in files)
    space = tuple(_space_report(room, reports, dry_run) for room in plan.space)
    short = [_shortfall(one, room, reports, dry_run) for one, room in zip(space, plan.space, strict=True)]
    return PruneReport(
        run=run,
        dry_run=dry_run,
        strategies=plan.options.strategies,
        files=reports,
        records=tuple(one for file, outcome in files for one in _record_reports(file, outcome, dry_run)),
        budgets=tuple(AgentBudget(agent.agent, agent.budget.limit, agent.budget.reason) for agent in plan.agents),
        notes=(*notes, *(told for told in short if told)),
        status=ExitStatus.DONE if dry_run else _status(reports, any(short)),
        space=space,
    )


def _space_report(room: Room, files: tuple[FileReport, ...], dry_run: bool) -> SpaceReport:
    after = room.after
    if not dry_run:
        mine = [file for file in files if room.agent in (None, file.agent)]
        freed = sum(file.bytes_before - (file.bytes_after or 0) for file in mine if file.attempted)
        after = room.before - room.saved - freed
    # what was expected to be enough, by the ratio of a gzip file, may miss the target a little, but not the limit
    enough = room.is_enough and after <= room.limit
    short = 0 if enough else max(0, after - room.target)
    return SpaceReport(room.agent, room.before, room.saved, after, room.limit, room.target, short)


def _shortfall(report: SpaceReport, room: Room, files: tuple[FileReport, ...], dry_run: bool) -> str:
    """What to tell where it was not enough, and what else could make room; empty where it was enough."""
    if not report.short_by:
        return ""
    whose, limit = ("the store", "store_mb") if report.agent is None else (report.agent, "agent_mb")
    after = "would hold" if dry_run else "holds"
    ways = ["compress.plain = true lets its decisions be compressed"] if room.stays_plain else []
    if any(file.deferred for file in files if report.agent in (None, file.agent)):
        ways.append("--max-loss 100% lets go what is deferred")
    ways.append(f"a higher space.{limit} asks for less")
    return (
        f"not enough room: {whose} {'holds' if dry_run else 'held'} {size(report.before)}, and {after} "
        f"{size(report.after)} after this run, {size(report.short_by)} over its target of {size(report.target)}; "
        f"what is protected, deferred or no pattern stays; {', '.join(ways)}"
    )


def _file_report(plan: FilePlan, outcome: FileOutcome | None, dry_run: bool) -> FileReport:
    applied = outcome.plan if outcome else plan
    removed = len(applied.removals) if dry_run else outcome.removed if outcome else 0
    status = outcome.status if outcome else plan.problem_status
    return FileReport(
        agent=applied.agent,
        kind=applied.kind,
        records=applied.records,
        kept=applied.records - removed,
        removed=removed,
        removed_by_rule=applied.removals.by_rule() if removed else {},
        protected=sum(applied.protected.values()),
        protected_by_reason=applied.protected,
        deferred=len(applied.deferred),
        unreadable=len(applied.unreadable),
        unreadable_records=tuple(UnreadableRecord(position, reason) for position, reason in applied.unreadable),
        too_new=applied.too_new,
        came_back=applied.came_back,
        bytes_before=outcome.bytes_before if outcome else applied.size,
        bytes_after=(outcome.bytes_after if outcome else applied.size) if not (dry_run and removed) else None,
        archive=outcome.gone.archive if outcome else None,
        problem=outcome.problem if outcome else plan.problem,
        status=int(status),
        attempted=outcome is not None,
    )


def _record_reports(file: FilePlan, outcome: FileOutcome | None, dry_run: bool) -> list[RecordReport]:
    plan = outcome.plan if outcome else file
    if not plan.findings:
        return []
    gone = dry_run or (outcome is not None and outcome.removed > 0)
    fates = ((plan.removals, "removed" if gone else "left"), (plan.deferred, "deferred"))
    places = [(ordinal, fate) for chosen, fate in fates for ordinal in chosen.ordinals]
    found = [(plan.findings[ordinal], fate) for ordinal, fate in places if ordinal in plan.findings]
    return [
        RecordReport(plan.agent, plan.kind, one.id, fate, one.rule, one.reason, one.figures, one.value, one.size)
        for one, fate in found
    ]


def _status(files: tuple[FileReport, ...], short: bool) -> ExitStatus:
    found = {ExitStatus.DONE}
    problems = [ExitStatus(file.status) for file in files if file.problem]
    if any(file.too_new for file in files):
        found.add(ExitStatus.SCHEMA)
    if any(file.status == ExitStatus.FAILED and (file.attempted or len(problems) == len(files)) for file in files):
        found.add(ExitStatus.FAILED)
    wanted = [file for file in files if file.removed or file.status]
    if problems and len(problems) == len(wanted) and set(problems) == {ExitStatus.LOCKED}:
        found.add(ExitStatus.LOCKED)
    if problems and len(problems) == len(files) and set(problems) == {ExitStatus.DAMAGED}:
        found.add(ExitStatus.DAMAGED)
    if short or problems or any(file.deferred for file in files):
        found.add(ExitStatus.PARTIAL)
    return next(status for status in PRECEDENCE if status in found)
