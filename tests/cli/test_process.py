"""``aml`` as the process that it is started as: its words, streams, folder and signals, here those of this process."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml import __version__
from aml.__main__ import main
from tests.cli.running import small_store
from tests.support.stores import tree_digest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a process arranges for itself is put back for this one."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def writer(target: Path | int) -> io.TextIOWrapper:
    """A stream to a file, or to an open descriptor."""
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(target, "w")), encoding="utf-8")


class Process:
    """This process as ``aml`` with these words, its standard output and error going to files."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, *words: str, out: str = "out") -> None:
        self._files = {"stdout": folder / out, "stderr": folder / "err"}
        self._patch = patch
        for name, path in self._files.items():
            patch.setattr(sys, name, writer(path))
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setattr(sys, "argv", ["aml", *words])

    def run(self) -> tuple[int, str, str]:
        """Exit status, and what went to standard output and error."""
        try:
            status = main()
        finally:
            for name in self._files:
                getattr(sys, name).close()
            self._patch.undo()
        found = [path.read_text(encoding="utf-8") if path.is_file() else "" for path in self._files.values()]
        return status, found[0], found[1]


def test_the_version_is_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Process(monkeypatch, tmp_path, "--version").run() == (0, "", "")
    assert capfd.readouterr().out == f"aml {__version__}\n", "past the buffer of the stream"


def test_a_command_answers_with_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(small_store(tmp_path) / ".loom/memory")
    status, out, err = Process(monkeypatch, tmp_path, "--store", store, "prune", "--dry-run").run()
    assert (status, err) == (0, "")
    assert "1 of 5" in out
    assert Process(monkeypatch, tmp_path, "--store", store, "prune", "--bogus").run()[0] == 2


class _Terminal(io.TextIOWrapper):
    """Whoever sits there answers a question by ending the process."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        if "[y/N]" in text:
            os.kill(os.getpid(), signal.SIGTERM)
        return written


def test_a_second_interrupt_breaks_nothing_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = small_store(tmp_path) / ".loom/memory"
    process = Process(monkeypatch, tmp_path, "--store", str(store), "prune")
    sys.stderr.close()
    monkeypatch.setattr(sys, "stderr", _Terminal(io.FileIO(tmp_path / "err", "w"), write_through=True))  # type: ignore[arg-type]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    before = tree_digest(store)
    status, _, err = process.run()
    assert (status, "Traceback" in err) == (130, False), err
    assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_IGN}
    assert tree_digest(store) == before


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    store = str(small_store(tmp_path) / ".loom/memory")
    status, _, err = Process(monkeypatch, tmp_path, "--store", store, "prune", "--dry-run", out="/dev/full").run()
    assert (status, err) == (1, "aml: cannot write the answer: No space left on device\n")


def test_a_reader_that_is_gone_is_no_error_to_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(small_store(tmp_path) / ".loom/memory")
    process = Process(monkeypatch, tmp_path, "--store", store, "prune", "--dry-run")
    source, sink = os.pipe()
    os.close(source)
    sys.stdout.close()
    monkeypatch.setattr(sys, "stdout", writer(sink))
    assert process.run() == (1, "", "")


def test_a_folder_that_is_gone_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, tmp_path, "prune")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    status, _, err = process.run()
    assert (status, "Traceback" in err) == (10, False), err
