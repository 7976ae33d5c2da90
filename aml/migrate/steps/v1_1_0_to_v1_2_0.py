"""1.1.0 to 1.2.0: every record has ``metadata``, and every pattern ``variations``.

``metadata`` is {created_by: the record's agent, last_modified: its last use, else its creation, as it is written
there, version: "1.2.0"}; ``variations`` is []. Both are added at the end.

Back at 1.1.0 neither has a place.
"""

from __future__ import annotations

from collections.abc import Iterator

from aml.codec.json_object import DamagedObjectError, JsonObject, key_of, parse_object
from aml.migrate.marks import NULL, follow_version, has_metadata, is_stated, own_version
from aml.migrate.times import is_time

FROM, TO = "1.1.0", "1.2.0"
#: Keys that a rule of this step, up or down, puts into a record.
ADDS = ("metadata", "variations", "tags", "active")
#: Keys of objects within which this step may change something.
OPENS: tuple[str, ...] = ()

_METADATA, _VARIATIONS = b'"metadata"', b'"variations"'

#: Where the last use of a record, else its creation, is written, in the order in which its view looks.
_COURSES = ("lifecycle", "evolution")
_USED = ("last_used_at", "lastUsed", "last_used")
_BEGUN = ("created_at", "created", "createdAt")
_REVIEWED = ("reviewedAt", "reviewed_at")


def upgrade(record: JsonObject, kind: str) -> JsonObject:
    """A record of 1.1.0 as one of 1.2.0. Raises DamagedObjectError for metadata that are no object."""
    record = record.copy()
    if record.get("metadata") == NULL:
        record.remove("metadata")
    if record.has("metadata") and not has_metadata(record):
        raise DamagedObjectError("its metadata are no object")
    if kind == "patterns" and not record.has("variations"):
        record.insert(len(record), _VARIATIONS, b"[]")
    if not record.has("metadata"):
        record.insert(len(record), _METADATA, _metadata(record, kind))
    follow_version(record, FROM, TO)
    return record


def downgrade(record: JsonObject, kind: str) -> JsonObject:
    """A record of 1.2.0 as one of 1.1.0."""
    record = record.copy()
    record.remove("metadata")
    if kind == "patterns":
        record.remove("variations")
    if own_version(record) is None:  # then it is tags and active that make it 1.1.0
        if not is_stated(record, "active"):
            record.set("active", b"true")
        if not is_stated(record, "tags"):
            record.set("tags", b"[]")
    follow_version(record, TO, FROM)
    return record


def _metadata(record: JsonObject, kind: str) -> bytes:
    author = record.get("agent") or NULL
    return record.lay_out(
        {
            b'"created_by"': author if author[:1] not in (b"{", b"[") else NULL,
            b'"last_modified"': next(filter(is_time, _moments(record, kind)), NULL),
            b'"version"': key_of(TO),
        }
    )


def _moments(record: JsonObject, kind: str) -> Iterator[bytes]:
    """The values that may tell when the record was last used or created."""
    if kind == "patterns":
        raws = [record.get(name) or b"" for name in _COURSES]
        courses = [parse_object(raw) for raw in raws if raw[:1] == b"{"]
        for names in (_USED, _BEGUN):
            yield from (value for course in courses for name in names if (value := course.get(name)))
    elif kind == "decisions":
        yield from (value for name in _REVIEWED if (value := record.get(name)))
    if (created := record.get("timestamp")) is not None:
        yield created
