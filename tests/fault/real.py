"""Real processes and real limits: AML as a child, small disks, full and read-only ones."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli import running
from tests.cli.running import Answer
from tests.support.records import NOW

#: AML without any call replaced: only its clock is set, and where wanted the largest size of a file.
_AML = """
import resource, sys
sys.path.insert(0, sys.argv.pop(1))
from inject import run_aml
now, limit = float(sys.argv.pop(1)), int(sys.argv.pop(1))
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(run_aml(sys.argv[1:], now=now))
"""


def command(*words: str, minutes: float = 0, file_size: int = -1) -> list[str]:
    """AML in a process of its own, so many minutes after NOW; no file may grow beyond ``file_size`` bytes."""
    now = NOW.timestamp() + 60 * minutes
    return [sys.executable, "-c", _AML, str(Path(__file__).parent), str(now), str(file_size), *words]


def aml(folder: Path, *words: str, minutes: float = 0, file_size: int = -1) -> subprocess.CompletedProcess[str]:
    started = command(*words, minutes=minutes, file_size=file_size)
    return subprocess.run(started, cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def look(folder: Path, *words: str, minutes: float = 0) -> Answer:
    """A command that only looks at what others did, in this very process: several times as fast as one of its own."""
    return running.aml(folder, *words, now=NOW.timestamp() + 60 * minutes)


def noise(size: int, seed: int) -> str:
    """Text that hardly shrinks by compression."""
    return random.Random(seed).randbytes(size // 2).hex()


def assert_failed_with_a_name(ended: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert ended.returncode in (1, 3), ended.stderr
    assert "Traceback" not in ended.stderr
    assert str(folder.resolve()) in ended.stderr


@contextmanager
def own_disk(point: Path, size: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped where this process may not mount one, unless AML_REQUIRE_ROOT is
    1."""
    point.mkdir(parents=True)
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or not mount("-t", "tmpfs", "-o", f"size={size}", "aml-test", point)
    ):
        if os.environ.get("AML_REQUIRE_ROOT") == "1":
            pytest.fail("this process may not mount a tmpfs, and AML_REQUIRE_ROOT is set")
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)


def mount(*words: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def leave_free(disk: Path, pages: int) -> Path:
    """Fill the disk but for so many pages of 4 KB; returns the file that fills it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            os.ftruncate(file.fileno(), max(0, file.tell() - pages * 4096))
    return filler
