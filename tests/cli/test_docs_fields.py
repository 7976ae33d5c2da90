"""Every field, setting, rule and check that the program has is described where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest

from aml.backup.checked import Checked
from aml.backup.compare import DiffReport, FileDiff
from aml.backup.create import BackupReport, OddPath
from aml.backup.drill import DrillReport
from aml.backup.restore import RestoredFile, RestoreReport
from aml.backup.rotate import RotatedBackup, RotateReport
from aml.backup.staging import Staged
from aml.cli.config import Printed, SettingsFile, Shown, Written
from aml.cli.demo import DemoReport, DemoStep
from aml.cli.event_log import Event
from aml.cli.health_text import ShownCheck, ShownFinding, ShownHealth
from aml.cli.monitor_report import ShownReport
from aml.cli.schedule_files import ScheduleFile, ScheduleReport
from aml.config import (
    AlertSettings,
    BackupSettings,
    CompressSettings,
    GcSettings,
    HealthSettings,
    HookSettings,
    LogSettings,
    PruneSettings,
    RotateSettings,
    Setting,
    WebhookSettings,
)
from aml.fs.run_lock import Holder
from aml.index.index import Unread as UnreadByIndex
from aml.index.query import Query
from aml.index.state import IndexState
from aml.index.statistics import Statistics
from aml.ledger.archive import ArchivedRecord
from aml.ledger.budget import AgentBudget
from aml.ledger.latest import LastRun
from aml.ledger.operations import Operation
from aml.ledger.quarantine import Original
from aml.ledger.runs import Run, RunFile
from aml.ledger.undo import FileUndo, OriginalUndo, UndoReport
from aml.migrate.claim import Claim, Claimed
from aml.migrate.detect import DetectedFile, DetectReport
from aml.migrate.plan import BadRecord
from aml.migrate.report import MigratedFile, MigrateReport, SampleRecord
from aml.monitor.alerts import Acknowledged, Alert, Alerts, Delivery, Resolved
from aml.monitor.backups import BackupsSeen
from aml.monitor.checks import CHECKS
from aml.monitor.deliveries import Message
from aml.monitor.metrics import (
    AgentFigures,
    AgentKind,
    Ages,
    CacheFigures,
    Counts,
    DamagedFile,
    HistoryState,
    KindFigures,
    Metrics,
    QueryTimes,
    StoreSize,
)
from aml.monitor.removals import Removal
from aml.monitor.report.data import BackupPoint, Overall, SizePoint
from aml.monitor.samples import Growth, Sample
from aml.optimize.compress import Reason
from aml.optimize.compress_report import CompressedFile, CompressReport
from aml.optimize.garbage import Pins
from aml.optimize.gc_plan import GcOptions
from aml.optimize.gc_report import CLASSES, FileStep, GarbageRecord, GcFile, GcReport, LeftoverReport, OddElement
from aml.prune.explain import ExplainReport, Explanation, Purse, Removed, Unread
from aml.prune.report import FileReport, PruneReport, RecordReport, SpaceReport
from aml.prune.rules import RULES
from aml.prune.verdicts import Condition, Guard, Verdict
from aml.repository.check import AffectedFile, Finding
from aml.repository.manifest import FileEntry, FolderEntry
from aml.workflows.alerts import AlertList, ResolveReport, WebhookTrial
from aml.workflows.backup import AgentShare, BackupDetails, BackupLine, BackupList
from aml.workflows.index import IndexReport, QueryRecord, QueryReport, WarmReport
from aml.workflows.metrics import MetricsReport
from aml.workflows.migrate import MigrateHistory
from aml.workflows.optimize import OptimizePart, OptimizeReport
from aml.workflows.upkeep import AutoReport, VerifyReport
from tests.cli.running import PROJECT

DOCS = PROJECT / "docs"

FIELDS = [
    ("cli-output.md", ["schema", "command", "status", "exit", "data", "warnings", "errors"]),
    ("cli-output.md", PruneReport.__struct_fields__),
    ("cli-output.md", FileReport.__struct_fields__),
    ("cli-output.md", RecordReport.__struct_fields__),
    ("cli-output.md", SpaceReport.__struct_fields__),
    ("cli-output.md", AgentBudget.__struct_fields__),
    ("cli-output.md", UndoReport.__struct_fields__),
    ("cli-output.md", FileUndo.__struct_fields__),
    ("cli-output.md", Setting.__struct_fields__),
    ("state.md", Run.__struct_fields__),
    ("state.md", RunFile.__struct_fields__),
    ("state.md", ArchivedRecord.__struct_fields__),
    ("state.md", Original.__struct_fields__),
    ("state.md", Holder.__struct_fields__),
    ("state.md", Operation.__struct_fields__),
    ("state.md", Checked.__struct_fields__),
    ("state.md", Staged.__struct_fields__),
    ("state.md", Statistics.__struct_fields__),
    ("state.md", Claimed.__struct_fields__),
    ("state.md", Sample.__struct_fields__),
    ("state.md", Alerts.__struct_fields__),
    ("state.md", Delivery.__struct_fields__),
    ("monitor.md", AlertSettings.__struct_fields__),
    ("webhook.md", WebhookSettings.__struct_fields__),
    ("webhook.md", Message.__struct_fields__),
    ("query.md", Query.__struct_fields__),
    ("backup.md", BackupSettings.__struct_fields__),
    ("backup.md", RotateSettings.__struct_fields__),
    ("backup.md", HookSettings.__struct_fields__),
    ("operations.md", LogSettings.__struct_fields__),
    ("operations.md", Event.__struct_fields__),
    ("optimize.md", CompressSettings.__struct_fields__),
    ("optimize.md", GcSettings.__struct_fields__),
    ("optimize.md", GcOptions.__struct_fields__),
    ("optimize.md", Pins.__struct_fields__),
    ("optimize.md", CLASSES),
    ("optimize.md", get_args(Reason)),
    ("prune.md", [rule.name for rule in RULES]),
    ("monitor.md", [check.name for check in CHECKS]),
    ("monitor.md", HealthSettings.__struct_fields__),
    ("prune.md", [key for key in PruneSettings.__struct_fields__ if key != "strategies"]),
]


@pytest.mark.parametrize(("page", "names"), FIELDS)
def test_every_name_is_described(page: str, names: Sequence[str]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in text] == []


METRICS = (
    *(MetricsReport, Metrics, StoreSize, Counts, KindFigures, AgentFigures, AgentKind, DamagedFile, Ages, Growth),
    *(HistoryState, IndexState, CacheFigures, QueryTimes, LastRun, BackupsSeen),
)

ANSWERS: list[tuple[str, Sequence[type]]] = [
    ("aml prune explain", (ExplainReport, Explanation, Verdict, Condition, Guard, Purse, Removed, Unread)),
    ("aml backup create", (BackupReport, OddPath)),
    ("aml backup list", (BackupList, BackupLine, OddPath)),
    ("aml backup show", (BackupDetails, AgentShare, FolderEntry, FileEntry)),
    ("aml backup diff", (DiffReport, FileDiff)),
    ("aml backup verify", (VerifyReport, Finding, AffectedFile)),
    ("aml backup restore", (RestoreReport, RestoredFile, OddPath)),
    ("aml backup rotate", (RotateReport, RotatedBackup)),
    ("aml backup drill", (DrillReport, OddPath)),
    ("aml backup auto", (AutoReport, OddPath)),
    ("aml prune undo", (UndoReport, FileUndo, OriginalUndo)),
    ("aml optimize gc", (GcReport, GcFile, FileStep, OddElement, GarbageRecord, LeftoverReport, AgentBudget)),
    ("aml optimize all", (OptimizeReport, OptimizePart)),
    ("aml optimize compress", (CompressReport, CompressedFile)),
    ("aml migrate detect", (DetectReport, DetectedFile, Claim)),
    ("aml migrate up", (MigrateReport, MigratedFile, BadRecord, SampleRecord)),
    ("aml migrate history", (MigrateHistory,)),
    ("aml config", (Shown, Setting, SettingsFile, Written, Printed, ScheduleReport, ScheduleFile)),
    ("aml demo", (DemoReport, DemoStep)),
    ("aml monitor alerts", (AlertList, Alert, Acknowledged, Resolved, ResolveReport, WebhookTrial)),
    ("aml query", (QueryReport, QueryRecord, UnreadByIndex)),
    ("aml optimize index", (IndexReport,)),
    ("aml optimize warm-cache", (WarmReport,)),
    ("aml monitor metrics", METRICS),
    ("aml monitor health", (ShownHealth, ShownCheck, ShownFinding)),
    ("aml monitor report", (ShownReport, Overall, SizePoint, Removal, BackupPoint)),
]


@pytest.mark.parametrize(("command", "types"), ANSWERS, ids=lambda one: one if isinstance(one, str) else "")
def test_every_field_of_an_answer_is_described_where_its_command_is(command: str, types: Sequence[type]) -> None:
    text = (DOCS / "cli-output.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    names = {name for one in types for name in one.__struct_fields__}
    assert [name for name in sorted(names) if f"`{name}`" not in section] == []
