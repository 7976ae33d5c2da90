"""Prune: plan, confirmation, backup, apply, journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import structs, to_builtins

from aml import __version__
from aml.config import PruneSettings
from aml.errors import AmlError, ExitStatus
from aml.hooks import hooked
from aml.ledger.budget import Limits
from aml.ledger.history import AgentHistory, read_history
from aml.ledger.recovery import settle, settled_state
from aml.ledger.runs import Journal, Run, RunFile, archive_name, state_after
from aml.ledger.state import FileLockNotes
from aml.prune.apply import PruneRun, apply_plan, plan_store
from aml.prune.options import STRATEGIES, Protection, PruneOptions, Thresholds
from aml.prune.plan import PrunePlan
from aml.prune.report import PruneReport, build_report
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.conditions import Conditions, changing, doubt_about, repository_folder

if TYPE_CHECKING:
    from aml.backup.create import BackupReport


def prune_options(
    settings: PruneSettings,
    *,
    strategies: tuple[str, ...] = (),
    agents: tuple[str, ...] = (),
    aggressive: bool = False,
    max_loss: float | None = None,
) -> PruneOptions:
    """Options from settings and what was asked for by hand. Raises UsageError for an unknown strategy.

    ``max_loss`` (0 to 1) is meant to the letter: with it, a small agent gets no allowance beyond it.
    """
    chosen = choose(strategies or settings.strategies, STRATEGIES, "strategy")
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
        limits=Limits(
            run_share=settings.max_loss if max_loss is None else max_loss,
            window_share=settings.max_window_loss,
            window_days=settings.window_days,
            allowance=settings.small_agent_allowance if max_loss is None else 0,
        ),
    )


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
    agents = store.choose_agents(options.agents)
    journal = Journal(store)
    strangers = tuple(
        f"left alone: the folder {name}, whose name is not UTF-8, or not in this locale" for name in store.strangers()
    )

    def look() -> tuple[PrunePlan, dict[str, AgentHistory]]:
        history = read_history(journal, moment, options.limits.window_days)
        return plan_store(store, agents, options, moment, history, explain=explain), history

    if dry_run:
        doubt = doubt_about(store, journal, moment, conditions)
        doubted = doubt is not None and not conditions.trust_clock
        notes: tuple[str, ...] = (f"{doubt}: a real run would refuse without --trust-clock",) if doubted else ()
        return build_report(look()[0], {}, run=None, dry_run=True, notes=(*notes, *strangers))
    if confirm is not None:
        # asked before any lock is taken: nobody else shall wait for an answer
        preview = build_report(look()[0], {}, run=None, dry_run=True)
        if preview.total("removed") and not confirm(preview):
            return structs.replace(preview, notes=("nothing was changed: not confirmed",))
    place = repository_folder(store, conditions)
    with hooked(conditions.prune_hooks, "prune", store=store.root, repository=place, warn=warn) as told:
        with changing(store, journal, "prune", moment, conditions) as (locks, found):
            plan, history = look()
            saved = _back_up_first(store, journal, moment, conditions, progress) if backup and plan.removals else None
            notes = (*found, *strangers, *(saved.notes if saved is not None else ()))
            report = _apply_prune(store, journal, plan, history, locks, conditions, notes, progress, explain)
        report = structs.replace(report, backup=None if saved is None else saved.id)
        told.ids |= {"run": str(report.run)} | ({"backup": saved.id} if saved is not None else {})
        told.counts |= {name: report.total(name) for name in ("records", "removed", "deferred")}
        told.status = report.status
    return report


def _back_up_first(
    store: Store, journal: Journal, now: float, conditions: Conditions, progress: Callable[[str], None]
) -> BackupReport:
    """Raises AmlError, and then nothing is removed."""
    # most runs are dry or find nothing to remove, and need none of this
    from aml.backup.options import PRE_PRUNE, BackupOptions
    from aml.workflows.backup import back_up

    options = BackupOptions(tags=(PRE_PRUNE,), compression=conditions.compression)
    try:
        return back_up(store, journal, options, now, conditions, progress)
    except AmlError as error:
        raise type(error)(
            f"the backup before the prune failed, so nothing was removed: {error.message}",
            advice="; ".join([*([error.advice] if error.advice else []), "or prune without it: --no-backup"]),
        ) from error


def _apply_prune(
    store: Store,
    journal: Journal,
    plan: PrunePlan,
    history: dict[str, AgentHistory],
    locks: FileLockNotes,
    conditions: Conditions,
    notes: tuple[str, ...],
    progress: Callable[[str], None],
    explain: bool,
) -> PruneReport:
    run = journal.begin("prune", plan.now, version=__version__, options=to_builtins(plan.options))
    run.files = _intended(run, plan)
    if run.files:
        journal.write(run)
    applied = PruneRun(run.id, plan.now, plan.options, explain)
    try:
        outcomes = apply_plan(store, plan, applied, history, locks, conditions.locks, progress)
    except BaseException as error:
        settle(store, journal, run)
        state = "failed" if isinstance(error, AmlError) else "interrupted"
        journal.finish(run, settled_state(state, run))
        raise
    report = build_report(plan, outcomes, run=run.id, dry_run=False, notes=notes)
    if any(outcome.status == ExitStatus.FAILED for outcome in outcomes.values()):
        # a call that failed half-way may have succeeded: what is on disk tells
        settle(store, journal, run)
        found = {(file.agent, file.kind): file for file in run.files}
        outcomes = {key: outcome.settled(found[key]) for key, outcome in outcomes.items()}
        report = build_report(plan, outcomes, run=run.id, dry_run=False, notes=notes)
    else:
        run.files = [
            outcomes[file.agent, file.kind].journal_entry(used_allowance=file.used_allowance) for file in run.files
        ]
    run.counts = {
        name: report.total(name) for name in ("records", "kept", "removed", "deferred", "protected", "came_back")
    }
    journal.finish(run, settled_state(state_after(report.status), run))
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
