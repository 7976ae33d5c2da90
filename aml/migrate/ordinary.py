"""Ordinary records, thousands of them, by templates: what the rules of a step make of all records that look alike.

Nearly every record of a large store has the keys, the layout and the kind of values that the agents' runtime writes.
For each shape (its keys in order) a template tells the text around the values. A record is ordinary where its template
and its values make exactly its bytes; then another template and the same values make the migrated record. The way back
is the first template again, so that it gives the record back is what was just seen. The first record of each shape is
also taken the long way, and unless both ways lead to the same bytes, none of that shape goes this way.

For whatever is not ordinary, by a key or by a value, there is None here; it goes the long way (moving.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from aml.codec.json_array import MAX_DEPTH
from aml.codec.json_object import Layout, key_of, parse_object
from aml.migrate.marks import NULL, Raws, read_pairs
from aml.migrate.moving import BadRecordError, move_record
from aml.migrate.registry import Move
from aml.migrate.steps import v1_0_0_to_v1_1_0, v1_1_0_to_v1_2_0, v1_2_0_to_v2_0_0
from aml.model.timestamps import parse_timestamp

Values = tuple[bytes | msgspec.Raw, ...]

_COURSE, _METADATA = "evolution", "metadata"
#: Names by which a record of schema 1.x says something that is not ordinary.
_STRANGE = frozenset({"version", "x_aml", "lifecycle", "performance", "reviewed_at"})
_STRANGE_TIMES = frozenset({"createdAt", "created_at", "last_used", "last_used_at"})
_COURSE_TIMES = ("created", "lastUsed")
_NO_TAGS, _UTC = b"[]", b'Z"'

#: A store has one layout for each of its writers: the agents' runtime, and somebody's script.
_MOST_LAYOUTS = 3


class _Shape(NamedTuple):
    """Templates of all records with the same keys in the same order. ``places`` are those of parts to be changed."""

    before: bytes
    after: bytes
    places: tuple[int, ...] = ()


class _Way:
    """One step up for the ordinary records of one kind and layout."""

    def __init__(self, kind: str, move: Move, layout: Layout) -> None:
        self.kind, self.move, self.layout = kind, move, layout
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def __call__(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The migrated record; None where it is not ordinary."""
        names = tuple(pairs)
        shape = self._shapes.get(names)
        if shape is None:
            if names in self._shapes:
                return None
            return self._first(raw, pairs, names)
        return self._made(shape, raw, pairs)

    def _first(self, raw: bytes, pairs: Raws, names: tuple[str, ...]) -> bytes | None:
        shape = self._shape(names) if _STRANGE.isdisjoint(names) else None
        made = self._made(shape, raw, pairs) if shape else None
        if shape is not None and made is None:
            return None  # this one is not ordinary; the next one of its shape may be
        try:
            as_well = made is not None and move_record(raw, self.kind, self.move) == made
        except BadRecordError:
            as_well = False
        self._shapes[names] = shape if as_well else None
        return made if as_well else None

    def _made(self, shape: _Shape, raw: bytes, pairs: Raws) -> bytes | None:
        values = tuple(pairs.values())
        if shape.before % values != raw or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
            return None
        changed = self._changed(pairs, values, shape.places)
        return None if changed is None else shape.after % changed

    def _shape(self, names: Sequence[str]) -> _Shape | None:
        """The templates for records of these keys, none of which is strange; None where they cannot be ordinary."""
        raise NotImplementedError

    def _changed(self, pairs: Raws, values: Values, places: Sequence[int]) -> Values | None:
        """The values of the migrated record; None where one of them makes the record other than ordinary."""
        raise NotImplementedError


