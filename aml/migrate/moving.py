"""One record, one step: from the bytes of one schema version to those of the next, and back to the very same bytes.

A step changes a record by rule. What the opposite rule would not give back (odd spellings, an order of keys, times as
they were written, whatever the older schema has no place for) is noted under ``x_aml`` as a patch, and used on the way
back. A patch is used only where that overwrites nothing which was written since:

- the present record is exactly what the step makes of the one with the patch; or
- the step makes the same of the record with the patch as without it, and the record does not state itself what the
  patch would give back.

Else it is used in parts, and what is left of it stays where it is. Where no patch will do, the record is noted whole.
"""

from __future__ import annotations

from typing import NamedTuple

from aml.codec.json_array import MAX_DEPTH, is_deeper_than
from aml.codec.json_object import JsonObject, parse_object
from aml.errors import AmlError, DamagedError
from aml.migrate.marks import version_of
from aml.migrate.notes import KEY, Notes, Used, text_note
from aml.migrate.patch import Patch, UnfitError, apply_patch, find_patch, read_patch
from aml.migrate.registry import Change, Move


class BadRecordError(DamagedError):
    """A record that cannot be taken to another version without loss; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Shifted(NamedTuple):
    """A record after a move, before anything is noted."""

    body: JsonObject
    used: Used | None = None


def move_record(raw: bytes, kind: str, move: Move) -> bytes:
    """The record after one step, from which the step back makes ``raw`` again, byte for byte. Raises BadRecordError."""
    if is_deeper_than(raw, MAX_DEPTH):
        raise BadRecordError(f"it is nested to more than {MAX_DEPTH} levels")
    try:
        record = parse_object(raw)
        moved = _without_note(record, raw, kind, move)
        if moved is None:
            moved = _with_note(record, raw, kind, move)
            _check(moved, raw, kind, move)
        if is_deeper_than(moved, MAX_DEPTH):
            raise BadRecordError(f"it would be nested to more than {MAX_DEPTH} levels")
    except BadRecordError:
        raise
    except DamagedError as error:
        raise BadRecordError(str(error)) from error
    return moved


def _without_note(record: JsonObject, raw: bytes, kind: str, move: Move) -> bytes | None:
    """An ordinary record, which the opposite rule gives back as it is; None for any other."""
    if record.has(KEY):
        return None
    moved = move.change(record, kind)
    told = moved.to_bytes()
    if version_of(moved) != move.end:
        raise BadRecordError(f"the step to {move.end} would make it {version_of(moved)}")
    back = move.back.change(parse_object(told), kind)
    return told if back.to_bytes() == raw else None


def _check(moved: bytes, raw: bytes, kind: str, move: Move) -> None:
    record = parse_object(moved)
    if version_of(record) != move.end:
        raise BadRecordError(f"the step to {move.end} would make it {version_of(record)}")
    back = _without_note(record, moved, kind, move.back)
    if (_with_note(record, moved, kind, move.back) if back is None else back) != raw:
        raise BadRecordError(f"the way back to {move.start} would not give it back as it is")


def _with_note(record: JsonObject, raw: bytes, kind: str, move: Move) -> bytes:
    whole = Notes(record).text(move.note)
    if whole is not None and _is_made_of(raw, whole, kind, move.back):
        return whole
    found = _with_patch(record, kind, move)
    if found is not None:
        back = parse_object(found)
        if (_without_note(back, found, kind, move.back) or _with_patch(back, kind, move.back)) == raw:
            return found
    return _with_text(raw, kind, move)


def _is_made_of(raw: bytes, whole: bytes, kind: str, move: Move) -> bool:
    """Whether noting that record whole, and moving it, makes exactly ``raw``."""
    try:
        return _with_text(whole, kind, move) == raw
    except AmlError:
        return False


def _with_patch(record: JsonObject, kind: str, move: Move) -> bytes | None:
    """The record after a move, with a patch for the way back where one is needed; None where no patch would do."""
    notes = Notes(record)
    shifted = _shift(notes, kind, move)
    way_back = move.back.change(shifted.body, kind)
    patch: Patch | None = None
    if way_back.to_bytes() != notes.body.to_bytes():
        added = set(way_back.names) - set(shifted.body.names)
        patch = find_patch(way_back, notes.body, added.intersection(move.step.adds))
        patch = _beside_what_is_left(patch, notes, move)
        if patch is None:
            return None
    new = (move.back.note, patch.tree()) if patch else None
    return notes.around(shifted.body, shifted.used, new).to_bytes()


def _beside_what_is_left(patch: Patch | None, notes: Notes, move: Move) -> Patch | None:
    """The patch to be noted for the way back, where an earlier one could not be used up; None where they do not fit."""
    left = notes.get(move.back.note)
    if left is None or patch is None:
        return patch
    earlier = read_patch(left)
    try:
        return None if earlier is None else patch.joined(earlier, notes.body)
    except AmlError:
        return None


def _with_text(raw: bytes, kind: str, move: Move) -> bytes:
    """The record after a move, with the whole of what it was."""
    notes = Notes(parse_object(raw))
    shifted = _shift(notes, kind, move)
    return notes.around(shifted.body, shifted.used, (move.back.note, text_note(raw))).to_bytes()


def _shift(notes: Notes, kind: str, move: Move) -> _Shifted:
    plain = move.change(notes.body, kind)
    raw = notes.get(move.note)
    patch = None if raw is None else read_patch(raw)
    if patch is None:
        return _Shifted(plain)
    use = _Use(notes.body, plain, kind, move.back.change)
    whole = use.tried(plain, patch)
    if whole is not None:
        return _Shifted(whole, Used(move.note, None))
    left: Patch | None = None
    record = plain
    for piece in patch.pieces():
        found = use.tried(record, piece)
        if found is None:
            left = piece if left is None else left.joined(piece)
        else:
            record = found
    return _Shifted(record, None if record is plain else Used(move.note, left.tree() if left else None))


class _Use:
    """The question whether a patch may be used on what a move made of ``source``."""

    def __init__(self, source: JsonObject, plain: JsonObject, kind: str, back: Change) -> None:
        self._source, self._kind, self._back = source, kind, back
        self._wanted = source.to_bytes()
        self._usual = back(plain, kind).to_bytes()

    def tried(self, record: JsonObject, patch: Patch) -> JsonObject | None:
        """The record with the patch, where that overwrites nothing; else None."""
        try:
            found = apply_patch(record, patch)
            way_back = self._back(found, self._kind)
        except (UnfitError, DamagedError):
            return None
        told = way_back.to_bytes()
        if told == self._wanted:
            return found
        own = set(self._source.names) - set(way_back.names)  # what the way back would not show
        return found if told == self._usual and not own & patch.touched else None
