"""``aml monitor report``: all that is known of a store, for people."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from msgspec import Struct

from aml.cli.health_text import ShownHealth, health_document
from aml.cli.invocation import Invocation
from aml.cli.options import examples, take_format
from aml.cli.text import printable
from aml.errors import ExitStatus, UsageError
from aml.monitor.alerts import Alert
from aml.monitor.metrics import Metrics
from aml.monitor.removals import Removal
from aml.monitor.report.data import BackupPoint, Overall, ReportData, SizePoint
from aml.store.open import Store
from aml.workflows.conditions import Conditions
from aml.workflows.report import make_report, write_report


class ShownReport(Struct, frozen=True):
    """The report as JSON shows it."""

    store: str
    time: str
    version: str
    overall: Overall
    health: ShownHealth
    metrics: Metrics
    history: tuple[SizePoint, ...]
    removals: tuple[Removal, ...]
    alerts: tuple[Alert, ...]
    backups: tuple[BackupPoint, ...]
    notes: tuple[str, ...]


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "report",
    epilog=examples(
        "  aml monitor report\n"
        "  aml monitor report --html report.html\n"
        '  aml monitor report --format markdown >>"$GITHUB_STEP_SUMMARY"\n'
        "  aml monitor report | mail -s 'memory of agents' team@example.org"
    ),
)
def report_command(
    ctx: typer.Context,
    format: Annotated[
        Literal["text", "json", "markdown"] | None,
        typer.Option(help="Plain text of 80 columns, JSON (as --json) or Markdown. Default: text.", show_default=False),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the report as one HTML file, with plots; it needs no network."),
    ] = None,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Write nothing beside the store: no sample for the history, no index.")
    ] = False,
) -> int:
    """A report of all that is known of the store: its health, what it holds, how it grew, what was removed and why.

    What has to be mended comes first, with the command that mends it. The exit status is 0 however the store is: aml
    monitor health tells that.
    """
    invocation = Invocation.of(ctx)
    take_format(invocation, format)
    if html is not None and format not in (None, "json"):
        raise UsageError(f"--html and --format {format} contradict each other", advice="say one of them")
    if html in ("", "-"):
        raise UsageError("--html needs the name of a file", advice="such as --html report.html")
    store = invocation.open_store()
    conditions = invocation.look_into(store)
    report = make_report(
        store,
        now=invocation.now,
        conditions=conditions,
        settings=invocation.settings,
        record=not no_record,
        user_cache=invocation.user_cache,
    )
    if html is not None:
        _write_page(invocation, store, conditions, report, html)
    return invocation.answer(
        _shown(report) if invocation.json else None,
        ExitStatus.DONE,
        lambda: _write(invocation, report, markdown=format == "markdown", html=html),
    )


def _shown(report: ReportData) -> ShownReport:
    """The report with levels by their words."""
    found = {name: getattr(report, name) for name in ReportData.__struct_fields__}
    return ShownReport(**found | {"health": health_document(report.health)})


def _write_page(invocation: Invocation, store: Store, conditions: Conditions, report: ReportData, html: str) -> None:
    from aml.monitor.report.page import html_report

    page, settings_file = html_report(report), invocation.settings_path()
    write_report(store, invocation.folder / html, page, conditions, settings_file=settings_file)


def _write(invocation: Invocation, report: ReportData, *, markdown: bool, html: str | None) -> None:
    if html is not None:
        if not invocation.quiet:
            invocation.out.write(f"report: written to {printable(html)}\n")
    elif markdown:
        from aml.monitor.report.markdown import markdown_report

        invocation.out.write(markdown_report(report))
    else:
        from aml.monitor.report.text import text_report

        invocation.out.write(text_report(report))
