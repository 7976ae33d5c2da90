"""One record's bytes, read from the store by where the index says they are, and checked by their hash."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from aml.errors import AmlError, ChangedError
from aml.fs.access import explained
from aml.fs.parallel import on_own_stack
from aml.index.fingerprints import FileName, Known
from aml.index.index import Index
from aml.index.query import Hit, Place
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.undecodable import UNDECODABLE
from aml.store.layout import record_file
from aml.store.open import Store
from aml.store.read import read_content

#: How often a record is looked up again because its file changes while it is read.
_ATTEMPTS = 5
#: Bytes of unpacked gzip files that are kept; one is kept in any case.
_UNPACKED_BYTES = 32 << 20


class StoredRecord(Struct, frozen=True):
    """A record as it stands in the store: ``raw`` are its exact bytes, UTF-8 JSON."""

    agent: str
    kind: str
    id: str | None
    raw: bytes

    def decoded(self) -> Any:
        """The record as Python values."""
        return decode_record(self.raw)


def _integer(digits: str) -> int | str:
    """An integer; one that Python refuses to compute, of thousands of digits, as its text."""
    try:
        return int(digits)
    except ValueError:
        return digits


def decode_record(raw: bytes) -> Any:
    """A record's bytes as Python values, read as leniently as when it was indexed."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        # it was indexed on a stack of its own, and may be nested too deeply for what is left of this one
        return on_own_stack(partial(msgspec.json.decode, raw))
    except UNDECODABLE:
        import json

        return json.loads(raw, parse_int=_integer)


class RecordReader:
    """Reads plain files at the place, and unpacks a gzip file once for all records that are read of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Unpacked texts by the SHA-256 of the file's bytes: what a file held once is never taken for what it holds.
        self._unpacked: dict[bytes, bytes] = {}

    def read(self, index: Index, place: Place) -> bytes | None:
        """The record's bytes; None where the file does not hold it there any more. Raises AmlError as reading does."""
        from xxhash import xxh3_128_digest

        known = index.known[place.file]
        raw = self._unpacked_slice(known, place) if known.is_gzip else self._plain_slice(place)
        return raw if xxh3_128_digest(raw) == place.hash else None

    def _plain_slice(self, place: Place) -> bytes:
        path = record_file(self._store.root, place.file[0], KIND_BY_PLURAL[place.file[1]]).path
        with explained("read", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, place.length, place.start)
            finally:
                os.close(descriptor)

    def _unpacked_slice(self, known: Known, place: Place) -> bytes:
        text = self._unpacked.pop(known.sha256, None)
        digest = known.sha256
        if text is None:
            file = record_file(self._store.root, place.file[0], KIND_BY_PLURAL[place.file[1]])
            content = read_content(file, self._store.max_unpacked_bytes)
            text, digest = content.text, bytes.fromhex(content.sha256)
        # the last in line is the one used last
        self._unpacked[digest] = text
        while len(self._unpacked) > 1 and sum(map(len, self._unpacked.values())) > _UNPACKED_BYTES:
            del self._unpacked[next(iter(self._unpacked))]
        return text[place.start : place.start + place.length]


def read_current(
    index: Index, reader: RecordReader, look_up: Callable[[], Hit], at_hand: Callable[[Hit], bytes | None]
) -> tuple[Hit, bytes]:
    """What ``look_up`` finds in the index once that is current, and its bytes: as they are at hand, or from the file.

    Raises whatever ``look_up`` raises, ChangedError where the file never stands still, and AmlError as reading does.
    """
    suspects: set[FileName] = set()
    problem: AmlError | None = None
    for _ in range(_ATTEMPTS):
        index.refresh(suspects=suspects)
        hit = look_up()
        raw = at_hand(hit)
        if raw is None:
            try:
                raw = reader.read(index, hit[1])
            except AmlError as error:
                problem = error
        if raw is not None:
            return hit, raw
        suspects.add(hit[1].file)
    changing = ", ".join("/".join(name) for name in suspects)
    raise problem or ChangedError(f"{changing} keeps changing while it is read", advice="try again in a moment")
