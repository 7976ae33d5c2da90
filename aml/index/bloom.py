"""A filter that tells of an id that it is surely in no record. It says so of all that were not there when it was made,
so it belongs to one state of the index and answers only after that was compared with the files."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from aml.errors import FileAccessError
from aml.index.index import Index
from aml.index.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from pybloom_live import BloomFilter

FILE_NAME = "ids.bloom"
_NAME, _VERSION = b"bloom", 1
#: Share of ids that are in no record and cannot be told from those that are.
_ERROR_RATE = 0.005
_SEAL_BYTES = 8


def load_filter(index: Index) -> BloomFilter | None:
    """The filter that was kept for this state of the index, if there is one that is whole."""
    if index.folder is None or not index.seal:
        return None
    found = read_sealed(index.folder / FILE_NAME, _NAME, _VERSION)
    if found is None or found[1][:_SEAL_BYTES] != index.seal:
        return None
    from pybloom_live import BloomFilter

    kept = BloomFilter.fromfile(BytesIO(found[1][_SEAL_BYTES:]))
    return kept if kept.capacity == found[0] else None


def filter_capacity(folder: Path, seal: bytes) -> int | None:
    """For how many ids the filter in ``folder`` was made, where it belongs to the state of the index with that seal."""
    found = read_sealed(folder / FILE_NAME, _NAME, _VERSION)
    return found[0] if seal and found is not None and found[1][:_SEAL_BYTES] == seal else None


def make_filter(index: Index) -> BloomFilter:
    """The filter of this state of the index, kept for others where that is possible."""
    from pybloom_live import BloomFilter

    ids = index.connection.execute("SELECT DISTINCT id FROM records WHERE id IS NOT NULL").fetchall()
    made = BloomFilter(max(len(ids), 1), _ERROR_RATE)
    for (ident,) in ids:
        made.add(ident, skip_check=True)
    if index.folder is not None and index.seal:
        content = BytesIO(index.seal)
        content.seek(_SEAL_BYTES)
        made.tofile(content)
        with suppress(FileAccessError):
            write_sealed(index.folder / FILE_NAME, _NAME, _VERSION, made.capacity, content.getvalue())
    return made
