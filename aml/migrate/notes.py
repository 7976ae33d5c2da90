"""``x_aml``: what a record keeps for its way back to another schema version.

``x_aml`` is an object with one key for each move that has something to give back, such as ``down_to_1.0.0``: a patch,
or {text: the whole record as it was}. What else stands in it belongs to somebody else, and stays. Where ``x_aml`` was
somebody's own and no object, it is kept as ``was``.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from aml.codec.json_object import DuplicateKeyError, JsonObject, Tree, key_of, parse_object

KEY = "x_aml"
_RAW_KEY, _WAS = b'"x_aml"', "was"


class Used(NamedTuple):
    """The key of a note that was used, and what of it could not be used."""

    key: str
    rest: Tree | None


class Notes:
    """The record without its ``x_aml`` where that stands last (``body``), and what stands in there."""

    def __init__(self, record: JsonObject) -> None:
        self.body = record.copy()
        raws = record.values(KEY)
        self._is_twice = len(raws) > 1
        self._member = self.body.pop(len(record) - 1) if raws and record.members[-1].name == KEY else None
        self._raw = raws[0] if len(raws) == 1 else None
        self._inside = parse_object(self._raw) if self._raw is not None and self._raw[:1] == b"{" else None
        if self._is_twice and self._member is not None:
            self.body.members.append(self._member)
            self._member = None

    def get(self, key: str) -> bytes | None:
        """The note of that key, as it is written."""
        return self._inside.get(key) if self._inside is not None else None

    def text(self, key: str) -> bytes | None:
        """The whole record that is kept under that key."""
        raw = self.get(key)
        if raw is None or raw[:1] != b"{":
            return None
        value = parse_object(raw).get("text")
        return json.loads(value).encode(errors="surrogatepass") if value is not None and value[:1] == b'"' else None

    def around(self, body: JsonObject, used: Used | None, new: tuple[str, Tree] | None) -> JsonObject:
        """``body`` with these notes, but for the one that was used, and with a new one.

        Raises DuplicateKeyError where a note is to be written and there are several ``x_aml``.
        """
        inside = self._inside.copy() if self._inside is not None else None
        raw = self._raw
        if inside is not None and used is not None:
            if used.rest is None:
                inside.remove(used.key)
            else:
                inside.set(used.key, inside.lay_out(used.rest))
            # an empty one that is not the last tells where the next note is to stand
            raw = _shrunk(inside) or (None if self._member is not None else b"{}")
        if new is not None:
            if self._is_twice:
                raise DuplicateKeyError(KEY)
            raw = self._with_note(body, inside, *new)
        return self._attached(body, raw)

    def _with_note(self, body: JsonObject, inside: JsonObject | None, key: str, note: Tree) -> bytes:
        if inside is not None and len(inside):
            inside.set(key, inside.lay_out(note))
            return inside.to_bytes()
        was = {b'"was"': self._raw} if self._raw is not None and inside is None else {}
        return body.lay_out({**was, key_of(key): note})

    def _attached(self, body: JsonObject, raw: bytes | None) -> JsonObject:
        whole = body.copy()
        if self._is_twice:
            return whole
        if self._member is not None:
            if raw is not None:
                whole.members.append(self._member.with_value(raw))
        elif raw is None:
            whole.remove(KEY)
        elif self._raw is not None:
            whole.set(KEY, raw)
        else:
            whole.insert(len(whole), _RAW_KEY, raw)
        return whole


def _shrunk(inside: JsonObject) -> bytes | None:
    if inside.names == [_WAS]:
        return inside.get(_WAS)
    return inside.to_bytes() if len(inside) else None


def text_note(raw: bytes) -> Tree:
    """The note that keeps a record whole."""
    return {b'"text"': key_of(raw.decode())}
