"""One file of a store, as a backup keeps it: read whole in one open, and unpacked where the store packed it."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from aml.codec.compression import is_gzip, unpack, unpack_single
from aml.codec.json_array import RecordArray, split
from aml.codec.json_document import check_document
from aml.errors import ChangedError, DamagedError, FileAccessError
from aml.fs.access import explain
from aml.fs.files import read_whole
from aml.model.kinds import KIND_BY_FILE_NAME
from aml.model.schema import version_of
from aml.model.undecodable import UNDECODABLE
from aml.repository.manifest import FileEntry, path_fields
from aml.repository.repository import StoredDocument
from aml.store.layout import GLOBAL, agent_of
from aml.store.read import Fingerprint, fingerprint

#: How often a file is read again that somebody changes while it is read.
_ATTEMPTS = 5
#: A file read so soon (ns) after its last change may change again without a new time to tell by.
_UNSETTLED_NS = 2_000_000_000

_OBJECT = msgspec.json.Decoder(dict[str, object])

#: Stores a document, or only hashes it, and tells its chunks.
Keep = Callable[[bytes], StoredDocument]


class _Content(Struct, frozen=True):
    """What a file's bytes mean: ``unpacked`` where they are one gzip member, ``damaged`` where they mean nothing."""

    unpacked: bytes | None = None
    damaged: str | None = None
    records: int | None = None
    schema: str | None = None


def is_record_file(path: str) -> bool:
    """Whether a path inside the store is one of an agent's three files of records."""
    return path.rpartition("/")[2] in KIND_BY_FILE_NAME and path.count("/") == 1 and agent_of(path) is not None


def entry_of(path: str, read: Read, keep: Keep, max_unpacked_bytes: int) -> FileEntry:
    """The entry of a file inside the store that was read, whose content is given to ``keep``.

    Raises what ``keep`` raises: a file that means nothing is kept as it is, and flagged.
    """
    data, found = read.data, read.stat
    content = _interpret(path, data, max_unpacked_bytes)
    stored = keep(data if content.unpacked is None else content.unpacked)
    name, exact = path_fields(path)
    packed = content.unpacked is not None
    return FileEntry(
        path=name,
        size=len(data),
        mode=stat.S_IMODE(found.st_mode),
        mtime_ns=found.st_mtime_ns,
        sha256=hashlib.sha256(data).hexdigest() if packed else stored.sha256,
        chunks=stored.chunks,
        form="gzip" if packed else "plain",
        content_sha256=stored.sha256 if packed else None,
        content_size=stored.size if packed else None,
        damaged=content.damaged,
        path_hex=exact,
        stat=read.settled,
        records=content.records,
        schema=content.schema,
    )


class Read(Struct, frozen=True):
    """What a file held at one moment, and what it was then.

    ``settled`` tells later that it is still the same; None where it changed so lately that it might not tell.
    """

    data: bytes
    stat: os.stat_result
    settled: Fingerprint | None


def read_settled(path: Path | str) -> Read | None:
    """Read a file whole; None where it is gone.

    Raises FileAccessError, and ChangedError where it keeps changing while it is read.
    """
    for _ in range(_ATTEMPTS):
        began_ns = time.time_ns()
        try:
            data, before, after = read_whole(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explain(error, "read", Path(path)) from error
        except MemoryError as error:
            raise FileAccessError(f"cannot read {path}: it is larger than the memory") from error
        own = fingerprint(after)
        if fingerprint(before) == own and len(data) == after.st_size:
            settled = began_ns - max(after.st_mtime_ns, after.st_ctime_ns) >= _UNSETTLED_NS
            return Read(data, after, own if settled else None)
    raise ChangedError(f"{path} keeps changing while it is read", advice="back it up again when its writer is done")


def _interpret(path: str, data: bytes, max_unpacked_bytes: int) -> _Content:
    records = is_record_file(path)
    if not records and not _is_document(path):
        return _Content()
    try:
        unpacked = unpack_single(data, max_bytes=max_unpacked_bytes) if is_gzip(data) else None
        if unpacked is None and is_gzip(data):
            # several members: kept as they are, since packing them again would make one
            text = unpack(data, max_bytes=max_unpacked_bytes)
        else:
            text = data if unpacked is None else unpacked
        if not records:
            check_document(text)
            return _Content(unpacked)
        array = split(text)
    except DamagedError as error:
        return _Content(damaged=error.message)
    except MemoryError:
        return _Content(damaged="it cannot be looked into: that takes more memory than there is")
    return _Content(unpacked, records=len(array), schema=_schema(array))


def _is_document(path: str) -> bool:
    return path.startswith(f"{GLOBAL}/") and path.endswith(".json") and path.count("/") == 1


def _schema(array: RecordArray) -> str | None:
    for element in array.elements[:1]:
        try:
            return version_of(_OBJECT.decode(element))
        except UNDECODABLE:
            return None
    return None
