"""The keep rules on histories worked out by hand: who stays, who goes, and the reason each is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aml.backup.keep import DEFAULT_RULES, Candidate, KeepRules, judge
from aml.backup.options import PRE_RESTORE
from aml.errors import UsageError

DAY = 86_400.0
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
NEWEST = "newest of its scope"
UNKEPT = ("no rule keeps it",)


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def backup(sequence: int, time: float | str = NOW, **fields: Any) -> Candidate:
    values: dict[str, Any] = {"scope": None, "complete": True, "tags": ()} | fields
    moment = at(time) if isinstance(time, str) else time
    return Candidate(values.pop("id", f"b{sequence:03}"), moment, sequence, **values)


def history(days: int, each: int = 1) -> list[Candidate]:
    """Backups of so many days up to now, ``each`` a day, oldest first."""
    return [backup(number + 1, NOW - (days * each - 1 - number) * DAY / each) for number in range(days * each)]


def kept(candidates: Sequence[Candidate], rules: KeepRules, **options: Any) -> list[int]:
    verdicts = judge(candidates, rules, NOW, **options)
    return [one.sequence for one, verdict in zip(candidates, verdicts, strict=True) if verdict.keep]


def reasons(candidates: Sequence[Candidate], rules: KeepRules, **options: Any) -> dict[int, tuple[str, ...]]:
    verdicts = judge(candidates, rules, NOW, **options)
    return {one.sequence: verdict.reasons for one, verdict in zip(candidates, verdicts, strict=True)}


def test_no_backup_no_verdict() -> None:
    assert judge([], DEFAULT_RULES, NOW) == []


def test_the_default_keeps_the_last_30_days_and_at_least_the_3_newest() -> None:
    assert kept(history(40), DEFAULT_RULES) == list(range(10, 41))
    old = [backup(number, NOW - 100 * DAY + number) for number in range(1, 6)]
    assert reasons(old, DEFAULT_RULES) == {
        1: UNKEPT,
        2: UNKEPT,
        3: ("last 3",),
        4: ("last 3",),
        5: ("last 3", NEWEST),
    }


def test_verdicts_come_in_the_order_given() -> None:
    one, two, three = backup(1), backup(2), backup(3)
    assert [verdict.id for verdict in judge([two, three, one], KeepRules(last=1), NOW)] == [two.id, three.id, one.id]
    assert kept([two, three, one], KeepRules(last=2)) == [2, 3]


def test_the_newest_of_each_period_is_kept_for_the_newest_periods() -> None:
    backups = [
        backup(1, "2024-12-31T10:00"),
        backup(2, "2025-06-01T10:00"),
        backup(3, "2026-10-31T23:59"),
        backup(4, "2026-11-15T10:00"),
        backup(5, "2026-11-16T10:00"),
        backup(6, "2026-11-20T10:10"),
        backup(7, "2026-11-20T10:50"),
        backup(8, "2026-11-20T11:00"),
    ]
    assert reasons(backups, KeepRules(hourly=2, daily=3, weekly=2, monthly=2, yearly=9)) == {
        1: ("yearly 2024",),
        2: ("yearly 2025",),
        3: ("monthly 2026-10",),
        4: ("daily 2026-11-15", "weekly 2026-W46"),
        5: ("daily 2026-11-16",),
        6: UNKEPT,
        7: ("hourly 2026-11-20 10:00 UTC",),
        8: (
            "hourly 2026-11-20 11:00 UTC",
            "daily 2026-11-20",
            "weekly 2026-W47",
            "monthly 2026-11",
            "yearly 2026",
            NEWEST,
        ),
    }


def test_weeks_are_those_of_iso_8601_also_around_the_new_year() -> None:
    backups = [backup(1, "2026-12-27T12:00"), backup(2, "2026-12-31T12:00"), backup(3, "2027-01-03T12:00")]
    assert reasons(backups, KeepRules(weekly=5)) == {
        1: ("weekly 2026-W52",),
        2: UNKEPT,
        3: ("weekly 2026-W53", NEWEST),
    }


def test_periods_follow_the_calendar_of_the_zone() -> None:
    backups = [backup(1, "2026-11-19T16:00"), backup(2, "2026-11-20T14:00")]
    assert kept(backups, KeepRules(daily=2)) == [1, 2]
    assert kept(backups, KeepRules(daily=2), zone=ZoneInfo("Asia/Tokyo")) == [2]
    twice = [backup(1, "2026-10-25T00:30"), backup(2, "2026-10-25T01:30")]
    assert reasons(twice, KeepRules(hourly=2), zone=ZoneInfo("Europe/Berlin")) == {
        1: ("hourly 2026-10-25 02:00 CEST",),
        2: ("hourly 2026-10-25 02:00 CET", NEWEST),
    }


def test_periods_without_a_backup_do_not_count() -> None:
    backups = [backup(1, "2020-01-01T00:00"), backup(2, "2023-01-01T00:00"), backup(3, "2026-01-01T00:00")]
    assert kept(backups, KeepRules(daily=2)) == [2, 3]


def test_within_reaches_just_so_far_and_keeps_what_is_dated_in_the_future() -> None:
    backups = [backup(1, NOW - 2 * DAY - 1), backup(2, NOW - 2 * DAY), backup(3, NOW + 9 * DAY), backup(4, NOW - DAY)]
    assert reasons(backups, KeepRules(within=2 * DAY)) == {
        1: UNKEPT,
        2: ("within 2 d",),
        3: ("dated in the future",),
        4: ("within 2 d", NEWEST),
    }
    assert reasons([backup(1, NOW), backup(2, NOW - DAY)], KeepRules(within=DAY))[1] == ("within 1 d",)
    assert kept(backups, KeepRules(within=0.0)) == [4]
    assert kept(backups, KeepRules(within=math.inf)) == [1, 2, 3, 4]


def test_a_wrong_clock_does_not_decide_what_is_newest() -> None:
    backups = [backup(1, NOW + 9999 * DAY), backup(2, NOW - 9000 * DAY), backup(3, NOW - 8000 * DAY)]
    assert kept(backups, KeepRules(last=2)) == [2, 3]
    assert kept(backups, KeepRules(yearly=2)) == [2, 3]


@pytest.mark.parametrize("time", [-62_135_596_800.0, 253_402_300_799.999999, -1e18, 1e18])
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Etc/GMT+12")])
def test_times_at_the_ends_of_the_calendar_are_judged_too(time: float, zone: ZoneInfo) -> None:
    assert kept([backup(1, time), backup(2)], KeepRules(hourly=2, weekly=2), zone=zone) == [1, 2]


def test_a_tag_keeps_complete_and_incomplete_backups() -> None:
    backups = [
        backup(1, tags=("release", "x")),
        backup(2, tags=("release",), complete=False),
        backup(3, tags=("releases",)),
        backup(4),
    ]
    assert reasons(backups, KeepRules(tags=("x", "release"))) == {
        1: ("tag x", "tag release"),
        2: ("tag release",),
        3: UNKEPT,
        4: (NEWEST,),
    }


def test_an_incomplete_backup_stays_until_a_complete_one_follows() -> None:
    backups = [
        backup(1, NOW - 9 * DAY, complete=False),
        backup(2, NOW - 8 * DAY),
        backup(3, NOW - 7 * DAY, complete=False),
        backup(4, NOW - 6 * DAY, complete=False),
    ]
    rules = KeepRules(last=9, daily=9)
    hold = ("incomplete, but newer than the newest complete backup",)
    assert reasons(backups, rules) == {
        1: ("incomplete, and a newer complete one exists",),
        2: ("last 9", "daily 2026-11-13", NEWEST),
        3: hold,
        4: hold,
    }
    assert kept([*backups, backup(5)], rules) == [2, 5]
    assert reasons(backups, KeepRules(within=9 * DAY))[1] == ("within 9 d",)


def test_where_no_backup_is_complete_the_newest_stays() -> None:
    backups = [backup(number, NOW - DAY, complete=False) for number in (1, 2)]
    assert reasons(backups, KeepRules(last=5)) == {
        1: ("incomplete, and a newer one exists",),
        2: (f"{NEWEST}, though incomplete",),
    }
    assert kept(backups, KeepRules(within=DAY)) == [1, 2]


def test_of_incomplete_backups_that_nothing_complete_follows_no_more_stay_than_of_others() -> None:
    backups = [backup(1), *(backup(number, NOW - DAY, complete=False) for number in (2, 3, 4, 5))]
    gone, hold = ("incomplete, and newer ones exist",), ("incomplete, but newer than the newest complete backup",)
    assert reasons(backups, KeepRules(last=2)) == {1: ("last 2", NEWEST), 2: gone, 3: gone, 4: hold, 5: hold}


def test_what_a_restore_replaced_counts_only_where_there_is_nothing_else() -> None:
    set_aside = [backup(number, tags=(PRE_RESTORE,)) for number in (2, 4)]
    assert reasons([backup(1), set_aside[0], backup(3), set_aside[1]], KeepRules(last=2)) == {
        1: ("last 2",),
        2: ("what a restore replaced, and a newer complete one exists",),
        3: ("last 2", NEWEST),
        4: ("what a restore replaced, but newer than the newest complete backup",),
    }
    assert kept([backup(1), *set_aside], KeepRules(last=1)) == [1, 4]
    assert reasons(set_aside, KeepRules(last=1)) == {2: UNKEPT, 4: ("last 1", NEWEST)}
    assert kept([*set_aside, backup(5, complete=False)], KeepRules(last=1)) == [4, 5]


def test_of_a_store_that_became_empty_the_last_state_that_was_not_is_kept() -> None:
    backups = [backup(1), backup(2), backup(3, files=0), backup(4, files=0)]
    assert reasons(backups, KeepRules(last=1)) == {
        1: UNKEPT,
        2: ("newest of its scope that holds any file",),
        3: UNKEPT,
        4: ("last 1", NEWEST),
    }
    assert kept([*backups, backup(5, scope=("a",))], KeepRules(last=9, max_backups=1)) == [2, 4, 5]
    assert kept([backup(1, files=0), backup(2, files=0)], KeepRules()) == [2]
    assert kept([backup(1), backup(2, complete=False), backup(3, files=0)], KeepRules()) == [1, 3]


def test_rules_that_keep_nothing_still_leave_the_newest_complete_backup_of_each_scope() -> None:
    backups = [
        backup(1),
        backup(2, scope=("a",)),
        backup(3, scope=("a", "b")),
        backup(4, scope=("a",)),
        backup(5),
        backup(6, scope=(), complete=False),
    ]
    assert kept(backups, KeepRules()) == [3, 4, 5, 6]


def test_each_scope_is_counted_by_itself() -> None:
    backups = [backup(number, scope=("a",) if number % 2 else None) for number in range(1, 9)]
    assert kept(backups, KeepRules(last=2)) == [5, 6, 7, 8]


def test_at_most_so_many_backups_drops_the_oldest_and_says_so() -> None:
    found = reasons(history(6), KeepRules(last=5, max_backups=3))
    assert found == {
        1: UNKEPT,
        2: ("beyond the limit of 3",),
        3: ("beyond the limit of 3",),
        4: ("last 5",),
        5: ("last 5",),
        6: ("last 5", NEWEST),
    }


def test_at_most_so_many_backups_drops_tagged_ones_last() -> None:
    backups = [backup(1, tags=("x",)), backup(2), backup(3, tags=("y",)), backup(4), backup(5)]
    assert kept(backups, KeepRules(last=9, max_backups=4)) == [1, 3, 4, 5]
    assert kept(backups, KeepRules(last=9, max_backups=3)) == [1, 3, 5]
    assert kept(backups, KeepRules(last=9, max_backups=2)) == [3, 5]
    assert kept(backups, KeepRules(last=9, max_backups=1)) == [5]


def test_at_most_so_many_backups_counts_all_scopes_but_never_takes_the_newest_of_one() -> None:
    backups = [
        backup(1, scope=("old",)),
        backup(2),
        backup(3, scope=("a",)),
        backup(4, scope=("a",)),
        backup(5),
        backup(6, complete=False),
    ]
    assert kept(backups, KeepRules(last=9, max_backups=4)) == [1, 4, 5, 6]
    assert kept(backups, KeepRules(last=9, max_backups=3)) == [1, 4, 5]
    assert kept(backups, KeepRules(last=9, max_backups=1)) == [1, 4, 5]


@pytest.mark.parametrize("rule", ["last", "hourly", "daily", "weekly", "monthly", "yearly", "within", "max_backups"])
def test_a_negative_number_is_refused_by_the_name_of_its_rule(rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        judge([], KeepRules(**{rule: -1}), NOW)


def test_an_age_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="within"):
        judge([], KeepRules(within=math.nan), NOW)
