"""Upkeep of the repository: verify, rotate, drill, and all that cron needs in one: auto."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct, structs

from aml.backup.checked import Checked, load_checked, save_checked
from aml.backup.create import BackupReport, OddPath
from aml.backup.drill import DrillReport
from aml.backup.drill import drill as run_drill
from aml.backup.keep import DEFAULT_RULES, KeepRules
from aml.backup.options import AUTO, BackupOptions
from aml.backup.rotate import RotateReport, preview_rotation
from aml.backup.rotate import rotate as run_rotation
from aml.config import BackupSettings, RotateSettings
from aml.errors import PRECEDENCE, AmlError, ExitStatus, FileAccessError, LockedError, NotFoundError
from aml.ledger.expiry import Expired, expire, expired_archives
from aml.ledger.operations import Operation, note_operation
from aml.ledger.runs import Journal
from aml.ledger.state import prepare_folder
from aml.model.timestamps import SECONDS_PER_DAY
from aml.repository.check import CheckReport, Finding, Tier, check
from aml.repository.manifest import Kind, Scope
from aml.repository.repository import Reader, writing
from aml.repository.snapshots import list_snapshots
from aml.store.open import Store
from aml.workflows.backup import Progress, Warn, backup, find, operation, try_to_write
from aml.workflows.conditions import Conditions, changing, clock_note, destination_of, no_backup_yet, reading_backups
from aml.workflows.notes import NOT_CONFIRMED

Answer = TypeVar("Answer")

_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class VerifyReport(Struct, frozen=True):
    """A verification of the whole repository, or of the one ``snapshot``.

    ``findings`` are pieces of damage, each with the backups and files that it touches and what to do next; ``notes``
    are worth knowing. ``packs`` were looked into, of ``packs_total``.
    """

    tier: Tier
    snapshot: str | None
    snapshots: int
    chunks: int
    packs: int
    packs_total: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    status: ExitStatus


class AutoReport(Struct, frozen=True):
    """One run of auto, step by step; a step that could not be done is in ``problems``, by name and reason."""

    backup: BackupReport
    verify: VerifyReport | None
    rotate: RotateReport | None
    problems: tuple[OddPath, ...]
    status: ExitStatus


def verify_backups(
    store: Store,
    wanted: str | None = None,
    *,
    tier: Tier = "deep",
    sample: float = 0.1,
    now: float | None = None,
    conditions: Conditions | None = None,
    warn: Warn = lambda _: None,
) -> VerifyReport:
    """Verify all backups, or the one with an id. What was found is remembered: a sample goes on with what was checked
    longest ago, and the next backup writes damaged chunks again. Raises NotFoundError, AmlError; damage is reported.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    began = time.monotonic()
    with reading_backups(store, conditions, "verify") as reader:
        snapshot = find(store, reader.snapshots(), wanted).id if wanted is not None else None
        identity = _identity(reader)
        checked = load_checked(store, identity)
        total = len(reader.loaded.packs)
        found = check(
            reader.destination,
            tier,
            sample=sample,
            checked=checked.packs,
            damaged=checked.damaged_packs,
            snapshot=snapshot,
        )
        report = _verified(found, total)
        checked.take_up(found, moment)
        counts = {"snapshots": report.snapshots, "packs": report.packs, "findings": len(report.findings)}
        name = "verify" if snapshot is None else "verify-one"
        done = operation(name, moment, began, report.status, snapshot or tier, counts)
        # while the lock is held, so that no backup that waits for it knows less
        _try_to_note(store, warn, done, (identity, checked))
    return report


def _identity(reader: Reader) -> str:
    return reader.described.id if reader.described is not None else ""


def _verified(found: CheckReport, total: int) -> VerifyReport:
    return VerifyReport(
        tier=found.tier,
        snapshot=found.snapshot,
        snapshots=found.snapshots,
        chunks=found.chunks,
        packs=len(found.packs),
        packs_total=total,
        findings=tuple(found.findings),
        notes=tuple(found.notes),
        status=ExitStatus.DAMAGED if found.findings else ExitStatus.DONE,
    )


def _try_to_note(store: Store, warn: Warn, done: Operation, checked: tuple[str, Checked] | None) -> None:
    def write() -> None:
        if checked is not None:
            save_checked(store, *checked)
        note_operation(store, done)

    for problem in try_to_write(write):
        warn(problem)


def rotation_rules(settings: RotateSettings) -> KeepRules:
    """The keep rules that the settings say."""
    return KeepRules(
        last=settings.keep_last,
        hourly=settings.keep_hourly,
        daily=settings.keep_daily,
        weekly=settings.keep_weekly,
        monthly=settings.keep_monthly,
        yearly=settings.keep_yearly,
        within=settings.keep_within_days * SECONDS_PER_DAY,
        tags=settings.keep_tags,
        max_backups=settings.max_backups,
    )


