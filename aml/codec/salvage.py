"""What can still be read of a damaged record file: every complete record, byte for byte, and nothing made up."""

from __future__ import annotations

import re
import zlib

from msgspec import Struct

from aml.codec.compression import GZIP_CONTAINER, is_gzip
from aml.codec.json_array import DamagedArrayError, end_of_object, join_elements, split
from aml.codec.views import Unreadable, view_record
from aml.model.record import RecordView

#: How much of a gzip file is unpacked at a time while it is sound.
_CHUNK_BYTES = 1 << 16

#: Beyond the damage, an object that has not ended after so many bytes is not looked for any further.
_LONGEST_RECORD_BYTES = 1 << 20

_OBJECT = re.compile(rb"\{")


class Salvaged(Struct, frozen=True):
    """A whole array of ``records`` elements, made of what could be read.

    ``doubtful`` says why their content may have been altered by the damage; None where it cannot have been.
    """

    text: bytes
    records: int
    doubtful: str | None = None


def salvage(data: bytes, *, max_bytes: int) -> Salvaged | None:
    """What can be read of the bytes of a damaged record file; None where that is not one record.

    ``max_bytes`` bounds what a gzip file may unpack to.
    """
    text, doubtful = _unpack_what_is_there(data, max_bytes) if is_gzip(data) else (data, None)
    elements = _elements_before_damage(text)
    return Salvaged(join_elements(elements), len(elements), doubtful) if elements else None


def _elements_before_damage(text: bytes) -> list[bytes]:
    """The elements before the damage, and after it all objects that are records beyond doubt."""
    try:
        return [bytes(one) for one in split(text).elements]
    except DamagedArrayError as error:
        elements = [text[start:end] for start, end in error.spans]
        position = error.spans[-1][1] if error.spans else 0
    while (found := _OBJECT.search(text, position)) is not None:
        position = found.end()
        end = end_of_object(text, found.start(), found.start() + _LONGEST_RECORD_BYTES)
        if end is not None and _is_record(text[found.start() : end]):
            elements.append(text[found.start() : end])
            position = end
    return elements


def _is_record(raw: bytes) -> bool:
    seen = view_record(raw, RecordView)
    return not isinstance(seen, Unreadable) and seen.ident is not None and not seen.missing


def _unpack_what_is_there(data: bytes, max_bytes: int) -> tuple[bytes, str | None]:
    """As much as comes out of a gzip file, and what to doubt of it."""
    parts: list[bytes] = []
    rest, room = data, max_bytes
    while room > 0 and is_gzip(rest):
        part, rest, reason = _unpack_member(rest, room)
        parts.append(part)
        room -= len(part)
        if reason is not None:
            return b"".join(parts), reason
    # what unpacks to more than is allowed is not looked into at all
    return (b"".join(parts) if room > 0 else b""), None


def _unpack_member(data: bytes, room: int) -> tuple[bytes, bytes, str | None]:
    """What comes out of the first member, what follows it, and what to doubt."""
    inflater = zlib.decompressobj(wbits=GZIP_CONTAINER)
    parts: list[bytes] = []
    for start in range(0, len(data), _CHUNK_BYTES):
        before = inflater.copy()
        try:
            part = inflater.decompress(data[start : start + _CHUNK_BYTES], room)
        except zlib.error as error:
            parts.append(_byte_by_byte(before, data[start : start + _CHUNK_BYTES], room))
            return b"".join(parts), b"", f"the gzip data is damaged: {error}"
        parts.append(part)
        room -= len(part)
        if inflater.eof or room <= 0:
            break
    rest = inflater.unused_data + data[start + _CHUNK_BYTES :]
    return b"".join(parts), rest, None if inflater.eof else "the gzip data ends too early, without its checksum"


def _byte_by_byte(inflater: zlib._Decompress, data: bytes, room: int) -> bytes:
    """What comes out before the error: a call that fails gives nothing of what it had unpacked so far."""
    found = bytearray()
    try:
        for one in range(len(data)):
            if len(found) >= room:
                break
            found += inflater.decompress(data[one : one + 1], room - len(found))
    except zlib.error:
        return bytes(found)
    return bytes(found)
