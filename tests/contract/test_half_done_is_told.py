"""A restore or a migration that died half-way is told by whatever looks at the store, until a run has ended it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import PROJECT, aml, kept
from tests.support.records import NOW
from tests.support.stores import make_store, write_array

LOOKS = (
    "optimize index",
    "optimize warm-cache",
    "query --limit 1",
    "show k1",
    "prune explain k1",
    "monitor metrics",
    "monitor report",
    "backup list",
)


@pytest.mark.parametrize(
    ("words", "told"),
    [("backup restore latest --yes", "a restore died half-way"), ("migrate up --yes", "a migration is under way, or")],
)
def test_what_died_half_way_is_told_until_a_run_ends_it(tmp_path: Path, words: str, told: str) -> None:
    memory = make_store(tmp_path, {name: {"patterns": [kept(f"{name[0]}1")]} for name in ("kilo", "lima")})
    assert aml(tmp_path, "backup", "create").status == 0
    write_array(memory / "kilo/patterns.json", [kept("k1"), kept("k2")])
    _kill_in_its_midst(tmp_path, words)
    for line in LOOKS:
        answer = aml(tmp_path, *line.split(), "--json")
        assert [one for one in answer.envelope["warnings"] if one.startswith(told)], line
    assert aml(tmp_path, "backup", "create", now=NOW.timestamp() + 60).status == 0
    for line in LOOKS:
        answer = aml(tmp_path, *line.split(), "--json", now=NOW.timestamp() + 120)
        assert (answer.status, answer.envelope["warnings"]) == (ExitStatus.DONE, []), line


def test_what_a_drill_left_that_died_is_cleared_by_the_next_run(tmp_path: Path) -> None:
    make_store(tmp_path, {"kilo": {"patterns": [kept("k1")]}})
    assert aml(tmp_path, "backup", "create").status == 0
    _kill_in_its_midst(tmp_path, "backup drill", "create .loom/memory.aml/.drill.")
    (left,) = (tmp_path / ".loom/memory.aml").glob(".drill.*")
    os.utime(left, (1e9, 1e9))
    answer = aml(tmp_path, "backup", "create", now=NOW.timestamp() + 60)
    assert (answer.status, left.exists()) == (ExitStatus.DONE, False), answer.err


def _kill_in_its_midst(folder: Path, words: str, only: str = "rename .loom/memory/") -> None:
    """Kill a command as soon as it has made a call that begins so: by default, put its first file into the store."""
    inject = [sys.executable, str(PROJECT / "tests/fault/inject.py"), "--folder", str(folder)]
    inject += ["--now", str(NOW.timestamp())]
    fault = ["--fault", "kill-after", "--only", only, "--at", "1", "--"]
    done = subprocess.run(
        [*inject, *fault, "--store", str(folder / ".loom/memory"), *words.split()],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr
