"""``aml backup verify``, ``rotate``, ``drill``, ``auto``: what keeps a repository sound."""

from typing import Annotated

import typer

from aml.backup.keep import KeepRules
from aml.backup.rotate import RotateReport
from aml.cli.completion import complete_backup
from aml.cli.invocation import Invocation
from aml.cli.options import DryRun, LockTimeout, NeverAsks, TrustClock, WantedBackup, Yes, examples, parsed_share
from aml.cli.progress import shown_progress
from aml.cli.text import count
from aml.cli.upkeep_text import write_auto, write_drill, write_rotation, write_verify
from aml.config import RotateSettings
from aml.errors import UsageError
from aml.model.moments import parse_age
from aml.repository.check import Tier
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.backup import list_backups
from aml.workflows.upkeep import auto_backup, drill, rotate_backups, rotation_rules, verify_backups

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    "verify",
    epilog=examples("  aml backup verify\n  aml backup verify latest\n  aml backup verify --sample 10%"),
)
def verify_command(
    ctx: typer.Context,
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="BACKUP",
            help="Only this one: its id, the beginning of it, or latest. Default: all.",
            autocompletion=complete_backup,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All backups; the default.")] = False,
    sample: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Look into this share of the packs, those checked longest ago first."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Structure and sizes only; no pack is read.")] = False,
    packs: Annotated[bool, typer.Option("--packs", help="The SHA-256 of each pack file, and no more.")] = False,
    lock_timeout: LockTimeout = None,
) -> int:
    """Read backups back, and check every byte of them against its SHA-256.

    Damage is told with the backups and files that it touches (exit status 12). It is remembered: the next backup
    writes again what the store still has.
    """
    invocation = Invocation.of(ctx)
    if every and wanted:
        raise UsageError(f"--all and {wanted} contradict each other", advice="say one of them")
    if (sample is not None) + quick + packs > 1:
        raise UsageError("--sample, --quick and --packs contradict each other", advice="say one of them")
    tier: Tier = "sample" if sample is not None else "quick" if quick else "packs" if packs else "deep"
    store = invocation.open_place()
    report = verify_backups(
        store,
        wanted,
        tier=tier,
        sample=1.0 if sample is None else parsed_share("--sample", sample, "say a percentage such as 10%, or 0.1"),
        now=invocation.now,
        conditions=invocation.conditions(store, lock_timeout=lock_timeout),
        warn=invocation.warn,
    )
    invocation.warn(*report.notes)
    return invocation.answer(report, report.status, lambda: write_verify(invocation, report))


