"""Typed times and ages: every accepted form, daylight saving in both directions, and nothing guessed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.errors import ExitStatus, UsageError
from aml.model.moments import format_age, parse_age, parse_moment

DAY = 86_400.0
NOW = datetime(2026, 11, 21, 3, 13, 32, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")]

NO_AGES = [
    "",
    " ",
    "3",
    "d",
    "-3d",
    "+3d",
    "3D",
    "3M",
    "3mo",
    "12h1d",
    "1d1d",
    ".5d",
    "1.d",
    "1,5d",
    "1e3s",
    "٣d",
    "3dd",
]
NO_WORDS = ["", " ", "yesterday", "-3d", "3", "1794960000", "2026112003", "20261120003", "2026", "14:30"]
NO_DATES = [
    "2026-11",
    "2026-W47-5",
    "2026-13-01",
    "2026-02-30",
    "2026-11-20Z",
    "20/11/2026",
    "٢٠٢٦-11-20",
    "0000-01-01",
]
NO_TIMES = [
    "2026-11-20T25:00",
    "2026-11-20T14",
    "2026-11-20x14:30",
    "2026-11-20T14:30:60Z",
    "2026-11-20T14:30+25:00",
    "2026-11-20T14:30 UTC",
    "9999-12-31T23:30-05:00",
    "0001-01-01T00:00+05:00",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.fixture
def system_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this process, and puts the old one back."""

    def choose(name: str) -> None:
        patch.setenv("TZ", name)
        time.tzset()

    with monkeypatch.context() as patch:
        yield choose
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("15min", 900),
        ("36h", 129_600),
        ("3d", 3 * DAY),
        ("2w", 14 * DAY),
        ("1y", 365 * DAY),
        ("0s", 0),
        ("1.5h", 5400),
        ("0.5d", DAY / 2),
        ("1d12h", 1.5 * DAY),
        ("1y2w3d4h5m6.5s", 365 * DAY + 14 * DAY + 3 * DAY + 4 * 3600 + 300 + 6.5),
        ("  3 d ", 3 * DAY),
        ("1 d 12 h", 1.5 * DAY),
    ],
)
def test_an_age_in_every_accepted_form(text: str, seconds: float) -> None:
    assert parse_age(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [*NO_AGES, "inf s", "nan s", "3d\x00", "3  d", "9" * 400 + "y"],
)
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"age"):
        parse_age(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0.4 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (90, "1.5 min"),
        (720, "12 min"),
        (3599, "1 h"),
        (5 * 3600, "5 h"),
        (23.99 * 3600, "1 d"),
        (36 * 3600, "1.5 d"),
        (3 * DAY, "3 d"),
        (9.96 * DAY, "10 d"),
        (10.4, "10 s"),
        (-0.04, "0 s"),
        (-0.06, "-0.1 s"),
        (30 * DAY, "30 d"),
        (364.9 * DAY, "1 y"),
        (767 * DAY, "2.1 y"),
        (-3 * DAY, "-3 d"),
        (-0.01, "0 s"),
        (math.inf, "inf y"),
    ],
)
def test_how_an_age_is_shown(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


@given(st.floats(0, 1e12))
def test_a_shown_age_can_be_typed_again_and_is_close(seconds: float) -> None:
    assert parse_age(format_age(seconds)) == pytest.approx(seconds, rel=0.051, abs=0.051)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T14:30Z", "2026-11-20T14:30"),
        ("2026-11-20T14:30:05Z", "2026-11-20T14:30:05"),
        ("2026-11-20T14:30:05.5Z", "2026-11-20T14:30:05.500"),
        ("2026-11-20T14:30+01:00", "2026-11-20T13:30"),
        ("2026-11-20T14:30-0530", "2026-11-20T20:00"),
        ("2026-11-20T14:30+01", "2026-11-20T13:30"),
        ("20261121T031332.123456Z", "2026-11-21T03:13:32.123456"),
        ("2026-11-20T14:30", "2026-11-20T13:30"),
        (" 2026-11-20 14:30:05 ", "2026-11-20T13:30:05"),
        ("2026-07-01T14:30", "2026-07-01T12:30"),
        ("2099-01-01T00:00Z", "2099-01-01T00:00"),
        ("3d", "2026-11-18T03:13:32"),
        ("1d12h", "2026-11-19T15:13:32"),
        ("0s", "2026-11-21T03:13:32"),
    ],
)
def test_a_moment_in_every_accepted_form(text: str, moment: str) -> None:
    parsed = parse_moment(text, NOW, BERLIN)
    assert parsed == utc(moment)
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-11-20", "UTC", "2026-11-20T23:59:59.999999"),
        ("20261120", "Europe/Berlin", "2026-11-20T22:59:59.999999"),
        ("2026-10-25", "Europe/Berlin", "2026-10-25T22:59:59.999999"),
        # the clocks go back at midnight, from 24:00 to 23:00: the day ends the second time
        ("2024-03-23", "America/Asuncion", "2024-03-24T03:59:59.999999"),
        # they go forward from 23:00 to 24:00: the day ends an hour early
        ("2024-03-30", "America/Nuuk", "2024-03-31T00:59:59.999999"),
        # a day that was skipped altogether
        ("2011-12-30", "Pacific/Apia", "2011-12-30T09:59:59.999999"),
    ],
)
def test_a_day_alone_means_its_last_moment(text: str, zone: str, moment: str) -> None:
    assert parse_moment(text, NOW, ZoneInfo(zone)) == utc(moment)


