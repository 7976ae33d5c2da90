"""What a webhook gets, told by a real receiver: signed messages, in order, each at least once. No secret is shown."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from aml.monitor.alert_file import read_alerts
from aml.monitor.deliveries import MOST_REFUSALS, Message
from aml.monitor.findings import Level
from aml.store.open import Store, open_store
from aml.workflows.alerts import list_alerts, resolve_alert, take_up, try_webhook
from tests.cli.running import PROJECT, aml, small_store
from tests.contract.telling import CHECKS, ONCE, T, finding, settings_for, tell
from tests.support.receiver import PATH, SECRET, closed_port, drip, raw, receiving, slowly


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(small_store(tmp_path / "project") / ".loom" / "memory")


def test_opening_rising_and_resolving_are_told_once_each_and_signed(store: Store) -> None:
    with receiving(200) as receiver:
        for level in (Level.WARNING, Level.WARNING, Level.CRITICAL, Level.WARNING):
            assert tell(store, receiver.url, finding("alpha", level)).problems == ()
        changes = tell(store, receiver.url)
        assert (changes.sent, changes.waiting) == (1, 0)
    assert receiver.told == [("opened", "caps/alpha"), ("escalated", "caps/alpha"), ("resolved", "caps/alpha")]
    assert all(one.is_genuine() and one.path == PATH for one in receiver.got)
    assert not any(one.is_genuine("another secret") for one in receiver.got)
    assert len({one.headers["x-aml-delivery"] for one in receiver.got}) == 3
    for one in receiver.got:
        assert one.headers["x-aml-delivery"] == one.message["delivery"]
        assert one.headers["x-aml-event"] == one.message["event"]
        assert abs(int(one.headers["x-aml-timestamp"]) - T) < 60
    message = receiver.got[-1].message
    assert (message["version"], message["store"]) == (1, "project")
    assert (message["alert"]["level"], message["alert"]["highest"]) == ("warning", "critical")
    assert message["alert"]["resolved"]["how"] == "itself"


def test_resolving_by_hand_is_told(store: Store) -> None:
    with receiving(200) as receiver:
        (alert,) = tell(store, receiver.url, finding()).opened
        report = resolve_alert(store, alert.id, now=T, settings=settings_for(receiver.url), secret=SECRET)
        again = resolve_alert(store, alert.id, now=T, settings=settings_for(receiver.url), secret=SECRET)
    assert (report.changed, report.sent, again.changed, again.sent) == (True, 1, False, 0)
    assert [one for one, _ in receiver.told] == ["opened", "resolved"]


def test_a_receiver_that_fails_and_then_recovers_is_tried_again_within_the_run(store: Store) -> None:
    with receiving(500, 503, 200) as receiver:
        changes = tell(store, receiver.url, finding())
    assert (changes.sent, changes.waiting, changes.problems) == (1, 0, ())
    assert len({(one.headers["x-aml-delivery"], one.body) for one in receiver.got}) == 1
    assert len(receiver.got) == 3


def test_pauses_between_attempts_double(store: Store) -> None:
    pauses: list[float] = []
    with receiving(500) as receiver:
        settings = settings_for(receiver.url, AML_WEBHOOK_RETRIES="3", AML_WEBHOOK_RETRY_SECONDS="2")
        take_up(store, [finding()], CHECKS, now=T, settings=settings, secret=SECRET, sleep=pauses.append)
    assert pauses == [2.0, 4.0, 8.0]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_receiver_that_is_not_well_loses_nothing_and_gets_all_in_order_later(status: int, store: Store) -> None:
    with receiving(status) as receiver:
        changes = tell(store, receiver.url, finding("a"), finding("b"), **ONCE)
        assert (changes.sent, changes.waiting, len(changes.problems)) == (0, 2, 1)
        assert len(receiver.got) == 1, "a receiver that is not well is left alone"
        first = receiver.got[0].headers["x-aml-delivery"]
        receiver.answers[:] = [200]
        receiver.got.clear()
        changes = tell(store, receiver.url, finding("b"), finding("c"))
    assert (changes.sent, changes.waiting, changes.problems) == (4, 0, ())
    assert receiver.told == [("opened", "caps/a"), ("opened", "caps/b"), ("resolved", "caps/a"), ("opened", "caps/c")]
    assert receiver.got[0].headers["x-aml-delivery"] == first
    assert all(one.is_genuine() for one in receiver.got)


def test_a_dead_receiver_fails_no_run_and_loses_no_alert(store: Store) -> None:
    dead = f"http://127.0.0.1:{closed_port()}{PATH}"
    changes = tell(store, dead, finding("a"))
    assert (len(changes.opened), changes.waiting) == (1, 1)
    assert "cannot reach it: Connection refused" in changes.problems[0]
    assert len(list_alerts(store).alerts) == 1
    with receiving(200) as receiver:
        assert tell(store, receiver.url, finding("a")).sent == 1
    assert receiver.told == [("opened", "caps/a")]


def test_a_host_without_a_name_is_told_and_waited_for_no_longer_than_is_said(store: Store) -> None:
    began = time.monotonic()
    changes = tell(store, "https://nowhere.invalid/x", finding(), AML_WEBHOOK_TIMEOUT_SECONDS="1", **ONCE)
    assert changes.waiting == 1
    assert time.monotonic() - began < 5


def are_gone(name: str, seconds: float = 0.8) -> bool:
    """Whether no thread of that name is left within that time."""
    until = time.monotonic() + seconds
    while any(one.name == name for one in threading.enumerate()):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_receiver_that_takes_a_connection_and_says_nothing_is_waited_for_no_longer_than_is_said(
    store: Store,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/x"
        began = time.monotonic()
        changes = tell(store, url, finding(), AML_WEBHOOK_TIMEOUT_SECONDS="0.2", **ONCE)
        assert 0.15 < time.monotonic() - began < 0.7
        assert "no answer within 0.2 s" in changes.problems[0]
        assert are_gone("aml-webhook")


@pytest.mark.parametrize(
    "answer",
    [
        slowly(1.0),
        drip([b"HTTP/1.1 200 OK\r\n"] + [f"X-{one}: y\r\n".encode() for one in range(20)], 0.1),
        drip([b"HTTP/1.1 100 Continue\r\n\r\n"] * 20, 0.1),
    ],
    ids=["silent", "dripping headers", "never more than 100"],
)
def test_a_slow_receiver_is_waited_for_no_longer_than_is_said(answer: object, store: Store) -> None:
    with receiving(answer) as receiver:  # type: ignore[arg-type]
        began = time.monotonic()
        changes = tell(store, receiver.url, finding(), AML_WEBHOOK_TIMEOUT_SECONDS="0.3", **ONCE)
        took = time.monotonic() - began
        assert are_gone("aml-webhook"), "what waits for the receiver is left behind"
    assert 0.25 < took < 0.8
    assert changes.waiting == 1
    assert "no answer within 0.3 s" in changes.problems[0]


def test_all_that_one_run_sends_is_bounded_in_time(store: Store) -> None:
    with receiving(slowly(0.15)) as receiver:
        began = time.monotonic()
        found = [finding(str(one)) for one in range(20)]
        changes = tell(store, receiver.url, *found, AML_WEBHOOK_TOTAL_SECONDS="0.5")
    assert time.monotonic() - began < 1.2
    assert 0 < changes.sent < 5
    assert changes.waiting == 20 - changes.sent


def test_an_answer_that_never_ends_was_an_answer(store: Store) -> None:
    endless = drip([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 15, 0.1)
    with receiving(endless) as receiver:
        began = time.monotonic()
        changes = tell(store, receiver.url, finding())
        assert time.monotonic() - began < 1.2
    assert (changes.sent, changes.waiting) == (1, 0)


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100, b"x" * 100_000])
def test_what_is_no_answer_in_http_is_told(data: bytes, store: Store) -> None:
    with receiving(raw(data)) as receiver:
        changes = tell(store, receiver.url, finding(), **ONCE)
    assert (changes.sent, changes.waiting, len(changes.problems)) == (0, 1, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int, store: Store) -> None:
    with receiving(status) as receiver:
        changes = tell(store, receiver.url, finding())
    assert [one.path for one in receiver.got] == [PATH]
    assert f"it answered {status}" in changes.problems[0]
    assert "redirects are not followed" in changes.problems[0]
    assert changes.waiting == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_lets_others_pass_is_tried_by_later_runs_and_given_up_with_a_warning(
    status: int, store: Store
) -> None:
    with receiving(status, 200) as receiver:
        changes = tell(store, receiver.url, finding("a"), finding("b"))
        assert (changes.sent, changes.waiting) == (1, 1)
        assert len(receiver.got) == 2, "a refusal is not tried again at once"
        receiver.answers[:] = [status]
        for run in range(1, MOST_REFUSALS):
            changes = tell(store, receiver.url, finding("a"), finding("b"))
            assert changes.waiting == int(run < MOST_REFUSALS - 1)
        assert "it was given up" in changes.problems[0]
        assert tell(store, receiver.url, finding("a"), finding("b")).problems == ()
    assert len(list_alerts(store).alerts) == 2, "the alerts themselves stay"


def test_messages_that_waited_too_long_are_given_up_with_a_warning(store: Store) -> None:
    dead = f"http://127.0.0.1:{closed_port()}{PATH}"
    tell(store, dead, finding("a"), **ONCE)
    settings = settings_for(dead, **ONCE)
    changes = take_up(store, [finding("a")], CHECKS, now=T + 8 * 86_400, settings=settings, secret=SECRET)
    assert changes.waiting == 0
    assert "1 message about an alert was given up" in changes.problems[0]


def test_without_a_webhook_nothing_waits(store: Store) -> None:
    changes = take_up(store, [finding()], CHECKS, now=T)
    assert (len(changes.opened), changes.sent, changes.waiting, changes.problems) == (1, 0, 0, ())


def test_a_trial_is_sent_once_and_writes_nothing(store: Store) -> None:
    with receiving(200) as receiver:
        trial = try_webhook(store, now=T, settings=settings_for(receiver.url), secret=SECRET)
    assert (trial.answered, trial.problem, trial.status) == (200, "", 0)
    assert receiver.told == [("test", "test/")]
    assert receiver.got[0].is_genuine()
    assert trial.delivery == receiver.got[0].headers["x-aml-delivery"]
    assert not store.state.exists()


@pytest.mark.parametrize(("answer", "said"), [(500, "500"), (401, "secret"), (302, "redirects")])
def test_a_trial_that_is_not_taken_fails_and_says_what_was_answered(answer: int, said: str, tmp_path: Path) -> None:
    project = small_store(tmp_path)
    with receiving(answer) as receiver:
        environment = {"AML_WEBHOOK_URL": receiver.url, "AML_WEBHOOK_SECRET": SECRET}
        told = aml(project, "monitor", "alerts", "test", environment=environment)
        document = aml(project, "monitor", "alerts", "test", "--json", environment=environment)
    assert (told.status, document.status, len(receiver.got)) == (1, 1, 2)
    assert said in told.err
    assert document.envelope["data"]["answered"] == answer


def test_the_queue_in_the_file_is_the_message_itself(store: Store) -> None:
    tell(store, f"http://127.0.0.1:{closed_port()}{PATH}", finding("a"), **ONCE)
    (waiting,) = read_alerts(store).queue
    assert json.loads(waiting.body)["alert"]["subject"] == "a"
    assert (waiting.attempts, waiting.refusals) == (1, 0)


def test_the_message_that_is_shown_has_every_field() -> None:
    page = (PROJECT / "docs" / "webhook.md").read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    assert msgspec.to_builtins(msgspec.convert(shown, type=Message)) == shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_while_it_sends_leaves_the_message_to_the_next(
    number: signal.Signals, store: Store
) -> None:
    (alert,) = take_up(store, [finding()], CHECKS, now=T).opened
    with receiving(slowly(20.0), 200) as receiver:
        environment = {"PYTHONPATH": str(PROJECT), "AML_WEBHOOK_URL": receiver.url, "AML_WEBHOOK_SECRET": SECRET}
        words = [sys.executable, "-m", "aml", "--store", str(store.root), "monitor", "alerts", "resolve", alert.id]
        running = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 30
        while not receiver.got and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(number)
        said = running.communicate(timeout=5)[1]
        assert running.returncode == (130 if number is signal.SIGTERM else -number)
        assert "Traceback" not in said
        (waiting,) = read_alerts(store).queue
        assert list_alerts(store).alerts == ()
        changes = tell(store, receiver.url)
    assert (changes.sent, changes.waiting) == (1, 0)
    assert [one.headers["x-aml-delivery"] for one in receiver.got] == [waiting.id] * 2
