"""What a process is said to have taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.bench.process import RunFailedError, run_process

#: Two children that hold 60 MB each, beside what they share with the one that made them, for a while.
_FAMILY = """
import os, time
shared = b"s" * 50_000_000
for _ in range(2):
    if os.fork() == 0:
        own = b"o" * 60_000_000
        time.sleep(0.4)
        os._exit(0)
for _ in range(2):
    os.wait()
"""


def test_the_memory_of_children_counts_once_and_what_they_share_too(tmp_path: Path) -> None:
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("this system does not list the children of a process")
    usage = run_process([sys.executable, "-S", "-c", _FAMILY], tmp_path, os.environ)
    assert usage.memory is not None
    assert 170e6 < usage.memory < 230e6
    assert usage.seconds > 0.4


def test_what_a_process_prints_is_read_where_that_is_asked_for(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-c", "print(1)"]
    assert run_process(words, tmp_path, os.environ, read=True).output == b"1\n"
    assert run_process(words, tmp_path, os.environ).output == b""


def test_a_process_that_fails_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="exit 3: no"):
        run_process(["sh", "-c", "echo no >&2; exit 3"], tmp_path, os.environ)
