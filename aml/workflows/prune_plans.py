"""Prune plans in files: writing one for review, and applying one that was reviewed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from aml import __version__
from aml.config import PruneSettings, SpaceSettings
from aml.errors import ChangedError
from aml.ledger.history import AgentHistory, read_history
from aml.ledger.runs import Journal
from aml.prune.apply import plan_store
from aml.prune.options import SPACE, PruneOptions
from aml.prune.plan import PrunePlan
from aml.prune.plan_file import (
    ForSpace,
    PlanFile,
    check_plan_file,
    for_space,
    judge_by_file,
    plan_file_of,
    read_plan_file,
    refuse_place,
    with_missing,
    write_plan_file,
)
from aml.prune.report import PruneReport, build_report
from aml.store.open import Store
from aml.workflows.conditions import Conditions, clock_note
from aml.workflows.notes import stranger_notes
from aml.workflows.prune import Task, carry_out, prune_options, task_of

#: How often all is planned again where an agent writes meanwhile.
_ATTEMPTS = 3


def prune_plan(
    store: Store,
    path: Path,
    options: PruneOptions | None = None,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    explain: bool = True,
) -> PruneReport:
    """A dry run whose plan is written to ``path``, to be reviewed and applied with ``prune_apply``.

    Nothing else changes. Raises UsageError for a path inside the store, or where something else is; ChangedError where
    agents keep writing; and other AmlError.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    # what is applied is what stands in the file, and to compress does not
    task = task_of(store, options or PruneOptions(), moment, conditions, explain=explain, compresses=False)
    place = refuse_place(store, path)
    for _ in range(_ATTEMPTS):
        plan, _history = task.look()
        try:
            write_plan_file(place, plan_file_of(store, plan, __version__))
        except ChangedError:
            continue
        notes = (*clock_note(store, Journal(store), moment, conditions), *stranger_notes(store))
        report = build_report(plan, {}, run=None, dry_run=True, notes=notes)
        return structs.replace(report, plan_file=str(path), records=report.records if explain else ())
    raise ChangedError("the store keeps changing while it is planned", advice="run the command again")


def prune_apply(
    store: Store,
    path: Path,
    settings: PruneSettings | None = None,
    *,
    space: SpaceSettings | None = None,
    compress_plain: bool = False,
    max_loss: float | None = None,
    now: float | None = None,
    dry_run: bool = False,
    backup: bool = True,
    conditions: Conditions | None = None,
    confirm: Callable[[PruneReport], bool] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    explain: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> PruneReport:
    """Remove what stands in the plan at ``path``, minus what the settings and the loss budget hold back now.

    A file that changed since is left alone. Raises UsageError or DamagedError, and then nothing is done, where the plan
    was altered other than by deleting entries, or where a rule does not condemn a record any more; AmlError where it
    was made for another store. All else is as with ``prune``.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    plan, digest = read_plan_file(path)
    check_plan_file(path, plan, store)
    options = prune_options(
        settings or PruneSettings(),
        strategies=plan.options.strategies,
        agents=plan.options.agents,
        aggressive=plan.options.aggressive,
        max_loss=max_loss,
        space=space,
        compress_plain=compress_plain,
    )
    reviewed = _Reviewed(store, path, plan, options, moment, conditions, explain)
    task = Task(reviewed.look, noted={"plan": digest}, replans=False, plan_file=str(path))
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


class _Reviewed:
    """A plan from a file, held against what the store holds now."""

    def __init__(
        self,
        store: Store,
        path: Path,
        plan: PlanFile,
        options: PruneOptions,
        now: float,
        conditions: Conditions,
        explain: bool,
    ) -> None:
        self._store = store
        self._path = path
        self._plan = plan
        self._options = options
        self._now = now
        self._conditions = conditions
        self._explain = explain

    def look(self) -> tuple[PrunePlan, dict[str, AgentHistory]]:
        """Raises UsageError where the plan takes what no rule takes."""
        store, options = self._store, self._options
        history = read_history(Journal(store), self._now, options.limits.window_days)
        judge = judge_by_file(self._path, self._plan, self._wanted_for_space())
        named = {file.agent for file in self._plan.files if file.removals}
        agents = [agent for agent in store.agents() if agent in named]
        found = plan_store(store, agents, options, self._now, history, explain=self._explain, judge=judge)
        return with_missing(found, self._plan), history

    def _wanted_for_space(self) -> ForSpace:
        """What would go for space now; only where the plan takes something for it."""
        if not any(one.rule == SPACE for file in self._plan.files for one in file.removals):
            return {}
        plan, _ = task_of(self._store, self._options, self._now, self._conditions, explain=False).look()
        return for_space(plan)
