"""Agents that work on a store while it is migrated: what they wrote is there, and of the target's version."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from aml.errors import ExitStatus, LockedError
from tests.cli.running import aml_child
from tests.contract.migrating import claim_of, contents, detected, ids, left_behind, loaded, run_migrate, two_agents
from tests.support.live_writer import agent_lock, append_record, fresh_pattern, start_writer
from tests.support.records import pattern
from tests.support.stores import make_store, read_array, write_array


def test_what_an_agent_wrote_after_the_plan_is_migrated_under_the_lock(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    late = memory / "beta" / "decisions.json"
    written: list[str] = []

    def write(name: str) -> None:
        """When the last file has been planned, and so before the first is replaced."""
        if name == "the rest" and not written:
            append_record(late, pattern(id="late", agent="beta"))
            written.append(name)

    report = run_migrate(memory, progress=write)
    assert written
    assert report.migrated == 19
    assert read_array(late)[-1]["metadata"]["created_by"] == "beta"
    assert detected(memory).versions == {"1.2.0": 19}
    assert claim_of(memory)["version"] == "1.2.0"


def test_a_file_that_appears_meanwhile_is_migrated_too(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)

    def write(name: str) -> None:
        if name == "the rest":
            write_array(memory / "gamma" / "patterns.json", [pattern(id="late", agent="gamma")])

    report = run_migrate(memory, progress=write)
    assert ("gamma", "patterns.json", "migrated") in [(file.agent, file.file, file.fate) for file in report.files]
    assert detected(memory).versions == {"1.2.0": 19}
    assert not left_behind(memory)


def test_a_file_that_goes_meanwhile_is_told(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    gone = memory / "beta" / "decisions.json"
    report = run_migrate(memory, progress=lambda name: gone.unlink() if name == "the rest" else None)
    assert [(file.agent, file.file) for file in report.files if file.fate == "gone"] == [("beta", "decisions.json")]
    assert report.status is ExitStatus.DONE
    assert not gone.exists()


def test_a_bad_record_that_comes_when_all_is_done_is_left_and_told(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    other = memory / "alpha" / "solutions.json"
    write_array(other, [])

    def write(name: str) -> None:
        """Nothing was to be done to that file, so it is not looked at before all others are replaced."""
        if name == "the rest":
            write_array(other, [pattern(id="ok"), {**pattern(id="bad"), "version": "1.7.0"}])

    report = run_migrate(memory, progress=write)
    assert report.status is ExitStatus.PARTIAL
    assert [one.id for one in report.bad] == ["bad"]
    assert "metadata" in loaded(memory, "alpha/solutions.json")[0]
    assert detected(memory).versions == {"1.2.0": 16, "1.7.0": 1}
    assert claim_of(memory) is None


def test_a_file_that_an_agent_keeps_locked_stops_nothing_for_good(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    with agent_lock(memory / "beta" / "patterns.json"), pytest.raises(LockedError):
        run_migrate(memory)
    assert run_migrate(memory).migrated == 18


def test_h30_no_acknowledged_write_of_a_live_agent_is_lost(tmp_path: Path) -> None:
    agents = {agent: {"patterns": [fresh_pattern(agent) for _ in range(60)]} for agent in ("alpha", "beta")}
    memory = make_store(tmp_path, agents)
    files = [memory / agent / "patterns.json" for agent in agents]
    before = ids(memory)
    writer = start_writer(files, tmp_path / "writer.log", seconds=2)
    seen = set()
    try:
        while writer.process.poll() is None:
            for words in (("up", "--to", "1.2.0"), ("down", "--to", "1.1.0")):
                answer = aml_child(tmp_path, "migrate", *words, "--json")
                assert answer.status == ExitStatus.DONE, answer.out
                seen.add(answer.envelope["data"]["migrated"] > 0)
        written = writer.finish()
    finally:
        writer.kill()
    assert len(written) >= 2
    assert True in seen
    assert aml_child(tmp_path, "migrate", "up").status == ExitStatus.DONE
    after = ids(memory)
    names = [(f"{one.file.parent.name}/{one.file.name}", one.record["id"]) for one in written]
    assert after == before + Counter(names)
    assert detected(memory).versions == {"1.2.0": sum(after.values())}
    assert not left_behind(memory)


@pytest.mark.skipif(sys.platform != "linux", reason="children are made on Linux alone")
def test_a_large_store_is_migrated_by_children_to_the_same_bytes(tmp_path: Path) -> None:
    """The test runner has threads, and so works alone; a process of its own makes children."""
    noise = "x" * 60_000
    for name in ("alone", "by-children"):
        two_agents(tmp_path / name, change=lambda one: {**one, "timestamp": "2026-01-01T00:00:00Z", "note": noise})
        for path in (tmp_path / name).glob(".loom/memory/*/patterns.json"):
            write_array(path, [{**one, "id": f"{one['id']}-{turn}"} for turn in range(10) for one in read_array(path)])
    assert run_migrate(tmp_path / "alone" / ".loom" / "memory").migrated == 90
    answer = aml_child(tmp_path / "by-children", "migrate", "up", "--json")
    assert answer.status == 0, answer.out
    assert answer.envelope["data"]["migrated"] == 90
    assert contents(tmp_path / "alone" / ".loom" / "memory") == contents(tmp_path / "by-children" / ".loom" / "memory")
    assert not left_behind(tmp_path / "by-children" / ".loom" / "memory")
