"""What ``MemoryLoader`` takes in one process: ``python -m tests.bench.loader WORK STORE`` prints a figure as JSON.

Times are medians of single calls that have been made before. The store has an index.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aml.index.loader import MemoryLoader
from tests.bench.edit import GZIP_MAGIC
from tests.support.stores import gunzipped

ACCESSES = 20_000
ASKED, ASKED_PACKED = 10_000, 300
"""Of a packed store fewer: for random ids of a store this large nearly each look-up unpacks a whole file."""
_CALLS = 300
_UNIT = 1 if sys.platform == "darwin" else 1024

Figures = dict[str, float]


def get(root: Path) -> Figures:
    """Seconds of a look-up by id."""
    wanted = _ids(root, _CALLS)
    with MemoryLoader(root) as loader:
        return {"seconds": _warm(loader.get, wanted)}


def tag(root: Path) -> Figures:
    """Seconds of a search by tag."""
    with MemoryLoader(root) as loader:
        return {"seconds": _warm(lambda _: loader.find(tags=("ci",), limit=20), range(_CALLS))}


def complex(root: Path) -> Figures:  # noqa: A001  (the name of its row)
    """Seconds of a filter by kind, figure and time, in order of last use."""
    with MemoryLoader(root) as loader:

        def ask(_: object) -> object:
            return loader.find(kinds=("pattern",), min_success=0.8, since=1.7e9, sort="last-used", limit=20)

        return {"seconds": _warm(ask, range(_CALLS))}


def hits(root: Path) -> Figures:
    """The share of accesses that found their record at hand: Zipf's, over ids in random order, after ``warm-cache``."""
    wanted = _ids(root)
    weights = [1 / rank for rank in range(1, len(wanted) + 1)]
    with MemoryLoader(root) as loader:
        before = loader.statistics.hits
        for ident in random.Random(2).choices(wanted, weights, k=ACCESSES):
            loader.get(ident)
        return {"share": (loader.statistics.hits - before) / ACCESSES}


def memory(root: Path) -> Figures:
    """The bytes that a loader adds to the process when it is asked for some of the records."""
    told = subprocess.run([sys.executable, "-m", "tests.bench.loader", "ids", root], capture_output=True, check=True)
    wanted = json.loads(told.stdout)
    before = _peak()
    with MemoryLoader(root) as loader:
        for ident in wanted:
            loader.get(ident)
    return {"memory": _peak() - before}


def ids(root: Path) -> list[str]:
    """The ids that a loader is asked for: found by another process, or this one would know the store already."""
    return _ids(root, ASKED_PACKED if _is_packed(root) else ASKED)


def whole(root: Path) -> Figures:
    """The bytes that all record files take as Python values."""
    before = _peak()
    loaded = [json.loads(gunzipped(path.read_bytes())) for path in sorted(root.glob("*/*.json"))]
    return {"memory": _peak() - before} if loaded else {}


WORKS: dict[str, Callable[[Path], object]] = {
    work.__name__: work for work in (get, tag, complex, hits, memory, ids, whole)
}


def _is_packed(root: Path) -> bool:
    with min(root.glob("*/patterns.json")).open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _ids(root: Path, count: int | None = None) -> list[str]:
    """Of all records, or of so many of them, in random order, which is the same each time."""
    with MemoryLoader(root) as loader:
        found = sorted(found.id or "" for found in loader.find())
    return random.Random(1).sample(found, len(found) if count is None else min(count, len(found)))


def _warm(work: Callable[[Any], object], words: Iterable[Any]) -> float:
    """The median of single calls in seconds, each made once before."""
    taken = []
    for word in words:
        work(word)
        began = time.perf_counter()
        work(word)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _peak() -> int:
    """The most memory so far, in bytes; what ``getrusage`` says may be that of the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text(encoding="ascii", errors="replace").partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loader", description="Measure in one process.")
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("store", type=Path)
    options = parser.parse_args(arguments)
    print(json.dumps(WORKS[options.work](options.store)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
