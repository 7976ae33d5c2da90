"""One run at a time: the second one is told who is at work, and the lock never outlives its process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aml
from aml.errors import ExitStatus, LockedError
from aml.fs.run_lock import run_lock
from aml.ledger.state import prepare_folder, run_lock_path
from aml.store.open import open_store
from tests.support.records import pattern
from tests.support.stores import make_store, tree_digest

STARTED = "2026-11-20T12:00:00.000Z"

_HOLDER = """
import sys
from pathlib import Path
from aml.fs.run_lock import run_lock
with run_lock(Path(sys.argv[1]), "prune", sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    return inherited | {"PYTHONPATH": str(Path(aml.__file__).parents[1])}


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run lock until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), STARTED],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def check_free(path: Path) -> None:
    with run_lock(path, "prune", STARTED):
        pass


def test_a_second_run_is_told_what_runs_where_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as process, pytest.raises(LockedError) as caught, run_lock(path, "undo", "later"):
        pytest.fail("two runs at once")
    message = caught.value.message
    assert "aml prune" in message
    for part in (str(process.pid), socket.gethostname(), STARTED):
        assert part in message
    assert caught.value.status is ExitStatus.LOCKED == 11


def test_being_refused_does_not_take_the_holders_name_away(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as process:
        for _ in range(2):
            with pytest.raises(LockedError, match=str(process.pid)), run_lock(path, "undo", "later"):
                pass


def test_the_lock_is_free_after_the_block_and_after_a_failure_in_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    check_free(path)
    with pytest.raises(ZeroDivisionError), run_lock(path, "prune", STARTED):
        raise ZeroDivisionError
    check_free(path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_process(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as process:
        process.send_signal(number)
        process.wait(timeout=20)
        check_free(path)


def test_a_suspended_process_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LockedError, match=str(process.pid)), run_lock(path, "prune", STARTED):
            pass
        process.send_signal(signal.SIGCONT)


def test_a_child_of_a_run_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with run_lock(path, "prune", STARTED):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        check_free(path)
    finally:
        child.communicate()


def test_a_name_that_a_longer_one_left_behind_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with run_lock(path, "a very long name of an operation " * 9, STARTED):
        pass
    with run_lock(path, "undo", STARTED):
        assert json.loads(path.read_text())["operation"] == "undo"


@pytest.mark.parametrize("left", [b"", b"{", b"\xff\xfe", b"[1]", b"\0" * 9000])
def test_a_holder_that_cannot_be_named_is_an_error_all_the_same(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "run.lock"
    with holder(path):
        path.write_bytes(left)
        with pytest.raises(LockedError, match=r"run\.lock"), run_lock(path, "undo", STARTED):
            pass


@pytest.mark.parametrize("left", [b"", b"rubbish", b"\xff" * 9000])
def test_what_a_crashed_run_left_in_the_file_stops_nobody(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(left)
    with run_lock(path, "prune", STARTED):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    check_free(tmp_path / "run.lock")
    assert (tmp_path / "run.lock").stat().st_mode & 0o777 == 0o600


def test_of_many_runs_that_start_at_once_one_runs(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    outcomes: list[str] = []
    ready, done = threading.Barrier(8), threading.Event()

    def try_to_run() -> None:
        ready.wait()
        try:
            with run_lock(path, "prune", STARTED):
                outcomes.append("ran")
                done.wait(20)
        except LockedError:
            outcomes.append("refused")
            if outcomes.count("refused") == 7:
                done.set()

    threads = [threading.Thread(target=try_to_run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ran", *["refused"] * 7]


def run_aml(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aml", "--store", str(store), *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path, {"alpha": {"patterns": [pattern(unused_days=900), pattern(unused_days=900)]}})


@pytest.mark.parametrize("words", [("prune", "--trust-clock"), ("prune", "--json", "--trust-clock")])
def test_the_command_line_exits_with_11_and_changes_nothing(store: Path, words: tuple[str, ...]) -> None:
    opened = open_store(store)
    prepare_folder(opened.state)
    with holder(run_lock_path(opened)) as process:
        before = tree_digest(store.parent)
        done = run_aml(store, *words)
        assert tree_digest(store.parent) == before
    assert done.returncode == 11
    told = json.loads(done.stdout)["errors"][0]["message"] if "--json" in words else done.stderr
    for part in ("aml prune", str(process.pid), socket.gethostname(), STARTED):
        assert part in told


def test_the_command_line_runs_again_after_the_holder_was_killed(store: Path) -> None:
    opened = open_store(store)
    prepare_folder(opened.state)
    with holder(run_lock_path(opened)) as process:
        process.kill()
        process.wait(timeout=20)
        assert run_aml(store, "prune", "--trust-clock").returncode in (ExitStatus.DONE, ExitStatus.PARTIAL)


def test_a_store_has_one_lock_by_whatever_name_it_is_called(store: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(store)
    opened = open_store(store)
    prepare_folder(opened.state)
    with holder(run_lock_path(opened)):
        assert run_aml(alias, "prune", "--trust-clock").returncode == 11


def test_a_dry_run_needs_no_lock(store: Path) -> None:
    opened = open_store(store)
    prepare_folder(opened.state)
    with holder(run_lock_path(opened)):
        assert run_aml(store, "prune", "--dry-run", "--trust-clock").returncode == 0
