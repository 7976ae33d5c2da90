"""Several processes take findings up and send at once: no alert is lost or doubled, and every message arrives."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from aml.config import load_settings
from aml.monitor.findings import Finding, Level
from aml.store.open import open_store
from aml.workflows.alerts import list_alerts, take_up
from tests.cli.running import PROJECT, small_store
from tests.support.receiver import SECRET, receiving
from tests.support.records import NOW

PROCESSES, ROUNDS = 4, 8

_WORKER = """
import sys
from aml.config import load_settings
from aml.monitor.findings import Finding, Level
from aml.store.open import open_store
from aml.workflows.alerts import take_up

store, url, secret, own, rounds = open_store(sys.argv[1]), *sys.argv[2:]
settings = load_settings(None, {"AML_WEBHOOK_URL": url}).settings
common = Finding("backup", "", Level.WARNING, "old")
for number in range(int(rounds)):
    found = [common, Finding(f"caps-{own}", str(number), Level.WARNING, "many")]
    changes = take_up(store, found, ["backup", f"caps-{own}"], settings=settings, secret=secret)
    assert not changes.problems, changes.problems
"""


def test_processes_that_check_at_once_neither_lose_nor_double_an_alert(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    with receiving(200) as receiver:
        words = [sys.executable, "-W", "error", "-c", _WORKER, str(store.root), receiver.url, SECRET]
        running = [
            subprocess.Popen(
                [*words, str(number), str(ROUNDS)],
                cwd=PROJECT,
                env={"PYTHONPATH": str(PROJECT)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]
        for one in running:
            assert one.communicate(timeout=60)[1] == ""
    found = list_alerts(store, resolved=True)
    assert found.waiting == 0
    lasting = {(one.check, one.subject): one.count for one in found.alerts if one.is_open}
    own = {(f"caps-{number}", str(ROUNDS - 1)): 1 for number in range(PROCESSES)}
    assert lasting == own | {("backup", ""): PROCESSES * ROUNDS}
    assert len(found.alerts) == 1 + PROCESSES * ROUNDS
    assert len({one.id for one in found.alerts}) == len(found.alerts)
    told = Counter((one.message["event"], one.message["alert"]["id"]) for one in receiver.got)
    wanted = [("opened", one.id) for one in found.alerts] + [
        ("resolved", one.id) for one in found.alerts if not one.is_open
    ]
    assert told == Counter(wanted), "each once, since nobody died"
    assert len({one.headers["x-aml-delivery"] for one in receiver.got}) == len(receiver.got)


def test_events_of_one_alert_arrive_in_their_order(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    with receiving(200) as receiver:
        settings = load_settings(None, {"AML_WEBHOOK_URL": receiver.url}).settings
        for level in (Level.WARNING, Level.ERROR, Level.CRITICAL, None):
            found = [] if level is None else [Finding("backup", "", level, "old")]
            take_up(store, found, ["backup"], now=NOW.timestamp(), settings=settings, secret=SECRET)
    assert [one for one, _ in receiver.told] == ["opened", "escalated", "escalated", "resolved"]


def test_checks_that_are_killed_while_they_write_and_send_lose_no_alert_and_no_message(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    kills, chance = 6, random.Random(7)
    with receiving(200) as receiver:
        for number in range(kills):
            words = [sys.executable, "-c", _WORKER, str(store.root), receiver.url, SECRET, str(number), "100000"]
            before = len(receiver.got)
            running = subprocess.Popen(words, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)})
            until = time.monotonic() + 30
            while len(receiver.got) < before + 2 and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.03))
            running.kill()
            running.wait(30)
            assert list_alerts(store).alerts
        settings = load_settings(None, {"AML_WEBHOOK_URL": receiver.url}).settings
        take_up(store, [], [], settings=settings, secret=SECRET)
    found = list_alerts(store, resolved=True)
    assert found.waiting == 0
    assert not list(store.state.glob("*damaged*"))
    told = Counter((one.message["event"], one.message["alert"]["id"]) for one in receiver.got)
    over = [("resolved", one.id) for one in found.alerts if not one.is_open]
    assert set(told) == {*(("opened", one.id) for one in found.alerts), *over}
    ids = Counter(one.headers["x-aml-delivery"] for one in receiver.got)
    assert len(ids) == len(told), "what is sent again keeps its id"
    assert sum(ids.values()) <= len(told) + kills
