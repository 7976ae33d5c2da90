"""Alerts: one for each condition that a check finds, from when it is first seen until it has passed.

A condition is known by the check and what it is about, so that a check which finds the same thing every day has one
alert and not one a day. Nothing here reads, writes or knows the time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from aml.errors import NotFoundError, UsageError
from aml.model.timestamps import parse_timestamp, to_iso
from aml.monitor.findings import Finding, Level, LevelWord, level_of

#: Version of the file that keeps alerts.
FORMAT = 1
#: So many resolved alerts are kept, whatever their age.
MOST_RESOLVED = 1_000
#: Characters of a text in an alert: what quotes a store may be of any length.
_LONGEST_TEXT = 4_000

#: More digits than this does no alert of ours have in its number.
_MOST_DIGITS = 15

Change = Literal["opened", "escalated", "resolved"]


class Acknowledged(Struct, frozen=True):
    """That somebody has seen an alert: when (ISO 8601, UTC), and what they noted."""

    when: str
    note: str = ""


class Resolved(Struct, frozen=True):
    """That an alert is over: when (ISO 8601, UTC), and how: by ``itself``, since its check found nothing, or by
    ``hand``."""

    when: str
    how: Literal["itself", "hand"]


class Alert(Struct, frozen=True):
    """One condition that lasts, or lasted.

    ``check`` and ``subject`` are those of the finding, and so are ``message``, ``advice``, ``value``, ``threshold`` and
    ``unit`` as last found. ``level`` is how much it matters now and ``highest`` how much it ever did. ``opened`` is
    when it was first found, ``updated`` when last (ISO 8601, UTC), ``count`` in how many runs.
    """

    id: str
    check: str
    subject: str
    level: LevelWord
    highest: LevelWord
    message: str
    advice: str
    value: float | None
    threshold: float | None
    unit: str
    opened: str
    updated: str
    count: int = 1
    acknowledged: Acknowledged | None = None
    resolved: Resolved | None = None

    @property
    def is_open(self) -> bool:
        return self.resolved is None

    @property
    def key(self) -> tuple[str, str]:
        """What the condition is known by."""
        return self.check, self.subject


class Delivery(Struct, frozen=True):
    """A message that waits for its receiver. ``body`` is its text, the same each time; ``made`` is ISO 8601, UTC.

    ``attempts`` were made in vain, and ``refusals`` runs were told by the receiver that it will not have it.
    """

    id: str
    event: Change
    alert: str
    made: str
    body: str
    attempts: int = 0
    refusals: int = 0


class Alerts(Struct, frozen=True):
    """All that is kept: ``number`` is that of the last alert opened, ``queue`` what waits, the oldest first."""

    format: int = FORMAT
    number: Annotated[int, Meta(ge=0, lt=10**_MOST_DIGITS)] = 0
    alerts: tuple[Alert, ...] = ()
    queue: tuple[Delivery, ...] = ()

    def opened(self) -> tuple[Alert, ...]:
        """Those that last, what matters most first, and of that what has lasted longest."""
        lasting = (one for one in self.alerts if one.is_open)
        return tuple(sorted(lasting, key=lambda one: (-level_of(one.level), one.opened, one.id)))

    def resolved(self) -> tuple[Alert, ...]:
        """Those that are over, the last one first."""
        over = ((one.resolved.when, one.id, one) for one in self.alerts if one.resolved is not None)
        return tuple(one for _, _, one in sorted(over, key=lambda item: item[:2], reverse=True))

    def find(self, prefix: str) -> Alert:
        """The alert with that id or unique beginning of it. Raises NotFoundError, naming the nearest ones."""
        fitting = [one for one in self.alerts if prefix and one.id.startswith(prefix)]
        exact = [one for one in fitting if one.id == prefix]
        if len(fitting) == 1 or exact:
            return (exact or fitting)[0]
        if fitting:
            ids = ", ".join(one.id for one in fitting[-5:])
            raise NotFoundError(f"{prefix} fits {len(fitting)} alerts", advice=f"say more of it: {ids}")
        raise NotFoundError(f"there is no alert {prefix!r}", advice=_nearest(prefix, [one.id for one in self.alerts]))

    def replace(self, alert: Alert) -> Alerts:
        """The same with ``alert`` in the place of the one of its id."""
        return structs.replace(self, alerts=tuple(alert if one.id == alert.id else one for one in self.alerts))


class Event(Struct, frozen=True):
    """What befell an alert, and the alert as it is since."""

    change: Change
    alert: Alert


def take_up(
    known: Alerts, findings: Sequence[Finding], ran: Collection[str], now: float, lowest: Level = Level.WARNING
) -> tuple[Alerts, list[Event]]:
    """What is known after checks have run: ``findings`` is what they found, ``ran`` names those that came to an end.

    A finding under ``lowest`` counts as none. Only a check that ran resolves what it no longer finds: one that was left
    out or broke off has seen nothing. ``now`` is in seconds since 1970 UTC. An acknowledgement goes where an alert
    rises, since who gave it knew less.
    """
    found = _worst_of_each(findings, lowest)
    when = to_iso(now)
    after: list[Alert] = []
    events: list[Event] = []
    for alert in known.alerts:
        finding = found.pop(alert.key, None) if alert.is_open else None
        changed = alert
        if finding is not None:
            changed = _seen_again(alert, finding, when)
            if level_of(changed.level) > level_of(alert.level):
                events.append(Event("escalated", changed))
        elif alert.is_open and alert.check in ran:
            changed = structs.replace(alert, resolved=Resolved(when, "itself"))
            events.append(Event("resolved", changed))
        after.append(changed)
    number = max([known.number, *(_number(one.id) for one in known.alerts)])
    for finding in sorted(found.values(), key=lambda one: -one.level):
        number += 1
        after.append(_opened(finding, f"{_stamp(now)}-{number:04d}-{os.urandom(2).hex()}", when))
        events.append(Event("opened", after[-1]))
    return structs.replace(known, number=number, alerts=tuple(after)), events


def acknowledge(alert: Alert, note: str, now: float) -> Alert:
    """The alert as seen by somebody; a later note replaces an earlier one. Raises UsageError where it is over."""
    if alert.resolved is not None:
        raise UsageError(
            f"alert {alert.id} is over since {alert.resolved.when}",
            advice="aml monitor alerts list shows those that last",
        )
    return structs.replace(alert, acknowledged=Acknowledged(to_iso(now), _bounded(note)))


def resolve(alert: Alert, now: float) -> Alert:
    """The alert as mended by somebody; one that is over stays as it is. A condition that is found again after all opens
    a new alert, which tells whoever thought it mended."""
    return alert if alert.resolved is not None else structs.replace(alert, resolved=Resolved(to_iso(now), "hand"))


def forget(known: Alerts, now: float, keep_seconds: float) -> Alerts:
    """Without alerts that were over more than ``keep_seconds`` ago, and without the oldest beyond MOST_RESOLVED."""
    recent = [one for one in known.resolved() if not is_older(_end(one), now, keep_seconds)]
    kept = {one.id for one in recent[:MOST_RESOLVED]}
    left = tuple(one for one in known.alerts if one.is_open or one.id in kept)
    return known if len(left) == len(known.alerts) else structs.replace(known, alerts=left)


def is_older(time: str, now: float, seconds: float) -> bool:
    """Whether an ISO 8601 time is longer ago than that; an unknown one never is."""
    moment = parse_timestamp(time)
    return moment is not None and now - moment > seconds


def _end(alert: Alert) -> str:
    return "" if alert.resolved is None else alert.resolved.when


def _worst_of_each(findings: Iterable[Finding], lowest: Level) -> dict[tuple[str, str], Finding]:
    """One finding for each condition: the first of those that matter most. Texts are such that a file can hold them."""
    worst: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        if finding.level < lowest:
            continue
        key = _text(finding.check), _text(finding.subject)
        if key not in worst or finding.level > worst[key].level:
            worst[key] = structs.replace(
                finding,
                check=key[0],
                subject=key[1],
                message=_bounded(finding.message),
                advice=_bounded(finding.advice),
            )
    return worst


def _opened(finding: Finding, ident: str, when: str) -> Alert:
    level = finding.level.word
    return Alert(
        id=ident,
        check=finding.check,
        subject=finding.subject,
        level=level,
        highest=level,
        message=finding.message,
        advice=finding.advice,
        value=finding.value,
        threshold=finding.threshold,
        unit=_text(finding.unit),
        opened=when,
        updated=when,
    )


def _seen_again(alert: Alert, finding: Finding, when: str) -> Alert:
    risen = finding.level > level_of(alert.level)
    return structs.replace(
        _opened(finding, alert.id, alert.opened),
        highest=max(finding.level, level_of(alert.highest)).word,
        updated=when,
        count=alert.count + 1,
        acknowledged=None if risen else alert.acknowledged,
    )


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _bounded(text: str) -> str:
    return _text(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ...")


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%S")


def _number(ident: str) -> int:
    parts = ident.split("-")
    is_number = len(parts) > 1 and parts[1].isdecimal() and len(parts[1]) <= _MOST_DIGITS
    return int(parts[1]) if is_number else 0


def _nearest(prefix: str, ids: list[str]) -> str:
    if not ids:
        return "there are no alerts"
    return f"nearest: {', '.join(get_close_matches(prefix, ids, n=3, cutoff=0.5) or ids[-3:])}"
