"""The report as plain text: at most 80 columns, for a terminal, a log or a mail."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from aml.model.printable import printable
from aml.monitor.report.content import Heading, Section, Table, minute
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import urgent, where_to_type
from aml.monitor.report.memory import key_figures
from aml.monitor.report.sections import all_sections

#: One column of the 80 stays free for what ``_mailed`` adds.
WIDTH = 79
_GAP = "  "
_BELOW = " " * 10
#: Lines of a title.
_TITLE = 2
_WORDS = re.compile(r"( *)([^ ]+)")
#: What a column of words keeps at least where its table can be shown otherwise, and where it cannot.
_EASY, _NARROWEST = 20, 8


def text_report(data: ReportData) -> str:
    """The whole report; each line ends with a newline."""
    lines = [*folded(f"Memory of agents: {data.store}"), f"{minute(data.time)} UTC, AML {data.version}", ""]
    lines += folded(f"{data.overall.sentence} {data.overall.more}")
    first, left = urgent(data)
    if first:
        lines.append("")
    for one in first:
        lines += _found(one.finding.level.word, one.finding.check, one.words, one.finding.advice)
    if left:
        lines.append(f"{_BELOW}and {left:,} more, under Health")
    if where := where_to_type(data):
        lines += ["", *folded(where)]
    lines.append("")
    for figure in key_figures(data):
        lines += folded(f"{figure.name:<12} {figure.words}{f'  ({figure.note})' if figure.note else ''}", indent=13)
    for section in all_sections(data):
        lines += ["", *_section(section)]
    if data.notes:
        lines += ["", "What could not be told", "----------------------"]
        for note in data.notes:
            lines += folded(note)
    return "".join(f"{_mailed(line.rstrip())}\n" for line in lines)


def _mailed(line: str) -> str:
    """A line that no program for mail takes for its own: a command, the end, or the head of another mail."""
    return f" {line}" if line.startswith(("~", ".", "From ")) else line


def _found(level: str, check: str, words: str, advice: str) -> list[str]:
    """A finding and what mends it, below each other."""
    lines = folded(f"{level:<{len(_BELOW)}}{check}: {words}", indent=len(_BELOW))
    return lines + (folded(f"{_BELOW}mend: {advice}", indent=len(f"{_BELOW}mend: ")) if advice else [])


def folded(words: str, *, indent: int = 0) -> list[str]:
    """Somebody's words in lines that fit; those after the first are indented."""
    return in_lines(printable(words), WIDTH, indent=indent)


def in_lines(words: str, width: int, *, indent: int = 0) -> list[str]:
    """Words in lines of so many columns; those after the first are indented. A word that is longer is cut."""
    lines, line = [], ""
    for blanks, word in _WORDS.findall(words):
        rest = word
        if wide(line + blanks + rest) <= width:
            line += blanks + rest
            continue
        if line.strip():
            lines.append(line)
            line = " " * indent
        while wide(line + rest) > width and rest:
            part = cut(rest, width - len(line), end="")
            lines.append(line + part)
            line, rest = " " * indent, rest[len(part) :]
        line += rest
    return [*lines, line] if line.strip() or not lines else lines


def _section(section: Section) -> list[str]:
    lines = [section.title, "-" * len(section.title)]
    if section.lead:
        lines += folded(section.lead)
    if section.empty:
        lines += folded(section.empty)
    for fact in section.facts:
        lines += folded(f"{fact.name}: {fact.words}{f' -> {fact.advice}' if fact.advice else ''}", indent=2)
    for table in section.tables:
        lines += [""] if len(lines) > _TITLE else []
        lines += [*([f"{table.title}:"] if len(section.tables) > 1 else []), *_table(table)]
    return lines


def _table(table: Table) -> list[str]:
    """Rows in columns; where words are too long for theirs, in as many lines as that takes. Advice has lines of its
    own, and so has what is to be typed where there is no room beside it; what is minor goes before figures break."""
    headings = list(table.headings)
    if headings[-1].style == "advice":
        return [line for level, check, words, advice in table.rows for line in _found(level, check, words, advice)]
    rows = [[one.words for one in headings], *([printable(cell) for cell in row] for row in table.rows)]
    widths = _widths(rows, headings, WIDTH)
    if widths is None and headings[0].style == "code":
        below = _widths([row[1:] for row in rows], headings[1:], WIDTH - len(_GAP))
        if below is not None:
            return [line for row in rows for line in _stacked(row, headings, below)]
    while widths is None and any(one.minor for one in headings):
        minor = max(place for place, one in enumerate(headings) if one.minor)
        headings.pop(minor)
        rows = [[*row[:minor], *row[minor + 1 :]] for row in rows]
        widths = _widths(rows, headings, WIDTH)
    widths = widths or _shrunk(_natural(rows), range(len(headings)), WIDTH, _NARROWEST)
    return [line for row in rows for line in _row(row, headings, widths)]


def _stacked(row: Sequence[str], headings: Sequence[Heading], widths: Sequence[int]) -> list[str]:
    """The first cell on a line of its own, and the others below it."""
    return [*folded(row[0]), *(_GAP + line for line in _row(row[1:], headings[1:], widths))]


def _natural(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(wide, column)) for column in zip(*rows, strict=True)]


def _widths(rows: Sequence[Sequence[str]], headings: Sequence[Heading], width: int) -> list[int] | None:
    """Widths of columns that fit, of which only those of words have given way, and not too much; None if none do."""
    words = [place for place, one in enumerate(headings) if one.style in ("text", "name")]
    found = _shrunk(_natural(rows), words, width, _EASY)
    return found if sum(found) + len(_GAP) * (len(found) - 1) <= width else None


def _shrunk(widths: list[int], places: Sequence[int], width: int, least: int) -> list[int]:
    """Widths of which the longest at these places have given way evenly until all fit, or none can give way further."""
    found = [min(one, width) if place in places else one for place, one in enumerate(widths)]
    room = width - len(_GAP) * (len(found) - 1)
    while sum(found) > room:
        longest = max(places, key=lambda place: found[place], default=None)
        if longest is None or found[longest] <= least:
            break
        found[longest] -= 1
    return found


def _row(cells: Sequence[str], headings: Sequence[Heading], widths: Sequence[int]) -> list[str]:
    columns = [in_lines(words, width) for words, width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(len(column) for column in columns)):
        parts = [
            filled(column[number] if number < len(column) else "", width, right=heading.style == "number")
            for column, width, heading in zip(columns, widths, headings, strict=True)
        ]
        lines.append(_GAP.join(parts).rstrip())
    return lines


def wide(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(one) for one in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
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
