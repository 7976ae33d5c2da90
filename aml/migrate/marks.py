"""What tells the schema version of a record that is held as exact bytes, and changing just that."""

from __future__ import annotations

import json

from aml.codec.json_object import JsonObject, Raws, key_of
from aml.model.schema import states_version, version_by_marks

NULL = b"null"
_QUOTE = b'"'


def version_of(record: JsonObject) -> str:
    """The version of a record, told as by its view."""
    has_both = is_stated(record, "tags") and is_stated(record, "active")
    return version_by_marks(own_version(record), has_metadata(record), has_both)


def version_of_pairs(pairs: Raws) -> str:
    """The same for a record by its pairs."""
    metadata, tags, active = pairs.get("metadata"), pairs.get("tags"), pairs.get("active")
    has_both = tags is not None and active is not None and bytes(tags) != NULL != bytes(active)
    stated = pairs.get("version")
    version = None if stated is None else _text(bytes(stated))
    return version_by_marks(version, metadata is not None and bytes(metadata)[:1] == b"{", has_both)


def is_stated(record: JsonObject, name: str) -> bool:
    """Whether a key is there and not null."""
    return record.get(name) not in (None, NULL)


def has_metadata(record: JsonObject) -> bool:
    return (record.get("metadata") or b"")[:1] == b"{"


def own_version(record: JsonObject) -> str | None:
    """The version that the record states by its field ``version``; None where that is missing or somebody's own."""
    found = _text(record.get("version") or NULL)
    return found if states_version(found) else None


def set_version(record: JsonObject, version: str) -> None:
    record.set("version", key_of(version))


def follow_version(record: JsonObject, left: str, reached: str) -> None:
    """A record that states the version it leaves, by its own field, states the one it reaches."""
    if own_version(record) == left:
        set_version(record, reached)


def _text(raw: bytes) -> str | None:
    return json.loads(raw) if raw[:1] == _QUOTE else None
