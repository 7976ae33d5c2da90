"""Memory that one thread has freed is there for the next, in the processes that are AML's own."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.cli.running import PROJECT

_PROGRAM = """
import re, sys, threading
from pathlib import Path
from aml.fs.arenas import share_one_arena
if "one" in sys.argv:
    share_one_arena()
def work():
    held.append([bytes(50_000) for _ in range(200)])
held = []
for _ in range(8):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
# the arenas of threads lie in mappings of 64 MB and nothing else does
maps = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
print(sum(int(start, 16) % (64 << 20) == 0 for start, _ in maps))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_threads_share_one_arena() -> None:
    def arenas(*words: str) -> int:
        done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], cwd=PROJECT, capture_output=True, check=True)
        return int(done.stdout)

    assert arenas("one") < arenas()
