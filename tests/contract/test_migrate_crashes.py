"""What befalls a migration: a crash at any moment, a full disk, another run beside it (H15, H16, H50)."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import PROJECT, aml_child
from tests.contract.moving import (
    ROUND,
    elements,
    left_behind,
    meanings_of,
    migrated,
    record_files,
    versions_of,
)
from tests.support.schema_versions import NEWEST, agents_of, versioned_store
from tests.support.stores import Form

# ---- a full disk


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_h16_files_that_may_not_grow_any_further_leave_all_or_nothing(tmp_path: Path, form: Form) -> None:
    """H16: a full disk half-way through a write left a truncated file, exit 0."""
    memory = versioned_store(tmp_path, "1.0.0", form=form, agents=agents_of(40))
    old, meant = record_files(memory), meanings_of(memory)
    for limit in (500, 3_000, 8_000, 15_000, 22_000, 30_000, 34_000, 36_000, 60_000):
        done = subprocess.run(
            [sys.executable, "-m", "aml", "--store", str(memory), "migrate", "up", "--to", NEWEST, "--yes"],
            env=_environment(),
            preexec_fn=lambda limit=limit: _limit_files(limit),  # type: ignore[misc]
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        assert meanings_of(memory) == meant
        if done.returncode == 0:
            break
        _settle(tmp_path)
        assert record_files(memory) == old, f"some files are new, some old, at {limit} bytes"
        assert left_behind(tmp_path) == []
    _settle(tmp_path)
    migrated(tmp_path, "up")
    assert versions_of(memory).keys() == {NEWEST}
    assert meanings_of(memory) == meant


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    return kept | {"PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8"}


def _settle(project: Path) -> None:
    """An ordinary run that has nothing of its own to do, but cleans up after another."""
    answer = aml_child(project, "--store", str(project / ".loom/memory"), "optimize", "gc", "--yes", "--trust-clock")
    assert answer.status == 0, answer.err


# ---- crashes and company


def _started(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aml", "--store", str(project / ".loom/memory"), *words],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("way", ROUND)
def test_h15_a_run_that_is_killed_leaves_old_or_new_and_the_next_makes_it_all_or_nothing(
    tmp_path: Path, seed: int, way: str
) -> None:
    """H15, H50: kill -9 at moments that nobody chose."""
    chance = random.Random(seed)
    form: Form = "gzip" if seed % 2 else "plain"
    memory = versioned_store(tmp_path, "1.0.0" if way == "up" else NEWEST, form=form, agents=agents_of(150, seed))
    meant, old = meanings_of(memory), record_files(memory)
    words = ("migrate", "up", "--to", NEWEST, "--yes") if way == "up" else ("migrate", "down", "--to", "1.0.0", "--yes")
    began = time.monotonic()
    new = _new_files(tmp_path, memory, words)
    whole = time.monotonic() - began
    for _ in range(5):
        _write_back(memory, old)
        child = _started(tmp_path, *words)
        time.sleep(chance.uniform(0.2, 1.0) * whole)
        child.kill()
        child.communicate()
        mixed = record_files(memory)
        assert all(data in (old[place], new[place]) or _same(data, new[place]) for place, data in mixed.items())
        assert meanings_of(memory) == meant
        _settle(tmp_path)
        after = record_files(memory)
        is_old = after == old
        assert is_old or all(_same(data, new[place]) for place, data in after.items()), "neither all nor nothing"
        assert left_behind(tmp_path) == []
    done = _started(tmp_path, *words)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert meanings_of(memory) == meant
    assert versions_of(memory).keys() == {ROUND[way]}


def _new_files(project: Path, memory: Path, words: tuple[str, ...]) -> dict[tuple[str, str], bytes]:
    child = _started(project, *words)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return record_files(memory)


def _write_back(memory: Path, files: dict[tuple[str, str], bytes]) -> None:
    for (agent, kind), data in files.items():
        path = memory / agent / f"{kind}.json"
        if path.read_bytes() != data:
            path.write_bytes(data)


def _same(data: bytes, other: bytes) -> bool:
    return [one.text for one in elements(data)] == [one.text for one in elements(other)]


@pytest.mark.slow
def test_two_migrations_at_once_take_turns(tmp_path: Path) -> None:
    memory = versioned_store(tmp_path, "1.0.0", agents=agents_of(100))
    meant = meanings_of(memory)
    children = [_started(tmp_path, "migrate", "up", "--to", NEWEST, "--yes", "--lock-timeout", "60") for _ in range(2)]
    children.append(_started(tmp_path, "migrate", "down", "--to", "1.0.0", "--yes", "--lock-timeout", "60"))
    for child in children:
        _, err = child.communicate(timeout=150)
        assert child.returncode in (0, ExitStatus.LOCKED), err
    assert len(versions_of(memory)) == 1
    assert meanings_of(memory) == meant
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_backups_made_while_a_store_is_migrated_restore(tmp_path: Path) -> None:
    memory = versioned_store(tmp_path, "1.0.0", agents=agents_of(200))
    meant = meanings_of(memory)
    ended = threading.Event()
    backups: list[tuple[int, str]] = []

    def back_up() -> None:
        while not ended.is_set():
            child = _started(tmp_path, "backup", "create", "--yes", "--lock-timeout", "60", "--json")
            out, err = child.communicate(timeout=100)
            backups.append((child.returncode, out + err))

    thread = threading.Thread(target=back_up)
    thread.start()
    try:
        for words in (("up", "--to", NEWEST), ("down", "--to", "1.0.0"), ("up", "--to", NEWEST)):
            # a backup waits for a migration, and a migration for nobody
            for _ in range(100):
                child = _started(tmp_path, "migrate", *words, "--yes", "--lock-timeout", "60")
                _, err = child.communicate(timeout=100)
                if child.returncode != ExitStatus.LOCKED:
                    break
            assert child.returncode == 0, err
    finally:
        ended.set()
        thread.join()
    assert {status for status, _ in backups} <= {0}, [text for status, text in backups if status]
    for number, (_, text) in enumerate(backups[:4]):
        target = tmp_path / f"restored{number}/memory"
        ident = json.loads(text)["data"]["id"]
        target.parent.mkdir()
        assert aml_child(tmp_path, "backup", "restore", ident, "--target", str(target)).status == 0
        assert meanings_of(target) == meant
    assert left_behind(tmp_path) == []
