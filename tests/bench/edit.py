"""Changes some records of a generated store, as working agents do between two backups."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Edit:
    """Which records to change: ``share`` of all records of the store, in the pattern files of so many agents."""

    share: float = 0.01
    files: int = 3
    spread: bool = False
    """Whether they are drawn from all over a file; else they are neighbours, one run of them in each file."""


def change_records(root: Path, edit: Edit, records: int, seed: int) -> int:
    """Change records of the store at ``root``, which has so many ``records``, in the form each file has.

    Returns how many were changed. The same store and seed give the same bytes. Each file is replaced by rename. Raises
    FileNotFoundError for a store without pattern files.
    """
    files = sorted(root.glob("*/patterns.json"))[: edit.files]
    if not files:
        raise FileNotFoundError(f"{root} has no pattern files")
    rng = Random(seed)
    wanted = max(len(files), round(records * edit.share))
    changed = 0
    for place, path in enumerate(files):
        changed += _change_file(path, wanted // len(files) + (place < wanted % len(files)), edit.spread, rng)
    return changed


def _change_file(path: Path, wanted: int, spread: bool, rng: Random) -> int:
    raw = path.read_bytes()
    records = orjson.loads(_unpacked(raw))
    count = min(wanted, len(records))
    start = rng.randrange(len(records) - count + 1)
    for place in rng.sample(range(len(records)), count) if spread else range(start, start + count):
        _use(records[place], rng)
    data = orjson.dumps(records, option=orjson.OPT_INDENT_2)
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_bytes(zlib.compress(data, level=6, wbits=31) if raw.startswith(GZIP_MAGIC) else data)
    fresh.replace(path)
    return count


def _use(pattern: dict[str, Any], rng: Random) -> None:
    """Note one more use of a pattern, as the runtime does."""
    metrics, evolution = pattern["metrics"], pattern["evolution"]
    metrics["executionCount"] += 1
    metrics["successRate"] = round(rng.random(), 4)
    metrics["avgTimeSavedMs"] = round(rng.random() * 1000, 2)
    evolution["confidenceScore"] = round(rng.random(), 4)
    evolution["lastUsed"] = f"2026-06-{rng.randrange(1, 29):02}T12:00:00.{rng.randrange(1000):03}Z"


def _unpacked(raw: bytes) -> bytes:
    return zlib.decompress(raw, wbits=31) if raw.startswith(GZIP_MAGIC) else raw
