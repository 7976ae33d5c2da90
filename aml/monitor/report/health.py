"""The sections about a store's health: all checks, and the alerts that they led to."""

from __future__ import annotations

from pathlib import PurePath
from shlex import quote

from msgspec import Struct

from aml.model.units import count
from aml.monitor.alerts import Alert
from aml.monitor.findings import Finding, Level
from aml.monitor.health import OK, SKIPPED, HealthReport
from aml.monitor.report.commands import parted
from aml.monitor.report.content import Fact, Heading, Section, Table, ago
from aml.monitor.report.data import Overall, ReportData, State
from aml.monitor.report.memory import now_of
from aml.store.open import DEFAULT_STORE

#: Findings that are told at the top; all stand among the checks.
_FIRST = 5
#: Findings and alerts that are listed at most.
_MOST_FINDINGS, _MOST_ALERTS = 100, 50


class Urgent(Struct, frozen=True):
    """A finding that stands at the top, and how many of the same check and level it stands for."""

    finding: Finding
    others: int

    @property
    def words(self) -> str:
        return told(self.finding) + (f"; and {self.others:,} more like it" if self.others else "")


def urgent(data: ReportData, most: int = _FIRST) -> tuple[tuple[Urgent, ...], int]:
    """What wants attention first, the worst first, and how many findings that leaves out. Where they are more than
    ``most``, one stands for all of its check and level: else a single check would hide the others."""
    findings = data.findings
    if len(findings) <= most:
        return tuple(Urgent(one, 0) for one in findings), 0
    groups: dict[tuple[str, Level], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.check, one.level), []).append(one)
    first = tuple(Urgent(group[0], len(group) - 1) for group in groups.values())[:most]
    return first, len(findings) - sum(1 + one.others for one in first)


def overall_of(health: HealthReport, records: int, agents: int) -> Overall:
    """How a store is, by what its checks found."""
    findings = health.findings
    urgent = sum(one.level >= Level.ERROR for one in findings)
    rest = sum(one.level == Level.WARNING for one in findings)
    passed = sum(one.state in (OK, Level.INFO.word) for one in health.checks)
    ran = sum(one.state != SKIPPED for one in health.checks)
    more = f"{passed} of {count(ran, 'check')} passed."
    worst = findings[0].level if findings else Level.INFO
    if worst > Level.INFO:
        state: State = "critical" if worst is Level.CRITICAL else "error" if worst is Level.ERROR else "warning"
        return Overall(state, _sentence(urgent, rest), more)
    if not agents and not records:
        return Overall("empty", "This store is empty and sound: no agent has written anything yet.", more)
    return Overall("healthy", "The memory is healthy.", more)


def _sentence(urgent: int, rest: int) -> str:
    attention = f"{'one thing' if rest == 1 else f'{rest} things'} {'wants' if rest == 1 else 'want'} attention"
    if not urgent:
        return f"{attention[0].upper()}{attention[1:]}."
    mending = f"{'One thing' if urgent == 1 else f'{urgent} things'} must be mended"
    return f"{mending}, and {attention}." if rest else f"{mending}."


def where_to_type(data: ReportData) -> str:
    """Where the commands that stand at the top are for; nothing where none does."""
    if not any(is_command for one in urgent(data)[0] for _, is_command in parted(one.finding.advice)):
        return ""
    path = PurePath(data.store)
    if path.parts[-2:] == DEFAULT_STORE.parts:
        return f"Commands are to be typed in {path.parent.parent}."
    return f"Commands are to be typed with --store {quote(data.store)}."


def health_section(data: ReportData) -> Section:
    """Everything that checks found, with what mends it."""
    findings = data.health.findings
    rows = tuple((one.level.word, one.check, told(one), one.advice) for one in findings[:_MOST_FINDINGS])
    headings = Heading("level", "level"), Heading("check", "word"), Heading("found"), Heading("what to do", "advice")
    left = len(findings) - len(rows)
    more = f" The {len(rows)} worst of {len(findings):,} findings are listed." if left else ""
    return Section(
        "health",
        "Health",
        f"{data.overall.more}{more}",
        facts=(Fact("Found nothing", ", ".join(one.name for one in data.health.checks if one.state == OK) or "none"),),
        tables=(Table("Findings", headings, rows, shown=20),) if rows else (),
    )


def passed_table(data: ReportData) -> Table:
    """The checks that found nothing, each with what it expects."""
    rows = tuple((one.state, one.name, one.about) for one in data.health.checks if one.state == OK)
    headings = Heading("result", "level"), Heading("check", "word"), Heading("what is expected")
    title = f"{count(len(rows), 'check')} found nothing"
    return Table(title, headings, rows, shown=0 if data.health.findings else None)


def told(finding: Finding) -> str:
    """What a finding is about, and what was found."""
    return f"{finding.subject}: {finding.message}" if finding.subject else finding.message


def alerts_section(data: ReportData) -> Section:
    """The alerts that are open, and those that were resolved of late."""
    now = now_of(data)
    headings = Heading("alert", "level"), Heading("about"), Heading("since", "time"), Heading("state")
    rows = tuple(
        (one.level, f"{_about(one)}: {one.message}", ago(one.opened, now), _state(one, now))
        for one in data.alerts[:_MOST_ALERTS]
    )
    lasting = sum(one.is_open for one in data.alerts)
    empty = "There are no alerts: aml monitor health opens one for each thing that it finds."
    return Section(
        "alerts",
        "Alerts",
        f"{count(lasting, 'alert')} {'is' if lasting == 1 else 'are'} open." if rows else "",
        tables=(Table("Alerts", headings, rows, shown=12),) if rows else (),
        empty="" if rows else empty if data.findings else "There are no alerts.",
    )


def _about(alert: Alert) -> str:
    return f"{alert.check} ({alert.subject})" if alert.subject else alert.check


def _state(alert: Alert, now: float) -> str:
    if alert.resolved is not None:
        return f"resolved {ago(alert.resolved.when, now)}"
    if alert.acknowledged is not None:
        note = f": {alert.acknowledged.note}" if alert.acknowledged.note else ""
        return f"open; acknowledged {ago(alert.acknowledged.when, now)}{note}"
    return "open"
