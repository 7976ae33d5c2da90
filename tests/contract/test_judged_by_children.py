"""Large stores are judged and changed by children: what comes of it is what one process alone makes of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, aml_child, clean_environment, kept, old
from tests.support.stores import gunzipped, make_store

_NOISE = "x" * 60_000

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="children are made on Linux alone")


def large_store(folder: Path) -> Path:
    """Two agents with something of everything, over 4 MB together, and one file that cannot be read."""
    patterns = [
        {**make(f"{turn}-{letter}"), "note": _NOISE} for turn in range(20) for make, letter in ((old, "o"), (kept, "k"))
    ]
    nulls = [None, {**kept("nobody"), "agent": None}, *patterns, {**kept("0-k"), "note": "another version"}]
    make_store(folder, {"alpha": {"patterns": [*patterns, None]}, "beta": {"patterns": nulls, "solutions": []}})
    (folder / ".loom" / "memory" / "beta" / "decisions.json").write_bytes(b'[{"id": "torn')
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    memory = folder / ".loom" / "memory"
    return {str(path.relative_to(memory)): path.read_bytes() for path in memory.rglob("*.json")}


def archived(folder: Path) -> dict[str, list[object]]:
    """What each archive holds, but for what tells the runs apart: their names and their moments."""
    keep = folder / ".loom" / "memory-backup"
    return {
        re.sub(r"-\d{8}T.*", "", str(path.relative_to(keep))): [
            line | {"run": "", "reason": re.sub(r"\d+", "", line["reason"]), "figures": sorted(line["figures"])}
            for line in map(json.loads, gunzipped(path.read_bytes()).splitlines())
        ]
        for path in keep.glob("archives/*/*")
    }


def strays(folder: Path) -> list[Path]:
    """Unfinished writes anywhere, and locks of files."""
    return [path for path in folder.rglob("*") if ".aml-tmp-" in path.name or path.name.endswith(".json.lock")]


def told(answer: Answer) -> list[dict[str, object]]:
    """What is told of each file, but for what a run is called and where the store lies."""
    return [
        {name: value for name, value in file.items() if name not in ("archive", "problem")}
        for file in answer.envelope["data"]["files"]
    ]


@contextmanager
def without_children() -> Iterator[None]:
    """No copy is made of a process with several threads."""
    rest = threading.Event()
    thread = threading.Thread(target=rest.wait, daemon=True)
    thread.start()
    try:
        yield
    finally:
        rest.set()
        thread.join()


def aml_bereft(folder: Path, *words: str) -> Answer:
    """A call, each of whose children is killed as soon as it is seen."""
    call = [sys.executable, "-m", "aml", *words]
    with subprocess.Popen(
        call, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        while process.poll() is None:
            with suppress(OSError):
                for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            time.sleep(0.001)
        assert process.stdout is not None
        assert process.stderr is not None
        return Answer(process.returncode, process.stdout.read(), process.stderr.read())


@pytest.mark.parametrize("other_way", [aml_child, pytest.param(aml_bereft, marks=needs_fork)])
@pytest.mark.parametrize("words", [("prune", "--max-loss", "90%", "--yes"), ("optimize", "gc", "--max-loss", "90%")])
def test_children_find_what_one_process_finds(
    tmp_path: Path, words: tuple[str, ...], other_way: Callable[..., Answer]
) -> None:
    alone, by_children = large_store(tmp_path / "alone"), large_store(tmp_path / "by-children")
    before = contents(alone)
    for more in (("--dry-run",), ()):
        with without_children():
            one = aml(alone, *words, *more, "--json")
        other = other_way(by_children, *words, *more, "--json")
        assert one.status == other.status, other.out + other.err
        assert told(one) == told(other)
    assert contents(alone) == contents(by_children) != before
    assert archived(alone) == archived(by_children) != {}
    assert not strays(by_children)


def ids_of(folder: Path) -> list[str]:
    """Of every record in the store; what cannot be read has none."""
    memory = folder / ".loom" / "memory"
    files = [path for path in memory.glob("*/*.json") if path.name != "decisions.json"]
    return sorted(record["id"] for path in files for record in json.loads(path.read_bytes()) if record)


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_ends_while_children_write_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = large_store(tmp_path)
    archives = folder / ".loom" / "memory-backup" / "archives"
    before = ids_of(folder)
    call = [sys.executable, "-m", "aml", "prune", "--max-loss", "90%", "--yes", "--no-backup"]
    with subprocess.Popen(call, cwd=folder, env=clean_environment(), start_new_session=True) as process:
        while process.poll() is None and not (archives.is_dir() and strays(archives)):
            time.sleep(0.0005)
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        process.wait(timeout=30)
    wait_for_end_of_group(process.pid)
    if number != signal.SIGKILL:
        assert not strays(folder)
    again = aml_child(folder, *call[3:], "--json")
    assert again.status == 3, "one file cannot be read: " + again.out + again.err
    assert not strays(folder)
    runs = aml_child(folder, "prune", "history", "--json").envelope["data"]["runs"]
    assert {run["state"] for run in runs} <= {"done", "partial", "interrupted"}
    for run in runs:
        aml_child(folder, "prune", "undo", run["id"])
    assert ids_of(folder) == before


def wait_for_end_of_group(group: int) -> None:
    """Children end with what they have begun."""
    deadline = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)
