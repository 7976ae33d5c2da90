"""Messages about alerts: what stands in them, and which of them wait for their receiver. Nothing here is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct, structs

from aml.model.timestamps import to_iso
from aml.monitor.alerts import Alert, Alerts, Change, Delivery, Event, is_older

#: Version of the messages: raised when a field changes its meaning or goes.
VERSION = 1
#: So many wait at most.
MOST_WAITING = 500
#: So many runs are told by the receiver that it will not have a message, before it is given up.
MOST_REFUSALS = 5


class Sender(Struct, frozen=True):
    """Who tells: the name of the store, the host, and the version of AML."""

    store: str
    host: str
    aml: str


class Message(Struct, frozen=True):
    """What is told: what befell an alert, when (ISO 8601, UTC), where and by which AML; ``delivery`` is the message's
    own id, and the same at every attempt."""

    version: int
    event: Change | Literal["test"]
    delivery: str
    time: str
    store: str
    host: str
    aml: str
    alert: Alert


def new_id() -> str:
    return os.urandom(16).hex()


def message(event: Change | Literal["test"], alert: Alert, sender: Sender, now: float, delivery: str) -> bytes:
    """The text of a message: one JSON object, UTF-8."""
    told = Message(VERSION, event, delivery, to_iso(now), sender.store, sender.host, sender.aml, alert)
    return msgspec.json.encode(told)


def queue(alerts: Alerts, events: Sequence[Event], sender: Sender, now: float) -> Alerts:
    """The alerts with a message about each event at the end of the queue."""
    new = []
    for event in events:
        ident = new_id()
        body = message(event.change, event.alert, sender, now, ident).decode()
        new.append(Delivery(ident, event.change, event.alert.id, to_iso(now), body))
    return structs.replace(alerts, queue=(*alerts.queue, *new)) if new else alerts


def drop_stale(alerts: Alerts, now: float, keep_seconds: float) -> tuple[Alerts, int]:
    """Without messages that have waited for too long, and without the oldest beyond MOST_WAITING; and how many went.

    Of those made at once, what matters most stands first, and goes last.
    """
    recent = [one for one in alerts.queue if not is_older(one.made, now, keep_seconds)]
    by_age = sorted(range(len(recent)), key=lambda place: (recent[place].made, -place))
    excess = set(by_age[: max(0, len(recent) - MOST_WAITING)])
    left = tuple(one for place, one in enumerate(recent) if place not in excess)
    dropped = len(alerts.queue) - len(left)
    return (structs.replace(alerts, queue=left) if dropped else alerts), dropped


def settle(alerts: Alerts, delivery: str, attempts: int, outcome: Literal["accepted", "refused", "failed"]) -> Alerts:
    """The alerts after so many attempts at a delivery, which waits on unless it was accepted or given up."""
    left = []
    for one in alerts.queue:
        if one.id != delivery:
            left.append(one)
        elif outcome != "accepted" and one.refusals + (outcome == "refused") < MOST_REFUSALS:
            tried = one.attempts + attempts
            left.append(structs.replace(one, attempts=tried, refusals=one.refusals + (outcome == "refused")))
    return structs.replace(alerts, queue=tuple(left))
