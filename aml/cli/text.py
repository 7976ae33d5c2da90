"""Text for people: safe to print, aligned, in units that read well."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

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


Row = Sequence[str]

_WIDEST = 10_000


def write_table(out: TextIO, headers: Row, rows: Sequence[Row], *, numeric: Sequence[bool], color: bool) -> None:
    """A table: drawn by rich on a terminal, plain columns anywhere else. Cells are made printable."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if out.isatty() and os.environ.get("TERM") != "dumb":
        _draw(out, headers, cells, numeric, color)
    else:
        _align(out, headers, cells, numeric)


def _draw(out: TextIO, headers: Row, rows: Sequence[Row], numeric: Sequence[bool], color: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header, right in zip(headers, numeric, strict=True):
        # never folded inside a word: an id must stay whole, to be copied
        table.add_column(Text(header), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    measured = Measurement.get(Console(width=_WIDEST), Console(width=_WIDEST).options, table)
    # a terminal that is narrower wraps the lines itself, and they stay whole when they are copied
    Console(file=out, no_color=not color, highlight=False, width=measured.maximum, soft_wrap=True).print(table)


def _align(out: TextIO, headers: Row, rows: Sequence[Row], numeric: Sequence[bool]) -> None:
    widths = [max(len(row[index]) for row in (headers, *rows)) for index in range(len(headers))]
    for row in (headers, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        out.write("  ".join(cells).rstrip() + "\n")
