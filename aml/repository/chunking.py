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
from collections.abc import Iterator
from itertools import pairwise

#: A document of up to so many bytes is one chunk.
WHOLE_BYTES = 8 << 10
#: No chunk is longer (bytes).
MAX_CHUNK_BYTES = 64 << 10
#: How far around a cut no other one is made (bytes): the shortest chunk of a document that is cut at all. Records of
#: any size below that give chunks of about twice as much.
REACH_BYTES = 8 << 10

#: How much of what follows a possible cut decides (bytes): of a record, its id and agent.
_SAMPLE_BYTES = 128

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[([ \t\r\n]*)\{")
_COMPACT = re.compile(rb"\},[ \t\r\n]*(?=\{)")
_LINE = re.compile(rb"\n")


def cut(data: bytes) -> Iterator[bytes]:
    """The chunks of a document in order; joined they are the document. An empty one has none."""
    start = 0
    for end in cuts(data):
        yield data[start:end]
        start = end


def cuts(data: bytes) -> list[int]:
    """Where each chunk of a document ends: ascending offsets in bytes, the last one its length."""
    if len(data) <= WHOLE_BYTES:
        return [len(data)] if data else []
    ends = [0, len(data)]
    for anchor in _anchors(data):
        finer = [0]
        for low, high in pairwise(ends):
            if high - low > (MAX_CHUNK_BYTES if len(ends) > 2 else WHOLE_BYTES):
                finer += _minima(data, anchor, low, high)
            finer.append(high)
        ends = finer
    forced: list[int] = []
    for low, high in pairwise(ends):
        forced += _forced(low, high)
        forced.append(high)
    return forced


def _anchors(data: bytes) -> tuple[re.Pattern[bytes], ...]:
    """What precedes a record, the likeliest first; each next one divides only what is still too long."""
    head = _HEAD.match(data)
    if head is None:
        return (_LINE, _COMPACT)
    if b"\n" in head[1]:
        indent = head[1][head[1].rindex(b"\n") :]
        return (re.compile(re.escape(indent) + rb"(?=\{)"), _LINE, _COMPACT)
    return (_COMPACT, _LINE)


def _minima(data: bytes, anchor: re.Pattern[bytes], low: int, high: int) -> list[int]:
    """The possible cuts between two offsets whose checksum is the smallest around; of equal ones, the first."""
    starts = [found.end() for found in anchor.finditer(data, low, high)]
    crc32, sample = zlib.crc32, _SAMPLE_BYTES
    sums = [crc32(data[start : start + sample]) for start in starts]
    found = []
    place, last = bisect_left(starts, low + REACH_BYTES), bisect_right(starts, high - REACH_BYTES)
    while place < last:
        start, own = starts[place], sums[place]
        after = bisect_right(starts, start + REACH_BYTES, place)
        smallest = min(sums[place + 1 : after], default=own)
        if smallest < own:
            place = sums.index(smallest, place + 1, after)
            continue
        before = bisect_left(starts, start - REACH_BYTES, 0, place)
        if min(sums[before:place], default=own + 1) > own:
            found.append(start)
        place = after
    return found


def _forced(low: int, high: int) -> list[int]:
    """Cuts at a fixed distance through what offers no others; the last chunk is not shorter than any other."""
    found = list(range(low + MAX_CHUNK_BYTES, high, MAX_CHUNK_BYTES))
    if found and high - found[-1] < REACH_BYTES:
        found[-1] -= REACH_BYTES
    return found
