"""Checks of the health of small real stores: run in this process, with nothing recorded, at NOW."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aml.config import Settings
from aml.monitor.findings import Finding
from aml.monitor.health import CheckResult, HealthReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.health import check_health
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import make_store

HOUR, DAY = 3600.0, 86_400.0


def health(
    memory: Path, *checks: str, now: float = NOW.timestamp(), settings: Settings | None = None, **more: Any
) -> HealthReport:
    """The report of these checks (all where none is named)."""
    conditions = more.pop("conditions", Conditions())
    record = more.pop("record", False)
    store = open_store(memory)
    return check_health(store, now=now, settings=settings, checks=checks, record=record, conditions=conditions, **more)


def result(report: HealthReport, name: str) -> CheckResult:
    (found,) = [one for one in report.checks if one.name == name]
    return found


def checked(memory: Path, name: str, **more: Any) -> CheckResult:
    """What one check alone came to."""
    return result(health(memory, name, **more), name)


def only_finding(memory: Path, name: str, **more: Any) -> Finding:
    (finding,) = checked(memory, name, **more).findings
    return finding


def subjects(one: CheckResult) -> dict[str, str]:
    """The level of each finding by its subject: no two findings of a check have the same."""
    found = {finding.subject: finding.level.word for finding in one.findings}
    assert len(found) == len(one.findings)
    return found


def store_with(tmp_path: Path, patterns: Sequence[Any] | None = None, **more: Any) -> Path:
    """A store of one agent, alpha, with all kinds of records."""
    records = {
        "patterns": [pattern(), pattern(tags=["a"])] if patterns is None else patterns,
        "solutions": [solution()],
        "decisions": [decision(), decision(would_repeat=True, scores={"maintainability": 0.5})],
    }
    return make_store(tmp_path, {"alpha": records}, **more)
