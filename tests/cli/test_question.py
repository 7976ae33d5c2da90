"""The question on a terminal: asked after what it is about was shown, with nothing locked while it waits."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, kept, small_store
from tests.contract.backing_up import DAY, create_backup, ids_in, memory_of, plain_array, project_in, tree
from tests.support.stores import read_array, tree_digest, write_array


class _Terminal:
    """A child of this process whose three standard streams are a terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "aml", *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(PROJECT), "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, words: str) -> None:
        deadline = time.monotonic() + 20
        while words not in self.seen and time.monotonic() < deadline:
            if not self._read():
                break
        assert words in self.seen, self.seen

    def answer(self, line: str) -> int:
        """Type a line, and read on to the end; returns the exit status."""
        os.write(self._master, f"{line}\n".encode())
        while self._read():
            pass
        os.close(self._master)
        return self._child.wait(timeout=20)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 20)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False  # the other side is closed
        self.seen += data.decode()
        return bool(data)


def test_the_question_comes_after_the_tables_and_holds_no_lock(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    before = tree_digest(project / ".loom/memory")
    terminal = _Terminal(project, "prune")
    terminal.read_until("Remove 1 record")
    shown, _, _ = terminal.seen.partition("Remove 1 record")
    assert "alpha" in shown
    assert "unused_too_long" in shown
    assert list(project.rglob("*.lock")) == [], "agents are not kept waiting"
    meanwhile = aml(project, "prune", "--max-loss", "0%", now=time.time())
    assert meanwhile.status == 3, "another run is not kept waiting either"
    terminal.seen = ""
    assert terminal.answer("n") == 0
    assert "unused_too_long" not in terminal.seen, "after no, one line"
    assert "not" in terminal.seen
    assert tree_digest(project / ".loom/memory") == before


def test_yes_does_what_was_shown(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    terminal = _Terminal(project, "prune")
    terminal.read_until("Remove 1 record")
    assert terminal.answer("y") == 0
    assert "removed 1 of 5 records" in terminal.seen
    assert len(read_array(project / ".loom/memory/alpha/patterns.json")) == 4


def test_what_changed_while_the_question_waited_is_planned_again(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    path = project / ".loom/memory/alpha/patterns.json"
    terminal = _Terminal(project, "prune")
    terminal.read_until("Remove 1 record")
    pinned = [one | {"tags": ["pinned"]} for one in read_array(path)]
    path.write_text(json.dumps(pinned), encoding="utf-8")
    assert terminal.answer("y") == 0
    assert read_array(path) == pinned, "a record that was pinned meanwhile stays"


def test_tables_are_never_folded_inside_an_id(tmp_path: Path) -> None:
    run = aml(small_store(tmp_path), "prune", "--json").envelope["data"]["run"]
    terminal = _Terminal(tmp_path, "prune", "history")
    terminal.read_until(run)
    assert terminal.answer("") == 0


# ---- backups


def _changed(folder: Path) -> Path:
    """A project with a backup, of which the store differs by now."""
    project = project_in(folder)
    create_backup(project, now=time.time() - 60)
    (memory_of(project) / "alpha/patterns.json").write_bytes(plain_array("changed"))
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    return project


def test_a_restore_shows_what_it_would_change_and_no_changes_nothing(tmp_path: Path) -> None:
    project = _changed(tmp_path)
    before, there = tree_digest(memory_of(project)), ids_in(project)
    terminal = _Terminal(project, "backup", "restore", "latest")
    terminal.read_until("Change 2 files")
    for part in ("alpha/patterns.json", "gamma/patterns.json", "3 the same"):
        assert part in terminal.seen
    assert list(memory_of(project).rglob("*.lock")) == [], "agents are not kept waiting"
    create_backup(project, "--tag", "meanwhile", now=time.time())
    assert terminal.answer("n") == 0
    assert "restored" not in terminal.seen
    assert tree_digest(memory_of(project)) == before
    assert len(ids_in(project)) == len(there) + 1


def test_a_confirmed_restore_is_of_the_backup_that_was_shown(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    was = tree(memory_of(project))
    backup = create_backup(project, now=time.time() - 60)
    (memory_of(project) / "alpha/patterns.json").write_bytes(plain_array("changed"))
    terminal = _Terminal(project, "backup", "restore", "latest")
    terminal.read_until("Change 1 file")
    create_backup(project, now=time.time())
    assert terminal.answer("y") == 0
    assert backup in terminal.seen
    assert tree(memory_of(project)) == was, "not the one that is the latest by now"


def test_a_rotation_asks_where_a_backup_goes(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    names = [create_backup(project, now=time.time() - day * DAY) for day in (3, 2, 1)]
    terminal = _Terminal(project, "backup", "rotate", "--keep-last", "1")
    terminal.read_until("Remove 2 backups for good")
    assert all(name in terminal.seen for name in names)
    assert terminal.answer("n") == 0
    assert ids_in(project) == names
    terminal = _Terminal(project, "backup", "rotate", "--keep-last", "1")
    terminal.read_until("Remove 2 backups for good")
    assert terminal.answer("y") == 0
    assert ids_in(project) == names[2:]


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "latest", "--yes"],
        ["rotate", "--keep-last", "1", "--yes"],
        ["rotate", "--keep-last", "9"],
        ["create"],
    ],
    ids=" ".join,
)
def test_who_said_yes_or_loses_nothing_is_not_asked(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    for day in (2, 1):
        create_backup(project, now=time.time() - day * DAY)
    (memory_of(project) / "alpha/patterns.json").write_bytes(b"[]")
    terminal = _Terminal(project, "backup", *words)
    terminal.read_until("\n")
    assert terminal.answer("") == 0
    assert "[y/N]" not in terminal.seen


def test_going_where_agents_cannot_read_is_asked_on_a_terminal(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    before = tree_digest(project / ".loom/memory")
    terminal = _Terminal(project, "migrate", "up", "--to", "2.0.0")
    terminal.read_until("Migrate 5 records up to 2.0.0")
    assert "could not read 5 patterns any more" in terminal.seen
    assert list(project.rglob("*.lock")) == [], "agents are not kept waiting"
    assert terminal.answer("n") == 0
    assert tree_digest(project / ".loom/memory") == before
    terminal = _Terminal(project, "migrate", "up", "--to", "2.0.0")
    terminal.read_until("Migrate 5 records up to 2.0.0")
    assert terminal.answer("y") == 0
    assert all(record["version"] == "2.0.0" for record in read_array(project / ".loom/memory/alpha/patterns.json"))
