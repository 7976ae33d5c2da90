"""``aml monitor metrics``: figures about a store, for people, programs and Prometheus."""

from __future__ import annotations

from io import StringIO
from typing import Annotated, Literal

import typer

from aml import __version__
from aml.cli.invocation import Invocation
from aml.cli.metrics_text import write_metrics
from aml.cli.options import examples, take_format
from aml.cli.text import printable
from aml.errors import UsageError
from aml.workflows.metrics import MetricsReport, collect_metrics, write_for_others

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "metrics",
    epilog=examples(
        "  aml monitor metrics\n"
        "  aml monitor metrics --format prometheus --output /var/lib/node_exporter/aml.prom -q\n"
        "  aml monitor metrics --no-record --json      in a checkout that nobody may write to"
    ),
)
def metrics_command(
    ctx: typer.Context,
    format: Annotated[
        Literal["text", "json", "prometheus"] | None,
        typer.Option(help="For people, programs (as --json) or Prometheus. Default: text.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the answer there, in one step, instead of to standard output."),
    ] = None,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Write nothing: no sample for the history, no index.")
    ] = False,
) -> int:
    """Figures about the store: what it holds and takes, how old and how valuable it is, how it grows, what AML did.

    A sample of the figures is kept beside the store, from which growth is told. Record files that cannot be read are
    named, and the exit status is 3.
    """
    invocation = Invocation.of(ctx)
    take_format(invocation, format)
    if output == "":
        raise UsageError("--output is empty", advice="name a file, or leave the option out")
    store = invocation.open_store()
    conditions = invocation.look_into(store)
    report = collect_metrics(
        store, now=invocation.now, conditions=conditions, record=not no_record, user_cache=invocation.user_cache
    )
    invocation.warn(*report.notes)
    if output is None:
        return _answer(invocation, report, prometheus=format == "prometheus")
    wanted, invocation.out = invocation.out, StringIO()
    try:
        status = _answer(invocation, report, prometheus=format == "prometheus")
        data = invocation.out.getvalue().encode(errors="backslashreplace")
    finally:
        invocation.out = wanted
    path, settings_file = invocation.folder / output, invocation.settings_path()
    write_for_others(store, path, data, conditions, settings_file=settings_file)
    if not (invocation.quiet or invocation.json):
        invocation.out.write(f"metrics: written to {printable(output)}\n")
    return status


def _answer(invocation: Invocation, report: MetricsReport, *, prometheus: bool) -> int:
    write = _write_exposition if prometheus else write_metrics
    return invocation.answer(report, report.status, lambda: write(invocation, report))


def _write_exposition(invocation: Invocation, report: MetricsReport) -> None:
    from aml.monitor.prometheus import exposition

    text = exposition(report.metrics, __version__)
    if invocation.out.isatty():
        # a collector gets each name as it is, and a terminal nothing that it would obey
        text = "\n".join(map(printable, text.split("\n")))
    invocation.out.write(text)
