"""The benchmark table: one small definition for each row. A new command joins by a new row in ``ROWS``."""

from __future__ import annotations

from collections.abc import Iterable

from tests.bench.backup_rows import BACKUP_ROWS
from tests.bench.index_rows import INDEX_ROWS
from tests.bench.loader_rows import LOADER_ROWS
from tests.bench.migrate_rows import MIGRATE_ROWS
from tests.bench.model import Row, StoreSpec, Target, aml_sides
from tests.bench.monitor_rows import MONITOR_ROWS
from tests.bench.optimize_rows import OPTIMIZE_ROWS

_PRUNE = ("--store", "{store}", "prune", "--strategy", "time", "--max-loss", "100%", "--yes")
_TEN_THOUSAND_PATTERNS = StoreSpec(items=10_000, patterns_only=True)

ROWS: tuple[Row, ...] = (
    Row(
        name="version",
        group="startup",
        work="aml --version",
        sides=aml_sides(("--version",), forms=("plain",)),
        targets=(Target("seconds", 0.025),),
        peer_a=0.08,
    ),
    Row(
        name="smallest",
        group="startup",
        work="smallest command: aml config path",
        sides=aml_sides(("config", "path"), forms=("plain",)),
        targets=(Target("seconds", 0.09),),
        peer_a=0.08,
    ),
    Row(
        name="prune-10k-dry",
        group="prune",
        work="prune time, 10,000 patterns, dry run",
        sides=aml_sides((*_PRUNE, "--dry-run")),
        targets=(Target("seconds", 0.15),),
        peer_a=0.49,
        store=_TEN_THOUSAND_PATTERNS,
    ),
    Row(
        name="prune-10k",
        group="prune",
        work="prune time, 10,000 patterns, real",
        sides=aml_sides(_PRUNE),
        targets=(Target("seconds", 0.35),),
        peer_a=0.49,
        store=_TEN_THOUSAND_PATTERNS,
        renew="store",
    ),
    Row(
        name="prune-50k",
        group="prune",
        work="prune time, 50,000 items, real",
        sides=aml_sides(_PRUNE),
        targets=(Target("seconds", 0.75),),
        peer_a=2.16,
        store=StoreSpec(items=50_000),
        renew="store",
    ),
    *BACKUP_ROWS,
    *INDEX_ROWS,
    *LOADER_ROWS,
    *OPTIMIZE_ROWS,
    *MIGRATE_ROWS,
    *MONITOR_ROWS,
)


def select(words: Iterable[str], part: str = "") -> tuple[Row, ...]:
    """The rows whose name or group is among the words and whose name has ``part`` in it, in the order of the table.

    No words stand for all rows. Raises KeyError with a word that fits no row, or with a part that leaves none.
    """
    wanted = set(words)
    unknown = wanted - {name for row in ROWS for name in (row.name, row.group)}
    if unknown:
        raise KeyError(min(unknown))
    rows = tuple(row for row in ROWS if part in row.name and (not wanted or {row.name, row.group} & wanted))
    if not rows:
        raise KeyError(part)
    return rows
