"""Settings: defaults < aml.toml < AML_* variables < flags, each value with its origin.

Each section is a frozen struct; a field's Meta says what is allowed and what it is for, and that is where the
documentation of the settings comes from. An unknown key or a bad value in the file is an error that names file, key
and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from aml.errors import FileAccessError, SettingsError
from aml.fs.files import is_there, read_regular
from aml.sections import AlertSettings as AlertSettings
from aml.sections import BackupSettings as BackupSettings
from aml.sections import CacheSettings as CacheSettings
from aml.sections import ClockSettings as ClockSettings
from aml.sections import Command, Names, Strategies
from aml.sections import CompressSettings as CompressSettings
from aml.sections import GcSettings as GcSettings
from aml.sections import HealthSettings as HealthSettings
from aml.sections import HookSettings as HookSettings
from aml.sections import LockSettings as LockSettings
from aml.sections import LogSettings as LogSettings
from aml.sections import PruneSettings as PruneSettings
from aml.sections import RotateSettings as RotateSettings
from aml.sections import Settings as Settings
from aml.sections import SpaceSettings as SpaceSettings
from aml.sections import StoreSettings as StoreSettings
from aml.sections import WebhookSettings as WebhookSettings

#: A settings file is smaller (bytes), by far.
_LARGEST_BYTES = 1 << 20
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
    """Settings from ``file`` (if there is one; ``required`` makes its absence an error) and AML_* variables.

    One that is there and cannot be read is an error, also a link that leads nowhere: what it protects must not go.
    Raises SettingsError, FileAccessError.
    """
    origins: dict[str, str] = {}
    values: dict[str, dict[str, Any]] = {section: {} for section in sections()}
    if file is not None and (required or is_there(file)):
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
    if not is_there(file):
        raise FileAccessError(f"there is no settings file {file}", advice="aml config init writes one beside the store")
    data = read_regular(file, most=_LARGEST_BYTES)
    import tomllib  # where there are settings at all

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
    return _field_types(section)[key]


@cache
def _field_types(section: str) -> dict[str, Any]:
    # resolved once: every setting asks for its own, and each time takes half a millisecond
    return get_type_hints(type(getattr(Settings(), section)), include_extras=True)


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
    listed = effective.listed()
    for section in sections():
        lines.append(f"[{section}]")
        for one in listed:
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
