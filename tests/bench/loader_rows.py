"""The rows about finding records in one process that asks again and again: ``MemoryLoader``."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.model import Row, Side, Step, StoreSpec, Target, Words, aml_sides

_OPTIMIZE = ("--store", "{store}", "optimize")
_INDEX = (*_OPTIMIZE, "index")
_WARM = (*_OPTIMIZE, "warm-cache")
_FIFTY_THOUSAND = StoreSpec(items=50_000)
_WHOLE = "json.loads of all"


def _timed(work: str) -> Step:
    """A function of ``tests.bench.loader``, which prints what it measured."""
    return Step(("{python}", "-m", "tests.bench.loader", work, "{store}"), "{checkout}")


def _sides(work: str, prepare: Words = _INDEX) -> tuple[Side, ...]:
    return tuple(replace(side, timed=_timed(work)) for side in aml_sides((), prepare=(prepare,)))


def _row(name: str, work: str, target: Target) -> Row:
    return Row(
        name=f"loader-{name}-50k",
        group="loader",
        work=f"{work} in process, warm, 50,000 items",
        sides=_sides(name),
        targets=(target,),
        store=_FIFTY_THOUSAND,
        inside=True,
    )


def _memory_row(name: str, work: str, side: Side) -> Row:
    return Row(
        name=f"loader-{name}-50k",
        group="loader",
        work=work,
        sides=(side, Side(_WHOLE, _timed("whole"))),
        targets=(Target("memory", 0.30, of=_WHOLE),),
        store=_FIFTY_THOUSAND,
        inside=True,
    )


LOADER_ROWS: tuple[Row, ...] = (
    _row("get", "look-up by id", Target("seconds", 50e-6)),
    _row("tag", "search by tag", Target("seconds", 1e-3)),
    _row("complex", "complex filter", Target("seconds", 1e-3)),
    Row(
        name="loader-hits",
        group="loader",
        work="hits of Zipf accesses after warm-cache, 10,000 items",
        sides=_sides("hits", _WARM)[:1],
        targets=(Target("share", 0.80, at_least=True),),
        store=StoreSpec(items=10_000),
        inside=True,
    ),
    _memory_row("memory", "memory that a loader adds for 10,000 of 50,000 items", _sides("memory")[0]),
    _memory_row("memory-gzip", "memory that a loader adds for 300 of 50,000 items, gzip store", _sides("memory")[1]),
)
