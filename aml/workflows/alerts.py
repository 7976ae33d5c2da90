"""Alerts: what checks found is taken up, kept, told to a webhook, looked at, acknowledged and resolved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from aml import __version__
from aml.config import Settings
from aml.errors import AmlError, ExitStatus, SettingsError
from aml.model.timestamps import SECONDS_PER_DAY, to_iso
from aml.model.undecodable import encodable
from aml.monitor.address import Address, parse_address
from aml.monitor.alert_file import Warn, change_alerts, read_alerts
from aml.monitor.alerts import Alert, Alerts, Change, Event, acknowledge, forget, resolve
from aml.monitor.alerts import take_up as taken_up
from aml.monitor.deliveries import MOST_WAITING, Sender, drop_stale, message, new_id, queue
from aml.monitor.findings import Finding, level_of
from aml.monitor.sending import Patience, Sent, send_waiting
from aml.monitor.signing import Key, read_key
from aml.store.open import DEFAULT_STORE, Store

if TYPE_CHECKING:
    from aml.monitor.webhook import Receiver

_DEFAULTS = Settings()


class AlertChanges(Struct, frozen=True):
    """What came of taking findings up: alerts that were ``opened``, that rose (``escalated``) and that were
    ``resolved``; how many are ``open`` now, how many messages were ``sent`` and how many still wait (``waiting``).

    ``problems`` are what went wrong about telling them, in words; no alert is lost by it.
    """

    opened: tuple[Alert, ...] = ()
    escalated: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    open: int = 0
    sent: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()


class AlertList(Struct, frozen=True):
    """Alerts, and how many messages about alerts wait for their receiver (``waiting``)."""

    alerts: tuple[Alert, ...]
    waiting: int


class ResolveReport(Struct, frozen=True):
    """An alert that was resolved by hand; ``changed`` tells whether it was open before. The others are those of
    AlertChanges."""

    alert: Alert
    changed: bool
    sent: int
    waiting: int
    problems: tuple[str, ...]


class WebhookTrial(Struct, frozen=True):
    """A trial message to the webhook: its address as it may be shown, the id of the message, the HTTP status that the
    receiver answered (None where it did not), after how many seconds, and what went wrong (``problem``, or empty)."""

    address: str
    delivery: str
    answered: int | None
    seconds: float
    problem: str
    notes: tuple[str, ...]
    status: ExitStatus


def take_up(
    store: Store,
    findings: Sequence[Finding],
    ran: Collection[str],
    *,
    now: float | None = None,
    settings: Settings = _DEFAULTS,
    secret: str | None = None,
    warn: Warn = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> AlertChanges:
    """Open, update and resolve alerts by what checks found, and tell the webhook, if there is one.

    ``ran`` names the checks that came to an end: only those resolve what they no longer find. ``secret`` signs the
    messages; None means that of the settings' file. Where nothing changes, nothing is written. What the webhook does is
    in the answer, and never an error. Raises FileAccessError, LockedError, SchemaError, where the alerts themselves
    cannot be kept.
    """
    moment = time.time() if now is None else now
    lowest = level_of(settings.alerts.min_level)

    def change(known: Alerts) -> tuple[Alerts, list[Event]]:
        return taken_up(known, findings, ran, moment, lowest)

    return _change_and_tell(store, change, moment, settings, secret, warn, sleep)


def list_alerts(store: Store, *, resolved: bool = False) -> AlertList:
    """The alerts that last, what matters most first, and behind them those that are over, where ``resolved`` says so.

    Raises FileAccessError, DamagedError, SchemaError.
    """
    known = read_alerts(store)
    return AlertList((*known.opened(), *(known.resolved() if resolved else ())), len(known.queue))


def alert_history(store: Store) -> AlertList:
    """The alerts that are over and still kept, the last one first; raises what ``list_alerts`` raises."""
    known = read_alerts(store)
    return AlertList(known.resolved(), len(known.queue))


def show_alert(store: Store, ident: str) -> Alert:
    """The alert with that id, or a unique beginning of it. Raises NotFoundError, and what ``list_alerts`` raises."""
    return read_alerts(store).find(ident)


def acknowledge_alert(
    store: Store, ident: str, note: str = "", *, now: float | None = None, warn: Warn = lambda _: None
) -> Alert:
    """Write down that somebody has seen an alert, with a note. It stays open until its condition has passed.

    Raises NotFoundError, UsageError where it is over, FileAccessError, LockedError, SchemaError.
    """
    moment = time.time() if now is None else now

    def change(known: Alerts) -> tuple[Alerts, Alert]:
        seen = acknowledge(known.find(ident), note, moment)
        return known.replace(seen), seen

    return change_alerts(store, change, now=moment, warn=warn)[1]


def resolve_alert(
    store: Store,
    ident: str,
    *,
    now: float | None = None,
    settings: Settings = _DEFAULTS,
    secret: str | None = None,
    warn: Warn = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> ResolveReport:
    """Resolve an alert by hand, and tell the webhook; one that is over already stays as it is.

    Raises NotFoundError, FileAccessError, LockedError, SchemaError.
    """
    moment = time.time() if now is None else now
    over: list[Alert] = []

    def change(known: Alerts) -> tuple[Alerts, list[Event]]:
        before = known.find(ident)
        after = resolve(before, moment)
        over[:] = [after]
        return known.replace(after), [Event("resolved", after)] if before.is_open else []

    changes = _change_and_tell(store, change, moment, settings, secret, warn, sleep)
    return ResolveReport(over[0], bool(changes.resolved), changes.sent, changes.waiting, changes.problems)


def try_webhook(
    store: Store, *, now: float | None = None, settings: Settings = _DEFAULTS, secret: str | None = None
) -> WebhookTrial:
    """Send one trial message, once, and tell what the receiver answers. Nothing is written.

    Raises SettingsError where no webhook is set or no secret given, FileAccessError where that cannot be read.
    """
    from aml.monitor.webhook import headers_of, post

    moment = time.time() if now is None else now
    if not settings.webhook.url:
        raise SettingsError("no webhook is set", advice="set webhook.url in aml.toml, or AML_WEBHOOK_URL")
    receiver = _receiver(store, settings, secret)
    delivery, when = new_id(), to_iso(moment)
    sample = Alert(
        id=f"test-{delivery[:8]}",
        check="test",
        subject="",
        level="info",
        highest="info",
        message="a trial of the webhook: nothing is wrong",
        advice="",
        value=None,
        threshold=None,
        unit="",
        opened=when,
        updated=when,
    )
    body = message("test", sample, _sender(store, settings), moment, delivery)
    began = time.monotonic()
    headers = headers_of(body, receiver, event="test", delivery=delivery, now=moment)
    answer = post(receiver.address, body, headers, settings.webhook.timeout_seconds)
    return WebhookTrial(
        address=receiver.address.shown,
        delivery=delivery,
        answered=answer.status,
        seconds=round(time.monotonic() - began, 3),
        problem=answer.problem,
        notes=_doubts(receiver.address),
        status=ExitStatus.DONE if answer.accepted else ExitStatus.FAILED,
    )


def secret_file(store: Store, settings: Settings) -> Path | None:
    """Where the secret of the webhook lies, if a file is named for it."""
    name = settings.webhook.secret_file
    return store.root.parent / name if name else None


def _change_and_tell(
    store: Store,
    change: Callable[[Alerts], tuple[Alerts, list[Event]]],
    now: float,
    settings: Settings,
    secret: str | None,
    warn: Warn,
    sleep: Callable[[float], None],
) -> AlertChanges:
    """Change the alerts and queue a message about each event, in one write; then send what waits."""
    webhook = settings.webhook

    def whole(known: Alerts) -> tuple[Alerts, tuple[list[Event], int]]:
        after, events = change(known)
        if webhook.url:
            after = queue(after, events, _sender(store, settings), now)
        after, dropped = drop_stale(after, now, webhook.keep_days * SECONDS_PER_DAY)
        return forget(after, now, settings.alerts.keep_days * SECONDS_PER_DAY), (events, dropped)

    after, (events, dropped) = change_alerts(store, whole, now=now, warn=warn)
    problems = [_given_up(dropped, webhook.keep_days)] if dropped else []
    sent = Sent(left=len(after.queue))
    if webhook.url and after.queue:
        sent = _send(store, now, settings, secret, warn, sleep)
    return AlertChanges(
        opened=_those(events, "opened"),
        escalated=_those(events, "escalated"),
        resolved=_those(events, "resolved"),
        open=len(after.opened()),
        sent=sent.accepted,
        waiting=sent.left,
        problems=(*problems, *sent.problems),
    )


def _given_up(number: int, days: float) -> str:
    what = "1 message about an alert was" if number == 1 else f"{number:,} messages about alerts were"
    return f"{what} given up: one waits for the webhook for {days:g} days at most, and {MOST_WAITING} in all"


def _those(events: Sequence[Event], change: Change) -> tuple[Alert, ...]:
    return tuple(one.alert for one in events if one.change == change)


def _send(
    store: Store, now: float, settings: Settings, secret: str | None, warn: Warn, sleep: Callable[[float], None]
) -> Sent:
    webhook = settings.webhook
    try:
        receiver = _receiver(store, settings, secret)
    except AmlError as error:
        told = f"alerts wait and are not sent: {error}"
        return Sent(left=len(read_alerts(store).queue), problems=(told,))
    patience = Patience(webhook.timeout_seconds, webhook.retries, webhook.retry_seconds, webhook.total_seconds)
    for doubt in _doubts(receiver.address):
        warn(doubt)
    return send_waiting(store, receiver, patience, now=now, warn=warn, sleep=sleep)


def _receiver(store: Store, settings: Settings, secret: str | None) -> Receiver:
    """Raises SettingsError where there is no secret, FileAccessError where its file is unreadable or not private."""
    from aml.monitor.webhook import Receiver

    webhook, agent = settings.webhook, f"aml/{__version__}"
    address = parse_address(webhook.url)
    if secret:
        return Receiver(address, Key(os.fsencode(secret)), agent)
    file = secret_file(store, settings)
    if file is None:
        raise SettingsError(
            "there is no secret to sign them with",
            advice="set AML_WEBHOOK_SECRET, or name a file with webhook.secret_file",
        )
    # root may do the upkeep of a store that somebody else owns, with its owner's settings
    return Receiver(address, read_key(file, (os.stat(store.root).st_uid,)), agent)


def _doubts(address: Address) -> tuple[str, ...]:
    if address.is_secure:
        return ()
    return (f"{address.shown} is not encrypted: whoever is on the way can read the alerts; use https",)


def _sender(store: Store, settings: Settings) -> Sender:
    """Who tells, by names that say nothing of where the store lies."""
    root = store.root
    in_project = Path(*root.parts[-2:]) == DEFAULT_STORE
    name = settings.webhook.name or (root.parents[1].name if in_project else root.name)
    return Sender(encodable(name), encodable(os.uname().nodename), __version__)
