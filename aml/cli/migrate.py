"""``aml migrate``: which schema versions a store holds, and moving its records to another one, up or down."""

from collections.abc import Callable
from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.migrate_text import question, write_detect, write_history, write_migrate
from aml.cli.options import GLOBAL_OPTIONS, Agents, DryRun, LockTimeout, examples
from aml.cli.progress import shown_progress
from aml.errors import ExitStatus
from aml.migrate.options import MigrateOptions
from aml.migrate.report import MigrateReport
from aml.model.schema import READABLE, VERSIONS
from aml.workflows.migrate import MigrateHistory, detect_schema, migrate, migrate_history

_EXAMPLES = (
    "  aml migrate detect                      which versions there are, and what claims one\n"
    "  aml migrate plan                        what going up would do, and a few records before and after\n"
    "  aml migrate up                          to the newest version that the agents' runtime reads\n"
    "  aml migrate up --to 2.0.0 --dry-run     what that runtime could not read any more\n"
    "  aml migrate down --to 1.1.0             back, and nothing is lost\n"
    "  aml migrate history                     earlier migrations"
)

app = typer.Typer(
    name="migrate", add_completion=False, rich_markup_mode=None, no_args_is_help=True, epilog=examples(_EXAMPLES)
)

_To = Annotated[
    str,
    typer.Option(
        "--to", metavar="VERSION", help=f"The schema version that records are to have: {', '.join(VERSIONS)}."
    ),
]
_Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="Do not ask on a terminal; go on though agents could not read all of it any more."
    ),
]
_Down = Annotated[bool, typer.Option("--down", help="Plan going down in place of going up.")]
_SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave what cannot be migrated as it is, in place of stopping before it.")
]
_NoBackup = Annotated[
    bool, typer.Option("--no-backup", help="Do not back the store up first: the way back is aml migrate down alone.")
]


@app.callback()
def migrate_command() -> None:
    """Move records from one schema version to another, all of them or none.

    Every field that AML does not know is kept. The store is backed up before, everything is worked out and checked
    before the first file is replaced, and where anything fails, every file gets back what it held.
    """


@app.command("detect", epilog=examples("  aml migrate detect\n  aml migrate detect --agent backend-architect --json"))
def detect_command(ctx: typer.Context, agent: Agents = None) -> int:
    """Tell which schema versions there are.

    They are counted agent by agent, and compared with what the store is said to be.
    """
    invocation = Invocation.of(ctx)
    store = invocation.open_store()
    with shown_progress(invocation) as progress:
        report = detect_schema(store, agents=tuple(agent or ()), progress=progress)
    invocation.warn(*report.notes)
    return invocation.answer(report, report.status, lambda: write_detect(invocation, report))


@app.command("plan", epilog=examples("  aml migrate plan --to 2.0.0\n  aml migrate plan --down --to 1.0.0"))
def plan_command(
    ctx: typer.Context, to: _To = READABLE, down: _Down = False, agent: Agents = None, skip_bad: _SkipBad = False
) -> int:
    """Show what a migration would do.

    That is the whole work but for writing, with a few records before and after; nothing is changed.
    """
    options = MigrateOptions(to, "down" if down else "up", tuple(agent or ()), skip_bad)
    return _carry_out(Invocation.of(ctx), options, dry_run=True, yes=False, backup=True, lock_timeout=None)


@app.command("up", epilog=examples("  aml migrate up --dry-run\n  aml migrate up\n  aml migrate up --to 2.0.0 --yes"))
def up_command(
    ctx: typer.Context,
    to: _To = READABLE,
    agent: Agents = None,
    dry_run: DryRun = False,
    skip_bad: _SkipBad = False,
    no_backup: _NoBackup = False,
    yes: _Yes = False,
    lock_timeout: LockTimeout = None,
) -> int:
    """Raise older records to a schema version.

    Those that have it, or a newer one, stay as they are.
    """
    options = MigrateOptions(to, "up", tuple(agent or ()), skip_bad)
    return _carry_out(
        Invocation.of(ctx), options, dry_run=dry_run, yes=yes, backup=not no_backup, lock_timeout=lock_timeout
    )


@app.command("down", epilog=examples("  aml migrate down --to 1.1.0 --dry-run\n  aml migrate down --to 1.1.0"))
def down_command(
    ctx: typer.Context,
    to: _To,
    agent: Agents = None,
    dry_run: DryRun = False,
    skip_bad: _SkipBad = False,
    no_backup: _NoBackup = False,
    yes: _Yes = False,
    lock_timeout: LockTimeout = None,
) -> int:
    """Lower newer records to a schema version.

    Those that have it, or an older one, stay as they are. What the older schema has no place for is kept in the record,
    under x_aml, and comes back on the way up.
    """
    options = MigrateOptions(to, "down", tuple(agent or ()), skip_bad)
    return _carry_out(
        Invocation.of(ctx), options, dry_run=dry_run, yes=yes, backup=not no_backup, lock_timeout=lock_timeout
    )


@app.command("migrate", hidden=True)
def older_command(
    ctx: typer.Context,
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="The schema version.")] = READABLE,
    dry_run: DryRun = False,
    yes: _Yes = False,
    lock_timeout: LockTimeout = None,
) -> int:
    """The older word for up."""
    return _carry_out(
        Invocation.of(ctx), MigrateOptions(version), dry_run=dry_run, yes=yes, backup=True, lock_timeout=lock_timeout
    )


@app.command("history", epilog="\b\nExample:\n  aml migrate history --verbose" + GLOBAL_OPTIONS)
def history_command(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many runs to show, the newest first.")] = 20,
) -> int:
    """Show earlier migrations.

    With the backups made before them, and with what the store is said to be.
    """
    invocation = Invocation.of(ctx)
    found = migrate_history(invocation.open_store())
    shown = MigrateHistory(found.claims, found.runs[:limit])
    return invocation.answer(shown, ExitStatus.DONE, lambda: write_history(invocation, shown))


def _carry_out(
    invocation: Invocation,
    options: MigrateOptions,
    *,
    dry_run: bool,
    yes: bool,
    backup: bool,
    lock_timeout: float | None,
) -> int:
    """Do what was asked for, or show it, and tell what came of it; returns the exit status."""
    store = invocation.open_store()
    conditions = invocation.conditions(store, lock_timeout=lock_timeout)
    confirm: Callable[[MigrateReport], bool] | None = None
    if invocation.is_interactive and not yes and not dry_run:

        def confirm(preview: MigrateReport) -> bool:
            write_migrate(invocation, preview)
            return invocation.confirm(question(preview))

    with shown_progress(invocation) as progress:
        report = migrate(
            store,
            options,
            now=invocation.now,
            dry_run=dry_run,
            backup=backup,
            accept_unreadable=yes,
            conditions=conditions,
            confirm=confirm,
            progress=progress,
        )
    invocation.warn(*report.notes)
    if confirm is not None and report.dry_run:
        return int(report.status)  # shown already, and not confirmed
    if report.migrated and not (backup or dry_run):
        invocation.warn("no backup was made before")
    return invocation.answer(report, report.status, lambda: write_migrate(invocation, report))
