"""The health of a store: all checks, or some, and the run noted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs

from aml.config import Settings
from aml.errors import AmlError, UsageError
from aml.fs.access import lack_of
from aml.ledger.operations import Operation, note_operation
from aml.ledger.runs import Journal
from aml.model.timestamps import to_iso
from aml.monitor.checks import CHECKS
from aml.monitor.findings import Level
from aml.monitor.health import AlertTally, HealthReport, run_checks, status_of
from aml.monitor.inspection import Inspection
from aml.monitor.thresholds import Thresholds
from aml.store.layout import choose
from aml.store.open import Store
from aml.workflows.alerts import secret_file, take_up
from aml.workflows.conditions import Conditions, destination_of, doubt_about, limits_of
from aml.workflows.notes import unfinished_restore

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
    writes: bool | None = None,
    secret: str | None = None,
    user_cache: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> HealthReport:
    """Run the ``checks`` of those names (default: all) but those to ``skip``; nothing in the store is ever changed.

    ``now`` in seconds since 1970 UTC. Levels from ``fail_on`` on count in the exit status. With ``record`` what was
    found becomes alerts and the run is noted as the last of its kind (not so a look at a few ``checks``, which says
    little of the store), where that can be done, and the webhook is told, signed with ``secret`` or that of the
    settings' file; without it nothing is written at all. ``writes`` is whether AML is meant to write here, where that
    is not the same. Raises UsageError for an unknown check, and where none is left.
    """
    settings = settings or Settings()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    began = time.monotonic()
    wanted = _chosen(checks, skip)
    key = secret_file(store, settings)
    inspection = Inspection(
        store,
        destination_of(store, conditions, writes=False),
        moment,
        thresholds_of(settings),
        writes=record if writes is None else writes,
        tells_what_came_back="resurrected" in wanted,
        clock_doubt=lambda: doubt_about(store, Journal(store), moment, conditions),
        unfinished_restore=lambda: unfinished_restore(store),
        secrets=() if key is None else (key,),
        user_cache=user_cache,
    )
    results = run_checks(CHECKS, wanted, inspection)
    level, status = status_of(results, fail_on)
    agents, records = inspection.counted()
    report = HealthReport(to_iso(moment), level, fail_on.word, agents, records, results, (), status)
    if not record:
        return report
    folder = store.state if os.path.isdir(store.state) else store.state.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        note = f"what was found is not kept as alerts: {lack_of('write to', 'wx', folder)} (or say --no-record)"
        return structs.replace(report, notes=(note,))
    tally, notes = _to_alerts(store, report, moment, settings, secret, warn)
    if len(_chosen(checks, ())) == len(CHECK_NAMES):
        notes += _noted(store, report, round(time.monotonic() - began, 3))
    return structs.replace(report, alerts=tally, notes=tuple(notes))


def _to_alerts(
    store: Store, report: HealthReport, now: float, settings: Settings, secret: str | None, warn: Callable[[str], None]
) -> tuple[AlertTally | None, list[str]]:
    """Take the findings up as alerts; returns why that failed, if so: they are told all the same."""
    try:
        found = take_up(store, report.findings, report.ran, now=now, settings=settings, secret=secret, warn=warn)
    except AmlError as error:
        return None, [f"what was found could not become alerts: {error}"]
    tally = AlertTally(len(found.opened), len(found.escalated), len(found.resolved), found.open, found.waiting)
    return tally, list(found.problems)


def _noted(store: Store, report: HealthReport, seconds: float) -> list[str]:
    """Note the run as the last of its kind; returns why that failed, if so."""
    counts: dict[str, int] = {one.word: sum(finding.level is one for finding in report.findings) for one in Level}
    try:
        note_operation(store, Operation("health", report.time, seconds, int(report.status), "", counts))
    except AmlError as error:
        return [f"this check could not be noted: {error.message}"]
    return []


def _chosen(checks: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    wanted = choose(tuple(checks), CHECK_NAMES, "check")
    left_out = choose(tuple(skip), CHECK_NAMES, "check") if skip else ()
    left = tuple(name for name in wanted if name not in left_out)
    if not left:
        raise UsageError("no check is left to run", advice="skip fewer of them")
    return left


#: As the public API calls it.
health = check_health
