"""Axes: where to put their marks, and what to write there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from aml.model.timestamps import SECONDS_PER_DAY, to_iso
from aml.model.units import size
from aml.monitor.report.content import minute

#: Steps of a decimal axis, and of one of bytes, within one power of 10 or of 1024.
_DECIMAL = (1.0, 2.0, 5.0)
_BINARY = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_HOUR = 3600.0
#: Steps of an axis of time below a month (seconds).
_SHORT = (
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    *(n * SECONDS_PER_DAY for n in (1, 2, 7, 14)),
)
#: ... and from a month on (months).
_LONG = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12_000)
#: The calendar of the interpreter ends with it.
_LAST_YEAR = 9999
_MONTH = 30.44 * SECONDS_PER_DAY


class Mark(Struct, frozen=True):
    """A mark on an axis: its value, and what is written there."""

    value: float
    label: str


def count_marks(highest: float, wanted: int = 4) -> tuple[Mark, ...]:
    """Marks from 0 up to at least ``highest``, at whole numbers."""
    return _marks(highest, wanted, base=10.0, steps=_DECIMAL, label=short_count)


def byte_marks(highest: float, wanted: int = 4) -> tuple[Mark, ...]:
    """Marks from 0 up to at least ``highest`` bytes, at round numbers of a unit."""
    return _marks(highest, wanted, base=1024.0, steps=_BINARY, label=short_size)


def _marks(
    highest: float, wanted: int, *, base: float, steps: tuple[float, ...], label: Callable[[float], str]
) -> tuple[Mark, ...]:
    rough = max(highest, 1.0) / wanted
    power = base ** max(0, math.floor(math.log(max(rough, 1.0), base)))
    step = next((one * power for one in steps if one * power >= rough), base * power)
    number = max(1, math.ceil(highest / step - 1e-9))
    return tuple(Mark(at * step, label(at * step)) for at in range(number + 1))


def time_marks(first: float, last: float, wanted: int = 5) -> tuple[Mark, ...]:
    """Marks at round moments (UTC) from ``first`` to ``last`` (seconds since 1970), at most ``wanted`` and often fewer;
    the year is said where it changes."""
    rough = max(last - first, 1.0) / wanted
    found = [at for at in _moments(first, last, rough) if first <= at <= last]
    # a step that just does not fit can leave one too many
    found = found[:: max(1, math.ceil(len(found) / wanted))]
    return tuple(Mark(at, _told(at, found[place - 1] if place else None, rough)) for place, at in enumerate(found))


def _moments(first: float, last: float, rough: float) -> Iterator[float]:
    step = next((one for one in _SHORT if one >= rough), None)
    if step is not None:
        at = math.ceil(first / step) * step
        while at <= last:
            yield at
            at += step
        return
    months = next((one for one in _LONG if one * _MONTH >= rough), _LONG[-1])
    start = datetime.fromtimestamp(first, UTC)
    number = -(-(start.year * 12 + start.month - 1) // months) * months
    while number // 12 < _LAST_YEAR:
        at = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()
        if at > last:
            return
        yield at
        number += months


def _told(moment: float, before: float | None, rough: float) -> str:
    when = datetime.fromtimestamp(moment, UTC)
    earlier = None if before is None else datetime.fromtimestamp(before, UTC)
    if rough > 12 * _MONTH:
        return f"{when.year}"
    if rough > 14 * SECONDS_PER_DAY:
        return f"{when:%b} {when.year}" if earlier is None or earlier.year != when.year else f"{when:%b}"
    day = f"{when.day} {when:%b}"
    if rough > 12 * _HOUR:
        return day
    if rough <= 15:
        return f"{when:%H:%M:%S}"
    if earlier is not None and earlier.date() == when.date():
        return f"{when:%H:%M}"
    # a day begins at midnight: its name says it
    return day if earlier is not None and when.hour == when.minute == 0 else f"{day} {when:%H:%M}"


def short_count(number: float) -> str:
    """A count in few characters: ``950``, ``1.5k``, ``20k``, ``3M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:,.1f}".removesuffix(".0") + unit
    return f"{number:,.0f}"


def short_size(octets: float) -> str:
    """Bytes without a decimal that says nothing: ``20 MiB``, ``1.5 KiB``."""
    return size(octets).replace(".0 ", " ")


def minute_of(moment: float) -> str:
    """Day and minute in UTC: ``2026-11-21 03:17``."""
    return minute(to_iso(moment))
