"""A repository opened: for reading under a shared lock, for writing under the exclusive one."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO

import msgspec
from msgspec import Struct

from aml.errors import AmlError, DamagedError, NotFoundError, SchemaError, UsageError
from aml.repository.chunking import MAX_CHUNK_BYTES, WHOLE_BYTES, cut
from aml.repository.destination import Destination
from aml.repository.index import Index, LoadedIndex, load_index, write_index
from aml.repository.manifest import (
    FORMAT,
    FileEntry,
    Listing,
    ListingRef,
    Manifest,
    decode_listing,
    encode_listing,
)
from aml.repository.packs import PACK_BYTES, Compression, PackReader, PackWriter
from aml.repository.snapshots import Snapshot, Snapshots, list_snapshots, write_snapshot
from aml.repository.tables import pack_key

DESCRIPTION_KEY = "repository.json"
DEFAULT_TIMEOUT = 120.0
"""Seconds to wait for the lock."""

#: A listing of 20,000 files takes some 8 MB.
MAX_LISTING_BYTES = 1 << 28
_MAX_DESCRIPTION_BYTES = 1 << 16
#: With more index files than this, a writer puts one in their place.
_INDEX_FILES = 16


class Description(Struct, frozen=True):
    """``repository.json``: written once, when the repository is made."""

    format: int
    id: str
    created: datetime


class StoredDocument(Struct, frozen=True):
    """A document that was stored: its SHA-256 (hex), size (bytes), and the names of its chunks (hex)."""

    sha256: str
    size: int
    chunks: list[str]


class Reader:
    """What a repository holds. For one thread; others take their own.

    ``described`` is None only for a check of a repository whose description is damaged.
    """

    def __init__(self, destination: Destination, described: Description | None, loaded: LoadedIndex) -> None:
        self.destination = destination
        self.described = described
        self.loaded = loaded
        self._packs = PackReader(destination)

    @property
    def index(self) -> Index:
        return self.loaded.index

    def snapshots(self) -> Snapshots:
        """All backups. Raises FileAccessError."""
        return list_snapshots(self.destination)

    def has(self, digest: bytes) -> bool:
        """Whether the chunk of that SHA-256 is there."""
        return digest in self.loaded.index

    def read_chunk(self, digest: bytes) -> bytes:
        """A chunk, checked against its SHA-256; from another pack where the first that holds it is damaged.

        Raises NotFoundError where no pack has it, DamagedError where none has it whole.
        """
        failure: AmlError | None = None
        for place in self.loaded.index.places(digest):
            try:
                return self._packs.read(digest, place)
            except (DamagedError, NotFoundError) as error:
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
        self.check_size(chunks, size)
        for read in (self._read_unchecked, self.read_chunk):
            # unlike a join, this never holds the document twice
            buffer = BytesIO()
            try:
                for name in chunks:
                    buffer.write(read(bytes.fromhex(name)))
            except (DamagedError, NotFoundError):
                if read == self.read_chunk:
                    raise
                continue
            data = buffer.getvalue()
            if len(data) == size and hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise DamagedError(f"the chunks of document {sha256} make another one")

    def _read_unchecked(self, digest: bytes) -> bytes:
        return self._packs.read_unchecked(self.loaded.index.places(digest)[0])

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


class Writer(Reader):
    """A reader that also adds chunks and backups. Nothing counts before ``commit``."""

    def __init__(
        self,
        destination: Destination,
        description: Description,
        loaded: LoadedIndex,
        compression: Compression = "default",
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        super().__init__(destination, description, loaded)
        self.description = description
        self._writer = PackWriter(destination, compression, pack_bytes=pack_bytes)
        self._new: set[bytes] = set()
        self.added_chunks = 0
        self.added_bytes = 0
        self._distrust_cut_packs()

    def has(self, digest: bytes) -> bool:
        return digest in self._new or digest in self.loaded.index

    def store_chunk(self, chunk: bytes) -> bytes:
        """Add a chunk (1 byte to MAX_CHUNK_BYTES) unless it is there; returns its SHA-256. Raises FileAccessError."""
        if not 0 < len(chunk) <= MAX_CHUNK_BYTES:
            raise UsageError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {len(chunk)}")
        digest = hashlib.sha256(chunk).digest()
        if not self.has(digest):
            self._new.add(digest)
            self._writer.add(digest, chunk)
            self.added_chunks += 1
            self.added_bytes += len(chunk)
        return digest

    def rewrite_chunk(self, digest: bytes, chunk: bytes) -> None:
        """Add a chunk that is there already once more, so that the pack it is in can go. Raises FileAccessError."""
        if digest not in self._new:
            self._new.add(digest)
            self._writer.add(digest, chunk)

    def store_document(self, data: bytes) -> StoredDocument:
        """Add a document. Raises FileAccessError."""
        # a thread hashes the whole while this one cuts it and hashes the pieces
        whole = self._writer.in_thread(lambda: hashlib.sha256(data).hexdigest()) if len(data) > WHOLE_BYTES else None
        chunks = [self.store_chunk(chunk).hex() for chunk in cut(data)]
        if whole is not None:
            sha256 = whole.result()
        else:
            sha256 = chunks[0] if chunks else hashlib.sha256().hexdigest()
        return StoredDocument(sha256, len(data), chunks)

    def store_listing(self, agent: str | None, listing: Listing) -> ListingRef:
        """Add the list of an agent's folders and files. Raises FileAccessError."""
        stored = self.store_document(encode_listing(listing))
        size = sum(entry.size for entry in listing.files)
        return ListingRef(agent, stored.sha256, stored.size, stored.chunks, len(listing.files), size)

    def flush(self) -> list[str]:
        """Have all that was stored on disk: packs, then their index. Returns the names of the new packs."""
        tables = self._writer.finish()
        if tables or self.loaded.unlisted:
            key = write_index(self.destination, [*self.loaded.unlisted, *tables])
            self.loaded.keys.append(key)
            self.loaded.unlisted.clear()
        for table in tables:
            self.loaded.index.add(table)
            self.loaded.packs[table.pack] = self.destination.entries(f"packs/{table.pack[:2]}/{table.pack}")[0]
        self._new.clear()
        if len(self.loaded.keys) > _INDEX_FILES:
            self.merge_indexes()
        return [table.pack for table in tables]

    def commit(self, manifest: Manifest) -> Snapshot:
        """Flush, then put the manifest: from here on the backup counts. Raises FileAccessError."""
        if manifest.format != FORMAT or manifest.repository != self.description.id:
            raise UsageError("the manifest is not one of this repository")
        self.flush()
        return write_snapshot(self.destination, manifest)

    def merge_indexes(self) -> None:
        """Put one index file in the place of all, damaged ones included."""
        tables = list(self.loaded.index.tables.values())
        kept = write_index(self.destination, tables) if tables else None
        for key in self.loaded.keys:
            if key != kept:
                self.destination.delete(key)
        self.loaded.keys[:] = [kept] if kept else []
        self.loaded.unlisted.clear()
        self.loaded.missing.clear()

    def drop_packs(self, names: Collection[str]) -> None:
        """Delete packs, and first the index of them; what of them is needed must have been rewritten.

        Raises FileAccessError; wherever that or a crash ends it, no needed chunk is gone.
        """
        self.flush()
        tables = self.loaded.index.tables.values()
        self.loaded.index = Index(table for table in tables if table.pack not in names)
        self.merge_indexes()
        for name in names:
            self.destination.delete(pack_key(name))
            self.loaded.packs.pop(name, None)

    def distrust(self, digests: Iterable[bytes]) -> None:
        """Take chunks for missing, since a check found them damaged: the next backup writes them again."""
        for digest in digests:
            self.loaded.index.forget(digest)

    def close(self) -> None:
        self._writer.close()

    def _distrust_cut_packs(self) -> None:
        for name, entry in self.loaded.packs.items():
            table = self.loaded.index.tables.get(name)
            if table is not None and table.size != entry.size:
                self.distrust(table.digests())


