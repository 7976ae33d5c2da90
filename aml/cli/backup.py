"""``aml backup``: make backups, look at them, verify them, restore from them, and let the old ones go."""

from datetime import datetime
from typing import Annotated

import typer

from aml.backup.options import OWN_TAGS, BackupOptions, RestoreOptions
from aml.backup.restore import REMINDER, RestoreReport
from aml.cli.backup_text import write_backup, write_details, write_diff, write_list
from aml.cli.backup_upkeep import app as upkeep
from aml.cli.completion import complete_agent, complete_backup
from aml.cli.invocation import Invocation
from aml.cli.options import (
    GLOBAL_OPTIONS,
    Agents,
    DryRun,
    LockTimeout,
    NeverAsks,
    TrustClock,
    WantedBackup,
    Yes,
    examples,
)
from aml.cli.progress import shown_progress
from aml.cli.restore_text import write_restore
from aml.cli.text import count
from aml.errors import UsageError
from aml.model.moments import parse_moment
from aml.repository.packs import Compression
from aml.workflows.backup import backup, diff_backups, list_backups, show_backup
from aml.workflows.restore import restore

_EXAMPLES = """\b
Examples:
  aml backup create                       what is new since the last backup
  aml backup list
  aml backup verify                       read everything back and check it
  aml backup restore latest --dry-run     what a restore would change
  aml backup restore --at 3d              the store as it was three days ago
  aml backup restore latest --target /tmp/look
  aml backup rotate --dry-run             which backups would go, and why
  aml backup drill                        prove that the latest can be restored
  aml backup auto                         back up, verify a sample, rotate: for cron
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make backups, verify them, restore from them, and let the old ones go.",
    epilog=_EXAMPLES + GLOBAL_OPTIONS,
)

_Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A word to find it by; may be repeated.")]


@app.command(
    "create",
    epilog=examples("  aml backup create\n  aml backup create --full --tag before-upgrade --description 'why'"),
)
def create_command(
    ctx: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Read every file again, changed or not.")] = False,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="Read only what changed since the last complete one; the default."),
    ] = False,
    agent: Agents = None,
    tag: _Tags = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="A line to know it by.")] = "",
    compression: Annotated[
        Compression | None, typer.Option(help="How hard new data is packed; default: as in the settings.")
    ] = None,
    yes: NeverAsks = False,  # noqa: ARG001
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Back the store up.

    Every backup is complete by itself; an incremental one only writes what is new. It is read back before it counts.
    Files that cannot be read are named, and make the backup incomplete (exit status 3).
    """
    invocation = Invocation.of(ctx)
    if full and incremental:
        raise UsageError("--full and --incremental contradict each other", advice="say one of them")
    for one in tag or ():
        if not one.strip() or one in OWN_TAGS:
            raise UsageError(f"{one!r} cannot be a tag", advice=f"AML's own are {', '.join(sorted(OWN_TAGS))}")
    store = invocation.open_store()
    options = BackupOptions(
        kind="full" if full else "incremental",
        agents=tuple(agent or ()),
        tags=tuple(tag or ()),
        description=description,
        compression=compression or invocation.settings.backup.compression,
    )
    with shown_progress(invocation) as progress:
        report = backup(
            store,
            options,
            now=invocation.now,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            progress=progress,
            warn=invocation.warn,
        )
    invocation.warn(*report.notes)
    return invocation.answer(report, report.status, lambda: write_backup(invocation, report))


@app.command("list", epilog=examples("  aml backup list\n  aml backup list --tag before-upgrade"))
def list_command(
    ctx: typer.Context,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            "--agent", metavar="NAME", help="Only backups that hold this agent.", autocompletion=complete_agent
        ),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only backups with this tag; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the newest N.", show_default=False)
    ] = None,
) -> int:
    """Show all backups, the newest first."""
    invocation = Invocation.of(ctx)
    store = invocation.open_place()
    found = list_backups(
        store, agents=tuple(agent or ()), tags=tuple(tag or ()), limit=limit, conditions=invocation.look_into(store)
    )
    return invocation.answer(found, found.status, lambda: write_list(invocation, found))


