"""H31: alerts that are the same each time, and that nothing ever resolves."""

from __future__ import annotations

import json
from pathlib import Path

from aml.monitor.findings import Finding, Level
from aml.store.open import open_store
from aml.workflows.alerts import take_up
from tests.cli.running import aml, small_store
from tests.support.records import NOW
from tests.support.stores import tree_digest

T = NOW.timestamp()
HOUR = 3600.0
STALE = Finding("backup", "", Level.WARNING, "the newest backup is 30 h old", "aml backup create", 30.0, 24.0, "hours")


def test_h31_three_checks_that_find_the_same_make_one_alert_and_it_resolves_by_itself(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    store = open_store(project / ".loom" / "memory")
    before = tree_digest(store.root)
    for hour in range(3):
        changes = take_up(store, [STALE], ["backup", "caps"], now=T + hour * HOUR)
        assert (len(changes.opened), len(changes.resolved), changes.open) == (int(hour == 0), 0, 1)
    (alert,) = json.loads(aml(project, "monitor", "alerts", "--json").out)["data"]["alerts"]
    assert (alert["count"], alert["opened"], alert["updated"]) == (
        3,
        "2026-11-20T12:00:00.000Z",
        "2026-11-20T14:00:00.000Z",
    )
    changes = take_up(store, [], ["backup", "caps"], now=T + 3 * HOUR)
    assert [one.id for one in changes.resolved] == [alert["id"]]
    assert json.loads(aml(project, "monitor", "alerts", "--json").out)["data"]["alerts"] == []
    (over,) = json.loads(aml(project, "monitor", "alerts", "history", "--json").out)["data"]["alerts"]
    assert over["resolved"] == {"when": "2026-11-20T15:00:00.000Z", "how": "itself"}
    assert tree_digest(store.root) == before


def test_h31_a_check_that_was_left_out_or_broke_off_resolves_nothing(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    take_up(store, [STALE], ["backup"], now=T)
    assert take_up(store, [], ["caps"], now=T + HOUR).open == 1
    broken = Finding("index", "", Level.ERROR, "the check could not run: disk error")
    changes = take_up(store, [broken], ["caps"], now=T + 2 * HOUR)
    assert (len(changes.opened), len(changes.resolved), changes.open) == (1, 0, 2)


def test_h31_what_comes_back_is_a_new_alert_with_an_id_of_its_own(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    ids = set()
    for hour in range(0, 6, 2):
        ids |= {one.id for one in take_up(store, [STALE], ["backup"], now=T + hour * HOUR).opened}
        assert len(take_up(store, [], ["backup"], now=T + (hour + 1) * HOUR).resolved) == 1
    assert len(ids) == 3


def test_h31_what_is_found_at_one_moment_has_one_id_each(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom" / "memory")
    found = [Finding("caps", f"agent-{number}", Level.WARNING, "near the cap") for number in range(20)]
    opened = take_up(store, [STALE, *found], ["backup", "caps"], now=T).opened
    assert len({one.id for one in opened}) == 21
    assert take_up(store, [STALE, *found], ["backup", "caps"], now=T + HOUR).open == 21


def test_checks_that_find_nothing_write_nothing_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    store = open_store(project / ".loom" / "memory")
    changes = take_up(store, [], ["backup"], now=T)
    assert (changes.open, changes.problems) == (0, ())
    assert not store.state.exists()
    assert not (project / ".loom" / "memory-backup").exists()
