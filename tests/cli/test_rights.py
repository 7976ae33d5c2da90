"""Stores in which this user may not read or write everything, and what root writes for another."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, kept, old
from tests.contract.backing_up import NOBODY, give_to_nobody, in_commons, unprivileged
from tests.support.stores import make_store, read_array


@pytest.fixture
def commons() -> Iterator[Path]:
    """A store of two agents."""
    agents = {name: {"patterns": [old("o"), kept("k1"), kept("k2")]} for name in ("alpha", "beta")}
    with in_commons(lambda folder: make_store(folder, agents)) as folder:
        yield folder


def _unprivileged(folder: Path, *words: str) -> Answer:
    """One call, now, by a user whom modes bind."""
    return unprivileged(folder, *words, now=time.time())


LACKS = [
    (".loom/memory/alpha", 0o500, "u+w"),
    (".loom/memory/alpha", 0o600, "u+x"),
    (".loom/memory", 0o600, "u+x"),
    (".loom/memory", 0o300, "u+r"),
    (".loom", 0o600, "u+x"),
    (".loom", 0o500, "u+w"),
    (".loom/memory/alpha/patterns.json", 0o200, "u+r"),
    (".loom/memory.aml/runs", 0o300, "u+r"),
    (".loom/memory.aml/runs", 0o500, "u+w"),
    (".loom/memory-backup/archives", 0o500, "u+w"),
]


@pytest.mark.parametrize(
    ("lacking", "mode", "advised"), LACKS, ids=lambda part: oct(part) if isinstance(part, int) else part
)
def test_a_missing_right_is_named_with_the_command_that_mends_it(
    commons: Path, lacking: str, mode: int, advised: str
) -> None:
    if "memory.aml" in lacking or "memory-backup" in lacking:
        assert _unprivileged(commons, "prune", "--max-loss", "0%").status == 3
        (commons / ".loom/memory-backup/archives").mkdir(parents=True, exist_ok=True)
        give_to_nobody(commons)
    subject = commons / lacking
    subject.chmod(mode)
    answer = _unprivileged(commons, "prune", "--max-loss", "100%")
    assert answer.status in (1, 3, 10), answer.err
    assert "Traceback" not in answer.err
    assert f"chmod {advised} {subject}" in answer.err
    user = "nobody" if os.geteuid() == 0 else ""
    assert f"{user} lacks the right to" in answer.err
    subprocess.run(["chmod", advised, str(subject)], check=True)
    mended = _unprivileged(commons, "prune", "--max-loss", "100%")
    assert mended.status == 0, mended.err
    assert len(read_array(commons / ".loom/memory/alpha/patterns.json")) == 2


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_an_agent_that_cannot_be_read_is_told_by_dry_run_and_run_alike(commons: Path, mode: int) -> None:
    """Neither left out without a word, nor a reason to leave the others alone."""
    agent = commons / ".loom/memory/beta"
    agent.chmod(mode)
    if mode == 0o100:
        (agent / "patterns.json").chmod(0o000)
    planned = _unprivileged(commons, "prune", "--dry-run", "--json").envelope
    answer = _unprivileged(commons, "prune", "--json")
    done = answer.envelope
    for envelope in (planned, done):
        files = {(file["agent"], file["kind"]): file for file in envelope["data"]["files"]}
        assert files["alpha", "patterns"]["removed"] == 1
        assert str(agent) in files["beta", "patterns"]["problem"]
    assert (planned["exit"], done["exit"], answer.status) == (0, 3, 3)
    assert len(read_array(commons / ".loom/memory/alpha/patterns.json")) == 2
    text = _unprivileged(commons, "prune", "--dry-run")
    assert "left alone: beta/" in text.err


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_an_agent_that_cannot_be_read_asked_for_by_name_is_a_failure(commons: Path, mode: int) -> None:
    agent = commons / ".loom/memory/beta"
    agent.chmod(mode)
    answer = _unprivileged(commons, "prune", "--agent", "beta")
    assert answer.status == 1
    assert str(agent) in answer.err


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_an_undo_tells_what_it_cannot_reach_in_dry_run_and_run_alike(commons: Path, mode: int) -> None:
    run = _unprivileged(commons, "prune", "--json").envelope["data"]["run"]
    (commons / ".loom/memory/beta").chmod(mode)
    for words in (["--dry-run"], []):
        undone = _unprivileged(commons, "prune", "undo", run, "--json", *words).envelope
        assert undone["errors"] == []
        files = {file["agent"]: file for file in undone["data"]["files"]}
        assert str(commons / ".loom/memory/beta") in files["beta"]["problem"]
        assert (files["alpha"]["restored"], files["beta"]["restored"]) == (1, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_what_root_writes_belongs_to_the_owner_of_the_folder(commons: Path) -> None:
    """One call by root must not lock the owner out of the store's own state."""
    out = aml(commons, "prune", "--json", now=time.time())
    assert out.status == 0
    run = out.envelope["data"]["run"]
    written = [path for path in (commons / ".loom").rglob("*") if path.lstat().st_uid != NOBODY]
    assert written == []
    assert [path for path in (commons / ".loom").rglob("*") if path.lstat().st_gid != NOBODY] == []
    history = _unprivileged(commons, "prune", "history")
    assert history.status == 0, history.err
    assert run in history.out
    assert _unprivileged(commons, "prune").status == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_an_agents_folder_that_root_makes_again_belongs_to_the_owner_of_the_store(commons: Path) -> None:
    run = aml(commons, "prune", "--json", now=time.time()).envelope["data"]["run"]
    shutil.rmtree(commons / ".loom/memory/alpha")
    assert aml(commons, "prune", "undo", run, now=time.time()).status == 0
    for path in (commons / ".loom/memory/alpha", commons / ".loom/memory/alpha/patterns.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


CLOSED = [(".loom/memory.aml", 0o000), (".loom/memory.aml/runs", 0o000), (".loom/memory-backup", 0o000)]


@pytest.mark.parametrize(("name", "mode"), CLOSED, ids=[name for name, _ in CLOSED])
def test_what_cannot_be_looked_into_hides_nothing_else_from_those_who_watch(
    commons: Path, name: str, mode: int
) -> None:
    assert _unprivileged(commons, "prune", "--max-loss", "0%").status == 3
    (commons / ".loom/memory-backup/snapshots").mkdir(parents=True, exist_ok=True)
    give_to_nobody(commons)
    (commons / name).chmod(mode)
    health = _unprivileged(commons, "monitor", "health", "--json")
    metrics = _unprivileged(commons, "monitor", "metrics", "--json")
    (commons / name).chmod(0o755)
    broken = [one for one in health.envelope["data"]["checks"] if one["state"] == "not_run"]
    assert broken
    assert "fault of AML" not in health.out
    assert all("chmod u+" in finding["advice"] for one in broken for finding in one["findings"])
    assert (health.status, metrics.status) == (5, 3)
    assert metrics.envelope["data"]["metrics"]["counts"]["records"] == 6
    assert "Errno" not in metrics.out + metrics.err


def test_what_cron_runs_does_not_wait_for_a_right_that_is_missing(commons: Path) -> None:
    (commons / ".loom").chmod(0o500)
    began = time.monotonic()
    answer = _unprivileged(commons, "backup", "auto", "-q")
    assert answer.status == 1
    assert "lacks the right" in answer.err
    assert "trying again" not in answer.err
    assert time.monotonic() - began < 10


def test_what_belongs_to_another_user_is_told_with_its_owner(commons: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(commons / ".loom", 0, 0)
    (commons / ".loom").chmod(0o755)
    told = _unprivileged(commons, "prune").err
    assert (
        f"nobody lacks the right to write to {commons}/.loom, which belongs to root: run AML as root, or chown" in told
    )


def test_no_record_file_readable_is_told_in_few_words(commons: Path) -> None:
    for path in (commons / ".loom/memory").glob("*/patterns.json"):
        path.chmod(0o000)
    answer = _unprivileged(commons, "query")
    assert answer.status == 12
    assert "; and 1 more" in answer.err
    assert "aml --store" in answer.err
    assert "monitor health tells what mends it" in answer.err