@app.command("show", epilog=examples("  aml backup show latest\n  aml backup show 20261121 --verbose"))
def show_command(ctx: typer.Context, wanted: WantedBackup = "latest") -> int:
    """Show one backup: what it holds of each agent, and with --verbose every file."""
    invocation = Invocation.of(ctx)
    store = invocation.open_place()
    files = invocation.verbose or invocation.json
    details = show_backup(store, wanted, files=files, conditions=invocation.look_into(store))
    return invocation.answer(details, details.status, lambda: write_details(invocation, details))


@app.command(
    "diff",
    epilog=examples(
        "  aml backup diff            from the latest backup to the store now\n  aml backup diff ID latest"
    ),
)
def diff_command(
    ctx: typer.Context,
    before: WantedBackup = "latest",
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="OTHER", help="A later backup; default: the store as it is now.", autocompletion=complete_backup
        ),
    ] = None,
    agent: Agents = None,
) -> int:
    """Show what changed from one backup to another, or to the store now: files, and the records in them."""
    invocation = Invocation.of(ctx)
    store = invocation.open_place() if after is not None else invocation.open_store()
    conditions = invocation.look_into(store)
    report = diff_backups(store, before, after, agents=tuple(agent or ()), conditions=conditions)
    return invocation.answer(report, report.status, lambda: write_diff(invocation, report))


@app.command(
    "restore",
    epilog=examples(
        "  aml backup restore latest --dry-run\n"
        "  aml backup restore --at 2026-11-20T14:30\n"
        "  aml backup restore latest --agent backend-architect\n"
        "  aml backup restore latest --path global/team-conventions.json\n"
        "  aml backup restore latest --target /tmp/look"
    ),
)
def restore_command(
    ctx: typer.Context,
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="BACKUP", help="Its id, the beginning of it, or latest.", autocompletion=complete_backup
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The newest made at or before this: ISO 8601, or an age such as 3d."),
    ] = None,
    agent: Agents = None,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="PATH", help="Only this file or folder of the store; may be repeated."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Restore into this new folder; the store is not touched.")
    ] = None,
    keep_extra: Annotated[bool, typer.Option("--keep-extra", help="Keep files that the backup does not hold.")] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Restore everything else where parts of the backup are damaged.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Make the store what it was when a backup was made; or restore into another folder with --target.

    What the store holds now is backed up first (tag pre-restore). All is staged and checked before anything is
    replaced, under the locks of the agents; after a crash, the next run completes it. Files that the backup does not
    hold go, unless --keep-extra.
    """
    invocation = Invocation.of(ctx)
    if wanted is None and at is None:
        raise UsageError("which backup?", advice="say latest, an id from aml backup list, or --at TIME")
    if wanted is not None and at is not None:
        raise UsageError(f"--at and {wanted} contradict each other", advice="say one of them")
    store = invocation.open_place()
    if target == "":
        raise UsageError("--target is empty", advice="name a new folder, or leave the option out")
    if wanted == "":
        raise UsageError("the id of a backup is empty", advice="aml backup list shows all")
    which = wanted if wanted is not None else _moment(invocation, at or "")
    options = RestoreOptions(tuple(agent or ()), tuple(path or ()), keep_extra, skip_damaged)

    def confirm(preview: RestoreReport) -> bool:
        write_restore(invocation, preview)
        changes = len(preview.files)
        return not changes or invocation.confirm(f"Change {count(changes, 'file')}, backed up first?")

    asks = invocation.is_interactive and not yes and not dry_run and target is None
    with shown_progress(invocation) as progress:
        report = restore(
            store,
            which,
            options,
            target=invocation.folder / target if target is not None else None,
            now=invocation.now,
            dry_run=dry_run,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            confirm=confirm if asks else None,
            progress=progress,
        )
    invocation.warn(*(note for note in report.notes if note != REMINDER or not invocation.quiet))
    if asks and report.dry_run:
        return int(report.status)  # shown already, and not confirmed
    return invocation.answer(report, report.status, lambda: write_restore(invocation, report))


def _moment(invocation: Invocation, text: str) -> datetime:
    moment = parse_moment(text, invocation.now)
    invocation.note(f"the newest backup made at or before {moment:%Y-%m-%dT%H:%M:%SZ}")
    return moment


app.add_typer(upkeep)
