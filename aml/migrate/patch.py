"""What one object has and another has not, as an object itself: small, and put back byte for byte.

A patch that a record keeps under ``x_aml`` reads so, each part being left out where it is empty:

    names   {present name: name to give back}
    gone    [keys to take out]
    set     {key: value to give back, exactly as it was written}
    at      {key: its place, counted from 0}
    in      {key: a patch for the object there}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from aml.codec.json_object import JsonObject, Member, Tree, name_of, parse_object
from aml.errors import AmlError
from aml.model.undecodable import UNDECODABLE

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_PARTS = ("names", "gone", "set", "at", "in")


class UnfitError(AmlError):
    """A patch does not fit the object, or no patch can be made."""


class Patch(NamedTuple):
    """The parts of a patch; keys are spelled as they are written, with quotes."""

    names: tuple[tuple[bytes, bytes], ...] = ()
    gone: tuple[bytes, ...] = ()
    values: tuple[tuple[bytes, bytes], ...] = ()
    places: tuple[tuple[bytes, int], ...] = ()
    inside: tuple[tuple[bytes, Patch], ...] = ()

    def tree(self) -> Tree:
        """The patch as it is written."""
        parts: dict[bytes, bytes | Tree] = {}
        if self.names:
            parts[b'"names"'] = dict(self.names)
        if self.gone:
            parts[b'"gone"'] = b"[" + b", ".join(self.gone) + b"]"
        if self.values:
            parts[b'"set"'] = dict(self.values)
        if self.places:
            parts[b'"at"'] = {key: b"%d" % place for key, place in self.places}
        if self.inside:
            parts[b'"in"'] = {key: patch.tree() for key, patch in self.inside}
        return parts

    @property
    def touched(self) -> set[str]:
        """The names of what it changes at its own level."""
        keys = {key for pair in self.names for key in pair} | set(self.gone)
        keys |= {key for part in (self.values, self.places, self.inside) for key, _ in part}
        return {name_of(key) for key in keys}

    def pieces(self) -> Iterator[Patch]:
        """The same change, in parts that are whole by themselves."""
        for pair in self.names:
            yield Patch(names=(pair,))
        for key in self.gone:
            yield Patch(gone=(key,))
        placed = dict(self.places)
        for key, value in self.values:
            yield Patch(values=((key, value),), places=((key, placed.pop(key)),) if key in placed else ())
        for place in placed.items():
            yield Patch(places=(place,))
        for key, patch in self.inside:
            yield from (Patch(inside=((key, piece),)) for piece in patch.pieces())

    def joined(self, other: Patch, record: JsonObject | None = None) -> Patch:
        """Both changes, those of values in the order of that record's keys, as ``find_patch`` tells them."""
        inside = dict(self.inside)
        for key, patch in other.inside:
            part = None if record is None else parse_object(record.members[_known(record, key)].value)
            inside[key] = inside[key].joined(patch, part) if key in inside else patch
        order = {} if record is None else {member.key: place for place, member in enumerate(record)}
        return Patch(
            self.names + other.names,
            self.gone + other.gone,
            tuple(sorted(self.values + other.values, key=lambda pair: order.get(pair[0], len(order)))),
            tuple(sorted(self.places + other.places, key=lambda pair: order.get(pair[0], len(order)))),
            tuple(sorted(inside.items(), key=lambda pair: order.get(pair[0], len(order)))),
        )


def read_patch(raw: bytes) -> Patch | None:
    """A patch as it is written; None where it is none."""
    try:
        return _read(parse_object(raw))
    except AmlError:
        return None
    except UNDECODABLE:
        return None


def _read(found: JsonObject) -> Patch:
    parts = {name: found.get(name) for name in found.names}
    if not parts or not set(parts) <= set(_PARTS) or found.duplicates:
        raise UnfitError("it is no patch")
    members = {name: parse_object(raw).members for name, raw in parts.items() if raw and name != "gone"}
    return Patch(
        tuple((member.key, _text(member.value)) for member in members.get("names", ())),
        tuple(_text(bytes(key)) for key in _LIST.decode(parts.get("gone") or b"[]")),
        tuple((member.key, member.value) for member in members.get("set", ())),
        tuple((member.key, int(member.value)) for member in members.get("at", ())),
        tuple((member.key, _read(parse_object(member.value))) for member in members.get("in", ())),
    )


