"""How a table is laid out in plain characters: in columns while they fit, and below one another where they do not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

Row = Sequence[str]

_GAP = "  "
#: Fewest columns to which text is folded; in fewer it reads worse than below the rest.
_LEAST_FOLDED = 20


class Line(msgspec.Struct, frozen=True):
    """A line, and whether it stands above others as their head."""

    words: str
    is_head: bool = False


class Table(msgspec.Struct, frozen=True):
    """Cells that are safe to print; ``numeric`` tells the columns that stand to the right."""

    headers: Row
    rows: Sequence[Row]
    numeric: Sequence[bool]

    @property
    def widths(self) -> list[int]:
        """Columns of the terminal that each column of the table needs."""
        return [max(width_of(row[place]) for row in (self.headers, *self.rows)) for place in range(len(self.headers))]

    def only(self, places: Sequence[int]) -> Table:
        """The same with these columns alone."""
        return Table(
            [self.headers[place] for place in places],
            [[row[place] for place in places] for row in self.rows],
            [self.numeric[place] for place in places],
        )


def width_of(text: str) -> int:
    """How many columns of a terminal ``text`` takes: one of East Asia takes two, what joins another takes none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in text
    )


def cut_to(text: str, width: int) -> str:
    """As much of the beginning of ``text`` as ``width`` columns hold."""
    while width_of(text) > max(0, width):
        text = text[:-1]
    return text


def in_columns(table: Table) -> list[Line]:
    """Columns as wide as their content, however wide that is."""
    widths = table.widths
    return [
        Line(_row(row, widths, table.numeric), is_head=number == 0)
        for number, row in enumerate((table.headers, *table.rows))
    ]


def laid_out(table: Table, width: int) -> list[Line]:
    """The first form that fits into ``width``: columns, without empty ones, in groups, with text folded, none at all.

    A word, such as an id, is never broken: it may be longer than ``width``.
    """
    lines = in_columns(table)
    if _fits(lines, width) or not table.rows:
        return lines
    table = table.only([place for place in range(len(table.headers)) if any(row[place] for row in table.rows)])
    forms: tuple[Callable[[Table, int], list[Line]], ...] = (_columns, _grouped, _last_folded)
    for form in forms:
        lines = form(table, width)
        if lines and (_fits(lines, width) or len(table.headers) <= 2):
            return lines
    return list(_below_one_another(table, width))


def _fits(lines: Sequence[Line], width: int) -> bool:
    return all(width_of(line.words) <= width for line in lines)


def _columns(table: Table, width: int) -> list[Line]:
    lines = in_columns(table)
    return lines if _fits(lines, width) else []


def _grouped(table: Table, width: int) -> list[Line]:
    """What several rows have in common in their first cell stands once, above them; nothing where no rows have."""
    if not table.headers[0] or table.numeric[0] or all(one[0] != other[0] for one, other in pairwise(table.rows)):
        return []
    rest = in_columns(table.only(range(1, len(table.headers))))
    lines = [Line(table.headers[0], is_head=True), Line(f"{_GAP}{rest[0].words}", is_head=True)]
    group: str | None = None
    for row, line in zip(table.rows, rest[1:], strict=True):
        indented = f"{_GAP}{line.words}"
        if row[0] != group:
            group = row[0]
            # such as a total, which has no second cell
            if not indented[: width_of(group) + len(_GAP)].strip():
                indented = group + indented[width_of(group) :]
            else:
                lines.append(Line(group))
        lines.append(Line(indented))
    return lines if _fits(lines, width) else []


def _last_folded(table: Table, width: int) -> list[Line]:
    """Columns of which the last, if it is text, goes on below itself."""
    *widths, _ = table.widths
    room = width - sum(widths) - len(_GAP) * len(widths)
    if table.numeric[-1] or room < min(_LEAST_FOLDED, width // 2):
        return []
    lines: list[Line] = []
    for number, row in enumerate((table.headers, *table.rows)):
        for place, text in enumerate(_folded(row[-1], room)):
            cells = [*(row[:-1] if place == 0 else [""] * len(widths)), text]
            lines.append(Line(_row(cells, [*widths, 0], table.numeric), is_head=number == 0))
    return lines


def _below_one_another(table: Table, width: int) -> Iterator[Line]:
    """For each row its first cell that has a header, unless that stands above, and the others, each behind its own."""
    first = next((place for place, header in enumerate(table.headers) if header), 0)
    above = ""
    for row in table.rows:
        head = _GAP.join(cell for cell in row[: first + 1] if cell)
        if head != above:
            yield Line(head, is_head=True)
        above = head
        line = ""
        for header, cell in zip(table.headers[first + 1 :], row[first + 1 :], strict=True):
            if not cell:
                continue
            for place, part in enumerate(_folded(f"{header}: {cell}" if header else cell, width - len(_GAP) * 2)):
                wider = f"{line}{_GAP}{part}"
                if place == 0 and line and width_of(wider) <= width:
                    line = wider
                    continue
                if line:
                    yield Line(line)
                line = f"{_GAP if place == 0 else _GAP * 2}{part}"
        if line:
            yield Line(line)


def _folded(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, but for a word that is longer."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines or [""]


def _row(row: Row, widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells: list[str] = []
    for cell, width, right in zip(row, widths, numeric, strict=True):
        space = " " * max(0, width - width_of(cell))
        cells.append(space + cell if right else cell + space)
    return _GAP.join(cells).rstrip()
