"""What a terminal of few columns shows: every word whole, and no line wider than it but for commands and ids."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, kept, old
from tests.support.stores import make_store

_ESCAPE = "\x1b"
_SUMMARIES = ("prune:", "query:", "1 backup", "health:")


def _screen(folder: Path, columns: int, *words: str, stderr: bool = False, **environment: str) -> str:
    """All that a call writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "aml", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "TERM": "xterm", "NO_COLOR": "1"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave if stderr else subprocess.DEVNULL,
    ) as child:
        os.close(slave)
        seen = b""
        while part := _read(master):
            seen += part
        child.wait(timeout=30)
    os.close(master)
    return seen.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""  # the other side is closed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    agents = ("backend-architect", "frontend-developer")
    make_store(tmp_path, {agent: {"patterns": [old(f"o{agent}"), *map(kept, map(str, range(9)))]} for agent in agents})
    aml(tmp_path, "backup", "create", "--tag", "before-cleaning")
    return tmp_path


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("words", [("prune", "--dry-run"), ("query",), ("backup", "list"), ("monitor", "health")])
def test_no_line_is_wider_than_the_terminal_but_for_what_is_to_be_copied(
    project: Path, words: tuple[str, ...], columns: int
) -> None:
    lines = _screen(project, columns, *words).splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith(_SUMMARIES))
    several_words = [line for line in lines[:end] if len(line.split()) > 1 and "aml " not in line and "--" not in line]
    wide = [line for line in several_words if len(line) > columns]
    assert wide == []


def test_an_explanation_is_folded_to_the_terminal(project: Path) -> None:
    lines = _screen(project, 40, "prune", "explain", "obackend-architect").splitlines()
    assert "    applies         unused_too_long" in lines
    assert [line for line in lines if len(line) > 40 and len(line.split()) > 2 and "aml " not in line] == []


def test_progress_is_never_longer_than_the_line_that_is_cleared(project: Path) -> None:
    seen = _screen(project, 24, "prune", "--yes", stderr=True)
    shown = [part for part in re.split(r"[\r\n]|\x1b\[2K", seen) if part.endswith(" ...")]
    assert shown
    assert max(map(len, shown)) < 24


def test_the_same_table_is_plain_columns_in_a_pipe_and_never_coloured_where_that_is_not_wanted(project: Path) -> None:
    piped = aml(project, "prune", "--dry-run").out
    assert "backend-architect   patterns" in piped
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert _ESCAPE not in _screen(project, 50, "prune", "--dry-run", **environment)


def test_the_command_that_undoes_a_run_has_a_line_of_its_own_on_a_terminal(project: Path) -> None:
    lines = _screen(project, 80, "prune", "--yes").splitlines()
    (back,) = [line for line in lines if "undo with" in line]
    assert back.startswith("undo with: aml prune undo ")
    assert aml(project, *back.removeprefix("undo with: aml ").split()).status == 0
