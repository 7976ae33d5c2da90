"""Reading what a repository holds: backups, listings, documents whole or in pieces, single chunks."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO

from msgspec import Struct

from aml.errors import AmlError, DamagedError, NotFoundError
from aml.repository.description import Description
from aml.repository.destination import UNREADABLE, Destination
from aml.repository.index import Index, LoadedIndex
from aml.repository.manifest import FileEntry, Listing, ListingRef, decode_listing
from aml.repository.members import unpack_member
from aml.repository.packs import PackReader
from aml.repository.snapshots import Snapshots, list_snapshots
from aml.repository.tables import pack_key
from aml.repository.workers import Job, Workers

#: A longer listing (bytes) is neither written nor read. One of 20,000 files takes some 8 MB.
MAX_LISTING_BYTES = 1 << 30

#: Documents up to this size (bytes) are read by the calling thread: their neighbours share members with them.
_SMALL_BYTES = 1 << 20
#: How much of a larger one a thread reads and unpacks at a time (bytes, unpacked), and how many times that in advance.
_STRETCH_BYTES = 1 << 20
_STRETCHES_AHEAD = 6


class _Piece(Struct):
    """Part of a document that lies in one member: the member's place, and where the part begins and ends in it."""

    pack: str
    offset: int
    packed: int
    unpacked: int
    start: int
    end: int
    digests: list[bytes]


class Reader:
    """What a repository holds. For one thread; others take their own. ``close`` ends the threads that help it.

    ``described`` is None only for a check of a repository whose description is damaged.
    """

    def __init__(self, destination: Destination, described: Description | None, loaded: LoadedIndex) -> None:
        self.destination = destination
        self.described = described
        self.loaded = loaded
        self._packs = PackReader(destination)
        self._helpers = Workers()

    @property
    def index(self) -> Index:
        return self.loaded.index

    def close(self) -> None:
        self._helpers.close()

    def snapshots(self) -> Snapshots:
        """All backups. Raises FileAccessError."""
        return list_snapshots(self.destination)

    def has(self, digest: bytes) -> bool:
        """Whether the chunk of that SHA-256 is there."""
        return digest in self.loaded.index

    def read_chunk(self, digest: bytes) -> bytes:
        """A chunk, checked against its SHA-256; from another pack where the first that holds it cannot be read.

        Raises NotFoundError where no pack has it, DamagedError where none has it whole, FileAccessError.
        """
        failure: AmlError | None = None
        for place in self.loaded.index.places(digest):
            try:
                return self._packs.read(digest, place)
            except UNREADABLE as error:
                failure = failure or error
        if failure is not None:
            raise failure
        raise NotFoundError(f"chunk {digest.hex()} is missing from the repository", advice="aml backup verify")

    def read_chunks(self, digests: Iterable[str]) -> Iterator[bytes]:
        """Chunks in order, by their names in hex. Raises as ``read_chunk`` does."""
        return (self.read_chunk(bytes.fromhex(digest)) for digest in digests)

    def read_document(self, chunks: Sequence[str], sha256: str, size: int) -> bytes:
        """A document whole. Raises DamagedError where it does not have that SHA-256 and size (bytes).

        One hash over the document proves every byte of it; its chunks are hashed only if that fails, to say which one
        is damaged, or to take it from another pack.
        """
        parts = self.stream_document(chunks, sha256, size)
        try:
            return _joined(parts)
        except DamagedError:
            data = _joined(self.read_chunks(chunks))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError(f"the chunks of document {sha256} make another one")
        return data

    def stream_document(self, chunks: Sequence[str], sha256: str, size: int) -> Iterator[bytes]:
        """A document in pieces, which are not to be trusted before the last one came.

        Raises NotFoundError and DamagedError as ``check_size`` does at once; at the end, DamagedError where the
        pieces do not have that SHA-256 together: ``read_chunks`` then tells which one is wrong.
        """
        self.check_size(chunks, size)
        return self._stream(chunks, sha256, size)

    def _stream(self, chunks: Sequence[str], sha256: str, size: int) -> Iterator[bytes]:
        digests = list(map(bytes.fromhex, chunks))
        hashed = hashlib.sha256()
        for part in self._near(digests) if size <= _SMALL_BYTES else self._ahead(digests):
            hashed.update(part)
            yield part
        if hashed.hexdigest() != sha256:
            raise DamagedError(f"the chunks of document {sha256} make another one")

    def _near(self, digests: Sequence[bytes]) -> Iterator[bytes]:
        """Chunks from the members last read; one that cannot be read there, from another pack."""
        for digest in digests:
            try:
                yield self._packs.read_unchecked(self.loaded.index.places(digest)[0])
            except UNREADABLE:
                yield self.read_chunk(digest)

    def _ahead(self, digests: Sequence[bytes]) -> Iterator[bytes]:
        """As ``_near``, while threads read and unpack what comes next."""
        jobs: deque[tuple[list[_Piece], Job[list[bytes]]]] = deque()
        stretches = _stretches(self._pieces(digests))
        while True:
            while len(jobs) < _STRETCHES_AHEAD and (stretch := next(stretches, None)):
                jobs.append((stretch, self._helpers.submit(partial(_unpack_stretch, self.destination, stretch))))
            if not jobs:
                return
            pieces, job = jobs.popleft()
            try:
                yield from job.result()
            except UNREADABLE:
                yield from map(self.read_chunk, (digest for piece in pieces for digest in piece.digests))

    def _pieces(self, digests: Iterable[bytes]) -> Iterator[_Piece]:
        piece: _Piece | None = None
        for digest in digests:
            place = self.loaded.index.places(digest)[0]
            end = place.offset + place.length
            if piece and (piece.end, piece.offset, piece.pack) == (place.offset, place.member_offset, place.pack):
                piece.end = end
                piece.digests.append(digest)
                continue
            if piece:
                yield piece
            offset, packed, unpacked = place.member_offset, place.member_packed, place.member_unpacked
            piece = _Piece(place.pack, offset, packed, unpacked, place.offset, end, [digest])
        if piece:
            yield piece

    def read_stored(self, entry: FileEntry) -> bytes:
        """What is stored of a file: its bytes, or its content where the form is gzip. Raises as ``read_document``."""
        return self.read_document(entry.chunks, entry.stored_sha256, entry.stored_size)

    def read_listing(self, reference: ListingRef) -> Listing:
        """The folders and files of one agent. Raises DamagedError, also for paths that are refused."""
        if reference.size > MAX_LISTING_BYTES:
            raise DamagedError(f"the listing {reference.sha256} claims to have {reference.size} bytes")
        return decode_listing(self.read_document(reference.chunks, reference.sha256, reference.size))

    def check_size(self, chunks: Sequence[str], size: int) -> None:
        """Raise NotFoundError for a missing chunk, DamagedError where the chunks do not add up to ``size`` bytes.

        To be called before memory or room is taken for a document.
        """
        total = 0
        for name in chunks:
            length = self.loaded.index.length(bytes.fromhex(name))
            if length is None:
                raise NotFoundError(f"chunk {name} is missing from the repository", advice="aml backup verify")
            total += length
        if total != size:
            raise DamagedError(f"the chunks of a document have {total} bytes instead of {size}")


