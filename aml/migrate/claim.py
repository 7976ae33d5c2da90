"""What a store is said to be: AML's own claim beside it, and the file of older scripts inside it, where that is.

Neither is ever believed: the version is a property of each record. They are written for others to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from aml.codec.json_object import JsonObject, parse_object
from aml.errors import AmlError, ChangedError, DamagedError
from aml.fs.durable import replace_durably, write_durably
from aml.fs.files import is_there, read_regular, stat_if_there
from aml.model.schema import ORDINARY_MIX
from aml.model.undecodable import UNDECODABLE
from aml.store.layout import CONFIG, RecordFile
from aml.store.open import Store
from aml.store.read import fingerprint, read_content

_NAME = "schema.json"
_OTHERS = (CONFIG, "schema_version.json")
#: Under which keys older scripts keep the version and the time at which they wrote it.
_VERSION_KEYS = ("version", "schema_version", "schemaVersion", "current_version", "currentVersion")
_TIME_KEYS = ("updated_at", "updatedAt", "last_updated", "lastUpdated", "migrated_at")


class Claimed(Struct, frozen=True):
    """One migration in the history of a claim: ``moved`` counts records by ``from -> to``; ``at`` is ISO 8601 UTC."""

    run: str
    at: str
    direction: str
    target: str
    moved: dict[str, int]


class _Own(Struct, frozen=True):
    version: str
    updated_at: str
    history: list[Claimed] = []


class Claim(Struct, frozen=True):
    """What one file says: ``version`` None where it says none that can be read, for which ``problem`` tells the reason.

    ``is_true`` tells whether every record has that version; 1.0.0 among 1.1.0 is no lie.
    """

    path: str
    version: str | None
    updated_at: str | None
    is_true: bool
    problem: str | None = None


def read_claims(store: Store, found: Mapping[str, int]) -> tuple[Claim, ...]:
    """All claims about a store in which so many records were ``found`` by version. One that cannot be read says why."""
    claims = []
    for path, read in ((store.state / _NAME, _read_own), (_file_of_others(store), _read_others)):
        if not is_there(path):
            continue
        version = updated = problem = None
        try:
            version, updated = read(store)
        except AmlError as error:
            problem = str(error)
        claims.append(Claim(_shown(store, path), version, updated, is_true_of(version, found), problem))
    return tuple(claims)


def is_true_of(version: str | None, found: Mapping[str, int]) -> bool:
    """Whether all records that were found by version have that one."""
    there = {one for one, number in found.items() if number}
    return version is not None and (there <= {version} or (version in ORDINARY_MIX and there <= ORDINARY_MIX))


def write_claims(store: Store, done: Claimed) -> list[str]:
    """Have all claims say what a migration has just made true; returns notes of what others keep and AML cannot write.

    Raises FileAccessError where its own cannot be written, which comes last: where it stands, all is done.
    """
    notes = []
    try:
        _write_others(store, done)
    except AmlError as error:
        notes.append(f"not brought up to date: {_file_of_others(store)}: {error}")
    _write_own(store, done)
    return notes


def _shown(store: Store, path: Path) -> str:
    return os.path.relpath(path, store.root.parent)


def _file_of_others(store: Store) -> Path:
    return store.root.joinpath(*_OTHERS)


def _own(store: Store) -> _Own:
    path = store.state / _NAME
    try:
        return msgspec.json.decode(read_regular(path), type=_Own)
    except UNDECODABLE as error:
        raise DamagedError(f"{path} is damaged: {error}", advice="the next migration writes it anew") from error


def _read_own(store: Store) -> tuple[str | None, str | None]:
    own = _own(store)
    return own.version, own.updated_at


def _write_own(store: Store, done: Claimed) -> None:
    history: list[Claimed] = []
    if is_there(store.state / _NAME):
        with suppress(DamagedError):
            history = _own(store).history
    if done.run not in {one.run for one in history}:
        history = [*history, done]
    write_durably(store.state / _NAME, msgspec.json.format(msgspec.json.encode(_Own(done.target, done.at, history))))


def _others(store: Store) -> tuple[JsonObject, Callable[[], None]]:
    """The object in the file of older scripts, and a function that replaces that file, as long as nobody else does, by
    what has become of the object."""
    path = _file_of_others(store)
    content = read_content(RecordFile(_OTHERS[0], path.stem, path), store.max_unpacked_bytes)
    body = content.text.strip()
    try:
        found = parse_object(body)
    except DamagedError as error:
        raise DamagedError(f"{path} is not the JSON object that it should be: {error}") from error

    def unchanged() -> None:
        now = stat_if_there(path)
        if now is None or fingerprint(now) != fingerprint(content.stat):
            raise ChangedError(f"{path} was changed while it was looked at")

    def replace() -> None:
        text = content.text.replace(body, found.to_bytes(), 1)
        if text != content.text:
            replace_durably(path, content.rewritten(text), content.stat, unchanged)

    return found, replace


def _read_others(store: Store) -> tuple[str | None, str | None]:
    value, _ = _others(store)
    version = _first_text(value, _VERSION_KEYS)
    if version is None:
        raise DamagedError(f"{_file_of_others(store)} names no version")
    return version, _first_text(value, _TIME_KEYS)


def _write_others(store: Store, done: Claimed) -> None:
    """Only where the file is there: the agents' runtime would take a new config/ folder for an agent."""
    if not is_there(_file_of_others(store)):
        return
    found, replace = _others(store)
    for key in [key for key in _VERSION_KEYS if _text(found.get(key)) is not None] or [_VERSION_KEYS[0]]:
        found.set(key, msgspec.json.encode(done.target))
    for key in _TIME_KEYS:
        if _text(found.get(key)) is not None:
            found.set(key, msgspec.json.encode(done.at))
    replace()


def _first_text(found: JsonObject, keys: tuple[str, ...]) -> str | None:
    return next((text for key in keys if (text := _text(found.get(key))) is not None), None)


def _text(raw: bytes | None) -> str | None:
    """The text that stands there, None where something else does."""
    try:
        return None if raw is None else msgspec.json.decode(raw, type=str)
    except UNDECODABLE:
        return None
