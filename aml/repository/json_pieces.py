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

_JSON = msgspec.json.Decoder(msgspec.Raw)
_WHITE_SPACE = b" \t\r\n"


class Piece(IntEnum):
    """What a chunk is: no such part, JSON by itself, the begin of an array, elements of one, or its end."""

    OTHER = 0
    WHOLE = 1
    BEGIN = 2
    MIDDLE = 3
    END = 4


def piece_of(chunk: bytes) -> Piece:
    """What a chunk is by itself."""
    text = chunk.strip(_WHITE_SPACE)
    if text.endswith(b","):
        body = text[:-1]
        # neither would have an element in front of its comma
        if body.rstrip(_WHITE_SPACE) in (b"", b"["):
            return Piece.OTHER
        candidates = ((b"[%b]", Piece.MIDDLE), (b"%b]", Piece.BEGIN))
    else:
        body = text
        candidates = ((b"[%b", Piece.END), (b"%b", Piece.WHOLE))
        if body == b"]":
            return Piece.OTHER
    if text.startswith(b"["):
        candidates = candidates[::-1]
    return next((piece for form, piece in candidates if _parses(form % body)), Piece.OTHER)


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
    except msgspec.MsgspecError:
        return False
    return True
