"""All the text that a record holds, whatever its schema: what people search by words."""

from __future__ import annotations

from typing import Any

import msgspec

from aml.codec.json_array import Element
from aml.model.undecodable import UNDECODABLE

_DECODER = msgspec.json.Decoder()

#: Where a record keeps what its present schema has no place for (docs/migrations.md).
_NOTES = "x_aml"


def strings_of(element: Element) -> str:
    """Every string that is a value in ``element``, at any depth, one a line; names of fields are left out, also those
    that a migration has noted.

    Half a surrogate pair, which JSON can spell, becomes its escape. Empty where the bytes are no JSON.
    """
    strings: list[str] = []
    try:
        _collect_record(_DECODER.decode(element), strings)
    except UNDECODABLE:
        _collect_record(_decode_leniently(bytes(element)), strings)
        return "\n".join(strings).encode(errors="backslashreplace").decode()
    return "\n".join(strings)


def _collect_record(record: Any, strings: list[str]) -> None:
    if type(record) is dict and type(notes := record.get(_NOTES)) is dict:
        record = {key: value for key, value in record.items() if key != _NOTES}
        for note in notes.values():
            _collect_note(note, strings)
    _collect(record, strings)


def _collect_note(note: Any, strings: list[str]) -> None:
    """What a migration set aside: values to give back, or a whole record as text; the rest are names of fields."""
    if type(note) is not dict:
        _collect(note, strings)
        return
    _collect(note.get("set"), strings)
    inside = note.get("in")
    for one in inside.values() if type(inside) is dict else ():
        _collect_note(one, strings)
    if type(text := note.get("text")) is str:
        record = _decode_leniently(text.encode(errors="surrogatepass"))
        _collect_record(record, strings) if type(record) is dict else strings.append(text)


def _collect(value: Any, strings: list[str]) -> None:
    if type(value) is str:
        strings.append(value)
        return
    for one in value.values() if type(value) is dict else value if type(value) is list else ():
        kind = type(one)
        if kind is str:
            strings.append(one)
        elif kind is dict or kind is list:
            _collect(one, strings)


def _decode_leniently(raw: bytes) -> Any:
    import json  # few records ever come here

    try:
        return json.loads(raw)
    except UNDECODABLE:
        return None
