"""The rows about finding records, in a new process each time."""

from __future__ import annotations

from tests.bench.edit import Edit
from tests.bench.model import Row, StoreSpec, Target, aml_sides

_STORE = ("--store", "{store}")
_INDEX = (*_STORE, "optimize", "index")
_FIFTY_THOUSAND = StoreSpec(items=50_000)
_COMPLEX = ("--kind", "pattern", "--min-success", "80%", "--min-confidence", "0.5", "--since", "365d")

INDEX_ROWS: tuple[Row, ...] = (
    Row(
        name="index-50k",
        group="index",
        work="index build, 50,000 items",
        sides=aml_sides((*_INDEX, "--rebuild")),
        targets=(Target("seconds", 0.70),),
        peer_a=2.79,
        store=_FIFTY_THOUSAND,
    ),
    Row(
        name="index-50k-changed",
        group="index",
        work="index after one of 15 files changed, 50,000 items",
        sides=aml_sides(_INDEX, prepare=(_INDEX,)),
        targets=(Target("seconds", 0.20),),
        peer_a=2.79,
        store=_FIFTY_THOUSAND,
        edit=Edit(share=0.01, files=1),
    ),
    Row(
        name="look-up-50k",
        group="index",
        work="look-up by id, 50,000 items",
        sides=aml_sides((*_STORE, "show", "{id}"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.10),),
        peer_a=1.04,
        store=_FIFTY_THOUSAND,
    ),
    Row(
        name="tag-50k",
        group="index",
        work="search by tag, 50,000 items",
        sides=aml_sides((*_STORE, "query", "--tag", "ci"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.10),),
        peer_a=0.70,
        store=_FIFTY_THOUSAND,
    ),
    Row(
        name="complex-50k",
        group="index",
        work="complex filter, 50,000 items",
        sides=aml_sides((*_STORE, "query", *_COMPLEX, "--sort", "last-used"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.10),),
        peer_a=0.59,
        store=_FIFTY_THOUSAND,
    ),
    Row(
        name="words-50k-first",
        group="index",
        work="first search by words, 50,000 items",
        sides=aml_sides((*_STORE, "query", "--text", "cache event"), prepare=(_INDEX,)),
        targets=(Target("seconds", 1.30),),
        store=_FIFTY_THOUSAND,
        renew="store",
    ),
    Row(
        name="words-50k",
        group="index",
        work="search by words, 50,000 items",
        sides=aml_sides((*_STORE, "query", "--text", "cache event"), prepare=((*_STORE, "query", "--text", "any"),)),
        store=_FIFTY_THOUSAND,
    ),
    Row(
        name="hot-set-50k",
        group="index",
        work="hot set, 50,000 items",
        sides=aml_sides((*_STORE, "optimize", "warm-cache"), prepare=(_INDEX,)),
        targets=(Target("seconds", 0.60),),
        peer_a=103.0,
        store=_FIFTY_THOUSAND,
    ),
)
