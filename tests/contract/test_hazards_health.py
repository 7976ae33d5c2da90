"""Hazards where health is concerned: what is fine is never called ill, and what is not is never called fine."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aml.config import HealthSettings, Settings
from tests.cli.running import aml, kept, old
from tests.contract.checking import checked, health, subjects
from tests.support.records import decision, pattern, solution
from tests.support.stores import make_store, read_array, write_array


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_h04_health_sees_every_record_of_a_gzip_store(tmp_path: Path, form: Any) -> None:
    """H04: on a gzip store 0 records were seen, and all was said to be well."""
    kinds = {"patterns": [pattern() for _ in range(12)], "solutions": [solution()], "decisions": [decision(), None]}
    memory = make_store(tmp_path, {"alpha": kinds, "beta": kinds}, form=form)
    report = health(memory, settings=Settings(health=HealthSettings(max_patterns=12)))
    assert (report.agents, report.records) == (2, 30)
    levels = {(one.check, one.subject): one.level.word for one in report.findings}
    assert levels["integrity", "alpha/decisions"] == "warning"
    assert levels["caps", "beta/patterns"] == "warning"
    write_array(memory / "alpha/patterns.json", [pattern(success=7)], form=form)
    assert subjects(checked(memory, "runtime_readable"))["alpha/patterns"] == "warning"


@pytest.mark.parametrize("damage", [b"garbage", b"", b"\x1f\x8b\x08\x00garbage", b"[{]", b'{"id": 1}', b"[] []"])
@pytest.mark.parametrize("path", ["alpha/patterns.json", "alpha/metrics.json", "global/cross-agent.json"])
def test_h32_a_garbage_file_is_critical(tmp_path: Path, path: str, damage: bytes) -> None:
    """H32: a garbage file passed the integrity check, and the exit status was 0."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    (memory / "global").mkdir()
    (memory / path).write_bytes(damage)
    answer = aml(tmp_path, "monitor", "health", "--checks", "integrity")
    if path != "alpha/patterns.json" and damage == b'{"id": 1}':
        assert (answer.status, checked(memory, "integrity").state) == (0, "ok"), "a document may well be an object"
        return
    assert answer.status == 5
    assert answer.out.startswith("critical  integrity (")
    assert "mend: " in answer.out
    assert (memory / path).read_bytes() == damage


def test_h33_a_store_just_begun_is_healthy(tmp_path: Path) -> None:
    """H33: a healthy new store was reported critical."""
    memory = make_store(tmp_path, {})
    for folder in ("global", "audit", "backup"):
        (memory / folder).mkdir()
    (memory / "config.json").write_text('{"version": "1.0.0", "agentOverrides": {}}')
    report = health(memory)
    assert (report.level, report.findings, int(report.status)) == ("ok", (), 0)
    answer = aml(tmp_path, "monitor", "health", "--fail-on", "info")
    assert (answer.status, answer.out) == (0, "health: all is well; 20 checks run; 0 agents, 0 records\n")
    assert aml(tmp_path, "monitor", "health", "-q").out == ""
    assert {one.state for one in health(make_store(tmp_path / "bare", {})).checks} == {"ok"}


@pytest.mark.parametrize("agents", [{"alpha": {}}, {"alpha": {"patterns": [], "solutions": [], "decisions": []}}])
def test_h33_agents_that_have_learned_nothing_yet_are_healthy(tmp_path: Path, agents: Any) -> None:
    report = health(make_store(tmp_path, agents))
    assert report.level in ("ok", "warning")
    assert {one.check for one in report.findings} <= {"backup", "index"}


def test_h48_audit_backup_and_the_like_are_no_agents(tmp_path: Path) -> None:
    """H48: audit/, backup/ and the tool's own folder were treated as agents."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    for folder in ("audit", "backup/alpha-1", "backups", "backup-17-x/alpha", "config", "global", "monitoring", ".git"):
        write_array(memory / folder / "patterns.json", [pattern() for _ in range(700)])
    report = health(memory)
    assert (report.agents, report.records) == (1, 1)
    assert {one.subject for one in report.findings if one.check not in ("backup", "index")} == set()


def test_h51_records_that_came_back_are_recognised_counted_and_reported(tmp_path: Path) -> None:
    """H51: records that were pruned came back by a live agent's cached copy, unnoticed."""
    records = [*(old(f"o{n}") for n in range(3)), *(kept(f"k{n}") for n in range(12))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}, "beta": {"patterns": [kept("b")]}})
    file = memory / "alpha/patterns.json"
    assert aml(tmp_path, "prune").status == 0
    assert len(read_array(file)) == 12
    assert checked(memory, "resurrected").value == 0
    # a live agent writes what it has in memory, one record of it changed meanwhile, and a new one
    write_array(file, [records[0] | {"active": False}, *records[1:], kept("new")])
    answer = aml(tmp_path, "monitor", "health", "--checks", "resurrected", "--json", "--fail-on", "warning")
    assert answer.status == 4
    (finding,) = next(one for one in answer.envelope["data"]["checks"] if one["name"] == "resurrected")["findings"]
    assert (finding["subject"], finding["level"], finding["value"]) == ("alpha/patterns", "warning", 3)
    assert aml(tmp_path, "prune").status == 0
    assert checked(memory, "resurrected").state == "ok"


@pytest.mark.parametrize("padding", [0, 1 << 20], ids=["small", "large"])
def test_h51_what_came_back_is_recognised_where_the_runtime_takes_every_record(tmp_path: Path, padding: int) -> None:
    """As in most stores: there a file is judged at once, and a large one in parts."""
    gone, stays = [old(str(uuid4())) for _ in range(3)], [pattern() for _ in range(12)]
    for record in stays:
        record["pattern"]["approach"]["codeTemplate"] = "x" * padding
    memory = make_store(tmp_path, {"alpha": {"patterns": [*gone, *stays]}})
    assert checked(memory, "runtime_readable").state == "ok"
    assert aml(tmp_path, "prune").status == 0
    write_array(memory / "alpha/patterns.json", [gone[0], *stays, gone[1], gone[1]])
    report = checked(memory, "resurrected")
    assert [(one.subject, one.value) for one in report.findings] == [("alpha/patterns", 2)]
    assert checked(memory, "runtime_readable").state == "ok"
