"""``aml monitor``: know that memory is healthy without looking."""

import typer

from aml.cli.groups import MonitorGroup
from aml.cli.options import examples

app = typer.Typer(
    cls=MonitorGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=examples("  aml monitor alerts                  what is wrong, and since when"),
)


@app.callback()
def monitor_command() -> None:
    """Know that memory is healthy without looking: figures, checks, alerts."""
