"""What health says of backups: none, old, incomplete, damaged, never verified, never tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import aml
from tests.contract.backing_up import at, create_backup, forge
from tests.contract.checking import DAY, HOUR, checked, health, only_finding, store_with, subjects
from tests.support.records import NOW
from tests.support.stores import make_store

LATER = NOW.timestamp()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return store_with(tmp_path)


def test_a_store_with_a_new_backup_that_was_tried_is_well(memory: Path, tmp_path: Path) -> None:
    create_backup(tmp_path)
    assert aml(tmp_path, "backup", "verify").status == 0
    assert aml(tmp_path, "backup", "drill").status == 0
    for name in ("backup", "verification", "drill"):
        found = checked(memory, name, now=at(seconds=HOUR))
        assert (found.state, found.value, found.unit) == ("ok", HOUR, "seconds"), name


def test_a_store_without_any_backup_is_told(memory: Path) -> None:
    finding = only_finding(memory, "backup")
    assert (finding.level.word, finding.advice) == ("warning", "aml backup create")
    for name in ("verification", "drill"):
        assert checked(memory, name).state == "ok", "one thing at a time"


@pytest.mark.parametrize(
    ("age", "state"),
    [(23.9 * HOUR, "ok"), (24.1 * HOUR, "warning"), (6.9 * DAY, "warning"), (7.1 * DAY, "critical"), (-HOUR, "ok")],
)
def test_a_backup_grows_old(memory: Path, tmp_path: Path, age: float, state: str) -> None:
    create_backup(tmp_path)
    assert checked(memory, "backup", now=LATER + age).state == state


def test_a_backup_of_one_agent_alone_is_none_of_the_store(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": []}, "beta": {"patterns": []}})
    create_backup(tmp_path, "--agent", "alpha")
    assert only_finding(memory, "backup").message == "there is no complete backup of the whole store"


def test_an_incomplete_backup_is_told_beside_the_complete_one(memory: Path, tmp_path: Path) -> None:
    forged = forge(tmp_path, ["alpha/patterns.json"], unread=["alpha/solutions.json"])
    found = checked(memory, "backup")
    assert subjects(found) == {"": "warning", "incomplete": "warning"}
    finding = next(one for one in found.findings if one.subject == "incomplete")
    assert finding.advice == f"aml backup show {forged} names them"
    create_backup(tmp_path, now=at(seconds=60))
    assert checked(memory, "backup", now=at(seconds=90)).state == "ok"


def test_a_damaged_manifest_is_critical_and_hides_no_other(memory: Path, tmp_path: Path) -> None:
    first = create_backup(tmp_path)
    create_backup(tmp_path, now=at(seconds=60))
    (tmp_path / f".loom/memory-backup/snapshots/{first}.json.gz").write_bytes(b"torn")
    found = checked(memory, "backup", now=at(seconds=90))
    assert subjects(found) == {"damaged": "critical"}
    assert found.findings[0].details == (f"snapshots/{first}.json.gz",)
    assert found.value == 30


def test_backups_that_nobody_verified_or_tried_are_worth_a_word(memory: Path, tmp_path: Path) -> None:
    create_backup(tmp_path)
    for name in ("verification", "drill"):
        assert subjects(checked(memory, name)) == {"": "info"}
        assert aml(tmp_path, "backup", name.replace("ification", "ify")).status == 0
        assert checked(memory, name, now=at(days=29)).state == "ok"
        assert subjects(checked(memory, name, now=at(days=91))) == {"": "warning"}


def test_a_verification_that_found_damage_is_critical(memory: Path, tmp_path: Path) -> None:
    create_backup(tmp_path)
    packs = [path for path in (tmp_path / ".loom/memory-backup/packs").rglob("*") if path.is_file()]
    packs[0].write_bytes(packs[0].read_bytes()[:-1] + b"x")
    assert aml(tmp_path, "backup", "verify").status == 12
    finding = next(one for one in checked(memory, "verification").findings if one.subject == "last")
    assert finding.level.word == "critical"


def test_a_drill_that_failed_is_an_error(memory: Path, tmp_path: Path) -> None:
    from aml.ledger.operations import Operation, note_operation
    from aml.store.open import open_store

    create_backup(tmp_path)
    note_operation(open_store(memory), Operation("drill", "2026-11-20T11:00:00.000Z", 1.0, 12, "x", {}))
    note_operation(open_store(memory), Operation("verify", "2026-11-20T11:00:00.000Z", 1.0, 11, "x", {}))
    assert subjects(checked(memory, "drill")) == {"last": "error", "": "info"}
    assert subjects(checked(memory, "verification")) == {"last": "warning", "": "info"}


@pytest.mark.parametrize("name", ["backup", "verification", "drill"])
def test_a_repository_that_cannot_be_read_is_told_by_each_check(memory: Path, tmp_path: Path, name: str) -> None:
    create_backup(tmp_path)
    folder = tmp_path / ".loom/memory-backup/snapshots"
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    found = checked(memory, name)
    assert found.state == "not_run"
    assert found.findings[0].message.startswith("the check could not run: ")


@pytest.mark.slow
def test_a_store_that_runs_by_the_usual_schedule_is_never_alarmed(tmp_path: Path) -> None:
    memory = store_with(tmp_path, form="gzip")
    # as the runtime leaves it for copies of its own
    (tmp_path / ".loom/memory-backup/backup-1795190174712-zb64ioc9w-staging").mkdir(parents=True)
    for day in range(100):
        due = [
            (2, ["backup", "auto"]),
            *([(3, ["prune"])] if day % 7 == 6 else []),
            *([(4, ["optimize", "all"]), (5, ["backup", "drill"])] if day % 30 == 0 else []),
        ]
        for hour, words in due:
            answer = aml(tmp_path, *words, "-q", now=at(days=day, seconds=hour * HOUR))
            assert answer.status in (0, 3), (day, words, answer)
        report = health(memory, now=at(days=day, seconds=6 * HOUR), record=True)
        told = [(one.check, one.message) for one in report.findings if one.level.word != "info"]
        assert not told, day
