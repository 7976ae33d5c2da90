"""Reading back what a repository holds, by threads: packs by their SHA-256, every chunk, and what chunks make."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from aml.repository.destination import UNREADABLE
from aml.repository.json_pieces import Piece, is_json, make_json, piece_of
from aml.repository.members import MemberRun, bad_chunks, is_named_by, runs, table_problem
from aml.repository.reader import Reader
from aml.repository.tables import PackTable, pack_key
from aml.repository.workers import Job, Workers

#: How many bytes of packs are read before the first of them must be done.
_BYTES_AHEAD = 16 << 20
#: How much one thread puts together at a time (bytes): neighbours share members.
_SHARE_BYTES = 4 << 20

_EMPTY_SHA256 = hashlib.sha256().hexdigest()


class Document(Struct, frozen=True):
    """What is stored of a file: the names of its chunks (hex), SHA-256 and size (bytes); parsed where it is JSON."""

    path: str
    chunks: list[str]
    sha256: str
    size: int
    parse: bool


class PackResult(Struct):
    """A pack that was read: what is wrong ("" if nothing), its damaged chunks, and what the whole ones are."""

    name: str
    problem: str
    bad: list[bytes]
    pieces: dict[bytes, Piece]


class DocumentResults(Struct):
    """Documents whose chunks make another one, and those that are no whole JSON."""

    wrong: list[Document]
    unparsed: list[Document]


class _PackJobs(Struct):
    name: str
    size: int
    named: Job[bool]
    table: PackTable | None
    pack: bytes
    chunks: list[Job[tuple[list[bytes], dict[bytes, Piece]]]]


def check_packs(reader: Reader, names: Sequence[str], *, unpacked: bool, parse: bool) -> Iterator[PackResult]:
    """Read packs, in order. Damage does not raise.

    With ``unpacked``, each chunk is hashed; without, only where the SHA-256 of its pack is wrong, to tell which ones
    that touches. With ``parse`` too, the pieces of JSON among them are told.
    """
    workers = Workers()
    running: deque[_PackJobs] = deque()
    try:
        for name in names:
            begun = _begin(reader, name, workers, unpacked=unpacked, parse=parse)
            if isinstance(begun, PackResult):
                yield begun
                continue
            running.append(begun)
            while sum(one.size for one in running) > _BYTES_AHEAD:
                yield _result(running.popleft(), unpacked=unpacked)
        while running:
            yield _result(running.popleft(), unpacked=unpacked)
    finally:
        workers.close()


def _begin(reader: Reader, name: str, workers: Workers, *, unpacked: bool, parse: bool) -> _PackJobs | PackResult:
    table = reader.index.tables.get(name)
    try:
        pack = reader.destination.get(pack_key(name))
    except UNREADABLE as error:
        return PackResult(name, error.message, table.digests() if table is not None else [], {})
    named = workers.submit(partial(is_named_by, pack, name))
    shares = runs(table) if table is not None and unpacked else ()
    chunks = [workers.submit(partial(_check_run, run, pack, parse=parse)) for run in shares]
    return _PackJobs(name, len(pack), named, table, pack, chunks)


def _check_run(run: MemberRun, pack: bytes, *, parse: bool) -> tuple[list[bytes], dict[bytes, Piece]]:
    pieces: dict[bytes, Piece] = {}

    def visit(digest: bytes, chunk: memoryview) -> None:
        pieces[digest] = piece_of(chunk)

    return bad_chunks(run, _extent(run, pack), visit if parse else None), pieces


def _extent(run: MemberRun, pack: bytes) -> memoryview:
    start, length = run.extent
    return memoryview(pack)[start : start + length]


def _result(jobs: _PackJobs, *, unpacked: bool) -> PackResult:
    result = PackResult(jobs.name, "", [], {})
    for job in jobs.chunks:
        bad, pieces = job.result()
        result.bad += bad
        result.pieces |= pieces
    table = jobs.table
    if not jobs.named.result():
        if table is not None and not unpacked:
            result.bad = [digest for run in runs(table) for digest in bad_chunks(run, _extent(run, jobs.pack))]
        what = f"{len(result.bad)} of its chunks are damaged" if result.bad else "all of its chunks are whole"
        result.problem = f"it does not have the SHA-256 in its name; {what}"
    elif result.bad:
        result.problem = f"{len(result.bad)} of its chunks are damaged"
    elif unpacked and (table is None or not table.members):
        result.problem = "its table of contents cannot be read"
    elif unpacked and table is not None:
        result.problem = table_problem(table, jobs.pack[sum(table.members[-1][:2]) :])
    return result


def check_documents(reader: Reader, documents: Sequence[Document], pieces: Mapping[bytes, Piece]) -> DocumentResults:
    """Whether whole chunks (the keys of ``pieces``) make the documents they should, and those are JSON.

    A document with a chunk that is not whole is passed over. A listing that tells a wrong SHA-256 for whole chunks is
    only found where that costs nothing: for a document of one chunk, and for one that has to be put together to be
    parsed. Listings are named by their own SHA-256 and hold what was hashed when it was stored; a restore hashes each
    document anyway. Hashing every version of every document here would take longer with each backup.
    """
    results = DocumentResults([], [])
    together: list[Document] = []
    for document in documents:
        found = [pieces.get(bytes.fromhex(name)) for name in document.chunks]
        known = [piece for piece in found if piece is not None]
        if len(known) < len(found):
            continue
        if len(found) < 2 and document.sha256 != (document.chunks[0] if found else _EMPTY_SHA256):
            results.wrong.append(document)
        elif document.parse and not make_json(known):
            together.append(document)
    _put_together(reader, together, results)
    return results


def _put_together(reader: Reader, documents: Sequence[Document], results: DocumentResults) -> None:
    workers = Workers()
    try:
        work: list[Callable[[], DocumentResults]] = [partial(_check_share, reader, one) for one in _shares(documents)]
        for job in [workers.submit(share) for share in work]:
            found = job.result()
            results.wrong += found.wrong
            results.unparsed += found.unparsed
    finally:
        workers.close()


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


def _check_share(reader: Reader, documents: Sequence[Document]) -> DocumentResults:
    # a reader caches, so each thread has its own
    own = Reader(reader.destination, reader.described, reader.loaded)
    results = DocumentResults([], [])
    try:
        for document in documents:
            try:
                data = own.read_document(document.chunks, document.sha256, document.size)
            except UNREADABLE:
                results.wrong.append(document)
                continue
            if not is_json(data):
                results.unparsed.append(document)
    finally:
        own.close()
    return results
