"""How well the loader's cache does and how long questions take, over all processes: for those who watch a store."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aml.errors import FileAccessError, LockedError
from aml.fs.durable import write_replaceable
from aml.fs.files import read_regular
from aml.fs.flock import file_lock
from aml.fs.own_folder import prepare_folder
from aml.model.undecodable import UNDECODABLE

_NAME = "statistics.json"
_LOCK_NAME = "statistics.lock"
#: Figures are not worth a longer wait (seconds).
_LOCK_SECONDS = 1.0
#: How often (seconds) a process adds what it counted.
_KEEP_SECONDS = 60.0
#: How many of the last questions are remembered one by one.
_RECENT = 100

#: What is counted takes a few KB; a file that is larger (bytes) is not what was written here.
_LARGEST_BYTES = 1 << 20

#: What can be counted and timed: anything else was not written here.
_Count = Annotated[int, Meta(ge=0, le=1 << 60)]
_Seconds = Annotated[float, Meta(ge=0, le=1e15)]


class Statistics(Struct):
    """Records that a loader had at hand (``hits``), had to read (``misses``) and let go for want of room
    (``evictions``); ``queries`` and look-ups together took ``seconds``, the longest ``slowest``; ``recent`` are the
    seconds of the last ones."""

    hits: _Count = 0
    misses: _Count = 0
    evictions: _Count = 0
    queries: _Count = 0
    seconds: _Seconds = 0.0
    slowest: _Seconds = 0.0
    recent: list[_Seconds] = []

    @property
    def hit_rate(self) -> float | None:
        """Share of records that were at hand; None where none was asked for."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    def took(self, seconds: float) -> None:
        """Note one question."""
        self.queries += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        self.recent.append(seconds)
        if len(self.recent) > 2 * _RECENT:
            del self.recent[:-_RECENT]

    def add(self, other: Statistics) -> None:
        self.hits += other.hits
        self.misses += other.misses
        self.evictions += other.evictions
        self.queries += other.queries
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.recent = [*self.recent, *other.recent][-_RECENT:]


class Tally:
    """What one process counts; it joins what is kept now and then, and in the end."""

    def __init__(self, folder: Path | None) -> None:
        self.now = Statistics()
        self._process = os.getpid()
        self._folder = folder
        self._kept_at = time.monotonic()

    def took(self, seconds: float) -> None:
        """Note one question."""
        self._forget_another_process()
        self.now.took(seconds)
        if time.monotonic() - self._kept_at > _KEEP_SECONDS:
            self.keep()

    def all(self) -> Statistics:
        """What is kept, and what is not yet."""
        found = Statistics() if self._folder is None else read_statistics(self._folder)
        found.add(self.now)
        return found

    def keep(self) -> None:
        """Add to what is kept, where that can be done: figures are not worth an error."""
        self._forget_another_process()
        self._kept_at = time.monotonic()
        if self._folder is not None and self.now.queries:
            with suppress(FileAccessError, LockedError, OSError):
                _add(self._folder, self.now)
                self.now = Statistics()

    def _forget_another_process(self) -> None:
        """After a fork, what the parent counted is the parent's."""
        if self._process != os.getpid():
            self._process, self.now = os.getpid(), Statistics()


def read_statistics(folder: Path) -> Statistics:
    """What was counted so far; nothing where there is no such file, or one that is damaged."""
    with suppress(FileAccessError, *UNDECODABLE):
        return msgspec.json.decode(read_regular(folder / _NAME, most=_LARGEST_BYTES), type=Statistics)
    return Statistics()


def _add(folder: Path, counted: Statistics) -> None:
    prepare_folder(folder)
    path = folder / _LOCK_NAME
    with file_lock(path, _LOCK_SECONDS, taken=f"{path} stays locked"):
        kept = read_statistics(folder)
        kept.add(counted)
        write_replaceable(folder / _NAME, msgspec.json.encode(kept))
