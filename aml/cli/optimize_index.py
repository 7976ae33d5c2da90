"""``aml optimize index`` and ``warm-cache``: what queries and loaders need, made ahead."""

from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import DryRun, NeverAsks, examples
from aml.cli.text import count, size
from aml.errors import ExitStatus
from aml.workflows.index import IndexReport, WarmReport, optimize_index, warm_cache

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("index", epilog=examples("  aml optimize index\n  aml optimize index --rebuild"))
def index_command(
    ctx: typer.Context,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Read every file, whatever is known of it.")] = False,
    dry_run: DryRun = False,
    yes: NeverAsks = False,  # noqa: ARG001
) -> int:
    """Bring the index up to date: read the files that changed.

    Every query does that too, so this only saves the first one its time. The store is not changed.
    """
    invocation = Invocation.of(ctx)
    report = optimize_index(invocation.open_store(), rebuild=rebuild, dry_run=dry_run, user_cache=invocation.user_cache)
    invocation.warn(*report.notes)
    return invocation.answer(report, report.status, lambda: write_index(invocation, report))


@app.command("warm-cache", epilog=examples("  aml optimize warm-cache\n  aml optimize warm-cache --dry-run"))
def warm_command(
    ctx: typer.Context,
    dry_run: DryRun = False,
    yes: NeverAsks = False,  # noqa: ARG001
) -> int:
    """Write the hot set: the records of highest value, with which a loader begins.

    It fills 80% of the cache (cache.size_mb). The store is not changed.
    """
    invocation = Invocation.of(ctx)
    report = warm_cache(
        invocation.open_store(),
        cache_bytes=int(invocation.settings.cache.size_mb * (1 << 20)),
        dry_run=dry_run,
        user_cache=invocation.user_cache,
    )
    invocation.warn(*report.notes)
    return invocation.answer(report, report.status, lambda: write_warm(invocation, report))


def write_index(invocation: Invocation, report: IndexReport) -> None:
    if invocation.quiet and report.status is ExitStatus.DONE:
        return
    would = "would read" if report.dry_run else "read"
    what = "from nothing" if report.rebuilt else f"{count(report.files_gone, 'file')} gone"
    invocation.out.write(
        f"index: {would} {count(report.files_read, 'file')}, {what}; "
        f"{count(report.records, 'record')} in {count(report.files, 'file')}\n"
    )


def write_warm(invocation: Invocation, report: WarmReport) -> None:
    if invocation.quiet and report.status is ExitStatus.DONE:
        return
    would = "would keep" if report.dry_run else "kept"
    lowest = "" if report.lowest_value is None else f", of value {report.lowest_value:.2f} and more"
    invocation.out.write(f"warm-cache: {would} {count(report.records, 'record')}, {size(report.bytes)}{lowest}\n")
