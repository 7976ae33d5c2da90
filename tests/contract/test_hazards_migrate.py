"""Hazards of migrating, by number: H02, H07, H18, H19, H21, H22 and H50."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Lock

import pytest

from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError, LockedError, SchemaError, UsageError
from tests.cli.running import aml
from tests.contract.migrating import (
    claim_of,
    contents,
    detected,
    ids,
    left_behind,
    loaded,
    run_migrate,
    two_agents,
)
from tests.support.live_writer import agent_lock
from tests.support.records import pattern, to_v110, to_v120, to_v200
from tests.support.stores import encode_array, gunzipped, read_array, write_array

GZIP = b"\x1f\x8b"

#: A schema version that nobody knows, older than the newest: the record cannot be moved.
STRANGE = "1.7.0"


def spoil(memory: Path, *, path: str = "beta/solutions.json", version: str = STRANGE) -> None:
    """Give the second record of a file a version that no step leads from."""
    records = read_array(memory / path)
    records[1]["version"] = version
    write_array(memory / path, records)


def test_h02_a_gzip_store_keeps_every_record_and_its_form(tmp_path: Path) -> None:
    memory = two_agents(tmp_path, form="gzip")
    before = ids(memory)
    report = run_migrate(memory)
    assert report.migrated == sum(before.values()) == 18
    assert ids(memory) == before
    assert all(data.startswith(GZIP) for data in contents(memory).values())
    assert detected(memory).versions == {"1.2.0": 18}


def test_h07_a_truncated_file_stops_the_run_and_stays_as_it_is(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    damaged = memory / "beta" / "decisions.json"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    before = contents(memory)
    with pytest.raises(DamagedError, match=r"nothing was changed.*beta/decisions\.json"):
        run_migrate(memory)
    assert contents(memory) == before
    assert not left_behind(memory)


def test_h07_with_skip_bad_a_truncated_file_is_left_and_told(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    damaged = memory / "beta" / "decisions.json"
    cut = damaged.read_bytes()[:-5]
    damaged.write_bytes(cut)
    report = run_migrate(memory, skip_bad=True)
    assert report.status is ExitStatus.PARTIAL
    assert damaged.read_bytes() == cut
    assert [file.file for file in report.problems] == ["decisions.json"]
    assert report.migrated == 16
    assert claim_of(memory) is None


def test_h18_a_backup_that_fails_stops_the_migration(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    memory.with_name("memory-backup").write_text("in the way", encoding="utf-8")
    before = contents(memory)
    with pytest.raises(AmlError, match="the backup before the migration failed, so nothing was changed"):
        run_migrate(memory)
    assert contents(memory) == before
    assert not left_behind(memory)


def test_h18_the_backup_before_holds_every_file_as_it_was(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    before = contents(memory)
    report = run_migrate(memory)
    answer = aml(tmp_path, "backup", "restore", report.backup or "", "--target", "back")
    assert answer.status == 0, answer.err
    assert contents(tmp_path / "back") == before
    listed = aml(tmp_path, "backup", "list", "--json").envelope["data"]["backups"]
    assert [one["tags"] for one in listed] == [["pre-migration"]]


def test_h19_records_that_agents_could_not_read_need_a_yes(tmp_path: Path) -> None:
    memory = two_agents(tmp_path, change=to_v120)
    before = contents(memory)
    with pytest.raises(UsageError, match="could not read 8 patterns") as raised:
        run_migrate(memory, "2.0.0", accept_unreadable=False)
    assert "--yes" in raised.value.advice
    assert contents(memory) == before
    assert not left_behind(memory)
    assert not list(memory.with_name("memory-backup").glob("snapshots/*"))


def test_h19_without_patterns_nothing_becomes_unreadable(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    for path in memory.glob("*/patterns.json"):
        path.unlink()
    assert run_migrate(memory, "2.0.0", accept_unreadable=False).unreadable == 0


def test_h19_down_brings_back_what_agents_read(tmp_path: Path) -> None:
    memory = two_agents(tmp_path, change=to_v120)
    before = contents(memory)
    assert run_migrate(memory, "2.0.0").unreadable == 8
    assert "performance" in loaded(memory, "alpha/patterns.json")[0]
    assert run_migrate(memory, "1.2.0", "down").unreadable == 0
    assert contents(memory) == before


def test_h21_fields_that_nobody_knows_are_kept_both_ways(tmp_path: Path) -> None:
    own = {"mine": {"deep": [1, {"x": "y"}]}, "figure": 2**70, "metrics": {"successRate": 0.5, "own": "kept"}}
    memory = two_agents(tmp_path, change=lambda one: {**one, **own})
    before = contents(memory)
    run_migrate(memory, "2.0.0")
    assert all(b'"kept"' in data and str(2**70).encode() in data for data in contents(memory).values())
    run_migrate(memory, "1.0.0", "down")
    assert contents(memory) == before


def test_h22_a_mixed_store_is_told_and_only_the_rest_is_moved(tmp_path: Path) -> None:
    memory = two_agents(tmp_path, change=to_v110)
    done = [to_v120(pattern(id="done", note="mine"))]
    write_array(memory / "beta" / "patterns.json", [*done, pattern(id="old")])
    write_array(memory / "beta" / "decisions.json", [to_v120(pattern(id="all done"))])
    untouched = (memory / "beta" / "decisions.json").read_bytes()
    found = detected(memory)
    assert found.is_mixed
    assert found.versions == {"1.0.0": 1, "1.1.0": 12, "1.2.0": 2}
    report = run_migrate(memory)
    assert report.migrated == 13
    assert (memory / "beta" / "decisions.json").read_bytes() == untouched
    raw = gunzipped((memory / "beta" / "patterns.json").read_bytes())
    assert encode_array(done)[1:-2] in raw
    after = contents(memory)
    assert run_migrate(memory).migrated == 0
    assert contents(memory) == after
    assert not detected(memory).is_mixed


def test_h22_a_claim_is_never_believed(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    state = memory.with_name("memory.aml")
    state.mkdir()
    (state / "schema.json").write_text('{"version": "2.0.0", "updated_at": "2026-01-01T00:00:00Z"}', encoding="utf-8")
    (claim,) = detected(memory).claims
    assert (claim.version, claim.is_true) == ("2.0.0", False)
    assert run_migrate(memory, "1.1.0").migrated == 18
    (claim,) = detected(memory).claims
    assert (claim.version, claim.is_true) == ("1.1.0", True)


def test_h50_one_bad_record_stops_everything_before_anything_changes(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    spoil(memory)
    before = contents(memory)
    with pytest.raises(AmlError) as raised:
        run_migrate(memory)
    for part in ("nothing was changed", "beta/solutions.json", "position 1", "id s1", STRANGE):
        assert part in raised.value.message
    assert "--skip-bad" in raised.value.advice
    assert raised.value.status == ExitStatus.FAILED
    assert contents(memory) == before
    assert not left_behind(memory)


def test_h50_with_skip_bad_such_a_record_keeps_its_bytes_and_is_told(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    spoil(memory)
    kept = read_array(memory / "beta" / "solutions.json")[1]
    report = run_migrate(memory, skip_bad=True)
    assert report.status is ExitStatus.PARTIAL
    assert [(one.position, one.id) for one in report.bad] == [(1, "s1")]
    assert read_array(memory / "beta" / "solutions.json")[1] == kept
    assert report.migrated == 17
    assert claim_of(memory) is None, "a claim that would not be true is not made"


def test_h50_newer_records_stop_everything_with_a_status_of_their_own(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    spoil(memory, version="3.0.0")
    before = contents(memory)
    with pytest.raises(SchemaError, match=r"beta/solutions\.json"):
        run_migrate(memory)
    with pytest.raises(SchemaError):
        run_migrate(memory, "1.0.0", "down")
    assert contents(memory) == before
    assert detected(memory).status is ExitStatus.SCHEMA
    assert run_migrate(memory, skip_bad=True).status is ExitStatus.PARTIAL


def test_h50_a_file_that_stays_locked_has_all_others_put_back(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    before = contents(memory)
    with agent_lock(memory / "beta" / "decisions.json"), pytest.raises(LockedError, match="every file is as it was"):
        run_migrate(memory)
    assert contents(memory) == before
    assert not left_behind(memory)
    assert json.loads(aml(tmp_path, "migrate", "history", "--json").out)["data"]["runs"][0]["state"] == "failed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_h50_a_folder_that_cannot_be_written_has_all_others_put_back(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    before = contents(memory)
    (memory / "beta").chmod(0o500)
    try:
        with pytest.raises(FileAccessError, match="every file is as it was"):
            run_migrate(memory)
    finally:
        (memory / "beta").chmod(0o700)
    assert contents(memory) == before


def test_h50_what_an_agent_wrote_into_a_replaced_file_survives_the_way_back(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    before = contents(memory)
    first = memory / "alpha" / "patterns.json"
    mine = pattern(id="mine")
    turn = Lock()

    def interfere() -> None:
        """An agent adds a record to a file as soon as that was replaced."""
        with turn:
            if first.read_bytes() != before["alpha/patterns.json"] and len(read_array(first)) == 4:
                write_array(first, [*read_array(first), mine])

    with agent_lock(memory / "beta" / "decisions.json"), pytest.raises(LockedError, match=r"alpha/patterns\.json"):
        run_migrate(memory, lock_timeout=0.5, progress=lambda _: interfere())
    assert read_array(first)[-1] == mine
    after = contents(memory)
    assert {path for path in after if after[path] != before[path]} == {"alpha/patterns.json"}
    assert (memory.with_name("memory-backup") / "quarantine").exists(), "its original is there to be looked at"


@pytest.mark.parametrize(
    "words",
    [
        "prune --yes",
        "prune --strategy space --aggressive --max-loss 100%",
        "optimize gc",
        "optimize gc --salvage",
        "optimize all",
        "optimize compress --age-days 0",
        "optimize index",
        "optimize warm-cache",
        "migrate down --to 1.0.0 --skip-bad",
        "backup auto",
        "query",
    ],
)
def test_other_commands_leave_records_of_a_newer_schema_and_tell(tmp_path: Path, words: str) -> None:
    memory = two_agents(tmp_path, change=to_v200)
    spoil(memory, version="3.0.0")
    kept = read_array(memory / "beta" / "solutions.json")[1]
    answer = aml(tmp_path, *words.split())
    # the two that look at no record, and the one that was asked to leave some
    other = {"optimize compress": 0, "backup auto": 0, "migrate down": 3}
    assert answer.status == other.get(" ".join(words.split()[:2]), 13), answer.err
    assert read_array(memory / "beta" / "solutions.json")[1] == kept


def test_records_are_put_back_beside_those_of_a_newer_schema(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    path = memory / "beta" / "patterns.json"
    old = pattern(id="old", created_days=900, unused_days=900, success=0.1)
    write_array(path, [pattern(id="a"), old, pattern(id="b")])
    run = aml(tmp_path, "prune", "--max-loss", "100%", "--json").envelope["data"]["run"]
    newer = {**pattern(id="a"), "version": "3.0.0", "whatever": {"it": "means"}}
    write_array(path, [newer, pattern(id="b")])
    assert aml(tmp_path, "prune", "undo", run).status == 0
    assert read_array(path) == [newer, old, pattern(id="b")]
