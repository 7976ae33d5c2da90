"""What can still be read of a damaged record file: every complete record, byte for byte, and nothing made up.

What stands before the damage is kept as it is. Beyond it, only objects that are records beyond doubt are: those that
state an id, an agent and a time themselves. The work grows with the size of the file and no faster, whatever it holds.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from aml.codec.compression import GZIP_CONTAINER, GZIP_MAGIC, is_gzip, unpacks_beyond
from aml.codec.json_array import DamagedArrayError, Element, RecordArray, Span, join_elements, split
from aml.errors import DamagedError
from aml.model.record import PatternView, RecordView

#: How much of a gzip file is unpacked at a time while it is sound.
_CHUNK_BYTES = 1 << 16

#: A gzip header whose reserved bits are clear; noise looks like one once in 128 MB.
_MEMBER = re.compile(re.escape(GZIP_MAGIC) + rb"\x08[\x00-\x1f]")
#: So many places where a member may begin after a damaged one are tried.
_MOST_TRIES = 64

#: So many arrays glued together, or doubled commas, are read as such; what follows counts as damage.
_MOST_PARTS = 32

#: An object with less than an id, an agent and a time is no record.
_SHORTEST_RECORD_BYTES = 30
#: Of objects in each other that are no records, so many are looked into.
_DEEPEST_WRAPPING = 8
#: More objects that never ended are forgotten, the outermost first.
_MOST_OPEN = 1024

#: The rest of a string and its end, if it has one: no JSON string holds a control character, so one ends it too.
_REST = rb'[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"?'
#: Strings, and the braces of what may be objects.
_MARK = rb'"' + _REST + rb'|\{(?=[ \t\r\n]*+["}])|\}'
_FROM_OUTSIDE = re.compile(_MARK, re.DOTALL)
#: The same where damage ended inside a string.
_FROM_INSIDE = re.compile(rb"[\x00-\x1f]++" + _REST + rb"|" + _MARK, re.DOTALL)

_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)


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
    if is_gzip(data) and unpacks_beyond(data, max_bytes):
        return None
    pieces, doubtful = _unpack_what_is_there(data, max_bytes) if is_gzip(data) else ([data], None)
    elements = [one for piece in pieces for one in _elements(piece)]
    return Salvaged(join_elements(elements), len(elements), doubtful) if elements else None


def refuse_torn_elements(array: RecordArray) -> None:
    """Raise DamagedError where an element is no JSON: the array stands by its brackets, and no agent can read it."""
    try:
        _ANY_JSON.decode(array.text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        for ordinal, element in enumerate(array.elements):
            if not _is_json(bytes(element)):
                raise DamagedError(f"element {ordinal} is no JSON, so agents cannot read the file") from None


def _elements(text: bytes) -> list[bytes]:
    """The elements before the damage, and after it all objects that are records beyond doubt."""
    found: list[bytes] = []
    glued = False
    for _ in range(_MOST_PARTS):
        array, damage = _split(text)
        # behind an array there may be the end of an older, longer file, and that may begin with any array of a record
        if glued and not any(map(_is_record, array.elements)):
            break
        whole, torn = _up_to_torn(array)
        if torn is not None:
            return found + whole + _records_in(text, torn)
        if damage is None:
            return found + whole
        end = array.spans[-1][1] if array.spans else 0
        glued, comma = text[damage : damage + 1] == b"[", b"," in text[end:damage] and text[damage : damage + 1] == b","
        if not glued and not comma:
            # texts and numbers right before the damage may be parts of a record that is lost
            while whole and whole[-1][:1] != b"{":
                whole.pop()
            return found + whole + _records_in(text, end)
        found += whole
        text = text[damage:] if glued else b"[" + text[damage + 1 :]
    return found + _records_in(text, 0)


def _split(text: bytes) -> tuple[RecordArray, int | None]:
    """The elements that stand complete before the damage, and where that begins, if there is any."""
    try:
        return split(text), None
    except DamagedArrayError as error:
        return RecordArray(text, [text[start:end] for start, end in error.spans], error.spans), error.offset


def _up_to_torn(array: RecordArray) -> tuple[list[bytes], int | None]:
    """The elements, however odd, up to one that was torn and sewn together of several, and where that one is.

    An object that no reader takes is left out: with it, no agent could read the file.
    """
    whole: list[bytes] = []
    for ordinal, raw in enumerate(map(bytes, array.elements)):
        if _is_json(raw):
            whole.append(raw)
        elif raw[:1] != b"{" or raw[-1:] != b"}" or _records_in(raw, 0):
            return whole, array.spans[ordinal][0]
    return whole, None


def _is_json(raw: bytes) -> bool:
    """Whether some reader takes it: NaN, halves of surrogate pairs, raw line ends and bytes that are not UTF-8 pass."""
    try:
        _ANY_JSON.decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        try:
            json.loads(raw.decode(errors="replace"), strict=False)
        except RecursionError:
            return True
        except ValueError:
            return False
    # nobody writes a NUL: a lost block of the disk reads so
    return b"\0" not in raw


def _records_in(text: bytes, position: int) -> list[bytes]:
    """The objects from ``position`` on that are records beyond doubt.

    Damage inside a string turns outside into inside for the rest of its line, so what holds no record when it is read
    in one way is read in the other way too.
    """
    spans = _record_spans(text, _objects(text, position, len(text), _FROM_OUTSIDE))
    for start, end in _gaps(spans, position, len(text)):
        quote = text.find(b'"', start, end)
        if quote >= 0:
            spans += _record_spans(text, _objects(text, quote + 1, end, _FROM_INSIDE))
    return [text[start:end] for start, end in sorted(spans)]


def _gaps(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """What lies between the spans, which ascend."""
    edges = [start, *(edge for span in spans for edge in span), end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _objects(text: bytes, start: int, end: int, marks: re.Pattern[bytes]) -> array[int]:
    """Start and end of each object that may be a record, by its braces: one after the other, as they end."""
    found = array("q")
    opened: list[int] = []
    for mark in marks.finditer(text, start, end):
        first = text[mark.start()]
        if first == 0x7B:
            opened.append(mark.start())
            if len(opened) > _MOST_OPEN:
                del opened[: _MOST_OPEN // 2]
        elif first == 0x7D and opened:
            begun = opened.pop()
            if mark.end() - begun >= _SHORTEST_RECORD_BYTES:
                found.extend((begun, mark.end()))
    return found


def _record_spans(text: bytes, objects: array[int]) -> list[Span]:
    """Of objects, of which those that are in others come before them, the outermost ones that are records."""
    found: list[Span] = []
    around: list[int] = []
    taken = len(text)
    for at in range(len(objects) - 2, -1, -2):
        start, end = objects[at], objects[at + 1]
        if start >= taken:
            continue
        while around and around[-1] >= end:
            around.pop()
        if len(around) >= _DEEPEST_WRAPPING:
            continue
        raw = text[start:end]
        seen = _view(raw)
        if seen is None or seen.ident is None:
            around.append(start)
            continue
        # what has an id of its own is not looked into: whatever lies in it is a part of it
        taken = start
        if not seen.missing:
            found.append((start, end))
    return found[::-1]


def _is_record(element: Element) -> bool:
    seen = _view(bytes(element))
    return seen is not None and seen.ident is not None and not seen.missing


def _view(raw: bytes) -> RecordView | None:
    """What an object states, whatever its schema version; None for what is no JSON object."""
    if raw[:1] != b"{" or b"\0" in raw:
        return None
    text = raw.decode(errors="replace")
    for view in (PatternView, RecordView):
        try:
            return msgspec.json.decode(text, type=view)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            continue
    try:
        found = json.loads(text)
    except (RecursionError, ValueError):
        return None
    return RecordView(**{name: found.get(name) for name in RecordView.__struct_fields__})


def _unpack_what_is_there(data: bytes, max_bytes: int) -> tuple[list[bytes], str | None]:
    """What comes out of a gzip file, a piece for each stretch without damage, and what to doubt of it."""
    pieces: list[list[bytes]] = [[]]
    doubtful: str | None = None
    position, room = 0, max_bytes
    while position < len(data) and room > 0:
        if is_gzip(data[position : position + 2]):
            part, position, reason = _unpack_member(data, position, room)
            pieces[-1].append(part)
            room -= len(part)
            if reason is None:
                continue
            doubtful = doubtful or reason
            position, room = _next_member(data, position, room)
        else:
            # somebody may have added to the file without knowing what it is
            following, room = _next_member(data, position, room)
            pieces.append([data[position:following]])
            position = following
        pieces.append([])
    # what unpacks to more than is allowed is not looked into at all
    return ([b"".join(parts) for parts in pieces if parts] if room > 0 else []), doubtful


def _next_member(data: bytes, position: int, room: int) -> tuple[int, int]:
    """Where the next member begins that fits its checksum (else the end of ``data``), and what room trying has left."""
    for tries, header in enumerate(_MEMBER.finditer(data, position)):
        part, _, reason = _unpack_member(data, header.start(), room)
        if reason is None:
            return header.start(), room
        room -= len(part)
        if tries >= _MOST_TRIES or room <= 0:
            break
    return len(data), room


def _unpack_member(data: bytes, position: int, room: int) -> tuple[bytes, int, str | None]:
    """What comes out of the member at ``position``, where to go on after it, and what to doubt."""
    inflater = zlib.decompressobj(wbits=GZIP_CONTAINER)
    parts: list[bytes] = []
    for start in range(position, len(data), _CHUNK_BYTES):
        chunk = data[start : start + _CHUNK_BYTES]
        before = inflater.copy()
        try:
            part = inflater.decompress(chunk, room)
        except zlib.error as error:
            parts.append(_byte_by_byte(before, chunk, room))
            return b"".join(parts), position + 1, f"the gzip data is damaged: {error}"
        parts.append(part)
        room -= len(part)
        if inflater.eof:
            return b"".join(parts), start + len(chunk) - len(inflater.unused_data), None
        if room <= 0:
            break
    return b"".join(parts), position + 1, "the gzip data ends too early, without its checksum"


def _byte_by_byte(inflater: zlib._Decompress, data: bytes, room: int) -> bytes:
    """What comes out before the error: a call that fails gives nothing of what it had unpacked so far."""
    return b"".join(_pieces_before_error(inflater, data, room))


def _pieces_before_error(inflater: zlib._Decompress, data: bytes, room: int) -> Iterator[bytes]:
    for one in range(len(data)):
        if room <= 0:
            return
        try:
            part = inflater.decompress(data[one : one + 1], room)
        except zlib.error:
            return
        room -= len(part)
        yield part
