"""What ``MemoryLoader`` takes in one process: ``python -m tests.bench.loader [--items N] [--form gzip]``.

Prints microseconds of look-ups and questions, the hit rate under Zipf accesses after ``warm-cache``, and the memory of
a loader as a share of that of the whole store loaded by the standard library.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aml.index.loader import MemoryLoader
from aml.store.open import open_store
from aml.workflows.index import warm_cache
from tests.bench.generate import Form, generate
from tests.bench.measure import in_child
from tests.support.stores import gunzipped

ACCESSES = 20_000
_SAMPLE = "sample-of-ids"


def _microseconds(work: Callable[[str], object], words: Sequence[str]) -> float:
    """The median of single calls."""
    taken = []
    for word in words:
        began = time.perf_counter()
        work(word)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def _ids(root: Path) -> list[str]:
    with MemoryLoader(root) as loader:
        return [found.id or "" for found in loader.find()]


def time_calls(root: Path) -> None:
    """Print what single calls take."""
    ids = random.Random(1).sample(_ids(root), 1000)
    with MemoryLoader(root) as loader:
        print(f"get, first time       {_microseconds(loader.get, ids):8.1f} us")
        print(f"get, warm             {_microseconds(loader.get, ids):8.1f} us")
        print(f"exists, of no record  {_microseconds(lambda word: loader.exists(word + 'x'), ids):8.1f} us")
        for name, filters in (
            ("tag", {"tags": ("ci",)}),
            ("complex", {"kinds": ("pattern",), "min_success": 0.8, "since": 1.7e9, "sort": "last-used"}),
        ):
            first = _microseconds(lambda _, f=filters: loader.find(**f, limit=20), ids[:1])
            again = _microseconds(lambda _, f=filters: loader.find(**f, limit=20), ids[1:])
            print(f"find by {name:8}      {first:8.1f} us, again {again:.1f} us")


def measure_hits(root: Path) -> None:
    """Print the hit rate after warming, of accesses that follow a Zipf distribution over ids in random order."""
    rng = random.Random(2)
    ids = sorted(_ids(root))
    rng.shuffle(ids)
    weights = [1 / rank for rank in range(1, len(ids) + 1)]
    warm_cache(open_store(root))
    with MemoryLoader(root) as loader:
        before = loader.statistics
        for ident in rng.choices(ids, weights, k=ACCESSES):
            loader.get(ident)
        after = loader.statistics
    print(f"hit rate              {(after.hits - before.hits) / ACCESSES:8.1%}")


def sample_ids(root: Path) -> None:
    """Write down the ids of 10,000 records."""
    ids = sorted(_ids(root))
    chosen = random.Random(3).sample(ids, min(10_000, len(ids)))
    (root.parent / _SAMPLE).write_text("\n".join(chosen), encoding="ascii")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load_lazily(root: Path) -> None:
    """Print the memory that a loader adds when it is asked for 10,000 records."""
    base = _peak_mb()
    with MemoryLoader(root) as loader:
        for ident in (root.parent / _SAMPLE).read_text(encoding="ascii").split():
            loader.get(ident)
    print(f"memory of a loader    {_peak_mb() - base:8.0f} MB")


def load_whole(root: Path) -> None:
    """Print the memory that all record files take as Python values."""
    base = _peak_mb()
    whole = [json.loads(gunzipped(path.read_bytes())) for path in sorted(root.glob("*/*.json"))]
    print(f"memory of the whole   {_peak_mb() - base:8.0f} MB, {len(whole)} files")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loader", description="Time a loader in one process.")
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--form", choices=("plain", "gzip"), default="plain")
    options = parser.parse_args(arguments)
    form: Form = options.form
    with tempfile.TemporaryDirectory(prefix="aml-bench-") as folder:
        root = Path(folder) / ".loom" / "memory"
        in_child(generate, root, items=options.items, form=form)
        time.sleep(2.2)  # younger files would be hashed at each call
        for work in (time_calls, measure_hits, sample_ids, load_lazily, load_whole):
            in_child(work, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
