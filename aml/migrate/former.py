"""Ordinary records on the way back: what they were before a step, guessed by a template and proven by the step up.

For an ordinary record the step up is exact both ways: what it makes, the step down takes back to the same bytes. So
where it makes just the present record of what was guessed, the guess is what the step down makes, and nothing has to be
noted for the way up. A wrong guess costs time alone: the record then goes the long way (moving.py).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from aml.codec.json_object import Layout, Raws, key_of
from aml.migrate.notes import KEY
from aml.migrate.ordinary import Change, Names, OrdinaryWays, Part, Shape, Way, placed, template
from aml.migrate.registry import Move
from aml.migrate.steps import v1_0_0_to_v1_1_0, v1_1_0_to_v1_2_0, v1_2_0_to_v2_0_0


class FormerWays(OrdinaryWays):
    """One step down for all ordinary records of one kind."""

    strange = frozenset({KEY})

    def __init__(self, kind: str, move: Move) -> None:
        super().__init__(kind, move)
        self._up = OrdinaryWays(kind, move.back)

    def _new_way(self, layout: Layout) -> Way | None:
        way = _WAYS.get(self._move.start)
        return None if way is None else way(self._kind, self._move, layout, self._up)


class _Guess:
    """The former record by the values of the present one: those keys that are left, some with another name or value."""

    def __init__(
        self,
        names: Names,
        layout: Layout,
        gone: Collection[str],
        new_names: Mapping[str, str] | None = None,
        changes: Mapping[str, Change] | None = None,
    ) -> None:
        kept = tuple(name for name in names if name not in gone)
        self._places = tuple(names.index(name) for name in kept)
        self._changes = tuple(placed(changes or {}, kept).items())
        self._names = tuple((new_names or {}).get(name, name) for name in kept)
        self._text = template(self._names, layout)

    def made(self, values: Sequence[msgspec.Raw]) -> tuple[bytes, Raws] | None:
        """The former record and its pairs; None where a part of it is not ordinary."""
        left = [values[place] for place in self._places]
        for place, change in self._changes:
            new = change(bytes(left[place]))
            if new is None:
                return None
            left[place] = msgspec.Raw(new)
        return self._text % tuple(left), dict(zip(self._names, left, strict=True))


class _DownShape:
    """All records with the same keys in the same order and layout, and what they may have been."""

    def __init__(self, guesses: Sequence[_Guess], up: OrdinaryWays) -> None:
        self._guesses, self._up = guesses, up

    def made(self, raw: bytes, pairs: Raws) -> bytes | None:
        """The former record; None where it is not proven."""
        values = tuple(pairs.values())
        for guess in self._guesses:
            former = guess.made(values)
            if former is not None and self._up.made(*former) == raw:
                return former[0]
        return None


class _Down(Way):
    """One step down, for records of one kind and layout."""

    def __init__(self, kind: str, move: Move, layout: Layout, up: OrdinaryWays) -> None:
        super().__init__(kind, move, layout)
        self._up = up

    def shape(self, names: Names) -> Shape | None:
        guesses = list(self.guesses(names))
        return _DownShape(guesses, self._up) if guesses else None

    @abstractmethod
    def guesses(self, names: Names) -> Iterator[_Guess]:
        """What records of these keys may have been, the likeliest first."""


class _From110(_Down):
    def guesses(self, names: Names) -> Iterator[_Guess]:
        if not {"tags", "active"} <= set(names):
            return
        if names[-2:] == ("active", "tags"):
            yield _Guess(names, self.layout, ("active", "tags"))
        elif names.index("tags") + 1 == names.index("active"):
            yield _Guess(names, self.layout, ("active",))
            yield _Guess(names, self.layout, ("tags",))


class _From120(_Down):
    def guesses(self, names: Names) -> Iterator[_Guess]:
        yield _Guess(names, self.layout, ("metadata", "variations") if self.kind == "patterns" else ("metadata",))


class _From200(_Down):
    def guesses(self, names: Names) -> Iterator[_Guess]:
        inner, reached = self.layout.inner, key_of(self.move.end)
        left = {"version": re.escape(key_of(self.move.start))}
        changes: dict[str, Change] = {"metadata": Part(inner, left, replaced={"version": reached})}
        new_names: dict[str, str] = {}
        for old, new, within in v1_2_0_to_v2_0_0.PARTS if self.kind == "patterns" else ():
            new_names[new] = old
            changes[new] = Part(inner, {}, new_names={name: spellings[0] for name, spellings in within.items()})
        yield _Guess(names, self.layout, ("version",), new_names, changes)


_WAYS: Mapping[str, type[_Down]] = {
    v1_0_0_to_v1_1_0.TO: _From110,
    v1_1_0_to_v1_2_0.TO: _From120,
    v1_2_0_to_v2_0_0.TO: _From200,
}
