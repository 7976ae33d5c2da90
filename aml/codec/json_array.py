"""A JSON array of records as bytes: split it, cut elements out, put elements in, and keep every other byte.

The fast path is msgspec's, at C speed. Where it refuses (NaN, a lone surrogate, a byte-order mark, deep nesting), a
tolerant scan finds the elements by brackets and strings alone, so that one odd record does not make its neighbours
unreadable. What is not one whole array is damage: truncated, glued together, or not an array at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from aml.errors import DamagedError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\n\r"
_BLANK = re.compile(rb"[ \t\n\r]*")
_GAP = re.compile(rb"[ \t\n\r]*(?:,[ \t\n\r]*)?")
#: A whole string, a bracket or a comma; a quote alone is a string that never ends.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},"]', re.DOTALL)
_CLOSES = {b"]": b"[", b"}": b"{"}

_RAW_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])

#: The layout in which the agents' runtime writes the elements of an array.
_RUNTIME_LEAD, _RUNTIME_TAIL = b"\n  ", b"\n"

#: Deeper records are left as they are: how deep one can be read depends on the interpreter, and must not.
MAX_DEPTH = 200

Span = tuple[int, int]
Element = bytes | msgspec.Raw


class DamagedArrayError(DamagedError):
    """Text that is not one whole JSON array.

    ``spans`` are the elements that stand complete before the damage, ``offset`` is the byte it begins at.
    """

    def __init__(self, reason: str, *, offset: int, spans: Sequence[Span] = ()) -> None:
        super().__init__(reason)
        self.offset = offset
        self.spans = spans

    @property
    def readable(self) -> int:
        """The number of elements that stand complete before the damage."""
        return len(self.spans)


class RecordArray:
    """One whole JSON array: its text, and the exact bytes of each element in order."""

    def __init__(self, text: bytes, elements: Sequence[Element], spans: Sequence[Span] | None = None) -> None:
        self.text = text
        self.elements = elements
        self._spans = spans

    def __len__(self) -> int:
        return len(self.elements)

    def raw(self, ordinal: int) -> bytes:
        """The exact bytes of the element at ``ordinal``, counted from 0."""
        return bytes(self.elements[ordinal])

    @property
    def spans(self) -> Sequence[Span]:
        """Where each element lies in ``text``: start and end offsets in bytes."""
        if self._spans is None:
            self._spans = _locate(self.text, self.elements)
        return self._spans

    def without(self, ordinals: Collection[int]) -> bytes:
        """The text with the elements at ``ordinals`` cut out, and no other byte of an element changed."""
        if not ordinals:
            return self.text
        gone = frozenset(ordinals)
        spans, text = self.spans, self.text
        kept = [ordinal for ordinal in range(len(spans)) if ordinal not in gone]
        if not kept:
            return text[: _opening(text)] + b"[]" + text[self._closing() + 1 :]
        pieces = [text[: spans[0][0]]]
        for first, last in _runs(kept):
            if first != kept[0]:
                pieces.append(text[spans[first - 1][1] : spans[first][0]])
            pieces.append(text[spans[first][0] : spans[last][1]])
        pieces.append(text[spans[-1][1] :])
        return b"".join(pieces)

    def with_replaced(self, replacements: Mapping[int, bytes]) -> bytes:
        """The text with the elements at those ordinals replaced, and no other byte changed."""
        if not replacements:
            return self.text
        frame = self._frame()
        if frame is not None:
            before, gap, after = frame
            elements = [replacements.get(*pair) for pair in enumerate(self.elements)]
            return b"".join((before, gap.join(elements), after))
        text = self.text
        spans = self.spans
        pieces: list[bytes] = []
        done = 0
        for ordinal in sorted(replacements):
            start, end = spans[ordinal]
            pieces += (text[done:start], replacements[ordinal])
            done = end
        pieces.append(text[done:])
        return b"".join(pieces)

    def with_inserted(self, insertions: Sequence[tuple[int, bytes]]) -> bytes:
        """The text with elements put in, each before the element that is at its position now.

        ``insertions`` are (position, bytes) in ascending order of position, which runs from 0 to ``len(self)``.
        """
        if not insertions:
            return self.text
        if not self.elements:
            return self._filled([raw for _, raw in insertions])
        spans, text = self.spans, self.text
        gap = self._separator()
        pieces: list[bytes] = [text[: spans[0][0]]]
        done = 0
        for position, raw in insertions:
            if position > done:
                if done:
                    pieces.append(text[spans[done - 1][1] : spans[done][0]])
                pieces.append(text[spans[done][0] : spans[position - 1][1]])
                done = position
            pieces.append(raw if len(pieces) == 1 else gap + raw)
            if position == 0:
                pieces[-1] = raw + gap
        if done < len(spans):
            if done:
                pieces.append(text[spans[done - 1][1] : spans[done][0]])
            pieces.append(text[spans[done][0] : spans[-1][1]])
        pieces.append(text[spans[-1][1] :])
        return b"".join(pieces)

    def _separator(self) -> bytes:
        """What stands between two elements here; of an only element, a comma and what stands before it."""
        spans, text = self.spans, self.text
        if len(spans) > 1:
            return text[spans[0][1] : spans[1][0]]
        return b"," + text[_opening(text) + 1 : spans[0][0]]

    def _filled(self, raws: Sequence[bytes]) -> bytes:
        text = self.text
        spread = any(b"\n" in raw for raw in raws)
        lead, tail = (_RUNTIME_LEAD, _RUNTIME_TAIL) if spread else (b"", b"")
        inside = lead + (b"," + lead).join(raws) + tail
        return text[: _opening(text) + 1] + inside + text[self._closing() :]

    def _frame(self) -> tuple[bytes, bytes, bytes] | None:
        """What stands before, between and after the elements, if the same stands between all of them."""
        text = self.text
        if len(self.elements) < 2:
            return None
        (start, position), (end, _) = _locate(text, self.elements[:2])
        gap, width, position = text[position:end], end - position, start
        for size in map(len, self.elements):
            position += size
            if text[position : position + width] != gap or text[position + width] in _WHITESPACE:
                break
            position += width
        is_last = text[_skip_blank(text, position)] == ord("]")
        return (text[:start], gap, text[position:]) if is_last else None

    def _closing(self) -> int:
        return self.text.rindex(b"]")


def split(text: bytes) -> RecordArray:
    """The elements of ``text``, which must be one whole JSON array.

    Raises DamagedArrayError for anything else, and reads nothing into it: no element is dropped or repaired.
    """
    try:
        return RecordArray(text, _RAW_ARRAY.decode(text))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _scan(text)


def join_elements(elements: Sequence[bytes]) -> bytes:
    """A whole array of elements, laid out as the agents' runtime does it."""
    return b"[" + _RUNTIME_LEAD + (b"," + _RUNTIME_LEAD).join(elements) + _RUNTIME_TAIL + b"]" if elements else b"[]"


