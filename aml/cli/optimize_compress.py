"""``aml optimize compress``: record files as gzip under their own names, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import Agents, DryRun, LockTimeout, NeverAsks, TrustClock, examples
from aml.cli.progress import shown_progress
from aml.cli.text import count, left_alone, size, sizes, write_table
from aml.errors import ExitStatus
from aml.optimize.compress_report import CompressReport
from aml.workflows.compress import compress, compress_options

#: So many agents are named in a note, and the others counted.
_NAMED = 5

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "compress",
    epilog=examples(
        "  aml optimize compress --dry-run\n  aml optimize compress --age-days 90\n"
        "  aml optimize compress --agent backend-architect --decompress"
    ),
)
def compress_command(
    ctx: typer.Context,
    agent: Agents = None,
    age_days: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            min=0,
            max=36_500,
            help="Only files not modified for so long, 0: all. Default: compress.age_days; with --decompress: all.",
            show_default=False,
        ),
    ] = None,
    decompress: Annotated[
        bool, typer.Option("--decompress", help="Turn gzip files back into plain text, whatever their age.")
    ] = False,
    dry_run: DryRun = False,
    yes: NeverAsks = False,  # noqa: ARG001
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Compress record files that nobody has changed for long, in place.

    A file keeps its name, text, mode, owner and modification time. The agents' runtime reads gzip by its first bytes;
    a person or a language model that edits the files does not.
    """
    invocation = Invocation.of(ctx)
    settings = invocation.settings
    # asked by name, which is to be told where it is new to an agent
    options = compress_options(
        settings.compress, agents=tuple(agent or ()), age_days=age_days, decompress=decompress, plain=True
    )
    store = invocation.open_store()
    with shown_progress(invocation) as progress:
        report = compress(
            store,
            options,
            now=invocation.now,
            dry_run=dry_run,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            progress=progress,
        )
    invocation.warn(*report.notes)
    if report.first_gzip and not settings.compress.plain:
        _tell_first_gzip(invocation, report)
    return invocation.answer(report, report.status, lambda: write_compress(invocation, report))


def _tell_first_gzip(invocation: Invocation, report: CompressReport) -> None:
    names = ", ".join(report.first_gzip[:_NAMED])
    more = len(report.first_gzip) - _NAMED
    got = "would get" if report.dry_run else "got"
    whose = "its" if len(report.first_gzip) == 1 else "their"
    told = (
        f"{names}{f' and {more} more' if more > 0 else ''} {got} {whose} first gzip files: the agents' runtime reads "
        "them, a person or a language model that edits them does not"
    )
    invocation.remind(told, f"{invocation.spell('optimize', 'compress', '--decompress')} turns them back")


def write_compress(invocation: Invocation, report: CompressReport) -> None:
    """A table for a dry run and on a terminal, one line for a log; nothing where all went well and quiet is wanted."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.dry_run or invocation.verbose or invocation.out.isatty():
            _write_table(invocation, report)
        invocation.out.write(_summary(report) + "\n")
    for file in report.problems:
        invocation.note(left_alone(f"{file.agent}/{file.file}", file.problem or ""))


def _write_table(invocation: Invocation, report: CompressReport) -> None:
    shown = report.files if invocation.verbose else [file for file in report.files if file.fate != "kept"]
    rows = [
        [
            file.agent,
            file.file,
            file.fate if file.reason is None else f"{file.fate}: {file.reason.replace('_', ' ')}",
            size(file.bytes_before),
            size(file.bytes_after),
            _smaller(file.bytes_before, file.bytes_after),
        ]
        for file in shown
    ]
    if rows:
        headers = ["agent", "file", "would be" if report.dry_run else "", "before", "after", "smaller"]
        write_table(
            invocation.out, headers, rows, numeric=[False, False, False, True, True, True], color=invocation.color
        )
        invocation.out.write("\n")


def _summary(report: CompressReport) -> str:
    counts = report.counts()
    fate = "decompressed" if report.decompress else "compressed"
    verb = f"would be {fate}" if report.dry_run else fate
    parts = [f"compress: {verb}: {counts[fate]:,} of {count(counts['files'], 'file')}"]
    if report.changed:
        before, after = counts["bytes_before"], counts["bytes_after"]
        smaller = _smaller(before, after)
        parts.append(f"{sizes(before, after)}{f' ({smaller} smaller)' if smaller else ''}")
    if counts["left"]:
        parts.append(f"{counts['left']:,} left alone")
    return "; ".join(parts)


def _smaller(before: int, after: int) -> str:
    return f"{1 - after / before:.0%}" if after < before else ""
