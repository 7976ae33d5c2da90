"""HTML and SVG from elements: whatever is not markup already is escaped, and only ``tag`` makes markup of text."""

from __future__ import annotations

from collections.abc import Iterable

from aml.model.printable import printable

#: Elements that have no content and no end tag.
_VOID = frozenset({"br", "col", "hr", "img", "link", "meta"})
#: The same entities mean the same in HTML and in XML.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Markup(str):
    """Text that is HTML already. To be made by ``tag`` and ``joined`` alone."""

    __slots__ = ()


#: What an element may hold: markup as it is, text and numbers escaped, None as nothing.
Child = str | int | float | None
#: What an attribute may be: False and None leave it out, True makes it its own value.
Value = str | int | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """An element. ``class_`` means class, and an underscore in the name of an attribute a hyphen."""
    opened = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{opened}/>")
    return Markup(f"<{opened}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Several things, one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else _escaped(one) for one in children))


def decimal(number: float) -> str:
    """A coordinate: more digits would only take room."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f' {name}="{_escaped(name if value is True else value)}"'


def _escaped(value: Child) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return decimal(value)
    return printable(str(value)).translate(_ENTITIES)
