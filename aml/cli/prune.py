"""``aml prune``: remove low-value records, look at earlier runs, put records back."""

from typing import Annotated

import typer

from aml.cli.completion import complete_prune_run
from aml.cli.invocation import Invocation
from aml.cli.options import GLOBAL_OPTIONS, Agents, DryRun, LockTimeout, MaxLoss, TrustClock, Yes, share_of
from aml.cli.progress import shown_progress
from aml.cli.prune_text import write_history, write_prune, write_undo
from aml.cli.text import count
from aml.errors import ExitStatus, UsageError
from aml.prune.options import STRATEGIES
from aml.prune.report import PruneReport
from aml.workflows.prune import prune, prune_options
from aml.workflows.undo import prune_history, prune_undo

_EXAMPLES = """\b
Examples:
  aml prune --dry-run                     what would go, and why
  aml prune                               archive and remove it
  aml prune --agent backend-architect --strategy time
  aml prune --max-loss 100%               lift the loss budget
  aml prune history                       earlier runs
  aml prune undo RUN                      put a run's records back
"""

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, invoke_without_command=True, epilog=_EXAMPLES + GLOBAL_OPTIONS
)


@app.callback()
def prune_command(
    ctx: typer.Context,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"{' or '.join(STRATEGIES)}; may be repeated. Default: both.", show_default=False
        ),
    ] = None,
    agent: Agents = None,
    aggressive: Annotated[bool, typer.Option("--aggressive", help="Judge by the stricter thresholds.")] = False,
    dry_run: DryRun = False,
    max_loss: MaxLoss = None,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="Do not back the store up first; records are archived all the same.")
    ] = False,
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
    settings = invocation.settings
    options = prune_options(
        settings.prune,
        strategies=_strategies(strategy),
        agents=tuple(agent or ()),
        aggressive=aggressive,
        max_loss=share_of(max_loss),
    )

    def confirm(preview: PruneReport) -> bool:
        write_prune(invocation, preview)
        return typer.confirm(f"Remove {count(preview.total('removed'), 'record')}, archived first?", err=True)

    asks = invocation.is_interactive and not yes and not dry_run
    store = invocation.open_store()
    with shown_progress(invocation) as progress:
        report = prune(
            store,
            options,
            now=invocation.now,
            dry_run=dry_run,
            backup=settings.prune.backup and not no_backup,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            confirm=confirm if asks else None,
            progress=progress,
            explain=invocation.json or invocation.verbose,
            warn=invocation.warn,
        )
    for note in report.notes:
        invocation.warn(note)
    if asks and report.run is None:
        return int(report.status)  # shown already, and not confirmed
    return invocation.answer(report, report.status, lambda: write_prune(invocation, report))


@app.command("history", epilog="\b\nExample:\n  aml prune history --verbose" + GLOBAL_OPTIONS)
def history_command(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many runs to show, the newest first.")] = 20,
) -> int:
    """Show what earlier runs removed and put back."""
    invocation = Invocation.of(ctx)
    runs = prune_history(invocation.open_store())[:limit]
    return invocation.answer({"runs": runs}, ExitStatus.DONE, lambda: write_history(invocation, runs))


@app.command(
    "undo", epilog="\b\nExamples:\n  aml prune undo RUN --dry-run\n  aml prune undo RUN --id ID" + GLOBAL_OPTIONS
)
def undo_command(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of the run, or its beginning.", autocompletion=complete_prune_run)],
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this record; may be repeated.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001  (undo removes nothing, so it never asks; scripts may say it to every command)
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
    status = ExitStatus.DONE if dry_run else report.status
    return invocation.answer(report, status, lambda: write_undo(invocation, report))


def _strategies(named: list[str] | None) -> tuple[str, ...]:
    """The names as they are now; older scripts say ``time_based`` and ``performance_based``."""
    return tuple(name.removesuffix("_based") for name in named or ())
