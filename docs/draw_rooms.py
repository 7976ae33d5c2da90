"""Draws docs/images/rooms.svg: the rooms of AML and the arrows between them, from the contract in pyproject.toml.

python docs/draw_rooms.py            write it
python docs/draw_rooms.py --check    fail if it is out of date

Layers come from pyproject.toml, what a room is for from the first sentence of its module.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = PROJECT / "docs" / "images" / "rooms.svg"

_WIDTH, _SIDE, _MARGIN, _GAP = 1000, 170, 16, 10
_LINE, _NAME, _PADDING, _ARROW = 14, 20, 9, 26
_CHARACTER = 5.9  # width of one in the captions, in pixels, on the safe side for the usual fonts

_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#18212c;font-size:11px}"
    ".name{font-size:14px;font-weight:600}.note{font-size:12px;fill:#55606e}"
    "rect{fill:#fff;stroke:#9aa5b1}.page{fill:#f5f6f8;stroke:none}.side{fill:#e6eef8}"
    "path{fill:none;stroke:#55606e;stroke-width:1.5}.head{fill:#55606e;stroke:none}"
)


def main(words: list[str]) -> int:
    """Write the picture, or check it; returns the exit status."""
    text = picture()
    if "--check" not in words:
        PICTURE.write_text(text, encoding="utf-8")
    elif not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"out of date: {PICTURE.name}; run python docs/draw_rooms.py\n")
        return 1
    return 0


def layers() -> list[list[str]]:
    """The layers of the contract from top to bottom, each with its rooms, which do not know each other."""
    return [[room.strip() for room in layer.split("|")] for layer in _contract()["layers"]]


def beside() -> list[str]:
    """The rooms that everyone may import."""
    return [room for room in _contract()["exhaustive_ignores"] if not room.startswith("__")]


def picture() -> str:
    """The SVG, the same at every call."""
    parts: list[str] = []
    top = float(_MARGIN)
    inner = _WIDTH - 3 * _MARGIN - _SIDE
    rows = layers()
    for number, rooms in enumerate(rows):
        width = (inner - _GAP * (len(rooms) - 1)) / len(rooms)
        height = max(_height(room, width) for room in rooms)
        for place, room in enumerate(rooms):
            parts += _box(room, _MARGIN + place * (width + _GAP), top, width, height)
        top += height
        if number < len(rows) - 1:
            parts += _arrow(_MARGIN + inner / 2, top + 3, top + _ARROW - 3)
            top += _ARROW
    bottom = top
    parts += _side(_MARGIN * 2 + inner, bottom)
    return _document(parts, bottom + _MARGIN)


def _side(left: float, bottom: float) -> Iterator[str]:
    rooms = beside()
    note = 40
    height = (bottom - _MARGIN - note - _GAP * (len(rooms) - 1)) / len(rooms)
    for number, line in enumerate(("everyone may import these;", "they import nothing above")):
        yield f'<text class="note" x="{left:.0f}" y="{_MARGIN + 12 + number * 16:.0f}">{line}</text>'
    for place, room in enumerate(rooms):
        yield from _box(room, left, _MARGIN + note + place * (height + _GAP), _SIDE, height, "side")


def _box(room: str, left: float, top: float, width: float, height: float, look: str = "") -> Iterator[str]:
    look = f' class="{look}"' if look else ""
    yield f'<rect{look} x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6"/>'
    yield f'<text class="name" x="{left + _PADDING:.0f}" y="{top + _PADDING + 12:.0f}">{escape(room)}</text>'
    for number, line in enumerate(_caption(room, width)):
        below = top + _PADDING + _NAME + (number + 1) * _LINE - 4
        yield f'<text x="{left + _PADDING:.0f}" y="{below:.0f}">{escape(line)}</text>'


def _arrow(middle: float, start: float, end: float) -> Iterator[str]:
    yield f'<path d="M{middle:.0f} {start:.0f}V{end - 6:.0f}"/>'
    yield f'<path class="head" d="M{middle - 5:.0f} {end - 7:.0f}h10l-5 7z"/>'


def _height(room: str, width: float) -> float:
    return 2 * _PADDING + _NAME + _LINE * len(_caption(room, width))


def _caption(room: str, width: float) -> list[str]:
    return wrap(purpose(room), int((width - 2 * _PADDING) / _CHARACTER))


def purpose(room: str) -> str:
    """What a room is for: the first sentence of its module."""
    package = PROJECT / "aml" / room / "__init__.py"
    path = package if package.exists() else PROJECT / "aml" / f"{room}.py"
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def _document(parts: list[str], height: float) -> str:
    told = "; ".join(" | ".join(rooms) for rooms in layers())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            f"<title>The rooms of AML, from top to bottom: {escape(told)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height:.0f}" rx="10"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _contract() -> dict[str, list[str]]:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    found: dict[str, list[str]] = next(one for one in contracts["contracts"] if one["type"] == "layers")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
