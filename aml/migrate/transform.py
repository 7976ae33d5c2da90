"""All records of an array to another schema version, as bytes. No I/O and no clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from aml.codec.json_array import RecordArray
from aml.codec.json_object import JsonObject, Raws, parse_object, read_pairs
from aml.codec.views import Unreadable, is_utf8, view_record
from aml.errors import DamagedError
from aml.migrate.former import FormerWays
from aml.migrate.marks import NULL, version_of, version_of_pairs
from aml.migrate.moving import BadRecordError, move_record
from aml.migrate.ordinary import OrdinaryWays, Shape
from aml.migrate.registry import VERSIONS, Direction, Move, way
from aml.model.kinds import Kind
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
        ways = {version: way(version, target) for version in VERSIONS}
        self._moves = {version: moves for version, moves in ways.items() if moves and moves[0].direction == direction}
        ways_of = OrdinaryWays if direction == "up" else FormerWays
        self._ordinary = {move: ways_of(kind.plural, move) for moves in self._moves.values() for move in moves}
        self._shapes: dict[tuple[str, ...], tuple[str, Shape]] = {}
        self._new: dict[int, bytes] = {}
        self._versions: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()
        self._kept = self._odd = self._too_new = 0
        self._bad: list[BadRecordAt] = []
        self._notes: list[RecordNote] = []

    def run(self) -> None:
        is_text = is_utf8(self._array.text)
        shapes, new, usual_versions = self._shapes, self._new, Counter[str]()
        for ordinal, element in enumerate(self._array.elements):
            raw = bytes(element)
            pairs = read_pairs(element) if is_text else None
            if pairs is None:
                self._take_odd(ordinal, raw)
                continue
            # nearly all records of a large store go this way and no other
            usual = shapes.get(tuple(pairs))
            made = usual[1].made(raw, pairs) if usual else None
            if usual and made is not None:
                new[ordinal] = made
                usual_versions[usual[0]] += 1
            else:
                self._take(ordinal, raw, version_of_pairs(pairs), pairs)
        self._versions += usual_versions
        self._changed += usual_versions

    def result(self) -> MigratedArray:
        moved: Counter[tuple[str, str]] = Counter()
        for version, count in self._changed.items():
            for move in self._moves[version]:
                moved[move.start, move.end] += count
        return MigratedArray(
            text=self._array.with_replaced(self._new),
            versions=self._versions,
            moved=moved,
            changed=len(self._new),
            kept=self._kept,
            odd=self._odd,
            too_new=self._too_new,
            bad=tuple(self._bad),
            notes=tuple(self._notes),
        )

    def _take_odd(self, ordinal: int, raw: bytes) -> None:
        """What the fast reader refuses may be read all the same, such as a record with NaN in it."""
        if raw[:1] != b"{":
            seen = view_record(raw, self._kind.view)
            self._odd += 1
            self._notes.append(RecordNote(ordinal, None, seen.reason if isinstance(seen, Unreadable) else ""))
            return
        try:
            record = parse_object(raw)
        except DamagedError as error:
            self._bad.append(BadRecordAt(ordinal, None, None, str(error)))
        else:
            self._take(ordinal, raw, version_of(record), None)

    def _take(self, ordinal: int, raw: bytes, version: str, pairs: Raws | None) -> None:
        self._versions[version] += 1
        moves = self._moves.get(version)
        if moves is not None:
            self._move(ordinal, raw, version, moves, pairs)
        elif version in VERSIONS:
            self._kept += 1
        elif is_too_new(version):
            self._too_new += 1
        else:
            self._refuse(ordinal, raw, version, f"there is no schema version {version!r}")

    def _move(self, ordinal: int, raw: bytes, version: str, moves: Sequence[Move], pairs: Raws | None) -> None:
        new, is_ordinary, first = raw, True, pairs
        try:
            for move in moves:
                made = None if pairs is None else self._ordinary[move].made(new, pairs)
                if made is None:
                    made, is_ordinary = move_record(new, self._kind.plural, move), False
                new, pairs = made, None if move is moves[-1] else read_pairs(made)
        except BadRecordError as error:
            self._refuse(ordinal, raw, version, error.reason)
            return
        self._new[ordinal] = new
        self._changed[version] += 1
        if not is_ordinary:
            self._note_duplicates(ordinal, raw, moves)
        elif len(moves) == 1 and first is not None and (shape := self._ordinary[moves[0]].shape(tuple(first))):
            self._shapes[tuple(first)] = version, shape

    def _refuse(self, ordinal: int, raw: bytes, version: str, reason: str) -> None:
        self._bad.append(BadRecordAt(ordinal, _ident(parse_object(raw)), version, reason))

    def _note_duplicates(self, ordinal: int, raw: bytes, moves: Sequence[Move]) -> None:
        record = parse_object(raw)
        opened = {name for move in moves for name in move.step.opens}
        for name in duplicate_keys(record, opened):
            text = f"the key {name!r} is there more than once, and stays so"
            self._notes.append(RecordNote(ordinal, _ident(record), text))


def duplicate_keys(record: JsonObject, opened: Collection[str] = ()) -> list[str]:
    """The names that are there more than once, also in those objects within it that are ``opened``: metrics.x."""
    found = list(record.duplicates)
    for member in record:
        if member.name in opened and member.value[:1] == b"{":
            found += [f"{member.name}.{name}" for name in parse_object(member.value).duplicates]
    return found


def _ident(record: JsonObject) -> str | None:
    """The record's id, told as by its view."""
    try:
        value = json.loads(record.get("id") or NULL)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode() or None
    return str(value) if type(value) is int else None
