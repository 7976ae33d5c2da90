"""Tables of contents: which chunks lie where in a pack. Pure; docs/repository-format.md has every byte.

A pack's last gzip member is its table. It carries its own length in the header (an extra field with the identifier
``AM``), so that it is found from the end of the file without unpacking anything before it.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aml.codec.compression import unpack
from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE
from aml.repository.chunking import MAX_CHUNK_BYTES
from aml.repository.destination import Destination

FORMAT = 1
DIGEST_BYTES = 32

#: A member is closed before it would hold more than this (bytes, unpacked).
MEMBER_BYTES = 256 << 10
#: What a reader accepts as a member or as a table (bytes, unpacked); beyond it is damage or malice.
MAX_MEMBER_BYTES = 1 << 20
MAX_TABLE_BYTES = 1 << 28

#: gzip header: magic, deflate, flag "extra field", no time, no hints, unknown system; then 8 bytes of extra field with
#: one subfield "AM" of 4 bytes: the length of this whole member.
_TABLE_HEADER = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x08\x00AM\x04\x00"
_TABLE_LENGTH = struct.Struct("<I")
_TRAILER = struct.Struct("<II")
#: The first look for a table at the end of a pack (bytes); each further one goes four times as far.
_TAIL_BYTES = 256 << 10

Count = Annotated[int, Meta(ge=0)]
#: Offset in the pack, packed length, unpacked length (bytes), number of chunks
Member = tuple[Count, Count, Count, Count]


class Table(Struct, frozen=True):
    """What a pack says of itself: its members, and the chunks in them in order.

    ``sha256`` is the digests of all chunks in hex, one after the other; ``lengths`` their sizes in bytes.
    """

    format: int
    members: list[Member]
    sha256: str
    lengths: list[int]


class PackTable(Struct, frozen=True):
    """A table as an index keeps it: with the name (SHA-256 in hex) and the size (bytes) of its pack."""

    pack: str
    size: int
    members: list[Member]
    sha256: str
    lengths: list[int]

    def digests(self) -> list[bytes]:
        """The SHA-256 of each chunk, in order."""
        plain = binascii.unhexlify(self.sha256)
        return [plain[start : start + DIGEST_BYTES] for start in range(0, len(plain), DIGEST_BYTES)]


class Place(Struct, frozen=True):
    """Where one chunk lies: the pack's name, its member there, and offset and length in it unpacked (bytes)."""

    pack: str
    member_offset: int
    member_packed: int
    member_unpacked: int
    offset: int
    length: int


def pack_key(name: str) -> str:
    """The key of the pack of that name (SHA-256 in hex)."""
    return f"packs/{name[:2]}/{name}.gz"


def check_table(table: PackTable) -> None:
    """Raise DamagedError where a table contradicts itself: nothing that it says is used before."""
    end, chunks, unpacked_sum = 0, 0, 0
    for offset, packed, unpacked, count in table.members:
        if offset < end or not 0 < unpacked <= MAX_MEMBER_BYTES or packed > 2 * MAX_MEMBER_BYTES or not count:
            raise DamagedError(f"the table of pack {table.pack} lists a member that cannot be")
        end, chunks, unpacked_sum = offset + packed, chunks + count, unpacked_sum + unpacked
    lengths = table.lengths
    if (
        end > table.size
        or chunks != len(lengths)
        or len(table.sha256) != 2 * DIGEST_BYTES * chunks
        or sum(lengths) != unpacked_sum
        or not 0 < min(lengths, default=1) <= max(lengths, default=1) <= MAX_CHUNK_BYTES
    ):
        raise DamagedError(f"the table of pack {table.pack} contradicts itself")
    try:
        binascii.unhexlify(table.sha256)
    except ValueError as error:
        raise DamagedError(f"the table of pack {table.pack} names chunks by what is no SHA-256") from error


def places(table: PackTable) -> Iterator[Place]:
    """Where each chunk of a table lies, in order. Raises DamagedError where chunks do not fill their member."""
    first = 0
    for offset, packed, unpacked, count in table.members:
        lengths = table.lengths[first : first + count]
        starts = list(accumulate(lengths, initial=0))
        if starts[-1] != unpacked:
            raise DamagedError(f"the table of pack {table.pack} lists chunks that do not fill their member")
        for start, length in zip(starts, lengths, strict=False):
            yield Place(table.pack, offset, packed, unpacked, start, length)
        first += count


def table_member(members: Sequence[Member], digests: Sequence[bytes], lengths: Sequence[int]) -> bytes:
    """The last member of a pack: its table, in a gzip member that tells its own length."""
    table = Table(FORMAT, list(members), b"".join(digests).hex(), list(lengths))
    text = msgspec.json.encode(table)
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflater.compress(text) + deflater.flush()
    length = len(_TABLE_HEADER) + _TABLE_LENGTH.size + len(body) + _TRAILER.size
    trailer = _TRAILER.pack(zlib.crc32(text), len(text) & 0xFFFFFFFF)
    return b"".join((_TABLE_HEADER, _TABLE_LENGTH.pack(length), body, trailer))


def read_table(destination: Destination, name: str, size: int) -> PackTable:
    """The table at the end of a pack of ``size`` bytes. Raises DamagedError where there is none that holds."""
    reach = _TAIL_BYTES
    while True:
        reach = min(reach, size)
        tail = destination.get_range(pack_key(name), size - reach, reach)
        member = _last_table(tail)
        if member is not None:
            return decode_table(member, name, size)
        if reach == size:
            raise DamagedError(f"pack {name} does not end with a table of its contents")
        reach *= 4


def _last_table(tail: bytes) -> bytes | None:
    start = tail.rfind(_TABLE_HEADER)
    while start >= 0:
        told = tail[start + len(_TABLE_HEADER) :][: _TABLE_LENGTH.size]
        if len(told) == _TABLE_LENGTH.size and start + _TABLE_LENGTH.unpack(told)[0] == len(tail):
            return tail[start:]
        start = tail.rfind(_TABLE_HEADER, 0, start)
    return None


def decode_table(member: bytes, name: str, size: int) -> PackTable:
    """The table in a pack's last member. Raises DamagedError."""
    undecodable: tuple[type[Exception], ...] = (DamagedError, *UNDECODABLE)
    try:
        table = msgspec.json.decode(unpack(member, max_bytes=MAX_TABLE_BYTES), type=Table)
    except undecodable as error:
        raise DamagedError(f"the table of pack {name} cannot be read: {error}") from error
    if table.format != FORMAT:
        raise DamagedError(f"pack {name} has format {table.format}, which this AML does not know")
    found = PackTable(name, size, table.members, table.sha256, table.lengths)
    check_table(found)
    if found.members and sum(found.members[-1][:2]) + len(member) != size:
        raise DamagedError(f"the table of pack {name} does not fit its size")
    return found
