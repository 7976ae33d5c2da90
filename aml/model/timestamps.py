"""Times as agents write them, read without guessing.

Everywhere in AML a moment is a float: seconds since 1970-01-01 UTC. What cannot be read is None, and an unknown
time is never old.
"""

from __future__ import annotations

from datetime import UTC, datetime

SECONDS_PER_DAY = 86_400.0

#: No agent wrote memory before 2000. Earlier times are placeholders (0, 0001-01-01, 1970-01-01): unknown, not old.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()

#: From here on a number counts milliseconds: as seconds it would lie beyond the year 5000.
_MILLISECONDS_FROM = 1e11

#: A whole day, as in 2026-11-20. Less is a part of a date, or a number that only looks like one.
_SHORTEST = 10

#: What can be written as a time at all: the years 1 to 9999.
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC).timestamp(), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

_from_iso = datetime.fromisoformat


def parse_timestamp(value: object) -> float | None:
    """Seconds since 1970 UTC of an ISO 8601 string (naive means UTC) or of epoch seconds or milliseconds, else None."""
    if type(value) is str:
        if len(value) < _SHORTEST or value.isdigit():
            return None
        try:
            moment = _from_iso(value)
            # the runtime writes UTC; the odd cases go the long way
            seconds = moment.timestamp() if moment.tzinfo is UTC else _seconds(moment)
        except ValueError:
            rare = _parse_rare_iso(value)
            seconds = None if rare is None else _seconds(rare)
    elif type(value) is int or type(value) is float:
        seconds = _parse_number(value)
    else:
        return None
    return seconds if seconds is not None and seconds >= EARLIEST else None


def is_naive(text: str) -> bool:
    """Whether a text that ``parse_timestamp`` reads states no offset, neither ``Z`` nor another."""
    try:
        return _from_iso(text).tzinfo is None
    except ValueError:
        rare = _parse_rare_iso(text)
        return rare is not None and rare.tzinfo is None


def _seconds(moment: datetime) -> float | None:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        return None


def _parse_rare_iso(text: str) -> datetime | None:
    """ISO 8601 forms that the standard library refuses, such as a time of 24:00."""
    from dateutil.parser import isoparse

    try:
        return isoparse(text.strip())
    except (ValueError, OverflowError):
        return None


def _parse_number(number: float) -> float | None:
    if not -_MILLISECONDS_FROM * 1000 < number < _MILLISECONDS_FROM * 1000:
        return None  # also where it is NaN
    return number / 1000 if abs(number) >= _MILLISECONDS_FROM else float(number)


def to_iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds and Z, as the agents' runtime writes it.

    What lies beyond the years 1 to 9999 becomes their first or last moment.
    """
    within = min(max(_FIRST, moment), _LAST)
    return datetime.fromtimestamp(within, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def days_between(earlier: float | None, later: float) -> float | None:
    """Days from ``earlier`` to ``later``; None where the earlier time is unknown."""
    return None if earlier is None else (later - earlier) / SECONDS_PER_DAY
