"""The index: the tables of all packs, kept apart so that opening a repository reads one small file.

It is only ever a copy. Whatever is missing or damaged here is read from the packs themselves.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from typing import TypeVar

import msgspec
from msgspec import Struct

from aml.codec.compression import unpack
from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE
from aml.repository.destination import UNREADABLE, Destination, Entry
from aml.repository.packs import packer
from aml.repository.tables import (
    FORMAT,
    MAX_TABLE_BYTES,
    PackTable,
    Place,
    check_table,
    read_table,
)

Result = TypeVar("Result")

INDEX_KEY = re.compile(r"index/([0-9a-f]{64})\.json\.gz")
PACK_KEY = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{62})\.gz")


class IndexFile(Struct, frozen=True):
    """The JSON of one index file."""

    format: int
    packs: list[PackTable]


class Flaw(Struct, frozen=True):
    """Something that could not be read: its key, and why."""

    key: str
    reason: str


class Index:
    """Which chunks there are, and where. Chunks are named by their SHA-256 (32 bytes)."""

    def __init__(self, tables: Iterable[PackTable] = ()) -> None:
        self.tables: dict[str, PackTable] = {}
        self._ordinals: dict[bytes, int] = {}
        #: further places of chunks that several packs hold
        self._twins: dict[bytes, list[int]] = {}
        self._order: list[PackTable] = []
        self._firsts: list[int] = []
        self._count = 0
        self._layouts: dict[str, tuple[list[int], list[int]]] = {}
        for table in tables:
            self.add(table)

    def __len__(self) -> int:
        return len(self._ordinals)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._ordinals

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._ordinals)

    def add(self, table: PackTable) -> None:
        """Take up the chunks of a pack; one that is known already is left as it is."""
        if table.pack in self.tables:
            return
        digests = table.digests()
        before, first = len(self._ordinals), self._count
        known = self._ordinals
        fresh = dict(zip(digests, range(first, first + len(digests)), strict=True))
        doubles = fresh.keys() & known.keys() if before else ()
        for digest in doubles:
            self._twins.setdefault(digest, []).append(fresh.pop(digest))
        known.update(fresh)
        self.tables[table.pack] = table
        self._order.append(table)
        self._firsts.append(first)
        self._count += len(digests)

    def places(self, digest: bytes) -> list[Place]:
        """Where a chunk lies: usually one place, none where the repository does not hold it."""
        ordinal = self._ordinals.get(digest)
        if ordinal is None:
            return []
        return [self._place(one) for one in (ordinal, *self._twins.get(digest, ()))]

    def length(self, digest: bytes) -> int | None:
        """The size of a chunk in bytes; None where the repository does not hold it."""
        ordinal = self._ordinals.get(digest)
        if ordinal is None:
            return None
        number = bisect_right(self._firsts, ordinal) - 1
        return self._order[number].lengths[ordinal - self._firsts[number]]

    def _place(self, ordinal: int) -> Place:
        number = bisect_right(self._firsts, ordinal) - 1
        table = self._order[number]
        within = ordinal - self._firsts[number]
        layout = self._layouts.get(table.pack)
        if layout is None:
            counts = [member[3] for member in table.members]
            layout = list(accumulate(counts, initial=0)), list(accumulate(table.lengths, initial=0))
            self._layouts[table.pack] = layout
        firsts, starts = layout
        place = bisect_right(firsts, within) - 1
        offset, packed, unpacked, _ = table.members[place]
        start = starts[within] - starts[firsts[place]]
        return Place(table.pack, offset, packed, unpacked, start, table.lengths[within])


class LoadedIndex(Struct):
    """An index as it was found: ``keys`` of its files, ``flaws`` of files and packs, ``sizes`` of all packs listed."""

    index: Index
    keys: list[str]
    flaws: list[Flaw]
    #: packs that no index file names: their tables were read from themselves
    unlisted: list[PackTable]
    #: packs that an index file names and that are not there
    missing: list[PackTable]
    packs: dict[str, Entry]


def load_index(destination: Destination) -> LoadedIndex:
    """The index of all packs that are there, from its files and, where those fall short, from the packs.

    Never raises for damage: that is in ``flaws``. Raises FileAccessError.
    """
    flaws: list[Flaw] = []
    keys: list[str] = []
    tables: dict[str, PackTable] = {}
    for entry in destination.entries("index/"):
        match = INDEX_KEY.fullmatch(entry.key)
        if match is None:
            continue
        keys.append(entry.key)
        found = attempt(entry.key, flaws, partial(read_index, destination, entry.key, match[1]))
        tables |= {table.pack: table for table in found.packs} if found is not None else {}
    packs = {match[2]: entry for entry in destination.entries("packs/") if (match := PACK_KEY.fullmatch(entry.key))}
    unlisted: list[PackTable] = []
    index = Index()
    for name, entry in packs.items():
        if name not in tables:
            own = attempt(entry.key, flaws, partial(read_table, destination, name, entry.size))
            if own is None:
                continue
            unlisted.append(own)
            tables[name] = own
        table = tables[name]
        if table.size != entry.size:
            flaws.append(Flaw(entry.key, f"it has {entry.size} bytes instead of {table.size}"))
        index.add(table)
    missing = [table for name, table in tables.items() if name not in packs]
    return LoadedIndex(index, keys, flaws, unlisted, missing, packs)


def attempt(key: str, flaws: list[Flaw], read: Callable[[], Result]) -> Result | None:
    """What ``read`` returns; None, and a flaw more, where the file is damaged, refused by the system or gone."""
    try:
        return read()
    except UNREADABLE as error:
        flaws.append(Flaw(key, error.message))
        return None


def read_index(destination: Destination, key: str, name: str) -> IndexFile:
    """One index file. Raises DamagedError where it does not have the SHA-256 that names it, or contradicts itself."""
    data = destination.get(key, limit=MAX_TABLE_BYTES)
    if hashlib.sha256(data).hexdigest() != name:
        raise DamagedError("its content does not have the SHA-256 in its name")
    try:
        found = msgspec.json.decode(unpack(data, max_bytes=MAX_TABLE_BYTES), type=IndexFile)
    except UNDECODABLE as error:
        raise DamagedError(f"it is no index: {error}") from error
    if found.format != FORMAT:
        raise DamagedError(f"it has format {found.format}, which this AML does not know")
    for table in found.packs:
        check_table(table)
    return found


def write_index(destination: Destination, tables: Iterable[PackTable]) -> str:
    """Put an index file of some packs; returns its key. It is on disk for good."""
    data = packer("default")(msgspec.json.encode(IndexFile(FORMAT, list(tables))))
    key = f"index/{hashlib.sha256(data).hexdigest()}.json.gz"
    destination.put(key, data)
    return key
