"""What lies in a pack, unpacked and hashed: members one after the other, in runs that threads share out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from msgspec import Struct

from aml.codec.compression import unpack
from aml.errors import DamagedError
from aml.repository.tables import Member, PackTable, decode_table

#: How much one thread unpacks and hashes at a time (bytes, unpacked).
_RUN_BYTES = 2 << 20

#: Called with the SHA-256 and the bytes of a chunk that is right.
Visit = Callable[[bytes, memoryview], None]


class MemberRun(Struct, frozen=True):
    """Neighbouring members of a pack, with the SHA-256 and the length (bytes) of each of their chunks."""

    pack: str
    members: list[Member]
    digests: list[bytes]
    lengths: list[int]

    @property
    def extent(self) -> tuple[int, int]:
        """Where the run begins in its pack, and how long it is (bytes)."""
        start = self.members[0][0]
        return start, sum(self.members[-1][:2]) - start


def runs(table: PackTable) -> Iterator[MemberRun]:
    """All members of a pack in runs of a few MiB."""
    digests, first = table.digests(), 0
    members: list[Member] = []
    filled = count = 0
    for place, member in enumerate(table.members, 1):
        members.append(member)
        filled, count = filled + member[2], count + member[3]
        if filled >= _RUN_BYTES or place == len(table.members):
            until = first + count
            yield MemberRun(table.pack, members, digests[first:until], table.lengths[first:until])
            members, first, filled, count = [], until, 0, 0


def unpack_member(pack: str, offset: int, unpacked: int, packed: bytes) -> bytes:
    """The chunks of the member at ``offset``, one after the other.

    Raises DamagedError where they do not have the ``unpacked`` bytes that the table tells.
    """
    try:
        data = unpack(packed, max_bytes=unpacked)
    except DamagedError as error:
        raise DamagedError(f"pack {pack} is damaged at byte {offset}: {error.message}") from error
    if len(data) != unpacked:
        raise DamagedError(f"pack {pack} is damaged at byte {offset}: a member is too short")
    return data


def bad_chunks(run: MemberRun, packed: memoryview, visit: Visit | None = None) -> list[bytes]:
    """The chunks of a run that its bytes in the pack do not hold. Each of the others is shown to ``visit``."""
    base = run.members[0][0]
    bad: list[bytes] = []
    first = 0
    sha256 = hashlib.sha256
    for offset, length, unpacked, count in run.members:
        digests, lengths = run.digests[first : first + count], run.lengths[first : first + count]
        first += count
        member = bytes(packed[offset - base : offset - base + length])
        try:
            plain = memoryview(unpack_member(run.pack, offset, unpacked, member))
        except DamagedError:
            bad += digests
            continue
        start = 0
        for digest, size in zip(digests, lengths, strict=True):
            chunk = plain[start : start + size]
            start += size
            if sha256(chunk).digest() != digest:
                bad.append(digest)
            elif visit is not None:
                visit(digest, chunk)
        if start != unpacked:
            bad += digests
    return bad


def is_named_by(pack: bytes, name: str) -> bool:
    """Whether a pack has the SHA-256 that names it."""
    return hashlib.sha256(pack).hexdigest() == name


def table_problem(table: PackTable, member: bytes) -> str:
    """What is wrong with the last member of a pack, seen from the table that is known of it; "" where it is that."""
    try:
        own = decode_table(member, table.pack, table.size)
    except DamagedError as error:
        return error.message
    return "" if own == table else "its own table differs from the one in the index"
