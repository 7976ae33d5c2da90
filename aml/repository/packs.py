"""Packs: chunks written in members of a gzip file each, and read back with their SHA-256 checked."""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar

from msgspec import Struct

from aml.codec.compression import GZIP_CONTAINER, unpack
from aml.errors import DamagedError, FileAccessError
from aml.repository.destination import UNREADABLE, Destination
from aml.repository.members import table_problem, unpack_member
from aml.repository.tables import MEMBER_BYTES, Member, PackTable, Place, pack_key, table_member
from aml.repository.workers import Job, Workers

Result = TypeVar("Result")

Compression = Literal["fast", "default", "max"]
Packer = Callable[[bytes | memoryview], bytes]

#: A pack is closed when it has so many bytes.
PACK_BYTES = 6 << 20

_ISAL_LEVEL = {"fast": 1, "default": 2}
#: zlib-ng's and zlib's levels; more than 6 costs twice the time for less than one percent.
_ZLIB_LEVEL = {"fast": 1, "default": 6, "max": 6}
#: Members that wait for a thread or for their turn in the pack; what they hold bounds the memory.
_MEMBERS_AHEAD = 12
_CACHED_MEMBERS = 16
#: How much of a pack a thread reads back at a time (bytes).
_STRETCH_BYTES = 1 << 20

_ADVICE = "check the memory and the disk of this machine, then run the same command again"


def packer(compression: Compression) -> Packer:
    """The function that makes a gzip member without name or time of some bytes, at that level."""
    if compression == "max":
        try:
            from zlib_ng import zlib_ng
        except ImportError:
            return _with_zlib(compression)
        return lambda data: bytes(zlib_ng.compress(data, _ZLIB_LEVEL["max"], GZIP_CONTAINER))
    try:
        from isal import isal_zlib
    except ImportError:
        return _with_zlib(compression)
    level = _ISAL_LEVEL[compression]
    return lambda data: bytes(isal_zlib.compress(data, level, GZIP_CONTAINER))


def _with_zlib(compression: Compression) -> Packer:
    return lambda data: zlib.compress(data, _ZLIB_LEVEL[compression], GZIP_CONTAINER)


class _PendingMember(Struct, frozen=True):
    """A member on its way into a pack: its chunks, and the packed bytes when they are ready."""

    digests: list[bytes]
    lengths: list[int]
    packed: Job[bytes]


class _Put(Struct, frozen=True):
    """A pack that is on disk, and the jobs that read it back: each gives what is wrong, "" where nothing is."""

    table: PackTable
    proofs: list[Job[str]]


