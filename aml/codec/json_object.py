"""A JSON object as ordered pairs of exact bytes: change some of them, and keep every other byte.

Nothing is ever decoded to be encoded again. A value is the bytes that stood there (1.10, an integer beyond 2^64, NaN,
half a surrogate pair), a key keeps its spelling, a key that is there twice is there twice, and blanks stay where they
were. What is added is laid out as the object around it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, Union

import msgspec

from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE

_BLANKS = rb"[ \t\n\r]*"
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_OPENING = re.compile(rb"\{(" + _BLANKS + rb")")
_KEY = re.compile(rb"(" + _BLANKS + rb")(" + _STRING + rb")(" + _BLANKS + rb":" + _BLANKS + rb")", re.DOTALL)
_AFTER = re.compile(rb"(" + _BLANKS + rb")([,}])")
_SCALAR = re.compile(_STRING + rb"|[^][{}\",: \t\n\r]+", re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_WHITESPACE = b" \t\n\r"

_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: How far an object is set in within another one, where that cannot be told by what is there.
_USUAL_UNIT = b"  "

#: Records have few names, over and over.
_MANY_NAMES = 512

#: The pairs of an object that any reader of JSON can read.
Raws = Mapping[str, msgspec.Raw]

#: What an object to be laid out holds: exact bytes, or another object.
Tree = Mapping[bytes, Union[bytes, "Tree"]]


class DamagedObjectError(DamagedError):
    """Bytes that are no JSON object, or not one that can be read."""


class DuplicateKeyError(DamagedError):
    """A key that was to be changed is there several times, so that it is open which one is meant."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the key {name!r} is there more than once, and would have to be changed")
        self.name = name


class Member(NamedTuple):
    """One pair: its name, its key as it is spelled, with quotes, and its value; the rest is what stands around them.

    The ``lead`` of the first pair of an object and the ``tail`` of its last are not written, but its start and end.
    """

    name: str
    key: bytes
    value: bytes
    lead: bytes
    colon: bytes
    tail: bytes = b""

    def with_value(self, value: bytes) -> Member:
        """The same pair with another value."""
        return Member(self.name, self.key, value, self.lead, self.colon, self.tail)

    def with_key(self, key: bytes) -> Member:
        """The same pair with another key, as it is to be spelled, with quotes."""
        return Member(name_of(key), key, self.value, self.lead, self.colon, self.tail)


class Layout(NamedTuple):
    """What stands between the parts of an object: after ``{``, around ``,`` and ``:``, before ``}``.

    ``lead`` follows a comma, ``tail`` stands before it, ``unit`` sets an object in within another one.
    """

    start: bytes
    lead: bytes
    colon: bytes
    tail: bytes
    end: bytes
    unit: bytes

    @property
    def inner(self) -> Layout:
        """The layout of an object within this one."""
        if b"\n" not in self.lead:
            return self
        lead = self.lead + self.unit
        return Layout(lead, lead, self.colon, self.tail, self.lead, self.unit)

    def object(self, pairs: Tree) -> bytes:
        """An object of the pairs, keys with quotes; objects within it are laid out as they would be here."""
        if not pairs:
            return b"{}"
        told = [
            key + self.colon + (self.inner.object(value) if isinstance(value, Mapping) else value)
            for key, value in pairs.items()
        ]
        return b"{" + self.start + (self.tail + b"," + self.lead).join(told) + self.end + b"}"


