"""Text for people: safe to print, aligned, in units that read well."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from aml.cli.layout import Row, Table, in_columns, laid_out
from aml.model.printable import printable as printable
from aml.model.undecodable import encodable
from aml.model.units import count as count
from aml.model.units import size as size

#: All but printable ASCII and line ends.
_UNUSUAL = re.compile(r"[^\x20-\x7e\n]")


def sizes(before: int, after: int | None) -> str:
    """``1.5 KiB -> 1.2 KiB``; one size where both would read alike, or where nothing is known of ``after``."""
    first, then = size(before), None if after is None else size(after)
    return first if then in (None, first) else f"{first} -> {then}"


def change_of_size(before: int | None, after: int | None) -> str:
    """``1.5 KiB -> 1.2 KiB``, with ``-`` in place of a size where there is nothing."""
    return " -> ".join("-" if octets is None else size(octets) for octets in (before, after))


def encoded_json(data: Any) -> str:
    """Data as JSON on one line; in texts that are no UTF-8, such as odd names, escapes say which bytes they hold."""
    try:
        return msgspec.json.encode(data).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(encodable(msgspec.to_builtins(data))).decode()


def escaped_json(text: str, *, only_ascii: bool = False) -> str:
    """JSON that means the same, with an escape in place of each character that a terminal would obey, or with
    ``only_ascii`` of all but ASCII. Line ends stay."""

    def escape(found: re.Match[str]) -> str:
        one = found[0]
        units = one.encode("utf-16-be", errors="surrogatepass")
        is_kept = one.isprintable() and not only_ascii
        return one if is_kept else "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

    return _UNUSUAL.sub(escape, text)


def left_alone(place: str, problem: str) -> str:
    """The note of what was not touched, which does not name the place again where the problem begins with its path."""
    for name in (f"{place} ", f"{place}.json "):
        head, found, rest = problem.partition(name)
        if found and (not head or (head.startswith("/") and head.endswith("/"))):
            return f"left alone: {place}: it {rest}"
    return f"left alone: {place}: {problem}"


_WIDEST = 10_000
#: Columns between two columns of a drawn table, which are also those at its edges together.
_FRAME = 3
_STRONG, _AS_BEFORE = "\x1b[1m", "\x1b[0m"


def write_table(out: TextIO, headers: Row, rows: Sequence[Row], *, numeric: Sequence[bool], color: bool) -> None:
    """A table: drawn by rich on a terminal that is wide enough, in other forms on one that is not, and anywhere else
    plain columns, as wide as their content. Cells are made printable."""
    table = Table(headers, [[printable(cell) for cell in row] for row in rows], numeric)
    is_drawn = out.isatty() and os.environ.get("TERM") != "dumb"
    width = width_of_terminal(out)
    if is_drawn and _draw(out, table, width, color=color):
        return
    for line in laid_out(table, width) if out.isatty() else in_columns(table):
        is_strong = is_drawn and color and line.is_head
        out.write(f"{_STRONG}{line.words}{_AS_BEFORE}\n" if is_strong else f"{line.words}\n")


def width_of_terminal(out: TextIO) -> int:
    """Columns of the terminal; no bound where there is none, or where it does not say."""
    try:
        return os.get_terminal_size(out.fileno()).columns or _WIDEST
    except (OSError, ValueError):
        return _WIDEST


def _draw(out: TextIO, table: Table, width: int, *, color: bool) -> bool:
    """Draw a table with lines and room, if there is that room: returns whether there is."""
    if sum(table.widths) + _FRAME * len(table.widths) > width:
        return False
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold" if color else "")
    for header, right in zip(table.headers, table.numeric, strict=True):
        # never folded inside a word: an id must stay whole, to be copied
        drawn.add_column(Text(header), justify="right" if right else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(file=out, no_color=not color, highlight=False, width=width, soft_wrap=True).print(drawn)
    return True
