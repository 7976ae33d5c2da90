"""JSON as text: every number, string, repeated key and blank as it is written, which no parser into values keeps.

A ``Node`` is one value with its exact text. Objects and arrays have their members in the order of the text. Whatever
Python's own parser takes is read, NaN and Infinity among it; nothing is checked beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SCALAR = re.compile(r"[^\s,\]}:]+")


@dataclass(frozen=True)
class Node:
    """One value. ``members`` pairs keys, in their exact text with quotes, with values; of an array all keys are ''."""

    text: str
    members: tuple[tuple[str, Node], ...] = ()

    def __getitem__(self, name: str) -> Node:
        """The last member of that name, which must be there and be written without escapes."""
        return [node for key, node in self.members if key == f'"{name}"'][-1]

    def __contains__(self, name: str) -> bool:
        return any(key == f'"{name}"' for key, _ in self.members)

    def __iter__(self) -> Iterator[Node]:
        return (node for _, node in self.members)

    @property
    def keys(self) -> list[str]:
        """The names of an object's members, quotes left off."""
        return [key[1:-1] for key, _ in self.members]

    def without(self, *names: str) -> list[tuple[str, str]]:
        """Key and exact text of all members but those of these names."""
        return [(key, node.text) for key, node in self.members if key[1:-1] not in names]

    def scalars(self) -> Iterator[str]:
        """The exact text of everything below that is neither object nor array."""
        if not self.members and self.text[0] not in "[{":
            yield self.text
        for node in self:
            yield from node.scalars()


def parse(text: str) -> Node:
    """The one value of a text."""
    node, _ = _value(text.removeprefix("\ufeff"), 0)
    return node


def parse_bytes(data: bytes) -> Node:
    """The same of bytes; those that are no UTF-8 stay what they are."""
    return parse(data.decode("utf-8", errors="surrogateescape"))


def _value(text: str, place: int) -> tuple[Node, int]:
    start = place = _skip(text, place)
    if text[place] not in "[{":
        match = (_STRING if text[place] == '"' else _SCALAR).match(text, place)
        assert match, f"no value at {place}: {text[place : place + 40]!r}"
        return Node(match.group()), match.end()
    close, members = "]" if text[place] == "[" else "}", []
    place = _skip(text, place + 1)
    while text[place] != close:
        key = ""
        if close == "}":
            match = _STRING.match(text, place)
            assert match, f"no key at {place}: {text[place : place + 40]!r}"
            key, place = match.group(), _skip(text, match.end())
            assert text[place] == ":"
            place += 1
        node, place = _value(text, place)
        members.append((key, node))
        place = _skip(text, place)
        assert text[place] in ("," + close)
        place = _skip(text, place + 1) if text[place] == "," else place
    return Node(text[start : place + 1], tuple(members)), place + 1


def _skip(text: str, place: int) -> int:
    match = _BLANK.match(text, place)
    assert match
    return match.end()
