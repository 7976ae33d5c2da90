"""Plots: marks at round numbers, drawings that are whole and say in words what they show."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.model.units import size
from aml.monitor.report.markup import Markup, joined, tag
from aml.monitor.report.plots import Column, Event, Part, Point, bar, columns, legend, over_time, stretches
from aml.monitor.report.scales import Mark, byte_marks, count_marks, short_count, time_marks

MOMENTS = st.floats(min_value=946_684_800, max_value=4_000_000_000)
AMOUNTS = st.floats(min_value=0, max_value=1e15)


def seconds(year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


@given(AMOUNTS)
def test_marks_begin_at_zero_rise_evenly_and_reach_the_highest(highest: float) -> None:
    for found in (count_marks(highest), byte_marks(highest)):
        steps = [two.value - one.value for one, two in pairwise(found)]
        assert found[0].value == 0
        assert found[-1].value >= highest
        assert 2 <= len(found) <= 6
        assert max(steps) == pytest.approx(min(steps))
        assert len({one.label for one in found}) == len(found)


def test_marks_are_round_numbers() -> None:
    assert [one.label for one in count_marks(430)] == ["0", "200", "400", "600"]
    assert [one.label for one in byte_marks(373_600)] == ["0 B", "100 KiB", "200 KiB", "300 KiB", "400 KiB"]
    assert [one.label for one in count_marks(0)] == ["0", "1"]
    assert [one.label for one in byte_marks(3_000_000)] == ["0 B", "1 MiB", "2 MiB", "3 MiB"]


@given(MOMENTS, st.floats(min_value=0, max_value=3e9))
def test_marks_of_time_lie_within_it_and_are_few(first: float, length: float) -> None:
    found = time_marks(first, first + length)
    assert len(found) <= 5
    assert all(first <= one.value <= first + length for one in found)
    assert [one.value for one in found] == sorted({one.value for one in found})
    assert all(one.label for one in found)


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        (seconds(2026, 8, 22), seconds(2026, 11, 20), ["Sep 2026", "Oct", "Nov"]),
        (seconds(2025, 11, 20), seconds(2026, 11, 20), ["Jan 2026", "Apr", "Jul", "Oct"]),
        (seconds(2024, 11, 20), seconds(2026, 11, 20), ["Jan 2025", "Jul", "Jan 2026", "Jul"]),
        (seconds(2016, 1, 1), seconds(2025, 6, 1), ["2016", "2018", "2020", "2022", "2024"]),
        (seconds(2026, 11, 13), seconds(2026, 11, 20), ["13 Nov", "15 Nov", "17 Nov", "19 Nov"]),
        (seconds(2026, 11, 20, 3), seconds(2026, 11, 20, 11), ["20 Nov 03:00", "06:00", "09:00"]),
    ],
)
def test_marks_of_time_are_round_and_say_the_year_where_it_changes(
    first: float, last: float, labels: list[str]
) -> None:
    assert [one.label for one in time_marks(first, last)] == labels


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0"), (950, "950"), (1500, "1.5k"), (20_000, "20k"), (3e6, "3M"), (2.5e9, "2.5G")]
)
def test_counts_are_told_in_few_characters(number: float, told: str) -> None:
    assert short_count(number) == told


@given(
    st.lists(st.tuples(MOMENTS, AMOUNTS), min_size=1, max_size=80), st.lists(st.tuples(MOMENTS, st.text()), max_size=5)
)
def test_a_line_over_time_is_whole_stays_within_its_axes_and_has_a_title_in_words(
    measured: list[tuple[float, float]], happened: list[tuple[float, str]]
) -> None:
    points = [Point(*one) for one in sorted(measured)]
    drawn = over_time(
        "p", "Bytes", points, unit="bytes", told=size, events=[Event(moment, words) for moment, words in happened]
    )
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    assert root.get("role") == "img"
    named = root.get("aria-labelledby", "").split()
    assert [root.find(f"*[@id='{name}']") is not None for name in named] == [True, True]
    assert size(points[-1].value) in "".join(root.itertext())
    for circle in root.iter("circle"):
        assert 0 <= float(circle.get("cx", "").removesuffix("%")) <= 100
        assert 0 <= float(circle.get("cy", "")) <= 200
    for path in root.iter("path"):
        numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
        assert all(0 <= one <= 1000 for one in numbers)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=9), st.integers(0, 10**9)), max_size=12))
def test_a_histogram_tells_each_of_its_columns(found: list[tuple[str, str, int]]) -> None:
    drawn = columns("h", "Ages", [Column(*one) for one in found], noun="records")
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    rects = list(root.iter("rect"))
    assert len(rects) == len(found)
    heights = [float(one.get("height", "")) for one in rects]
    assert all(0 <= one <= 200 for one in heights)
    assert [one == 0 for one in heights] == [number == 0 for *_, number in found]
    assert f"{sum(number for *_, number in found):,} records" in "".join(root.itertext())


def test_a_bar_is_as_long_as_its_share_and_leaves_out_what_is_nothing() -> None:
    drawn = bar([Part(1, "patterns", 50), Part(2, "solutions", 0), Part(3, "decisions", 30)], 160)
    rects = list(ElementTree.fromstring(drawn).iter("rect"))  # noqa: S314 - our own
    assert [(one.get("x"), one.get("width")) for one in rects] == [("0%", "31.25%"), ("31.25%", "18.75%")]
    assert not list(ElementTree.fromstring(bar([Part(1, "none", 0)], 0)).iter("rect"))  # noqa: S314 - our own


def test_a_legend_names_each_colour() -> None:
    root = ElementTree.fromstring(legend(["patterns", "solutions"]))  # noqa: S314 - our own
    assert "".join(root.itertext()) == "patternssolutions"


def test_whatever_is_no_markup_is_escaped_and_numbers_are_short() -> None:
    assert tag("b", "<i>", class_="a'b", data_x=None, hidden=True, x=1.50) == (
        '<b class="a&#39;b" hidden="hidden" x="1.5">&lt;i&gt;</b>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8"/>'
    assert joined([tag("i", "a"), "<", 2, None]) == "<i>a</i>&lt;2"
    assert isinstance(joined(["x"]), Markup)
    assert tag("b", "\x00\u202e\ud83d") == r"<b>\x00\u202e\ud83d</b>"
    assert Mark(1.0, "a") == Mark(1.0, "a")


def test_where_there_is_little_room_days_stay_and_hours_go() -> None:
    start = seconds(2026, 11, 18, 11)
    points = [Point(start + 3600 * hour, 1.0) for hour in range(52)]
    drawn = over_time("a", "A", points, unit="count", told=str)
    labels = re.findall(r'<text [^>]*y="192" class="([^"]*)">([^<]*)<', drawn)
    assert [(label, "also" in look) for look, label in labels] == [
        ("18 Nov 12:00", True),
        ("19 Nov", False),
        ("12:00", True),
        ("20 Nov", False),
        ("12:00", True),
    ]


def test_a_line_is_parted_where_nothing_was_measured_for_long() -> None:
    days = [*range(100), *range(160, 200)]
    points = [Point(day * 86_400.0, 100.0 + day) for day in days]
    assert [len(one) for one in stretches(points)] == [100, 40]
    # daily backups, and then a sample each five minutes: nothing is missing
    often = [Point(day * 86_400.0, 1.0) for day in range(6)] + [Point(432_000.0 + 300 * n, 1.0) for n in range(1, 500)]
    assert len(stretches(often)) == 1
    drawn = over_time("a", "A", points, unit="count", told=str)
    assert drawn.count('class="line gap"') == 1
    assert 'class="line gap"' not in over_time("a", "A", points[:100], unit="count", told=str)


@given(st.lists(MOMENTS, min_size=1, unique=True))
def test_stretches_hold_each_point_once_and_in_order(moments: list[float]) -> None:
    points = [Point(one, 1.0) for one in sorted(moments)]
    found = stretches(points)
    assert [one for stretch in found for one in stretch] == points
    assert all(found)