class _To110(_Way):
    """``tags`` and ``active`` are added; no time has to be changed."""

    def __init__(self, kind: str, move: Move, layout: Layout) -> None:
        super().__init__(kind, move, layout)
        self._courses: dict[tuple[str, ...], bytes | None] = {}
        self._times = ("timestamp", "reviewedAt") if kind == "decisions" else ("timestamp",)

    def _shape(self, names: Sequence[str]) -> _Shape | None:
        if _METADATA in names or {"tags", "active"} <= set(names):
            return None
        after = list(names)
        if "tags" in names:
            after.insert(after.index("tags") + 1, "active")
        elif "active" in names:
            after.insert(after.index("active"), "tags")
        else:
            after += ("active", "tags")
        added = {name: value for name, value in (("tags", b"[]"), ("active", b"true")) if name not in names}
        return _Shape(_template(names, self.layout), _template(after, self.layout, added))

    def _changed(self, pairs: Raws, values: Values, places: Sequence[int]) -> Values | None:  # noqa: ARG002 - as above
        # beside an empty list that was there, the place would not tell that ``active`` was added
        if bytes(pairs.get("tags", b"?")) in (NULL, _NO_TAGS) or bytes(pairs.get("active", b"?")) == NULL:
            return None
        for name in self._times:
            if name in pairs and bytes(pairs[name])[-2:] != _UTC:
                return None
        if self.kind == "patterns" and _COURSE in pairs and not self._is_usual_course(bytes(pairs[_COURSE])):
            return None
        return values

    def _is_usual_course(self, raw: bytes) -> bool:
        pairs = read_pairs(raw)
        if pairs is None:
            return False
        names = tuple(pairs)
        if names not in self._courses:
            usual = _STRANGE_TIMES.isdisjoint(names)
            self._courses[names] = _template(names, self.layout.inner) if usual else None
        usual_text = self._courses[names]
        if usual_text is None or usual_text % tuple(pairs.values()) != raw:
            return False
        return all(bytes(pairs[name])[-2:] == _UTC for name in _COURSE_TIMES if name in pairs)


class _To120(_Way):
    """``metadata`` is added, and ``variations`` to patterns."""

    def __init__(self, kind: str, move: Move, layout: Layout) -> None:
        super().__init__(kind, move, layout)
        names = ("created_by", "last_modified", "version")
        self._metadata = _template(names, layout.inner, {"version": key_of(move.end)})

    def _shape(self, names: Sequence[str]) -> _Shape | None:
        known = set(names)
        if not {"tags", "active", "agent", "timestamp"} <= known or known & {_METADATA, "variations"}:
            return None
        added = {"variations": b"[]"} if self.kind == "patterns" else {}
        after = [*names, *added, _METADATA]
        return _Shape(_template(names, self.layout), _template(after, self.layout, added))

    def _changed(self, pairs: Raws, values: Values, places: Sequence[int]) -> Values | None:  # noqa: ARG002 - as above
        agent, used = bytes(pairs["agent"]), self._last_used(pairs)
        if agent[:1] != b'"' or used is None or bytes(pairs["tags"]) == NULL or bytes(pairs["active"]) == NULL:
            return None
        return (*values, self._metadata % (agent, used))

    def _last_used(self, pairs: Raws) -> bytes | None:
        if self.kind == "patterns":
            course = (read_pairs(pairs[_COURSE]) if _COURSE in pairs else None) or {}
            raw = bytes(course.get("lastUsed", b"")) if _STRANGE_TIMES.isdisjoint(course) else b""
        else:
            raw = bytes(pairs["reviewedAt" if self.kind == "decisions" and "reviewedAt" in pairs else "timestamp"])
        is_usual = raw[-2:] == _UTC and b"\\" not in raw
        return raw if is_usual and parse_timestamp(raw[1:-1].decode()) is not None else None


