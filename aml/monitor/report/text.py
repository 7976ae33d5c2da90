"""The report as plain text: at most 80 columns, for a terminal, a log or a mail."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from textwrap import wrap

from aml.model.printable import printable
from aml.monitor.report.content import Heading, Section, Table, minute
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import told
from aml.monitor.report.memory import key_figures
from aml.monitor.report.sections import FIRST, all_sections

WIDTH = 80
_GAP = "  "
#: What a column of words keeps at least, however little room there is.
_NARROWEST = 8


def text_report(data: ReportData) -> str:
    """The whole report; each line ends with a newline."""
    lines = [*folded(f"Memory of agents: {data.store}"), f"{minute(data.time)} UTC, AML {data.version}", ""]
    lines += folded(f"{data.overall.sentence} {data.overall.more}")
    for one in data.findings[:FIRST]:
        lines += folded(f"{one.level.word}: {one.check}: {told(one)}", indent=2)
        if one.advice:
            lines += folded(f"mend: {one.advice}", indent=6)
    lines.append("")
    for figure in key_figures(data):
        lines += folded(f"{figure.name:<12} {figure.words}{f'  ({figure.note})' if figure.note else ''}", indent=13)
    for section in all_sections(data):
        lines += ["", *_section(section)]
    if data.notes:
        lines += ["", "What could not be told", "----------------------"]
        for note in data.notes:
            lines += folded(note)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def folded(words: str, *, indent: int = 0) -> list[str]:
    """Words in lines that fit; those after the first are indented. A word that is too long is cut into pieces."""
    found = wrap(printable(words), WIDTH - indent, subsequent_indent=" " * indent, break_on_hyphens=False)
    return [piece for line in found for piece in _pieces(line)] or [""]


def _pieces(line: str, width: int = WIDTH) -> Iterator[str]:
    """A line in parts that fit in columns, where characters may take two."""
    rest = line
    while wide(rest) > width:
        part = cut(rest, width, end="")
        yield part
        rest = rest[len(part) :]
    yield rest


def _section(section: Section) -> list[str]:
    lines = [section.title, "-" * len(section.title)]
    if section.lead:
        lines += folded(section.lead)
    if section.empty:
        lines += folded(section.empty)
    for fact in section.facts:
        lines += folded(f"{fact.name}: {fact.words}{f' -> {fact.advice}' if fact.advice else ''}", indent=2)
    for table in section.tables:
        lines += ["", *([f"{table.title}:"] if len(section.tables) > 1 else []), *_table(table)]
    return lines


def _table(table: Table) -> list[str]:
    """Rows in columns; where words are too long for theirs, in as many lines as that takes."""
    widths = _widths(table)
    lines = _row([one.words for one in table.headings], table.headings, widths)
    for row in table.rows:
        lines += _row([printable(cell) for cell in row], table.headings, widths)
    return lines


def _widths(table: Table) -> list[int]:
    cells = [[one.words for one in table.headings], *([printable(cell) for cell in row] for row in table.rows)]
    widths = [max(wide(row[place]) for row in cells) for place in range(len(table.headings))]
    room = WIDTH - len(_GAP) * (len(widths) - 1)
    # what is longest gives way first, since short columns are figures
    while sum(widths) > room:
        longest = widths.index(max(widths))
        if widths[longest] <= _NARROWEST:
            break
        others = max((width for width in widths if width < widths[longest]), default=_NARROWEST)
        widths[longest] = max(others, widths[longest] - (sum(widths) - room), _NARROWEST)
    return widths


def _row(cells: Sequence[str], headings: Sequence[Heading], widths: Sequence[int]) -> list[str]:
    columns = [_in_lines(words, width) for words, width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(len(column) for column in columns)):
        parts = [
            filled(column[number] if number < len(column) else "", width, right=heading.style == "number")
            for column, width, heading in zip(columns, widths, headings, strict=True)
        ]
        lines.append(_GAP.join(parts).rstrip())
    return lines


def _in_lines(words: str, width: int) -> list[str]:
    lines = wrap(words, width, break_on_hyphens=False) if wide(words) > width else [words]
    return [piece for line in lines for piece in _pieces(line, width)] or [""]


def wide(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(one) for one in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, *, end: str = "...") -> str:
    """A text that takes at most ``width`` columns, at least one character of it; ``end`` tells that there was more."""
    if wide(text) <= width:
        return text
    taken: list[str] = []
    room = width - len(end)
    for character in text:
        room -= _columns(character)
        if room < 0 and taken:
            break
        taken.append(character)
    return "".join(taken) + end


def filled(text: str, width: int, *, right: bool = False) -> str:
    """A text with blanks up to ``width`` columns."""
    blanks = " " * max(0, width - wide(text))
    return blanks + text if right else text + blanks
