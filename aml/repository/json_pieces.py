"""Whether a document is JSON, told from its chunks one by one: each is parsed once, however many documents share it.

Chunks that are cut at record starts hold whole elements of an array. Where the first begins the array, the last ends
it, and every other holds elements and the comma behind them, the document is one array, and nothing is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from aml.codec.json_array import split
from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE

_JSON = msgspec.json.Decoder(msgspec.Raw)
_WHITE_SPACE = b" \t\r\n"
#: How far from its ends (bytes) what a chunk begins and ends with is looked for.
_EDGE_BYTES = 64


class Piece(IntEnum):
    """What a chunk is: no such part, JSON by itself, the begin of an array, elements of one, or its end."""

    OTHER = 0
    WHOLE = 1
    BEGIN = 2
    MIDDLE = 3
    END = 4


def piece_of(chunk: memoryview) -> Piece:
    """What a chunk is by itself."""
    head = bytes(chunk[:_EDGE_BYTES]).lstrip(_WHITE_SPACE)[:1]
    tail = bytes(chunk[-_EDGE_BYTES:])
    text = tail.rstrip(_WHITE_SPACE)
    comma = text.endswith(b",")
    # in front of a comma there must be an element; nothing and a comma would pass for an empty array
    if not text or head in (b"", b"]") or (comma and text[:-1].rstrip(_WHITE_SPACE)[-1:] in (b"", b"[", b",")):
        return Piece.OTHER
    body = chunk[: len(chunk) - len(tail) + len(text) - comma]
    close = b"]" if comma else b""
    alone, inside = (Piece.BEGIN, Piece.MIDDLE) if comma else (Piece.WHOLE, Piece.END)
    candidates = ((b"", alone), (b"[", inside))
    for start, piece in candidates if head == b"[" else reversed(candidates):
        # a join copies the chunk once
        if _parses(b"".join((start, body, close))):
            return piece
    return Piece.OTHER


def make_json(pieces: Sequence[Piece]) -> bool:
    """Whether chunks that are these pieces are JSON together; False also where only the whole can tell."""
    if len(pieces) == 1:
        return pieces[0] == Piece.WHOLE
    return bool(pieces) and (pieces[0], pieces[-1]) == (Piece.BEGIN, Piece.END) and set(pieces[1:-1]) <= {Piece.MIDDLE}


def is_json(data: bytes) -> bool:
    """Whether a document is JSON, or what agents write for JSON."""
    if _parses(data):
        return True
    try:
        # the tolerant scan takes what JSON does not allow, such as NaN
        split(data)
    except DamagedError:
        return False
    return True


def _parses(data: bytes) -> bool:
    try:
        _JSON.decode(data)
    except UNDECODABLE:
        return False
    return True
