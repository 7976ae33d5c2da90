"""What there is of an index: for those who watch a store."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from aml.errors import FileAccessError
from aml.fs.files import stat_if_there
from aml.index.bloom import FILE_NAME as FILTER
from aml.index.bloom import filter_capacity
from aml.index.hot_set import FILE_NAME as HOT_SET
from aml.index.hot_set import hot_records
from aml.index.index import Index, Refreshed
from aml.index.schema import RECORDS, WORDS
from aml.index.words import words_are_current
from aml.model.timestamps import to_iso


class IndexState(Struct, frozen=True):
    """The index: whether it told the state of the store before it was asked (``fresh``), whether it is kept on disk,
    when that was written (ISO 8601 UTC; None where it is not), files and records in it, bytes of all its files.

    ``words`` is whether there is a search for words, and ``words_current`` whether it needs nothing added;
    ``filter_capacity`` is for how many ids the filter was made that belongs to this state, and ``hot_records`` how many
    records the hot set has; None where there is none.
    """

    fresh: bool
    kept: bool
    built: str | None
    files: int
    records: int
    bytes: int
    words: bool
    words_current: bool
    filter_capacity: int | None
    hot_records: int | None


def look_at_index(index: Index, folder: Path | None, done: Refreshed) -> IndexState:
    """The state of an index that is kept in ``folder``, after a refresh that came to ``done``."""
    files, records = index.connection.execute("SELECT count(*), coalesce(sum(records), 0) FROM files").fetchone()
    sizes, built = {}, None
    for name in (RECORDS, WORDS, FILTER, HOT_SET):
        found = _stat(folder, name)
        if found is not None:
            sizes[name], at = found
            built = at if name == RECORDS else built
    return IndexState(
        fresh=not (done.read or done.gone or done.anew),
        kept=built is not None,
        built=None if built is None else to_iso(built),
        files=files,
        records=records,
        bytes=sum(sizes.values()),
        words=WORDS in sizes,
        words_current=folder is not None and WORDS in sizes and words_are_current(index, folder),
        filter_capacity=None if folder is None else filter_capacity(folder, index.seal),
        hot_records=None if folder is None else hot_records(folder),
    )


def _stat(folder: Path | None, name: str) -> tuple[int, float] | None:
    """Size and modification time of a file of the index."""
    if folder is None:
        return None
    try:
        found = stat_if_there(folder / name)
    except FileAccessError:
        return None
    return None if found is None else (found.st_size, found.st_mtime)
