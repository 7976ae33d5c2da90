"""Settings: defaults < aml.toml < AML_* variables < flags, each value with its origin.

Each section is a frozen struct; a field's Meta says what is allowed and what it is for, and that is where the
documentation of the settings comes from. An unknown key or a bad value in the file is an error that names file, key
and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from aml.errors import FileAccessError, SettingsError
from aml.fs.files import is_there, read_regular

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
        int, Meta(ge=1, le=1 << 20, description="largest unpacked size of one gzip file, in MiB; more counts as damage")
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
        int, Meta(ge=0, le=20, description="auto: how often a step is tried again after a lock or an I/O error")
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


class Settings(Struct, frozen=True):
    store: StoreSettings = StoreSettings()
    locks: LockSettings = LockSettings()
    clock: ClockSettings = ClockSettings()
    prune: PruneSettings = PruneSettings()
    space: SpaceSettings = SpaceSettings()
    backup: BackupSettings = BackupSettings()
    rotate: RotateSettings = RotateSettings()
    gc: GcSettings = GcSettings()
    hooks: HookSettings = HookSettings()
    compress: CompressSettings = CompressSettings()
    cache: CacheSettings = CacheSettings()
    alerts: AlertSettings = AlertSettings()
    webhook: WebhookSettings = WebhookSettings()


#: Addresses: checked, and shown without the part that is often a secret.
_ADDRESSES = ("webhook.url",)


class Setting(Struct, frozen=True):
    """One setting as it is in effect. ``origin`` is default, a file's path, or a variable's name."""

    name: str
    value: Any
    origin: str
    default: Any
    description: str


class Effective(Struct, frozen=True):
    """The settings in effect, and where each of them comes from."""

    settings: Settings
    origins: dict[str, str]

    def listed(self) -> tuple[Setting, ...]:
        defaults = Settings()
        return tuple(
            Setting(
                f"{section}.{key}",
                _presentable(f"{section}.{key}", getattr(getattr(self.settings, section), key)),
                self.origins.get(f"{section}.{key}", "default"),
                getattr(getattr(defaults, section), key),
                describe(section, key),
            )
            for section in sections()
            for key in keys(section)
        )


def sections() -> tuple[str, ...]:
    return Settings.__struct_fields__


def keys(section: str) -> tuple[str, ...]:
    fields: tuple[str, ...] = type(getattr(Settings(), section)).__struct_fields__
    return fields


def variable_name(section: str, key: str) -> str:
    """The environment variable that sets ``section.key``."""
    return f"AML_{section}_{key}".upper()


def describe(section: str, key: str) -> str:
    metas = [part for part in get_args(_field_type(section, key)) if isinstance(part, Meta)]
    return next((meta.description for meta in reversed(metas) if meta.description), "")


def load_settings(file: Path | None, environment: Mapping[str, str], *, required: bool = False) -> Effective:
    """Settings from ``file`` (if it exists; ``required`` makes its absence an error) and AML_* variables.

    Raises SettingsError, FileAccessError.
    """
    origins: dict[str, str] = {}
    values: dict[str, dict[str, Any]] = {section: {} for section in sections()}
    if file is not None and (required or file.exists()):
        for section, key, value in _read_file(file):
            values[section][key] = _checked(section, key, value, str(file))
            origins[f"{section}.{key}"] = str(file)
    for section in sections():
        for key in keys(section):
            variable = variable_name(section, key)
            if variable in environment:
                values[section][key] = _checked(section, key, _from_text(section, key, environment[variable]), variable)
                origins[f"{section}.{key}"] = variable
    parts = {name: type(getattr(Settings(), name))(**given) for name, given in values.items()}
    return Effective(Settings(**parts), origins)


def parse_share(text: str) -> float:
    """A share from 0 to 1, or a percentage such as 30%. Raises ValueError."""
    stripped = text.strip()
    share = float(stripped.removesuffix("%")) / 100 if stripped.endswith("%") else float(stripped)
    if not 0 <= share <= 1:
        raise ValueError(f"{text} is not from 0% to 100%")
    return share


def _read_file(file: Path) -> list[tuple[str, str, Any]]:
    import tomllib

    if not is_there(file):
        raise FileAccessError(f"there is no settings file {file}", advice="aml config init writes one beside the store")
    data = read_regular(file)
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{file} is not valid TOML: {error}", advice="aml config init --print shows a valid one"
        ) from error
    found = []
    for section, table in document.items():
        if section not in sections():
            raise _unknown(f"{file}: unknown section [{section}]", section, sections())
        if not isinstance(table, dict):
            raise SettingsError(
                f"{file}: {section} must be a section [{section}]", advice=f"known sections: {_list(sections())}"
            )
        for key, value in table.items():
            if key not in keys(section):
                raise _unknown(f"{file}: unknown key {key} in [{section}]", key, keys(section))
            found.append((section, key, value))
    return found


def _unknown(message: str, name: str, known: tuple[str, ...]) -> SettingsError:
    near = get_close_matches(name, known, n=1)
    return SettingsError(message, advice=f"did you mean {near[0]}?" if near else f"known: {_list(known)}")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _field_type(section: str, key: str) -> Any:
    return get_type_hints(type(getattr(Settings(), section)), include_extras=True)[key]


def _checked(section: str, key: str, value: Any, origin: str) -> Any:
    field = _field_type(section, key)
    if f"{section}.{key}" in _ADDRESSES:
        return _checked_address(f"{section}.{key}", value, origin)
    if isinstance(value, str) and value.strip().endswith("%") and get_args(field)[0] is float:
        value = _share_or_text(value)
    try:
        return msgspec.convert(value, type=field)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{origin}: {section}.{key} = {_toml(value)} is not allowed", advice=f"allowed: {_allowed(field)}"
        ) from error


def _checked_address(name: str, value: Any, origin: str) -> str:
    """An address, or nothing. What is wrong with it is told without quoting it."""
    from aml.monitor.address import parse_address

    if not isinstance(value, str):
        raise SettingsError(f"{origin}: {name} is not allowed", advice="allowed: a text")
    try:
        if value:
            parse_address(value)
    except ValueError as error:
        raise SettingsError(
            f"{origin}: {name} is not allowed: {error}", advice="write it as https://HOST/PATH, or leave it empty"
        ) from error
    return value


def _presentable(name: str, value: Any) -> Any:
    """A value as it may be shown."""
    if name not in _ADDRESSES or not value:
        return value
    from aml.monitor.address import shown_address

    return shown_address(value)


def _allowed(field: Any) -> str:
    """What a setting of that type may hold, for a person."""
    kind, *metas = get_args(field)
    if kind is bool:
        return "true or false"
    if kind is Strategies:
        return f"a list of {', '.join(get_args(get_args(kind)[0]))}"
    if kind is str:
        return "a text"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind == Names:
        return "a list of texts"
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    above = next((meta.gt for meta in metas if meta.gt is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    numbers = "a whole number" if kind is int else "a number"
    share = ", or a percentage such as 30%" if high == 1 else ""
    return f"{numbers} {f'from {low:,} to' if above is None else f'above {above:,}, up to'} {high:,}{share}"


def _share_or_text(value: str) -> float | str:
    try:
        return parse_share(value)
    except ValueError:
        return value


def _from_text(section: str, key: str, text: str) -> Any:
    """The value of an environment variable: numbers and booleans as in TOML, lists parted by commas.

    The words of a command are those that a shell would see.
    """
    kind = get_args(_field_type(section, key))[0]
    if kind is str or get_origin(kind) is Literal:
        return text
    if section == "hooks" and kind == Command:
        return _words(text)
    if kind in (Names, Strategies):
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            text.strip().lower(), text
        )
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        return text


def _words(text: str) -> list[str] | str:
    """A command line as a shell would part it into words; the text itself where quotes do not match."""
    import shlex

    try:
        return shlex.split(text)
    except ValueError:
        return text


def as_toml(effective: Effective) -> str:
    """A settings file that says what is in effect, with every key explained and the defaults commented out."""
    lines = ["# Settings of AML for this project. Every key is optional; commented ones show the default.", ""]
    for section in sections():
        lines.append(f"[{section}]")
        for one in effective.listed():
            if one.name.startswith(f"{section}."):
                # an address is shown without its path, and so is none to be used
                mark = "# " if one.value == one.default or one.name in _ADDRESSES else ""
                lines += [f"# {one.description}", f"{mark}{one.name.removeprefix(section + '.')} = {_toml(one.value)}"]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return msgspec.json.encode(value).decode()
