"""Schema versions: which ones this AML knows, and what a record claims to be."""

from __future__ import annotations

import re

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
