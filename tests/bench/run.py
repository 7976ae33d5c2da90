"""Runs the benchmark table: ``python -m tests.bench.run [--rows startup,prune] [--json FILE]``.

Each figure is the median of whole processes, cold start. Machines differ: compare the ratios, and the calibration
figures below the table. The exit status is 1 if a command failed, 0 otherwise, also where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.generate import Form
from tests.bench.measure import Bench, Command, Timing, calibrate
from tests.bench.rows import ROWS, Row, select

_HEADINGS = ("row", "work", "median s", "target s", "ratio", "gzip s", "peer A s", "peer B s")
_LEFT_ALIGNED = 2


@dataclass(frozen=True, slots=True)
class RowResult:
    """The timings of one row, by form of store, and of the peer if it is installed."""

    row: Row
    timings: Mapping[Form, Timing]
    peer: Timing | None

    @property
    def ratio(self) -> float | None:
        """Median by target, for the form that the target is for; above 1 it is missed."""
        median = self.timings[self.row.forms[0]].median
        return None if median is None else median / self.row.target

    def errors(self) -> list[str]:
        """One line for each column that failed."""
        columns = [(form, timing) for form, timing in self.timings.items()]
        named = [(f"{self.row.name} ({form})", timing) for form, timing in columns]
        if self.row.peer is not None and self.peer is not None:
            named.append((f"{self.row.name} ({self.row.peer.program})", self.peer))
        return [f"{name}: {timing.error}" for name, timing in named if timing.error is not None]


def run_row(bench: Bench, row: Row) -> RowResult:
    """Measures a row in all of its forms, and beside it the peer if that is installed."""
    timings = {form: bench.measure(row, form) for form in row.forms}
    installed = row.peer is not None and shutil.which(row.peer.program) is not None
    return RowResult(row, timings, bench.measure_peer(row, row.peer) if row.peer is not None and installed else None)


def table(results: Sequence[RowResult]) -> str:
    """The results as aligned text, with the failures below."""
    lines = [_HEADINGS, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    text = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text + [f"error: {error}" for result in results for error in result.errors()])


def _cells(result: RowResult) -> tuple[str, ...]:
    row = result.row
    gzip = result.timings.get("gzip")
    return (
        row.name,
        row.work,
        _shown(result.timings[row.forms[0]]),
        f"{row.target:.3f}",
        "" if result.ratio is None else f"{result.ratio:.2f}",
        "" if gzip is None else _shown(gzip),
        "" if row.peer_a is None else f"{row.peer_a:.2f}",
        "" if row.peer is None or result.peer is None else f"{row.peer.program} {_shown(result.peer)}",
    )


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column < _LEFT_ALIGNED else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _shown(timing: Timing) -> str:
    return "error" if timing.median is None else f"{timing.median:.3f}"


def _timing_document(timing: Timing, **more: object) -> dict[str, Any]:
    return {"median_s": timing.median, "seconds": list(timing.seconds), "error": timing.error, **more}


def _row_document(result: RowResult) -> dict[str, Any]:
    row, peer = result.row, result.peer
    return {
        "name": row.name,
        "work": row.work,
        "target_s": row.target,
        "ratio": result.ratio,
        "peer_a_s": row.peer_a,
        "forms": {form: _timing_document(timing) for form, timing in result.timings.items()},
        "peer_b": None if row.peer is None or peer is None else _timing_document(peer, program=row.peer.program),
    }


def document(bench: Bench, calibration: Mapping[str, Timing], results: Sequence[RowResult]) -> dict[str, Any]:
    """All single times, as one JSON document."""
    return {
        "schema": 1,
        "machine": {
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "command": list(bench.command.words),
        "runs": bench.runs,
        "scale": bench.scale,
        "calibration": {name: _timing_document(timing) for name, timing in calibration.items()},
        "rows": [_row_document(result) for result in results],
    }


def _positive(word: str) -> float:
    value = float(word)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(dict.fromkeys([*(row.group for row in ROWS), *(row.name for row in ROWS)]))
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description="Time AML against its targets.")
    parser.add_argument("--rows", default="", metavar="A,B", help=f"groups or names of rows (all of them): {names}")
    parser.add_argument("--runs", type=_count, default=5, help="runs of each row (5, and no fewer for a real figure)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all single times here")
    parser.add_argument("--scale", type=_positive, default=1.0, help="so many times the records of each row (1.0)")
    parser.add_argument("--aml", type=Path, metavar="PATH", help="the installed program to time")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where stores are made (the temporary folder)")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds of rest after a store was copied (2)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        rows = select(word for word in options.rows.split(",") if word)
    except KeyError as unknown:
        parser.error(f"no row or group is called {unknown}; see --help")
    with tempfile.TemporaryDirectory(prefix="aml-bench-", dir=options.scratch) as folder:
        command = Command.find(options.aml)
        bench = Bench(Path(folder), command, options.runs, options.scale, max(options.settle, 0.0))
        calibration = calibrate(bench.scratch, options.runs)
        results = []
        for row in rows:
            print(f"{row.name}: {options.runs} runs", file=sys.stderr)
            results.append(run_row(bench, row))
    print(table(results))
    for name, timing in calibration.items():
        print(f"this machine: {name} {_shown(timing)} s")
    if options.scale != 1.0:
        print(f"targets and peer A are for full stores, these have {options.scale:g} times the records")
    if options.json is not None:
        text = json.dumps(document(bench, calibration, results), indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if any(result.errors() for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