def rotate_backups(
    store: Store,
    rules: KeepRules = DEFAULT_RULES,
    *,
    archive_days: float = RotateSettings().archive_days,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
    confirm: Callable[[RotateReport], bool] | None = None,
) -> RotateReport:
    """Remove the backups that no rule keeps, and archives of removed records older than ``archive_days``.

    ``now`` in seconds since 1970 UTC. Raises ClockError where the clock cannot be believed (a dry run says so),
    DamagedError where it cannot be told what backups need, and other AmlError.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    journal = Journal(store)
    if dry_run or confirm is not None:
        seen = _preview_rotation(store, journal, rules, archive_days, moment, conditions)
        due = seen.removed or seen.archives
        if dry_run:
            return seen
        if confirm is not None and due and not confirm(seen):
            return structs.replace(seen, notes=(NOT_CONFIRMED,))
    began = time.monotonic()
    destination = destination_of(store, conditions, writes=True)
    waits = conditions.locks.timeout
    with changing(store, journal, "rotate", moment, conditions, wait=waits) as (_, notes):
        archives = expired_archives(store, moment, archive_days)
        report = RotateReport(False, (), 0, 0, 0, 0, (), 0, (), ExitStatus.DONE)
        try:
            with writing(destination, purpose="rotate", timeout=waits) as writer:
                checked = load_checked(store, writer.description.id)
                report = run_rotation(writer, rules, moment, checked)
                save_checked(store, writer.description.id, checked)
        except NotFoundError as error:
            # no repository yet; archives may be due all the same
            if not archives:
                raise no_backup_yet(destination) from error
        expire(store, journal, archives)
        report = structs.replace(_with_archives(report, archives), notes=notes)
        counts = {"removed": report.removed, "freed_bytes": report.freed_bytes, "archives": len(archives)}
        note_operation(store, operation("rotate", moment, began, report.status, "", counts))
    return report


def _preview_rotation(
    store: Store, journal: Journal, rules: KeepRules, archive_days: float, now: float, conditions: Conditions
) -> RotateReport:
    with reading_backups(store, conditions, "rotate") as reader:
        report = preview_rotation(reader, rules, now, load_checked(store, _identity(reader)))
    notes = clock_note(store, journal, now, conditions)
    return structs.replace(_with_archives(report, expired_archives(store, now, archive_days)), notes=notes)


def _with_archives(report: RotateReport, archives: list[Expired]) -> RotateReport:
    paths = tuple(one.path for one in archives)
    return structs.replace(report, archives=paths, archives_bytes=sum(one.size for one in archives))


def drill(
    store: Store,
    wanted: str = "latest",
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    progress: Progress = lambda _: None,
    warn: Warn = lambda _: None,
) -> DrillReport:
    """Restore a backup into a scratch folder and compare it, file by file, with what it should be. Raises AmlError."""
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    began = time.monotonic()
    prepare_folder(store.state)
    with reading_backups(store, conditions, "drill") as reader:
        report = run_drill(store, reader, find(store, reader.snapshots(), wanted), progress)
    counts = {"files": report.files, "compared": report.compared, "wrong": len(report.wrong)}
    _try_to_note(store, warn, operation("drill", moment, began, report.status, report.snapshot, counts), None)
    return report


def auto_backup(
    store: Store,
    settings: BackupSettings,
    rotation: RotateSettings,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    progress: Progress = lambda _: None,
    warn: Warn = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> AutoReport:
    """What cron runs: a backup (a full one when the last is ``full_days`` old), a sample of it all verified, rotation.

    A lock that is held and an I/O error are tried again after a pause, each one twice as long. Raises AmlError where
    there is no backup in the end; what goes wrong after it is in the report.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now

    def again(action: Callable[[], Answer]) -> Answer:
        return _with_retries(action, settings.retries, settings.retry_seconds, sleep, warn)

    kind: Kind = "full" if again(lambda: _is_full_due(store, settings, moment, conditions)) else "incremental"
    options = BackupOptions(kind=kind, tags=(AUTO,), compression=settings.compression)
    made = backup(store, options, now=moment, conditions=conditions, progress=progress, warn=warn, again=again)
    problems: list[OddPath] = []
    statuses = [made.status]
    if made.files == 0 and made.removed:
        statuses.append(ExitStatus.PARTIAL)

    def step(name: str, action: Callable[[], Answer]) -> Answer | None:
        try:
            return again(action)
        except AmlError as error:
            problems.append(OddPath(name, str(error)))
            statuses.append(error.status)
            return None

    share = settings.verify_share
    verified = step(
        "verify",
        lambda: verify_backups(store, tier="sample", sample=share, now=moment, conditions=conditions, warn=warn),
    )
    rotated = None
    if verified is None or any(finding.snapshots for finding in verified.findings):
        problems.append(OddPath("rotate", "left out, since backups are damaged: an older one may be needed"))
    else:
        rotated = step(
            "rotate",
            lambda: rotate_backups(
                store,
                rotation_rules(rotation),
                archive_days=rotation.archive_days,
                now=moment,
                conditions=conditions,
            ),
        )
    statuses += [one.status for one in (verified, rotated) if one is not None]
    status = next(one for one in PRECEDENCE if one in statuses)
    return AutoReport(made, verified, rotated, tuple(problems), status)


def _is_full_due(store: Store, settings: BackupSettings, now: float, conditions: Conditions) -> bool:
    snapshots = list_snapshots(destination_of(store, conditions, writes=False))
    full = [one for one in snapshots.complete(Scope()) if one.manifest.kind == "full"]
    return not full or now - full[-1].manifest.time.timestamp() >= settings.full_days * SECONDS_PER_DAY


def _with_retries(
    action: Callable[[], Answer], retries: int, pause: float, sleep: Callable[[float], None], warn: Warn
) -> Answer:
    for attempt in range(retries + 1):
        try:
            return action()
        except (LockedError, FileAccessError) as error:
            if attempt == retries or _is_refused(error):
                raise
            warn(f"{error.message}; trying again in {pause:g} s")
            sleep(pause)
            pause *= 2
    raise AssertionError("unreachable: the last attempt returns or raises")


def _is_refused(error: AmlError) -> bool:
    """Whether a right is missing, or the file system is mounted read-only: no pause mends that."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _REFUSED
