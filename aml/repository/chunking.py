"""Where a document is cut into chunks: at record starts, each of which decides by its own bytes and its neighbours.

A possible cut becomes one where the checksum of the bytes that follow it is the smallest within ``REACH_BYTES`` on
either side. So a cut depends on nothing that is farther away, an edit moves no cut beyond that distance, and two cuts
are never closer. The idea is that of local maximum chunking (Bjorner, Blass, Gurevich: Content-dependent chunking for
differential compression, the local maximum approach, 2010), with a checksum at record starts in place of every byte.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

#: A document of up to so many bytes is one chunk.
WHOLE_BYTES = 8 << 10
#: No chunk is longer (bytes).
MAX_CHUNK_BYTES = 64 << 10
#: How far around a cut no other one is made (bytes): the shortest chunk of a document that is cut at all. Records of
#: any size below that give chunks of about twice as much.
REACH_BYTES = 8 << 10

#: How much of what follows a possible cut decides (bytes): of a record, its id and agent.
_SAMPLE_BYTES = 128

#: How many possible cuts are looked for at a time.
_BATCH = 32

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[([ \t\r\n]*)\{")


class _Anchor(NamedTuple):
    """What precedes a record. The pattern takes in the ``beyond`` bytes behind the cut: looking ahead is slower."""

    pattern: re.Pattern[bytes]
    beyond: int


_COMPACT = _Anchor(re.compile(rb"\},[ \t\r\n]*\{"), 1)
_LINE = _Anchor(re.compile(rb"\n"), 0)


def cut(data: bytes) -> Iterator[bytes]:
    """The chunks of a document in order; joined they are the document. An empty one has none."""
    start = 0
    for end in ends(data):
        yield data[start:end]
        start = end


def ends(data: bytes) -> Iterator[int]:
    """Where each chunk of a document ends: ascending offsets in bytes, the last one its length.

    One by one, since a caller that hashes each chunk meanwhile lets other threads run that often.
    """
    if data:
        yield from _refined(data, _anchors(data), 0, len(data), WHOLE_BYTES)


def _refined(data: bytes, anchors: Sequence[_Anchor], low: int, high: int, limit: int) -> Iterator[int]:
    """The cuts in a stretch, and its end; one of up to ``limit`` bytes is left whole."""
    if high - low <= limit or not anchors:
        yield from _forced(low, high)
        yield high
        return
    start = low
    for place in _minima(data, anchors[0], low, high):
        if place - start <= MAX_CHUNK_BYTES:
            yield place
        else:
            yield from _refined(data, anchors[1:], start, place, MAX_CHUNK_BYTES)
        start = place
    # where this anchor made no cut, the next one divides what would be short enough otherwise
    yield from _refined(data, anchors[1:], start, high, MAX_CHUNK_BYTES if start > low else limit)


def _anchors(data: bytes) -> tuple[_Anchor, ...]:
    """The likeliest anchor first; each next one divides only what is still too long."""
    head = _HEAD.match(data)
    if head is None:
        return (_LINE, _COMPACT)
    if b"\n" in head[1]:
        indent = head[1][head[1].rindex(b"\n") :]
        return (_Anchor(re.compile(re.escape(indent) + rb"\{"), 1), _LINE, _COMPACT)
    return (_COMPACT, _LINE)


def _minima(data: bytes, anchor: _Anchor, low: int, high: int) -> Iterator[int]:
    """The possible cuts between two offsets whose checksum is the smallest around; of equal ones, the first."""
    matches, beyond = anchor.pattern.finditer(data, low, high), anchor.beyond
    crc32, sample = zlib.crc32, _SAMPLE_BYTES
    starts: list[int] = []
    sums: list[int] = []
    place, more = 0, True
    while True:
        while more and (place >= len(starts) or starts[-1] <= starts[place] + REACH_BYTES):
            batch = [found.end() - beyond for found in islice(matches, _BATCH)]
            starts += batch
            sums += [crc32(data[start : start + sample]) for start in batch]
            more = len(batch) == _BATCH
        if place >= len(starts) or starts[place] > high - REACH_BYTES:
            return
        start, own = starts[place], sums[place]
        if start < low + REACH_BYTES:
            place = bisect_left(starts, low + REACH_BYTES, place)
            continue
        after = bisect_right(starts, start + REACH_BYTES, place)
        smallest = min(sums[place + 1 : after], default=own)
        if smallest < own:
            place = sums.index(smallest, place + 1, after)
            continue
        before = bisect_left(starts, start - REACH_BYTES, 0, place)
        if min(sums[before:place], default=own + 1) > own:
            yield start
        place = after


def _forced(low: int, high: int) -> list[int]:
    """Cuts at a fixed distance through what offers no others; the last chunk is not shorter than any other."""
    found = list(range(low + MAX_CHUNK_BYTES, high, MAX_CHUNK_BYTES))
    if found and high - found[-1] < REACH_BYTES:
        found[-1] -= REACH_BYTES
    return found
