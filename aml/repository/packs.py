"""Packs: chunks written in members of a gzip file each, and read back with their SHA-256 checked."""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal, TypeVar

from aml.codec.compression import unpack
from aml.errors import DamagedError
from aml.repository.destination import Destination
from aml.repository.tables import MEMBER_BYTES, Member, PackTable, Place, pack_key, table_member
from aml.repository.workers import Job, Workers

Result = TypeVar("Result")

Compression = Literal["fast", "default", "max"]

#: A pack is closed when it has so many bytes.
PACK_BYTES = 16 << 20

_GZIP_CONTAINER = 31
_ISAL_LEVEL = {"fast": 1, "default": 2}
#: zlib-ng's and zlib's levels; more than 6 costs twice the time for less than one percent.
_ZLIB_LEVEL = {"fast": 1, "default": 6, "max": 6}
#: Members that wait for a thread or for their turn in the pack; what they hold bounds the memory.
_MEMBERS_AHEAD = 8
_CACHED_MEMBERS = 16


def packer(compression: Compression) -> Callable[[bytes], bytes]:
    """The function that makes a gzip member without name or time of some bytes, at that level."""
    if compression == "max":
        try:
            from zlib_ng import zlib_ng
        except ImportError:
            return _with_zlib(compression)
        return lambda data: bytes(zlib_ng.compress(data, _ZLIB_LEVEL["max"], _GZIP_CONTAINER))
    try:
        from isal import isal_zlib
    except ImportError:
        return _with_zlib(compression)
    level = _ISAL_LEVEL[compression]
    return lambda data: bytes(isal_zlib.compress(data, level, _GZIP_CONTAINER))


def _with_zlib(compression: Compression) -> Callable[[bytes], bytes]:
    return lambda data: zlib.compress(data, _ZLIB_LEVEL[compression], _GZIP_CONTAINER)


class _PendingMember:
    """A member on its way into a pack: what it holds, and the packed bytes when they are ready."""

    def __init__(self, digests: list[bytes], lengths: list[int], packed: Job[bytes]) -> None:
        self.digests = digests
        self.lengths = lengths
        self.packed = packed


class PackWriter:
    """Writes chunks to packs: ``add`` each, then ``finish``; members are packed by threads meanwhile.

    Holds at most one pack being filled and one being written, and a few members. Each pack is on disk for good when
    it is in ``finished``. Errors of the destination (FileAccessError) come out of ``add`` or ``finish``.
    """

    def __init__(
        self, destination: Destination, compression: Compression = "default", *, pack_bytes: int = PACK_BYTES
    ) -> None:
        self.finished: list[PackTable] = []
        self._destination = destination
        self._pack = packer(compression)
        self._pack_bytes = pack_bytes
        self._workers = Workers()
        self._chunks: list[bytes] = []
        self._digests: list[bytes] = []
        self._filled = 0
        self._pending: deque[_PendingMember] = deque()
        self._putting: Job[PackTable] | None = None
        self._begin_pack()

    def add(self, digest: bytes, chunk: bytes) -> None:
        """Take one chunk of at most MAX_CHUNK_BYTES, named by its SHA-256."""
        if self._filled + len(chunk) > MEMBER_BYTES and self._chunks:
            self._close_member()
        self._chunks.append(chunk)
        self._digests.append(digest)
        self._filled += len(chunk)

    def finish(self) -> list[PackTable]:
        """Write what is left; returns the tables of all packs put since the last call, each on disk for good."""
        if self._chunks:
            self._close_member()
        while self._pending:
            self._take_member()
        if self._members:
            self._close_pack()
        self._wait_for_put()
        finished, self.finished = self.finished, []
        return finished

    def in_thread(self, work: Callable[[], Result]) -> Job[Result]:
        """Work that releases the interpreter, done by the threads that pack."""
        return self._workers.submit(work)

    def close(self) -> None:
        """Let the threads end; what was not finished is dropped."""
        self._workers.close()

    def _begin_pack(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._members: list[Member] = []
        self._names: list[bytes] = []
        self._lengths: list[int] = []

    def _close_member(self) -> None:
        pack, chunks = self._pack, self._chunks
        job = self._workers.submit(lambda: pack(b"".join(chunks)))
        self._pending.append(_PendingMember(self._digests, [len(chunk) for chunk in chunks], job))
        self._chunks, self._digests, self._filled = [], [], 0
        while len(self._pending) > _MEMBERS_AHEAD:
            self._take_member()

    def _take_member(self) -> None:
        member = self._pending.popleft()
        packed = member.packed.result()
        self._members.append((self._size, len(packed), sum(member.lengths), len(member.lengths)))
        self._parts.append(packed)
        self._size += len(packed)
        self._names += member.digests
        self._lengths += member.lengths
        if self._size >= self._pack_bytes:
            self._close_pack()

    def _close_pack(self) -> None:
        self._wait_for_put()
        destination, parts, members = self._destination, self._parts, self._members
        names, lengths = self._names, self._lengths
        self._begin_pack()

        def put() -> PackTable:
            parts.append(table_member(members, names, lengths))
            data = b"".join(parts)
            parts.clear()
            name = hashlib.sha256(data).hexdigest()
            destination.put(pack_key(name), data)
            return PackTable(name, len(data), members, b"".join(names).hex(), lengths)

        self._putting = self._workers.submit(put)

    def _wait_for_put(self) -> None:
        if self._putting is not None:
            putting, self._putting = self._putting, None
            self.finished.append(putting.result())


def unpack_member(place: Place, packed: bytes) -> bytes:
    """The chunks of a member, one after the other. Raises DamagedError where they are not as long as told."""
    try:
        data = unpack(packed, max_bytes=place.member_unpacked)
    except DamagedError as error:
        raise DamagedError(f"pack {place.pack} is damaged at byte {place.member_offset}: {error.message}") from error
    if len(data) != place.member_unpacked:
        raise DamagedError(f"pack {place.pack} is damaged at byte {place.member_offset}: a member is too short")
    return data


class PackReader:
    """Reads chunks; keeps the members last unpacked, since neighbours are wanted together. For one thread."""

    def __init__(self, destination: Destination, *, cached_members: int = _CACHED_MEMBERS) -> None:
        self._destination = destination
        self._cached_members = cached_members
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def read(self, digest: bytes, place: Place) -> bytes:
        """The chunk at ``place``. Raises DamagedError where it has another SHA-256, NotFoundError without its pack."""
        chunk = self.read_unchecked(place)
        if hashlib.sha256(chunk).digest() != digest:
            raise DamagedError(f"pack {place.pack} is damaged: chunk {digest.hex()} has another content")
        return chunk

    def read_unchecked(self, place: Place) -> bytes:
        """The bytes at ``place``, for a caller that hashes the document which they are part of. Raises as ``read``."""
        return self._member(place)[place.offset : place.offset + place.length]

    def _member(self, place: Place) -> bytes:
        key = (place.pack, place.member_offset)
        cached = self._cache.get(key)
        if cached is not None:
            self._cache.move_to_end(key)
            return cached
        packed = self._destination.get_range(pack_key(place.pack), place.member_offset, place.member_packed)
        data = unpack_member(place, packed)
        self._cache[key] = data
        if len(self._cache) > self._cached_members:
            self._cache.popitem(last=False)
        return data
