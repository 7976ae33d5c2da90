"""1.0.0 to 1.1.0: every record has ``tags`` and ``active``, and its times state their offset.

``tags`` [] and ``active`` true are added where they are missing or null: beside each other where one of them is
there, else at the end, ``active`` first. So the places tell which of them were added, and the way back takes those
out. Times (``timestamp``; of patterns those in ``evolution`` and ``lifecycle``; of decisions ``reviewedAt``) become
ISO 8601 with an offset where they are naive, which means UTC, or numbers.

Back at 1.0.0 a record lacks ``tags`` or ``active``. Where both of them say something, it keeps them and states its
``version``.
"""

from __future__ import annotations

from aml.codec.json_object import JsonObject, parse_object
from aml.migrate.marks import NULL, follow_version, is_stated, own_version, set_version
from aml.migrate.times import with_offset

FROM, TO = "1.0.0", "1.1.0"
#: Keys that a rule of this step, up or down, puts into a record.
ADDS = ("tags", "active", "version")
#: Keys of objects within which this step may change something.
OPENS = ("evolution", "lifecycle")

_TAGS, _ACTIVE = b'"tags"', b'"active"'
_NO_TAGS, _IS_ACTIVE, _IS_INACTIVE = b"[]", b"true", b"false"

_TOP_TIMES = {"patterns": ("timestamp",), "solutions": ("timestamp",)}
_DECISION_TIMES = ("timestamp", "reviewedAt", "reviewed_at")
_COURSES = ("evolution", "lifecycle")
_COURSE_TIMES = ("created", "createdAt", "created_at", "lastUsed", "last_used", "last_used_at")


def upgrade(record: JsonObject, kind: str) -> JsonObject:
    """A record of 1.0.0 as one of 1.1.0."""
    record = record.copy()
    _normalise(record, _TOP_TIMES.get(kind, _DECISION_TIMES))
    if kind == "patterns":
        for course in _COURSES:
            _normalise_within(record, course)
    for name in ("tags", "active"):
        if record.get(name) == NULL:
            record.remove(name)
    has_tags, has_active = record.has("tags"), record.has("active")
    if has_tags and not has_active:
        record.insert_after("tags", _ACTIVE, _IS_ACTIVE)
    elif has_active and not has_tags:
        record.insert(record.index("active"), _TAGS, _NO_TAGS)
    elif not has_tags:
        record.insert(len(record), _ACTIVE, _IS_ACTIVE)
        record.insert(len(record), _TAGS, _NO_TAGS)
    follow_version(record, FROM, TO)
    return record


def downgrade(record: JsonObject, kind: str) -> JsonObject:  # noqa: ARG001 - the same for every kind
    """A record of 1.1.0 as one of 1.0.0."""
    record = record.copy()
    if not _remove_what_was_added(record) and own_version(record) is None:
        _remove_what_says_nothing(record)
    follow_version(record, TO, FROM)
    return record


def _remove_what_was_added(record: JsonObject) -> bool:
    if not (is_stated(record, "tags") and is_stated(record, "active")):
        return True
    tags, active = record.index("tags"), record.index("active")
    is_empty, is_active = record.get("tags") == _NO_TAGS, record.get("active") == _IS_ACTIVE
    if is_empty and is_active and (active, tags) == (len(record) - 2, len(record) - 1):
        record.remove("tags")
        record.remove("active")
    elif is_empty and tags + 1 == active:
        record.remove("tags")
    elif is_active and tags + 1 == active:
        record.remove("active")
    else:
        return False
    return True


def _remove_what_says_nothing(record: JsonObject) -> None:
    if record.get("tags") == _NO_TAGS:
        record.remove("tags")
    elif record.get("active") != _IS_INACTIVE:
        record.remove("active")
    else:
        set_version(record, FROM)


def _normalise(record: JsonObject, names: tuple[str, ...]) -> bool:
    changed = False
    for member in list(record):
        if member.name in names and (new := with_offset(member.value)) != member.value:
            record.set(member.name, new)
            changed = True
    return changed


def _normalise_within(record: JsonObject, name: str) -> None:
    raw = record.get(name)
    if raw is None or raw[:1] != b"{":
        return
    course = parse_object(raw)
    if _normalise(course, _COURSE_TIMES):
        record.set(name, course.to_bytes())
