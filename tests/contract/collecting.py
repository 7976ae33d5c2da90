"""Garbage collection through the Python API, at a fixed moment and without waiting between locks."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aml.config import Settings
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.undo import OriginalUndo, UndoReport
from aml.optimize.gc_report import GcReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.gc import collect_garbage, gc_options
from tests.contract.pruning import IMPATIENT, UNLIMITED, fresh, moment, stale
from tests.support.records import Record
from tests.support.stores import Form, encode_array, make_store, record_spans

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


FORMS: list[Form] = ["plain", "gzip"]

GARBAGE = [
    None,
    stale("x", note="older"),
    fresh("a"),
    without(fresh("-"), "id"),
    fresh("x", note="newer"),
    None,
    without(fresh("no-agent"), "agent"),
    without(fresh("no-time"), "timestamp"),
    fresh("b"),
    without(fresh("-", note=2), "id", "agent"),
]


def everything(tmp_path: Path, form: Form = "plain") -> Path:
    """A store with garbage of every class that is removed."""
    memory = make_store(tmp_path, {"alpha": {"patterns": GARBAGE}, "beta": {"patterns": [fresh("z")]}}, form=form)
    write_copy(memory, [fresh("c"), fresh("a")], agent="beta")
    (memory / "alpha/solutions.json").write_bytes(b"")
    (memory / "alpha/decisions.json").write_bytes(encode_array([fresh("d"), fresh("e"), fresh("f")])[:-9])
    write_stray(memory)
    (memory / "global").mkdir()
    write_stray(memory, name="global/cross-agent.json.tmp")
    return memory


def gc_run(memory: Path, **options: Any) -> str:
    report = run_gc(memory, max_loss=UNLIMITED, **options)
    assert report.run is not None
    return report.run


def originals_of(report: UndoReport) -> dict[str, OriginalUndo]:
    return {one.path: one for one in report.originals}


def spans_of(memory: Path) -> list[bytes]:
    return record_spans(memory / "alpha/patterns.json")
