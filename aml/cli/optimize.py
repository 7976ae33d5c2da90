"""``aml optimize``: make a store smaller and faster, and lose nothing by it."""

import typer

from aml.cli import optimize_all, optimize_compress, optimize_gc, optimize_index
from aml.cli.options import examples

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make a store smaller and faster: collect garbage, compress old files, index.",
    epilog=examples(
        "  aml optimize gc --dry-run           what no agent can use\n"
        "  aml optimize compress --dry-run     what could be smaller\n"
        "  aml optimize all                    both, for cron"
    ),
)
app.add_typer(optimize_gc.app)
app.add_typer(optimize_compress.app)
app.add_typer(optimize_all.app)
app.add_typer(optimize_index.app)
