"""Garbage collection: plan, confirmation, apply, journal."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import structs, to_builtins

from aml import __version__
from aml.config import Settings
from aml.errors import ExitStatus
from aml.ledger.history import AgentHistory, read_history
from aml.ledger.recovery import ended_in_any_case, settle, settled_state
from aml.ledger.runs import Journal, Run, RunFile, archive_name, state_after
from aml.optimize.garbage import Pins
from aml.optimize.gc_apply import FileOutcome, GcRun, LeftoverOutcome, apply_plan, plan_store
from aml.optimize.gc_plan import GcOptions, GcPlan
from aml.optimize.gc_report import GcReport, build_report
from aml.optimize.leftovers import UNFINISHED_WRITE
from aml.store.open import Store
from aml.workflows.conditions import Conditions, changing, clock_note, limits_of
from aml.workflows.notes import NOT_CONFIRMED, stranger_notes


def gc_options(
    settings: Settings, *, agents: tuple[str, ...] = (), salvage: bool = False, max_loss: float | None = None
) -> GcOptions:
    """Options from settings and what was asked for by hand. ``max_loss`` (0 to 1) is meant to the letter."""
    prune = settings.prune
    return GcOptions(
        agents=agents,
        salvage=salvage,
        temporary_days=settings.gc.temporary_days,
        pins=Pins(prune.pinned_ids, frozenset(tag.casefold() for tag in prune.pinned_tags)),
        limits=limits_of(prune, max_loss),
    )


def collect_garbage(
    store: Store,
    options: GcOptions | None = None,
    *,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
    confirm: Callable[[GcReport], bool] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> GcReport:
    """Remove what no agent can use; each record is archived and each file quarantined first, for ``prune_undo``.

    ``now`` in seconds since 1970 UTC. ``confirm`` sees what a dry run would report and may say no.
    Raises AmlError; what befalls single files is in the report.
    """
    options = options or GcOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    agents = store.choose_agents(options.agents)
    journal = Journal(store)
    strangers = stranger_notes(store)

    def look() -> tuple[GcPlan, dict[str, AgentHistory]]:
        history = read_history(journal, moment, options.limits.window_days)
        return plan_store(store, agents, options, moment, history), history

    if dry_run:
        notes = (*clock_note(store, journal, moment, conditions), *strangers)
        return build_report(look()[0], {}, (), run=None, dry_run=True, notes=notes)
    if confirm is not None:
        # asked before any lock is taken: nobody else shall wait for an answer
        preview = build_report(look()[0], {}, (), run=None, dry_run=True)
        if preview.changes and not confirm(preview):
            return structs.replace(preview, notes=(f"gc: {NOT_CONFIRMED}",))
    with changing(store, journal, "gc", moment, conditions) as (locks, found):
        plan, history = look()
        run = journal.begin("gc", moment, version=__version__, options=to_builtins(options))
        applied = GcRun(run.id, moment, options, locks, conditions.locks)
        run.files, run.quarantined = _intended(plan, run.id)
        if run.files or run.quarantined:
            journal.write(run)
        with ended_in_any_case(store, journal, run):
            outcomes, cleared = apply_plan(store, plan, applied, history, progress)
            outcomes = _journal(store, journal, run, outcomes, cleared)
            report = build_report(plan, outcomes, cleared, run=run.id, dry_run=False, notes=(*found, *strangers))
            run.counts = {"records": report.total("records"), "removed": report.total("removed"), **report.counts}
            journal.finish(run, settled_state(state_after(report.status, failed=_has_failed(outcomes, cleared)), run))
    return report


def _intended(plan: GcPlan, run: str) -> tuple[list[RunFile], list[str]]:
    """What a run means to touch, as the journal must know it before anything is touched."""
    files, quarantined = [], []
    for agent in plan.agents:
        used_allowance = agent.losses > agent.budget.run_limit
        for file in agent.files:
            if file.touches:
                archive = archive_name(file.agent, file.kind, run)
                files.append(RunFile(file.agent, file.kind, archive=archive, used_allowance=used_allowance))
            if file.steps:
                quarantined += [f"{file.agent}/{file.kind}.json", *(step.path for step in file.steps)]
    quarantined += [one.path for one in plan.leftovers if one.what == UNFINISHED_WRITE]
    return files, list(dict.fromkeys(quarantined))


def _journal(
    store: Store,
    journal: Journal,
    run: Run,
    outcomes: dict[tuple[str, str], FileOutcome],
    cleared: list[LeftoverOutcome],
) -> dict[tuple[str, str], FileOutcome]:
    """Have the run name what it did; the outcomes come back as they are found on disk where that is in doubt."""
    if _has_failed(outcomes, cleared):
        # a call that failed half-way may have succeeded
        settle(store, journal, run)
        files = {(file.agent, file.kind): file for file in run.files}
        return {key: one.settled(files[key], run.quarantined) for key, one in outcomes.items()}
    run.files = [
        outcomes[file.agent, file.kind].journal_entry(used_allowance=file.used_allowance) for file in run.files
    ]
    run.quarantined = [path for one in outcomes.values() for path in one.quarantined]
    run.quarantined += [one.leftover.path for one in cleared if one.removed and one.leftover.what == UNFINISHED_WRITE]
    return outcomes


def _has_failed(outcomes: dict[tuple[str, str], FileOutcome], cleared: list[LeftoverOutcome]) -> bool:
    return ExitStatus.FAILED in {one.status for one in outcomes.values()} | {one.status for one in cleared}
