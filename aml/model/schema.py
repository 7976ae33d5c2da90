"""Schema versions: which ones this AML knows, and what a record claims to be."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: The newest version of the records' schema that this AML reads.
NEWEST = (2, 0, 0)

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def is_too_new(version: object) -> bool:
    """True where a record's own ``version`` field names a schema after the newest one that is known.

    Anything but three numbers with dots is somebody's own field, since schema 1.x has none of that name.
    """
    if not isinstance(version, str):
        return False
    match = _VERSION.fullmatch(version)
    return match is not None and tuple(int(part) for part in match.groups()) > NEWEST


def states_version(value: object) -> bool:
    """Whether the value of a field ``version`` names a version of the schema, and is not somebody's own."""
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def version_of(record: Mapping[str, object]) -> str:
    """The schema version of a record, told by its own ``version`` from 2.0.0 on, and before that by its fields.

    A field that is null counts as one that is not there.
    """
    has_both = record.get("tags") is not None and record.get("active") is not None
    return version_by_marks(record.get("version"), isinstance(record.get("metadata"), Mapping), has_both)


def version_by_marks(version: object, has_metadata: bool, has_tags_and_active: bool) -> str:
    """The same by what marks a version: the field of that name, ``metadata``, ``tags`` with ``active``."""
    if isinstance(version, str) and states_version(version):
        return version
    if has_metadata:
        return "1.2.0"
    return "1.1.0" if has_tags_and_active else "1.0.0"