def _text(raw: bytes) -> bytes:
    if raw[:1] != b'"':
        raise UnfitError("a name is no text")
    return raw


def apply_patch(record: JsonObject, patch: Patch) -> JsonObject:
    """A record with the changes made. Raises UnfitError where something is not as the patch expects it."""
    changed = record.copy()
    members = changed.members
    for old, new in patch.names:
        place = _place(changed, old)
        if place is None or _place(changed, new) is not None:
            raise UnfitError("a name is not there, or its other one is")
        members[place] = members[place].with_key(new)
    for key in patch.gone:
        place = _place(changed, key)
        if place is None:
            raise UnfitError("what should go is not there")
        changed.pop(place)
    for key, value in patch.values:
        place = _place(changed, key)
        if place is None:
            changed.insert(len(changed), key, value)
        else:
            members[place] = members[place].with_value(value)
    for key, inner in patch.inside:
        place = _known(changed, key)
        members[place] = members[place].with_value(_patched(members[place].value, inner))
    _arrange(changed, patch)
    return changed


def _arrange(record: JsonObject, patch: Patch) -> None:
    moved = [(place, record.pop(_known(record, key))) for key, place in patch.places]
    for place, member in sorted(moved, key=lambda pair: pair[0]):
        record.insert(min(place, len(record)), member.key, member.value)


def _patched(value: bytes, patch: Patch) -> bytes:
    return apply_patch(parse_object(value), patch).to_bytes()


def _known(record: JsonObject, key: bytes) -> int:
    place = _place(record, key)
    if place is None:
        raise UnfitError("what should be changed is not there")
    return place


def _place(record: JsonObject, key: bytes) -> int | None:
    places = [place for place, member in enumerate(record.members) if member.key == key]
    if len(places) > 1:
        raise UnfitError("a key is there more than once")
    return places[0] if places else None


def find_patch(have: JsonObject, want: JsonObject, added: Collection[str] = ()) -> Patch | None:
    """The patch that makes ``want`` of ``have``, byte for byte; None where there is none.

    ``added`` names what somebody put into ``have`` by rule: such a pair may stand elsewhere in ``want``, and its value
    is kept as a whole.
    """
    names = _renamed(have, want)
    given = dict(names)
    before = {given.get(member.key, member.key): member for member in have}
    after = {member.key: member for member in want}
    values, inside = [], []
    for key, member in after.items():
        other = before.get(key)
        if other is None:
            values.append((key, member.value))
        elif other.value != member.value:
            inner = None if other.name in added else _inner_patch(other, member)
            if inner is None:
                values.append((key, member.value))
            else:
                inside.append((key, inner))
    gone = tuple(key for key in before if key not in after)
    patch = Patch(names, gone, tuple(values), (), tuple(inside))
    movable = {key for key in after if key not in before or before[key].name in added}
    try:
        return _placed(have, want, patch, movable)
    except AmlError:
        return None


def _renamed(have: JsonObject, want: JsonObject) -> tuple[tuple[bytes, bytes], ...]:
    """Pairs of keys that stand at the same place, each of them in one of the objects alone."""
    if len(have) != len(want):
        return ()
    here, there = {member.key for member in have}, {member.key for member in want}
    pairs = zip(have, want, strict=True)
    return tuple((one.key, other.key) for one, other in pairs if one.key not in there and other.key not in here)


def _inner_patch(have: Member, want: Member) -> Patch | None:
    if have.value[:1] != b"{" or want.value[:1] != b"{":
        return None
    return find_patch(parse_object(have.value), parse_object(want.value))


def _placed(have: JsonObject, want: JsonObject, patch: Patch, movable: set[bytes]) -> Patch | None:
    found, wanted = apply_patch(have, patch), want.to_bytes()
    if found.to_bytes() == wanted:
        return patch
    places = tuple((member.key, place) for place, member in enumerate(want.members) if member.key in movable)
    patch = patch._replace(places=places)
    return patch if apply_patch(have, patch).to_bytes() == wanted else None
