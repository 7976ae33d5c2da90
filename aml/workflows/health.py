"""The health of a store: all checks, or some, and the run noted."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from aml.config import Settings
from aml.errors import AmlError, UsageError
from aml.ledger.operations import Operation, note_operation
from aml.ledger.runs import Journal
from aml.model.timestamps import to_iso
from aml.monitor.checks import CHECKS
from aml.monitor.findings import Level
from aml.monitor.health import HealthReport, run_checks, status_of
from aml.monitor.inspection import Inspection
from aml.monitor.thresholds import Thresholds
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.conditions import Conditions, destination_of, doubt_about, limits_of, unfinished_restore

CHECK_NAMES = tuple(check.name for check in CHECKS)


def thresholds_of(settings: Settings) -> Thresholds:
    """What the settings hold the measures against."""
    return Thresholds(
        **structs.asdict(settings.health),
        agent_mb=settings.space.agent_mb,
        store_mb=settings.space.store_mb,
        loss=limits_of(settings.prune, None),
    )


def check_health(
    store: Store,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    settings: Settings | None = None,
    checks: Sequence[str] = (),
    skip: Sequence[str] = (),
    fail_on: Level = Level.ERROR,
    record: bool = True,
    secrets: Sequence[Path] = (),
    user_cache: Path | None = None,
) -> HealthReport:
    """Run the ``checks`` of those names (default: all) but those to ``skip``; nothing in the store is ever changed.

    ``now`` in seconds since 1970 UTC. Levels from ``fail_on`` on count in the exit status. With ``record`` the run is
    noted as the last of its kind, where that can be done; without it nothing is written at all. ``secrets`` are files
    that only their owner may read. Raises UsageError for an unknown check, and where none is left.
    """
    settings = settings or Settings()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    began = time.monotonic()
    wanted = _chosen(checks, skip)
    inspection = Inspection(
        store,
        destination_of(store, conditions, writes=False),
        moment,
        thresholds_of(settings),
        writes=record,
        tells_what_came_back="resurrected" in wanted,
        clock_doubt=lambda: doubt_about(store, Journal(store), moment, conditions),
        unfinished_restore=lambda: unfinished_restore(store),
        secrets=secrets,
        user_cache=user_cache,
    )
    results = run_checks(CHECKS, wanted, inspection)
    level, status = status_of(results, fail_on)
    agents, records = inspection.counted()
    report = HealthReport(to_iso(moment), level, fail_on.word, agents, records, results, (), status)
    if record and os.access(store.state if store.state.is_dir() else store.state.parent, os.W_OK):
        counts = {one.word: sum(finding.level is one for finding in report.findings) for one in Level}
        try:
            seconds = round(time.monotonic() - began, 3)
            note_operation(store, Operation("health", report.time, seconds, int(status), "", counts))
        except AmlError as error:
            return structs.replace(report, notes=(f"this check could not be noted: {error.message}",))
    return report


def _chosen(checks: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    wanted = choose(tuple(checks), CHECK_NAMES, "check")
    left_out = choose(tuple(skip), CHECK_NAMES, "check") if skip else ()
    left = tuple(name for name in wanted if name not in left_out)
    if not left:
        raise UsageError("no check is left to run", advice="skip fewer of them")
    return left


#: As the public API calls it.
health = check_health
