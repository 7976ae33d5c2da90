"""Standard streams that are closed, full or narrow, a current folder that is gone, and signals: never a traceback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, Answer, aml, aml_child, kept, old, small_store
from tests.support.stores import make_store, read_array, tree_digest

FULL = Path("/dev/full")


def _in_shell(folder: Path, redirections: str, *words: str) -> Answer:
    """One call from a shell that sends streams elsewhere or closes them."""
    line = f"exec {shlex.join([sys.executable, '-m', 'aml', *words])} {redirections}"
    kept_variables = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=kept_variables | {"PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


CLOSED = [">&-", "<&-", "2>&-", "<&- >&- 2>&-"]
CALLS = [
    (["prune", "--max-loss", "100%"], 0),
    (["prune", "--dry-run", "--json"], 0),
    (["prune", "history"], 0),
    (["prune", "--bogus"], 2),
]


@pytest.mark.parametrize(
    ("redirections", "status"), [(">&-", 0), ("<&- >&- 2>&-", 0), (f"> {FULL}", 1), (f"> {FULL} 2>&-", 1)]
)
def test_the_version_has_no_traceback_either(tmp_path: Path, redirections: str, status: int) -> None:
    if "full" in redirections and not FULL.exists():
        pytest.skip("no full device here")
    answer = _in_shell(tmp_path, redirections, "--version")
    assert (answer.status, answer.out) == (status, "")
    assert "Traceback" not in answer.err
    assert answer.err == ("" if ">&-" in redirections else "aml: cannot write the answer: No space left on device\n")


@pytest.mark.parametrize("redirections", CLOSED)
@pytest.mark.parametrize(("words", "status"), CALLS, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
def test_closed_streams_change_neither_the_work_nor_the_status(
    tmp_path: Path, words: list[str], status: int, redirections: str
) -> None:
    project = small_store(tmp_path)
    answer = _in_shell(project, redirections, *words)
    assert (answer.status, "Traceback" in answer.err) == (status, False), answer.err
    left = read_array(project / ".loom/memory/alpha/patterns.json")
    assert len(left) == (4 if "--max-loss" in words else 5)
    if "--json" in words and ">&-" not in redirections.split():
        assert json.loads(answer.out)["exit"] == status


def test_the_version_needs_no_open_stream(tmp_path: Path) -> None:
    answer = _in_shell(tmp_path, "2>&- <&-", "--version")
    assert (answer.status, answer.out.split()[0]) == (0, "aml")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("json_wanted", [False, True], ids=["text", "JSON"])
def test_an_answer_that_cannot_be_written_is_a_failure_that_is_explained(tmp_path: Path, json_wanted: bool) -> None:
    answer = _in_shell(small_store(tmp_path), f">{FULL}", "prune", "--dry-run", *(["--json"] if json_wanted else []))
    assert answer.status == 1
    assert "Traceback" not in answer.err
    assert "Exception ignored" not in answer.err
    assert "No space left" in answer.err
    assert answer.err.count("No space left") == 1


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("words", "status"), [(["prune", "--bogus"], 2), (["prune", "--dry-run"], 0)])
def test_notes_that_cannot_be_written_change_no_status(tmp_path: Path, words: list[str], status: int) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b"[{")  # something to tell
    assert _in_shell(project, f"2>{FULL}", *words).status == status


def test_a_reader_that_goes_away_makes_no_noise(tmp_path: Path) -> None:
    records = [old(f"record-{number}") for number in range(3000)]
    make_store(tmp_path, {"alpha": {"patterns": records}})
    child = subprocess.Popen(
        [sys.executable, "-m", "aml", "prune", "--dry-run", "-v"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    err = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(timeout=30) == 1
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize("words", [["prune", "--dry-run"], ["prune", "--json"], ["--version"]], ids=" ".join)
def test_a_current_folder_that_is_gone_does_no_harm(tmp_path: Path, words: list[str]) -> None:
    memory = small_store(tmp_path) / ".loom/memory"
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m aml "$@"'
    call = ["sh", "-c", script, "sh", *words] if words == ["--version"] else ["sh", "-c", script, "sh"]
    if words != ["--version"]:
        call += ["--store", str(memory), *words]
    done = subprocess.run(
        call, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_without_a_current_folder_and_a_store_there_is_no_store(tmp_path: Path) -> None:
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m aml prune'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (10, False), done.stderr


NAME = "é𝄞-agent"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:backslashreplace"},
    ],
    ids=str,
)
def test_json_is_valid_in_any_encoding(tmp_path: Path, environment: dict[str, str]) -> None:
    make_store(tmp_path, {NAME: {"patterns": [old("ïd-𝄞"), kept("k1"), kept("k2")]}})
    done = subprocess.run(
        [sys.executable, "-m", "aml", "prune", "--dry-run", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data"]["files"][0]["agent"] == NAME
    assert found["data"]["records"][0]["id"] == "ïd-𝄞"
    lines = aml_child(tmp_path, "query", "--jsonl", **environment).out.splitlines()
    assert {json.loads(line)["id"] for line in lines} == {"ïd-𝄞", "k1", "k2"}


def test_text_in_a_narrow_encoding_is_escaped(tmp_path: Path) -> None:
    make_store(tmp_path, {NAME: {"patterns": [old("o"), kept("k1"), kept("k2")]}})
    answer = aml_child(tmp_path, "prune", "--dry-run", PYTHONIOENCODING="ascii")
    assert answer.status == 0
    assert "\\xe9" in answer.out


# ---- signals


def _start(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aml", *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_until(child: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_waiting_for_a_lock_is_one_json_answer(tmp_path: Path, number: signal.Signals) -> None:
    project = small_store(tmp_path)
    memory = project / ".loom/memory"
    (memory / "alpha/patterns.json.lock").mkdir()
    before = tree_digest(memory)
    child = _start(project, "prune", "--json")
    # the run is written down before its first lock is waited for
    _wait_until(child, lambda: any((project / ".loom/memory.aml/runs").glob("*.json")))
    time.sleep(0.2)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    answer = json.loads(out)
    assert (answer["exit"], answer["status"], answer["command"]) == (130, "interrupted", "prune")
    assert answer["data"] is None
    assert len(answer["errors"]) == 1
    assert err == ""
    assert tree_digest(memory) == before
    assert aml(project, "prune", "history").out.count("interrupted") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_locks_are_held_leaves_none(tmp_path: Path, number: signal.Signals) -> None:
    """Agents must not have to wait for a lock whose holder is gone."""
    agents = {f"agent-{place}": {"patterns": [old(f"o{n}") for n in range(800)]} for place in range(6)}
    memory = make_store(tmp_path, agents)
    child = _start(tmp_path, "prune")
    _wait_until(child, lambda: any(memory.glob("*/*.lock")))
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert "Traceback" not in err
    assert child.returncode in (3, 130), "interrupted, or done already"
    assert list(memory.glob("*/*.lock")) == []
    left = sum(len(read_array(path)) for path in memory.glob("*/patterns.json"))
    runs = [json.loads(path.read_bytes()) for path in (tmp_path / ".loom/memory.aml/runs").glob("*.json")]
    assert left + sum(len(file["removed"]) for run in runs for file in run["files"]) == 6 * 800


def test_a_signal_before_anything_began_is_quiet(tmp_path: Path) -> None:
    """At any moment of starting up: the status of an interrupt, or death by the signal, but no traceback."""
    project = small_store(tmp_path)
    for delay in (0.05, 0.1, 0.15, 0.2):
        child = _start(project, "prune", "--dry-run")
        time.sleep(delay)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=30)
        assert child.returncode in (0, 130, -signal.SIGTERM)
        assert "Traceback" not in err
