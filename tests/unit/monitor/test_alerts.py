"""What becomes of alerts when checks run, people look at them, and time goes by."""

from __future__ import annotations

import math
from collections.abc import Collection

import msgspec
import pytest

from aml.errors import NotFoundError, UsageError
from aml.monitor.alerts import MOST_RESOLVED, Alerts, acknowledge, forget, resolve, take_up
from aml.monitor.deliveries import MOST_REFUSALS, MOST_WAITING, Sender, drop_stale, queue, settle
from aml.monitor.findings import Finding, Level
from tests.support.records import NOW

T = NOW.timestamp()
HOUR, DAY = 3600.0, 86_400.0
SENDER = Sender("project", "host", "0.1.0")


def finding(level: Level = Level.WARNING, check: str = "backup", subject: str = "", message: str = "old") -> Finding:
    return Finding(check, subject, level, message, "aml backup create", 30.0, 24.0, "hours")


def after(known: Alerts, *found: Finding, ran: Collection[str] = ("backup",), now: float = T) -> Alerts:
    return take_up(known, found, ran, now)[0]


def test_a_finding_opens_an_alert_and_later_ones_keep_it_up_to_date() -> None:
    known, events = take_up(Alerts(), [finding()], ["backup"], T)
    assert [one.change for one in events] == ["opened"]
    (alert,) = after(known, finding(message="older"), now=T + HOUR).alerts
    assert (alert.id, alert.opened) == (known.alerts[0].id, known.alerts[0].opened)
    assert (alert.count, alert.message) == (2, "older")
    assert alert.updated > alert.opened
    assert (alert.value, alert.threshold, alert.unit, alert.advice) == (30.0, 24.0, "hours", "aml backup create")


def test_a_check_that_runs_and_finds_nothing_resolves_its_alerts_and_no_other() -> None:
    known = after(Alerts(), finding(), finding(check="caps", subject="alpha"))
    known, events = take_up(known, [], ["backup"], T + HOUR)
    assert [(one.change, one.alert.check) for one in events] == [("resolved", "backup")]
    assert [one.check for one in known.opened()] == ["caps"]
    assert known.resolved()[0].resolved is not None
    assert known.resolved()[0].resolved.how == "itself"


def test_a_check_that_did_not_run_resolves_nothing() -> None:
    known = after(Alerts(), finding())
    assert take_up(known, [], [], T + HOUR) == (known, [])


def test_only_the_subjects_that_a_check_no_longer_finds_are_resolved() -> None:
    known = after(Alerts(), finding(subject="a"), finding(subject="b"))
    known = after(known, finding(subject="b"))
    assert [one.subject for one in known.opened()] == ["b"]
    assert [one.subject for one in known.resolved()] == ["a"]


def test_a_rise_is_told_and_takes_the_acknowledgement_away_while_a_fall_does_neither() -> None:
    known = after(Alerts(), finding(Level.ERROR))
    known = known.replace(acknowledge(known.alerts[0], "seen", T))
    known, events = take_up(known, [finding(Level.WARNING)], ["backup"], T + HOUR)
    assert events == []
    assert (known.alerts[0].level, known.alerts[0].highest) == ("warning", "error")
    assert known.alerts[0].acknowledged is not None
    known, events = take_up(known, [finding(Level.CRITICAL)], ["backup"], T + 2 * HOUR)
    assert [one.change for one in events] == ["escalated"]
    assert (known.alerts[0].level, known.alerts[0].highest) == ("critical", "critical")
    assert known.alerts[0].acknowledged is None


def test_of_several_findings_about_one_thing_the_worst_counts() -> None:
    known = after(Alerts(), finding(message="a"), finding(Level.CRITICAL, message="b"), finding(message="c"))
    assert [(one.level, one.message, one.count) for one in known.alerts] == [("critical", "b", 1)]


def test_findings_under_the_lowest_level_open_nothing_and_hold_nothing_open() -> None:
    assert take_up(Alerts(), [finding(Level.INFO)], ["backup"], T)[0].alerts == ()
    assert len(take_up(Alerts(), [finding(Level.INFO)], ["backup"], T, Level.INFO)[0].alerts) == 1
    known = after(Alerts(), finding())
    assert after(known, finding(Level.INFO)).opened() == ()


def test_what_was_resolved_by_hand_and_is_found_again_opens_anew() -> None:
    known = after(Alerts(), finding())
    known = known.replace(resolve(known.alerts[0], T))
    assert known.opened() == ()
    known, events = take_up(known, [finding()], ["backup"], T + HOUR)
    assert [one.change for one in events] == ["opened"]
    assert len({one.id for one in known.alerts}) == 2


def test_resolving_twice_changes_nothing_and_what_is_over_cannot_be_acknowledged() -> None:
    (alert,) = after(Alerts(), finding()).alerts
    over = resolve(alert, T)
    assert resolve(over, T + HOUR) == over
    with pytest.raises(UsageError, match="is over since"):
        acknowledge(over, "", T)


