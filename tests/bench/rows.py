"""The benchmark table: one small definition for each row. A new command joins by a new row in ``ROWS``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.generate import Form

Arguments = tuple[str, ...]
"""Words of a command; ``{store}`` stands for the store, ``{project}`` for the folder above ``.loom``."""


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """What store a row works on."""

    items: int
    patterns_only: bool = False

    def scaled(self, scale: float) -> StoreSpec:
        """The same store with so many times the items, at least ten."""
        return StoreSpec(max(10, round(self.items * scale)), self.patterns_only)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program that does the same work; it is run only where it is installed."""

    program: str
    command: Arguments
    prepare: tuple[Arguments, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work, its target and reference times in seconds for a plain store."""

    name: str
    group: str
    work: str
    arguments: Arguments
    target: float
    peer_a: float | None = None
    store: StoreSpec = StoreSpec(items=10)
    changes_store: bool = False
    """Each run gets a fresh copy of the store; else all runs of a row share one."""
    prepare: tuple[Arguments, ...] = ()
    """AML commands that run on each copy first, not timed."""
    forms: tuple[Form, ...] = ("plain", "gzip")
    """The target is for the first one."""
    peer: Peer | None = None


_PRUNE = ("--store", "{store}", "prune", "--strategy", "time", "--max-loss", "100%", "--yes")
_TEN_THOUSAND_PATTERNS = StoreSpec(items=10_000, patterns_only=True)

ROWS: tuple[Row, ...] = (
    Row(
        name="version",
        group="startup",
        work="aml --version",
        arguments=("--version",),
        target=0.025,
        peer_a=0.08,
        forms=("plain",),
    ),
    Row(
        name="smallest",
        group="startup",
        work="smallest command: aml config path",
        arguments=("config", "path"),
        target=0.09,
        peer_a=0.08,
        forms=("plain",),
    ),
    Row(
        name="prune-10k-dry",
        group="prune",
        work="prune time, 10,000 patterns, dry run",
        arguments=(*_PRUNE, "--dry-run"),
        target=0.15,
        peer_a=0.49,
        store=_TEN_THOUSAND_PATTERNS,
    ),
    Row(
        name="prune-10k",
        group="prune",
        work="prune time, 10,000 patterns, real",
        arguments=_PRUNE,
        target=0.35,
        peer_a=0.49,
        store=_TEN_THOUSAND_PATTERNS,
        changes_store=True,
    ),
    Row(
        name="prune-50k",
        group="prune",
        work="prune time, 50,000 items, real",
        arguments=_PRUNE,
        target=0.75,
        peer_a=2.16,
        store=StoreSpec(items=50_000),
        changes_store=True,
    ),
)


def select(words: Iterable[str]) -> tuple[Row, ...]:
    """The rows whose name or group is among the words, in the order of the table; all of them for no words.

    Raises KeyError with a word that fits no row.
    """
    wanted = set(words)
    unknown = wanted - {name for row in ROWS for name in (row.name, row.group)}
    if unknown:
        raise KeyError(min(unknown))
    return tuple(row for row in ROWS if not wanted or {row.name, row.group} & wanted)
