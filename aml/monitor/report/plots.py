"""Plots as inline SVG. They fill the width that they are given, and their text keeps its size at any: shapes are placed
in percent, and only lines and areas are stretched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from aml.monitor.report.markup import Child, Markup, Value, decimal, joined, tag
from aml.monitor.report.scales import Mark, byte_marks, count_marks, minute_of, short_count, time_marks

Unit = Literal["bytes", "count"]

#: Pixels: the whole of a plot, the room above it, and the room below for what is written at its axis.
_HEIGHT, _ABOVE, _BELOW = 200, 18, 24
_PLOT = _HEIGHT - _ABOVE - _BELOW
#: Percent of the width that stay free at both ends, so that no dot lies on an axis.
_EDGE = 1.5
#: Beyond so many, points melt into one another: the line says it alone.
_MOST_DOTS = 60
#: Percent from an end of the axis within which a label would stick out.
_NEAR_AN_END = 9.0
#: A gap is longer than so many usual steps of those that are near, each way, and than that share of the whole time.
_GAP_STEPS, _NEAR, _GAP_SHARE = 4, 4, 0.04
#: Units of the stretched part of a plot, each way.
_UNITS = 1000.0


class Point(Struct, frozen=True):
    """What was measured at a moment (seconds since 1970, UTC)."""

    time: float
    value: float


class Event(Struct, frozen=True):
    """Something that happened at a moment (seconds since 1970, UTC), in a few words."""

    time: float
    label: str


class Column(Struct, frozen=True):
    """One column of a histogram: what is written below it, the whole words for it, and how many."""

    label: str
    words: str
    count: int


class Part(Struct, frozen=True):
    """One part of a bar: the number of its colour (1, 2, 3), what it is, and how much."""

    color: int
    words: str
    value: float


def over_time(
    name: str,
    title: str,
    points: Sequence[Point],
    *,
    unit: Unit,
    told: Callable[[float], str],
    events: Sequence[Event] = (),
    start: float | None = None,
) -> Markup:
    """A line over time with the area below it, from 0, and a dot for each of the points (at least one, in order).

    ``name`` makes the ids in it unique, ``told`` writes a value out. The axis begins at ``start`` (seconds since 1970
    UTC) or with the first point.
    """
    first, last = points[0].time if start is None else start, points[-1].time
    span = max(last - first, 1.0)
    marks = (byte_marks if unit == "bytes" else count_marks)(max(one.value for one in points))
    top = marks[-1].value

    def across(moment: float) -> float:
        return _EDGE + (100.0 - 2 * _EDGE) * (moment - first) / span

    def down(value: float) -> float:
        return _ABOVE + _PLOT * (1.0 - value / top)

    def dot(one: Point) -> Markup:
        words = _title(f"{told(one.value)}, {minute_of(one.time)} UTC")
        return tag("circle", words, cx=_percent(across(one.time)), cy=down(one.value), r=3, class_="dot")

    began, ended = (f"{told(one.value)} at {minute_of(one.time)} UTC" for one in (points[0], points[-1]))
    return _drawing(
        name,
        title,
        f"{title}: {began}, {ended}.",
        joined(_level(mark, down(mark.value)) for mark in marks),
        _moments(time_marks(first, last), across),
        _stretched(
            [
                [(across(one.time) * _UNITS / 100, _UNITS * (1.0 - one.value / top)) for one in stretch]
                for stretch in stretches(points)
            ]
        ),
        joined(_event(one, across(one.time)) for one in events if first <= one.time <= last),
        joined(dot(one) for one in (points if len(points) <= _MOST_DOTS else points[-1:])),
        look="plot timed",
    )


def columns(name: str, title: str, found: Sequence[Column], *, noun: str, color: int = 1) -> Markup:
    """A histogram: a column for each of ``found``, with its number above it."""
    highest = max((one.count for one in found), default=0) or 1
    slot = 100.0 / max(1, len(found))
    total = sum(one.count for one in found)
    drawn = []
    for place, one in enumerate(found):
        height = _PLOT * one.count / highest
        # what is there is seen, however little it is
        height = max(height, 2.0) if one.count else 0.0
        middle = _percent(slot * (place + 0.5))
        below = _ABOVE + _PLOT
        left, width = _percent(slot * (place + 0.1)), _percent(slot * 0.8)
        column = tag("rect", x=left, width=width, y=below - height, height=height, rx=2, class_=f"fill{color}")
        number = tag("text", short_count(one.count), x=middle, y=below - height - 5, class_="number")
        label = tag("text", one.label, x=middle, y=_HEIGHT - 8, class_="middle")
        told = _title(f"{one.words}: {one.count:,} {noun} ({one.count / max(1, total):.0%})")
        drawn.append(tag("g", told, column, number, label))
    most = max(found, key=lambda one: one.count, default=None)
    words = f"{title}: {total:,} {noun}" + (f", most of them {most.words}." if most and most.count else ".")
    floor = tag("line", x1="0", x2="100%", y1=_ABOVE + _PLOT, y2=_ABOVE + _PLOT, class_="floor")
    return _drawing(name, title, words, floor, *drawn)


def bar(parts: Sequence[Part], highest: float, *, height: int = 12) -> Markup:
    """A bar of parts side by side, as long as all of them are of ``highest``. What it shows must stand beside it in
    numbers, so it is nothing to those who cannot see it."""
    drawn, start = [], 0.0
    for one in parts:
        width = 100.0 * one.value / highest if highest > 0 else 0.0
        if width > 0:
            place: dict[str, Value] = {"x": _percent(start), "width": _percent(max(width, 0.4)), "height": height}
            drawn.append(tag("rect", _title(one.words), class_=f"fill{one.color} part", **place))
        start += width
    return tag("svg", *drawn, class_="bar", width="100%", height=height, aria_hidden="true", focusable="false")


def legend(names: Sequence[str]) -> Markup:
    """The colours of parts, in their order."""
    swatch = (joined([_swatch(place), tag("span", name)]) for place, name in enumerate(names, start=1))
    return tag("div", *(tag("span", one, class_="key") for one in swatch), class_="legend")


def _swatch(color: int) -> Markup:
    rect = tag("rect", width=10, height=10, rx=2, class_=f"fill{color}")
    return tag("svg", rect, width=10, height=10, aria_hidden="true", focusable="false")


def _drawing(name: str, title: str, words: str, *content: Child, look: str = "plot") -> Markup:
    attributes: dict[str, Value] = {"aria_labelledby": f"{name}-title {name}-words", "role": "img"}
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", words, id=f"{name}-words"),
        *content,
        class_=look,
        width="100%",
        height=_HEIGHT,
        **attributes,
    )


def _level(mark: Mark, y: float) -> Markup:
    line = tag("line", x1="0", x2="100%", y1=y, y2=y, class_="floor" if mark.value == 0 else "grid")
    return joined([line, tag("text", mark.label, x=-8, y=y + 4, class_="level")])


def _moments(marks: Sequence[Mark], across: Callable[[float], float]) -> Markup:
    """What is written below an axis of time. Where there is little room, every other one goes; or all hours, where days
    stand beside them: a day without its hours says more than hours without their days."""
    hours = [":" in mark.label for mark in marks]
    minor = hours if any(hours) and not all(hours) else [place % 2 == 1 for place in range(len(marks))]
    return joined(_moment(mark, across(mark.value), goes) for mark, goes in zip(marks, minor, strict=True))


def _moment(mark: Mark, x: float, goes: bool) -> Markup:
    end = "start" if x < _NEAR_AN_END else "end" if x > 100 - _NEAR_AN_END else "middle"
    return tag("text", mark.label, x=_percent(x), y=_HEIGHT - 8, class_=f"{end} also" if goes else end)


def _event(event: Event, x: float) -> Markup:
    line = tag("line", x1=_percent(x), x2=_percent(x), y1=_ABOVE, y2=_ABOVE + _PLOT)
    head = tag("circle", cx=_percent(x), cy=_ABOVE, r=3.5)
    return tag("g", _title(event.label), line, head, class_="event")


def stretches(points: Sequence[Point]) -> list[list[Point]]:
    """Points in their order, parted where nothing was measured for so long that a line would pretend to know."""
    steps = [two.time - one.time for one, two in pairwise(points)]
    least = _GAP_SHARE * (points[-1].time - points[0].time)
    found = [[points[0]]]
    for place, (step, point) in enumerate(zip(steps, points[1:], strict=True)):
        # the older the history, the longer its steps
        near = sorted(steps[max(0, place - _NEAR) : place + _NEAR + 1])
        if step > max(least, _GAP_STEPS * near[len(near) // 2]):
            found.append([])
        found[-1].append(point)
    return found


def _stretched(found: Sequence[Sequence[tuple[float, float]]]) -> Markup:
    """The lines and the areas below them, in a drawing of their own that is stretched to the plot."""
    lines = ["M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in one) for one in found]
    areas = [
        f"{line} L{one[-1][0]:.1f} {_UNITS:.0f} L{one[0][0]:.1f} {_UNITS:.0f} Z"
        for line, one in zip(lines, found, strict=True)
    ]
    gaps = [f"M{one[-1][0]:.1f} {one[-1][1]:.1f} L{two[0][0]:.1f} {two[0][1]:.1f}" for one, two in pairwise(found)]
    bridge = tag("path", d=" ".join(gaps), class_="line gap", vector_effect="non-scaling-stroke") if gaps else None
    return tag(
        "svg",
        tag("path", d=" ".join(areas), class_="area"),
        bridge,
        tag("path", d=" ".join(lines), class_="line", vector_effect="non-scaling-stroke"),
        x="0",
        y=_ABOVE,
        width="100%",
        height=_PLOT,
        viewBox=f"0 0 {_UNITS:.0f} {_UNITS:.0f}",
        preserveAspectRatio="none",
    )


def _title(words: str) -> Markup:
    return tag("title", words)


def _percent(number: float) -> str:
    return f"{decimal(number)}%"
