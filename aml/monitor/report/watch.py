"""What a terminal shows of a store while it is watched: lines that fit it, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from aml.fs.run_lock import Holder
from aml.model.printable import printable
from aml.model.units import size
from aml.monitor.report.content import ago, project_of
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import urgent
from aml.monitor.report.memory import key_figures, now_of
from aml.monitor.report.text import cut, filled, in_lines, wide

Tone = Literal["plain", "soft", "strong", "good", "warning", "error"]

_TONES: dict[str, Tone] = {
    "healthy": "good",
    "empty": "good",
    "warning": "warning",
    "error": "error",
    "critical": "error",
}
_SHORT_STATES: dict[str, Tone] = {"done": "plain", "partial": "warning", "trouble": "warning", "failed": "error"}
#: Lines of each part, so that the others have room too.
_FINDINGS, _RUNS, _AGENTS = 3, 6, 8
_NARROWEST = 20


class Line(Struct, frozen=True):
    """One line, and how it is to look."""

    words: str
    tone: Tone = "plain"


def watch_lines(data: ReportData, holder: Holder | None, width: int, footer: str) -> tuple[Line, ...]:
    """The view of a terminal that is ``width`` columns wide; no line is wider, unless it has no room at all."""
    width = max(width, _NARROWEST)
    lines: list[Line] = []
    lines += _folded(f"{project_of(data.store)}  {data.time[:19].replace('T', ' ')} UTC", width, "strong")
    lines += _folded(f"{data.overall.sentence} {data.overall.more}", width, _TONES[data.overall.state])
    lines += _findings(data)
    lines += [Line(""), *_running(data, holder, width), Line("")]
    lines += _columns([(one.name, one.words, one.note) for one in key_figures(data)], width, right=())
    lines += [Line(""), *_runs(data, width), Line(""), *_agents(data, width), Line("")]
    # how it ends is said at any width
    lines.append(Line(footer if wide(footer) <= width else footer.rpartition("; ")[2], "soft"))
    return tuple(Line(cut(one.words, width), one.tone) for one in lines)


def _findings(data: ReportData) -> Iterator[Line]:
    first, left = urgent(data, _FINDINGS)
    for one in first:
        level = one.finding.level.word
        yield Line(printable(f"  {level}: {one.finding.check}: {one.words}"), _TONES[level])
        if one.finding.advice:
            yield Line(printable(f"    {one.finding.advice}"), "soft")
    if left:
        yield Line(f"  and {left:,} more: aml monitor health", "soft")


def _running(data: ReportData, holder: Holder | None, width: int) -> list[Line]:
    if holder is None:
        return [Line("No run is changing this store.", "soft")]
    since = ago(holder.started, now_of(data))
    return _folded(f"Running: {holder.operation}, began {since} (pid {holder.pid} on {holder.host})", width, "strong")


def _runs(data: ReportData, width: int) -> list[Line]:
    rows = [(one.operation, ago(one.started, now_of(data)), one.state) for one in data.metrics.operations[:_RUNS]]
    lines = _columns(rows, width, right=())
    tones = [_SHORT_STATES.get(state, "plain") for _, _, state in rows]
    return [Line("Last runs", "strong"), *(Line(line.words, tone) for line, tone in zip(lines, tones, strict=True))]


def _agents(data: ReportData, width: int) -> list[Line]:
    rows = [(one.agent, size(one.bytes), f"{one.records:,}") for one in data.metrics.agents[:_AGENTS]]
    left = len(data.metrics.agents) - len(rows)
    more = [Line(f"and {left:,} more", "soft")] if left > 0 else []
    return [Line("Largest agents", "strong"), *_columns(rows, width, right=(1, 2)), *more]


def _columns(rows: Sequence[tuple[str, ...]], width: int, *, right: tuple[int, ...]) -> list[Line]:
    """Rows in columns. The first one gives way where there is no room, and the end of a line is cut."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max((wide(row[place]) for row in cells), default=0) for place in range(len(cells[0]) if cells else 0)]
    if right and sum(widths) + 2 * len(widths) > width:
        widths[0] = max(8, width - sum(widths[1:]) - 2 * len(widths))
    lines = []
    for row in cells:
        row[0] = cut(row[0], widths[0])
        parts = [filled(cell, widths[place], right=place in right) for place, cell in enumerate(row)]
        lines.append(Line("  ".join(parts).rstrip()))
    return lines


def _folded(words: str, width: int, tone: Tone) -> list[Line]:
    return [Line(line, tone) for line in in_lines(printable(words), width)]
