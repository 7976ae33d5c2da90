"""What health says of AML's own runs, of the clock, and of records that went without a run of AML's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aml.config import HealthSettings, Settings
from aml.ledger.runs import Journal
from aml.monitor.samples import Sample, append_sample
from aml.store.open import open_store
from tests.cli.running import aml, aml_child, kept, old
from tests.contract.backing_up import at, create_backup
from tests.contract.checking import HOUR, checked, only_finding, subjects
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, read_array, write_array

LATER = NOW.timestamp() + HOUR
ALPHA = "alpha/patterns.json"


def store_of(tmp_path: Path, records: int = 40) -> Path:
    """A store of one agent with so many records, one of which is to be pruned."""
    return make_store(tmp_path, {"alpha": {"patterns": [old("o"), *(kept(f"k{n}") for n in range(records - 1))]}})


def keep_only(memory: Path, records: int, path: str = ALPHA) -> None:
    write_array(memory / path, read_array(memory / path)[:records])


def sample(memory: Path, records: int, time: float = NOW.timestamp()) -> None:
    append_sample(open_store(memory), Sample(time=time, bytes=1, agents={"alpha": (1, records)}))


# ---- runs


def test_runs_that_ended_well_are_well(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    assert checked(memory, "runs").state == "ok", "none yet"
    for words in (["prune"], ["backup", "create"], ["backup", "rotate"], ["optimize", "gc"]):
        assert aml(tmp_path, *words).status == 0
    assert checked(memory, "runs").state == "ok"


@pytest.mark.parametrize(("host", "pid"), [("elsewhere", 1), (os.uname().nodename, 0)])
def test_a_run_that_never_ended_is_told(tmp_path: Path, host: str, pid: int) -> None:
    memory = store_of(tmp_path)
    journal = Journal(open_store(memory))
    run = journal.begin("prune", NOW.timestamp(), version="1", options={})
    run.host, run.pid = host, pid
    journal.write(run)
    finding = only_finding(memory, "runs")
    assert (finding.subject, finding.level.word) == (f"run {run.id}", "warning")
    run.host, run.pid = os.uname().nodename, os.getpid()
    journal.write(run)
    assert checked(memory, "runs").state == "ok", "it is under way"


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_the_last_run_of_an_operation_that_failed_is_told(tmp_path: Path, state: str) -> None:
    memory = store_of(tmp_path)
    journal = Journal(open_store(memory))
    for seconds, ended in ((0, "done"), (1, state)):
        run = journal.begin("gc", at(seconds=seconds), version="1", options={})
        journal.write(run)
        journal.finish(run, ended)
    assert subjects(checked(memory, "runs")) == {"gc": "warning"}
    assert aml(tmp_path, "optimize", "gc", now=at(seconds=5)).status == 0
    assert checked(memory, "runs").state == "ok"


def test_a_damaged_entry_of_the_journal_is_told_and_hides_no_other(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    journal = Journal(open_store(memory))
    for seconds in range(2):
        run = journal.begin("gc", at(seconds=seconds), version="1", options={})
        journal.write(run)
        journal.finish(run, "failed")
    (tmp_path / f".loom/memory.aml/runs/{run.id}.json").write_bytes(b"{")
    assert subjects(checked(memory, "runs")) == {f"run {run.id}": "error", "gc": "warning"}


def test_a_backup_that_failed_is_told(tmp_path: Path) -> None:
    from aml.ledger.operations import Operation, note_operation

    memory = store_of(tmp_path)
    for status, level in ((0, {}), (3, {}), (1, {"rotate": "warning"})):
        note_operation(open_store(memory), Operation("rotate", "2026-11-20T11:00:00.000Z", 1.0, status))
        assert subjects(checked(memory, "runs")) == level


def test_a_restore_that_died_half_way_is_an_error(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    staging = tmp_path / ".loom/memory.aml/restore/20261120T120000-0001-abcd"
    staging.mkdir(parents=True)
    (staging / "steps.json").write_text("{}")
    assert subjects(checked(memory, "runs")) == {"restore under way": "error"}


# ---- clock


@pytest.mark.parametrize(("days", "state"), [(0, "ok"), (59, "ok"), (61, "warning"), (-0.1, "warning")])
def test_a_clock_that_contradicts_what_was_done_is_told(tmp_path: Path, days: float, state: str) -> None:
    memory = store_of(tmp_path)
    assert checked(memory, "clock", now=at(days=days)).state == "ok", "nothing was done yet"
    create_backup(tmp_path)
    assert checked(memory, "clock", now=at(days=days)).state == state


# ---- collapse


@pytest.mark.parametrize(("left", "state"), [(40, "ok"), (45, "ok"), (21, "ok"), (19, "critical"), (1, "critical")])
def test_records_that_went_without_a_run_are_critical(tmp_path: Path, left: int, state: str) -> None:
    """The budget of an agent with 40 records is 20, its allowance; told by a backup, and by a sample alike."""
    memory = store_of(tmp_path)
    create_backup(tmp_path)
    write_array(memory / ALPHA, [kept(f"n{n}") for n in range(left)])
    assert checked(memory, "collapse", now=LATER).state == state
    (tmp_path / ".loom/memory-backup").rename(tmp_path / "gone")
    assert checked(memory, "collapse", now=LATER).state == "ok"
    sample(memory, 40)
    assert checked(memory, "collapse", now=LATER).state == state


def test_a_collapse_names_the_backup_that_holds_what_went(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    identity = create_backup(tmp_path)
    (memory / ALPHA).unlink()
    finding = only_finding(memory, "collapse", now=LATER)
    assert (finding.subject, finding.value, finding.threshold, finding.unit) == ("alpha", 40, 20, "records")
    assert f"aml backup restore {identity} --agent alpha" in finding.advice
    assert aml(tmp_path, "backup", "restore", identity, "--agent", "alpha", "--yes", now=LATER).status == 0
    assert checked(memory, "collapse", now=LATER + 60).state == "ok"


def test_where_only_a_sample_knows_of_a_collapse_a_backup_of_that_time_is_asked_for(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    sample(memory, 40)
    keep_only(memory, 5)
    finding = only_finding(memory, "collapse", now=LATER)
    assert finding.advice.startswith("aml backup restore --at 2026-")


def test_an_agent_whose_name_is_no_text_in_this_locale_has_not_collapsed(tmp_path: Path) -> None:
    make_store(tmp_path, {"b\u00fcro": {"patterns": [kept(f"k{number}") for number in range(40)]}})
    assert aml_child(tmp_path, "monitor", "metrics", "-q").status == 0
    words = ("monitor", "health", "--no-record", "--checks", "collapse,structure", "--json")
    answer = aml_child(tmp_path, *words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    states = {one["name"]: one["state"] for one in answer.envelope["data"]["checks"]}
    assert (states["collapse"], states["structure"]) == ("ok", "warning")


def test_an_agent_that_is_gone_is_a_collapse(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    create_backup(tmp_path)
    (memory / "alpha").rename(tmp_path / "alpha")
    assert subjects(checked(memory, "collapse", now=LATER)) == {"alpha": "critical"}


def test_a_collapse_is_told_though_a_backup_was_made_after_it(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    create_backup(tmp_path)
    keep_only(memory, 3)
    create_backup(tmp_path, now=at(seconds=60))
    assert subjects(checked(memory, "collapse", now=LATER)) == {"alpha": "critical"}
    assert checked(memory, "collapse", now=at(days=8)).state == "ok", "forgotten in the end"
    settings = Settings(health=HealthSettings(collapse_days=30))
    assert checked(memory, "collapse", now=at(days=8), settings=settings).state == "critical"


def test_what_a_run_removed_is_no_collapse(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [*(old(f"o{n}") for n in range(35)), kept("k")]}})
    create_backup(tmp_path)
    sample(memory, 36)
    assert aml(tmp_path, "prune", "--max-loss", "100%", now=at(seconds=60)).status == 0
    assert len(read_array(memory / ALPHA)) == 1
    found = checked(memory, "collapse", now=LATER)
    assert (found.state, found.value) == ("ok", 0)
    # what is put back and lost again is lost
    run = json.loads(aml(tmp_path, "prune", "history", "--json", now=LATER).out)["data"]["runs"][0]["id"]
    assert aml(tmp_path, "prune", "undo", run, "--yes", now=at(seconds=120)).status == 0
    assert checked(memory, "collapse", now=LATER).state == "ok"
    keep_only(memory, 1)
    assert only_finding(memory, "collapse", now=LATER).value == 35


def test_after_a_restore_nothing_is_said_of_the_time_before(tmp_path: Path) -> None:
    memory = store_of(tmp_path, 5)
    first = create_backup(tmp_path)
    write_array(memory / ALPHA, [pattern() for _ in range(60)])
    create_backup(tmp_path, now=at(seconds=60))
    assert aml(tmp_path, "backup", "restore", first, "--yes", now=at(seconds=120)).status == 0
    assert len(read_array(memory / ALPHA)) == 5
    assert checked(memory, "collapse", now=LATER).state == "ok"


def test_what_went_after_a_restore_is_a_collapse(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    backup = create_backup(tmp_path)
    keep_only(memory, 30)
    assert aml(tmp_path, "backup", "restore", backup, "--yes", now=at(seconds=60)).status == 0
    assert checked(memory, "collapse", now=LATER).state == "ok"
    assert aml(tmp_path, "prune", "--max-loss", "100%", now=at(seconds=120)).status == 0
    assert checked(memory, "collapse", now=LATER).state == "ok"
    keep_only(memory, 2)
    assert only_finding(memory, "collapse", now=LATER).value == 37, "but for the one that the run removed"


@pytest.mark.parametrize("words", [["--agent", "beta"], ["--path", "beta/patterns.json"]])
def test_a_restore_of_one_agent_hides_no_other(tmp_path: Path, words: list[str]) -> None:
    memory = store_of(tmp_path)
    write_array(memory / "beta/patterns.json", [kept(f"b{n}") for n in range(40)])
    backup = create_backup(tmp_path)
    keep_only(memory, 5, "beta/patterns.json")
    create_backup(tmp_path, now=at(seconds=30))
    assert aml(tmp_path, "backup", "restore", backup, *words, "--yes", now=at(seconds=60)).status == 0
    assert checked(memory, "collapse", now=LATER).state == "ok"
    keep_only(memory, 3)
    assert only_finding(memory, "collapse", now=LATER).subject == "alpha"


def test_a_damaged_file_is_no_collapse(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    create_backup(tmp_path)
    (memory / ALPHA).write_bytes(b"[")
    assert checked(memory, "collapse", now=LATER).state == "ok"
    assert checked(memory, "integrity", now=LATER).state == "critical"


def test_samples_and_backups_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    memory = store_of(tmp_path)
    create_backup(tmp_path)
    for path in (tmp_path / ".loom/memory-backup/packs").rglob("*.gz"):
        path.write_bytes(b"gone")
    (tmp_path / ".loom/memory.aml/metrics.jsonl").write_bytes(b"\x00{]\n" * 50)
    keep_only(memory, 3)
    assert checked(memory, "collapse", now=LATER).state == "ok"
