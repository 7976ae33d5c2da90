"""``aml optimize gc``: take away what no agent can use."""

from functools import partial
from typing import Annotated

import typer

from aml.cli.gc_text import ask_about, write_gc
from aml.cli.invocation import Invocation
from aml.cli.options import Agents, DryRun, LockTimeout, MaxLoss, TrustClock, Yes, examples, share_of
from aml.cli.progress import shown_progress
from aml.workflows.gc import collect_garbage, gc_options

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "gc",
    epilog=examples(
        "  aml optimize gc --dry-run\n"
        "  aml optimize gc --agent backend-architect\n"
        "  aml optimize gc --salvage --dry-run     what could be read of damaged files\n"
        "  aml prune undo RUN                      put everything back"
    ),
)
def gc_command(
    ctx: typer.Context,
    agent: Agents = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Replace a damaged file by the records that can be read of it.")
    ] = False,
    dry_run: DryRun = False,
    max_loss: MaxLoss = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Take away nulls, older versions of an id, records without id, agent or time, empty files, old unfinished writes.

    A compressed copy beside a record file is merged into it. Every record is archived and every file put in quarantine
    first, and "aml prune undo" brings all of it back. Damaged files are told and kept unless --salvage is
    given; records that differ in nothing but their id, and stale locks, are only told.
    """
    invocation = Invocation.of(ctx)
    options = gc_options(invocation.settings, agents=tuple(agent or ()), salvage=salvage, max_loss=share_of(max_loss))

    asks = invocation.is_interactive and not yes and not dry_run
    store = invocation.open_store()
    with shown_progress(invocation) as progress:
        report = collect_garbage(
            store,
            options,
            now=invocation.now,
            dry_run=dry_run,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            confirm=partial(ask_about, invocation) if asks else None,
            progress=progress,
        )
    invocation.warn(*report.notes)
    if asks and report.run is None:
        return int(report.status)  # shown already, and not confirmed
    return invocation.answer(report, report.status, lambda: write_gc(invocation, report))
