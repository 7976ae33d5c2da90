"""The rows about migrating: every record of a store moves, with a backup before, fsync and read-back."""

from __future__ import annotations

from tests.bench.model import Row, StoreSpec, Target, aml_sides

_UP = ("--store", "{store}", "migrate", "up", "--yes", "-q", "--to")

MIGRATE_ROWS: tuple[Row, ...] = (
    Row(
        name="migrate-1.1.0",
        group="migrate",
        work="migrate 1.0.0 to 1.1.0, 50,000 items, with backup",
        sides=aml_sides((*_UP, "1.1.0")),
        targets=(Target("seconds", 1.2),),
        peer_a=2.34,
        store=StoreSpec(items=50_000, schema="1.0.0"),
        renew="store",
    ),
    Row(
        name="migrate-2.0.0",
        group="migrate",
        work="migrate 1.2.0 to 2.0.0, 50,000 items, with backup",
        sides=aml_sides((*_UP, "2.0.0")),
        targets=(Target("seconds", 1.4),),
        peer_a=2.78,
        store=StoreSpec(items=50_000, schema="1.2.0"),
        renew="store",
    ),
)
