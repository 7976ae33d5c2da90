"""Agents go on writing records of an old version while a store is migrated: no acknowledged write is lost (H30)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import aml
from aml.errors import ExitStatus
from tests.contract.moving import left_behind, meanings_of, versions_of
from tests.support.live_writer import Acknowledged, Writer, agent_lock, fresh_pattern, start_writer
from tests.support.schema_versions import NEWEST, read_meaning
from tests.support.stores import Form, make_store, read_array

AGENTS = ("alpha", "beta")


def run_aml(store: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON answer of one command line in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    done = subprocess.run(
        [sys.executable, "-m", "aml", "--store", str(store), "--json", *words],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(Path(aml.__file__).parents[1])},
        timeout=150,
    )
    assert done.stdout, f"no answer, exit {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


@dataclass
class Observed:
    """What was seen while writers and migrations ran side by side."""

    writes: list[list[Acknowledged]] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)


def migrate_in_a_loop(store: Path, writers: Sequence[Writer], seen: Observed) -> None:
    """Up and down in turns for as long as any writer lives."""
    rounds = [
        ("up", "--to", NEWEST),
        ("down", "--to", "1.1.0"),
        ("up", "--to", "1.2.0"),
        ("up", "--to", NEWEST),
        ("down", "--to", "1.2.0"),
    ]
    number = 0
    while any(writer.process.poll() is None for writer in writers):
        words = rounds[number % len(rounds)]
        status, answer = run_aml(store, "migrate", *words, "--yes")
        seen.statuses[" ".join(words), status] += 1
        assert status in (ExitStatus.DONE, ExitStatus.LOCKED), answer
        number += 1


def check_side_by_side(tmp_path: Path, form: Form, seconds: float, programs: Sequence[Sequence[str]]) -> None:
    at_first = {agent: {"patterns": [fresh_pattern(agent) for _ in range(400)]} for agent in AGENTS}
    store = make_store(tmp_path, at_first, form=form)
    files = [store / agent / "patterns.json" for agent in AGENTS]
    expected = meanings_of(store)
    writers = [
        start_writer(files[number:] + files[:number], tmp_path / f"{number}.log", seconds=seconds, program=program)
        for number, program in enumerate(programs)
    ]
    seen = Observed()
    try:
        migrate_in_a_loop(store, writers, seen)
        seen.writes = [writer.finish() for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    print("writes of each writer:", [len(done) for done in seen.writes], dict(seen.statuses))
    for entries in seen.writes:
        assert len(entries) >= seconds / 5, "a writer starved"
        for entry in entries:
            expected[entry.file.parent.name, "patterns", entry.record["id"]] = read_meaning("patterns", entry.record)
    assert sum(seen.statuses.values()) >= 2, "nothing was migrated while agents wrote"
    assert meanings_of(store) == expected
    converge(store, len(expected))
    assert meanings_of(store) == expected


def converge(store: Path, records: int) -> None:
    """Once no agent writes any more, one more run takes all of them to the newest version, and a second none."""
    assert run_aml(store, "migrate", "up", "--to", NEWEST, "--yes")[0] == ExitStatus.DONE
    assert versions_of(store) == {NEWEST: records}
    before = {path: path.read_bytes() for path in store.glob("*/*.json")}
    assert run_aml(store, "migrate", "up", "--to", NEWEST, "--yes")[0] == ExitStatus.DONE
    assert {path: path.read_bytes() for path in store.glob("*/*.json")} == before
    assert left_behind(store.parent.parent) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gzip", "plain"])
def test_h30_no_acknowledged_write_is_lost_while_a_store_goes_up_and_down(tmp_path: Path, form: Form) -> None:
    check_side_by_side(tmp_path, form, seconds=20, programs=[(), ()])


@pytest.mark.node
@pytest.mark.slow
def test_h30_no_acknowledged_write_of_a_node_agent_is_lost_meanwhile(tmp_path: Path, node_writer: list[str]) -> None:
    check_side_by_side(tmp_path, "gzip", seconds=20, programs=[node_writer, node_writer, ()])


@pytest.mark.slow
def test_h29_while_an_agent_holds_a_file_locked_nothing_is_migrated(tmp_path: Path) -> None:
    store = make_store(tmp_path, {agent: {"patterns": [fresh_pattern(agent)]} for agent in AGENTS})
    held = store / "alpha/patterns.json"
    before = held.read_bytes()
    with agent_lock(held):
        status, answer = run_aml(store, "migrate", "up", "--to", NEWEST, "--yes", "--lock-timeout", "0.3")
        assert status == ExitStatus.LOCKED, answer
        assert held.read_bytes() == before
        assert versions_of(store) == {"1.1.0": 2}
    assert str(held) in json.dumps(answer)
    assert run_aml(store, "migrate", "up", "--to", NEWEST, "--yes")[0] == ExitStatus.DONE
    assert versions_of(store) == {NEWEST: 2}
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_records_of_an_old_version_that_an_agent_writes_after_a_migration_go_up_with_the_next(tmp_path: Path) -> None:
    """The runtime writes its whole cache back, so that all its records are old again."""
    store = make_store(tmp_path, {"alpha": {"patterns": [fresh_pattern("alpha") for _ in range(3)]}})
    file = store / "alpha/patterns.json"
    cached = read_array(file)
    assert run_aml(store, "migrate", "up", "--to", NEWEST, "--yes")[0] == ExitStatus.DONE
    with agent_lock(file):
        file.write_text(json.dumps([*cached, fresh_pattern("alpha")]), encoding="utf-8")
    expected = meanings_of(store)
    converge(store, 4)
    assert meanings_of(store) == expected
