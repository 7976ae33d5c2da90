"""``aml show``: one record."""

from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import Agents, Kinds, examples
from aml.cli.query_text import record_document, write_raw, write_record
from aml.errors import ExitStatus, UsageError
from aml.index.query import Query
from aml.workflows.index import show_record

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "  aml show ID\n  aml show ID --agent backend-architect --kind pattern\n  aml show ID --raw > one.json"
    )
)
def show_command(
    ctx: typer.Context,
    ident: Annotated[str, typer.Argument(metavar="ID", help="The record's id, or the beginning of it.")],
    agent: Agents = None,
    kind: Kinds = None,
    raw: Annotated[bool, typer.Option("--raw", help="The record's own bytes, and nothing else.")] = False,
) -> int:
    """Print one record, as it is in the store now.

    The same id in several agents or kinds is that of several records; --agent and --kind say which. Of several
    versions in one file it is the newest.
    """
    invocation = Invocation.of(ctx)
    if raw and invocation.json:
        raise UsageError("--raw and --json contradict each other", advice="say one of them")
    if not ident:
        raise UsageError("the id of a record is empty", advice="aml query finds records")
    where = Query(agents=tuple(agent or ()), kinds=tuple(kind or ()))
    report = show_record(invocation.open_store(), ident, where, user_cache=invocation.user_cache)
    invocation.warn(*report.notes)
    data = record_document(report) if invocation.json else None
    write = write_raw if raw else write_record
    return invocation.answer(data, ExitStatus.DONE, lambda: write(invocation, report))
