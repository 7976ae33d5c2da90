"""The records that a loader is most likely to be asked for, kept in one file, so that it begins with them at hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from aml.errors import AmlError
from aml.index.index import Index
from aml.index.query import COLUMNS, TIES, Hit, hit
from aml.index.reading import RecordReader
from aml.index.sealed import read_sealed, write_sealed
from aml.model.undecodable import UNDECODABLE

FILE_NAME = "hot.set"
_NAME, _VERSION = b"hot", 1
#: How many bytes of records a loader keeps, if nobody says.
DEFAULT_CACHE_BYTES = 10 << 20
#: Share of the cache that the set may fill: the rest is for what is asked for beside it.
SHARE = 0.80
#: Share of the cache that may stay empty, rather than be filled with whatever small records come last.
_NEGLIGIBLE = 0.01


class HotRecord(Struct, frozen=True, array_like=True):
    """One record of the set: where it belongs, the hash by which the index knows it, its bytes."""

    agent: str
    kind: str
    id: str
    hash: bytes
    raw: bytes


class _HotSet(Struct, frozen=True, array_like=True):
    seal: bytes
    records: list[HotRecord]


def choose_hot(index: Index, cache_bytes: int) -> list[Hit]:
    """The records of highest value, then executions, that fit into the set's share of a cache."""
    room = int(cache_bytes * SHARE)
    chosen = []
    rows = index.connection.execute(
        f"SELECT {COLUMNS} FROM records AS r JOIN files AS f ON f.number = r.file WHERE r.id IS NOT NULL "  # noqa: S608
        f"ORDER BY r.value DESC, r.executions DESC NULLS LAST, {TIES}"
    )
    for row in rows:
        found, place = hit(row)
        if place.length <= room:
            room -= place.length
            chosen.append((found, place))
        elif room < cache_bytes * _NEGLIGIBLE:
            break
    return chosen


def read_hot(index: Index, chosen: list[Hit]) -> list[HotRecord]:
    """Those records with their bytes, in the same order; what changes meanwhile is left out."""
    reader = RecordReader(index.store)
    raws: dict[tuple[str, str, int], bytes] = {}
    # file by file, so that each gzip file is unpacked once
    for _, place in sorted(chosen, key=lambda one: (one[1].file, one[1].start)):
        try:
            raw = reader.read(index, place)
        except AmlError:
            continue
        if raw is not None:
            raws[*place.file, place.start] = raw
    return [
        HotRecord(found.agent, found.kind, found.id or "", place.hash, raws[*place.file, place.start])
        for found, place in chosen
        if (*place.file, place.start) in raws
    ]


def write_hot(folder: Path, index: Index, records: list[HotRecord]) -> None:
    """Keep the set in ``folder`` for loaders to come. Raises FileAccessError."""
    payload = msgspec.msgpack.encode(_HotSet(index.seal, records))
    write_sealed(folder / FILE_NAME, _NAME, _VERSION, len(records), payload)


def load_hot(index: Index) -> list[HotRecord]:
    """The records of the set that are in the store as they were; none where there is no set that is whole."""
    found = None if index.folder is None else read_sealed(index.folder / FILE_NAME, _NAME, _VERSION)
    if found is None:
        return []
    try:
        kept = msgspec.msgpack.decode(found[1], type=_HotSet)
    except UNDECODABLE:
        return []
    if kept.seal and kept.seal == index.seal:
        return kept.records
    return [one for one in kept.records if _is_there(index, one)]


def hot_records(folder: Path) -> int | None:
    """How many records the set in ``folder`` has; None where there is none that is whole."""
    found = read_sealed(folder / FILE_NAME, _NAME, _VERSION)
    return None if found is None else found[0]


def _is_there(index: Index, record: HotRecord) -> bool:
    known = index.known.get((record.agent, record.kind))
    return known is not None and any(
        row == (known.number, record.hash)
        for row in index.connection.execute("SELECT file, hash FROM records WHERE id = ?", (record.id,))
    )
