"""The file that keeps the alerts of a store and what waits to be told of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from aml.errors import DamagedError, SchemaError
from aml.fs.access import explained
from aml.fs.durable import sync_folder, write_in_turn
from aml.fs.files import MOST_STATE, is_there, read_regular
from aml.ledger.operations import state_lock
from aml.model.undecodable import UNDECODABLE
from aml.monitor.alerts import FORMAT, Alerts
from aml.store.open import Store

Result = TypeVar("Result")
Warn = Callable[[str], None]

_NAME = "alerts.json"


class _Version(Struct):
    format: int


def alert_file(store: Store) -> Path:
    return store.state / _NAME


def read_alerts(store: Store) -> Alerts:
    """What is kept; nothing where there is no file yet.

    Raises FileAccessError, DamagedError where the file is not what AML writes, SchemaError where a newer AML wrote it.
    """
    path = alert_file(store)
    if not is_there(path):
        return Alerts()
    data = read_regular(path, most=MOST_STATE)
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version > FORMAT:
            raise SchemaError(
                f"{path} has format {version}, and this AML knows {FORMAT}",
                advice="use the AML that wrote it, or newer",
            )
        alerts = msgspec.json.decode(data, type=Alerts)
        _check(alerts)
    except UNDECODABLE as error:
        raise DamagedError(
            f"{path} is damaged: {error}", advice="move it away, or let the next check do so; it then begins anew"
        ) from error
    return alerts


def change_alerts(
    store: Store, change: Callable[[Alerts], tuple[Alerts, Result]], *, now: float, warn: Warn
) -> tuple[Alerts, Result]:
    """Put what ``change`` makes of the alerts in their place, while nobody else does; returns both parts of its answer.

    It may be called twice. Where it changes nothing, nothing is written, and no lock is taken. A damaged file is moved
    aside, and told of. Raises FileAccessError, LockedError, SchemaError, and whatever ``change`` raises.
    """
    try:
        before = read_alerts(store)
        answer = change(before)
        if answer[0] == before:
            return answer
    except DamagedError:
        # whether it still is will be seen under the lock
        pass
    with state_lock(store):
        before = _read_or_move_aside(store, now, warn)
        answer = change(before)
        if answer[0] != before:
            write_in_turn(alert_file(store), msgspec.json.encode(answer[0]))
    return answer


def _read_or_move_aside(store: Store, now: float, warn: Warn) -> Alerts:
    try:
        return read_alerts(store)
    except DamagedError as error:
        aside = _free_name(alert_file(store), now)
        with explained("move aside", alert_file(store)):
            os.rename(alert_file(store), aside)
            sync_folder(aside.parent)
        warn(f"{error.message}; it is kept as {aside.name}, and alerts begin anew")
        return Alerts()


def _free_name(path: Path, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    aside, number = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while is_there(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    return aside


def _check(alerts: Alerts) -> None:
    """What the rest relies on: one alert for an id, and one that lasts for a condition."""
    ids = [one.id for one in alerts.alerts]
    lasting = [one.key for one in alerts.alerts if one.is_open]
    if len(set(ids)) != len(ids) or len(set(lasting)) != len(lasting):
        raise ValueError("it holds an alert twice")
    if any(not one.id for one in alerts.alerts) or len({one.id for one in alerts.queue}) != len(alerts.queue):
        raise ValueError("it holds something without an id, or one id twice")
