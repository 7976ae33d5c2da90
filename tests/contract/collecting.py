"""Garbage collection through the Python API, at a fixed moment and without waiting between locks."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

from aml.config import Settings
from aml.fs.runtime_lock import LockPolicy
from aml.optimize.gc_report import GcReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.gc import collect_garbage, gc_options
from tests.contract.pruning import IMPATIENT, moment
from tests.support.records import Record
from tests.support.stores import encode_array

#: Two days before the moment of ``run_gc``, in seconds since 1970 UTC: an unfinished write from then is a leftover.
LONG_AGO = moment(-2)


def run_gc(
    memory: Path,
    *,
    max_loss: float | None = None,
    salvage: bool = False,
    later_days: float = 0,
    dry_run: bool = False,
    trust_clock: bool = False,
    agents: tuple[str, ...] = (),
    settings: Settings | None = None,
    locks: LockPolicy = IMPATIENT,
) -> GcReport:
    """Collect the garbage of the store at ``memory`` so many days after NOW."""
    return collect_garbage(
        open_store(memory),
        gc_options(settings or Settings(), agents=agents, salvage=salvage, max_loss=max_loss),
        now=moment(later_days),
        dry_run=dry_run,
        conditions=Conditions(locks=locks, trust_clock=trust_clock),
    )


def without(record: Record, *keys: str) -> Record:
    """The record without those keys, and without the other places where a time of creation may stand."""
    found = {key: value for key, value in record.items() if key not in keys}
    if "timestamp" in keys and isinstance(found.get("evolution"), dict):
        found["evolution"] = {key: value for key, value in found["evolution"].items() if key != "created"}
    return found


def write_copy(memory: Path, records: Sequence[object], kind: str = "patterns", agent: str = "alpha") -> Path:
    """A compressed copy beside a record file, as older scripts left it."""
    path = memory / agent / f"{kind}.json.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(encode_array(records), mtime=0))
    return path


def write_stray(memory: Path, data: bytes = b"[{", name: str = "alpha/patterns.json.tmp") -> Path:
    """An unfinished write that nobody will end."""
    path = memory / name
    path.write_bytes(data)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def counted(report: GcReport) -> dict[str, int]:
    """The classes of garbage of which there was any; records alike but for the id, as tests make them, left out."""
    return {name: number for name, number in report.counts.items() if number and name != "content_duplicate"}


def quarantined(memory: Path) -> dict[str, bytes]:
    """What lies in quarantine, by its path in the store, without what tells of it."""
    root = memory.with_name(f"{memory.name}-backup") / "quarantine"
    return {
        "/".join(path.relative_to(root).parts[1:]): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".origin" not in path.parts
    }
