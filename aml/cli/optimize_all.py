"""``aml optimize all``: every part of optimize, each reported."""

from functools import partial

import typer

from aml.cli.gc_text import ask_about, write_gc
from aml.cli.invocation import Invocation
from aml.cli.optimize_compress import write_compress
from aml.cli.optimize_index import write_index, write_warm
from aml.cli.options import Agents, DryRun, LockTimeout, MaxLoss, TrustClock, Yes, examples, share_of
from aml.cli.progress import shown_progress
from aml.optimize.compress_report import CompressReport
from aml.optimize.gc_report import GcReport
from aml.workflows.index import IndexReport
from aml.workflows.optimize import OptimizeReport, optimize

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("all", epilog=examples("  aml optimize all --dry-run\n  aml optimize all -q"))
def all_command(
    ctx: typer.Context,
    agent: Agents = None,
    dry_run: DryRun = False,
    max_loss: MaxLoss = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Collect garbage, compress what is old, bring the index up to date and write the hot set.

    Each part is a run of its own and reports for itself; where one fails, the others run all the same. Only agents that
    have gzip files already get more of them, unless compress.plain says otherwise.
    """
    invocation = Invocation.of(ctx)
    store = invocation.open_store()

    with shown_progress(invocation) as progress:
        report = optimize(
            store,
            invocation.settings,
            agents=tuple(agent or ()),
            max_loss=share_of(max_loss),
            now=invocation.now,
            dry_run=dry_run,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            confirm=partial(ask_about, invocation) if invocation.is_interactive and not yes and not dry_run else None,
            progress=progress,
            user_cache=invocation.user_cache,
        )
    notes = dict.fromkeys(note for part in report.parts if part.report for note in part.report.notes)
    told = () if invocation.json else _told_by_gc(report)
    invocation.warn(*(note for note in notes if not any(one.startswith(note) for one in told)))
    return invocation.answer(report, report.status, lambda: _write(invocation, report))


def _told_by_gc(report: OptimizeReport) -> list[str]:
    """What the index too would say of files, and what mends each, which the index does not say."""
    files = (file for part in report.parts if isinstance(part.report, GcReport) for file in part.report.files)
    return [f"left out: {file.agent}/{file.kind}: {file.problem}" for file in files if file.problem]


def _write(invocation: Invocation, report: OptimizeReport) -> None:
    for part in report.parts:
        if isinstance(part.report, GcReport):
            if part.report.run or report.dry_run:  # else it was shown already, and not confirmed
                write_gc(invocation, part.report)
        elif isinstance(part.report, CompressReport):
            write_compress(invocation, part.report)
        elif isinstance(part.report, IndexReport):
            write_index(invocation, part.report)
        elif part.report is not None:
            write_warm(invocation, part.report)
        else:
            invocation.note(f"{part.name}: {part.error}", *([part.advice] if part.advice else []))
