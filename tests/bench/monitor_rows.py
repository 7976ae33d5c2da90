"""The rows about watching a store."""

from __future__ import annotations

from tests.bench.model import Row, StoreSpec, Target, aml_sides

_STORE = ("--store", "{store}")
_INDEX = (*_STORE, "optimize", "index")

MONITOR_ROWS: tuple[Row, ...] = (
    Row(
        name="metrics-50k",
        group="monitor",
        work="metrics, 50,000 items",
        sides=aml_sides((*_STORE, "monitor", "metrics"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.25),),
        peer_a=0.71,
        store=StoreSpec(items=50_000),
    ),
    Row(
        name="health-50k",
        group="monitor",
        work="health, all checks, 50,000 items",
        sides=aml_sides((*_STORE, "monitor", "health"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.35),),
        peer_a=1.22,
        store=StoreSpec(items=50_000),
    ),
    Row(
        name="report-50k",
        group="monitor",
        work="report as HTML, 50,000 items",
        sides=aml_sides((*_STORE, "monitor", "report", "--html", "{project}/report.html"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.60),),
        store=StoreSpec(items=50_000),
    ),
)
