"""The tables of docs/benchmarks.md, from the JSON of runs: ``python -m tests.bench.page --json FILE [--growth FILE]``.

Each file that is given replaces its part of the page; everything else stays. What stands in the page of rows and
targets is that of the code, which a test holds.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.growth import GROWTH_ROWS, MOST_TIMES, Growth, growths_of
from tests.bench.measure import CHECKOUT, Timing
from tests.bench.model import STORE, Figure, Row
from tests.bench.report import MB, SMALL_SECONDS, RowResult, result_of
from tests.bench.rows import ROWS

PAGE = CHECKOUT / "docs" / "benchmarks.md"
PARTS = ("machine", "table", "missed", "growth", "growth missed")

_HEADINGS = (
    "row", "work", "target", "AML", "of the target", "AML, gzip store",
    "existing script set", "restic", "borg lz4", "borg zstd", "other", "memory, MB",
)  # fmt: skip
_PEERS = ("restic", "borg lz4", "borg zstd,3")
_WHAT: dict[Figure, str] = {"seconds": "", "bytes": "size", "memory": "memory", "share": ""}
_BYTES = {"stored": "size of the repository", "added": "bytes added", "store": "size of the store"}


def marks(part: str) -> tuple[str, str]:
    """The lines between which a part of the page stands."""
    begin, end = (f"<!-- Written by tests/bench/page.py, {part}: {which} -->" for which in ("begin", "end"))
    return begin, end


def part_of(text: str, part: str) -> str:
    """What stands in a part of the page. Raises ValueError where its marks are not there."""
    begin, end = marks(part)
    _, found, rest = text.partition(begin)
    inner, closed, _ = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{PAGE.name} lacks the marks of: {part}")
    return inner.strip("\n")


def with_part(text: str, part: str, inner: str) -> str:
    """The page with a part put anew. Raises ValueError where its marks are not there."""
    part_of(text, part)
    begin, end = marks(part)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{inner}\n\n{end}{rest.partition(end)[2]}"


def figures_told(row: Row) -> Iterator[Figure]:
    """What the table tells of a row, a line for each; the memory of processes has a column of its own."""
    targets = {target.figure for target in row.targets}
    if "share" in targets:
        yield "share"
    elif not row.inside or "seconds" in targets:
        yield "seconds"
    if row.measured is not None:
        yield "bytes"
    if "memory" in targets:
        yield "memory"


def target_told(row: Row, figure: Figure) -> str:
    """A target in words; blank without one."""
    target = next((one for one in row.targets if one.figure == figure), None)
    if target is None:
        return ""
    if target.of is None:
        return f"{'at least ' if target.at_least else ''}{amount(target.limit, figure)}"
    by = {STORE: "the plain store"}.get(target.of, target.of)
    return f"that of {by}" if target.limit == 1 else f"{target.limit:g} times that of {by}"


def amount(value: float | None, figure: Figure) -> str:
    """A figure with its unit, in as few digits as tell it; blank without one."""
    if value is None:
        return ""
    if figure == "share":
        return f"{value:.0%}"
    if figure == "seconds":
        return f"{value:.3g} s" if value >= SMALL_SECONDS else f"{value * 1e3:.2g} ms"
    return f"{value / MB:.0f} MB" if figure == "memory" or value >= 100 * MB else f"{value / MB:.2f} MB"


def lines_of(row: Row, result: RowResult | None) -> Iterator[tuple[str, ...]]:
    """The cells of each line of a row: what it is alone without a result."""
    for place, figure in enumerate(figures_told(row)):
        what = _BYTES.get(row.measured or "", "") if figure == "bytes" else _WHAT[figure] if place else ""
        work = f"{row.work}{': ' if what else ''}{what}"
        identity = (f"`{row.name}`", work, target_told(row, figure))
        yield (*identity, *(_figures(row, result, figure, first=not place) if result is not None else ()))


def _figures(row: Row, result: RowResult, figure: Figure, *, first: bool) -> tuple[str, ...]:
    found = {side.name: _told(result.timings.get(side.name), figure) for side in row.sides}
    plain, *others = (side.name for side in row.sides if side.own)
    known = {"seconds": row.peer_a, "bytes": row.peer_a_bytes}.get(figure)
    rest = [side.name for side in row.sides if not side.own and side.name not in _PEERS]
    return (
        found[plain],
        _judged(result.ratio(figure)) if target_told(row, figure) else "",
        " ".join(found[name] for name in others),
        amount(known, figure),
        *(found.get(name, "") for name in _PEERS),
        ", ".join(f"{name}: {found[name]}" for name in rest if found[name]),
        _memory(row, result) if first else "",
    )


def _told(timing: Timing | None, figure: Figure) -> str:
    if timing is None:
        return "absent"
    return "**failed**" if timing.error is not None else amount(timing.figure(figure), figure)


def _judged(ratio: float | None) -> str:
    return "not measured" if ratio is None else f"{ratio:.2f}, {'met' if ratio <= 1 else '**missed**'}"


def _memory(row: Row, result: RowResult) -> str:
    """That of AML on both forms of store, and what is allowed."""
    timings = [result.timings[side.name] for side in row.sides if side.own and side.name in result.timings]
    found = [value for timing in timings if (value := timing.figure("memory")) is not None]
    limit = result.limit("memory")
    if row.inside or not found or limit is None:
        return ""
    told = " / ".join(f"{value / MB:.0f}" for value in found)
    return f"{told} of {limit / MB:.0f}{'' if max(found) <= limit else ', **missed**'}"


def markdown(lines: Sequence[Sequence[str]], numbers_from: int) -> str:
    """A table; columns from there on are aligned to the right."""
    head, *rest = lines
    rule = ["---" if place < numbers_from else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rest))


def table_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """The table of a run, and what it missed. Raises ValueError where the run lacks a row."""
    found = {one["name"]: one for one in document["rows"]}
    if absent := [row.name for row in ROWS if row.name not in found]:
        raise ValueError(f"the run has no figures of: {', '.join(absent)}")
    results = [result_of(row, found[row.name]) for row in ROWS]
    lines = [cells for result in results for cells in lines_of(result.row, result)]
    missed = [line for result in results for line in (*result.missed(), *result.errors())]
    return markdown([_HEADINGS, *lines], 2), _listed(missed)


def machine_of(document: Mapping[str, Any]) -> str:
    """What the figures depend on, as a list."""
    facts = [f"- {what}: {told}" for what, told in document["machine"].items()]
    facts += [f"- `{name}`: {one['median_s']:.3f} s" for name, one in document["calibration"].items()]
    scale = "" if document["scale"] == 1.0 else f", {document['scale']:g} times the records of each row"
    often = "one run" if document["runs"] == 1 else f"the median of {document['runs']} runs"
    return "\n".join([*facts, f"- each figure: {often}{scale}"])


def growth_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """The growth table of a run, and what it missed. Raises ValueError where the run lacks a row."""
    grown = {growth.row.name: growth for growth in growths_of(document)}
    if absent := [row.name for row in GROWTH_ROWS if row.name not in grown]:
        raise ValueError(f"the run has no growth of: {', '.join(absent)}")
    sizes = [int(size) for size in document["sizes"]]
    head = ["row", "work", f"{sizes[0]:,}"]
    for size in sizes[1:]:
        head += [f"{size:,}", "times"]
    lines = [[*head, "memory, MB"], *(_grown(growth, sizes) for growth in grown.values())]
    missed = [line for growth in grown.values() for line in (*growth.missed(), *growth.errors())]
    return markdown(lines, 2), _listed(missed)


def _grown(growth: Growth, sizes: Sequence[int]) -> list[str]:
    cells = [f"`{growth.row.name}`", growth.row.work]
    for size in sizes:
        cells.append(_told(growth.results[size].own, "seconds"))
        times = growth.times(size)
        if size != sizes[0]:
            cells.append("" if times is None else f"{times:.1f}, {'met' if times <= MOST_TIMES else '**missed**'}")
    memory = (_memory(growth.row, growth.results[size]) or "-" for size in sizes)
    return [*cells, "; ".join(memory)]


def _listed(missed: Sequence[str]) -> str:
    """Lines that begin with the name of a row, and perhaps a side of it."""
    parted = (re.match(r"([^ :]+)(.*)", line) for line in missed)
    return "\n".join(f"- `{found[1]}`{found[2]}" for found in parted if found) or "None."


def rows_in(text: str, part: str) -> list[tuple[str, ...]]:
    """The lines of the table in a part of the page: their cells."""
    lines = [line for line in part_of(text, part).splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.page", description="Write docs/benchmarks.md anew.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what tests.bench.run wrote, of all rows")
    parser.add_argument("--growth", type=Path, metavar="FILE", help="what tests.bench.growth wrote, of all rows")
    options = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    try:
        for path, parts in ((options.json, _run_parts), (options.growth, _growth_parts)):
            for part, inner in parts(json.loads(path.read_text(encoding="utf-8"))) if path is not None else ():
                text = with_part(text, part, inner)
    except ValueError as wrong:
        parser.error(str(wrong))
    PAGE.write_text(text, encoding="utf-8")
    return 0


def _run_parts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    table, missed = table_of(document)
    return [("machine", machine_of(document)), ("table", table), ("missed", missed)]


def _growth_parts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    table, missed = growth_of(document)
    return [("growth", table), ("growth missed", missed)]


if __name__ == "__main__":
    sys.exit(main())
