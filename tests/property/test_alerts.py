"""Any sequence of checks, acknowledgements, resolutions and days: what always holds of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aml.monitor.alerts import Alert, Alerts, acknowledge, forget, resolve, take_up
from aml.monitor.findings import Finding, Level, level_of
from tests.support.records import NOW

CHECKS, SUBJECTS = ("backup", "caps", "index"), ("", "alpha", "beta/patterns")
DAY = 86_400.0
KEEP = 7 * DAY

findings = st.lists(
    st.builds(Finding, st.sampled_from(CHECKS), st.sampled_from(SUBJECTS), st.sampled_from(Level), st.text(max_size=5)),
    max_size=6,
)


class Life(RuleBasedStateMachine):
    """The alerts beside a model: which conditions are open at what level, and what was resolved when."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW.timestamp()
        self.alerts = Alerts()
        self.open: dict[tuple[str, str], Level] = {}
        self.over: dict[str, float] = {}
        self.seen: set[str] = set()
        self.before: dict[str, Alert] = {}

    @rule(found=findings, ran=st.sets(st.sampled_from(CHECKS)), lowest=st.sampled_from(Level))
    def check(self, found: Sequence[Finding], ran: set[str], lowest: Level) -> None:
        ids = {one.key: one.id for one in self.alerts.opened()}
        worst: dict[tuple[str, str], Level] = {}
        for one in found:
            if one.level >= lowest:
                worst[one.check, one.subject] = max(one.level, worst.get((one.check, one.subject), Level.INFO))
        self.alerts, events = take_up(self.alerts, found, ran, self.now, lowest)
        told = {(one.change, one.alert.key) for one in events}
        gone = {key for key in self.open if key not in worst and key[0] in ran}
        expected: set[Any] = {("resolved", key) for key in gone}
        expected |= {("opened", key) for key in worst if key not in self.open}
        expected |= {("escalated", key) for key in worst if key in self.open and worst[key] > self.open[key]}
        assert told == expected
        assert len(events) == len(told)
        self.over |= {ids[key]: self.now for key in gone}
        self.open = {key: level for key, level in self.open.items() if key not in gone} | worst

    @precondition(lambda self: self.open)
    @rule(data=st.data(), note=st.text(max_size=5))
    def acknowledge(self, data: st.DataObject, note: str) -> None:
        alert = data.draw(st.sampled_from(self.alerts.opened()))
        self.alerts = self.alerts.replace(acknowledge(alert, note, self.now))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        alert = data.draw(st.sampled_from(self.alerts.opened()))
        self.alerts = self.alerts.replace(resolve(alert, self.now))
        del self.open[alert.key]
        self.over[alert.id] = self.now

    @rule(days=st.floats(0, 5))
    def wait(self, days: float) -> None:
        # times in alerts are kept to the millisecond
        self.now = round(self.now + days * DAY, 3)
        self.alerts = forget(self.alerts, self.now, KEEP)
        self.over = {ident: when for ident, when in self.over.items() if self.now - when <= KEEP}

    @invariant()
    def there_is_one_open_alert_for_each_condition_and_no_other(self) -> None:
        opened = [(one.key, level_of(one.level)) for one in self.alerts.opened()]
        assert dict(opened) == self.open
        assert len(opened) == len(self.open)

    @invariant()
    def those_that_are_over_are_kept_for_their_time(self) -> None:
        assert {one.id for one in self.alerts.resolved()} == set(self.over)

    @invariant()
    def ids_are_given_once_and_the_highest_level_never_falls(self) -> None:
        ids = [one.id for one in self.alerts.alerts]
        assert len(set(ids)) == len(ids)
        new = set(ids) - set(self.before)
        assert not new & self.seen
        self.seen |= new
        for one in self.alerts.alerts:
            earlier = self.before.get(one.id)
            assert level_of(one.highest) >= level_of(one.level)
            if earlier is not None:
                assert level_of(one.highest) >= level_of(earlier.highest)
                assert one.count >= earlier.count
                assert earlier.resolved in (None, one.resolved)
                assert one.opened == earlier.opened
                if level_of(one.level) > level_of(earlier.level):
                    assert one.acknowledged is None
        self.before = {one.id: one for one in self.alerts.alerts}

    @invariant()
    def a_file_holds_it(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.alerts), type=Alerts) == self.alerts


TestLife = Life.TestCase
