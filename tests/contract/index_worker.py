"""A process that reads a store through a loader until it is told to stop, and checks what it gets."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from aml.errors import NotFoundError
from aml.index.loader import MemoryLoader

PER_FILE = 20


def read_until(loader: MemoryLoader, until: float, rng: random.Random) -> int:
    """Look up records of generation after generation; returns how many there were. Raises AssertionError.

    Each file holds ids ``<agent>-<generation>-<number>`` of one generation, all with that generation as their note.
    """
    asked, newest = 0, {"alpha": 0, "beta": 0}
    while time.monotonic() < until:
        agent = rng.choice(("alpha", "beta"))
        found = loader.find(agents=(agent,))
        generations = {(one.id or "").split("-")[1] for one in found}
        assert len(found) == PER_FILE, f"{len(found)} records of {agent}"
        assert len(generations) == 1, generations
        generation = int(generations.pop())
        assert generation >= newest[agent], "an answer is older than one before"
        newest[agent] = generation
        ident = f"{agent}-{generation}-{rng.randrange(PER_FILE)}"
        try:
            record = loader.get(ident)
        except NotFoundError:
            continue  # its file was replaced meanwhile
        assert record.id == ident
        assert record.decoded()["note"] == f"generation g{generation}"
        words = loader.find(text=f"generation g{generation}", agents=(agent,))
        assert len(words) in (0, PER_FILE), len(words)
        asked += 1
    return asked


if __name__ == "__main__":
    memory, seconds, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    with MemoryLoader(memory) as reading:
        print(read_until(reading, time.monotonic() + seconds, random.Random(seed)))
