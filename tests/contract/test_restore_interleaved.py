"""What agents write between the steps of a restore, and between its crash and its end, is not lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml.backup.restore import RestoreReport
from aml.store.open import open_store
from aml.workflows.backup import backup
from aml.workflows.restore import restore
from tests.cli.running import PROJECT, aml
from tests.contract.side_by_side import (
    AGENTS,
    IMPATIENT,
    assert_all_sound,
    contents,
    key,
    make_project,
    memory,
    records_in,
)
from tests.support.live_writer import agent_lock, append_record, fresh_pattern
from tests.support.stores import read_array, write_array

# ---- between the backup and the swap


def archived(project: Path, report_run: str, path: str) -> list[Any]:
    return read_array(project / ".loom" / "memory-backup" / "archives" / f"backup-{report_run}" / path)


def agent_writes(file: Path) -> dict[str, Any]:
    """What an agent appends and is told is saved."""
    record = fresh_pattern(file.parent.name)
    file.parent.mkdir(exist_ok=True)
    with agent_lock(file):
        append_record(file, record)
    return record


def restore_interrupted_by(project: Path, wanted: str, path: str, action: Callable[[], object]) -> RestoreReport:
    """Restore in place, with something done once, just before that file of the store is taken in hand."""
    due = [action]

    def progress(name: str) -> None:
        if name == path and due:
            due.pop()()

    return restore(open_store(memory(project)), wanted, conditions=IMPATIENT, progress=progress)


@pytest.mark.parametrize("path", ["alpha/patterns.json", "gamma/patterns.json"])
def test_what_an_agent_wrote_after_the_backup_is_archived_before_it_is_replaced_or_removed(
    tmp_path: Path, path: str
) -> None:
    make_project(tmp_path, records=3)
    at_first = contents(memory(tmp_path))
    first = backup(open_store(memory(tmp_path))).id
    write_array(memory(tmp_path) / path, [fresh_pattern("since")])
    since = contents(memory(tmp_path))
    wrote: list[dict[str, Any]] = []

    report = restore_interrupted_by(tmp_path, first, path, lambda: wrote.append(agent_writes(memory(tmp_path) / path)))

    assert contents(memory(tmp_path)) == at_first
    assert [one.path for one in report.overwritten] == [path]
    assert report.run
    assert archived(tmp_path, report.run, path) == [*since[path], *wrote]


def test_what_an_agent_wrote_is_put_back_where_the_restore_fails_after_all(tmp_path: Path) -> None:
    files = make_project(tmp_path, records=3)
    first = backup(open_store(memory(tmp_path))).id
    for file in files:
        write_array(file, [fresh_pattern("since")])
    wrote: list[dict[str, Any]] = []

    def write_and_hold() -> None:
        wrote.append(agent_writes(files[0]))
        files[1].with_name("patterns.json.lock").mkdir()

    since = contents(memory(tmp_path))
    with pytest.raises(Exception, match="stayed locked"):
        restore_interrupted_by(tmp_path, first, "alpha/patterns.json", write_and_hold)

    files[1].with_name("patterns.json.lock").rmdir()
    assert contents(memory(tmp_path)) == since | {"alpha/patterns.json": [*since["alpha/patterns.json"], *wrote]}


# ---- between a crash and the end of what crashed

_DYING = """
import os, sys
from aml.store.open import open_store
from aml.workflows.restore import restore
def progress(name):
    if name == sys.argv[3]:
        os._exit(9)
restore(open_store(sys.argv[1]), sys.argv[2], progress=progress)
"""


def die_restoring(project: Path, wanted: str, path: str) -> None:
    """A restore in place whose process dies just before it takes that file in hand."""
    words = [sys.executable, "-c", _DYING, str(memory(project)), wanted, path]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


def crashed_project(tmp_path: Path, path: str) -> dict[str, list[Any]]:
    """Alpha and beta are to be put back, gamma and omega to go; returns what was backed up."""
    files = make_project(tmp_path, records=3)
    at_first = contents(memory(tmp_path))
    first = backup(open_store(memory(tmp_path))).id
    for file in (*files, memory(tmp_path) / "gamma" / "patterns.json", memory(tmp_path) / "omega" / "patterns.json"):
        write_array(file, [fresh_pattern(file.parent.name)])
    die_restoring(tmp_path, first, path)
    return at_first


@pytest.mark.parametrize(
    "path", ["gamma/patterns.json", "omega/patterns.json", "alpha/patterns.json", "beta/patterns.json"]
)
def test_a_crashed_restore_is_completed_where_nobody_wrote(tmp_path: Path, path: str) -> None:
    at_first = crashed_project(tmp_path, path)
    answer = aml(tmp_path, "backup", "create", now=time.time())
    assert answer.status == 0, answer.err
    assert contents(memory(tmp_path)) == at_first
    assert_all_sound(tmp_path)


@pytest.mark.parametrize(
    "crash", ["gamma/patterns.json", "omega/patterns.json", "alpha/patterns.json", "beta/patterns.json"]
)
def test_what_agents_wrote_after_a_restore_crashed_survives_its_completion(tmp_path: Path, crash: str) -> None:
    """Files that were replaced or removed, and those that were not yet: acknowledged is acknowledged."""
    at_first = crashed_project(tmp_path, crash)
    wrote = {
        f"{agent}/patterns.json": agent_writes(memory(tmp_path) / agent / "patterns.json")
        for agent in (*AGENTS, "gamma", "omega")
    }

    answer = aml(tmp_path, "backup", "create", now=time.time())

    assert answer.status == 0, answer.err
    found = contents(memory(tmp_path))
    archive = contents(tmp_path / ".loom" / "memory-backup" / "archives")
    assert {key(record) for record in wrote.values()} <= records_in(found) | records_in(archive)
    if crash == "beta/patterns.json":
        assert key(wrote[crash]) in records_in(archive), "it was still to be replaced"
    for path, records in at_first.items():
        assert found[path] in (records, [*records, wrote[path]]), "a mixture of before and after"
    assert_all_sound(tmp_path)
