"""Agents go on writing while prunes run: no acknowledged write is lost, no writer is harmed or starved (H29, H30)."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import aml
from aml.errors import ExitStatus
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.budget import Limits
from aml.prune.options import PruneOptions
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune
from tests.support.live_writer import (
    Acknowledged,
    Writer,
    agent_lock,
    fresh_pattern,
    start_writer,
    unused_pattern,
)
from tests.support.records import NOW, pattern
from tests.support.stores import Form, make_store, read_array, tree_digest

ALL_MAY_GO = PruneOptions(limits=Limits(run_share=1.0, window_share=1.0))


def aml_command(store: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "aml", "--store", str(store), "--json", *words]


def child_environment() -> dict[str, str]:
    """This environment without settings of AML, and with the package under test in front."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    return inherited | {"PYTHONPATH": str(Path(aml.__file__).parents[1])}


def run_aml(store: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON answer of one command line in a process of its own."""
    done = subprocess.run(
        aml_command(store, *words), capture_output=True, text=True, env=child_environment(), timeout=150
    )
    assert done.stdout, f"no answer, exit {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def archived_records(store: Path) -> list[dict[str, Any]]:
    """Every record in an archive beside the store, read without the code under test."""
    found = []
    for archive in sorted(store.with_name(store.name + "-backup").glob("archives/**/*.jsonl.gz")):
        lines = gzip.decompress(archive.read_bytes()).splitlines()
        found += [json.loads(json.loads(line)["text"]) for line in lines]
    return found


@dataclass
class Observed:
    """What was seen while writers and prunes ran side by side."""

    writes: list[list[Acknowledged]] = field(default_factory=list)
    prunes: Counter[int] = field(default_factory=Counter)
    removed: int = 0


def prune_in_a_loop(store: Path, writers: Sequence[Writer], seen: Observed) -> None:
    """One prune after the other for as long as any writer lives; the files must parse at every moment."""
    while any(writer.process.poll() is None for writer in writers):
        status, answer = run_aml(store, "prune", "--max-loss", "100%")
        seen.prunes[status] += 1
        # what agents append between plan and lock waits for the next run, which is no more than partial
        assert status in (ExitStatus.DONE, ExitStatus.PARTIAL), answer
        files = answer["data"]["files"]
        assert [file["problem"] for file in files if file["problem"]] == []
        seen.removed += sum(file["removed"] for file in files)


@contextmanager
def reading_all_the_while(files: Sequence[Path]) -> Iterator[None]:
    """Read the files without a lock over and over, as any reader may; leaving raises what one of the reads raised."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.wait(0.05):
            for file in files:
                try:
                    read_array(file)
                except (ValueError, EOFError, OSError) as error:
                    failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
    assert not failures, f"a reader saw a broken file: {failures[0]!r}"


def make_live_store(tmp_path: Path, form: Form) -> tuple[Path, list[Path]]:
    """Two agents with enough records that reading and writing a file takes a while."""
    agents = {
        agent: {
            "patterns": [fresh_pattern(agent) for _ in range(1000)] + [unused_pattern(agent) for _ in range(5)],
        }
        for agent in ("alpha", "beta")
    }
    store = make_store(tmp_path, agents, form=form)
    return store, [store / agent / "patterns.json" for agent in agents]


def live_run(
    tmp_path: Path, form: Form, seconds: float, programs: Sequence[Sequence[str]]
) -> tuple[Path, list[Any], Observed]:
    """Writers and prunes side by side; returns the store, the records it began with, and what was seen."""
    store, files = make_live_store(tmp_path, form)
    at_first = [record for file in files for record in read_array(file)]
    writers = [
        start_writer(files[number:] + files[:number], tmp_path / f"{number}.log", seconds=seconds, program=program)
        for number, program in enumerate(programs)
    ]
    seen = Observed()
    try:
        with reading_all_the_while(files):
            prune_in_a_loop(store, writers, seen)
        seen.writes = [writer.finish() for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    print("writes of each writer:", [len(done) for done in seen.writes], "prunes:", dict(seen.prunes), seen.removed)
    return store, at_first, seen


def check_nothing_was_lost(store: Path, at_first: Sequence[dict[str, Any]], seen: Observed) -> None:
    """Each record is where it belongs, once and unchanged; fresh ones in the store, others there or in an archive."""
    live = [record for file in sorted(store.glob("*/patterns.json")) for record in read_array(file)]
    archived = archived_records(store)
    assert len(archived) == seen.removed
    by_id = {record["id"]: record for record in live + archived}
    written = [entry for entries in seen.writes for entry in entries]
    for record in [*at_first, *(entry.record for entry in written)]:
        assert by_id.get(record["id"]) == record, f"lost or changed: {record['id']}"
    assert len(by_id) == len(at_first) + len(written)
    assert len(by_id) == len(live) + len(archived), "a record is in two places"
    in_store = {record["id"] for record in live}
    assert {entry.record["id"] for entry in written if entry.fresh} <= in_store


def check_both_sides_worked(store: Path, seen: Observed, seconds: float) -> None:
    """Prunes removed what writers appended meanwhile, every writer got through, and no lock or draft is left."""
    assert seen.removed > 10, "the prunes removed no record that was written while they ran"
    assert sum(seen.prunes.values()) >= seconds / 5
    for writes in seen.writes:
        assert len(writes) >= seconds / 5, f"a writer starved: {len(writes)} writes in {seconds} s"
    names = {path.name for path in store.glob("*/*")} | {path.name for path in store.glob("*/.*")}
    assert names == {"patterns.json"}


def check_side_by_side(tmp_path: Path, form: Form, seconds: float, programs: Sequence[Sequence[str]]) -> None:
    store, at_first, seen = live_run(tmp_path, form, seconds, programs)
    check_nothing_was_lost(store, at_first, seen)
    check_both_sides_worked(store, seen, seconds)


@pytest.mark.parametrize("form", ["gzip", pytest.param("plain", marks=pytest.mark.slow)])
def test_h30_no_acknowledged_write_of_a_live_agent_is_lost(tmp_path: Path, form: Form) -> None:
    check_side_by_side(tmp_path, form, seconds=5, programs=[(), ()])


@pytest.mark.slow
def test_h30_no_acknowledged_write_is_lost_over_a_longer_time(tmp_path: Path) -> None:
    check_side_by_side(tmp_path, "plain", seconds=20, programs=[(), (), ()])


@pytest.mark.node
@pytest.mark.parametrize("form", ["gzip", pytest.param("plain", marks=pytest.mark.slow)])
def test_h30_no_acknowledged_write_of_a_node_agent_is_lost(tmp_path: Path, form: Form, node_writer: list[str]) -> None:
    check_side_by_side(tmp_path, form, seconds=5, programs=[node_writer, node_writer])


@pytest.mark.node
@pytest.mark.slow
def test_h30_agents_of_both_makes_lose_nothing_over_a_longer_time(tmp_path: Path, node_writer: list[str]) -> None:
    check_side_by_side(tmp_path, "gzip", seconds=20, programs=[node_writer, node_writer, ()])


def make_prunable_store(tmp_path: Path, *agents: str) -> Path:
    """Each agent has one pattern to keep and two to remove."""
    records = {
        agent: {"patterns": [fresh_pattern(agent), unused_pattern(agent), unused_pattern(agent)]} for agent in agents
    }
    return make_store(tmp_path, records)


def by_agent(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["agent"]: file for file in answer["data"]["files"]}


def test_h29_a_held_lock_is_respected_and_the_rest_is_pruned(tmp_path: Path) -> None:
    store = make_prunable_store(tmp_path, "alpha", "beta")
    held = store / "alpha" / "patterns.json"
    before = tree_digest(store / "alpha")
    with agent_lock(held) as lock:
        lock_before = lock.folder.stat()
        status, answer = run_aml(store, "prune", "--max-loss", "100%", "--lock-timeout", "1")
        lock_after = lock.folder.stat()
    assert status == ExitStatus.PARTIAL
    assert tree_digest(store / "alpha") == before
    assert (lock_after.st_ino, lock_after.st_mtime_ns) == (lock_before.st_ino, lock_before.st_mtime_ns)
    files = by_agent(answer)
    assert files["alpha"]["removed"] == 0
    assert str(lock.folder) in files["alpha"]["problem"]
    assert files["beta"]["removed"] == 2
    assert files["beta"]["problem"] is None
    assert len(read_array(store / "beta" / "patterns.json")) == 1
    assert len(archived_records(store)) == 2


def test_h29_a_prune_that_only_locks_stood_in_the_way_of_says_locked(tmp_path: Path) -> None:
    store = make_prunable_store(tmp_path, "alpha")
    before = tree_digest(store)
    with agent_lock(store / "alpha" / "patterns.json"):
        status, answer = run_aml(store, "prune", "--max-loss", "100%", "--lock-timeout", "0.5")
    assert (status, answer["exit"]) == (ExitStatus.LOCKED, ExitStatus.LOCKED)
    assert tree_digest(store) == before
    assert archived_records(store) == []


def test_h29_what_was_locked_is_pruned_by_the_next_run(tmp_path: Path) -> None:
    store = make_prunable_store(tmp_path, "alpha")
    with agent_lock(store / "alpha" / "patterns.json"):
        run_aml(store, "prune", "--max-loss", "100%", "--lock-timeout", "0.2")
    status, answer = run_aml(store, "prune", "--max-loss", "100%")
    assert status == ExitStatus.DONE
    assert by_agent(answer)["alpha"]["removed"] == 2


def test_h29_a_dry_run_needs_no_lock(tmp_path: Path) -> None:
    store = make_prunable_store(tmp_path, "alpha")
    with agent_lock(store / "alpha" / "patterns.json"):
        began = time.monotonic()
        status, answer = run_aml(store, "prune", "--max-loss", "100%", "--dry-run")
    assert status == ExitStatus.DONE
    assert by_agent(answer)["alpha"]["removed"] == 2
    assert time.monotonic() - began < 10


def test_a_prune_waits_for_an_agent_that_is_about_to_finish(tmp_path: Path) -> None:
    store = make_prunable_store(tmp_path, "alpha")
    file = store / "alpha" / "patterns.json"
    writer = start_writer([file], tmp_path / "log", seconds=0.1, hold=1.5)
    try:
        wait_until(lambda: file.with_name("patterns.json.lock").exists())
        status, answer = run_aml(store, "prune", "--max-loss", "100%", "--lock-timeout", "20")
        written = writer.finish()
    finally:
        writer.kill()
    assert status == ExitStatus.DONE
    assert by_agent(answer)["alpha"]["removed"] == 2
    assert [entry.record in read_array(file) for entry in written] == [True]


def test_an_agent_that_wrote_after_the_plan_keeps_its_record(tmp_path: Path) -> None:
    """The file is planned again under its lock; a stale plan applied by position would cut the wrong record."""
    store = make_prunable_store(tmp_path, "alpha")
    file = store / "alpha" / "patterns.json"
    late = fresh_pattern("alpha")

    def write_meanwhile(_: object) -> bool:
        records = [late, *read_array(file)]
        file.write_text(json.dumps(records), encoding="utf-8")
        return True

    report = prune(open_store(store), ALL_MAY_GO, confirm=write_meanwhile)
    assert report.status is ExitStatus.DONE
    first, _ = read_array(file)
    assert first == late
    assert len(archived_records(store)) == 2


def test_an_editor_without_locks_that_never_rests_costs_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the file is replaced, the archive is the only copy: whatever the read-back meets, it must stay."""
    condemned = [pattern(unused_days=200) for _ in range(3)]
    store = make_store(tmp_path, {"alpha": {"patterns": [pattern(), *condemned]}})
    file = store / "alpha" / "patterns.json"
    replaced = threading.Event()
    rename, read = os.rename, os.read

    def rename_and_tell(source: Any, target: Any) -> None:
        rename(source, target)
        if Path(target) == file:
            replaced.set()

    def read_and_be_edited(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if replaced.is_set():
            os.utime(file)
        return data

    monkeypatch.setattr(os, "rename", rename_and_tell)
    monkeypatch.setattr(os, "read", read_and_be_edited)
    prune(open_store(store), ALL_MAY_GO, now=NOW.timestamp(), conditions=Conditions(locks=LockPolicy(rest=0)))
    monkeypatch.undo()
    assert replaced.is_set()
    in_store = [record["id"] for record in read_array(file)]
    kept = in_store + [record["id"] for record in archived_records(store)]
    assert {record["id"] for record in condemned} <= set(kept)


def wait_until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)
