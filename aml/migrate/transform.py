"""Records to another schema version, as bytes: one of them, or all of an array. No I/O and no clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from aml.codec.json_array import RecordArray
from aml.codec.json_object import JsonObject, parse_object
from aml.codec.views import Unreadable, view_records
from aml.errors import DamagedError
from aml.migrate.marks import version_of
from aml.migrate.moving import BadRecordError, move_record
from aml.migrate.registry import VERSIONS, Direction, Move, way
from aml.model.kinds import Kind
from aml.model.record import RecordView
from aml.model.schema import is_too_new


class BadRecordAt(NamedTuple):
    """A record that could not be taken to the target, and stays as it is. ``ordinal`` counts from 0."""

    ordinal: int
    id: str | None
    version: str | None
    reason: str


class RecordNote(NamedTuple):
    """What is worth telling of an element: that it is no record, or has a key more than once."""

    ordinal: int
    id: str | None
    text: str


class MigratedArray(NamedTuple):
    """An array after a migration. ``text`` is the very text of the array where nothing changed.

    ``versions`` counts the records by the version they had, ``moved`` the single steps that were made. Every element
    is one of ``changed``, ``kept`` (at the target already, or beyond it), ``odd`` (no record), ``too_new`` and
    ``bad``.
    """

    text: bytes
    versions: Counter[str]
    moved: Counter[tuple[str, str]]
    changed: int
    kept: int
    odd: int
    too_new: int
    bad: tuple[BadRecordAt, ...]
    notes: tuple[RecordNote, ...]


def migrate_record(raw: bytes, kind: str, version: str, target: str) -> bytes:
    """One record (of a kind named as its file is) from the version that it has to another.

    Going back makes ``raw`` again, byte for byte. Raises BadRecordError where that is not so, or the record cannot be
    changed; UsageError for a version that is not known.
    """
    for move in way(version, target):
        raw = move_record(raw, kind, move)
    return raw


def migrate_array(array: RecordArray, kind: Kind, target: str, direction: Direction = "up") -> MigratedArray:
    """All records of an array to the target: up those of lower versions alone, or down those of higher ones alone.

    A record that cannot be changed is told in ``bad`` and stays as it is. Raises UsageError for an unknown target.
    """
    migration = _Migration(array, kind, target, direction)
    migration.run()
    return migration.result()


class _Migration:
    """The work on one array, and its account."""

    def __init__(self, array: RecordArray, kind: Kind, target: str, direction: Direction) -> None:
        self._array, self._kind = array, kind
        self._ways = {
            version: moves
            for version in VERSIONS
            if (moves := way(version, target)) and moves[0].direction == direction
        }
        self._new: dict[int, bytes] = {}
        self._versions: Counter[str] = Counter()
        self._moved: Counter[tuple[str, str]] = Counter()
        self._kept = self._odd = self._too_new = 0
        self._bad: list[BadRecordAt] = []
        self._notes: list[RecordNote] = []

    def run(self) -> None:
        for ordinal, seen in enumerate(view_records(self._array, self._kind.view)):
            if isinstance(seen, Unreadable):
                self._take_unreadable(ordinal, seen)
            else:
                self._take(ordinal, seen.schema_version, seen)

    def result(self) -> MigratedArray:
        return MigratedArray(
            text=self._array.with_replaced(self._new),
            versions=self._versions,
            moved=self._moved,
            changed=len(self._new),
            kept=self._kept,
            odd=self._odd,
            too_new=self._too_new,
            bad=tuple(self._bad),
            notes=tuple(self._notes),
        )

    def _take(self, ordinal: int, version: str, seen: RecordView | JsonObject) -> None:
        self._versions[version] += 1
        moves = self._ways.get(version)
        if moves:
            self._move(ordinal, version, moves, seen)
        elif version in VERSIONS:
            self._kept += 1
        else:
            self._bad.append(BadRecordAt(ordinal, _ident(seen), version, f"there is no schema version {version!r}"))

    def _move(self, ordinal: int, version: str, moves: Sequence[Move], seen: RecordView | JsonObject) -> None:
        raw = self._array.raw(ordinal)
        try:
            new = raw
            for move in moves:
                new = move_record(new, self._kind.plural, move)
        except BadRecordError as error:
            self._bad.append(BadRecordAt(ordinal, _ident(seen), version, error.reason))
            return
        self._new[ordinal] = new
        self._moved.update((move.start, move.end) for move in moves)
        for name in duplicate_keys(parse_object(raw)):
            self._notes.append(
                RecordNote(ordinal, _ident(seen), f"the key {name!r} is there more than once, and stays so")
            )

    def _take_unreadable(self, ordinal: int, seen: Unreadable) -> None:
        raw = self._array.raw(ordinal)
        if seen.too_new:
            self._too_new += 1
            self._versions[version_of(parse_object(raw))] += 1
        elif raw[:1] != b"{":
            self._odd += 1
            self._notes.append(RecordNote(ordinal, None, seen.reason))
        else:
            self._take_odd_record(ordinal, raw, seen)

    def _take_odd_record(self, ordinal: int, raw: bytes, seen: Unreadable) -> None:
        """What no view is made of may still be told apart, such as a record with NaN in it."""
        try:
            record = parse_object(raw)
        except DamagedError:
            self._bad.append(BadRecordAt(ordinal, None, None, seen.reason))
            return
        version = version_of(record)
        if is_too_new(version):
            self._too_new += 1
            self._versions[version] += 1
        else:
            self._take(ordinal, version, record)


def duplicate_keys(record: JsonObject) -> list[str]:
    """The names that are there more than once, also in objects right within it: as ``metrics.successRate``."""
    found = list(record.duplicates)
    for member in record:
        if member.value[:1] == b"{":
            found += [f"{member.name}.{name}" for name in parse_object(member.value).duplicates]
    return found


def _ident(record: RecordView | JsonObject) -> str | None:
    if isinstance(record, RecordView):
        return record.ident
    raw = record.get("id")
    value = json.loads(raw) if raw is not None and raw[:1] == b'"' else None
    return value.encode(errors="backslashreplace").decode() or None if isinstance(value, str) else None
