"""Ordinary records, thousands of them, by templates: what the rules of a step make of all records that look alike.

Nearly every record of a large store has the keys, the layout and the kind of values that the agents' runtime writes.
For each shape (its keys in order) a template tells the text around the values. A record is ordinary where its template
and its values make exactly its bytes; then another template and the same values make the migrated record. The way back
is the first template again, so that it gives the record back is what was just seen. The first record of each shape is
also taken the long way, and unless both ways lead to the same bytes, none of that shape goes this way.

For whatever is not ordinary, by a key or by a value, there is None here; it goes the long way (moving.py).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from aml.codec.json_array import MAX_DEPTH
from aml.codec.json_object import Layout, Raws, key_of, parse_object
from aml.errors import DamagedError
from aml.migrate.marks import NULL
from aml.migrate.moving import BadRecordError, move_record
from aml.migrate.registry import Move
from aml.migrate.steps import v1_0_0_to_v1_1_0, v1_1_0_to_v1_2_0, v1_2_0_to_v2_0_0
from aml.model.timestamps import parse_timestamp

Names = tuple[str, ...]
Values = Sequence[bytes | msgspec.Raw]
#: A value after the step; None where it is not an ordinary one.
Change = Callable[[bytes], bytes | None]

_COURSE, _METADATA = "evolution", "metadata"
#: Names by which a record of schema 1.x says something that is not ordinary.
_STRANGE = frozenset({"version", "x_aml", "lifecycle", "performance", "reviewed_at"})
_STRANGE_TIMES = frozenset({"createdAt", "created_at", "last_used", "last_used_at"})
_NO_TAGS, _UTC = b"[]", b'Z"'

_SCALAR = rb'"[^"\\]*"|-?[0-9][0-9.eE+-]*|true|false|null'
_UTC_TIME = rb'"[^"\\]*Z"'

#: A store has one layout for each of its writers: the agents' runtime, and somebody's script.
_MOST_LAYOUTS = 3
#: In how many ways the keys of an object within a record may be ordered, and which of them are there.
_MOST_VARIANTS = 8


class Shape(Protocol):
    """All records with the same keys in the same order and layout."""

    def made(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The migrated record; None where it is not ordinary."""


