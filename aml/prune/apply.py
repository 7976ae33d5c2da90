"""Applying a prune plan: per file, under its lock, archive first, then cut, then read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from aml.codec.json_array import RecordArray
from aml.codec.views import Unreadable, view_record
from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus, UsageError
from aml.fs.parallel import parted, side_by_side
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.archive import prepare_archives
from aml.ledger.history import AgentHistory
from aml.ledger.ready import Preparation, preparing
from aml.ledger.removal import Cut, Removal, Removed, remove_records
from aml.ledger.runs import RunFile
from aml.model.kinds import KIND_BY_PLURAL
from aml.prune.options import PruneOptions
from aml.prune.plan import (
    AgentPlan,
    FilePlan,
    FileScan,
    Judge,
    PrunePlan,
    finding_of,
    judge_by_rules,
    plan_agent,
    replan_file,
    scan_file,
)
from aml.store.judging import Judging, judge_files
from aml.store.layout import RecordFile, record_file
from aml.store.open import Store
from aml.store.read import Content, read_content, size_of
from aml.store.transact import Transaction, transaction, with_attempts

if TYPE_CHECKING:
    from aml.prune.space import Sizes

#: Of a file that a plan in a file, which is never made anew, does not fit any more.
CHANGED = "it changed since the plan was made; aml prune --plan FILE writes a new one"


class FileOutcome(Struct, frozen=True):
    """What a run did to one file. ``plan`` is what was applied: the plan itself, or one made anew under the lock.

    ``problem`` says why nothing was removed, if so, and ``status`` what that is worth.
    """

    plan: FilePlan
    bytes_before: int = 0
    bytes_after: int = 0
    gone: Removed = Removed()
    problem: str | None = None
    status: int = ExitStatus.DONE

    @property
    def removed(self) -> int:
        return len(self.gone.keys)

    def settled(self, found: RunFile) -> FileOutcome:
        """This outcome with what is known of the file after a look at the disk."""
        return structs.replace(self, gone=Removed.of(found), bytes_after=found.bytes_after or self.bytes_after)

    def journal_entry(self, *, used_allowance: bool) -> RunFile:
        plan = self.plan
        return self.gone.journal_entry(plan.agent, plan.kind, self.bytes_before, self.bytes_after, used_allowance)


class PruneRun(Struct, frozen=True):
    """What applying needs to know of the run it belongs to. ``now`` in seconds since 1970 UTC.

    ``replans`` tells whether a file that changed since is planned again under its lock, or refused.
    """

    id: str
    now: float
    options: PruneOptions
    explain: bool = False
    replans: bool = True


def plan_store(
    store: Store,
    agents: Sequence[str],
    options: PruneOptions,
    now: float,
    history: Mapping[str, AgentHistory],
    *,
    explain: bool,
    sizes: Sizes | None = None,
    judge: Judge = judge_by_rules,
) -> PrunePlan:
    """Read and judge the files of ``agents``, and fit what is found into the loss budget of each.

    With ``sizes`` (what lies on disk) room is made after that. Raises UsageError where ``judge`` does.
    """

    def judged(file: RecordFile, content: Content | AmlError) -> FileScan | FilePlan:
        past = history.get(file.agent, AgentHistory())
        return _scan_or_problem(file, content, options, now, past, explain, judge)

    plans, claims = [], []
    judging = Judging(judged, _tell, _hear)
    for agent, found in judge_files(store, agents, judging):
        parts = list(found.values())
        plans.append(plan_agent(agent, parts, history.get(agent, AgentHistory()), options))
        if sizes is not None:
            from aml.prune.space import claim_of

            claims.append(claim_of(plans[-1], parts, sizes))
    if sizes is None:
        return PrunePlan(now, options, tuple(plans))
    from aml.prune.space import plan_space

    plan = plan_space(now, options, claims, sizes)
    if explain:
        from aml.prune.findings import find_for_space

        find_for_space(store, plan)
    return plan


def _tell(part: FileScan | FilePlan) -> bytes:
    from aml.prune.told import tell  # most stores are too small for children

    return tell(part)


def _hear(file: RecordFile, answer: bytes) -> FileScan | FilePlan:
    from aml.prune.told import hear

    return hear(file.agent, file.kind, answer)


def _scan_or_problem(
    file: RecordFile,
    content: Content | AmlError,
    options: PruneOptions,
    now: float,
    history: AgentHistory,
    explain: bool,
    judge: Judge,
) -> FileScan | FilePlan:
    """Judge one file; one that cannot be read becomes a plan that leaves it alone, with the reason."""
    try:
        if isinstance(content, AmlError):
            raise content
        return _scan(content, content.array(), options, now, history, explain=explain, judge=judge)
    except UsageError:
        raise  # about what was asked for, not about the file
    except AmlError as error:
        readable = getattr(error, "readable", 0)
        records = "1 record" if readable == 1 else f"{readable} records"
        way = "aml optimize gc --salvage --dry-run tells which"
        hint = f"; {records} before the damage can be read: {way}" if readable else ""
        problem = f"{error}{hint}"
        return FilePlan(file.agent, file.kind, size=size_of(file), problem=problem, problem_status=error.status)


def _scan(
    content: Content,
    array: RecordArray,
    options: PruneOptions,
    now: float,
    history: AgentHistory,
    *,
    explain: bool,
    judge: Judge = judge_by_rules,
) -> FileScan:
    file = content.file
    return scan_file(
        file.agent,
        file.kind,
        array,
        options,
        now,
        history.of(file.kind),
        sha256=content.sha256,
        size=len(content.data),
        explain=explain,
        judge=judge,
    )


def apply_plan(
    store: Store,
    plan: PrunePlan,
    run: PruneRun,
    history: Mapping[str, AgentHistory],
    notes: LockNotes,
    policy: LockPolicy,
    progress: Callable[[str], None],
) -> dict[tuple[str, str], FileOutcome]:
    """Do what the plan says, file by file, and tell what came of each by agent and kind.

    Files of ordinary size are done side by side, large ones alone, which bounds memory.
    """

    def work(plan: FilePlan) -> FileOutcome:
        progress(f"{plan.agent}/{plan.kind}")
        past = history.get(plan.agent, AgentHistory())
        return apply_file(store, plan, agents[plan.agent], run, past, notes, policy, ready)

    def cut_out(file: RecordFile) -> tuple[Content, Cut] | None:
        return _cut(store, file, plans[file], run)

    agents = {agent.agent: agent for agent in plan.agents}
    touched = [file for file in plan.files if file.removals]
    if not touched:
        return {}
    prepare_archives(store, sorted({file.agent for file in touched}))
    ordinary, large = parted(touched, lambda file: file.size)
    plans = {_file_of(store, one): one for one in ordinary}
    with preparing(store, tuple(plans), run.id, cut_out) as ready:
        outcomes = side_by_side(ordinary, work, notes.cancel, ready.threads)
    outcomes += [work(one) for one in large]
    return {(one.plan.agent, one.plan.kind): one for one in outcomes}


def _file_of(store: Store, plan: FilePlan) -> RecordFile:
    return record_file(store.root, plan.agent, KIND_BY_PLURAL[plan.kind])


def _cut(store: Store, file: RecordFile, plan: FilePlan, run: PruneRun) -> tuple[Content, Cut] | None:
    """What a child makes ready, of a file that is what the plan is for."""
    content = read_content(file, store.max_unpacked_bytes)
    if content.sha256 != plan.sha256:
        return None
    array = content.array()
    return content, Cut(file, array, plan.removals.ordinals, _removals(array, plan, run), run.id)


def apply_file(
    store: Store,
    plan: FilePlan,
    agent: AgentPlan,
    run: PruneRun,
    history: AgentHistory,
    notes: LockNotes,
    policy: LockPolicy,
    ready: Preparation,
) -> FileOutcome:
    """Remove from one file what its plan says; whatever stands in the way is an outcome, not an exception."""
    file = _file_of(store, plan)
    planned = plan

    def work() -> FileOutcome:
        with transaction(store, file, notes, policy) as held:
            # a child knows of no plan but the first
            done = ready.remove(held, file) if plan is planned else None
            if done is not None:
                return FileOutcome(plan, done.before, done.after, done.removed)
            with ready.turn:
                return change(held)

    def change(held: Transaction) -> FileOutcome:
        nonlocal plan
        content = held.read()
        array = content.array()
        if content.sha256 != plan.sha256:
            if not run.replans:
                return _nothing_done(plan, ChangedError(CHANGED), ExitStatus.PARTIAL)
            scan = _scan(content, array, run.options, run.now, history, explain=run.explain)
            plan = replan_file(agent, plan, scan, run.options)
        return _remove(store, held, content, array, plan, run)

    return with_attempts(work, lambda error, status: _nothing_done(plan, error, status))


def _nothing_done(plan: FilePlan, error: AmlError, status: ExitStatus) -> FileOutcome:
    # damage that came since the plan was made
    status = ExitStatus.PARTIAL if status is ExitStatus.DAMAGED else status
    return FileOutcome(plan, problem=str(error), status=status, bytes_before=plan.size, bytes_after=plan.size)


def _remove(
    store: Store, held: Transaction, content: Content, array: RecordArray, plan: FilePlan, run: PruneRun
) -> FileOutcome:
    size = len(content.data)
    if not plan.removals:
        return FileOutcome(plan, bytes_before=size, bytes_after=size)
    cut = Cut(content.file, array, plan.removals.ordinals, _removals(array, plan, run), run.id)
    gone, after = remove_records(store, cut, lambda text: held.replace(content, text))
    return FileOutcome(plan, bytes_before=size, bytes_after=after, gone=gone)


def _removals(array: RecordArray, plan: FilePlan, run: PruneRun) -> Iterator[Removal]:
    view = KIND_BY_PLURAL[plan.kind].view
    for ordinal, rule in zip(plan.removals.ordinals, plan.removals.rules, strict=True):
        raw = array.raw(ordinal)
        seen = view_record(raw, view)
        if isinstance(seen, Unreadable):
            raise DamagedError(f"record {ordinal} was judged, but cannot be read again: {seen.reason}")
        one = finding_of(seen, rule, len(raw), run.options, run.now)
        twins = plan.twins.get(ordinal, ())
        yield Removal(ordinal, one.id, one.rule, one.reason, one.figures, one.value, twins)
