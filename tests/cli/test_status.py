"""The table of exit statuses, each reached by a real call."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, aml_child, kept, old, small_store
from tests.support.stores import make_store, tree_digest, write_array


def test_0_done(tmp_path: Path) -> None:
    assert aml(small_store(tmp_path), "prune").status == 0


def test_1_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory-backup").write_bytes(b"")
    answer = aml(project, "prune")
    assert answer.status == 1
    assert "memory-backup" in answer.err


def test_1_a_run_that_does_not_exist(tmp_path: Path) -> None:
    assert aml(small_store(tmp_path), "prune", "undo", "nowhere").status == 1


@pytest.mark.parametrize(
    "words",
    [
        ["prune", "--agent", "nobody"],
        ["prune", "--strategy", "nothing"],
        ["prune", "--max-loss", "lots"],
        ["prune", "--nonsense"],
        ["prune", "extra"],
        ["nonsense"],
        ["prune", "undo"],
        ["-q", "-v", "prune"],
        ["prune", "--lock-timeout", "-1"],
        ["prune", "history", "--limit", "0"],
        ["--store"],
        [],
    ],
    ids=" ".join,
)
def test_2_usage(tmp_path: Path, words: list[str]) -> None:
    assert aml(small_store(tmp_path), *words).status == 2


def test_3_the_loss_budget_is_reached(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old(str(number)) for number in range(100)]}})
    answer = aml(tmp_path, "prune")
    assert answer.status == 3
    assert "--max-loss 100%" in answer.err
    assert aml(tmp_path, "prune", "--dry-run").status == 0


def test_3_a_damaged_file_among_others(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b"[{")
    answer = aml(project, "prune")
    assert answer.status == 3
    assert "alpha/solutions" in answer.err


def test_3_a_locked_file_among_others(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    memory = project / ".loom/memory"
    write_array(memory / "beta/patterns.json", [old("o"), kept("k1"), kept("k2"), kept("k3")])
    (memory / "beta/patterns.json.lock").mkdir()
    answer = aml(project, "prune", "--lock-timeout", "0.2")
    assert answer.status == 3
    assert "beta/patterns" in answer.err


@pytest.mark.parametrize("words", [["prune"], ["prune", "history"], ["prune", "undo", "x"], ["config", "path"]])
def test_10_no_store(tmp_path: Path, words: list[str]) -> None:
    answer = aml(tmp_path, *words)
    assert answer.status == 10
    assert "--store" in answer.err
    if words[0] == "prune":
        assert aml(tmp_path, *words, "--store", "missing").status == 10
        (tmp_path / "file").write_bytes(b"")
        assert aml(tmp_path, *words, "--store", "file").status == 10


def test_11_everything_is_locked(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/patterns.json.lock").mkdir()
    before = tree_digest(project / ".loom/memory")
    answer = aml(project, "prune", "--lock-timeout", "0.2")
    assert answer.status == 11
    assert "--lock-timeout" in answer.err
    assert tree_digest(project / ".loom/memory") == before


def test_11_another_run_is_told_by_name(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    aml(project, "prune", "--max-loss", "0%")
    with (project / ".loom/memory.aml/run.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = aml(project, "prune")
    assert answer.status == 11
    assert f"aml prune (pid {os.getpid()} on " in answer.err


def test_12_nothing_can_be_read(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": []}})
    (tmp_path / ".loom/memory/alpha/patterns.json").write_bytes(b"{}")
    assert aml(tmp_path, "prune").status == 12


def test_13_a_schema_that_is_too_new(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old("new", version="3.0.0")]}})
    answer = aml(tmp_path, "prune")
    assert answer.status == 13
    assert "newer than this AML" in answer.err


def test_130_interrupted(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/patterns.json.lock").mkdir()
    before = tree_digest(project / ".loom/memory")
    child = subprocess.Popen(
        [sys.executable, "-m", "aml", "prune", "--trust-clock"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    locks = project / ".loom/memory.aml/locks.jsonl"
    deadline = time.monotonic() + 20
    while not locks.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert tree_digest(project / ".loom/memory") == before


def test_the_older_call_of_a_cron_line(tmp_path: Path) -> None:
    """``aml /project/.loom/memory prune --strategies time_based performance_based``, word for word."""
    project = small_store(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = f"{project}/.loom/memory prune --strategies time_based performance_based".split()
    answer = aml_child(elsewhere, *words)
    assert answer.status == 0, answer.err
    assert len(answer.out.splitlines()) == 1, "one line for the log"
    assert answer.err == ""
