"""What a report is made of, in whatever form: the same figures, findings and histories for all of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aml.monitor.alerts import Alert
from aml.monitor.findings import Finding, Level
from aml.monitor.health import HealthReport
from aml.monitor.metrics import Metrics
from aml.monitor.removals import Removal

#: By this a page is known to be a report.
GENERATOR = '<meta name="generator" content="AML'

State = Literal["healthy", "empty", "warning", "error", "critical"]


class Overall(Struct, frozen=True):
    """How a store is, in one word and in one sentence, and a second one that says more."""

    state: State
    sentence: str
    more: str


class SizePoint(Struct, frozen=True):
    """The store at a time (ISO 8601 UTC): bytes on disk and, where that is known, records; by a sample of the figures
    or by a backup."""

    time: str
    bytes: int
    records: int | None
    source: Literal["sample", "backup", "now"]


class BackupPoint(Struct, frozen=True):
    """One backup: sizes in bytes, of what it holds and of what it added; ``agents`` None is the whole store."""

    id: str
    time: str
    kind: str
    agents: tuple[str, ...] | None
    files: int
    bytes: int
    added_bytes: int
    tags: tuple[str, ...]
    complete: bool


class ReportData(Struct, frozen=True):
    """All that a report tells. ``time`` is ISO 8601 UTC, ``version`` that of AML.

    ``history`` is the store over time, the oldest first; ``removals`` and ``backups`` are the newest ones, the newest
    first; of ``alerts`` those that last come first. ``notes`` tell of what could not be looked at.
    """

    store: str
    time: str
    version: str
    overall: Overall
    health: HealthReport
    metrics: Metrics
    history: tuple[SizePoint, ...]
    removals: tuple[Removal, ...]
    alerts: tuple[Alert, ...]
    backups: tuple[BackupPoint, ...]
    notes: tuple[str, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What wants attention, the worst first."""
        return tuple(one for one in self.health.findings if one.level >= Level.WARNING)
