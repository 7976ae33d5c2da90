"""Schema versions: which ones this AML knows, and what a record claims to be."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: All versions of the records' schema that this AML knows, oldest first.
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")

#: The newest version whose records of every kind the agents' runtime reads.
READABLE = "1.2.0"

#: Versions that stand side by side in ordinary stores, since agents may leave out what sets them apart.
ORDINARY_MIX = frozenset({"1.0.0", "1.1.0"})

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def number_of(version: str) -> tuple[int, ...]:
    """A version, three numbers with dots, by which two can be compared."""
    return tuple(int(part) for part in version.split("."))


_NEWEST = number_of(VERSIONS[-1])

#: Versions of which the agents' runtime cannot read patterns.
UNREADABLE = frozenset(one for one in VERSIONS if number_of(one) > number_of(READABLE))


def is_too_new(version: object) -> bool:
    """True where a record's own ``version`` field names a schema after the newest one that is known.

    Anything but three numbers with dots is somebody's own field, since schema 1.x has none of that name.
    """
    if not isinstance(version, str):
        return False
    return _VERSION.fullmatch(version) is not None and number_of(version) > _NEWEST


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
