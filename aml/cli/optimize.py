"""``aml optimize``: make a store smaller and faster, and lose nothing by it."""

import typer

from aml.cli.groups import OptimizeGroup
from aml.cli.options import examples

app = typer.Typer(
    cls=OptimizeGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=examples(
        "  aml optimize gc --dry-run           what no agent can use\n"
        "  aml optimize compress --dry-run     what could be smaller\n"
        "  aml optimize index                  so that the next query need not\n"
        "  aml optimize all                    all of it, for cron"
    ),
)


@app.callback()
def optimize_command() -> None:
    """Make a store smaller and faster: collect garbage, compress old files, index it."""
