"""All the text that a record holds, whatever its schema: what people search by words."""

from __future__ import annotations

from typing import Any

import msgspec

from aml.codec.json_array import Element
from aml.model.undecodable import UNDECODABLE

_DECODER = msgspec.json.Decoder()


def strings_of(element: Element) -> str:
    """Every string that is a value in ``element``, at any depth, one a line; names of fields are left out.

    Half a surrogate pair, which JSON can spell, becomes its escape. Empty where the bytes are no JSON.
    """
    strings: list[str] = []
    try:
        _collect(_DECODER.decode(element), strings)
    except UNDECODABLE:
        _collect(_decode_leniently(bytes(element)), strings)
        return "\n".join(strings).encode(errors="backslashreplace").decode()
    return "\n".join(strings)


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
