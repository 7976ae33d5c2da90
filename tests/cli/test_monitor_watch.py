"""``aml monitor watch``: a live view that only reads, and ends when it is told to."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from aml.fs.run_lock import current_holder, run_lock
from aml.ledger.state import prepare_folder, run_lock_path
from aml.store.open import open_store
from tests.cli.running import PROJECT, aml, small_store
from tests.support.stores import tree_digest

_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_in_a_pipe_it_is_one_look_and_says_so(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "watch")
    assert answer.status == 0
    assert answer.out.startswith(f"{tmp_path.name[:20]}")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "\x1b" not in answer.out
    assert "one look" in answer.err


def test_in_a_pipe_it_gives_as_many_views_as_are_wanted(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "watch", "--count", "3", "--interval", "0.2")
    assert answer.out.count("Largest agents") == 3
    assert answer.err == ""


def test_it_only_reads(tmp_path: Path) -> None:
    small_store(tmp_path)
    before = tree_digest(tmp_path)
    assert aml(tmp_path, "monitor", "watch", "--count", "2", "--interval", "0.2").status == 0
    assert tree_digest(tmp_path) == before


def test_it_is_no_answer_for_programs(tmp_path: Path) -> None:
    answer = aml(small_store(tmp_path), "monitor", "watch", "--json")
    assert answer.status == 2
    assert "report --json" in answer.envelope["errors"][0]["advice"]


def test_it_tells_who_is_changing_the_store_and_when_that_is_over(tmp_path: Path) -> None:
    store = open_store(small_store(tmp_path) / ".loom/memory")
    prepare_folder(store.state)
    path = run_lock_path(store)
    assert current_holder(path) is None
    with run_lock(path, "prune", "2026-11-20T11:59:00.000Z"):
        answer = aml(tmp_path, "monitor", "watch")
        assert f"Running: prune, began 1 min ago (pid {os.getpid()} on {os.uname().nodename})" in answer.out
    if Path("/proc/locks").exists():
        # this process, which signed, is still alive
        assert current_holder(path) is None
        assert "No run is changing this store." in aml(tmp_path, "monitor", "watch").out


def test_whoever_signed_and_died_is_running_nothing(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "run.lock"
    path.write_text(f'{{"operation":"gc","pid":{ended.pid},"host":"{os.uname().nodename}","started":""}}')
    assert current_holder(path) is None
    path.write_text("{")
    assert current_holder(path) is None


class Terminal:
    """``aml monitor watch`` on a terminal of so many columns and lines."""

    def __init__(self, folder: Path, columns: int, lines: int, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aml", "monitor", "watch", *words],
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, seen: Callable[[str], bool]) -> None:
        end = time.monotonic() + 30
        while not seen(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65_536).decode()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.shown += os.read(self.master, 65_536).decode()
            except OSError:
                break
        os.close(self.master)
        return status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_ctrl_c_ends_it_cleanly_and_the_screen_comes_back(tmp_path: Path, number: int) -> None:
    small_store(tmp_path)
    before = tree_digest(tmp_path)
    terminal = Terminal(tmp_path, 40, 30, "--interval", "0.2")
    terminal.wait_for(lambda shown: shown.count("ctrl-c ends") >= 2)
    assert terminal.end(number) == ExitStatus.DONE
    assert terminal.shown.startswith("\x1b[?1049h")
    assert terminal.shown.rstrip().endswith("\x1b[?1049l")
    assert "Traceback" not in terminal.shown
    lines = _MOVES.sub("", terminal.shown.replace("\x1b[H", "\n")).splitlines()
    assert max(map(len, lines)) <= 40
    assert tree_digest(tmp_path) == before


def test_ctrl_z_gives_the_screen_back_until_it_goes_on(tmp_path: Path) -> None:
    terminal = Terminal(small_store(tmp_path), 80, 24, "--interval", "600")
    terminal.wait_for(lambda shown: "ctrl-c ends" in shown)
    terminal.process.send_signal(signal.SIGTSTP)
    terminal.wait_for(lambda shown: shown.endswith("\x1b[?25h\x1b[?1049l"))
    assert os.WIFSTOPPED(os.waitpid(terminal.process.pid, os.WUNTRACED)[1])
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for(lambda shown: shown.count("ctrl-c ends") == 2)
    assert terminal.shown.count("\x1b[?1049h") == 2
    assert terminal.end(signal.SIGQUIT) == ExitStatus.DONE
    assert terminal.shown.rstrip().endswith("\x1b[?1049l")


def test_a_terminal_that_is_closed_ends_it(tmp_path: Path) -> None:
    terminal = Terminal(small_store(tmp_path), 80, 24, "--interval", "0.2")
    terminal.wait_for(lambda shown: "ctrl-c ends" in shown)
    os.close(terminal.master)
    assert terminal.process.wait(timeout=30) == ExitStatus.DONE


def test_a_store_that_goes_away_ends_it_with_a_message_on_the_screen_from_before(tmp_path: Path) -> None:
    terminal = Terminal(small_store(tmp_path), 80, 24, "--interval", "0.2")
    terminal.wait_for(lambda shown: "ctrl-c ends" in shown)
    shutil.rmtree(tmp_path / ".loom")
    assert terminal.process.wait(timeout=30) == ExitStatus.NO_STORE
    terminal.wait_for(lambda shown: "has gone while it was watched" in shown)
    assert "\x1b[?1049l" in terminal.shown.partition("has gone")[0]
    assert "Traceback" not in terminal.shown
    os.close(terminal.master)


@pytest.mark.slow
def test_a_change_of_the_size_is_followed_before_the_next_look(tmp_path: Path) -> None:
    small_store(tmp_path)
    terminal = Terminal(tmp_path, 100, 40, "--interval", "600")
    terminal.wait_for(lambda shown: "ctrl-c ends" in shown)
    terminal.resize(30, 12)
    terminal.wait_for(lambda shown: shown.count("ctrl-c ends") == 2)
    last = _MOVES.sub("", terminal.shown.rpartition("\x1b[H")[2]).splitlines()
    assert len(last) == 12
    assert max(map(len, last)) <= 30
    assert terminal.end() == ExitStatus.DONE
