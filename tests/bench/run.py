"""Runs the benchmark table: ``python -m tests.bench.run [--rows startup,backup] [--only 500] [--json FILE]``.

Each figure is the median of whole processes, cold start, memory the most of them. AML and its peers take turns in one
run. Machines differ: compare the ratios, and the calibration figures below the table. A peer that is not installed is
left out, unless ``AML_REQUIRE_RESTIC`` or ``AML_REQUIRE_BORG`` is set. The exit status is 1 if a command failed or such
a peer is absent, 0 otherwise, also where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.machine import machine
from tests.bench.measure import Bench, Command, Timing, calibrate
from tests.bench.model import Row, Side
from tests.bench.report import RowResult, row_document, table, timing_document
from tests.bench.rows import ROWS, select

REST_SECONDS = 2.2
SMOKE_SCALE = 0.1
"""Below it a run only shows that all works, and does not rest."""


def run_row(bench: Bench, row: Row) -> RowResult:
    """Measures all sides of a row whose programs are installed."""
    sides = [side for side in row.sides if _installed(side)]
    absent = {side.program for side in row.sides if side.program is not None and not _installed(side)}
    return RowResult(row, bench.measure(row, sides), tuple(sorted(absent)))


def missing_peers(rows: Sequence[Row]) -> list[str]:
    """One line for each program that is required by the environment and not installed."""
    lines = {
        f"{side.program} is not installed, and {side.required_by} is set"
        for row in rows
        for side in row.sides
        if os.environ.get(side.required_by) and not _installed(side)
    }
    return sorted(lines)


def document(bench: Bench, calibration: Mapping[str, Timing], results: Sequence[RowResult]) -> dict[str, Any]:
    """All single figures, as one JSON document."""
    return {
        "schema": 3,
        "machine": machine(bench.scratch),
        "command": list(bench.command.words),
        "runs": bench.runs,
        "scale": bench.scale,
        "calibration": {name: timing_document(timing) for name, timing in calibration.items()},
        "rows": [row_document(result) for result in results],
    }


def _installed(side: Side) -> bool:
    return side.program is None or shutil.which(side.program) is not None


def _positive(word: str) -> float:
    value = float(word)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def count(word: str) -> int:
    """A number of runs or records from the command line. Raises ArgumentTypeError or ValueError."""
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(dict.fromkeys([*(row.group for row in ROWS), *(row.name for row in ROWS)]))
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description="Time AML against its targets.")
    parser.add_argument("--rows", default="", metavar="A,B", help=f"groups or names of rows (all of them): {names}")
    parser.add_argument("--only", default="", metavar="PART", help="of those only the rows with this in their names")
    parser.add_argument("--runs", type=count, default=5, help="runs of each row (5, and no fewer for a real figure)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all single figures here")
    parser.add_argument("--scale", type=_positive, default=1.0, help="so many times the records of each row (1.0)")
    parser.add_argument("--aml", type=Path, metavar="PATH", help="the installed program to time")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where stores are made (the temporary folder)")
    rest = f"seconds of rest after a store was changed ({REST_SECONDS}; 0 with a scale below {SMOKE_SCALE})"
    parser.add_argument("--settle", type=float, metavar="SECONDS", help=rest)
    return parser


def _rest_seconds(options: argparse.Namespace) -> float:
    if options.settle is not None:
        return max(float(options.settle), 0.0)
    return REST_SECONDS if options.scale >= SMOKE_SCALE else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        rows = select((word for word in options.rows.split(",") if word), options.only)
    except KeyError as unknown:
        parser.error(f"no row or group is called {unknown}; see --help")
    if missing := missing_peers(rows):
        print("\n".join(f"error: {line}" for line in missing), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="aml-bench-", dir=options.scratch) as folder:
        command = Command.find(options.aml)
        bench = Bench(Path(folder), command, options.runs, options.scale, _rest_seconds(options))
        calibration = calibrate(bench.scratch, options.runs)
        results = []
        for row in rows:
            begin = time.perf_counter()
            results.append(run_row(bench, row))
            print(f"{row.name}: measured in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    print(table(results))
    for name, timing in calibration.items():
        print(f"this machine: {name} {timing.median:.3f} s")
    if options.scale != 1.0:
        print(f"targets and peer A are for full stores, these have {options.scale:g} times the records")
    if options.json is not None:
        text = json.dumps(document(bench, calibration, results), indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if any(result.errors() for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