def is_deeper_than(element: Element, levels: int) -> bool:
    """Whether objects and arrays are nested in each other to more than so many levels."""
    raw = bytes(element)
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    depth = 0
    for token in _TOKEN.finditer(raw):
        mark = token.group()
        depth += (mark in (b"[", b"{")) - (mark in _CLOSES)
        if depth > levels:
            return True
    return False


def _opening(text: bytes) -> int:
    return text.index(b"[")


def _runs(ordinals: Sequence[int]) -> list[Span]:
    """Ascending ordinals as (first, last) of each unbroken run."""
    runs: list[Span] = []
    first = previous = ordinals[0]
    for ordinal in ordinals[1:]:
        if ordinal != previous + 1:
            runs.append((first, previous))
            first = ordinal
        previous = ordinal
    runs.append((first, previous))
    return runs


def _locate(text: bytes, elements: Sequence[Element]) -> list[Span]:
    """Offsets of elements that are known to follow each other in ``text``, parted by commas and blanks."""
    spans: list[Span] = []
    position = _opening(text) + 1
    gap = b""
    for element in elements:
        start = position + len(gap)
        # most arrays repeat one separator; trying the last one first halves the time of this loop
        if not gap or text[position:start] != gap or text[start : start + 1] in _WHITESPACE:
            match = _GAP.match(text, position)
            start = match.end() if match else position
            gap = text[position:start] if spans else b""
        position = start + len(element)
        spans.append((start, position))
    return spans


def _scan(text: bytes) -> RecordArray:
    """Elements by brackets and strings alone, whatever they hold."""
    start = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
    position = _skip_blank(text, start)
    if text[position : position + 1] != b"[":
        raise DamagedArrayError(_what_instead(text, position), offset=position)
    spans: list[Span] = []
    open_brackets = [b"["]
    element_start = position + 1
    for token in _TOKEN.finditer(text, position + 1):
        mark = token.group()
        if mark in (b"[", b"{"):
            open_brackets.append(mark)
        elif mark in _CLOSES:
            if open_brackets.pop() != _CLOSES[mark]:
                raise DamagedArrayError("a bracket closes what was never opened", offset=token.start(), spans=spans)
            if not open_brackets:
                _end_element(text, element_start, token.start(), spans, last=True)
                _check_end(text, token.end(), spans)
                return RecordArray(text, [text[first:end] for first, end in spans], spans)
        elif mark == b",":
            if len(open_brackets) == 1:
                _end_element(text, element_start, token.start(), spans, last=False)
                element_start = token.end()
        elif mark == b'"':
            raise DamagedArrayError("a string never ends", offset=token.start(), spans=spans)
    raise DamagedArrayError("the array never ends: the file is truncated", offset=len(text), spans=spans)


def _end_element(text: bytes, start: int, end: int, spans: list[Span], *, last: bool) -> None:
    first = _skip_blank(text, start)
    if first >= end:
        if last and not spans:
            return
        raise DamagedArrayError("a comma stands where an element should", offset=end, spans=spans)
    stop = first + len(text[first:end].rstrip(_WHITESPACE))
    spans.append((first, stop))


def _check_end(text: bytes, position: int, spans: Sequence[Span]) -> None:
    rest = _skip_blank(text, position)
    if rest != len(text):
        reason = (
            f"{len(text) - rest} bytes follow the end of the array: two documents glued together, or a half-done write"
        )
        raise DamagedArrayError(reason, offset=rest, spans=spans)


def _skip_blank(text: bytes, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _what_instead(text: bytes, position: int) -> str:
    if position >= len(text):
        return "the file is empty where a JSON array should be"
    names = {b"{": "an object", b'"': "a string", b"null": "null", b"true": "a boolean", b"false": "a boolean"}
    named = (name for mark, name in names.items() if text.startswith(mark, position))
    is_number = text[position : position + 1] in b"-0123456789"
    found = next(named, "a number" if is_number else "no JSON")
    return f"{found} stands where a JSON array should be"