def test_the_worst_comes_first_and_then_the_oldest() -> None:
    known = after(Alerts(), finding(subject="a"), now=T)
    known = after(known, *(finding(subject=one) for one in "ab"), now=T + HOUR)
    known = after(known, *(finding(subject=one) for one in "ab"), finding(Level.ERROR, subject="c"), now=T + DAY)
    assert [one.subject for one in known.opened()] == ["c", "a", "b"]


def test_resolved_alerts_are_kept_for_a_while_and_lasting_ones_for_good() -> None:
    known = after(Alerts(), finding(subject="a"), finding(subject="b"))
    known = after(known, finding(subject="b"), now=T + DAY)
    assert forget(known, T + 8 * DAY, 7 * DAY) == known
    assert [one.subject for one in forget(known, T + 8 * DAY + 1, 7 * DAY).alerts] == ["b"]
    assert forget(known, T - 1000 * DAY, 7 * DAY) == known


def test_not_more_than_so_many_resolved_alerts_are_kept() -> None:
    found = [finding(subject=str(number)) for number in range(MOST_RESOLVED + 5)]
    known = after(after(Alerts(), *found), found[0], now=T + HOUR)
    left = forget(known, T + HOUR, 7 * DAY)
    assert (len(left.opened()), len(left.resolved())) == (1, MOST_RESOLVED)


def test_numbers_go_on_after_alerts_are_forgotten() -> None:
    known = after(after(Alerts(), finding()), now=T + HOUR)
    known = forget(known, T + 9 * DAY, 0.0)
    assert known.alerts == ()
    assert after(known, finding()).alerts[0].id.split("-")[1] == "0002"


def test_an_alert_is_found_by_the_beginning_of_its_id() -> None:
    known = after(Alerts(), finding(subject="a"), finding(subject="b"))
    first, second = known.alerts
    assert known.find(first.id) == first
    assert known.find(second.id[:-2]) == second
    with pytest.raises(NotFoundError, match="fits 2 alerts"):
        known.find(first.id[:8])
    with pytest.raises(NotFoundError, match="nearest: "):
        known.find("20261120T120000-0003")
    with pytest.raises(NotFoundError, match="there are no alerts"):
        Alerts().find("x")
    with pytest.raises(NotFoundError):
        known.find("")


def test_texts_that_no_file_could_hold_are_escaped_and_long_ones_cut() -> None:
    known = after(Alerts(), finding(subject="caf\udce9", message="\ud83d" + "x" * 100_000))
    (alert,) = after(known, finding(subject="caf\udce9")).alerts
    assert (alert.subject, alert.count) == ("caf\\udce9", 2)
    assert len(msgspec.json.encode(known)) < 10_000
    seen = acknowledge(alert, "\ud83d", T)
    assert msgspec.json.encode(seen)


def test_a_figure_that_json_cannot_hold_is_none() -> None:
    odd = Finding("caps", "", Level.ERROR, "odd", value=math.inf, threshold=math.nan)
    known = after(Alerts(), odd)
    assert msgspec.json.decode(msgspec.json.encode(known), type=Alerts).alerts[0].value is None


def test_messages_wait_in_the_order_of_events_and_leave_when_they_are_accepted() -> None:
    known, events = take_up(Alerts(), [finding(subject=one) for one in "abc"], ["backup"], T)
    known = queue(known, events, SENDER, T)
    assert [one.alert for one in known.queue] == [one.alert.id for one in events]
    first = known.queue[0]
    assert settle(known, first.id, 1, "accepted").queue == known.queue[1:]
    failed = settle(known, first.id, 3, "failed").queue[0]
    assert (failed.body, failed.attempts, failed.refusals) == (first.body, 3, 0)
    assert settle(known, "gone", 1, "failed") == known


def test_a_message_that_is_refused_again_and_again_is_given_up() -> None:
    known, events = take_up(Alerts(), [finding()], ["backup"], T)
    known = queue(known, events, SENDER, T)
    ident = known.queue[0].id
    for _ in range(MOST_REFUSALS - 1):
        known = settle(known, ident, 1, "refused")
    assert known.queue[0].refusals == MOST_REFUSALS - 1
    assert settle(known, ident, 1, "failed").queue
    assert settle(known, ident, 1, "refused").queue == ()


def test_the_queue_is_bounded_in_number_and_in_age() -> None:
    known, events = take_up(Alerts(), [finding(subject=str(one)) for one in range(MOST_WAITING + 7)], ["backup"], T)
    known = queue(known, events, SENDER, T)
    left, dropped = drop_stale(known, T, DAY)
    assert (left.queue, dropped) == (known.queue[:-7], 7), "of those made at once the first matter most"
    later = queue(left, events[:3], SENDER, T + HOUR)
    assert drop_stale(later, T + HOUR, DAY)[0].queue == (*left.queue[:-3], *later.queue[-3:])
    assert drop_stale(left, T + DAY, DAY) == (left, 0)
    assert drop_stale(left, T + DAY + 1, DAY)[1] == MOST_WAITING
