"""AML (Agent Memory & Learning) keeps the memory of AI agents healthy.

The public Python API. Names are loaded on first use, so that ``import aml`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from aml.backup.compare import DiffReport as DiffReport
    from aml.backup.create import BackupReport as BackupReport
    from aml.backup.drill import DrillReport as DrillReport
    from aml.backup.keep import KeepRules as KeepRules
    from aml.backup.options import BackupOptions as BackupOptions
    from aml.backup.options import RestoreOptions as RestoreOptions
    from aml.backup.restore import RestoreReport as RestoreReport
    from aml.backup.rotate import RotateReport as RotateReport
    from aml.errors import AmlError as AmlError
    from aml.errors import ChangedError as ChangedError
    from aml.errors import ClockError as ClockError
    from aml.errors import DamagedError as DamagedError
    from aml.errors import ExitStatus as ExitStatus
    from aml.errors import FileAccessError as FileAccessError
    from aml.errors import HookError as HookError
    from aml.errors import LockedError as LockedError
    from aml.errors import NotFoundError as NotFoundError
    from aml.errors import SchemaError as SchemaError
    from aml.errors import SettingsError as SettingsError
    from aml.errors import StoreNotFoundError as StoreNotFoundError
    from aml.errors import UsageError as UsageError
    from aml.index.loader import MemoryLoader as MemoryLoader
    from aml.index.query import Found as Found
    from aml.index.query import Query as Query
    from aml.index.reading import StoredRecord as StoredRecord
    from aml.index.statistics import Statistics as Statistics
    from aml.ledger.budget import Limits as Limits
    from aml.ledger.undo import UndoReport as UndoReport
    from aml.migrate.detect import DetectReport as DetectReport
    from aml.migrate.options import MigrateOptions as MigrateOptions
    from aml.migrate.report import MigrateReport as MigrateReport
    from aml.monitor.alerts import Alert as Alert
    from aml.monitor.findings import Finding as Finding
    from aml.monitor.findings import Level as Level
    from aml.monitor.health import CheckResult as CheckResult
    from aml.monitor.health import HealthReport as HealthReport
    from aml.monitor.metrics import Metrics as Metrics
    from aml.monitor.report.data import ReportData as ReportData
    from aml.monitor.report.page import html_report as html_report
    from aml.optimize.compress import CompressOptions as CompressOptions
    from aml.optimize.compress_report import CompressReport as CompressReport
    from aml.optimize.garbage import Pins as Pins
    from aml.optimize.gc_plan import GcOptions as GcOptions
    from aml.optimize.gc_report import GcReport as GcReport
    from aml.prune.explain import ExplainReport as ExplainReport
    from aml.prune.options import PruneOptions as PruneOptions
    from aml.prune.report import PruneReport as PruneReport
    from aml.store.open import Store as Store
    from aml.store.open import open_store as open_store
    from aml.workflows.alerts import AlertList as AlertList
    from aml.workflows.alerts import acknowledge_alert as acknowledge_alert
    from aml.workflows.alerts import alert_history as alert_history
    from aml.workflows.alerts import list_alerts as list_alerts
    from aml.workflows.alerts import resolve_alert as resolve_alert
    from aml.workflows.alerts import show_alert as show_alert
    from aml.workflows.alerts import try_webhook as try_webhook
    from aml.workflows.backup import BackupDetails as BackupDetails
    from aml.workflows.backup import BackupList as BackupList
    from aml.workflows.backup import backup as backup
    from aml.workflows.backup import diff_backups as diff_backups
    from aml.workflows.backup import list_backups as list_backups
    from aml.workflows.backup import show_backup as show_backup
    from aml.workflows.compress import compress as compress
    from aml.workflows.conditions import Conditions as Conditions
    from aml.workflows.explain import prune_explain as prune_explain
    from aml.workflows.gc import collect_garbage as collect_garbage
    from aml.workflows.health import health as health
    from aml.workflows.index import IndexReport as IndexReport
    from aml.workflows.index import QueryReport as QueryReport
    from aml.workflows.index import WarmReport as WarmReport
    from aml.workflows.index import optimize_index as optimize_index
    from aml.workflows.index import query as query
    from aml.workflows.index import show_record as show_record
    from aml.workflows.index import warm_cache as warm_cache
    from aml.workflows.metrics import MetricsReport as MetricsReport
    from aml.workflows.metrics import collect_metrics as collect_metrics
    from aml.workflows.migrate import MigrateHistory as MigrateHistory
    from aml.workflows.migrate import detect_schema as detect_schema
    from aml.workflows.migrate import migrate as migrate
    from aml.workflows.migrate import migrate_history as migrate_history
    from aml.workflows.optimize import OptimizeReport as OptimizeReport
    from aml.workflows.optimize import optimize as optimize
    from aml.workflows.prune import prune as prune
    from aml.workflows.prune_plans import prune_apply as prune_apply
    from aml.workflows.prune_plans import prune_plan as prune_plan
    from aml.workflows.report import report as report
    from aml.workflows.restore import restore as restore
    from aml.workflows.undo import prune_history as prune_history
    from aml.workflows.undo import prune_undo as prune_undo
    from aml.workflows.upkeep import AutoReport as AutoReport
    from aml.workflows.upkeep import VerifyReport as VerifyReport
    from aml.workflows.upkeep import auto_backup as auto_backup
    from aml.workflows.upkeep import drill as drill
    from aml.workflows.upkeep import rotate_backups as rotate_backups
    from aml.workflows.upkeep import verify_backups as verify_backups

_HOMES: dict[str, tuple[str, ...]] = {
    "aml.backup.compare": ("DiffReport",),
    "aml.backup.create": ("BackupReport",),
    "aml.backup.drill": ("DrillReport",),
    "aml.backup.keep": ("KeepRules",),
    "aml.backup.options": ("BackupOptions", "RestoreOptions"),
    "aml.backup.restore": ("RestoreReport",),
    "aml.backup.rotate": ("RotateReport",),
    "aml.errors": (
        "AmlError",
        "ChangedError",
        "ClockError",
        "DamagedError",
        "ExitStatus",
        "FileAccessError",
        "HookError",
        "LockedError",
        "NotFoundError",
        "SchemaError",
        "SettingsError",
        "StoreNotFoundError",
        "UsageError",
    ),
    "aml.index.loader": ("MemoryLoader",),
    "aml.index.query": ("Found", "Query"),
    "aml.index.reading": ("StoredRecord",),
    "aml.index.statistics": ("Statistics",),
    "aml.ledger.budget": ("Limits",),
    "aml.ledger.undo": ("UndoReport",),
    "aml.migrate.detect": ("DetectReport",),
    "aml.migrate.options": ("MigrateOptions",),
    "aml.migrate.report": ("MigrateReport",),
    "aml.monitor.alerts": ("Alert",),
    "aml.monitor.findings": ("Finding", "Level"),
    "aml.monitor.health": ("CheckResult", "HealthReport"),
    "aml.monitor.metrics": ("Metrics",),
    "aml.monitor.report.data": ("ReportData",),
    "aml.monitor.report.page": ("html_report",),
    "aml.optimize.compress": ("CompressOptions",),
    "aml.optimize.compress_report": ("CompressReport",),
    "aml.optimize.garbage": ("Pins",),
    "aml.optimize.gc_plan": ("GcOptions",),
    "aml.optimize.gc_report": ("GcReport",),
    "aml.prune.explain": ("ExplainReport",),
    "aml.prune.options": ("PruneOptions",),
    "aml.prune.report": ("PruneReport",),
    "aml.store.open": ("Store", "open_store"),
    "aml.workflows.alerts": (
        "AlertList",
        "acknowledge_alert",
        "alert_history",
        "list_alerts",
        "resolve_alert",
        "show_alert",
        "try_webhook",
    ),
    "aml.workflows.backup": ("BackupDetails", "BackupList", "backup", "diff_backups", "list_backups", "show_backup"),
    "aml.workflows.compress": ("compress",),
    "aml.workflows.conditions": ("Conditions",),
    "aml.workflows.explain": ("prune_explain",),
    "aml.workflows.gc": ("collect_garbage",),
    "aml.workflows.health": ("health",),
    "aml.workflows.index": (
        "IndexReport",
        "QueryReport",
        "WarmReport",
        "optimize_index",
        "query",
        "show_record",
        "warm_cache",
    ),
    "aml.workflows.metrics": ("MetricsReport", "collect_metrics"),
    "aml.workflows.migrate": ("MigrateHistory", "detect_schema", "migrate", "migrate_history"),
    "aml.workflows.optimize": ("OptimizeReport", "optimize"),
    "aml.workflows.prune": ("prune",),
    "aml.workflows.prune_plans": ("prune_apply", "prune_plan"),
    "aml.workflows.report": ("report",),
    "aml.workflows.restore": ("restore",),
    "aml.workflows.undo": ("prune_history", "prune_undo"),
    "aml.workflows.upkeep": ("AutoReport", "VerifyReport", "auto_backup", "drill", "rotate_backups", "verify_backups"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__"]
__all__ += list(_HOME_OF)


class _Api(ModuleType):
    """This module, in which importing the package aml.prune does not hide the function of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Api


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'aml' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
