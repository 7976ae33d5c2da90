"""Whether a record file is still the one that was read: by what the system says of it, or where that cannot tell, by
its bytes."""

from __future__ import annotations

import hashlib
import os

from msgspec import Struct

from aml.errors import AmlError
from aml.fs.files import read_whole
from aml.model.kinds import KIND_BY_PLURAL, KINDS, Kind
from aml.store.layout import record_file
from aml.store.open import Store
from aml.store.read import Fingerprint, fingerprint, read_content

#: A file that changed less than this before it was read may change again without its times showing it (nanoseconds).
_SETTLING_NS = 2_000_000_000

FileName = tuple[str, str]
"""Agent and kind of a record file."""

#: What stands for a file of which the system tells nothing: it is never taken for unchanged.
UNKNOWN: Fingerprint = (0, 0, 0, 0, 0)


class Known(Struct, frozen=True):
    """A record file as it was read last: SHA-256 of its bytes on disk (empty where it could not be read).

    ``settled`` is whether its fingerprint alone can tell that it did not change since, ``problem`` why nothing of it
    can be read, if so.
    """

    number: int
    stamp: Fingerprint
    settled: bool
    sha256: bytes
    is_gzip: bool
    problem: str | None


def look(store: Store) -> dict[FileName, Fingerprint]:
    """The fingerprints of all record files that are there. Raises FileAccessError where the store cannot be listed."""
    found: dict[FileName, Fingerprint] = {}
    places = [(kind.plural, f"{os.sep}{kind.file_name}") for kind in KINDS]
    for agent in store.agents():
        folder = f"{store.root}{os.sep}{agent}"
        for kind, name in places:
            try:
                found[agent, kind] = fingerprint(os.stat(folder + name, follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                found[agent, kind] = UNKNOWN
    return found


def is_settled(stamp: Fingerprint, read_ns: int) -> bool:
    """Whether a file of that fingerprint, read at that time (ns since 1970), changed long enough before."""
    mtime_ns, ctime_ns = stamp[3:]
    # a time of modification in the future was set by hand, at the change time
    changed_ns = max(mtime_ns, ctime_ns) if mtime_ns <= read_ns else ctime_ns
    return stamp != UNKNOWN and changed_ns + _SETTLING_NS <= read_ns


def is_unchanged(store: Store, name: FileName, kind: Kind, known: Known) -> bool:
    """Whether a file whose fingerprint is the known one holds the known bytes: they are read and hashed again."""
    try:
        data, before, after = read_whole(f"{store.root}{os.sep}{name[0]}{os.sep}{kind.file_name}")
    except OSError:
        return False
    return fingerprint(before) == fingerprint(after) == known.stamp and hashlib.sha256(data).digest() == known.sha256


def still_unreadable(store: Store, name: FileName, known: Known) -> bool:
    """Whether a file that could not be read for a reason of the system's cannot be read for the same reason."""
    try:
        read_content(record_file(store.root, name[0], KIND_BY_PLURAL[name[1]]), store.max_unpacked_bytes)
    except AmlError as error:
        return error.message == known.problem
    return False
