"""What a check of a store's health finds: the words that checks, alerts and reports have in common."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, cast

from msgspec import Struct

LevelWord = Literal["info", "warning", "error", "critical"]


class Level(IntEnum):
    """How much a finding matters; the higher, the more."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @property
    def word(self) -> LevelWord:
        """The level as it is written in answers, settings and files."""
        return cast("LevelWord", self.name.lower())


def level_of(word: LevelWord) -> Level:
    return Level[word.upper()]


class Finding(Struct, frozen=True):
    """One thing that a check found. ``check`` is the stable name of the check, ``subject`` what it is about (an agent,
    a file as ``agent/kind``, a backup; empty for the store as a whole): both together are what an alert is known by.

    ``value`` is what was measured and ``threshold`` what it was held against, in ``unit`` (such as bytes, seconds,
    records; empty where there is none). ``advice`` is the command or the act that mends it, ``details`` are lines that
    say more, for who wants them.
    """

    check: str
    subject: str
    level: Level
    message: str
    advice: str = ""
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    details: tuple[str, ...] = ()
