"""The sections of the settings: each a frozen struct, whose fields say what is allowed, and what they are for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Days = Annotated[float, Meta(ge=0, le=36_500)]
Share = Annotated[float, Meta(ge=0, le=1)]
Number = Annotated[int, Meta(ge=0, le=1_000_000)]
Names = tuple[str, ...]
Command = tuple[str, ...]
Strategies = tuple[Literal["time", "performance", "space"], ...]


class StoreSettings(Struct, frozen=True):
    allow_network_store: Annotated[
        bool, Meta(description="change stores on network file systems, where locks cannot be counted on")
    ] = False
    max_unpacked_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="largest size of one file of the store, unpacked, in MiB; more counts as damage",
        ),
    ] = 1024


class CacheSettings(Struct, frozen=True):
    size_mb: Annotated[
        float,
        Meta(ge=0.1, le=65_536, description="how many MiB of records a loader keeps; the hot set fills 80% of that"),
    ] = 10.0


class BackupSettings(Struct, frozen=True):
    repository: Annotated[
        str,
        Meta(description="where backups go, from the folder that holds the store; empty means STORE-backup beside it"),
    ] = ""
    compression: Annotated[
        Literal["fast", "default", "max"], Meta(description="how hard new data is packed: fast, default or max")
    ] = "default"
    full_days: Annotated[
        Days, Meta(description="auto: days after which every file is read again, for a full backup")
    ] = 7.0
    verify_share: Annotated[Share, Meta(description="auto: share of the packs that each run reads back and checks")] = (
        0.10
    )
    retries: Annotated[
        int,
        Meta(
            ge=0,
            le=20,
            description="auto: how often a step is tried again after a lock or an I/O error, unless a right is missing",
        ),
    ] = 5
    retry_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="auto: the first pause before that; each further one is twice as long")
    ] = 2.0


class RotateSettings(Struct, frozen=True):
    keep_last: Annotated[Number, Meta(description="how many of the newest backups stay")] = 3
    keep_hourly: Annotated[Number, Meta(description="in how many of the last hours with a backup the newest stays")] = 0
    keep_daily: Annotated[Number, Meta(description="the same for days")] = 0
    keep_weekly: Annotated[Number, Meta(description="the same for weeks")] = 0
    keep_monthly: Annotated[Number, Meta(description="the same for months")] = 0
    keep_yearly: Annotated[Number, Meta(description="the same for years")] = 0
    keep_within_days: Annotated[Days, Meta(description="all backups of so many days stay")] = 30.0
    keep_tags: Annotated[Names, Meta(description="backups with one of these tags stay")] = ()
    max_backups: Annotated[Number, Meta(description="beyond so many the oldest go, 0: no limit")] = 0
    archive_days: Annotated[
        Days, Meta(description="how long archives of removed records are kept; undo is possible so long")
    ] = 365.0


class HookSettings(Struct, frozen=True):
    before_backup: Annotated[Command, Meta(description="command run before a backup; if it fails, there is none")] = ()
    after_backup: Annotated[Command, Meta(description="command run after a backup that succeeded")] = ()
    after_partial_backup: Annotated[Command, Meta(description="command run after an incomplete backup")] = ()
    after_failed_backup: Annotated[Command, Meta(description="command run after a backup that failed")] = ()
    before_prune: Annotated[
        Command, Meta(description="command run before a prune; if it fails, nothing is removed")
    ] = ()
    after_prune: Annotated[Command, Meta(description="command run after a prune that succeeded")] = ()
    after_partial_prune: Annotated[Command, Meta(description="command run after a prune that left something out")] = ()
    after_failed_prune: Annotated[Command, Meta(description="command run after a prune that failed")] = ()
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=86_400, description="how long a command may take; then it is killed, and has failed")
    ] = 600.0


class LockSettings(Struct, frozen=True):
    timeout_seconds: Annotated[float, Meta(ge=0, le=86_400, description="how long to wait for a lock")] = 120.0


class ClockSettings(Struct, frozen=True):
    max_behind_minutes: Annotated[
        float, Meta(ge=0, le=525_600, description="how far now may lie before AML's newest run or backup")
    ] = 5.0
    max_ahead_days: Annotated[Days, Meta(description="how far now may lie after AML's newest run or backup")] = 60.0


class PruneSettings(Struct, frozen=True):
    strategies: Annotated[
        Strategies, Meta(min_length=1, description="which strategies run by default: time, performance, space")
    ] = (
        "time",
        "performance",
    )
    unused_days: Annotated[Days, Meta(description="time: a pattern last used longer ago goes")] = 90.0
    failed_days: Annotated[Days, Meta(description="time: a failed pattern created longer ago goes")] = 30.0
    failed_success: Annotated[Share, Meta(description="time: success under which an older pattern has failed")] = 0.30
    min_executions: Annotated[
        float, Meta(ge=0, le=1e9, description="executions from which success and confidence are judged")
    ] = 3.0
    decision_days: Annotated[Days, Meta(description="time: an older decision goes")] = 180.0
    solution_days: Annotated[Days, Meta(description="time: an older solution that did not work goes")] = 365.0
    inactive_days: Annotated[Days, Meta(description="time: an inactive record last used longer ago goes")] = 30.0
    low_success: Annotated[Share, Meta(description="performance: success under which a pattern goes")] = 0.20
    low_confidence: Annotated[Share, Meta(description="performance: confidence under which a pattern goes")] = 0.15
    negative_score: Annotated[Share, Meta(description="performance: mean outcome under which a decision goes")] = 0.50
    aggressive_unused_days: Annotated[Days, Meta(description="--aggressive: instead of unused_days")] = 60.0
    aggressive_decision_days: Annotated[Days, Meta(description="--aggressive: instead of decision_days")] = 120.0
    aggressive_low_success: Annotated[Share, Meta(description="--aggressive: instead of low_success")] = 0.30
    protect_value: Annotated[
        Share, Meta(description="value or confidence from which a record in use is protected from every rule")
    ] = 0.85
    protect_used_days: Annotated[Days, Meta(description="how long after its last use such a record is protected")] = (
        365.0
    )
    protect_new_days: Annotated[Days, Meta(description="records created in the last so many days are protected")] = 7.0
    backup: Annotated[
        bool, Meta(description="back the store up before records are removed; if that fails, none is")
    ] = True
    pinned_ids: Annotated[Names, Meta(description="ids of records that no rule removes")] = ()
    pinned_tags: Annotated[Names, Meta(description="tags that protect a record from every rule")] = ("pinned", "keep")
    max_loss: Annotated[
        Share, Meta(description="share of an agent's records that one run may remove; a percentage such as 30% is fine")
    ] = 0.30
    max_window_loss: Annotated[Share, Meta(description="share of an agent's records that may go within the window")] = (
        0.50
    )
    window_days: Annotated[Days, Meta(description="length of that window")] = 30.0
    small_agent_allowance: Annotated[
        int,
        Meta(ge=0, le=10_000, description="records that a small agent may lose once per window, up to half of them"),
    ] = 20


class SpaceSettings(Struct, frozen=True):
    agent_mb: Annotated[
        float, Meta(gt=0, le=1 << 20, description="space: MiB that an agent's folder may hold on disk, above 0")
    ] = 80.0
    store_mb: Annotated[
        float, Meta(gt=0, le=1 << 20, description="space: MiB that the store may hold on disk, above 0")
    ] = 800.0
    target: Annotated[
        float,
        Meta(gt=0, le=1, description="space: share of its limit to which what is over it is brought down, above 0"),
    ] = 0.70
    policy: Annotated[
        Literal["value-density", "value", "confidence"],
        Meta(description="space: which patterns go first: value-density (least value per byte), value or confidence"),
    ] = "value-density"


class GcSettings(Struct, frozen=True):
    temporary_days: Annotated[
        Days, Meta(description="age from which an unfinished write that an agent left is taken away")
    ] = 1.0


class HealthSettings(Struct, frozen=True):
    near_limit: Annotated[
        Share, Meta(description="share of space.agent_mb and space.store_mb from which there is a warning")
    ] = 0.75
    max_patterns: Annotated[
        Number,
        Meta(description="patterns that the runtime lets an agent keep, unless config.json in the store says"),
    ] = 500
    max_solutions: Annotated[Number, Meta(description="the same for solutions")] = 300
    max_decisions: Annotated[Number, Meta(description="the same for decisions")] = 200
    near_cap: Annotated[Share, Meta(description="share of such a cap from which there is a warning")] = 0.90
    backup_hours: Annotated[
        float, Meta(ge=0, le=876_000, description="age of the newest backup from which there is a warning")
    ] = 24.0
    backup_critical_days: Annotated[Days, Meta(description="age of the newest backup that is critical")] = 7.0
    verified_days: Annotated[Days, Meta(description="days without a verification that succeeded: a warning")] = 30.0
    drill_days: Annotated[Days, Meta(description="days without a drill that succeeded: a warning")] = 90.0
    query_ms: Annotated[
        float, Meta(ge=0, le=1e6, description="milliseconds that 95 of 100 of the last queries may take")
    ] = 100.0
    cache_hits: Annotated[Share, Meta(description="share of look-ups that a loader should have at hand")] = 0.50
    free_mb: Annotated[
        float, Meta(ge=0, le=1 << 30, description="MiB that should be free where the store and its backups lie")
    ] = 500.0
    free_inodes: Annotated[int, Meta(ge=0, le=1 << 40, description="the same as a number of files")] = 1000
    collapse_days: Annotated[
        Days, Meta(description="records of an agent are compared with the most there were in so many days")
    ] = 7.0


class CompressSettings(Struct, frozen=True):
    plain: Annotated[
        bool,
        Meta(description="compress files of agents without any gzip file too, where nobody asks for it by name"),
    ] = False
    age_days: Annotated[Days, Meta(description="files not modified for so many days are compressed, 0: all")] = 30.0


class AlertSettings(Struct, frozen=True):
    min_level: Annotated[
        Literal["info", "warning", "error", "critical"],
        Meta(description="findings from this level on become alerts: info, warning, error or critical"),
    ] = "warning"
    keep_days: Annotated[Days, Meta(description="how long an alert is kept after it was resolved")] = 7.0


class WebhookSettings(Struct, frozen=True):
    url: Annotated[
        str,
        Meta(description="where alerts are sent, https://... without user or password; shown without its path"),
    ] = ""
    secret_file: Annotated[
        str,
        Meta(
            description="file with the secret that signs them, mode 0600, from the folder that holds the store; "
            "AML_WEBHOOK_SECRET wins over it"
        ),
    ] = ""
    name: Annotated[str, Meta(description="what the store is called there; empty means the project's folder")] = ""
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=300, description="how long one answer of the receiver is waited for")
    ] = 10.0
    retries: Annotated[int, Meta(ge=0, le=20, description="how often one run tries a message again")] = 2
    retry_seconds: Annotated[
        float, Meta(ge=0, le=300, description="the first pause before that; each further one is twice as long")
    ] = 1.0
    total_seconds: Annotated[
        float, Meta(ge=0.1, le=3600, description="how long one run sends in all; the next one sends the rest")
    ] = 60.0
    keep_days: Annotated[Days, Meta(description="how long a message waits for a receiver that does not take it")] = 7.0


class LogSettings(Struct, frozen=True):
    file: Annotated[
        str,
        Meta(description="where a log of events goes, from the folder that holds the store; empty: there is none"),
    ] = ""
    max_mb: Annotated[
        float, Meta(ge=0, le=1 << 20, description="MiB that the log may hold before a new one is begun, 0: no limit")
    ] = 10.0
    keep: Annotated[int, Meta(ge=0, le=1000, description="how many earlier logs are kept beside it")] = 5


class Settings(Struct, frozen=True):
    store: StoreSettings = StoreSettings()
    locks: LockSettings = LockSettings()
    clock: ClockSettings = ClockSettings()
    prune: PruneSettings = PruneSettings()
    space: SpaceSettings = SpaceSettings()
    backup: BackupSettings = BackupSettings()
    rotate: RotateSettings = RotateSettings()
    gc: GcSettings = GcSettings()
    health: HealthSettings = HealthSettings()
    hooks: HookSettings = HookSettings()
    compress: CompressSettings = CompressSettings()
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
    alerts: AlertSettings = AlertSettings()
    webhook: WebhookSettings = WebhookSettings()
