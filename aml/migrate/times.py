"""Times as schema 1.1.0 wants them: ISO 8601 with an offset. What cannot be read stays as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from aml.model.timestamps import is_naive, parse_timestamp

_QUOTE = ord('"')


def with_offset(raw: bytes) -> bytes:
    """The JSON value of a time: with ``Z`` or an offset as it stands, else meaning the same moment in UTC.

    A naive text gets ``+00:00``, or is spelled anew where that would not make one time of it; a number of seconds or
    milliseconds becomes a text with up to six decimals, of which more have no place in a time. Anything else is given
    back unchanged.
    """
    if raw[-2:] == b'Z"':  # what ends so states an offset, or is no time
        return raw
    is_text = raw[0] == _QUOTE
    if not is_text and not 48 <= raw[0] <= 57:
        return raw
    try:
        value = json.loads(raw)
    except ValueError:  # an integer of thousands of digits
        return raw
    moment = None if is_text and not value.isascii() else parse_timestamp(value)
    if moment is None or (is_text and not is_naive(value)):
        return raw
    if is_text and _states_an_offset(value + "+00:00", moment):
        return raw[:-1] + b'+00:00"'
    return b'"' + _spelled(moment).encode() + b'"'


def is_time(raw: bytes) -> bool:
    """Whether a JSON value is a time that can be read."""
    try:
        return parse_timestamp(json.loads(raw)) is not None if raw[0] not in b"{[" else False
    except ValueError:
        return False


def _states_an_offset(text: str, moment: float) -> bool:
    # of a day alone, what is appended would be read as its time
    return parse_timestamp(text) == moment and not is_naive(text)


def _spelled(moment: float) -> str:
    found = datetime.fromtimestamp(moment, UTC)
    timespec = "microseconds" if found.microsecond % 1000 else "milliseconds"
    return found.isoformat(timespec=timespec).replace("+00:00", "Z")
