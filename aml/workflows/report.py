"""One report of all that is known of a store: figures, checks, alerts, what was removed, backups."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from aml import __version__
from aml.config import Settings
from aml.errors import AmlError, UsageError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE
from aml.index.index import Index
from aml.model.timestamps import SECONDS_PER_DAY, parse_timestamp, to_iso
from aml.monitor.alert_file import read_alerts
from aml.monitor.alerts import Alert
from aml.monitor.health import HealthReport
from aml.monitor.metrics import Metrics
from aml.monitor.removals import look_at_removals
from aml.monitor.report.data import GENERATOR, BackupPoint, ReportData, SizePoint
from aml.monitor.report.health import overall_of
from aml.monitor.samples import Sample, read_samples
from aml.repository.manifest import Scope
from aml.repository.snapshots import Snapshot, list_snapshots
from aml.store.open import Store
from aml.workflows.conditions import Conditions, destination_of
from aml.workflows.health import check_health
from aml.workflows.metrics import collect_metrics, write_for_others

#: How many runs and backups are told of, the newest.
_RUNS, _BACKUPS = 50, 10
#: Where a page tells that it is a report.
_HEAD_BYTES = 1024
#: Alerts that are over are told of for so long (seconds).
_RECENT = 7 * SECONDS_PER_DAY


def make_report(
    store: Store,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    settings: Settings | None = None,
    record: bool = True,
    user_cache: Path | None = None,
    health: HealthReport | None = None,
    index: Index | None = None,
) -> ReportData:
    """All that is known of a store, ``now`` (seconds since 1970 UTC).

    As with ``collect_metrics``, the index is brought up to date and a sample kept, but with ``record`` only; what the
    checks find opens no alert. What cannot be looked at is left out and told. Who asks again and again may give a
    ``health`` that was just checked, and an open ``index``. Raises AmlError where the store cannot be listed.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    # first, so that no check tells of an index that is up to date by now
    collected = collect_metrics(
        store, now=moment, conditions=conditions, record=record, user_cache=user_cache, index=index
    )
    metrics = collected.metrics
    health = health or check_health(
        store,
        now=moment,
        conditions=conditions,
        settings=settings,
        record=False,
        writes=record,
        user_cache=user_cache,
    )
    # the checks tell of damaged files, and more of them
    damaged = {f"left out: {one.agent}/{one.kind}: {one.problem}" for one in metrics.damaged}
    notes = [one for one in (*collected.notes, *health.notes) if one not in damaged]
    removals = look_at_removals(store, _RUNS)
    snapshots = _snapshots(store, conditions)
    return ReportData(
        store=str(store.root),
        time=to_iso(moment),
        version=__version__,
        overall=overall_of(health, metrics.counts.records, metrics.counts.agents),
        health=health,
        metrics=metrics,
        history=_history(_samples(store), snapshots, metrics),
        removals=removals.runs,
        alerts=_alerts(store, moment, notes),
        backups=tuple(_backup_point(one) for one in reversed(snapshots[-_BACKUPS:])),
        notes=tuple(dict.fromkeys((*notes, *removals.problems))),
    )


def _samples(store: Store) -> Sequence[Sample]:
    try:
        return read_samples(store)
    except AmlError:
        return ()  # told by those who collect the figures


def _snapshots(store: Store, conditions: Conditions) -> list[Snapshot]:
    try:
        return list_snapshots(destination_of(store, conditions, writes=False)).readable
    except AmlError:
        return []  # told by those who collect the figures


def _history(samples: Sequence[Sample], snapshots: Sequence[Snapshot], metrics: Metrics) -> tuple[SizePoint, ...]:
    """The store over time, up to now; backups tell of times from which there is no sample."""
    now = SizePoint(metrics.time, metrics.size.bytes, metrics.counts.records, "now")
    points = [SizePoint(to_iso(one.time), one.bytes, one.total, "sample") for one in samples]
    first = points[0].time if points else now.time
    for one in snapshots:
        when = to_iso(one.manifest.time.timestamp())
        if one.manifest.scope == Scope() and one.manifest.complete and when < first:
            points.append(SizePoint(when, one.manifest.totals.bytes, None, "backup"))
    # a clock that once stood wrong must not bend the line
    past = sorted((one for one in points if one.time < now.time), key=lambda one: one.time)
    return (*past, now)


def _alerts(store: Store, now: float, notes: list[str]) -> tuple[Alert, ...]:
    try:
        known = read_alerts(store)
    except AmlError as error:
        notes.append(f"left out: the alerts: {error.message}")
        return ()
    recent = [one for one in known.resolved() if _age(one, now) < _RECENT]
    return (*known.opened(), *recent)


def _age(alert: Alert, now: float) -> float:
    over = None if alert.resolved is None else parse_timestamp(alert.resolved.when)
    return now - (now if over is None else over)


def _backup_point(snapshot: Snapshot) -> BackupPoint:
    manifest = snapshot.manifest
    return BackupPoint(
        id=snapshot.id,
        time=to_iso(manifest.time.timestamp()),
        kind=manifest.kind,
        agents=manifest.scope.agents,
        files=manifest.totals.files,
        bytes=manifest.totals.bytes,
        added_bytes=manifest.totals.added_bytes,
        tags=tuple(manifest.tags),
        complete=manifest.complete,
    )


def write_report(
    store: Store, path: Path, page: str, conditions: Conditions, *, settings_file: Path | None = None
) -> None:
    """Write a report to a file that its owner alone may read, in one step.

    Raises UsageError where the file would lie in the store or in what belongs to it, is a settings file as with
    ``write_for_others``, or where another file is there that is no report, and FileAccessError.
    """
    head = _head_of(path)
    if head and GENERATOR.encode() not in head:
        raise UsageError(f"{path} is there, and is no report", advice="name another file, or move it away")
    write_for_others(store, path, page.encode(), conditions, settings_file=settings_file, mode=PRIVATE_FILE)


def _head_of(path: Path) -> bytes:
    """The beginning of a file; nothing where none is."""
    with explained("read", path):
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)


#: As the public API calls it.
report = make_report
