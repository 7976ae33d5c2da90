"""Times as agents write them: read where that is certain, unknown everywhere else."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from aml.model.timestamps import SECONDS_PER_DAY, days_between, parse_timestamp, to_iso

MOMENT = datetime(2026, 11, 20, 12, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T12:30:00.000Z",
        "2026-11-20T12:30:00Z",
        "2026-11-20T12:30Z",
        "2026-11-20T12:30:00",
        "2026-11-20 12:30:00",
        "2026-11-20T12:30:00.000000",
        "2026-11-20T12:30:00.000000000Z",
        "2026-11-20T12:30:00+00:00",
        "2026-11-20T14:30:00+02:00",
        "2026-11-20T04:30:00-0800",
        "20261120T123000Z",
        " 2026-11-20T12:30:00Z ",
        int(MOMENT),
        float(MOMENT),
        int(MOMENT) * 1000,
        float(MOMENT) * 1000,
    ],
)
def test_every_spelling_means_the_same_moment(value: Any) -> None:
    assert parse_timestamp(value) == MOMENT


def test_fractions_count() -> None:
    assert parse_timestamp("2026-11-20T12:30:00.250Z") == MOMENT + 0.25
    assert parse_timestamp(int(MOMENT) * 1000 + 250) == MOMENT + 0.25


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_without_an_offset_a_time_is_in_utc_wherever_aml_runs(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", zone)
        time.tzset()
        found = [parse_timestamp(text) for text in ("2026-11-20T12:30:00", "2026-11-20 12:30", "2026-11-20T12:30Z")]
    time.tzset()
    assert found == [MOMENT] * 3


def test_a_number_counts_seconds_up_to_the_year_5000_and_milliseconds_beyond() -> None:
    assert parse_timestamp(1e11 - 1) == 1e11 - 1
    assert parse_timestamp(1e11) is None, "as milliseconds it lies before any agent"
    assert parse_timestamp(1e12) == 1e9
    assert parse_timestamp(1e14 - 1000) == 1e11 - 1
    assert parse_timestamp(1e14) is None


def test_a_date_alone_is_its_midnight_in_utc() -> None:
    assert parse_timestamp("2026-11-20") == MOMENT - 12.5 * 3600


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        " ",
        "soon",
        "null",
        "2026-13-01T00:00:00Z",
        "2026-02-30",
        "12:30",
        "1795177800",
        "Fri Nov 20 2026",
        [],
        {},
        [2026, 11, 20],
        {"$date": "2026-11-20"},
        b"2026-11-20",
        float("nan"),
        float("inf"),
        float("-inf"),
        1e300,
        10**30,
        10**400,
        -(10**400),
        "9999-12-31T23:59:59-23:59x",
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_read_is_unknown(value: Any) -> None:
    assert parse_timestamp(value) is None


@pytest.mark.parametrize(
    "placeholder",
    [
        0,
        0.0,
        -1,
        1,
        86400,
        "1970-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "1999-12-31",
    ],
)
def test_placeholders_are_unknown_and_not_old(placeholder: Any) -> None:
    assert parse_timestamp(placeholder) is None


@pytest.mark.parametrize("extreme", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2000-01-01T00:00:00Z"])
def test_extremes_do_not_raise(extreme: str) -> None:
    assert parse_timestamp(extreme) is not None


def test_moments_are_written_as_the_runtime_writes_them() -> None:
    assert to_iso(MOMENT) == "2026-11-20T12:30:00.000Z"
    assert to_iso(MOMENT + 0.25) == "2026-11-20T12:30:00.250Z"
    assert parse_timestamp(to_iso(MOMENT)) == MOMENT


def test_days_between() -> None:
    assert days_between(MOMENT - 3 * SECONDS_PER_DAY, MOMENT) == 3
    assert days_between(MOMENT + SECONDS_PER_DAY, MOMENT) == -1
    assert days_between(None, MOMENT) is None