def create(destination: Destination, now: datetime) -> Description:
    """Make a repository where there is none yet; returns its description, or that of the one there.

    ``now`` has a zone. Raises DamagedError, SchemaError, FileAccessError.
    """
    destination.prepare()
    try:
        return describe(destination)
    except NotFoundError:
        pass
    with destination.hold(exclusive=True, purpose="backup", timeout=DEFAULT_TIMEOUT):
        try:
            return describe(destination)
        except NotFoundError:
            description = Description(FORMAT, str(uuid.uuid4()), now)
            destination.put(DESCRIPTION_KEY, msgspec.json.encode(description) + b"\n")
            return description


def describe(destination: Destination) -> Description:
    """What ``repository.json`` says. Raises NotFoundError, DamagedError, and SchemaError for a newer format."""
    data = destination.get(DESCRIPTION_KEY, limit=_MAX_DESCRIPTION_BYTES)
    try:
        description = msgspec.json.decode(data, type=Description)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"{DESCRIPTION_KEY} is damaged: {error}", advice="see docs/repository-format.md") from error
    if description.format != FORMAT:
        raise SchemaError(
            f"the repository has format {description.format}; this AML knows format {FORMAT}",
            advice="use a newer AML",
        )
    return description


@contextmanager
def reading(destination: Destination, *, purpose: str = "backup", timeout: float = DEFAULT_TIMEOUT) -> Iterator[Reader]:
    """Open a repository for reading. Raises NotFoundError without one, LockedError, DamagedError, SchemaError."""
    description = describe(destination)
    with destination.hold(exclusive=False, purpose=purpose, timeout=timeout):
        yield Reader(destination, description, load_index(destination))


@contextmanager
def writing(
    destination: Destination,
    *,
    purpose: str = "backup",
    timeout: float = DEFAULT_TIMEOUT,
    compression: Compression = "default",
    pack_bytes: int = PACK_BYTES,
) -> Iterator[Writer]:
    """Open a repository for writing. Raises as ``reading`` does."""
    description = describe(destination)
    with destination.hold(exclusive=True, purpose=purpose, timeout=timeout):
        destination.remove_strays()
        writer = Writer(destination, description, load_index(destination), compression, pack_bytes)
        try:
            yield writer
        finally:
            writer.close()
