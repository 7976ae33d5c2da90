"""Whether a migrated text holds what it should, looked at without any of the code that made it.

Every element is still there in its place, by number and id; those that were to stay are the same bytes, all others have
the target's version; and of a sample of records every single value is found again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aml.codec.json_array import Element, RecordArray, split
from aml.codec.views import Unreadable, view_records
from aml.errors import AmlError
from aml.migrate.registry import VERSIONS
from aml.migrate.transform import MigratedArray
from aml.model.record import RecordView
from aml.model.timestamps import parse_timestamp
from aml.model.undecodable import UNDECODABLE
from aml.store.layout import RecordFile

#: Where a record keeps what its present schema has no place for.
_NOTES = "x_aml"

#: So many records of a file are compared value by value: all in a small file, some from everywhere in a large one.
_COMPARED = 48


def check_migrated(file: RecordFile, before: RecordArray, migrated: MigratedArray, target: str) -> RecordArray:
    """The records of the migrated text. Raises AmlError where it is not what ``migrated`` says of it."""
    try:
        after = split(migrated.text)
        _compare(before, after, migrated, target)
    except _WrongError as error:
        raise AmlError(
            f"{file.path} would not be migrated soundly, so nothing was changed: {error}",
            advice="this is a fault of AML; please report it with that file's records",
        ) from error
    return after


class _WrongError(Exception):
    """What is wrong with a migrated text."""


def _compare(before: RecordArray, after: RecordArray, migrated: MigratedArray, target: str) -> None:
    if len(after) != len(before):
        raise _WrongError(f"{len(before)} elements became {len(after)}")
    changed = list(changed_places(before, after))
    if len(changed) != migrated.changed:
        raise _WrongError(f"{len(changed)} records changed in place of {migrated.changed}")
    was, now = view_records(before, RecordView), view_records(after, RecordView)
    for place in changed:
        one, other = was[place], now[place]
        if isinstance(one, Unreadable) or isinstance(other, Unreadable):
            continue  # such as with NaN in it: the step has looked at it, and nobody else can
        if one.id != other.id:
            raise _WrongError(f"the record at position {place} changed its id")
        if other.schema_version != target:
            raise _WrongError(f"the record at position {place} has the version {other.schema_version}")
    for place in changed[:: max(1, len(changed) // _COMPARED)]:
        lost = lost_values(before.elements[place], after.elements[place])
        if lost:
            raise _WrongError(f"the record at position {place} lost {', '.join(lost)}")


def changed_places(before: RecordArray, after: RecordArray) -> Iterator[int]:
    """Where two arrays of one length have other bytes, by their places."""
    pairs = enumerate(zip(before.elements, after.elements, strict=True))
    # what is read in two ways is never equal by itself
    return (place for place, (one, other) in pairs if one != other and bytes(one) != bytes(other))


def lost_values(before: Element, after: Element) -> list[str]:
    """The single values of a record that are nowhere in what became of it, as text.

    Times count as found where the same moment is there, and a version of the schema may go.
    """
    record = _loaded(before)
    if isinstance(record, dict):
        # names of keys among them: what was noted for the way back is used up by it
        record.pop(_NOTES, None)
    # a set: a value that a step has put in beside its like may go again
    now = set(_values(_loaded(after)))
    missing = set(_values(record)) - now
    if missing:
        now |= set(_noted(after))
        missing -= now
    if not missing:
        return []
    moments = {_moment(value, is_text) for value, is_text in now} - {None}
    return [
        json.dumps(value)
        for value, is_text in missing
        if not ((is_text and value in VERSIONS) or _moment(value, is_text) in moments)
    ]


def _noted(after: Element) -> Iterator[tuple[str, bool]]:
    """What a record keeps for the way back where that is the whole of another one, as text."""
    waiting = [_loaded(after)]
    while waiting:
        record = waiting.pop()
        notes = record.get(_NOTES) if isinstance(record, dict) else None
        for text, is_text in set(_values(notes)):
            if is_text and text.startswith("{"):
                try:
                    inner = _loaded(text)
                except UNDECODABLE:
                    continue  # somebody's own text, which is nested too deep or no JSON
                yield from _values(inner)
                waiting.append(inner)


def _moment(value: str, is_text: bool) -> float | None:
    """The moment that a text or a number names, to the millisecond (seconds since 1970 UTC)."""
    try:
        moment = parse_timestamp(value if is_text else float(value))
    except ValueError:
        return None
    return None if moment is None else round(moment, 3)


def _loaded(raw: Element | str) -> Any:
    text = raw if isinstance(raw, str) else bytes(raw)
    # every number as it is written, so that 1.10 and 2 ** 70 are not taken for their neighbours
    return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _values(value: Any) -> Iterator[tuple[str, bool]]:
    """Every number and every text below, and whether it is text."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            # true, false and null are everywhere, so they tell nothing
            yield str(one), type(one) is str
