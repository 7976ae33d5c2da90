"""Checks of the backups: whether there are any, how old the newest is, whether anybody tried them."""

from __future__ import annotations

from functools import partial

from aml.errors import ExitStatus
from aml.model.moments import format_age
from aml.model.timestamps import SECONDS_PER_DAY, parse_timestamp
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level
from aml.monitor.inspection import Inspection

_HOUR = 3600.0
#: So many damaged manifests are named.
_NAMED = 10

_stale = partial(Finding, "backup")
_untried = partial(Finding, "verification")
_undrilled = partial(Finding, "drill")


def _age(seen: Inspection, moment: str | None) -> float | None:
    """Seconds since a moment (ISO 8601), None where there is none; nothing is older than it is by a clock set back."""
    then = parse_timestamp(moment)
    return None if then is None else max(0.0, round(seen.now - then, 3))


def _backup(seen: Inspection) -> Measure:
    backups, limits = seen.backups, seen.thresholds
    warning, critical = limits.backup_hours * _HOUR, limits.backup_critical_days * SECONDS_PER_DAY
    age = _age(seen, backups.newest_time)
    findings = []
    if age is None:
        # a store just begun has nothing to lose
        if seen.agent_files:
            message = "there is no complete backup of the whole store"
            findings.append(_stale("", Level.WARNING, message, "aml backup create"))
    elif age > warning:
        level = Level.CRITICAL if age > critical else Level.WARNING
        message = f"the newest complete backup is {format_age(age)} old"
        limit = critical if level is Level.CRITICAL else warning
        findings.append(
            _stale("", level, message, "aml backup create; for cron: aml backup auto", age, limit, "seconds")
        )
    if backups.incomplete is not None:
        message = f"the newest backup, {backups.incomplete}, is incomplete: some files could not be read"
        advice = f"aml backup show {backups.incomplete} names them"
        findings.append(_stale("incomplete", Level.WARNING, message, advice))
    if backups.damaged:
        number = len(backups.damaged)
        message = f"{number:,} {'manifest' if number == 1 else 'manifests'} of backups cannot be read"
        advice = "aml backup verify tells what is damaged; aml backup create --full makes a new one"
        named = backups.damaged[:_NAMED]
        findings.append(_stale("damaged", Level.CRITICAL, message, advice, number, 0, "manifests", named))
    return Measure(tuple(findings), age, warning, "seconds")


def _verification(seen: Inspection) -> Measure:
    backups, limit = seen.backups, seen.thresholds.verified_days * SECONDS_PER_DAY
    if not backups.count:
        return Measure(threshold=limit, unit="seconds")
    age = _age(seen, backups.verified)
    findings = []
    if backups.last_verify == ExitStatus.DAMAGED:
        message = "the last verification found damage in the backups"
        advice = "aml backup verify tells what is touched; aml backup create writes again what the store still has"
        findings.append(_untried("last", Level.CRITICAL, message, advice))
    elif backups.last_verify:
        message = f"the last verification failed (exit status {backups.last_verify})"
        findings.append(_untried("last", Level.WARNING, message, "aml backup verify tells why"))
    if age is None:
        findings.append(_untried("", Level.INFO, "the backups were never verified", "aml backup verify"))
    elif age > limit:
        message = f"the backups were verified {format_age(age)} ago"
        findings.append(_untried("", Level.WARNING, message, "aml backup verify", age, limit, "seconds"))
    return Measure(tuple(findings), age, limit, "seconds")


def _drill(seen: Inspection) -> Measure:
    backups, limit = seen.backups, seen.thresholds.drill_days * SECONDS_PER_DAY
    if not backups.count:
        return Measure(threshold=limit, unit="seconds")
    age = _age(seen, backups.drilled)
    findings = []
    if backups.last_drill:
        message = f"the last drill failed (exit status {backups.last_drill}): a backup did not come back as it was"
        advice = "aml backup drill tells which files; aml backup verify tells what is damaged"
        findings.append(_undrilled("last", Level.ERROR, message, advice))
    if age is None:
        findings.append(_undrilled("", Level.INFO, "no backup was ever restored to try it", "aml backup drill"))
    elif age > limit:
        message = f"a backup was last restored to try it {format_age(age)} ago"
        findings.append(_undrilled("", Level.WARNING, message, "aml backup drill", age, limit, "seconds"))
    return Measure(tuple(findings), age, limit, "seconds")


BACKUPS = (
    Check("backup", "there is a complete backup, and it is new", _backup),
    Check("verification", "the backups were verified, and are whole", _verification),
    Check("drill", "a backup was restored to try it, and came back", _drill),
)
