"""What is printed, where, and how: quiet in cron, safe on a terminal, asking before a change."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, aml_child, kept, old, small_store
from tests.support.stores import make_store, tree_digest, write_array

ESCAPE = "\x1b"


def test_quiet_success_prints_nothing_and_plain_success_one_line(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    before = (project / ".loom/memory/alpha/patterns.json").read_bytes()
    quiet = aml(project, "prune", "-q")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    (project / ".loom/memory/alpha/patterns.json").write_bytes(before)
    answer = aml(small_store(tmp_path / "other"), "prune")
    assert re.fullmatch(r"prune: removed 1 of 5 records; .*; undo with: aml prune undo \S+\n", answer.out)
    assert answer.err == ""
    run = answer.out.split()[-1]
    undone = aml(tmp_path / "other", "prune", "undo", run)
    assert (undone.status, len(undone.out.splitlines()), undone.err) == (0, 1, "")
    assert aml(tmp_path / "other", "prune", "undo", run, "-q").out == ""


def test_quiet_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old(str(number)) for number in range(100)]}})
    answer = aml(tmp_path, "prune", "-q")
    assert answer.status == 3
    assert "70" in answer.out + answer.err


def test_limits_that_held_records_back_stand_on_lines_of_their_own_and_many_agents_are_counted(tmp_path: Path) -> None:
    large = [old(str(number)) for number in range(100)]
    small = [old(f"s{number}") for number in range(30)]
    make_store(tmp_path, {f"agent{n}": {"patterns": large} for n in range(9)} | {"little": {"patterns": small}})
    lines = aml(tmp_path, "prune", "--dry-run").err.splitlines()
    assert "     agent0, agent1, agent2, agent3, agent4 and 4 more: at most 30% of an agent's records in a run" in lines
    (other,) = [line for line in lines if line.startswith("     little: ")]
    assert "allowance of a small agent" in other


def test_a_dry_run_tells_per_agent_kind_and_rule(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    answer = aml(project, "prune", "--dry-run")
    for word in ("alpha", "patterns", "unused_too_long", "would remove 1 of 5 records"):
        assert word in answer.out
    verbose = aml(project, "prune", "--dry-run", "-v")
    assert "o1" in verbose.out
    assert "last used" in verbose.out


HOSTILE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "a\rb",
    "line\nbreak",
    "\x9b31m",
    "\u202egnp.exe",
    "[bold]b[/bold]",
    "[/x]",
    ":smile:",
]


def test_text_from_records_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    agent = "[red]ag\x1b[1ment"
    records = [old(ident) for ident in HOSTILE] + [kept(str(number)) for number in range(90)]
    memory = make_store(tmp_path, {agent: {"patterns": records}})
    write_array(memory / agent / "solutions.json", [])
    (memory / agent / "solutions.json").write_bytes(b"[\x1b[31m")
    dry = aml(tmp_path, "prune", "--dry-run", "-v")
    done = aml(tmp_path, "prune", "-v")
    history = aml(tmp_path, "prune", "history", "-v")
    for answer in (dry, done, history, aml(tmp_path, "prune", "--agent", "\x1b[31mnobody")):
        shown = answer.out + answer.err
        assert not set(shown) & set("\x1b\x07\r\x9b\u202e"), repr(shown)
    for answer in (dry, history):
        for ident in (r"\x1b[31mred", r"line\nbreak", "[bold]b[/bold]", "[/x]", ":smile:", r"[red]ag\x1b[1ment"):
            assert ident in answer.out
    (run,) = {word for word in history.out.split() if re.fullmatch(r"\d{8}T\d{6}-\S+", word)}
    wrong = aml(tmp_path, "prune", "undo", run, "--id", "\x1b[31mno")
    assert ESCAPE not in wrong.err
    undone = aml(tmp_path, "prune", "undo", run, "--id", "\x1b[31mred")
    assert "1 record" in undone.out


def test_a_reader_that_goes_away_makes_no_traceback(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old(f"o{number}") for number in range(3000)]}})
    for words in (["prune", "--dry-run", "-v"], ["prune", "--dry-run", "-v", "--json"], ["config", "show"]):
        with subprocess.Popen(
            [sys.executable, "-m", "aml", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.readline()
            child.stdout.close()
            err = child.stderr.read().decode()
            child.wait(timeout=30)
        assert "Traceback" not in err
        assert "Exception ignored" not in err
        assert "BrokenPipe" not in err


def _on_a_terminal(project: Path, *words: str, keys: str = "", **environment: str) -> tuple[int, str]:
    """Status and screen of a call whose streams are a terminal, at which ``keys`` are typed at the first question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.environ.update({"PYTHONPATH": str(PROJECT), "TERM": "xterm-256color", "COLUMNS": "120"} | environment)
        os.execv(sys.executable, [sys.executable, "-m", "aml", *words])  # noqa: S606
    screen, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            continue
        try:
            part = os.read(terminal, 65_536)
        except OSError:
            break
        if not part:
            break
        screen += part
        if keys and b"[y/N]" in screen:
            os.write(terminal, keys.encode())
            keys = ""
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode()


@pytest.mark.parametrize(
    ("keys", "statuses"),
    [("n\n", {0}), ("\n", {0}), ("\x04", {0, 1, 130}), ("\x03", {130})],
    ids=["n", "enter", "end of input", "interrupt"],
)
def test_on_a_terminal_a_prune_asks_and_no_changes_nothing(tmp_path: Path, keys: str, statuses: set[int]) -> None:
    project = small_store(tmp_path)
    before = tree_digest(project / ".loom/memory")
    status, screen = _on_a_terminal(project, "prune", keys=keys)
    assert "[y/N]" in screen
    assert "1 record" in screen
    assert "Traceback" not in screen
    assert status in statuses
    assert tree_digest(project / ".loom/memory") == before
    assert not (project / ".loom/memory-backup").exists()


def test_on_a_terminal_yes_removes(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    status, screen = _on_a_terminal(project, "prune", keys="y\n")
    assert (status, "[y/N]" in screen) == (0, True)
    assert (project / ".loom/memory-backup").exists()


@pytest.mark.parametrize(
    "words", [["prune", "--yes"], ["prune", "--dry-run"], ["prune", "--max-loss", "0%"]], ids=" ".join
)
def test_on_a_terminal_nothing_is_asked_needlessly(tmp_path: Path, words: list[str]) -> None:
    _, screen = _on_a_terminal(small_store(tmp_path), *words)
    assert "[y/N]" not in screen
    assert "alpha" in screen


def test_without_a_terminal_nothing_is_ever_asked(tmp_path: Path) -> None:
    answer = aml_child(small_store(tmp_path), "prune")
    assert answer.status == 0
    assert "removed 1" in answer.out


def test_colour_only_on_a_terminal_that_wants_it(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m|\x1b\[38")
    for words, environment in (
        (["prune", "--dry-run"], {"NO_COLOR": "1"}),
        (["prune", "--dry-run", "--no-color"], {}),
        (["prune", "--dry-run"], {"TERM": "dumb"}),
    ):
        _, screen = _on_a_terminal(project, *words, **environment)
        assert "alpha" in screen
        assert not colour.search(screen)
    assert ESCAPE not in aml_child(project, "prune", "--dry-run", FORCE_COLOR="1").out
