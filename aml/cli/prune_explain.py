"""``aml prune explain``: what would happen to one record, and why."""

from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import (
    Agents,
    Aggressive,
    MaxLoss,
    Policy,
    Strategy,
    asked_of_prune,
    examples,
    share_of,
)
from aml.errors import ExitStatus, UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("explain", epilog=examples("  aml prune explain ID\n  aml prune explain ID --strategy time --aggressive"))
def explain_command(
    ctx: typer.Context,
    record: Annotated[str, typer.Argument(metavar="ID", help="Id of the record, or its beginning.")],
    strategy: Strategy = None,
    agent: Agents = None,
    aggressive: Aggressive = False,
    policy: Policy = None,
    max_loss: MaxLoss = None,
) -> int:
    """Tell what a prune would do to one record now, by which rule and figures, or why it stays.

    Every rule of its kind is shown with the figures and limits, then what protects it, the loss budget, and what
    earlier runs did to it. Of a record that is not in the store any more, the run that removed it is named.
    """
    # pruning itself needs nothing of this
    from aml.cli.explain_text import write_explanation
    from aml.workflows.explain import prune_explain

    invocation = Invocation.of(ctx)
    if not record:
        raise UsageError("the id of a record is empty", advice="aml prune --dry-run --verbose lists some")
    options = asked_of_prune(
        invocation.settings,
        strategy=strategy,
        agent=agent,
        aggressive=aggressive,
        policy=policy,
        max_loss=share_of(max_loss),
    )
    store = invocation.open_store()
    report = prune_explain(store, record, options, now=invocation.now, conditions=invocation.look_into(store))
    invocation.warn(*report.notes)
    invocation.warn(*(f"left alone: {one.agent}/{one.kind}: {one.problem}" for one in report.unread))
    return invocation.answer(report, ExitStatus.DONE, lambda: write_explanation(invocation, report))
