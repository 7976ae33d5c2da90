"""``aml query``: records by agent, kind, tags, words and figures."""

from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import Agents, Kinds, examples, parsed_share
from aml.cli.query_text import write_ids, write_lines, write_query
from aml.errors import UsageError
from aml.index.query import Query, Sort
from aml.model.moments import parse_moment
from aml.workflows.index import query

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_DEFAULT_LIMIT = 20
_SHARES = "say a number from 0 to 1, or 80%"


@app.command(
    epilog=examples(
        "  aml query --text 'cache invalidation'\n"
        "  aml query --agent backend-architect --kind pattern --tag api --min-success 80%\n"
        "  aml query --since 7d --sort last-used --limit 50\n"
        "  aml query --tag api --limit 0 --ids\n"
        "  aml query --text timeout --jsonl"
    )
)
def query_command(
    ctx: typer.Context,
    agent: Agents = None,
    kind: Kinds = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only records with this tag; with several, those that have all."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Only records with all of these words; cach* is any that begins so."),
    ] = None,
    min_confidence: Annotated[
        str | None, typer.Option(metavar="X", help="Only records of at least this confidence: 0.8, or 80%.")
    ] = None,
    min_success: Annotated[
        str | None, typer.Option(metavar="X", help="Only records of at least this success: 0.8, or 80%.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only records created or used since: ISO 8601, or an age such as 7d."),
    ] = None,
    sort: Annotated[
        Sort | None, typer.Option(help="What comes first. Default: relevance with --text, else value.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Show at most N; 0: all.")] = _DEFAULT_LIMIT,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line for each record.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, one a line.")] = False,
) -> int:
    """Find records. All that is asked for must fit.

    The answer comes from an index that is compared with the files first, so it is as they are now. What is unknown of
    a record fits no limit.
    """
    invocation = Invocation.of(ctx)
    if ids + jsonl + invocation.json > 1:
        raise UsageError("--ids, --jsonl and --json contradict each other", advice="say one of them")
    store = invocation.open_store()
    asked = Query(
        agents=tuple(agent or ()),
        kinds=tuple(kind or ()),
        tags=tuple(tag or ()),
        text=text,
        min_confidence=None if min_confidence is None else parsed_share("--min-confidence", min_confidence, _SHARES),
        min_success=None if min_success is None else parsed_share("--min-success", min_success, _SHARES),
        since=None if since is None else parse_moment(since, invocation.now, day="first").timestamp(),
        sort=sort,
        limit=limit or None,
    )
    report = query(store, asked, summaries=not ids, user_cache=invocation.user_cache)
    invocation.warn(*report.notes)
    if ids:
        write = write_ids
    elif jsonl:
        write = write_lines
    else:
        write = write_query
    return invocation.answer(report, report.status, lambda: write(invocation, report))