class _Part:
    """An object within a record, in which keys get other names."""

    def __init__(self, layout: Layout, names: Mapping[str, Sequence[str]]) -> None:
        self._layout = layout
        self._new_names = {spellings[0]: name for name, spellings in names.items()}
        self._odd = {odd for name, spellings in names.items() for odd in (name, *spellings[1:])}
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def __call__(self, raw: bytes) -> bytes | None:
        """The object after the step; None where it is not ordinary."""
        pairs = read_pairs(raw)
        if pairs is None:
            return None
        names = tuple(pairs)
        if names not in self._shapes:
            self._shapes[names] = self._shape(names)
        shape, values = self._shapes[names], tuple(pairs.values())
        if shape is None or shape.before % values != raw:
            return None
        changed = self._changed(pairs, values)
        return None if changed is None else shape.after % changed

    def _shape(self, names: tuple[str, ...]) -> _Shape | None:
        if not self._odd.isdisjoint(names):
            return None
        after = [self._new_names.get(name, name) for name in names]
        return _Shape(_template(names, self._layout), _template(after, self._layout))

    def _changed(self, pairs: Raws, values: Values) -> Values | None:  # noqa: ARG002 - metadata look
        return values


class _Metadata(_Part):
    """``metadata``, whose version follows."""

    def __init__(self, layout: Layout, move: Move) -> None:
        super().__init__(layout, {})
        self._left, self._reached = key_of(move.start), key_of(move.end)

    def _changed(self, pairs: Raws, values: Values) -> Values | None:
        if bytes(pairs.get("version", b"")) != self._left:
            return None
        place = list(pairs).index("version")
        return (*values[:place], self._reached, *values[place + 1 :])


class _To200(_Way):
    """Parts of patterns get other names, and so do keys within; ``version`` is added, and the metadata's follows."""

    def __init__(self, kind: str, move: Move, layout: Layout) -> None:
        super().__init__(kind, move, layout)
        parts = v1_2_0_to_v2_0_0.PARTS if kind == "patterns" else ()
        self._new_names = {old: new for old, new, _ in parts}
        self._parts: dict[str, _Part] = {old: _Part(layout.inner, names) for old, _, names in parts}
        self._parts[_METADATA] = _Metadata(layout.inner, move)

    def _shape(self, names: Sequence[str]) -> _Shape | None:
        if _METADATA not in names:
            return None
        after = [self._new_names.get(name, name) for name in names]
        places = tuple(place for place, name in enumerate(names) if name in self._parts)
        added = {"version": key_of(self.move.end)}
        return _Shape(_template(names, self.layout), _template([*after, "version"], self.layout, added), places)

    def _changed(self, pairs: Raws, values: Values, places: Sequence[int]) -> Values | None:
        names = tuple(pairs)
        changed = list(values)
        for place in places:
            new = self._parts[names[place]](bytes(values[place]))
            if new is None:
                return None
            changed[place] = new
        return tuple(changed)


_WAYS: Mapping[str, type[_Way]] = {
    v1_0_0_to_v1_1_0.TO: _To110,
    v1_1_0_to_v1_2_0.TO: _To120,
    v1_2_0_to_v2_0_0.TO: _To200,
}


class OrdinaryWays:
    """One step for all ordinary records of one kind, in whichever few layouts they are written."""

    def __init__(self, kind: str, move: Move) -> None:
        self._kind, self._move = kind, move
        self._ways: dict[Layout, _Way] = {}

    def made(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The migrated record; None where it is not ordinary. ``pairs`` are those of ``raw``."""
        for way in self._ways.values():
            made = way(raw, pairs)
            if made is not None:
                return made
        kind_of_way = _WAYS.get(self._move.end) if self._move.direction == "up" else None
        if kind_of_way is None or len(self._ways) == _MOST_LAYOUTS:
            return None
        layout = parse_object(raw).layout
        if layout in self._ways:
            return None
        self._ways[layout] = kind_of_way(self._kind, self._move, layout)
        return self._ways[layout](raw, pairs)


def _template(names: Iterable[str], layout: Layout, added: Mapping[str, bytes] | None = None) -> bytes:
    """The text of an object with a place for each value, and the values of those keys that are ``added``."""
    values = added or {}
    parts = [
        _literal(key_of(name) + layout.colon) + (_literal(values[name]) if name in values else b"%b") for name in names
    ]
    text = _literal(b"{" + layout.start) + _literal(layout.tail + b"," + layout.lead).join(parts)
    return text + _literal(layout.end + b"}")


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
