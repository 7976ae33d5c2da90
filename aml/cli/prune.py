"""``aml prune``: remove low-value records, look at earlier runs, put records back."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
from msgspec import Struct

from aml.cli.completion import complete_prune_run
from aml.cli.invocation import Invocation
from aml.cli.options import (
    GLOBAL_OPTIONS,
    Agents,
    Aggressive,
    DryRun,
    LockTimeout,
    MaxLoss,
    NeverAsks,
    Policy,
    Strategy,
    TrustClock,
    Yes,
    asked_of_prune,
    share_of,
)
from aml.cli.progress import shown_progress
from aml.cli.prune_explain import app as explaining
from aml.cli.prune_text import write_history, write_prune, write_undo
from aml.cli.text import count
from aml.errors import ExitStatus, UsageError
from aml.ledger.runs import Run
from aml.prune.options import PruneOptions
from aml.prune.report import PruneReport
from aml.store.open import Store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune
from aml.workflows.undo import prune_history, prune_undo

_EXAMPLES = """\b
Examples:
  aml prune --dry-run                     what would go, and why
  aml prune                               archive and remove it
  aml prune --agent backend-architect --strategy time
  aml prune --max-loss 100%               lift the loss budget
  aml prune --strategy space              make room where agents hold too much
  aml prune --plan plan.json              what would go, as a file for review
  aml prune --apply plan.json             remove what stands in that file
  aml prune explain ID                    why one record would go, or stays
  aml prune history                       earlier runs
  aml prune undo RUN                      put a run's records back
"""

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, invoke_without_command=True, epilog=_EXAMPLES + GLOBAL_OPTIONS
)


class History(Struct, frozen=True):
    """Earlier runs, the newest first."""

    runs: tuple[Run, ...]


_NoBackup = Annotated[
    bool, typer.Option("--no-backup", help="Do not back the store up first; records are archived all the same.")
]
_PlanFile = Annotated[
    str | None,
    typer.Option("--plan", metavar="FILE", help="Write what would go to this file, for review; change nothing else."),
]
_AppliedFile = Annotated[
    str | None, typer.Option("--apply", metavar="FILE", help="Remove what stands in this plan, and nothing else.")
]


@app.callback()
def prune_command(
    ctx: typer.Context,
    strategy: Strategy = None,
    agent: Agents = None,
    aggressive: Aggressive = False,
    policy: Policy = None,
    dry_run: DryRun = False,
    max_loss: MaxLoss = None,
    no_backup: _NoBackup = False,
    plan: _PlanFile = None,
    apply: _AppliedFile = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Remove records that are old, failed or never worked.

    What is removed is archived first, with the rule and the figures, and "aml prune undo" puts it back; the store is
    backed up before. A loss budget bounds what one run may remove from an agent. Records that are valuable, pinned or
    new always stay.
    """
    if ctx.invoked_subcommand is not None:
        return int(ExitStatus.DONE)
    invocation = Invocation.of(ctx)
    _refuse_contradictions(plan, apply, chooses=bool(strategy or agent or aggressive or policy))
    settings = invocation.settings
    share = share_of(max_loss)
    options = asked_of_prune(
        settings, strategy=strategy, agent=agent, aggressive=aggressive, policy=policy, max_loss=share
    )
    store = invocation.open_store()
    conditions = invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock)
    if plan is not None:
        return _write_plan(invocation, store, plan, options, conditions)
    do: Callable[..., PruneReport] = partial(prune, store, options)
    if apply is not None:
        from aml.workflows.prune_plans import prune_apply

        file = invocation.folder / apply
        plain = settings.compress.plain
        do = partial(
            prune_apply, store, file, settings.prune, space=settings.space, compress_plain=plain, max_loss=share
        )
    return _carry_out(
        invocation,
        partial(do, backup=settings.prune.backup and not no_backup, conditions=conditions),
        dry_run=dry_run,
        asks=invocation.is_interactive and not yes and not dry_run,
    )


def _carry_out(invocation: Invocation, do: Callable[..., PruneReport], *, dry_run: bool, asks: bool) -> int:
    """Do what was asked for, or show it, and tell what came of it; returns the exit status."""

    def confirm(preview: PruneReport) -> bool:
        write_prune(invocation, preview)
        return invocation.confirm(f"Remove {count(preview.total('removed'), 'record')}, archived first?")

    with shown_progress(invocation) as progress:
        report = do(
            now=invocation.now,
            dry_run=dry_run,
            confirm=confirm if asks else None,
            progress=progress,
            explain=invocation.json or invocation.verbose,
            warn=invocation.warn,
        )
    invocation.warn(*report.notes)
    if asks and report.run is None:
        return int(report.status)  # shown already, and not confirmed
    return invocation.answer(report, report.status, lambda: write_prune(invocation, report))


def _write_plan(invocation: Invocation, store: Store, plan: str, options: PruneOptions, conditions: Conditions) -> int:
    """A dry run, whose plan is put in a file; returns the exit status."""
    from aml.workflows.prune_plans import prune_plan

    file = invocation.folder / plan
    explain = invocation.json or invocation.verbose
    report = prune_plan(store, file, options, now=invocation.now, conditions=conditions, explain=explain)
    invocation.warn(*report.notes)

    def write() -> None:
        write_prune(invocation, report)
        if not invocation.quiet:
            told = "look it through, delete the entries of what shall stay, and remove the rest with"
            invocation.out.write(f"plan: {plan}; {told}: {invocation.spell('prune', '--apply', plan)}\n")

    return invocation.answer(report, report.status, write)


@app.command("history", epilog="\b\nExample:\n  aml prune history --verbose" + GLOBAL_OPTIONS)
def history_command(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many runs to show, the newest first.")] = 20,
) -> int:
    """Show what earlier runs removed and put back."""
    invocation = Invocation.of(ctx)
    runs = prune_history(invocation.open_store())[:limit]
    return invocation.answer(History(runs), ExitStatus.DONE, lambda: write_history(invocation, runs))


@app.command(
    "undo", epilog="\b\nExamples:\n  aml prune undo RUN --dry-run\n  aml prune undo RUN --id ID" + GLOBAL_OPTIONS
)
def undo_command(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of the run, or its beginning.", autocompletion=complete_prune_run)
    ],
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this record; may be repeated.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
    yes: NeverAsks = False,  # noqa: ARG001
    lock_timeout: LockTimeout = None,
) -> int:
    """Put the records and files that a run took away back where they stood, byte for byte."""
    invocation = Invocation.of(ctx)
    if not run:
        raise UsageError("the id of a run is empty", advice="aml prune history lists the runs")
    store = invocation.open_store()
    report = prune_undo(
        store,
        run,
        tuple(ids or ()),
        now=invocation.now,
        dry_run=dry_run,
        conditions=invocation.conditions(store, lock_timeout=lock_timeout),
    )
    invocation.warn(*report.notes)
    status = ExitStatus.DONE if dry_run else report.status
    return invocation.answer(report, status, lambda: write_undo(invocation, report))


def _refuse_contradictions(plan: str | None, apply: str | None, *, chooses: bool) -> None:
    if plan is not None and apply is not None:
        raise UsageError("--plan and --apply contradict each other", advice="write a plan, review it, then apply it")
    if apply is not None and chooses:
        raise UsageError(
            "--apply takes strategies, agents and thresholds from the plan",
            advice="leave out --strategy, --agent, --aggressive and --policy, or write another plan",
        )
    for name, value in (("--plan", plan), ("--apply", apply)):
        if value in ("", "-"):
            raise UsageError(f"{name} needs the name of a file", advice=f"such as {name} plan.json")


app.add_typer(explaining)