class JsonObject:
    """The pairs of one object in order. ``names`` are keys without escapes, by which pairs are asked for.

    Of a key that is there several times the last one counts, as for every reader of JSON, and none can be changed.
    """

    __slots__ = ("_layout", "end", "members", "start")

    def __init__(self, members: list[Member], start: bytes, end: bytes, layout: Layout | None = None) -> None:
        self.members = members
        self.start = start
        self.end = end
        self._layout = layout

    def copy(self) -> JsonObject:
        """The same object, to be changed on its own."""
        return JsonObject(self.members.copy(), self.start, self.end, self.layout)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @property
    def layout(self) -> Layout:
        """How the object is laid out, as it was when it was read."""
        if self._layout is None:
            self._layout = self._find_layout()
        return self._layout

    @property
    def names(self) -> list[str]:
        return [member.name for member in self.members]

    @property
    def duplicates(self) -> list[str]:
        """The names that are there more than once."""
        names = self.names
        return [] if len(set(names)) == len(names) else sorted({name for name in names if names.count(name) > 1})

    def has(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> bytes | None:
        """The exact bytes of the value; of several, the last."""
        for member in reversed(self.members):
            if member.name == name:
                return member.value
        return None

    def values(self, name: str) -> list[bytes]:
        """All values of that name in order."""
        return [member.value for member in self.members if member.name == name]

    def index(self, name: str) -> int:
        """The place of the pair, counted from 0; of several, the last. Raises KeyError where there is none."""
        for place in range(len(self.members) - 1, -1, -1):
            if self.members[place].name == name:
                return place
        raise KeyError(name)

    def lay_out(self, tree: Tree) -> bytes:
        """An object that is to be a value here, laid out as this one is."""
        return self.layout.inner.object(tree)

    def set(self, name: str, value: bytes) -> None:
        """Give a key that value where it stands, or else append it. Raises DuplicateKeyError."""
        place = self._sole(name)
        if place is None:
            self.insert(len(self.members), key_of(name), value)
        else:
            self.members[place] = self.members[place].with_value(value)

    def insert(self, place: int, key: bytes, value: bytes) -> None:
        """Put a pair in before the one now at ``place``; the key as it is to be spelled, with quotes."""
        layout = self.layout
        self.members.insert(place, Member(name_of(key), key, value, layout.lead, layout.colon, layout.tail))

    def insert_after(self, name: str, key: bytes, value: bytes) -> None:
        """Put a pair in after the one of that name. Raises KeyError where there is none."""
        self.insert(self.index(name) + 1, key, value)

    def rename(self, name: str, new: str) -> None:
        """Give a key another name at its place. Raises DuplicateKeyError; KeyError where there is none."""
        place = self._sole(name)
        if place is None:
            raise KeyError(name)
        self.members[place] = self.members[place].with_key(key_of(new))

    def remove(self, name: str) -> bytes | None:
        """Take a pair out; its value, None where there is none. Raises DuplicateKeyError."""
        place = self._sole(name)
        return None if place is None else self.pop(place).value

    def pop(self, place: int) -> Member:
        """Take the pair at that place out."""
        self.layout  # noqa: B018 - which is told by the pairs that were read
        return self.members.pop(place)

    def to_bytes(self) -> bytes:
        """The object's text: what was read, where nothing was changed since."""
        if not self.members:
            return b"{" + self.start + self.end + b"}"
        told = [lead + key + colon + value + tail for _, key, value, lead, colon, tail in self.members]
        first, last = self.members[0], self.members[-1]
        told[0] = told[0][len(first.lead) :]
        told[-1] = told[-1][: len(told[-1]) - len(last.tail)]
        return b"{" + self.start + b",".join(told) + self.end + b"}"

    def _sole(self, name: str) -> int | None:
        found = None
        for place, member in enumerate(self.members):
            if member.name == name:
                if found is not None:
                    raise DuplicateKeyError(name)
                found = place
        return found

    def _find_layout(self) -> Layout:
        colon = self.members[0].colon if self.members else b":"
        several = len(self.members) > 1
        lead, tail = (self.members[1].lead, self.members[0].tail) if several else (self._lead_of_few(colon), b"")
        inside, outside = (blanks.rpartition(b"\n")[2] for blanks in (lead, self.end))
        deeper = b"\n" in self.end and len(inside) > len(outside) and inside.startswith(outside)
        return Layout(self.start, lead, colon, tail, self.end, inside[len(outside) :] if deeper else _USUAL_UNIT)

    def _lead_of_few(self, colon: bytes) -> bytes:
        if b"\n" in self.start:
            return self.start
        return b" " if colon.endswith(b" ") else b""


@lru_cache(_MANY_NAMES)
def key_of(name: str) -> bytes:
    """A key of that name, with quotes."""
    try:
        return json.dumps(name, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair has no other spelling than its escape
        return json.dumps(name).encode()


@lru_cache(_MANY_NAMES)
def name_of(key: bytes) -> str:
    """The name that a key spells."""
    if b"\\" in key:
        found: str = json.loads(key)
        return found
    return key[1:-1].decode()


def parse_object(raw: bytes) -> JsonObject:
    """The pairs of one JSON object; what Python's reader takes beyond the standard (NaN, Infinity) is taken here too.

    Raises DamagedObjectError where ``raw`` is no object, cannot be read, or is not UTF-8.
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise DamagedObjectError("it is not valid UTF-8") from error
    return _parse_regular(raw, read_pairs(raw)) or _scan(raw)


def read_pairs(raw: bytes | msgspec.Raw) -> Raws | None:
    """The pairs of an object, of several of one name the last; None where it takes a more patient reader, if any."""
    try:
        return _RAW_OBJECT.decode(raw)
    except UNDECODABLE:
        return None


def _parse_regular(raw: bytes, pairs: Raws | None) -> JsonObject | None:
    """An object whose pairs are all laid out alike, told by putting it together again; None where that fails."""
    if not pairs or raw[:1] != b"{":
        return None
    opening, first = _OPENING.match(raw), _KEY.match(raw, 1)
    if opening is None or first is None:
        return None
    start, colon = opening[1], first[3]
    values = [bytes(value) for value in pairs.values()]
    after = _AFTER.match(raw, first.end() + len(values[0]))
    if after is None:
        return None
    next_key = _KEY.match(raw, after.end()) if after[2] == b"," else None
    lead, tail = (next_key[1], after[1]) if next_key else (start, b"")
    # a key with escapes, or one that is there twice, is not what is put together here
    members = [
        Member(name, b'"' + name.encode(errors="surrogatepass") + b'"', value, lead, colon, tail)
        for name, value in zip(pairs, values, strict=True)
    ]
    end = raw[len(raw[:-1].rstrip(_WHITESPACE)) : -1]
    found = JsonObject(members, start, end)
    return found if found.to_bytes() == raw else None


def _scan(raw: bytes) -> JsonObject:
    """The same by brackets and strings, for whatever Python's reader takes."""
    try:
        # numbers are not worked out: one of thousands of digits is refused
        whole = json.loads(raw.decode(), parse_int=len, parse_float=len)
    except RecursionError as error:
        raise DamagedObjectError("it is nested too deeply") from error
    except ValueError as error:
        raise DamagedObjectError(f"it is not valid JSON: {error}") from error
    if not isinstance(whole, dict):
        raise DamagedObjectError("it is not an object")
    if raw[:1] != b"{":
        raise DamagedObjectError("blanks stand before the object")
    return _members(raw)


def _members(raw: bytes) -> JsonObject:
    """The pairs of what is known to be one object."""
    members: list[Member] = []
    opening = _OPENING.match(raw)
    position = 1
    while opening is not None and (key := _KEY.match(raw, position)) is not None:
        stop = _end_of_value(raw, key.end())
        after = _AFTER.match(raw, stop)
        if after is None:
            break
        members.append(Member(name_of(key[2]), key[2], raw[key.end() : stop], key[1], key[3], after[1]))
        position = after.end()
        if after[2] == b"}":
            return _with_ends(members)
    blanks = raw[1:-1]
    if members or blanks.strip(_WHITESPACE):
        raise DamagedObjectError("its pairs cannot be told apart")
    return JsonObject([], blanks, b"")


def _with_ends(members: list[Member]) -> JsonObject:
    """What stands after ``{`` and before ``}`` belongs to the object, whichever pairs stand there."""
    found = JsonObject(members, start=members[0].lead, end=members[-1].tail)
    lead, tail = found.layout.lead, found.layout.tail
    members[0] = _with_blanks(members[0], lead, members[0].tail)
    members[-1] = _with_blanks(members[-1], members[-1].lead, tail)
    return found


def _with_blanks(member: Member, lead: bytes, tail: bytes) -> Member:
    return Member(member.name, member.key, member.value, lead, member.colon, tail)


def _end_of_value(raw: bytes, start: int) -> int:
    if raw[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(raw, start)
        return scalar.end() if scalar else start
    depth = 0
    for token in _TOKEN.finditer(raw, start):
        mark = token.group()
        depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
        if depth == 0:
            return token.end()
    return start
