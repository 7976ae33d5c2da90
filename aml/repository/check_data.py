"""Reading back what a repository holds, by threads: packs by their SHA-256, chunks, whole documents."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby

import msgspec
from msgspec import Struct

from aml.codec.json_array import split
from aml.errors import DamagedError, FileAccessError, NotFoundError
from aml.repository.packs import unpack_member
from aml.repository.repository import Reader
from aml.repository.tables import PackTable, Place, decode_table, pack_key, places
from aml.repository.workers import WORKERS, Workers

#: How much one thread takes at a time (bytes, unpacked): neighbours share members.
_SHARE_BYTES = 4 << 20

_JSON = msgspec.json.Decoder(msgspec.Raw)

Located = tuple[bytes, Place]


class Document(Struct, frozen=True):
    """What is stored of a file: the names of its chunks (hex), SHA-256 and size (bytes); parsed where it is JSON."""

    path: str
    chunks: list[str]
    sha256: str
    size: int
    parse: bool


class DocumentResults(Struct):
    """Chunks that are right, documents that could not be put together, paths of those that are no whole JSON."""

    verified: set[bytes]
    wrong: list[Document]
    unparsed: list[str]


def check_documents(reader: Reader, documents: Sequence[Document]) -> DocumentResults:
    """Put each document together and compare it with its SHA-256. Damage does not raise."""
    results = DocumentResults(set(), [], [])
    workers = Workers()
    try:
        jobs = [workers.submit(partial(_check_share, reader, share)) for share in _shares(documents)]
        for job in jobs:
            found = job.result()
            results.verified |= found.verified
            results.wrong += found.wrong
            results.unparsed += found.unparsed
    finally:
        workers.close()
    return results


def _shares(documents: Sequence[Document]) -> Iterator[list[Document]]:
    share: list[Document] = []
    size = 0
    for document in documents:
        share.append(document)
        size += document.size
        if size >= _SHARE_BYTES:
            yield share
            share, size = [], 0
    if share:
        yield share


def _check_share(reader: Reader, documents: Iterable[Document]) -> DocumentResults:
    # a reader caches, so each thread has its own
    own = Reader(reader.destination, reader.described, reader.loaded)
    results = DocumentResults(set(), [], [])
    for document in documents:
        try:
            data = own.read_document(document.chunks, document.sha256, document.size)
        except (DamagedError, NotFoundError, FileAccessError):
            results.wrong.append(document)
            results.verified.update(_whole_chunks(own, document))
            continue
        results.verified.update(map(bytes.fromhex, document.chunks))
        if document.parse and not _is_json(data):
            results.unparsed.append(document.path)
    return results


def _whole_chunks(reader: Reader, document: Document) -> Iterator[bytes]:
    for name in document.chunks:
        digest = bytes.fromhex(name)
        try:
            reader.read_chunk(digest)
        except (DamagedError, NotFoundError, FileAccessError):
            continue
        yield digest


def _is_json(data: bytes) -> bool:
    try:
        _JSON.decode(data)
    except msgspec.MsgspecError:
        pass
    else:
        return True
    try:
        # the tolerant scan takes what agents write and JSON does not allow, such as NaN
        split(data)
    except DamagedError:
        return False
    return True


def check_pack(reader: Reader, name: str, verified: Collection[bytes], *, unpacked: bool) -> tuple[str, list[bytes]]:
    """What is wrong with a pack ("" if nothing) and which of its chunks are damaged. Damage does not raise.

    With ``unpacked``, chunks that are not in ``verified`` are unpacked and hashed; without, only where the SHA-256 of
    the pack is wrong, to tell which ones it touches.
    """
    try:
        data = reader.destination.get(pack_key(name))
    except (DamagedError, NotFoundError, FileAccessError) as error:
        table = reader.index.tables.get(name)
        return error.message, table.digests() if table is not None else []
    workers = Workers()
    try:
        digest = workers.submit(lambda: hashlib.sha256(data).hexdigest())
        table = reader.index.tables.get(name)
        chunks = _bad_chunks(workers, table, data, verified) if table is not None and unpacked else []
        if digest.result() != name:
            chunks = _bad_chunks(workers, table, data, ()) if table is not None else []
            what = f"{len(chunks)} of its chunks are damaged" if chunks else "all of its chunks are whole"
            return f"it does not have the SHA-256 in its name; {what}", chunks
        if chunks:
            return f"{len(chunks)} of its chunks are damaged", chunks
        return _compare_table(table, data, name) if unpacked else "", []
    finally:
        workers.close()


def _compare_table(table: PackTable | None, data: bytes, name: str) -> str:
    """What is wrong with the table at the end of a pack, seen from the one in the index."""
    if table is None or not table.members:
        return "its table of contents cannot be read"
    try:
        own = decode_table(data[sum(table.members[-1][:2]) :], name, len(data))
    except DamagedError as error:
        return error.message
    return "" if own == table else "its own table differs from the one in the index"


def _bad_chunks(workers: Workers, table: PackTable, data: bytes, verified: Collection[bytes]) -> list[bytes]:
    try:
        located = list(zip(table.digests(), places(table), strict=True))
    except DamagedError:
        return table.digests()
    members = [list(group) for _, group in groupby(located, key=lambda one: one[1].member_offset)]
    wanted = [member for member in members if any(digest not in verified for digest, _ in member)]
    view = memoryview(data)
    shares = [wanted[start::WORKERS] for start in range(WORKERS)]
    jobs = [workers.submit(partial(_bad_in_members, share, view)) for share in shares]
    return [digest for job in jobs for digest in job.result()]


def _bad_in_members(members: Sequence[Sequence[Located]], data: memoryview) -> list[bytes]:
    bad = []
    for member in members:
        place = member[0][1]
        try:
            plain = unpack_member(place, bytes(data[place.member_offset : place.member_offset + place.member_packed]))
        except DamagedError:
            bad += [digest for digest, _ in member]
            continue
        view = memoryview(plain)
        for digest, one in member:
            if hashlib.sha256(view[one.offset : one.offset + one.length]).digest() != digest:
                bad.append(digest)
    return bad
