"""The checks run one by one, and what came of each."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from aml.errors import AmlError, ExitStatus
from aml.fs.access import explain
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level, LevelWord
from aml.monitor.inspection import Inspection

#: States of a check beside the words of levels: it passed; it could not be run; nobody asked for it.
OK, NOT_RUN, SKIPPED = "ok", "not_run", "skipped"


class CheckResult(Struct, frozen=True):
    """What one check came to: its ``state`` is ok, the worst level of its findings, not_run, or skipped.

    ``about`` says what is well where it passes. ``seconds`` is how long it took, and whatever it was the first to need.
    ``value`` is what it measured and ``threshold`` what that is held against, in ``unit``.
    """

    name: str
    about: str
    state: str
    seconds: float = 0.0
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    findings: tuple[Finding, ...] = ()


class AlertTally(Struct, frozen=True):
    """What the findings did to the alerts: how many were opened, rose in level, were resolved, and are open now.

    ``waiting`` is how many messages wait for the webhook.
    """

    opened: int
    escalated: int
    resolved: int
    open: int
    waiting: int


class HealthReport(Struct, frozen=True):
    """The health of a store at ``time`` (ISO 8601 UTC): ``level`` is ok or the worst level of all findings.

    ``agents`` and ``records`` say how much was looked at; None where no check needed that. ``notes`` are worth knowing.
    ``alerts`` is None where the findings were not to be taken up, or could not be.
    """

    time: str
    level: str
    fail_on: LevelWord
    agents: int | None
    records: int | None
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...]
    status: ExitStatus
    alerts: AlertTally | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, the worst first."""
        found = [finding for one in self.checks for finding in one.findings]
        return tuple(sorted(found, key=lambda finding: -finding.level))

    @property
    def ran(self) -> tuple[str, ...]:
        """The checks that came to an end: only those say that something has passed."""
        return tuple(one.name for one in self.checks if one.state not in (NOT_RUN, SKIPPED))


def run_checks(known: Sequence[Check], wanted: Sequence[str], inspection: Inspection) -> tuple[CheckResult, ...]:
    """The results of all ``known`` checks, of which those that are ``wanted`` run. None of them stops the others."""
    return tuple(
        _run(one, inspection) if one.name in wanted else CheckResult(one.name, one.about, SKIPPED) for one in known
    )


def _run(check: Check, inspection: Inspection) -> CheckResult:
    began = time.perf_counter()
    state = None
    try:
        measure = check.look(inspection)
    except Exception as error:  # noqa: BLE001  (a check that breaks is a finding, and hides no other)
        state = NOT_RUN
        measure = Measure((_broken(check, error),))
    worst = max((finding.level for finding in measure.findings), default=None)
    return CheckResult(
        check.name,
        check.about,
        state or (OK if worst is None else worst.word),
        round(time.perf_counter() - began, 4),
        measure.value,
        measure.threshold,
        measure.unit,
        measure.findings,
    )


def _broken(check: Check, error: Exception) -> Finding:
    if isinstance(error, OSError) and error.filename:
        error = explain(error, "use", Path(os.fsdecode(error.filename)))
    if isinstance(error, AmlError):
        return Finding(check.name, "", Level.ERROR, f"the check could not run: {error.message}", error.advice)
    if isinstance(error, MemoryError):
        message = "the check could not run: there is not enough memory for it"
        return Finding(check.name, "", Level.ERROR, message, "free some, or allow this process more of it")
    advice = "this is a fault of AML's own; the other checks are not touched by it"
    return Finding(check.name, "", Level.ERROR, f"the check could not run: {type(error).__name__}: {error}", advice)


def status_of(checks: Sequence[CheckResult], fail_on: Level) -> tuple[str, ExitStatus]:
    """The worst level of all findings, and the exit status that it is worth: 0 where it is under ``fail_on``."""
    worst = max((finding.level for one in checks for finding in one.findings), default=None)
    if worst is None:
        return OK, ExitStatus.DONE
    if worst < fail_on:
        return worst.word, ExitStatus.DONE
    return worst.word, ExitStatus.HEALTH_CRITICAL if worst >= Level.ERROR else ExitStatus.HEALTH_WARNING
