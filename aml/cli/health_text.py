"""What ``aml monitor health`` prints for people: trouble first, each with what mends it."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
from msgspec import Struct

from aml.cli.invocation import Invocation
from aml.cli.lines import advised, amount, folded
from aml.cli.text import count
from aml.errors import ExitStatus
from aml.monitor.findings import Finding, Level, LevelWord, level_of
from aml.monitor.health import NOT_RUN, OK, SKIPPED, AlertTally, CheckResult, HealthReport

_INDENT = " " * 10


class ShownFinding(Struct, frozen=True):
    """A finding, with its level by its word."""

    check: str
    subject: str
    level: LevelWord
    message: str
    advice: str
    value: float | None
    threshold: float | None
    unit: str
    details: tuple[str, ...]


class ShownCheck(Struct, frozen=True):
    """What one check came to."""

    name: str
    about: str
    state: Literal["ok", "info", "warning", "error", "critical", "not_run", "skipped"]
    seconds: float
    value: float | None
    threshold: float | None
    unit: str
    findings: tuple[ShownFinding, ...]


class ShownHealth(Struct, frozen=True):
    """The report as JSON shows it."""

    time: str
    level: Literal["ok", "info", "warning", "error", "critical"]
    fail_on: LevelWord
    agents: int | None
    records: int | None
    checks: tuple[ShownCheck, ...]
    notes: tuple[str, ...]
    status: ExitStatus
    alerts: AlertTally | None


def health_document(report: HealthReport) -> ShownHealth:
    """The report with levels by their words."""
    document: dict[str, Any] = msgspec.to_builtins(report)
    for check in document["checks"]:
        for finding in check["findings"]:
            finding["level"] = Level(finding["level"]).word
    return msgspec.convert(document, ShownHealth)


def write_health(invocation: Invocation, report: HealthReport) -> None:
    """Every finding and a summary; nothing where nothing reaches the level that fails and quiet is wanted."""
    if invocation.quiet and report.status is ExitStatus.DONE:
        return
    # in a mail from cron, what does not fail would hide what does
    lowest = level_of(report.fail_on) if invocation.quiet else Level.INFO
    for finding in report.findings:
        if finding.level >= lowest:
            _write_finding(invocation, finding)
    if invocation.verbose:
        _write_passed(invocation, report)
    _write(invocation, "health: ", _summary(report))


def _write_finding(invocation: Invocation, finding: Finding) -> None:
    about = finding.check + (f" ({finding.subject})" if finding.subject else "")
    _write(invocation, f"{finding.level.word:<{len(_INDENT)}}", f"{about}: {finding.message}")
    for line in finding.details if invocation.verbose else ():
        _write(invocation, f"{_INDENT}- ", line)
    for line in advised(invocation, f"{_INDENT}mend: ", finding.advice) if finding.advice else ():
        invocation.out.write(f"{line}\n")


def _write_passed(invocation: Invocation, report: HealthReport) -> None:
    for check in report.checks:
        if check.state in (OK, SKIPPED):
            _write(invocation, f"{check.state:<{len(_INDENT)}}", f"{check.name}: {check.about}{_measured(check)}")


def _measured(check: CheckResult) -> str:
    if check.value is None:
        return ""
    limit = f", limit {amount(check.threshold, check.unit)}" if check.threshold else ""
    return f" ({amount(check.value, check.unit)}{limit})"


def _write(invocation: Invocation, head: str, text: str) -> None:
    for line in folded(invocation, head, text):
        invocation.out.write(f"{line}\n")


def _found(level: Level, number: int) -> str:
    plural = "s" if number > 1 and level in (Level.WARNING, Level.ERROR) else ""
    return f"{number:,} {level.word}{plural}"


def _summary(report: HealthReport) -> str:
    levels = Counter(finding.level for finding in report.findings)
    found = [_found(level, levels[level]) for level in reversed(Level) if levels[level]]
    ran = sum(check.state != SKIPPED for check in report.checks)
    broken = sum(check.state == NOT_RUN for check in report.checks)
    parts = [", ".join(found) if found else "all is well", f"{count(ran, 'check')} run"]
    if broken:
        parts.append(f"{broken} could not")
    if report.agents is not None and report.records is not None:
        parts.append(f"{count(report.agents, 'agent')}, {count(report.records, 'record')}")
    if report.alerts is not None and report.alerts.open:
        new = f", {report.alerts.opened:,} of them new" if report.alerts.opened else ""
        parts.append(f"{count(report.alerts.open, 'alert')} open{new}")
    return "; ".join(parts)
