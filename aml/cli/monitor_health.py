"""``aml monitor health``: check all that can go wrong, and tell how to mend it."""

from textwrap import wrap
from typing import Annotated

import typer

from aml.cli.health_text import health_document, write_health
from aml.cli.invocation import Invocation
from aml.cli.options import examples
from aml.errors import UsageError
from aml.monitor.findings import LevelWord, level_of
from aml.workflows.health import CHECK_NAMES, check_health

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_CHECKS = "\n".join(wrap(", ".join(CHECK_NAMES), 76, initial_indent="  ", subsequent_indent="  "))


@app.command(
    "health",
    epilog=f"\b\nChecks:\n{_CHECKS}\n\n"
    + examples(
        "  aml monitor health\n"
        "  aml monitor health -q                             for cron: nothing where all is well\n"
        "  aml monitor health --checks integrity,schema --fail-on warning --no-record --json"
    ),
)
def health_command(
    ctx: typer.Context,
    checks: Annotated[
        list[str] | None,
        typer.Option("--checks", metavar="NAMES", help="Only these checks, parted by commas.", show_default=False),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="NAMES", help="All checks but these, parted by commas.", show_default=False),
    ] = None,
    fail_on: Annotated[
        LevelWord,
        typer.Option("--fail-on", metavar="LEVEL", help="From which level on the exit status tells of a finding."),
    ] = "error",
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Write nothing at all: no alert, no note that this was checked.")
    ] = False,
) -> int:
    """Check all that can go wrong with a store, its backups and AML itself, and say how to mend it.

    Every file is read each time. Nothing in the store is changed. Levels are info, warning, error and critical;
    the exit status is 5 for errors and worse, and 4 for a warning or an info where --fail-on asks for those.
    """
    invocation = Invocation.of(ctx)
    store = invocation.open_store()
    report = check_health(
        store,
        now=invocation.now,
        conditions=invocation.conditions(store),
        settings=invocation.settings,
        checks=_names("--checks", checks),
        skip=_names("--skip", skip),
        fail_on=level_of(fail_on),
        record=not no_record,
        secret=invocation.webhook_secret,
        warn=invocation.warn,
        user_cache=invocation.user_cache,
    )
    invocation.warn(*report.notes)
    return invocation.answer(health_document(report), report.status, lambda: write_health(invocation, report))


def _names(option: str, words: list[str] | None) -> tuple[str, ...]:
    """The names in lists parted by commas. Raises UsageError for a list of none, which would mean all of them."""
    names = tuple(name.strip() for word in words or () for name in word.split(",") if name.strip())
    if words and not names:
        raise UsageError(f"{option} names no check", advice="name some, or leave the option out")
    return names
