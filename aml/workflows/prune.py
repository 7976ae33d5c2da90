"""Prune: plan, confirmation, backup, apply, journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs, to_builtins

from aml import __version__
from aml.config import PruneSettings, SpaceSettings
from aml.errors import ExitStatus
from aml.hooks import hooked
from aml.ledger.history import AgentHistory, read_history
from aml.ledger.recovery import ended_in_any_case, settle, settled_state
from aml.ledger.runs import Journal, Run, RunFile, archive_name, state_after
from aml.ledger.state import FileLockNotes
from aml.prune.apply import PruneRun, apply_plan, plan_store
from aml.prune.options import POLICIES, SPACE, STRATEGIES, Protection, PruneOptions, Space, Thresholds
from aml.prune.plan import PrunePlan
from aml.prune.report import PruneReport, build_report
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.conditions import Conditions, changing, clock_note, limits_of, repository_folder
from aml.workflows.notes import NOT_CONFIRMED, stranger_notes

if TYPE_CHECKING:
    from aml.backup.create import BackupReport
    from aml.workflows.space import RoomMaker

_MB = 1 << 20


def prune_options(
    settings: PruneSettings,
    *,
    strategies: tuple[str, ...] = (),
    agents: tuple[str, ...] = (),
    aggressive: bool = False,
    max_loss: float | None = None,
    space: SpaceSettings | None = None,
    policy: str | None = None,
    compress_plain: bool = False,
) -> PruneOptions:
    """Options from settings and what was asked for by hand. Raises UsageError for an unknown strategy or policy.

    ``max_loss`` (0 to 1) is meant to the letter: with it, a small agent gets no allowance beyond it.
    ``compress_plain`` is the setting compress.plain, which concerns the strategy space.
    """
    chosen = choose(strategies or settings.strategies, STRATEGIES, "strategy")
    space = space or SpaceSettings()
    if policy is not None:
        choose((policy,), POLICIES, "policy")
    return PruneOptions(
        strategies=chosen,
        agents=agents,
        aggressive=aggressive,
        thresholds=Thresholds(
            unused_days=settings.aggressive_unused_days if aggressive else settings.unused_days,
            failed_days=settings.failed_days,
            failed_success=settings.failed_success,
            min_executions=settings.min_executions,
            decision_days=settings.aggressive_decision_days if aggressive else settings.decision_days,
            solution_days=settings.solution_days,
            inactive_days=settings.inactive_days,
            low_success=settings.aggressive_low_success if aggressive else settings.low_success,
            low_confidence=settings.low_confidence,
            negative_score=settings.negative_score,
        ),
        protection=Protection(
            value=settings.protect_value,
            used_days=settings.protect_used_days,
            new_days=settings.protect_new_days,
            ids=settings.pinned_ids,
            tags=settings.pinned_tags,
        ),
        limits=limits_of(settings, max_loss),
        space=Space(
            agent_bytes=int(space.agent_mb * _MB),
            store_bytes=int(space.store_mb * _MB),
            target=space.target,
            policy=policy or space.policy,
            compress_plain=compress_plain,
        ),
    )


class Task(Struct, frozen=True):
    """A prune that is to be carried out.

    ``look`` makes the plan, of what the store holds now. ``noted`` is what the journal is told beside the options;
    ``replans`` tells whether a file that changes meanwhile is planned again; ``before`` makes the room that takes no
    record, and returns notes. ``plan_file`` is the path of the file that the plan stands in, if any.
    """

    look: Callable[[], tuple[PrunePlan, dict[str, AgentHistory]]]
    noted: dict[str, Any] = {}
    replans: bool = True
    plan_file: str | None = None
    before: Callable[[FileLockNotes], tuple[str, ...]] | None = None


def prune(
    store: Store,
    options: PruneOptions | None = None,
    *,
    now: float | None = None,
    dry_run: bool = False,
    backup: bool = True,
    conditions: Conditions | None = None,
    confirm: Callable[[PruneReport], bool] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    explain: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> PruneReport:
    """Remove low-value records by rules; every one is archived first and can be put back with ``prune_undo``.

    ``now`` in seconds since 1970 UTC. With ``backup``, the store is backed up before anything is removed, and nothing
    is where that fails. ``confirm`` sees what a dry run would report and may say no; ``progress``
    is told the file that comes next. ``explain`` lists every record in the report, with its reason.
    Raises AmlError; what befalls single files is in the report.
    """
    options = options or PruneOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    task = task_of(store, options, moment, conditions, explain=explain)
    return carry_out(
        store,
        task,
        moment,
        conditions,
        dry_run=dry_run,
        backup=backup,
        confirm=confirm,
        progress=progress,
        explain=explain,
        warn=warn,
    )


def task_of(
    store: Store, options: PruneOptions, now: float, conditions: Conditions, *, explain: bool, compresses: bool = True
) -> Task:
    """A prune by rules, and for space where that is asked for, which then ``compresses`` first.

    Raises UsageError for an agent that is not there.
    """
    agents = store.choose_agents(options.agents)
    room: RoomMaker | None = None
    if SPACE in options.strategies:
        from aml.workflows.space import RoomMaker

        room = RoomMaker(store, agents, options.space, now, conditions, compresses=compresses)

    def look() -> tuple[PrunePlan, dict[str, AgentHistory]]:
        history = read_history(Journal(store), now, options.limits.window_days)
        sizes = room.sizes() if room is not None else None
        return plan_store(store, agents, options, now, history, explain=explain, sizes=sizes), history

    return Task(look, before=room.compress if room is not None else None)


def carry_out(
    store: Store,
    task: Task,
    now: float,
    conditions: Conditions,
    *,
    dry_run: bool,
    backup: bool,
    confirm: Callable[[PruneReport], bool] | None,
    progress: Callable[[str], None],
    explain: bool,
    warn: Callable[[str], None],
) -> PruneReport:
    """Do, or in a dry run show, what ``prune`` is asked to. Raises AmlError."""
    journal = Journal(store)
    strangers = stranger_notes(store)

    def preview(notes: tuple[str, ...] = ()) -> PruneReport:
        report = build_report(task.look()[0], {}, run=None, dry_run=True, notes=notes)
        return structs.replace(report, plan_file=task.plan_file) if task.plan_file else report

    if dry_run:
        return preview((*clock_note(store, journal, now, conditions), *strangers))
    if confirm is not None:
        # asked before any lock is taken: nobody else shall wait for an answer
        shown = preview()
        if shown.total("removed") and not confirm(shown):
            return structs.replace(shown, notes=(NOT_CONFIRMED,))
    place = repository_folder(store, conditions)
    with hooked(conditions.prune_hooks, "prune", store=store.root, repository=place, warn=warn) as told:
        with changing(store, journal, "prune", now, conditions) as (locks, found):
            made = task.before(locks) if task.before is not None else ()
            plan, history = task.look()
            saved = _back_up_first(store, journal, now, conditions, progress) if backup and plan.removals else None
            notes = (*found, *strangers, *made, *(saved.notes if saved is not None else ()))
            report = _apply_prune(store, journal, task, plan, history, locks, conditions, notes, progress, explain)
        report = structs.replace(report, backup=None if saved is None else saved.id, plan_file=task.plan_file)
        told.ids |= {"run": str(report.run)} | ({"backup": saved.id} if saved is not None else {})
        told.counts |= {name: report.total(name) for name in ("records", "removed", "deferred")}
        told.status = report.status
    return report


def _back_up_first(
    store: Store, journal: Journal, now: float, conditions: Conditions, progress: Callable[[str], None]
) -> BackupReport:
    """Raises AmlError, and then nothing is removed."""
    # most runs are dry or find nothing to remove, and need none of this
    from aml.backup.options import PRE_PRUNE
    from aml.workflows.backup_first import back_up_first

    unchanged, otherwise = "the backup before the prune failed, so nothing was removed", "prune without it"
    return back_up_first(store, journal, PRE_PRUNE, now, conditions, progress, unchanged=unchanged, otherwise=otherwise)


def _apply_prune(
    store: Store,
    journal: Journal,
    task: Task,
    plan: PrunePlan,
    history: dict[str, AgentHistory],
    locks: FileLockNotes,
    conditions: Conditions,
    notes: tuple[str, ...],
    progress: Callable[[str], None],
    explain: bool,
) -> PruneReport:
    run = journal.begin("prune", plan.now, version=__version__, options=to_builtins(plan.options) | task.noted)
    run.files = _intended(run, plan)
    if run.files:
        journal.write(run)
    applied = PruneRun(run.id, plan.now, plan.options, explain, task.replans)
    with ended_in_any_case(store, journal, run):
        outcomes = apply_plan(store, plan, applied, history, locks, conditions.locks, progress)
        failed = any(outcome.status == ExitStatus.FAILED for outcome in outcomes.values())
        if failed:
            # a call that failed half-way may have succeeded: what is on disk tells
            settle(store, journal, run)
            found = {(file.agent, file.kind): file for file in run.files}
            outcomes = {key: outcome.settled(found[key]) for key, outcome in outcomes.items()}
        else:
            run.files = [
                outcomes[file.agent, file.kind].journal_entry(used_allowance=file.used_allowance) for file in run.files
            ]
        report = build_report(plan, outcomes, run=run.id, dry_run=False, notes=notes)
        run.counts = {
            name: report.total(name) for name in ("records", "kept", "removed", "deferred", "protected", "came_back")
        }
        journal.finish(run, settled_state(state_after(report.status, failed=failed), run))
    return report


def _intended(run: Run, plan: PrunePlan) -> list[RunFile]:
    """What a run means to touch, as the journal must know it before anything is touched."""
    return [
        RunFile(
            file.agent,
            file.kind,
            archive=archive_name(file.agent, file.kind, run.id),
            used_allowance=sum(len(one.removals) for one in agent.files) > agent.budget.run_limit,
        )
        for agent in plan.agents
        for file in agent.files
        if file.removals
    ]
