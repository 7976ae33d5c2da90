"""Sending what waits: the oldest first, one process at a time, with retries, within a time that is kept to.

A message leaves the file of alerts only after its receiver has accepted it. So a crash in between sends it twice and
never not at all, and a receiver that cares goes by the id of the delivery, which stays the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from aml.errors import AmlError
from aml.fs.flock import file_lock
from aml.monitor.alert_file import Warn, change_alerts, read_alerts
from aml.monitor.alerts import Alerts, Delivery
from aml.monitor.deliveries import MOST_REFUSALS, settle
from aml.store.open import Store

if TYPE_CHECKING:
    from aml.monitor.webhook import Receiver

_LOCK_NAME = "alerts.lock"


class Patience(Struct, frozen=True):
    """How long a receiver is waited for (all in seconds): ``timeout`` for one answer, ``pause`` before the first of
    ``retries`` further attempts, each next one twice as long, and ``total`` for all that one run sends."""

    timeout: float = 10.0
    retries: int = 2
    pause: float = 1.0
    total: float = 60.0


class Sent(Struct, frozen=True):
    """What came of a queue: messages that were ``accepted``, that were ``given_up``, and that still wait (``left``)."""

    accepted: int = 0
    given_up: int = 0
    left: int = 0
    problems: tuple[str, ...] = ()


def send_waiting(
    store: Store,
    receiver: Receiver,
    patience: Patience,
    *,
    now: float,
    warn: Warn,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send what waits. A receiver that does not answer is left alone until the next run; a message that it refuses lets
    the others pass, and is given up after MOST_REFUSALS runs. Never raises for what a receiver or the disk does."""
    run = _Run(store, receiver, patience, now, warn, sleep)
    try:
        # others wait: whoever went away instead might leave its own messages behind
        with file_lock(
            store.state / _LOCK_NAME,
            patience.total,
            taken="another run is sending for long",
            advice="the next run sends what waits",
        ):
            run.send_all()
        left = len(read_alerts(store).queue)
    except AmlError as error:
        run.problems.append(f"not all alerts could be sent: {error.message}")
        left = run.waiting
    return Sent(run.accepted, run.given_up, left, tuple(run.problems))


class _Run:
    """One run through the queue."""

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        patience: Patience,
        now: float,
        warn: Warn,
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._receiver = receiver
        self._patience = patience
        self._now = now
        self._warn = warn
        self._sleep = sleep
        self._began = time.monotonic()
        self.accepted = self.given_up = self.waiting = 0
        self.problems: list[str] = []

    def send_all(self) -> None:
        refused: set[str] = set()
        while True:
            # another run may have added some
            waiting = read_alerts(self._store).queue
            self.waiting = len(waiting)
            delivery = next((one for one in waiting if one.id not in refused), None)
            if delivery is None:
                return
            outcome, attempts, problem = self._try(delivery)
            if attempts:
                self._note(delivery, attempts, outcome)
            if outcome == "failed":
                self.problems.append(f"{self._receiver.address.shown}: {problem}; the next run sends what waits")
                return
            if outcome == "refused":
                refused.add(delivery.id)
                self._tell_refusal(delivery, problem)
            else:
                self.accepted += 1

    def _tell_refusal(self, delivery: Delivery, problem: str) -> None:
        last = delivery.refusals + 1 >= MOST_REFUSALS
        self.given_up += last
        then = f"it was given up, {MOST_REFUSALS} runs being refused" if last else "the next run tries again"
        told = f"{self._receiver.address.shown}: {problem} for alert {delivery.alert} ({delivery.event}); {then}"
        self.problems.append(told)

    def _note(self, delivery: Delivery, attempts: int, outcome: Literal["accepted", "refused", "failed"]) -> None:
        def change(alerts: Alerts) -> tuple[Alerts, None]:
            return settle(alerts, delivery.id, attempts, outcome), None

        change_alerts(self._store, change, now=self._now, warn=self._warn)

    def _try(self, delivery: Delivery) -> tuple[Literal["accepted", "refused", "failed"], int, str]:
        """What came of a delivery, after how many attempts, and what went wrong."""
        from aml.monitor.webhook import headers_of, post  # TLS and HTTP are loaded only where something is sent

        body, pause, problem = delivery.body.encode(), self._patience.pause, "no time was left"
        for attempt in range(self._patience.retries + 1):
            if attempt:
                if self._left() <= pause:
                    return "failed", attempt, problem
                self._sleep(pause)
                pause *= 2
            left = self._left()
            if left <= 0:
                return "failed", attempt, problem
            # a receiver that refuses old messages goes by when this attempt is made
            moment = self._now + time.monotonic() - self._began
            headers = headers_of(body, self._receiver, event=delivery.event, delivery=delivery.id, now=moment)
            answer = post(self._receiver.address, body, headers, min(self._patience.timeout, left))
            if answer.accepted:
                return "accepted", attempt + 1, ""
            problem = answer.problem
            if answer.refused:
                return "refused", attempt + 1, problem
        return "failed", self._patience.retries + 1, problem

    def _left(self) -> float:
        return self._patience.total - (time.monotonic() - self._began)