@app.command(
    "rotate",
    epilog=examples(
        "  aml backup rotate --dry-run\n  aml backup rotate --keep-daily 7 --keep-weekly 4 --keep-tag release"
    ),
)
def rotate_command(
    ctx: typer.Context,
    keep_last: Annotated[int | None, typer.Option(metavar="N", min=0, help="Keep the newest N.")] = None,
    keep_hourly: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Keep the newest of each of the last N hours with any.")
    ] = None,
    keep_daily: Annotated[int | None, typer.Option(metavar="N", min=0, help="The same for days.")] = None,
    keep_weekly: Annotated[int | None, typer.Option(metavar="N", min=0, help="The same for weeks.")] = None,
    keep_monthly: Annotated[int | None, typer.Option(metavar="N", min=0, help="The same for months.")] = None,
    keep_yearly: Annotated[int | None, typer.Option(metavar="N", min=0, help="The same for years.")] = None,
    keep_within: Annotated[
        str | None, typer.Option(metavar="AGE", help="Keep all that are not older than this, such as 30d.")
    ] = None,
    keep_tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Keep all with this tag; may be repeated.")
    ] = None,
    max_backups: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Beyond N the oldest go, tagged ones last; 0: no limit.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Remove the backups that no rule keeps, and what only they need.

    By default all of the last 30 days stay, and at least the 3 newest; any --keep option replaces that. The newest
    complete backup of each scope always stays. Archives of removed records go too when they are a year old
    (rotate.archive_days).
    """
    invocation = Invocation.of(ctx)
    settings = invocation.settings.rotate
    given = {
        "last": keep_last,
        "hourly": keep_hourly,
        "daily": keep_daily,
        "weekly": keep_weekly,
        "monthly": keep_monthly,
        "yearly": keep_yearly,
        "within": None if keep_within is None else _age(keep_within),
        "tags": tuple(keep_tag) if keep_tag else None,
    }
    store = invocation.open_place()
    if keep_tag:
        _refuse_unknown_tags(invocation, store, keep_tag)

    def confirm(preview: RotateReport) -> bool:
        write_rotation(invocation, preview)
        gone = [count(preview.removed, "backup"), *([count(len(preview.archives), "archive")] * bool(preview.archives))]
        return invocation.confirm(f"Remove {' and '.join(gone)} for good?")

    asks = invocation.is_interactive and not yes and not dry_run
    report = rotate_backups(
        store,
        _rules(settings, {name: value for name, value in given.items() if value is not None}, max_backups),
        archive_days=settings.archive_days,
        now=invocation.now,
        dry_run=dry_run,
        conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
        confirm=confirm if asks else None,
    )
    invocation.warn(*report.notes)
    if asks and report.dry_run and (report.removed or report.archives):
        return int(report.status)  # shown already, and not confirmed
    return invocation.answer(report, report.status, lambda: write_rotation(invocation, report))


@app.command("drill", epilog=examples("  aml backup drill"))
def drill_command(ctx: typer.Context, wanted: WantedBackup = "latest", lock_timeout: LockTimeout = None) -> int:
    """Restore a backup into a scratch folder and compare every file: proof that a restore works.

    Files are compared with what the backup says, and with the store itself where that has not changed since.
    """
    invocation = Invocation.of(ctx)
    store = invocation.open_place()
    with shown_progress(invocation) as progress:
        report = drill(
            store,
            wanted,
            now=invocation.now,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout),
            progress=progress,
            warn=invocation.warn,
        )
    return invocation.answer(report, report.status, lambda: write_drill(invocation, report))


@app.command("auto", epilog=examples("  aml /project/.loom/memory backup auto\n  aml backup auto -q"))
def auto_command(
    ctx: typer.Context,
    yes: NeverAsks = False,  # noqa: ARG001
    lock_timeout: LockTimeout = None,
    trust_clock: TrustClock = False,
) -> int:
    """Back up, verify a sample, rotate: what cron runs.

    A full backup each week (backup.full_days), incremental ones between. Locks and I/O errors are tried again after
    longer and longer pauses. One line where all went well.
    """
    invocation = Invocation.of(ctx)
    store = invocation.open_store()
    settings = invocation.settings
    with shown_progress(invocation) as progress:
        report = auto_backup(
            store,
            settings.backup,
            settings.rotate,
            now=invocation.now,
            conditions=invocation.conditions(store, lock_timeout=lock_timeout, trust_clock=trust_clock),
            progress=progress,
            warn=invocation.warn,
        )
    invocation.warn(*report.backup.notes)
    return invocation.answer(report, report.status, lambda: write_auto(invocation, report))


def _rules(settings: RotateSettings, given: dict[str, object], max_backups: int | None) -> KeepRules:
    """The rules of the settings, or only those that were given; the limit is apart from both."""
    from msgspec import structs

    rules = rotation_rules(settings)
    if given:
        rules = structs.replace(KeepRules(max_backups=rules.max_backups), **given)
    return rules if max_backups is None else structs.replace(rules, max_backups=max_backups)


def _refuse_unknown_tags(invocation: Invocation, store: Store, tags: list[str]) -> None:
    """A misspelt tag must not widen what is removed."""
    found = list_backups(store, conditions=invocation.conditions(store))
    choose(tuple(tags), tuple(sorted({tag for one in found.backups for tag in one.tags})), "tag")


def _age(text: str) -> float:
    try:
        return parse_age(text)
    except ValueError as error:
        raise UsageError(f"--keep-within {text}: {error}", advice="say an age such as 30d") from None
