"""Whatever the history and the rules: no scope is emptied, more is never less, and a second look changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.backup.keep import Candidate, KeepRules, Verdict, judge

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
TAGS = ("x", "y", "z")

#: Mostly close together, so that periods are shared; some years apart; some in the future; on borders of periods.
times = st.one_of(
    st.integers(-8 * 24, 2).map(lambda hours: NOW + timedelta(minutes=20 * hours)),
    st.integers(-1200, 40).map(lambda days: NOW + timedelta(days=days)),
    st.integers(-40, 40).map(lambda days: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=-1)),
).map(datetime.timestamp)
scopes = st.sampled_from([None, None, ("a",), ("b",), ("a", "b")])
counts = st.integers(0, 5)
ages = st.sampled_from([0.0, 600.0, 86_400.0, 30 * 86_400.0, math.inf])
tag_sets = st.lists(st.sampled_from(TAGS), unique=True, max_size=2).map(tuple)


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    """Backups in any order; half of the histories have clocks that went forward only."""
    size = draw(st.integers(1, 25))
    moments = draw(st.lists(times, min_size=size, max_size=size))
    if draw(st.booleans()):
        moments.sort()
    made = [
        Candidate(
            f"b{number:03}", moment, number, draw(scopes), draw(st.integers(0, 4)) > 0, draw(st.just(()) | tag_sets)
        )
        for number, moment in enumerate(moments)
    ]
    return list(draw(st.permutations(made)))


def rule_sets(limits: st.SearchStrategy[int]) -> st.SearchStrategy[KeepRules]:
    numbers: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(COUNTS, counts)
    return st.builds(KeepRules, **numbers, within=ages, tags=tag_sets, max_backups=limits)


unlimited = rule_sets(st.just(0))
limited = rule_sets(st.integers(0, 8))


def verdicts(history: Sequence[Candidate], rules: KeepRules) -> list[Verdict]:
    return judge(history, rules, NOW.timestamp())


def kept(history: Sequence[Candidate], rules: KeepRules) -> set[str]:
    return {one.id for one in verdicts(history, rules) if one.keep}


def newest(members: Sequence[Candidate]) -> Candidate:
    return max([one for one in members if one.complete] or members, key=lambda one: one.sequence)


def by_scope(history: Sequence[Candidate]) -> list[list[Candidate]]:
    return [[one for one in history if one.scope == scope] for scope in {one.scope for one in history}]


@given(histories(), limited)
def test_the_newest_of_every_scope_always_stays(history: list[Candidate], rules: KeepRules) -> None:
    assert kept(history, rules) >= {newest(members).id for members in by_scope(history)}


@given(histories(), unlimited, unlimited)
def test_larger_numbers_keep_everything_that_smaller_ones_keep(
    history: list[Candidate], one: KeepRules, other: KeepRules
) -> None:
    larger = {name: max(getattr(one, name), getattr(other, name)) for name in (*COUNTS, "within")}
    both = KeepRules(**larger, tags=(*one.tags, *other.tags))
    assert kept(history, both) >= kept(history, one) | kept(history, other)


@given(histories(), unlimited, st.integers(1, 12))
def test_a_larger_limit_keeps_everything_that_a_smaller_one_keeps(
    history: list[Candidate], rules: KeepRules, limit: int
) -> None:
    tight, wide = (msgspec.structs.replace(rules, max_backups=most) for most in (limit, limit + 1))
    assert kept(history, tight) <= kept(history, wide) <= kept(history, rules)


@given(histories(), limited, st.randoms())
def test_the_order_of_the_input_does_not_matter(history: list[Candidate], rules: KeepRules, random: Any) -> None:
    shuffled = random.sample(history, len(history))
    assert [one.id for one in verdicts(shuffled, rules)] == [one.id for one in shuffled]
    assert {one.id: one for one in verdicts(shuffled, rules)} == {one.id: one for one in verdicts(history, rules)}


@given(histories(), limited)
def test_what_stayed_stays_for_the_same_reasons_when_judged_again(history: list[Candidate], rules: KeepRules) -> None:
    first = [one for one in verdicts(history, rules) if one.keep]
    survivors = [one for one in history if one.id in {verdict.id for verdict in first}]
    again = verdicts(survivors, rules)
    assert all(one.keep for one in again)
    if not rules.max_backups:
        # where a limit took some away, others rise into their places, and may be kept by more rules
        assert again == first
    else:
        assert all(set(one.reasons) <= set(two.reasons) for one, two in zip(first, again, strict=True))


@given(histories(), limited)
def test_one_scope_s_rules_are_blind_to_other_scopes(history: list[Candidate], rules: KeepRules) -> None:
    alone = msgspec.structs.replace(rules, max_backups=0)
    parts = [verdict for members in by_scope(history) for verdict in verdicts(members, alone)]
    assert {one.id: one for one in verdicts(history, alone)} == {one.id: one for one in parts}


@given(histories(), limited)
def test_every_verdict_has_a_reason_and_only_tagged_ones_outlive_newer_ones_at_the_limit(
    history: list[Candidate], rules: KeepRules
) -> None:
    sequences, tagged = ({one.id: value(one) for one in history} for value in (_sequence, _is_tagged))
    found = verdicts(history, rules)
    assert all(one.reasons for one in found)
    cut = [one.id for one in found if not one.keep and one.reasons[0].startswith("beyond")]
    safe = {newest(members).id for members in by_scope(history)}
    rivals = [one.id for one in found if one.keep and one.id not in safe]
    assert all(
        (tagged[gone], sequences[gone]) < (tagged[stayed], sequences[stayed]) for gone in cut for stayed in rivals
    )


def _sequence(one: Candidate) -> int:
    return one.sequence


def _is_tagged(one: Candidate) -> bool:
    return one.tags != ()


@given(histories(), limited)
def test_no_more_backups_stay_than_the_rules_allow(history: list[Candidate], rules: KeepRules) -> None:
    counting = msgspec.structs.replace(rules, within=0.0, tags=(), max_backups=0)
    for members in by_scope(history):
        complete = {one.id for one in members if one.complete}
        assert len(kept(members, counting) & complete) <= max(1, sum(getattr(rules, name) for name in COUNTS))
    if rules.max_backups:
        assert len(kept(history, rules)) <= max(rules.max_backups, len(by_scope(history)))


def _utc(one: Candidate) -> datetime:
    return datetime.fromtimestamp(one.time, UTC)


#: What makes two backups of one period, said in another way than the code does.
PERIODS: dict[str, Callable[[datetime], Hashable]] = {
    "hourly": lambda moment: math.floor(moment.timestamp() / 3600),
    "daily": lambda moment: moment.date().toordinal(),
    "weekly": lambda moment: (moment.date().toordinal() - 1) // 7,
    "monthly": lambda moment: moment.year * 12 + moment.month,
    "yearly": lambda moment: moment.year,
}


def _is_counted(one: Candidate, rivals: Sequence[Candidate], rules: KeepRules) -> bool:
    """Whether a complete backup is kept by a rule that counts, asked of it and its newer rivals alone."""
    newer = [other for other in rivals if other.sequence > one.sequence]
    if len(newer) < rules.last:
        return True
    for name, period in PERIODS.items():
        newer_periods = {period(_utc(other)) for other in newer}
        if period(_utc(one)) not in newer_periods and len(newer_periods) < getattr(rules, name):
            return True
    return False


def _stays(one: Candidate, members: Sequence[Candidate], rules: KeepRules) -> bool:
    if set(one.tags) & set(rules.tags) or (rules.within and NOW.timestamp() - one.time <= rules.within):
        return True
    complete = [other for other in members if other.complete]
    best = newest(members)
    if not one.complete:
        newer = [other for other in members if not other.complete and other.sequence > one.sequence]
        waits = bool(complete) and one.sequence > best.sequence and len(newer) < max(rules.last, 1)
        return one is best or waits
    return one is best or _is_counted(one, complete, rules)


@given(histories(), unlimited)
def test_the_rules_keep_exactly_what_an_exhaustive_check_of_each_backup_keeps(
    history: list[Candidate], rules: KeepRules
) -> None:
    expected = {one.id for members in by_scope(history) for one in members if _stays(one, members, rules)}
    assert kept(history, rules) == expected


@pytest.mark.parametrize("name", PERIODS)
@given(data=st.data(), number=st.integers(1, 4))
def test_where_clocks_only_went_forward_the_newest_periods_of_the_calendar_are_kept(
    name: str, data: st.DataObject, number: int
) -> None:
    moments = sorted(data.draw(st.lists(times, min_size=1, max_size=25)))
    history = [Candidate(f"b{index:03}", moment, index, None, True, ()) for index, moment in enumerate(moments)]
    last_of: dict[Any, str] = {PERIODS[name](_utc(one)): one.id for one in history}
    assert kept(history, KeepRules(**{name: number})) == {last_of[period] for period in sorted(last_of)[-number:]}
