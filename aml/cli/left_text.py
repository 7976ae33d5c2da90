"""What is told of what a run leaves where it is: files it cannot read, and records that the loss budget holds back."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from aml.cli.invocation import Invocation
from aml.cli.text import count, left_alone
from aml.monitor.report.content import listed

if TYPE_CHECKING:
    from aml.optimize.gc_report import GcFile, GcReport
    from aml.prune.report import FileReport, PruneReport

TAKEN_LATER = "a later run takes the next ones"


def write_left_alone(invocation: Invocation, file: FileReport | GcFile) -> None:
    """Why a file was not touched, and how many records in it are for a newer AML to judge, where that is so."""
    if file.problem:
        invocation.note(left_alone(f"{file.agent}/{file.kind}", file.problem))
    if file.too_new:
        records = count(file.too_new, "record")
        invocation.note(
            f"left alone: {file.agent}/{file.kind}: {records} of a schema that is newer than this AML",
            "use a newer AML for this store",
        )


def write_deferred(invocation: Invocation, report: PruneReport | GcReport, rest: str = TAKEN_LATER) -> None:
    """How many were deferred and by which limits, if any were; ``rest`` says how they go."""
    deferred = report.total("deferred")
    if deferred:
        verb = "is" if deferred == 1 else "are"
        invocation.note(
            f"{count(deferred, 'record')} {verb} deferred: more than the loss budget of one run allows",
            *_reasons(report),
            f"--max-loss 100% lifts the budget; {rest}",
        )


def _reasons(report: PruneReport | GcReport) -> list[str]:
    """Each limit, and the agents that it held back."""
    held_back = {file.agent for file in report.files if file.deferred}
    agents: defaultdict[str, list[str]] = defaultdict(list)
    for budget in report.budgets:
        if budget.agent in held_back:
            agents[budget.reason].append(budget.agent)
    return [f"{listed(names)}: {reason}" for reason, names in agents.items()]