class PackWriter:
    """Writes chunks to packs: ``add`` each, then ``finish``; members are packed by threads meanwhile.

    With ``verify``, each member is unpacked again, and each pack read back once it is put. What comes out is compared
    with the bytes that went in, which every SHA-256 here was made of: that proves as much as hashing it all once more,
    at a tenth of the cost.

    Holds at most one pack being filled, one being written and one being read back, and a few members. Each pack is on
    disk for good, and right, when ``finish`` returns its table. FileAccessError for what the destination refuses and
    DamagedError for a pack that does not read back come out of ``add`` or ``finish``; after any error nothing more is
    written.
    """

    def __init__(
        self,
        destination: Destination,
        compression: Compression = "default",
        *,
        pack_bytes: int = PACK_BYTES,
        verify: bool = False,
    ) -> None:
        #: bytes of the packs that were put and not found wrong
        self.put_bytes = 0
        self._destination = destination
        self._pack = packer(compression)
        self._pack_bytes = pack_bytes
        self._verify = verify
        self._workers = Workers()
        self._failed = False
        self._pending: deque[_PendingMember] = deque()
        self._putting: Job[_Put] | None = None
        self._put: deque[_Put] = deque()
        self._finished: list[PackTable] = []
        self._filled = 0
        self._begin_member()
        self._begin_pack()

    def add(self, digest: bytes, chunk: bytes | memoryview) -> None:
        """Take one chunk of at most MAX_CHUNK_BYTES, named by its SHA-256. It is copied."""
        end = self._filled + len(chunk)
        if end > MEMBER_BYTES:
            with self._unbroken():
                self._close_member()
            end = len(chunk)
        self._room[self._filled : end] = chunk
        self._filled = end
        self._digests.append(digest)
        self._lengths.append(len(chunk))

    def finish(self) -> list[PackTable]:
        """Write what is left; returns the tables of all packs put since the last call."""
        with self._unbroken():
            if self._filled:
                self._close_member()
            while self._pending:
                self._take_member()
            if self._members:
                self._close_pack()
            self._wait_for_put()
            self._prove(but=0)
            finished, self._finished = self._finished, []
        return finished

    def in_thread(self, work: Callable[[], Result]) -> Job[Result]:
        """Work that releases the interpreter, done by the threads that pack."""
        return self._workers.submit(work)

    def close(self) -> None:
        """Wait for the threads to end; what was not finished is dropped."""
        self._workers.close()

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Refuse to go on after an error: what it lost would be taken for written."""
        if self._failed:
            raise FileAccessError("an earlier write to the repository failed", advice="run the same command again")
        self._failed = True
        yield
        self._failed = False

    def _begin_member(self) -> None:
        self._room = bytearray(MEMBER_BYTES)
        self._filled = 0
        self._digests: list[bytes] = []
        self._lengths: list[int] = []

    def _begin_pack(self) -> None:
        self._content = bytearray()
        self._members: list[Member] = []
        self._pack_digests: list[bytes] = []
        self._pack_lengths: list[int] = []

    def _close_member(self) -> None:
        del self._room[self._filled :]
        job = self._workers.submit(partial(self._pack_member, self._room))
        self._pending.append(_PendingMember(self._digests, self._lengths, job))
        self._begin_member()
        while len(self._pending) > _MEMBERS_AHEAD:
            self._take_member()

    def _pack_member(self, plain: bytearray) -> bytes:
        packed = self._pack(memoryview(plain))
        if self._verify and unpack(packed, max_bytes=len(plain)) != plain:
            raise DamagedError("what was packed for the repository does not unpack to the same", advice=_ADVICE)
        return packed

    def _take_member(self) -> None:
        member = self._pending.popleft()
        packed = member.packed.result()
        self._members.append((len(self._content), len(packed), sum(member.lengths), len(member.lengths)))
        self._content += packed
        self._pack_digests += member.digests
        self._pack_lengths += member.lengths
        if len(self._content) >= self._pack_bytes:
            self._close_pack()

    def _close_pack(self) -> None:
        self._wait_for_put()
        work = partial(self._write, self._content, self._members, self._pack_digests, self._pack_lengths)
        self._begin_pack()
        self._putting = self._workers.submit(work)

    def _write(self, content: bytearray, members: list[Member], digests: list[bytes], lengths: list[int]) -> _Put:
        content += table_member(members, digests, lengths)
        name = hashlib.sha256(content).hexdigest()
        table = PackTable(name, len(content), members, b"".join(digests).hex(), lengths)
        self._destination.put(pack_key(name), content)
        proofs = _read_back(self._destination, table, content) if self._verify else ()
        return _Put(table, [self._workers.submit(proof) for proof in proofs])

    def _wait_for_put(self) -> None:
        if self._putting is not None:
            putting, self._putting = self._putting, None
            self._put.append(putting.result())
            self._prove(but=1)

    def _prove(self, *, but: int) -> None:
        """Wait until the packs that were put are read back, ``but`` for the last so many. Raises DamagedError."""
        wrong: list[str] = []
        while len(self._put) > but:
            put = self._put.popleft()
            problem = next(filter(None, [proof.result() for proof in put.proofs]), "")
            if not problem:
                self.put_bytes += put.table.size
                self._finished.append(put.table)
                continue
            # its table would be taken for true, and its chunks for present, by every later run
            self._destination.delete(pack_key(put.table.pack))
            wrong.append(f"pack {put.table.pack} does not read back as it was written: {problem}")
            but = 0
        if wrong:
            raise DamagedError(f"{'; '.join(wrong)}; nothing of it was kept", advice=_ADVICE)


def _read_back(destination: Destination, table: PackTable, content: bytearray) -> Iterator[Callable[[], str]]:
    """The work that reads a pack back and compares it with ``content``; each part gives what is wrong."""
    key = pack_key(table.pack)

    def compare(start: int) -> str:
        length = min(_STRETCH_BYTES, table.size - start)
        same = destination.get_range(key, start, length) == content[start : start + length]
        return "" if same else "its bytes are not those that were written"

    def compare_end() -> str:
        size = sum(entry.size for entry in destination.entries(key))
        if size != table.size:
            return f"it has {size} bytes instead of {table.size}"
        start = sum(table.members[-1][:2])
        return table_problem(table, destination.get_range(key, start, size - start))

    def told(work: Callable[[], str]) -> str:
        try:
            return work()
        except UNREADABLE as error:
            return error.message

    for start in range(0, table.size, _STRETCH_BYTES):
        yield partial(told, partial(compare, start))
    yield partial(told, compare_end)


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
        data = unpack_member(place.pack, place.member_offset, place.member_unpacked, packed)
        self._cache[key] = data
        if len(self._cache) > self._cached_members:
            self._cache.popitem(last=False)
        return data