def refuse_long_listing(size: int, agent: str | None) -> None:
    """Raise AmlError for a listing of more bytes than ``read_listing`` takes."""
    if size > MAX_LISTING_BYTES:
        subject = "outside the agents' folders" if agent is None else f"of agent {agent}"
        raise AmlError(
            f"the list of the files {subject} has {size:,} bytes, and a backup takes {MAX_LISTING_BYTES:,} at most",
            advice="move files that are no memory out of the store",
        )


def _joined(parts: Iterable[bytes]) -> bytes:
    # unlike a join, this never holds the document twice
    buffer = BytesIO()
    for part in parts:
        buffer.write(part)
    return buffer.getvalue()


def _stretches(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces in groups that one read of a pack fetches: their members follow each other."""
    group: list[_Piece] = []
    size = 0
    for piece in pieces:
        follows = group and (group[-1].pack, group[-1].offset + group[-1].packed) == (piece.pack, piece.offset)
        if group and (not follows or size >= _STRETCH_BYTES):
            yield group
            group, size = [], 0
        group.append(piece)
        size += piece.unpacked
    if group:
        yield group


def _unpack_stretch(destination: Destination, pieces: Sequence[_Piece]) -> list[bytes]:
    first, last = pieces[0], pieces[-1]
    packed = destination.get_range(pack_key(first.pack), first.offset, last.offset + last.packed - first.offset)
    parts = []
    for piece in pieces:
        start = piece.offset - first.offset
        plain = unpack_member(piece.pack, piece.offset, piece.unpacked, packed[start : start + piece.packed])
        parts.append(plain[piece.start : piece.end])
    return parts
