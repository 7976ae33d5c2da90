"""Elements of an array to schema-neutral views: all at once where they are ordinary, one by one where they are not."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import msgspec

from aml.codec.json_array import RecordArray
from aml.model.record import RecordView
from aml.model.schema import VERSIONS, is_too_new


class Unreadable(msgspec.Struct, frozen=True):
    """An element that is never judged and never removed, and why."""

    reason: str
    too_new: bool = False


#: How much is looked at at a time to tell whether it is UTF-8.
_SLICE_BYTES = 1 << 16

Seen = RecordView | Unreadable

_NULL = Unreadable("it is null, not an object")


def view_records(array: RecordArray, view: type[RecordView]) -> Sequence[Seen]:
    """A view, or the reason why there is none, for each element of ``array`` in order."""
    if is_utf8(array.text):
        try:
            views: list[RecordView | None] = _array_decoder(view).decode(array.text)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            pass
        else:
            return [_NULL if one is None else one if one.version is None else _check_version(one) for one in views]
    return [view_record(bytes(element), view) for element in array.elements]


def view_record(raw: bytes, view: type[RecordView]) -> Seen:
    """The view of one element, read as leniently as bytes can be read without guessing."""
    if not is_utf8(raw):
        return Unreadable("it is not valid UTF-8")
    try:
        return _check_version(_record_decoder(view).decode(raw))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _view_untyped(raw, view)


def _view_untyped(raw: bytes, view: type[RecordView]) -> Seen:
    import json  # few records ever come here

    try:
        found = json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError:
        return Unreadable("it is nested too deeply")
    except ValueError as error:
        return Unreadable(f"it is not valid JSON: {error}")
    if not isinstance(found, dict):
        return Unreadable(f"it is {_json_type(found)}, not an object")
    return _check_version(_convert(found, view))


def _convert(found: dict[str, Any], view: type[msgspec.Struct]) -> Any:
    """A view of an object in which any field may hold anything: what does not fit counts as absent."""
    fields: dict[str, Any] = {}
    for name, struct in _fields(view):
        value = found.get(name)
        if struct is None:
            fields[name] = _without_surrogates(value)
        elif isinstance(value, dict):
            fields[name] = _convert(value, struct)
    return view(**fields)


def has_odd_parts(raw: bytes, view: type[RecordView]) -> bool:
    """Whether something else stands in a record, which has a view, where that looks for an object."""
    import json

    try:
        found = json.loads(raw)
    except (RecursionError, ValueError):
        return True  # an integer of thousands of digits, for one
    return any(struct and not isinstance(found.get(name), dict | None) for name, struct in _fields(view))


def _without_surrogates(value: Any) -> Any:
    """Scalars and lists of texts, encodable: half a surrogate pair, which JSON can spell, is shown by its escape."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [one.encode(errors="backslashreplace").decode() for one in value if isinstance(one, str)]
    return value


@cache
def _fields(view: type[msgspec.Struct]) -> tuple[tuple[str, type[Any] | None], ...]:
    """Names of a view's fields, each with the struct nested there, if any."""
    found = []
    for field in msgspec.structs.fields(view):
        structs = [part for part in get_args(field.type) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
        found.append((field.encode_name, structs[0] if structs else None))
    return tuple(found)


@cache
def _array_decoder(view: type[RecordView]) -> msgspec.json.Decoder[list[Any]]:
    return msgspec.json.Decoder(list[view | None])  # type: ignore[valid-type]


@cache
def _record_decoder(view: type[RecordView]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(view)


def _check_version(seen: RecordView) -> Seen:
    if is_too_new(seen.version):
        told = f"its schema version {seen.version} is newer than {VERSIONS[-1]}, the newest known here"
        return Unreadable(told, too_new=True)
    return seen


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text at all; decoders here do not look at the bytes of strings that they skip."""
    if data.isascii():
        return True
    # slice by slice: one character beyond the basic plane would make a text take four times its bytes
    decoder = getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for start in range(0, len(data), _SLICE_BYTES):
            decoder.decode(view[start : start + _SLICE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "a number"