@pytest.mark.parametrize(
    ("text", "zone", "fault", "readings"),
    [
        ("2026-10-25T02:30", "Europe/Berlin", "comes twice", ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")),
        ("2026-10-25 02:00:00", "Europe/Berlin", "comes twice", ("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z")),
        ("2026-03-29T02:30", "Europe/Berlin", "does not exist", ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")),
        ("2026-04-05T01:45", "Australia/Lord_Howe", "comes twice", ("2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z")),
    ],
)
def test_a_local_time_that_the_clocks_repeat_or_skip_is_refused_with_both_readings(
    text: str, zone: str, fault: str, readings: tuple[str, str]
) -> None:
    with pytest.raises(UsageError, match=fault) as caught:
        parse_moment(text, NOW, ZoneInfo(zone))
    assert f"{readings[0]} or {readings[1]}" in caught.value.message
    assert "offset" in caught.value.advice
    assert [parse_moment(one, NOW, ZoneInfo(zone)) for one in readings] == [utc(one[:-1]) for one in readings]


@pytest.mark.parametrize("text", ["2026-10-25T01:59:59", "2026-10-25T03:00", "2026-03-29T01:59:59", "2026-03-29T03:00"])
def test_the_times_right_beside_a_change_of_clocks_are_fine(text: str) -> None:
    assert parse_moment(text, NOW, BERLIN).astimezone(BERLIN).replace(tzinfo=None) == datetime.fromisoformat(text)


def test_without_a_zone_the_system_s_own_counts(system_zone: Callable[[str], None]) -> None:
    system_zone("Europe/Berlin")
    assert parse_moment("2026-07-01T14:30", NOW) == utc("2026-07-01T12:30")
    assert parse_moment("2026-11-20", NOW) == utc("2026-11-20T22:59:59.999999")
    with pytest.raises(UsageError, match="2026-10-25T00:30:00Z or 2026-10-25T01:30:00Z"):
        parse_moment("2026-10-25T02:30", NOW)
    with pytest.raises(UsageError, match=r"does not exist.*2026-03-29T00:30:00Z or 2026-03-29T01:30:00Z"):
        parse_moment("2026-03-29T02:30", NOW)
    system_zone("Asia/Kolkata")
    assert parse_moment("2026-10-25T02:30", NOW) == utc("2026-10-24T21:00")


@pytest.mark.parametrize(
    "text",
    [*NO_WORDS, *NO_DATES, *NO_TIMES, "99999y", "9" * 400 + "y", "\x1b[1m"],
)
def test_anything_else_is_refused_with_the_forms_that_are_accepted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, NOW, BERLIN)
    assert caught.value.status == ExitStatus.USAGE
    assert caught.value.message.isprintable()
    assert all(form in caught.value.advice for form in ("2026-11-20T14:30", "+01:00", "3d", "last moment"))


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00", "9999-12-31", "9999-12-31T23:59"])
@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)), None])
def test_the_ends_of_the_calendar_are_read_or_refused_but_never_crash(text: str, zone: timezone | None) -> None:
    with suppress(UsageError):
        assert parse_moment(text, NOW, zone).tzinfo is UTC


@given(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)), st.sampled_from(ZONES))
def test_a_local_time_is_read_as_itself_or_refused_and_an_offset_always_settles_it(
    local: datetime, zone: ZoneInfo
) -> None:
    offsets = {local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(offsets) == 1:
        assert parse_moment(local.isoformat(), NOW, zone).astimezone(zone).replace(tzinfo=None) == local
    else:
        with pytest.raises(UsageError):
            parse_moment(local.isoformat(), NOW, zone)
    for offset in offsets:
        aware = local.replace(tzinfo=timezone(offset or timedelta(0)))
        assert parse_moment(aware.isoformat(), NOW, zone) == aware


@given(st.dates(datetime(1990, 1, 1).date(), datetime(2037, 1, 1).date()), st.sampled_from(ZONES))
def test_the_last_moment_of_a_day_is_on_that_day_and_the_next_one_is_not(day: object, zone: ZoneInfo) -> None:
    last = parse_moment(str(day), NOW, zone)
    assert last.astimezone(zone).date() == day
    assert (last + timedelta(microseconds=1)).astimezone(zone).date() != day


@given(st.text(max_size=30) | st.text("0123456789-:TZ+ .,smhdwy", max_size=30))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with suppress(UsageError):
        assert parse_moment(text, NOW, BERLIN).utcoffset() == timedelta(0)


@pytest.mark.parametrize("day", ["2026-11-20", "20261120"])
def test_since_a_day_means_since_its_beginning(day: str) -> None:
    zone = ZoneInfo("America/New_York")
    assert parse_moment(day, 0.0, zone, day="first") == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert parse_moment(day, 0.0, zone) == datetime(2026, 11, 21, 4, 59, 59, 999999, tzinfo=UTC)


def test_since_a_day_whose_midnight_comes_twice_means_since_the_first_of_them() -> None:
    zone = ZoneInfo("Atlantic/Azores")
    assert parse_moment("2026-10-25", 0.0, zone, day="first") == datetime(2026, 10, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2024-03-23", "America/Asuncion"),
        ("2024-03-30", "America/Nuuk"),
        ("2024-10-06", "America/Asuncion"),
        ("2026-10-25", "Atlantic/Azores"),
        ("2026-10-25", "Europe/Berlin"),
        ("2011-12-30", "Pacific/Apia"),
    ],
)
def test_a_day_of_the_system_s_zone_begins_and_ends_as_one_of_that_zone_by_name(
    text: str, zone: str, system_zone: Callable[[str], None]
) -> None:
    system_zone(zone)
    assert parse_moment(text, NOW, day="first") == parse_moment(text, NOW, ZoneInfo(zone), day="first")
    assert parse_moment(text, NOW) == parse_moment(text, NOW, ZoneInfo(zone))
