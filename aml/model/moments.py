"""Times and ages as people type and read them; those that agents write are read by timestamps.py.

Typed text is never guessed at: what has two meanings, or none, is refused with the forms that are accepted.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from datetime import time as clock_time
from typing import Literal

from aml.errors import UsageError
from aml.model.timestamps import SECONDS_PER_DAY

SECONDS_PER_YEAR = 365 * SECONDS_PER_DAY

#: The units of an age, largest first, as regular expressions, and their lengths in seconds.
_UNITS = (
    ("y", SECONDS_PER_YEAR),
    ("w", 7 * SECONDS_PER_DAY),
    ("d", SECONDS_PER_DAY),
    ("h", 3600.0),
    ("m(?:in)?", 60.0),
    ("s", 1.0),
)
_AGE = re.compile("".join(rf"(?:(\d+(?:\.\d+)?) ?{unit} ?)?" for unit, _ in _UNITS), re.ASCII)
_AGE_FORMS = "90s, 15m, 36h, 3d, 2w, 1y or 1d12h"

#: Units to show an age in: name, length (seconds), and the number from which the next one is used.
_SHOWN = (("s", 1.0, 60), ("min", 60.0, 60), ("h", 3600.0, 24), ("d", SECONDS_PER_DAY, 365))

# The standard library's reader takes any character between date and time, which makes a time of a mere number.
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{8}", re.ASCII)
_TIME = re.compile(
    r"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?|\d{8}T\d{4}(?:\d\d(?:[.,]\d+)?)?)"
    r"(?:Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_TIME_FORMS = (
    "an ISO 8601 time such as 2026-11-20T14:30 (local time), 2026-11-20T14:30Z or 2026-11-20T14:30+01:00, "
    f"a day such as 2026-11-20 (its {{day}} moment), or an age such as {_AGE_FORMS}"
)


def parse_age(text: str) -> float:
    """Seconds of an age such as 90s, 15m, 36h, 3d, 2w, 1y (365 days), 1.5h, or several, largest first: 1d12h.

    m and min are minutes; months, which have no length, are no unit. Raises ValueError for anything else.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no age: give one such as {_AGE_FORMS}")
    seconds = sum(float(number or 0) * length for number, (_, length) in zip(match.groups(), _UNITS, strict=True))
    if not math.isfinite(seconds):
        raise ValueError("the age is too long")
    return seconds


def format_age(seconds: float) -> str:
    """An age in one unit, with one decimal below 10: ``45 s``, ``12 min``, ``1.5 h``, ``3 d``, ``2.1 y``."""
    sign = "-" if seconds <= -0.05 else ""
    for name, length, limit in _SHOWN:
        number = _short(abs(seconds) / length)
        if float(number) < limit:
            return f"{sign}{number} {name}"
    return f"{sign}{_short(abs(seconds) / SECONDS_PER_YEAR)} y"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:.0f}"


def parse_moment(
    text: str, now: float, zone: tzinfo | None = None, *, day: Literal["first", "last"] = "last"
) -> datetime:
    """The moment, in UTC, that a person means by an ISO 8601 time, a day, or an age before ``now`` (seconds, UTC).

    A time without Z or offset is local: of ``zone``, or of the system where that is None. A day alone means its last
    moment, since who asks for the backup of a day means its newest one; or its first, for who asks since when. The
    future is allowed. Raises UsageError for a local time that daylight saving has twice or skips, and for whatever has
    no meaning here.
    """
    typed = text.strip()
    try:
        if typed and _AGE.fullmatch(typed):
            return datetime.fromtimestamp(now - parse_age(typed), UTC)
        if _DATE.fullmatch(typed):
            midnight = datetime.fromisoformat(typed)
            return _readings(midnight, zone)[0] if day == "first" else _last_moment(midnight, zone)
        if _TIME.fullmatch(typed):
            moment = datetime.fromisoformat(typed)
            return _from_local(typed, moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{text!r} is no time that can be: {error}", advice=f"give {_TIME_FORMS.format(day=day)}"
        ) from error
    raise UsageError(f"{text!r} is no time that AML understands", advice=f"give {_TIME_FORMS.format(day=day)}")


def _last_moment(day: datetime, zone: tzinfo | None) -> datetime:
    # Where the clocks change at midnight, it is the second reading that ends the day: the later one of an hour that
    # comes twice, and of an hour that is skipped the one that lies before the change.
    return _readings(datetime.combine(day, clock_time.max), zone)[1]


def _from_local(text: str, moment: datetime, zone: tzinfo | None) -> datetime:
    first, second = _readings(moment, zone)
    if first == second:
        return first
    fault = "comes twice" if first < second else "does not exist"
    readings = [f"{one.replace(tzinfo=None).isoformat()}Z" for one in sorted((first, second))]
    raise UsageError(
        f"{text!r} {fault} in local time, since the clocks change then: it may mean {readings[0]} or {readings[1]}",
        advice=f"say which, with Z or an offset, such as {readings[0]}",
    )


def _readings(moment: datetime, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """A local time in UTC, by the offset before and by the one after a change of clocks nearby: mostly the same."""
    first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if zone is None and first != second and not _is_shown_as(first, moment):
        # of a time that is skipped, the system's own rules give the readings in the other order than a zone does
        first, second = max(first, second), min(first, second)
    return first, second


def _is_shown_as(reading: datetime, moment: datetime) -> bool:
    """Whether the system's local time at ``reading`` is ``moment``."""
    return reading.astimezone().replace(tzinfo=None) == moment
