"""Compressing through the Python API, at a fixed moment and without waiting between locks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from aml.fs.runtime_lock import LockPolicy
from aml.model.timestamps import SECONDS_PER_DAY
from aml.optimize.compress import CompressOptions
from aml.optimize.compress_report import CompressReport
from aml.store.open import open_store
from aml.workflows.compress import compress
from aml.workflows.conditions import Conditions
from tests.support.records import NOW, Record, decision, pattern, solution
from tests.support.stores import gunzipped, make_store

GZIP = b"\x1f\x8b"


def run_compress(
    memory: Path,
    *,
    agents: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    age_days: float = 30.0,
    decompress: bool = False,
    plain: bool = True,
    dry_run: bool = False,
    lock_timeout: float = 0.2,
    progress: Callable[[str], None] = lambda _: None,
) -> CompressReport:
    """Compress the store at ``memory`` at NOW."""
    return compress(
        open_store(memory),
        CompressOptions(agents=agents, kinds=kinds, age_days=age_days, decompress=decompress, plain=plain),
        now=NOW.timestamp(),
        dry_run=dry_run,
        conditions=Conditions(locks=LockPolicy(timeout=lock_timeout, rest=0)),
        progress=progress,
    )


def aged(path: Path, days: float) -> int:
    """Make a file as old as that at NOW, to an odd nanosecond; returns its modification time (ns)."""
    mtime_ns = int((NOW.timestamp() - days * SECONDS_PER_DAY) * 1e9) + 123_456_789
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path.stat().st_mtime_ns


def all_aged(memory: Path, days: float = 60) -> None:
    for path in memory.rglob("*"):
        if path.is_file():
            aged(path, days)


def old_store(tmp_path: Path) -> Path:
    """Two agents with all kinds of records, plain, and a document that they share, not modified for 60 days."""
    records: dict[str, list[Record]] = {
        "patterns": [pattern(id=f"p{number}", note="naïve 学" * number) for number in range(8)],
        "solutions": [solution(id=f"s{number}") for number in range(6)],
        "decisions": [decision(id=f"d{number}") for number in range(6)],
    }
    memory = make_store(tmp_path, {"alpha": records, "beta": records})
    (memory / "global").mkdir()
    (memory / "global" / "cross-agent.json").write_text('{"shared": [' + "1, " * 200 + "NaN]}", encoding="utf-8")
    (memory / "alpha" / "metrics.json").write_text("[" + "0, " * 500 + "0]", encoding="utf-8")
    all_aged(memory)
    return memory


def texts(memory: Path) -> dict[str, bytes]:
    """What every file says, unpacked, by relative path."""
    return {
        path.relative_to(memory).as_posix(): gunzipped(path.read_bytes())
        for path in sorted(memory.rglob("*"))
        if path.is_file()
    }


def packed(memory: Path) -> list[str]:
    """The files that hold gzip bytes, by relative path."""
    return sorted(
        path.relative_to(memory).as_posix()
        for path in memory.rglob("*")
        if path.is_file() and path.read_bytes().startswith(GZIP)
    )


def reasons(report: CompressReport) -> dict[str, str]:
    """Why files were kept or left, by ``agent/file``."""
    return {
        f"{file.agent}/{file.file}": file.reason or file.problem or ""
        for file in report.files
        if file.fate in ("kept", "left")
    }
