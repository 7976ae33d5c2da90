"""The results of a benchmark run as a table and as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Timing
from tests.bench.model import Figure, Row, Target

MB = 1e6
_HEADINGS = ("side", "median s", "target s", "ratio", "AML/it", "MB", "target MB", "ratio", "AML/it", "peak MB")
_PEER_A = "peer A (as given)"
_UNITS: dict[Figure, str] = {"seconds": "s", "bytes": "MB", "memory": "MB of memory"}


@dataclass(frozen=True, slots=True)
class RowResult:
    """The timings of one row by the names of the sides that ran, and the programs that others lacked."""

    row: Row
    timings: Mapping[str, Timing]
    absent: tuple[str, ...] = ()

    @property
    def own(self) -> Timing:
        """That of AML on a plain store."""
        return self.timings[self.row.sides[0].name]

    def limit(self, figure: Figure) -> float | None:
        """The target in seconds or bytes; None without one, or where the peer that it is told by gave no figure."""
        for target in self.row.targets:
            if target.figure == figure:
                return self._resolved(target)
        return None

    def ratio(self, figure: Figure) -> float | None:
        """What AML took by its target; above 1 it is missed."""
        return _quotient(self.own.figure(figure), self.limit(figure))

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
        """One line for each target that was missed."""
        lines = []
        for figure in dict.fromkeys(target.figure for target in self.row.targets):
            found, limit = self.own.figure(figure), self.limit(figure)
            if found is not None and limit is not None and found > limit:
                shown = f"{_number(found, figure)} {_UNITS[figure]}, target {_number(limit, figure)}"
                lines.append(f"{self.row.name}: {shown}, {found / limit:.2f} times")
        return lines

    def _resolved(self, target: Target) -> float | None:
        if target.peer is None:
            return target.limit
        timing = self.timings.get(target.peer)
        found = None if timing is None else timing.figure(target.figure)
        return None if found is None else found * target.limit


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
    if result.row.peer_a is not None:
        by_peer = _quotient(result.own.median, result.row.peer_a)
        known = (_PEER_A, f"{result.row.peer_a:.3f}", "", "", _factor(by_peer))
        lines.append((*known, *[""] * (len(_HEADINGS) - len(known))))
    return lines


def _cells(result: RowResult, side: str, timing: Timing) -> tuple[str, ...]:
    own = timing is result.own
    peer = not own and side in {one.name for one in result.row.sides if one.program is not None}
    return (
        side,
        "error" if timing.error is not None else _number(timing.median, "seconds"),
        *_judged(result, "seconds", own=own),
        _factor(result.against("seconds", side)) if peer else "",
        _number(timing.figure("bytes"), "bytes"),
        *_judged(result, "bytes", own=own),
        _factor(result.against("bytes", side)) if peer else "",
        _number(timing.figure("memory"), "memory"),
    )


def _judged(result: RowResult, figure: Figure, *, own: bool) -> tuple[str, str]:
    """The target and AML's ratio to it; blank for others."""
    return (_number(result.limit(figure), figure), _factor(result.ratio(figure))) if own else ("", "")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def _number(value: float | None, figure: Figure) -> str:
    if value is None:
        return ""
    return {"seconds": f"{value:.3f}", "bytes": f"{value / MB:.3f}", "memory": f"{value / MB:.0f}"}[figure]


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _quotient(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def timing_document(timing: Timing) -> dict[str, Any]:
    """The single figures of one side, for JSON."""
    return {
        "median_s": timing.median,
        "seconds": [sample.seconds for sample in timing.samples],
        "bytes": [sample.bytes for sample in timing.samples if sample.bytes is not None],
        "memory_bytes": timing.figure("memory"),
        "error": timing.error,
    }


def row_document(result: RowResult) -> dict[str, Any]:
    """A row with its targets and all sides, for JSON."""
    row = result.row
    figures = dict.fromkeys(target.figure for target in row.targets)
    return {
        "name": row.name,
        "work": row.work,
        "bytes_are": row.measured,
        "targets": {figure: {"limit": result.limit(figure), "ratio": result.ratio(figure)} for figure in figures},
        "peer_a_s": row.peer_a,
        "sides": {side: timing_document(timing) for side, timing in result.timings.items()},
        "absent": list(result.absent),
    }
