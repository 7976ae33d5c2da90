"""The rows about optimizing. GNU gzip beside compressing renames the files; it syncs, locks and checks nothing."""

from __future__ import annotations

from tests.bench.model import STORE, Row, Side, Step, StoreSpec, Target, aml_sides

_COMPRESS = ("--store", "{store}", "optimize", "compress", "--age-days", "0", "-q")
_100_MB = StoreSpec(items=56_600)

#: All files of the store at once, one process for each processor, as a shell user would.
_GZIP = "find . -name '*.json' -print0 | xargs -0 -n 1 -P \"$(getconf _NPROCESSORS_ONLN)\" gzip"

OPTIMIZE_ROWS: tuple[Row, ...] = (
    Row(
        name="gc",
        group="optimize",
        work="gc, 50,000 items, 1 % garbage, real",
        sides=aml_sides(("--store", "{store}", "optimize", "gc", "--max-loss", "100%", "-q")),
        targets=(Target("seconds", 0.60),),
        peer_a=2.26,
        store=StoreSpec(items=50_000, garbage=0.01),
        renew="store",
    ),
    Row(
        name="compress",
        group="optimize",
        work="compress 100 MB",
        sides=(
            *aml_sides(_COMPRESS, forms=("plain",)),
            Side("gzip", Step(("sh", "-c", _GZIP), "{store}"), program="gzip"),
        ),
        targets=(Target("seconds", 1.0), Target("bytes", 0.32, of=STORE)),
        peer_a=8.1,
        store=_100_MB,
        renew="store",
        measured="store",
    ),
)
