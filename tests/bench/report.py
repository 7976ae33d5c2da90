"""The results of a benchmark run as a table and as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.measure import Measured, Sample, Timing
from tests.bench.model import FIGURES, LARGEST, STORE, Figure, Row, Target

MB = 1e6
SMALL_SECONDS = 0.01
_HEADINGS = ("side", "median", "target", "ratio", "AML/it", "MB", "target", "ratio", "AML/it", "peak MB", "at most")
_PEER_A = "peer A (as given)"


@dataclass(frozen=True, slots=True)
class RowResult:
    """What the sides of one row took, those that ran, and the programs that others lacked."""

    row: Row
    measured: Measured
    absent: tuple[str, ...] = ()

    @property
    def timings(self) -> Mapping[str, Timing]:
        """Those of all sides by their names."""
        return self.measured.timings

    @property
    def own(self) -> Timing:
        """That of AML on a plain store."""
        return self.timings[self.row.sides[0].name]

    def limit(self, figure: Figure) -> float | None:
        """The target in its unit; None without one, or where the side that it is told by gave no figure."""
        target = self.row.target(figure)
        if target is None:
            return None
        base = self._base(target)
        return None if base is None else target.limit * base + target.plus

    def ratio(self, figure: Figure, timing: Timing | None = None) -> float | None:
        """What AML (on a plain store, or there) took by its target, or the target by what it reached; above 1 it is
        missed."""
        target = self.row.target(figure)
        found, limit = (self.own if timing is None else timing).figure(figure), self.limit(figure)
        return _quotient(limit, found) if target is not None and target.at_least else _quotient(found, limit)

    def against(self, figure: Figure, side: str) -> float | None:
        """What AML took by what that side took."""
        return _quotient(self.own.figure(figure), self.timings[side].figure(figure))

    def errors(self) -> list[str]:
        """One line for each side that failed."""
        return [
            f"{self.row.name} ({side}): {timing.error}"
            for side, timing in self.timings.items()
            if timing.error is not None
        ]

    def missed(self) -> list[str]:
        """One line for each target that was missed; that of memory counts for stores of either form."""
        lines = []
        for side in self.row.sides:
            for figure in FIGURES if side.own and side.name in self.timings else ():
                timing = self.timings[side.name]
                ratio = self.ratio(figure, timing) if timing is self.own or figure == "memory" else None
                if ratio is not None and ratio > 1:
                    found, limit = (shown(value, figure) for value in (timing.figure(figure), self.limit(figure)))
                    where = self.row.name if timing is self.own else f"{self.row.name} ({side.name})"
                    what = " of memory" if figure == "memory" else ""
                    lines.append(f"{where}: {found}{what}, target {limit}, {ratio:.2f} times")
        return lines

    def _base(self, target: Target) -> float | None:
        if target.of is None:
            return 1.0
        if target.of in (STORE, LARGEST):
            return self.measured.store_bytes if target.of == STORE else self.measured.largest_bytes
        timing = self.timings.get(target.of)
        return None if timing is None else timing.figure(target.figure)


def table(results: Sequence[RowResult]) -> str:
    """The results as aligned text, a line for each side, with what failed, was missed or left out below."""
    lines = [(_HEADINGS, ""), *((cells, result.row.name) for result in results for cells in _lines(result))]
    widths = [max(len(cells[column]) for cells, _ in lines) for column in range(len(_HEADINGS))]
    text = [f"  {_aligned(_HEADINGS, widths)}", f"  {'  '.join('-' * width for width in widths)}".rstrip()]
    for result in results:
        text.append(f"{result.row.name}: {result.row.work}")
        text += [f"  {_aligned(cells, widths)}" for cells in _lines(result)]
    absent = sorted({program for result in results for program in result.absent})
    text += [f"missed: {line}" for result in results for line in result.missed()]
    text += [f"left out: {program} is not installed" for program in absent]
    return "\n".join(text + [f"error: {error}" for result in results for error in result.errors()])


def _lines(result: RowResult) -> list[tuple[str, ...]]:
    lines = [_cells(result, side, timing) for side, timing in result.timings.items()]
    known: dict[Figure, float | None] = {"seconds": result.row.peer_a, "bytes": result.row.peer_a_bytes}
    if any(known.values()):
        cells = []
        for figure, value in known.items():
            by_it = _quotient(result.own.figure(figure), value)
            cells += [_cell(value, figure), "", "", _factor(by_it)]
        lines.append((_PEER_A, *cells, "", ""))
    return lines


def _cells(result: RowResult, side: str, timing: Timing) -> tuple[str, ...]:
    plain = timing is result.own
    own = next(one for one in result.row.sides if one.name == side).own
    first: Figure = "share" if timing.figure("share") is not None else "seconds"
    return (
        side,
        "error" if timing.error is not None else _cell(timing.figure(first), first),
        *_judged(result, first, plain=plain),
        "" if own else _factor(result.against(first, side)),
        _cell(timing.figure("bytes"), "bytes"),
        *_judged(result, "bytes", plain=plain),
        "" if own else _factor(result.against("bytes", side)),
        _cell(timing.figure("memory"), "memory"),
        _cell(result.limit("memory"), "memory") if own else "",
    )


def _judged(result: RowResult, figure: Figure, *, plain: bool) -> tuple[str, str]:
    """The target and AML's ratio to it; blank for others."""
    return (_cell(result.limit(figure), figure), _factor(result.ratio(figure))) if plain else ("", "")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def _cell(value: float | None, figure: Figure) -> str:
    """As ``shown``, without the unit where the column tells it."""
    return "" if value is None else shown(value, figure).removesuffix(" MB")


def shown(value: float | None, figure: Figure) -> str:
    """A figure with its unit; blank without one."""
    if value is None:
        return ""
    if figure in ("seconds", "cpu"):
        return f"{value:.3f} s" if value >= SMALL_SECONDS else f"{value * 1e3:.4f} ms"
    return {"bytes": f"{value / MB:.3f} MB", "memory": f"{value / MB:.0f} MB", "share": f"{value:.1%}"}[figure]


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _quotient(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def timing_document(timing: Timing) -> dict[str, Any]:
    """The single figures of one side, for JSON."""
    return {
        "median_s": timing.median,
        "memory_bytes": timing.figure("memory"),
        "samples": [asdict(sample) for sample in timing.samples],
        "error": timing.error,
    }


def row_document(result: RowResult) -> dict[str, Any]:
    """A row with its targets and all sides, for JSON."""
    row = result.row
    return {
        "name": row.name,
        "work": row.work,
        "bytes_are": row.measured,
        "store_bytes": result.measured.store_bytes,
        "largest_bytes": result.measured.largest_bytes,
        "targets": {
            figure: {"limit": result.limit(figure), "ratio": result.ratio(figure)}
            for figure in FIGURES
            if row.target(figure) is not None
        },
        "peer_a_s": row.peer_a,
        "peer_a_bytes": row.peer_a_bytes,
        "sides": {side: timing_document(timing) for side, timing in result.timings.items()},
        "absent": list(result.absent),
    }


def result_of(row: Row, document: Mapping[str, Any]) -> RowResult:
    """The result that ``row_document`` gave this document."""
    timings = {
        side: Timing(tuple(Sample(**sample) for sample in one["samples"]), one["error"])
        for side, one in document["sides"].items()
    }
    measured = Measured(timings, document["store_bytes"], document["largest_bytes"])
    return RowResult(row, measured, tuple(document["absent"]))
