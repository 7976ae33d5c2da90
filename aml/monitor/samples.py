"""The history of a store's figures: one line of JSON for each time that they were collected, bounded, beside the store.

A line that is cut short, or not what is written here, is skipped: the history is worth less than what it is about.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from aml.errors import FileAccessError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of, write_all, write_in_turn
from aml.fs.files import stat_if_there
from aml.ledger.operations import state_lock
from aml.model.timestamps import SECONDS_PER_DAY
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

FILE_NAME = "metrics.jsonl"

#: What the history may hold; beyond it, older samples are thinned, and then go.
MOST_SAMPLES, MOST_BYTES = 2000, 1 << 20
#: What it holds after it was thinned, as a share of that: so that it is not written anew each time.
_REFILLED = 0.75
#: Samples of the last two days all stay, then one an hour does, and after thirty days one a day.
_HOURLY_AFTER, _DAILY_AFTER = 2 * SECONDS_PER_DAY, 30 * SECONDS_PER_DAY
_HOUR = 3600.0
#: A file that is larger was not written here; only its end is read.
_LARGEST_BYTES = 4 * MOST_BYTES

#: So many agents are told of in one sample, the largest.
MOST_AGENTS = 500

#: Figures are not worth a longer wait (seconds) for whoever writes beside the store.
_LOCK_SECONDS = 2.0

#: Over how many days growth is told.
WINDOWS = (1, 7, 30)
#: The sample to compare with is at least, and at most, so many times as old as the window is long.
_NEAREST, _FURTHEST = 0.5, 2.0


_Amount = Annotated[int, Meta(ge=0, le=1 << 60)]


class Sample(Struct, frozen=True, omit_defaults=True):
    """Figures at one ``time`` (seconds since 1970 UTC): bytes on disk and of the texts unpacked, records by kind, how
    many of them are ``inactive``, elements that cannot be read, files that are damaged; bytes and records of the
    largest agents (of none in samples that were thinned); backups and their bytes (None: unknown); the hit rate of the
    cache, 0 to 1."""

    time: Annotated[float, Meta(ge=0, le=1e11)]
    bytes: _Amount
    unpacked: _Amount = 0
    records: dict[str, _Amount] = {}
    inactive: _Amount = 0
    unreadable: _Amount = 0
    damaged: _Amount = 0
    agents: dict[str, tuple[_Amount, _Amount]] = {}
    backups: _Amount | None = None
    backups_bytes: _Amount | None = None
    hit_rate: float | None = None

    @property
    def total(self) -> int:
        """Records of all kinds."""
        return sum(self.records.values())


class Growth(Struct, frozen=True):
    """What a store gained a day (less than nothing where it shrank) since a sample that is ``days`` old, which of all
    is the nearest to ``window_days``."""

    window_days: int
    days: float
    bytes_per_day: float
    records_per_day: float


def read_samples(store: Store) -> list[Sample]:
    """All samples, in the order in which they were taken; none where there is no history. Raises FileAccessError."""
    path = store.state / FILE_NAME
    found = stat_if_there(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return []
    with explained("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(max(0, found.st_size - _LARGEST_BYTES))
            data = stream.read()
    return _decoded(data)


def append_sample(store: Store, sample: Sample) -> None:
    """Add a sample to the history, and thin it where it has grown too long. Raises FileAccessError, LockedError."""
    path = store.state / FILE_NAME
    with state_lock(store, _LOCK_SECONDS):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with explained("write", path):
            descriptor = os.open(path, flags, PRIVATE_FILE)
        try:
            with explained("write", path):
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise FileAccessError(f"cannot write {path}: it is not a regular file", advice="move it away")
                give_to_owner_of(path.parent, descriptor)
                size = _append(descriptor, _line(sample))
        finally:
            os.close(descriptor)
        samples = read_samples(store)
        if size > MOST_BYTES or len(samples) > MOST_SAMPLES:
            write_in_turn(path, b"".join(map(_line, thinned(samples, sample.time))))


def growth(samples: Sequence[Sample], now: Sample) -> tuple[Growth, ...]:
    """What the store gained a day, over each of the windows for which there is a sample to compare with."""
    found = []
    for window in WINDOWS:
        length = window * SECONDS_PER_DAY
        then = min(
            (one for one in samples if _NEAREST * length <= now.time - one.time <= _FURTHEST * length),
            key=lambda one: abs(now.time - one.time - length),
            default=None,
        )
        if then is not None:
            days = (now.time - then.time) / SECONDS_PER_DAY
            gained = round((now.bytes - then.bytes) / days, 3), round((now.total - then.total) / days, 3)
            found.append(Growth(window, round(days, 3), *gained))
    return tuple(found)


def thinned(samples: Sequence[Sample], now: float) -> list[Sample]:
    """Samples that fit, in their order: of each hour, and after a month of each day, the last one. Where that is not
    enough, what is told of each agent goes from all but the last of a day, then from the oldest; then these go."""
    kept = _last_of_each(samples, lambda one: _span(one, now))
    kept = kept[max(0, len(kept) - int(_REFILLED * MOST_SAMPLES)) :]
    room = int(_REFILLED * MOST_BYTES) - sum(map(_size, kept))
    of_days = {id(one) for one in _last_of_each(kept, lambda one: one.time // SECONDS_PER_DAY)}
    for place in sorted(range(len(kept) - 1), key=lambda place: (id(kept[place]) in of_days, place)):
        if room >= 0:
            break
        bare = structs.replace(kept[place], agents={})
        room += _size(kept[place]) - _size(bare)
        kept[place] = bare
    first = 0
    while room < 0 and first < len(kept) - 1:
        room += _size(kept[first])
        first += 1
    return kept[first:]


def _span(sample: Sample, now: float) -> Hashable:
    """What a sample stands for: itself, its hour or its day."""
    age = now - sample.time
    if age <= _HOURLY_AFTER:
        return sample.time
    length = _HOUR if age <= _DAILY_AFTER else SECONDS_PER_DAY
    return length, sample.time // length


def _last_of_each(samples: Sequence[Sample], span: Callable[[Sample], Hashable]) -> list[Sample]:
    last = {span(one): place for place, one in enumerate(samples)}
    return [samples[place] for place in sorted(last.values())]


def _line(sample: Sample) -> bytes:
    return msgspec.json.encode(sample) + b"\n"


def _size(sample: Sample) -> int:
    return len(_line(sample))


def _append(descriptor: int, line: bytes) -> int:
    """Write a line at the end of an open file, which has its size (bytes) afterwards; all of it or nothing."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        # whoever wrote last was broken off: what it left is a line of its own, which nobody can read
        line = b"\n" + line
    try:
        write_all(descriptor, line)
    except BaseException:
        os.ftruncate(descriptor, size)
        raise
    return size + len(line)


def _decoded(data: bytes) -> list[Sample]:
    samples = []
    for line in data.split(b"\n"):
        if line:
            try:
                samples.append(msgspec.json.decode(line, type=Sample))
            except UNDECODABLE:
                continue
    return samples
