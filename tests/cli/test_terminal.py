"""Commands on a terminal, here one of this process: questions, and the view that is drawn again and again."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from aml.cli.invocation import Streams
from aml.cli.main import run
from aml.errors import ExitStatus
from tests.cli.running import small_store
from tests.support.records import NOW
from tests.support.stores import read_array


class Terminal:
    """A terminal whose keys are pressed, and whose screen is seen, here."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self._streams: list[TextIO] = [os.fdopen(slave, "w", encoding="utf-8")]
        self._streams.append(os.fdopen(os.dup(slave), "r", encoding="utf-8"))
        self._watching: dict[str, Callable[[], None]] = {}
        self.seen = ""
        self.resize(80, 24)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def when(self, seen: str, action: Callable[[], None]) -> None:
        """Do something once, as soon as these words are on the screen."""
        self._watching[seen] = action

    def hang_up(self) -> None:
        os.close(self._master)
        self._master = -1

    def run(self, folder: Path, *words: str) -> int:
        """One call of ``aml`` on this terminal, which is gone after it."""
        out, stdin = self._streams
        try:
            return run(
                words,
                streams=Streams(out, out, stdin),
                environment={"TERM": "xterm"},
                clock=NOW.timestamp,
                folder=folder,
            )
        finally:
            for stream in self._streams:
                stream.close()
            self._reader.join(30)
            if self._master >= 0:
                self.hang_up()

    def _read(self) -> None:
        while self._master >= 0:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return  # the other side is closed
            self.seen += data.decode()
            for words in [one for one in self._watching if one in self.seen]:
                self._watching.pop(words)()


@pytest.fixture
def terminal() -> Terminal:
    """One of 80 columns and 24 lines."""
    return Terminal()


def records_in(project: Path) -> int:
    return len(read_array(project / ".loom/memory/alpha/patterns.json"))


@pytest.mark.parametrize(
    ("keys", "status", "left"),
    [("y\n", 0, 4), ("YES\n", 0, 4), ("n\n", 0, 5), ("\n", 0, 5), ("perhaps\ny\n", 0, 4), ("\x04", 130, 5)],
    ids=["y", "YES", "n", "enter", "perhaps", "end of input"],
)
def test_what_is_done_is_what_was_answered(
    terminal: Terminal, tmp_path: Path, keys: str, status: int, left: int
) -> None:
    project = small_store(tmp_path)
    terminal.when("[y/N]", lambda: terminal.press(keys))
    assert terminal.run(project, "prune", "--max-loss", "100%") == status
    assert records_in(project) == left
    assert ("please answer y or n" in terminal.seen) == (keys == "perhaps\ny\n")
    assert ("not confirmed" in terminal.seen) == (left == 5)


def test_a_view_is_drawn_on_a_screen_of_its_own_and_follows_its_size(terminal: Terminal, tmp_path: Path) -> None:
    terminal.when("ctrl-c ends", lambda: terminal.resize(40, 10))
    assert terminal.run(small_store(tmp_path), "monitor", "watch", "--interval", "1", "--count", "2") == ExitStatus.DONE
    assert terminal.seen.startswith("\x1b[?1049h")
    assert terminal.seen.rstrip().endswith("\x1b[?1049l")
    assert terminal.seen.count("ctrl-c ends") == 3


def test_a_view_ends_with_its_terminal(terminal: Terminal, tmp_path: Path) -> None:
    terminal.when("ctrl-c ends", terminal.hang_up)
    assert terminal.run(small_store(tmp_path), "monitor", "watch", "--interval", "0.2") == ExitStatus.DONE
