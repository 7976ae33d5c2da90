"""A repository opened: for reading under a shared lock, for writing under the exclusive one."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct

from aml.errors import DamagedError, NotFoundError, UsageError
from aml.repository.chunking import MAX_CHUNK_BYTES, WHOLE_BYTES, ends
from aml.repository.description import (
    DESCRIPTION_KEY,
    Description,
    describe,
    describe_or_recover,
    write_description,
)
from aml.repository.destination import UNREADABLE, Destination
from aml.repository.index import Index, LoadedIndex, load_index, write_index
from aml.repository.manifest import FORMAT, Listing, ListingRef, Manifest, encode_listing
from aml.repository.members import is_named_by
from aml.repository.packs import PACK_BYTES, Compression, PackWriter
from aml.repository.reader import Reader, refuse_long_listing
from aml.repository.snapshots import Snapshot, write_snapshot
from aml.repository.tables import pack_key

DEFAULT_TIMEOUT = 120.0
"""Seconds to wait for the lock."""

#: With more index files than this, a writer puts one in their place.
_INDEX_FILES = 16

__all__ = [
    "DEFAULT_TIMEOUT",
    "DESCRIPTION_KEY",
    "Description",
    "Reader",
    "StoredDocument",
    "Writer",
    "create",
    "describe",
    "reading",
    "writing",
]


class StoredDocument(Struct, frozen=True):
    """A document that was stored: its SHA-256 (hex), size (bytes), and the names of its chunks (hex)."""

    sha256: str
    size: int
    chunks: list[str]


class Writer(Reader):
    """A reader that also adds chunks and backups. Nothing counts before ``commit``."""

    def __init__(
        self,
        destination: Destination,
        description: Description,
        loaded: LoadedIndex,
        compression: Compression = "default",
        pack_bytes: int = PACK_BYTES,
        *,
        verify: bool = True,
    ) -> None:
        super().__init__(destination, description, loaded)
        self.description = description
        self._writer = PackWriter(destination, compression, pack_bytes=pack_bytes, verify=verify)
        self._new: set[bytes] = set()
        self.added_chunks = 0
        self.added_bytes = 0
        #: packs that nothing is to be written into an index of
        self._suspect: set[str] = set()
        #: chunks that are taken for missing when something is written, though they may still be read
        self._distrusted: set[bytes] = set()
        self._distrust_cut_packs()
        self._distrust_strangers()

    def has(self, digest: bytes) -> bool:
        return digest in self._new or (digest in self.loaded.index and digest not in self._distrusted)

    @property
    def added_packed_bytes(self) -> int:
        """Size of the packs that were put on disk since this was opened: what is not flushed does not count yet."""
        return self._writer.put_bytes

    def store_chunk(self, chunk: bytes | memoryview) -> bytes:
        """Add a chunk (1 byte to MAX_CHUNK_BYTES) unless it is there; returns its SHA-256. Raises FileAccessError."""
        if not 0 < len(chunk) <= MAX_CHUNK_BYTES:
            raise UsageError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {len(chunk)}")
        digest = hashlib.sha256(chunk).digest()
        if not self.has(digest):
            self._new.add(digest)
            self._distrusted.discard(digest)
            self._writer.add(digest, chunk)
            self.added_chunks += 1
            self.added_bytes += len(chunk)
        return digest

    def rewrite_chunk(self, digest: bytes, chunk: bytes) -> None:
        """Add a chunk that is there already once more, so that the pack it is in can go. Raises FileAccessError."""
        if digest not in self._new:
            self._new.add(digest)
            self._distrusted.discard(digest)
            self._writer.add(digest, chunk)

    def store_document(self, data: bytes) -> StoredDocument:
        """Add a document. Raises FileAccessError."""
        # a thread hashes the whole while this one cuts it and hashes the pieces
        whole = self._writer.in_thread(lambda: hashlib.sha256(data).hexdigest()) if len(data) > WHOLE_BYTES else None
        view, start, chunks = memoryview(data), 0, []
        for end in ends(data):
            chunks.append(self.store_chunk(view[start:end]).hex())
            start = end
        if whole is not None:
            sha256 = whole.result()
        else:
            sha256 = chunks[0] if chunks else hashlib.sha256().hexdigest()
        return StoredDocument(sha256, len(data), chunks)

    def store_listing(self, agent: str | None, listing: Listing) -> ListingRef:
        """Add the list of an agent's folders and files.

        Raises FileAccessError, and AmlError where it is too long to be read again.
        """
        data = encode_listing(listing)
        refuse_long_listing(len(data), agent)
        stored = self.store_document(data)
        size = sum(entry.size for entry in listing.files)
        return ListingRef(agent, stored.sha256, stored.size, stored.chunks, len(listing.files), size)

    def flush(self) -> list[str]:
        """Have all that was stored on disk: packs, then their index. Returns the names of the new packs.

        Raises DamagedError, and FileAccessError, where a new pack does not read back as it was written.
        """
        tables = self._writer.finish()
        if tables or self.loaded.unlisted:
            key = write_index(self.destination, [*self.loaded.unlisted, *tables])
            self.loaded.keys.append(key)
            self.loaded.unlisted.clear()
        for table in tables:
            self.loaded.index.add(table)
            self.loaded.packs[table.pack] = self.destination.entries(f"packs/{table.pack[:2]}/{table.pack}")[0]
        self._new.clear()
        self._suspect.difference_update(table.pack for table in tables)
        # a damaged index file is put right by one that stands for all
        if len(self.loaded.keys) > _INDEX_FILES or any(flaw.key in self.loaded.keys for flaw in self.loaded.flaws):
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
        tables = [table for table in self.loaded.index.tables.values() if table.pack not in self._suspect]
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
        """Take chunks for missing, since a check found them damaged, so that they are written again where that can be.

        They can be read as before: what is damaged in one place may be whole in another.
        """
        self._distrusted.update(digests)

    def distrust_neighbours(self, digests: Iterable[bytes]) -> None:
        """Distrust every chunk of the packs that hold any of these."""
        packs = {place.pack for digest in digests for place in self.index.places(digest)}
        for pack in packs:
            self.distrust(self.index.tables[pack].digests())

    def close(self) -> None:
        self._writer.close()
        super().close()

    def _distrust_cut_packs(self) -> None:
        for name, entry in self.loaded.packs.items():
            table = self.loaded.index.tables.get(name)
            if table is not None and table.size != entry.size:
                self.distrust(table.digests())

    def _distrust_strangers(self) -> None:
        """Packs that no index names were left by a run that did not end, perhaps before it had read them back."""
        for table in self.loaded.unlisted:
            try:
                whole = is_named_by(self.destination.get(pack_key(table.pack)), table.pack)
            except UNREADABLE:
                whole = False
            if not whole:
                self._suspect.add(table.pack)
                self.distrust(table.digests())
        self.loaded.unlisted[:] = [table for table in self.loaded.unlisted if table.pack not in self._suspect]


def create(destination: Destination, now: datetime) -> Description:
    """Make a repository where there is none yet; returns its description, or that of the one there.

    ``now`` has a zone. Raises DamagedError, SchemaError, FileAccessError.
    """
    destination.prepare()
    try:
        return describe(destination)
    except (NotFoundError, DamagedError):
        pass
    with destination.hold(exclusive=True, purpose="backup", timeout=DEFAULT_TIMEOUT):
        try:
            description, missing = describe_or_recover(destination)
        except NotFoundError:
            description, missing = Description(FORMAT, str(uuid.uuid4()), now), True
        if missing:
            write_description(destination, description)
        return description


@contextmanager
def reading(destination: Destination, *, purpose: str = "backup", timeout: float = DEFAULT_TIMEOUT) -> Iterator[Reader]:
    """Open a repository for reading. Raises NotFoundError without one, LockedError, DamagedError, SchemaError."""
    description, _ = describe_or_recover(destination)
    with destination.hold(exclusive=False, purpose=purpose, timeout=timeout):
        reader = Reader(destination, description, load_index(destination))
        try:
            yield reader
        finally:
            reader.close()


@contextmanager
def writing(
    destination: Destination,
    *,
    purpose: str = "backup",
    timeout: float = DEFAULT_TIMEOUT,
    compression: Compression = "default",
    pack_bytes: int = PACK_BYTES,
    verify: bool = True,
) -> Iterator[Writer]:
    """Open a repository for writing; with ``verify``, new packs are read back before they count.

    Raises as ``reading`` does. A description that is lost or damaged is written again.
    """
    description, missing = describe_or_recover(destination)
    with destination.hold(exclusive=True, purpose=purpose, timeout=timeout):
        if missing:
            write_description(destination, description)
        destination.remove_strays()
        writer = Writer(destination, description, load_index(destination), compression, pack_bytes, verify=verify)
        try:
            yield writer
        finally:
            writer.close()