class UpShape:
    """All records with the same keys in the same order and layout: their text before and after, around the values.

    ``changes`` belong to the values at those places, ``added`` makes the values that are put after the last one.
    """

    def __init__(
        self,
        before: bytes,
        after: bytes,
        changes: Mapping[int, Change],
        added: Callable[[Values], Values | None] | None = None,
    ) -> None:
        self._before, self._after = before, after
        self._changes, self._added = tuple(changes.items()), added

    def made(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The migrated record; None where it is not ordinary."""
        values = tuple(pairs.values())
        if self._before % values != raw or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
            return None
        changed: list[bytes | msgspec.Raw] = list(values)
        for place, change in self._changes:
            new = change(bytes(values[place]))
            if new is None:
                return None
            changed[place] = new
        if self._added is not None:
            more = self._added(values)
            if more is None:
                return None
            changed += more
        return self._after % tuple(changed)


class OrdinaryWays:
    """One step up for all ordinary records of one kind, in whichever few layouts they are written."""

    #: names that no ordinary record has
    strange = _STRANGE

    def __init__(self, kind: str, move: Move) -> None:
        self._kind, self._move = kind, move
        self._ways: dict[Layout, Way] = {}
        self._shapes: dict[Names, Shape | None] = {}

    def shape(self, names: Names) -> Shape | None:
        """The shape of most records with those keys, once there was one."""
        return self._shapes.get(names)

    def made(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The migrated record; None where it is not ordinary. ``pairs`` are those of ``raw``."""
        names = tuple(pairs)
        usual = self._shapes.get(names)
        made = usual.made(raw, pairs) if usual else None
        if made is not None or not self.strange.isdisjoint(names):
            return made
        for way in self._ways.values():
            made = self._made_by(way, names, raw, pairs)
            if made is not None:
                return made
        if len(self._ways) == _MOST_LAYOUTS:
            return None
        layout = parse_object(raw).layout
        if layout in self._ways:
            return None
        new = self._new_way(layout)
        if new is None:
            return None
        self._ways[layout] = new
        return self._made_by(new, names, raw, pairs)

    def _new_way(self, layout: Layout) -> Way | None:
        way = _WAYS.get(self._move.end)
        return None if way is None else way(self._kind, self._move, layout)

    def _made_by(self, way: Way, names: Names, raw: bytes, pairs: Raws) -> bytes | None:
        if names not in way.shapes:
            way.shapes[names] = way.shape(names)
            way.unproven.add(names)
        shape = way.shapes[names]
        made = shape.made(raw, pairs) if shape is not None else None
        if made is None:
            return None
        if names in way.unproven:
            way.unproven.remove(names)
            if not self._is_made_the_long_way(raw, made):
                way.shapes[names] = None
                return None
        self._shapes[names] = shape
        return made

    def _is_made_the_long_way(self, raw: bytes, made: bytes) -> bool:
        try:
            return move_record(raw, self._kind, self._move) == made
        except BadRecordError:
            return False


class Way(ABC):
    """One step, for records of one kind and layout."""

    def __init__(self, kind: str, move: Move, layout: Layout) -> None:
        self.kind, self.move, self.layout = kind, move, layout
        self.shapes: dict[Names, Shape | None] = {}
        self.unproven: set[Names] = set()

    @abstractmethod
    def shape(self, names: Names) -> Shape | None:
        """What is ordinary for records of these keys, none of which is strange; None where nothing is."""


class _To110(Way):
    """``tags`` and ``active`` are added; no time has to be changed."""

    def shape(self, names: Names) -> Shape | None:
        if _METADATA in names or {"tags", "active"} <= set(names):
            return None
        after = list(names)
        changes: dict[str, Change] = {"timestamp": _in_utc}
        if self.kind == "decisions":
            changes["reviewedAt"] = _in_utc
        elif self.kind == "patterns":
            changes[_COURSE] = Part(self.layout.inner, {"created": _UTC_TIME, "lastUsed": _UTC_TIME}, _STRANGE_TIMES)
        if "tags" in names:
            after.insert(after.index("tags") + 1, "active")
            # beside an empty list that was there, the place would not tell that ``active`` was added
            changes["tags"] = _unless(NULL, _NO_TAGS)
        elif "active" in names:
            after.insert(after.index("active"), "tags")
            changes["active"] = _unless(NULL)
        else:
            after += ("active", "tags")
        added = {name: value for name, value in (("tags", _NO_TAGS), ("active", b"true")) if name not in names}
        return UpShape(template(names, self.layout), template(after, self.layout, added), placed(changes, names))


class _To120(Way):
    """``metadata`` is added, and ``variations`` to patterns."""

    def shape(self, names: Names) -> Shape | None:
        used = {"patterns": _COURSE, "decisions": "reviewedAt"}.get(self.kind, "timestamp")
        if used not in names and self.kind == "decisions":
            used = "timestamp"
        if not {"tags", "active", "agent", used} <= set(names) or not {_METADATA, "variations"}.isdisjoint(names):
            return None
        changes = {"tags": _unless(NULL), "active": _unless(NULL)}
        variations = {"variations": _NO_TAGS} if self.kind == "patterns" else {}
        after = [*names, *variations, _METADATA]
        metadata = template(
            ("created_by", "last_modified", "version"), self.layout.inner, {"version": key_of(self.move.end)}
        )
        moment: Change = _as_it_is
        if used == _COURSE:
            moment = Part(self.layout.inner, {"lastUsed": _UTC_TIME}, _STRANGE_TIMES, wanted="lastUsed")
        agent, place = names.index("agent"), names.index(used)

        def added(values: Values) -> Values | None:
            author, time = bytes(values[agent]), moment(bytes(values[place]))
            return (metadata % (author, time),) if author[:1] == b'"' and time and _is_usual_time(time) else None

        before = template(names, self.layout)
        return UpShape(before, template(after, self.layout, variations), placed(changes, names), added)


class _To200(Way):
    """Parts of patterns get other names, and so do keys within; ``version`` is added, and the metadata's follows."""

    def shape(self, names: Names) -> Shape | None:
        if _METADATA not in names:
            return None
        parts = v1_2_0_to_v2_0_0.PARTS if self.kind == "patterns" else ()
        new_names = {old: new for old, new, _ in parts}
        inner, versions = self.layout.inner, (key_of(self.move.start), key_of(self.move.end))
        changes: dict[str, Change] = {
            _METADATA: Part(inner, {"version": re.escape(versions[0])}, replaced={"version": versions[1]})
        }
        for old, _, within in parts:
            odd = {name for new, spellings in within.items() for name in (new, *spellings[1:])}
            changes[old] = Part(inner, {}, odd, new_names={spellings[0]: new for new, spellings in within.items()})
        after = [*(new_names.get(name, name) for name in names), "version"]
        after_text = template(after, self.layout, {"version": versions[1]})
        return UpShape(template(names, self.layout), after_text, placed(changes, names))


_WAYS: Mapping[str, type[Way]] = {
    v1_0_0_to_v1_1_0.TO: _To110,
    v1_1_0_to_v1_2_0.TO: _To120,
    v1_2_0_to_v2_0_0.TO: _To200,
}


class Part:
    """An object of scalars within a record, told by one expression for each order of keys that was met.

    ``values`` are expressions for the values of some keys, ``odd`` keys that make it other than ordinary. After the
    step keys have ``new_names`` and values are ``replaced``; or of all of it the value of the key ``wanted`` is given.
    """

    def __init__(
        self,
        layout: Layout,
        values: Mapping[str, bytes],
        odd: Iterable[str] = (),
        *,
        new_names: Mapping[str, str] | None = None,
        replaced: Mapping[str, bytes] | None = None,
        wanted: str | None = None,
    ) -> None:
        self._layout, self._values, self._odd = layout, values, frozenset(odd)
        self._new_names, self._replaced, self._wanted = new_names or {}, replaced or {}, wanted
        self._variants: dict[Names, tuple[re.Pattern[bytes], bytes]] = {}

    def __call__(self, raw: bytes) -> bytes | None:
        """What the step makes of the object; None where it is not ordinary."""
        for expression, after in self._variants.values():
            found = expression.fullmatch(raw)
            if found is not None:
                return after % found.groups()
        return self(raw) if self._is_new(raw) else None

    def _is_new(self, raw: bytes) -> bool:
        """Whether these keys in this order are met for the first time, and look ordinary; then they are known."""
        if len(self._variants) == _MOST_VARIANTS or raw[:1] != b"{":
            return False
        try:
            names = tuple(parse_object(raw).names)
        except DamagedError:
            return False
        needed = {*self._replaced, *([self._wanted] if self._wanted else ())}
        if names in self._variants or len(set(names)) < len(names) or not needed <= set(names):
            return False
        if not names or not self._odd.isdisjoint(names):
            return False
        self._variants[names] = re.compile(self._expression(names)), self._after(names)
        return True

    def _expression(self, names: Names) -> bytes:
        groups = {name: b"(" + self._values.get(name, _SCALAR) + b")" for name in names}
        silent = self._replaced if self._wanted is None else {name for name in names if name != self._wanted}
        groups |= {name: b"(?:" + self._values.get(name, _SCALAR) + b")" for name in silent}
        layout, escape = self._layout, re.escape
        pairs = [escape(key_of(name) + layout.colon) + groups[name] for name in names]
        comma = escape(layout.tail + b"," + layout.lead)
        return escape(b"{" + layout.start) + comma.join(pairs) + escape(layout.end + b"}")

    def _after(self, names: Names) -> bytes:
        if self._wanted is not None:
            return b"%b"
        return template([self._new_names.get(name, name) for name in names], self._layout, self._replaced)


def placed(changes: Mapping[str, Change], names: Names) -> dict[int, Change]:
    return {names.index(name): change for name, change in changes.items() if name in names}


def _as_it_is(raw: bytes) -> bytes:
    return raw


def _in_utc(raw: bytes) -> bytes | None:
    """A time that a step leaves as it is."""
    return raw if raw[-2:] == _UTC else None


def _unless(*odd: bytes) -> Change:
    return lambda raw: None if raw in odd else raw


def _is_usual_time(raw: bytes) -> bool:
    return raw[-2:] == _UTC and b"\\" not in raw and parse_timestamp(raw[1:-1].decode()) is not None


def template(names: Iterable[str], layout: Layout, added: Mapping[str, bytes] | None = None) -> bytes:
    """The text of an object with a place for each value, and the values of those keys that are ``added``."""
    values = added or {}
    parts = [
        _literal(key_of(name) + layout.colon) + (_literal(values[name]) if name in values else b"%b") for name in names
    ]
    text = _literal(b"{" + layout.start) + _literal(layout.tail + b"," + layout.lead).join(parts)
    return text + _literal(layout.end + b"}")


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
