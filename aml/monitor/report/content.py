"""The content of a report, in sections of facts and tables, from which each form is made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Literal

from msgspec import Struct

from aml.model.moments import format_age
from aml.model.timestamps import parse_timestamp

#: How a cell is shown: a ``name`` is somebody else's word, ``code`` is to be typed and ``advice`` in part, ``level`` is
#: one of few words, and a ``word`` one of many.
Style = Literal["text", "name", "word", "number", "level", "code", "advice", "time"]


#: What is so near (seconds) has just happened.
_JUST_NOW = 10.0


class Heading(Struct, frozen=True):
    """What stands above a column, and how the column is shown; ``minor`` ones go where there is little room."""

    words: str
    style: Style = "text"
    minor: bool = False


class Table(Struct, frozen=True):
    """Rows below headings. Where a form can, all but ``shown`` rows are folded away, or all of them where it is 0. A
    ``narrow`` one fits a small screen as it is."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    shown: int | None = None
    narrow: bool = False


class Fact(Struct, frozen=True):
    """Something known by a name; ``advice`` mends it."""

    name: str
    words: str
    advice: str = ""


class Figure(Struct, frozen=True):
    """A figure that tells much in few characters, and a note below it."""

    name: str
    words: str
    note: str


class Section(Struct, frozen=True):
    """A part of a report. ``key`` names it, ``lead`` says what it is about, ``empty`` stands where there is nothing."""

    key: str
    title: str
    lead: str
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    empty: str = ""


def project_of(store: str) -> str:
    """What people call a store: the folder of the project that it belongs to."""
    path = PurePath(store)
    return (path.parent.parent if path.parent.name == ".loom" else path).name or store


def ago(time: str | None, now: float) -> str:
    """``3 h ago``; ``just now`` where tenths of a second would tell nothing, ``never`` where there is no time."""
    moment = parse_timestamp(time)
    if moment is None:
        return "never"
    seconds = now - moment
    if abs(seconds) < _JUST_NOW:
        return "just now"
    return f"{format_age(seconds)} ago" if seconds >= 0 else f"in {format_age(-seconds)}"


def minute(time: str | None) -> str:
    """An ISO 8601 time to the minute: ``2026-11-21 03:17``."""
    return (time or "")[:16].replace("T", " ")


def listed(words: Iterable[str], most: int = 5) -> str:
    """``a, b, c and 3 more``."""
    found = list(words)
    return ", ".join(found[:most]) + (f" and {len(found) - most:,} more" if len(found) > most else "")
