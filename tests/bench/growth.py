"""How work grows with the store: ``python -m tests.bench.growth [--sizes 10000,100000,1000000] [--json FILE]``.

The rows are those of the benchmark table on plain stores of each size, AML alone. The files grow, not the number of
agents, so that memory is judged at its worst. Ten times the records may take eleven times as long at most; memory as in
the table. The exit status is 1 if a command failed, 0 otherwise, also where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.machine import machine
from tests.bench.measure import Bench, Command
from tests.bench.model import Figure, Row
from tests.bench.report import MB, RowResult, result_of, row_document, shown
from tests.bench.rows import select
from tests.bench.run import REST_SECONDS, count

SIZES = (10_000, 100_000, 1_000_000)
RUNS = (5, 3, 1)
MOST_TIMES = 11.0
"""What ten times the records may take, by what it takes once."""

#: A store of a million records is over these, and health would say so by its exit status.
_LIMITS = (("AML_SPACE_AGENT_MB", "1e6"), ("AML_SPACE_STORE_MB", "1e6"))

#: Row of the table -> what is told of it here.
_ROWS = {
    "prune-50k": "prune time, real, with backup",
    "index-50k": "index build",
    "look-up-50k": "look-up by id",
    "gc": "gc, 1 % garbage, real",
    "metrics-50k": "metrics",
    "health-50k": "health, all checks",
    "backup-50-full": "backup full",
    "backup-50-unchanged": "backup, nothing changed",
    "backup-50-restore": "restore",
    "backup-50-verify": "verify all data",
    "compress": "compress",
    "migrate-1.1.0": "migrate 1.0.0 to 1.1.0, with backup",
}


def _grown(base: str, work: str) -> Row:
    (row,) = select((base,))
    plain = replace(row.sides[0], environment=_LIMITS)
    return replace(row, name=f"growth-{base.removesuffix('-50k').replace('-50', '')}", work=work, sides=(plain,))


def _dry(row: Row) -> Row:
    side = row.sides[0]
    dry = replace(side, timed=replace(side.timed, words=(*side.timed.words, "--dry-run")))
    return replace(row, name=f"{row.name}-dry", work="prune time, dry run", sides=(dry,), renew="nothing")


_REAL, *_OTHERS = (_grown(base, work) for base, work in _ROWS.items())
GROWTH_ROWS: tuple[Row, ...] = (_dry(_REAL), _REAL, *_OTHERS)


@dataclass(frozen=True, slots=True)
class Growth:
    """The results of one row by the number of records, smallest first."""

    row: Row
    results: dict[int, RowResult]

    def times(self, size: int, figure: Figure = "seconds") -> float | None:
        """What that size takes by what the next smaller one takes, told for ten times the records."""
        smaller = [one for one in self.results if one < size]
        if not smaller:
            return None
        found, before = (self.results[one].own.figure(figure) for one in (size, max(smaller)))
        return None if found is None or not before else found / before * (10 * max(smaller) / size)

    def errors(self) -> list[str]:
        """One line for each size that failed."""
        return [f"{error}, of {size:,} records" for size, result in self.results.items() for error in result.errors()]

    def missed(self) -> list[str]:
        """One line for each target that was missed."""
        lines = []
        for size, result in self.results.items():
            times, memory = self.times(size), result.ratio("memory")
            if times is not None and times > MOST_TIMES:
                lines.append(f"{self.row.name}: {size:,} records take {times:.1f} times as long as a tenth")
            if memory is not None and memory > 1:
                found, limit = result.own.figure("memory"), result.limit("memory")
                told = f"{shown(found, 'memory')} of memory, target {shown(limit, 'memory')}"
                lines.append(f"{self.row.name}: {size:,} records take {told}, {memory:.2f} times")
        return lines


def measure(bench: Bench, rows: Sequence[Row], sizes: Sequence[int], runs: Sequence[int]) -> list[Growth]:
    """All rows at all sizes, one size after the other; the stores of one are gone before the next."""
    grown = [Growth(row, {}) for row in rows]
    for size, often in zip(sizes, runs, strict=True):
        bench.runs = often
        for growth in grown:
            begin = time.perf_counter()
            row = replace(growth.row, store=replace(growth.row.store, items=size))
            growth.results[size] = RowResult(row, bench.measure(row, row.sides))
            took = time.perf_counter() - begin
            print(f"{size:,} records, {row.name}: measured in {took:.0f} s", file=sys.stderr)
        bench.forget_stores()
    return grown


def table(grown: Sequence[Growth]) -> str:
    """The results as aligned text, a line for each row, with what was missed below."""
    sizes = list(grown[0].results)
    lines = [["work", *(cell for size in sizes for cell in (f"{size:,}", "times", "cpu s", "times", "MB", "at most"))]]
    lines += [[growth.row.work, *(cell for size in sizes for cell in _cells(growth, size))] for growth in grown]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in lines]
    text += [f"missed: {line}" for growth in grown for line in growth.missed()]
    return "\n".join(text + [f"error: {line}" for growth in grown for line in growth.errors()])


def _cells(growth: Growth, size: int) -> Iterator[str]:
    result = growth.results[size]
    figures: tuple[Figure, ...] = ("seconds", "cpu")
    for figure in figures:
        times = growth.times(size, figure)
        yield "error" if result.own.error else shown(result.own.figure(figure), "seconds")
        yield "" if times is None else f"{times:.1f}"
    for value in (result.own.figure("memory"), result.limit("memory")):
        yield "" if value is None else f"{value / MB:.0f}"


def document(facts: Mapping[str, str], grown: Sequence[Growth]) -> dict[str, Any]:
    """All single figures, and facts about the machine, as one JSON document."""
    sizes = list(grown[0].results)
    rows = {str(size): [row_document(growth.results[size]) for growth in grown] for size in sizes}
    return {"schema": 1, "machine": facts, "sizes": sizes, "rows": rows}


def growths_of(found: Mapping[str, Any]) -> list[Growth]:
    """The results that ``document`` gave this document."""
    known = {row.name: Growth(row, {}) for row in GROWTH_ROWS}
    for size in found["sizes"]:
        for one in found["rows"][str(size)]:
            row = known[one["name"]].row
            known[row.name].results[size] = result_of(row, one)
    return [growth for growth in known.values() if growth.results]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(count(word) for word in text.split(","))


def _parser() -> argparse.ArgumentParser:
    told = {name: ",".join(map(str, numbers)) for name, numbers in (("sizes", SIZES), ("runs", RUNS))}
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description="Time AML as stores grow.")
    parser.add_argument("--sizes", type=_numbers, default=SIZES, metavar="N,N", help=f"records ({told['sizes']})")
    parser.add_argument("--runs", type=_numbers, default=RUNS, metavar="N,N", help=f"runs at each ({told['runs']})")
    parser.add_argument("--only", default="", metavar="PART", help="only the rows with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all single figures here")
    parser.add_argument("--aml", type=Path, metavar="PATH", help="the installed program to time")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where stores are made (the temporary folder)")
    parser.add_argument("--settle", type=float, default=REST_SECONDS, metavar="SECONDS", help=f"({REST_SECONDS})")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    rows = [row for row in GROWTH_ROWS if options.only in row.name]
    runs = options.runs * len(options.sizes) if len(options.runs) == 1 else options.runs
    if not rows or len(runs) != len(options.sizes) or list(options.sizes) != sorted(set(options.sizes)):
        parser.error("no such row, or --sizes do not grow, or --runs are not as many as they")
    with tempfile.TemporaryDirectory(prefix="aml-growth-", dir=options.scratch) as folder:
        bench = Bench(Path(folder), Command.find(options.aml), settle_seconds=options.settle)
        grown = measure(bench, rows, options.sizes, runs)
        found = document(machine(bench.scratch), grown)
    print(table(grown))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if any(growth.errors() for growth in grown) else 0


if __name__ == "__main__":
    sys.exit(main())
