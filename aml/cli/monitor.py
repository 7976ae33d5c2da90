"""``aml monitor``: know that memory is healthy without looking."""

import typer

from aml.cli.groups import MonitorGroup
from aml.cli.options import examples

app = typer.Typer(
    cls=MonitorGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=examples(
        "  aml monitor health               what is wrong, and how to mend it\n"
        "  aml monitor metrics              figures about the store\n"
        "  aml monitor alerts               what was found, and since when\n"
        "  aml monitor report --html report.html   all of it, for people\n"
        "  aml monitor watch                a live view"
    ),
)


@app.callback()
def monitor_command() -> None:
    """Know that memory is healthy without looking: checks, figures, alerts, a report for people."""
