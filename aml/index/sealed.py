"""Files of AML's own that tell by themselves whether they are whole: a seal over all of their bytes.

What is sealed here is derived and can be made again, so a broken seal is no error: the file counts as not there.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.durable import write_replaceable
from aml.fs.files import read_regular, stat_if_there

_MAGIC = b"AMLsealed"
#: Magic bytes, name of what is inside, version of its format, a figure of its own, SHA-256 of all the rest.
_HEADER = struct.Struct("<9s7sHQ32s")

#: The two fields of a SQLite file's header that belong to the application: user_version and application_id. They hold
#: the seal of a database, as nothing can follow its last page.
_SEAL_AT = (60, 68)
_SQLITE_HEADER = 100
_BLOCK = 1 << 20

#: No file that is sealed here is larger; one that claims to be must not take all memory.
_LARGEST_BYTES = 1 << 28


def write_sealed(path: Path, name: bytes, version: int, figure: int, payload: bytes) -> None:
    """Write ``payload`` under a seal; ``figure`` is a number of the content's own, such as a capacity.

    Raises FileAccessError.
    """
    digest = _digest(name, version, figure, payload)
    write_replaceable(path, _HEADER.pack(_MAGIC, name, version, figure, digest) + payload)


def read_sealed(path: Path, name: bytes, version: int) -> tuple[int, bytes] | None:
    """The figure and the payload; None where there is no such file, or another version, or one that is damaged."""
    try:
        found = stat_if_there(path)
        if found is None or found.st_size > _LARGEST_BYTES:
            return None
        data = read_regular(path)
        magic, found_name, found_version, figure, digest = _HEADER.unpack_from(data)
    except (FileAccessError, struct.error):
        return None
    payload = data[_HEADER.size :]
    if (magic, found_name.rstrip(b"\0"), found_version) != (_MAGIC, name, version):
        return None
    return (figure, payload) if digest == _digest(name, version, figure, payload) else None


def _digest(name: bytes, version: int, figure: int, payload: bytes) -> bytes:
    digest = hashlib.sha256(_HEADER.pack(_MAGIC, name, version, figure, b""))
    digest.update(payload)
    return digest.digest()


def seal_database(path: Path) -> None:
    """Write the seal of a closed SQLite file into its header. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        seal = _checksum(descriptor)
        for place, part in zip(_SEAL_AT, (seal[:4], seal[4:]), strict=True):
            os.pwrite(descriptor, part, place)
    finally:
        os.close(descriptor)


def database_seal(path: Path) -> bytes | None:
    """The seal of a SQLite file, which tells one state of it from all others; None where it is broken or not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        seal = b"".join(os.pread(descriptor, 4, place) for place in _SEAL_AT)
        return seal if seal == _checksum(descriptor) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _checksum(descriptor: int) -> bytes:
    """XXH3 of a file's bytes as they are without its seal: against damage, not against malice, at memory's speed."""
    from xxhash import xxh3_64

    head = bytearray(os.pread(descriptor, _SQLITE_HEADER, 0))
    for place in _SEAL_AT:
        head[place : place + 4] = bytes(4)
    checksum = xxh3_64(bytes(head))
    place = _SQLITE_HEADER
    while block := os.pread(descriptor, _BLOCK, place):
        checksum.update(block)
        place += len(block)
    return checksum.digest()
