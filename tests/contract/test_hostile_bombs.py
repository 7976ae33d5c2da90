"""A gzip file of 10 MB that unpacks to 10 GB is refused by every command that would read it, in little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import aml
from aml.codec.compression import unpack, unpacks_beyond
from aml.errors import DamagedError
from tests.contract.pruning import UNLIMITED, run_prune, stale
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest

#: Runs command lines one after the other, each with the peak of memory (KB) that it alone came to.
_MEASURE = """
import gc, io, json, sys
from pathlib import Path
from aml.cli.invocation import Streams
from aml.cli.main import run

answers = {}
for line in json.load(sys.stdin):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    out, err = io.StringIO(), io.StringIO()
    streams = Streams(out, err, io.StringIO())
    status = run(line.split(), streams=streams, environment={}, clock=lambda: float(sys.argv[1]), folder=Path.cwd())
    told = Path("/proc/self/status").read_text()
    peak = next(int(one.split()[1]) for one in told.splitlines() if one.startswith("VmHWM"))
    answers[line] = status, peak, out.getvalue() + err.getvalue()
print(json.dumps(answers))
"""

#: Sixteen times the packed size (170 MB) may be tried, by two threads at once where a command reads ahead, beside the
#: program itself. The bomb holds 10 GB, of which 1 GiB would be allowed.
_MOST_KB = 400 * 1024

#: Every command that reads record files, and with what it ends where one of its files cannot be read.
READING = {
    "prune --dry-run": 0,
    "prune --strategy space --dry-run": 0,
    "prune --plan ../plan.json": 0,
    "prune": 3,
    "prune explain a": 0,
    "optimize gc --dry-run": 0,
    "optimize gc": 3,
    "optimize gc --salvage --dry-run": 0,
    "optimize gc --salvage": 3,
    "optimize compress --age-days 0": 0,
    "optimize compress --decompress": 3,
    "optimize index": 3,
    "optimize index --rebuild": 3,
    "optimize warm-cache": 3,
    "optimize all": 3,
    "query --text cache": 3,
    "show a": 0,
    "backup create": 0,
    "backup create --full": 0,
    "backup diff": 0,
    "backup drill": 0,
    "backup verify": 0,
    "backup restore latest --dry-run": 0,
    "backup restore latest --yes": 0,
    "monitor metrics": 3,
    "monitor health": 5,
    "monitor report": 0,
    "monitor report --html ../report.html": 0,
}


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """One member of blanks after a bracket, the same block ten thousand times."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = deflater.compress(b"[" + b" " * (1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    block = deflater.compress(b" " * (1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return first + 10_240 * block


def measured(folder: Path, *lines: str) -> dict[str, tuple[int, int, str]]:
    """Status, peak of memory (KB) and words of each command line."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is told by Linux alone")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AML_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(NOW.timestamp())],
        input=json.dumps(lines),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        env=inherited | {"PYTHONPATH": str(Path(aml.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    return {line: (status, peak, said) for line, (status, peak, said) in json.loads(done.stdout).items()}


def problems(answers: dict[str, tuple[int, int, str]], statuses: dict[str, int]) -> Iterator[str]:
    for line, (status, peak, said) in answers.items():
        if status != statuses[line]:
            yield f"aml {line}: exit {status}: {said[-300:]}"
        if peak > _MOST_KB:
            yield f"aml {line} took {peak // 1024} MB"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["beta/patterns.json", "beta/patterns.json.gz", "global/cross-agent.json"])
def test_a_bomb_is_refused_by_every_command_that_reads(tmp_path: Path, bomb: bytes, place: str) -> None:
    project = tmp_path / "project"
    memory = make_store(project, {"alpha": {"patterns": [pattern(id="a")]}, "beta": {"decisions": []}})
    (memory / "global").mkdir()
    (memory / place).write_bytes(bomb)
    answers = measured(project, *READING)
    statuses = READING if place == "beta/patterns.json" else {line: status for line, (status, _, _) in answers.items()}
    told_wrong = list(problems(answers, statuses))
    assert not told_wrong, "\n".join(told_wrong)
    assert {status for status, _, _ in answers.values()} <= {0, 3, 4, 5, 12}
    assert (memory / place).read_bytes() == bomb
    told = [line for line, (_, _, said) in answers.items() if "unpacks to more than 1073741824 bytes" in said]
    assert len(told) > 10 or place != "beta/patterns.json", "the message names the limit"


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, bomb: bytes) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="a")]}})
    (memory / "alpha/solutions.json").write_bytes(bomb)
    (memory.parent / "aml.toml").write_text("[store]\nmax_unpacked_mb = 100\n", encoding="utf-8")
    lines = ("prune --dry-run", "optimize gc --salvage --dry-run", "optimize index", "monitor metrics")
    answers = measured(tmp_path, *lines)
    assert not list(problems(answers, dict(zip(lines, (0, 0, 3, 3), strict=True))))
    assert all("104857600 bytes" in said for _, _, said in answers.values())
    assert "raise store.max_unpacked_mb" in answers["prune --dry-run"][2]


def test_an_archive_that_is_a_bomb_is_refused_in_little_memory(tmp_path: Path, bomb: bytes) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("s"), pattern(id="a")]}})
    run = run_prune(memory, max_loss=UNLIMITED).run
    (archive,) = memory.parent.glob("memory-backup/archives/*/*.gz")
    archive.write_bytes(bomb)
    (memory.parent / "aml.toml").write_text("[store]\nmax_unpacked_mb = 100\n", encoding="utf-8")
    before = tree_digest(memory)
    lines = (f"prune undo {run}", "monitor report", "prune history")
    answers = measured(tmp_path, *lines)
    assert not list(problems(answers, dict(zip(lines, (12, 0, 0), strict=True))))
    assert "raise store.max_unpacked_mb" in answers[lines[0]][2]
    assert tree_digest(memory) == before


def test_the_limit_can_be_raised(tmp_path: Path) -> None:
    """What shrinks a thousandfold is read where it is within the limit, and refused where it is not."""
    text = b"[" + b" " * (100 << 20) + b"]"
    packed = zlib.compress(text, 1, 31)
    assert unpacks_beyond(packed, len(text) - 1)
    assert not unpacks_beyond(packed, len(text))
    assert unpack(packed, max_bytes=len(text)) == text
    with pytest.raises(DamagedError, match="unpacks to more than"):
        unpack(packed, max_bytes=len(text) - 1)
    with pytest.raises(DamagedError, match="ends too early"):
        unpack(packed[:-9], max_bytes=len(text))
    with pytest.raises(DamagedError):
        unpack(packed[:-4] + b"\\0\\0\\0\\0", max_bytes=len(text))
    memory = make_store(tmp_path, {"alpha": {}})
    (memory / "alpha/patterns.json").write_bytes(packed)
    for limit, status in ((99, 12), (101, 0)):
        (memory.parent / "aml.toml").write_text(f"[store]\nmax_unpacked_mb = {limit}\n", encoding="utf-8")
        assert measured(tmp_path, "prune")["prune"][0] == status


@pytest.mark.slow
def test_a_bomb_among_the_files_of_a_backup_is_refused(tmp_path: Path, bomb: bytes) -> None:
    project = tmp_path / "project"
    make_store(project, {"alpha": {"patterns": [pattern(id="a")]}})
    assert measured(project, "backup create")["backup create"][0] == 0
    keep = project / ".loom" / "memory-backup"
    places = [
        next((keep / folder).rglob("*.*")) for folder in ("snapshots", "packs", "index") if (keep / folder).exists()
    ]
    lines = ("backup list", "backup show latest", "backup diff", "backup verify", "backup create", "monitor health")
    for place in places:
        whole = tmp_path / "whole"
        shutil.copytree(project, whole)
        (whole / place.relative_to(project)).chmod(0o600)
        (whole / place.relative_to(project)).write_bytes(bomb)
        answers = measured(whole, *lines)
        assert not list(problems(answers, {line: status for line, (status, _, _) in answers.items()}))
        assert {status for status, _, _ in answers.values()} <= {0, 1, 3, 5, 12}
        shutil.rmtree(whole)
