"""What a store claims about its versions is never believed, and what it is kept with may be spoilt (H18, H22)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import PROJECT, aml
from tests.contract.moving import (
    ROUND,
    assert_untouched,
    cases,
    elements,
    left_behind,
    looked,
    meanings_of,
    migrate,
    migrated,
    other_files,
    record_files,
    small_store,
    versions_of,
)
from tests.support.live_writer import agent_lock
from tests.support.records import NOW, pattern
from tests.support.schema_versions import NEWEST, VERSIONS
from tests.support.stores import Form, make_store, tree_digest

# ---- what is claimed

CLAIMS: dict[str, bytes] = {
    "a lie": b'{"version": "2.0.0", "updated_at": "2026-01-01T00:00:00.000Z", "history": []}',
    "a version from the future": b'{"version": "99.0.0"}',
    "nothing": b"",
    "no object": b"[1, 2]",
    "null": b"null",
    "a word": b"2.0.0",
    "a number": b'{"version": 2}',
    "half": b'{"version": "1.0',
    "no text": b"\xff\xfe",
    "history that is none": b'{"version": "1.0.0", "history": "long"}',
    "history of oddities": b'{"version": "1.0.0", "history": [1, null, {"from": 3}, []], "own": 1.10}',
    "another name": b'{"schema_version": "1.0.0", "migrated": true}',
}


@pytest.mark.parametrize("where", ["config/schema_version.json", "state"])
@pytest.mark.parametrize("case", cases(CLAIMS, "a lie", "history of oddities", "no text"))
def test_h22_a_claim_is_never_believed(tmp_path: Path, case: str, where: str) -> None:
    """H22: a half-migrated store was called latest, or was migrated twice and its values reset."""
    memory = small_store(tmp_path, "mixed")
    claim = memory / where if where != "state" else memory.with_name("memory.aml") / "schema.json"
    claim.parent.mkdir(exist_ok=True)
    claim.write_bytes(CLAIMS[case])
    meant = meanings_of(memory)
    detected = looked(tmp_path, "detect")
    assert detected.status == 0, detected.out
    looked(tmp_path, "history")
    answer = migrate(tmp_path, "up")
    assert answer.status in (0, ExitStatus.PARTIAL), (answer.out, answer.err)
    assert versions_of(memory).keys() == {NEWEST}
    assert meanings_of(memory) == meant
    once = record_files(memory)
    migrated(tmp_path, "up")
    assert record_files(memory) == once
    if claim.is_file() and b'"version": "1.0.0"' not in CLAIMS[case] and where == "state":
        assert json.loads(claim.read_bytes())["version"] == NEWEST


@pytest.mark.parametrize("claim", [b'{"version": "1.0.0"}', b'{"version": "1.0.0", "own": {"a": 1.10}, "history": []}'])
def test_the_claim_in_the_store_is_brought_up_to_date_only_where_it_is(tmp_path: Path, claim: bytes) -> None:
    memory = small_store(tmp_path)
    migrated(tmp_path, "up")
    assert not (memory / "config").exists(), "the runtime would take it for an agent"
    (memory / "config").mkdir()
    migrated(tmp_path, "down", "--to", "1.2.0")
    assert list((memory / "config").iterdir()) == []
    (memory / "config/schema_version.json").write_bytes(claim)
    migrated(tmp_path, "up")
    told = json.loads((memory / "config/schema_version.json").read_bytes())
    assert told["version"] == NEWEST
    assert told.get("own") == json.loads(claim).get("own"), "what others keep in that file stays"


def test_a_claim_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    memory = small_store(tmp_path)
    outside = tmp_path / "outside.json"
    outside.write_bytes(b'{"version": "1.0.0"}')
    (memory / "config").mkdir()
    (memory / "config/schema_version.json").symlink_to(outside)
    answer = migrate(tmp_path, "up")
    assert "Traceback" not in answer.err
    assert outside.read_bytes() == b'{"version": "1.0.0"}'
    assert versions_of(memory).keys() == {NEWEST}


# ---- where and when


@pytest.mark.parametrize("words", [("up", "--to", "3.0.0"), ("up", "--to", "x"), ("down",), ("down", "--to", "0.9")])
def test_versions_that_there_are_not_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    memory = small_store(tmp_path)
    before = tree_digest(memory)
    answer = migrate(tmp_path, *words)
    assert answer.status in (ExitStatus.USAGE, ExitStatus.SCHEMA, ExitStatus.FAILED), answer.out
    assert_untouched(memory, before, tmp_path)


def test_down_never_goes_up_and_up_never_goes_down(tmp_path: Path) -> None:
    memory = small_store(tmp_path, "mixed")
    counts = versions_of(memory)
    migrate(tmp_path, "up", "--to", "1.1.0")
    assert versions_of(memory) == {
        "1.1.0": counts["1.0.0"] + counts["1.1.0"],
        "1.2.0": counts["1.2.0"],
        "2.0.0": counts["2.0.0"],
    }
    migrate(tmp_path, "down", "--to", "1.2.0")
    assert versions_of(memory) == {
        "1.1.0": counts["1.0.0"] + counts["1.1.0"],
        "1.2.0": counts["1.2.0"] + counts["2.0.0"],
    }


@pytest.mark.parametrize("version", cases(VERSIONS, "1.0.0"))
@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_a_dry_run_and_looking_change_nothing_at_all(tmp_path: Path, version: str, form: Form) -> None:
    memory = small_store(tmp_path, version, form)
    before = tree_digest(tmp_path)
    for words in (("detect",), ("plan",), ("up", "--dry-run"), ("down", "--to", "1.0.0", "--dry-run"), ("history",)):
        assert looked(tmp_path, *words).status == 0
        assert {
            path: one for path, one in tree_digest(tmp_path).items() if not path.startswith(".loom/memory.aml")
        } == (before)
    assert tree_digest(memory)


def test_h18_without_a_backup_nothing_is_migrated(tmp_path: Path) -> None:
    """H18: the backup before a migration failed, the migration went on."""
    memory = small_store(tmp_path)
    memory.with_name("memory-backup").write_bytes(b"in the way")
    before = tree_digest(memory)
    answer = migrate(tmp_path, "up")
    assert answer.status not in (0, ExitStatus.USAGE), answer.out
    assert tree_digest(memory) == before
    assert "Traceback" not in answer.err


def test_the_backup_before_a_migration_restores_what_was(tmp_path: Path) -> None:
    memory = small_store(tmp_path, "mixed", "gzip")
    before = {place: [one.text for one in elements(data)] for place, data in record_files(memory).items()}
    migrated(tmp_path, "up")
    (backup,) = aml(tmp_path, "backup", "list", "--tag", "pre-migration", "--json").envelope["data"]["backups"]
    diff = aml(tmp_path, "backup", "diff", backup["id"], "--json").envelope["data"]
    assert {one["what"] for one in diff["files"]} == {"changed"}
    assert aml(tmp_path, "backup", "restore", backup["id"], "--yes").status == 0
    assert {place: [one.text for one in elements(data)] for place, data in record_files(memory).items()} == before


@pytest.mark.slow
@pytest.mark.parametrize("way", ROUND)
def test_h29_an_agent_that_holds_a_lock_keeps_it(tmp_path: Path, way: str) -> None:
    memory = small_store(tmp_path, "1.0.0" if way == "up" else NEWEST)
    held = memory / "beta/decisions.json"
    before, meant = record_files(memory), meanings_of(memory)
    with agent_lock(held):
        answer = migrate(tmp_path, way, "--to", ROUND[way], "--lock-timeout", "0.2")
        assert record_files(memory) == before, "not only the locked one stays: it is all or nothing"
    assert answer.status == ExitStatus.LOCKED, answer.out
    assert str(held) in answer.out
    assert meanings_of(memory) == meant
    migrated(tmp_path, way, "--to", ROUND[way])
    assert versions_of(memory).keys() == {ROUND[way]}
    assert left_behind(tmp_path) == []


def _harm(path: Path) -> None:
    path.write_bytes(b"\x00" * 20)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [_harm, Path.unlink, lambda path: (path.unlink(), path.mkdir())])
def test_spoilt_state_keeps_no_record_from_anybody(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    memory = small_store(tmp_path)
    meant = meanings_of(memory)
    migrated(tmp_path, "up")
    for path in sorted(memory.with_name("memory.aml").rglob("*")):
        if path.is_file() and path.name not in (".gitignore", "run.lock"):
            harm(path)
    for words in (("detect",), ("plan",), ("history",), ("down", "--to", "1.0.0"), ("up",)):
        answer = migrate(tmp_path, *words) if words[0] in ROUND else looked(tmp_path, *words)
        assert "Traceback" not in answer.err + answer.out
        assert meanings_of(memory) == meant


@pytest.mark.slow
def test_a_clock_that_goes_wrong_stops_no_migration_of_records(tmp_path: Path) -> None:
    memory = small_store(tmp_path)
    meant = meanings_of(memory)
    migrated(tmp_path, "up")
    for days in (-400, 4000):
        answer = migrate(tmp_path, "down", "--to", "1.0.0", now=NOW.timestamp() + days * 86_400)
        assert "Traceback" not in answer.err
        migrate(tmp_path, "up", now=NOW.timestamp() + days * 86_400)
        assert meanings_of(memory) == meant


def test_nothing_else_in_the_store_is_touched(tmp_path: Path) -> None:
    memory = small_store(tmp_path)
    (memory / "global").mkdir()
    for name in ("global/cross-agent.json", "alpha/metrics.json", "alpha/context.json", "README.md", "config.json"):
        (memory / name).write_bytes(b'{"metrics": {"successRate": 1.10}, "evolution": {}}')
    before = other_files(memory)
    for words in (("up",), ("down", "--to", "1.0.0"), ("up", "--to", "1.2.0")):
        migrated(tmp_path, *words)
        assert other_files(memory) == before


def test_h22_a_migration_that_the_next_run_completes_claims_only_what_is_true(tmp_path: Path) -> None:
    """H22: it was killed when all files were replaced, but for a bad record that was to be left as it is."""
    bad = {"id": "bad", "agent": "alpha", "metadata": "none"}
    # of several files it is open which one is replaced last
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(), bad]}})
    words = ("migrate", "up", "--to", NEWEST, "--skip-bad", "--yes")
    inject = ("--folder", str(tmp_path), "--fault", "kill-before", "--at", "1", "--only", "rmdir .loom/memory/alpha")
    done = subprocess.run(
        [sys.executable, str(PROJECT / "tests/fault/inject.py"), *inject, "--", "--store", str(memory), *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr
    assert versions_of(memory) == {NEWEST: 1, "1.0.0": 1}
    assert aml(tmp_path, "optimize", "compress", "--yes", now=time.time()).status == 0
    assert left_behind(tmp_path) == []
    told = looked(tmp_path, "history").envelope["data"]
    assert [claim["is_true"] for claim in told["claims"]] in ([], [True])
    assert [run["counts"]["migrated"] for run in told["runs"]] == [1]
    assert [run["state"] for run in told["runs"]] == ["partial"]
