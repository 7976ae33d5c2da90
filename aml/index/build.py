"""The rows of the index: those of a record file are written together, and replaced together when it changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec import Struct

from aml.codec.views import Unreadable, view_records
from aml.errors import AmlError, DamagedError, InterruptedRunError
from aml.index.fingerprints import UNKNOWN, FileName, Known, is_settled
from aml.model.collector import no_collections
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.layout import record_file
from aml.store.open import Store
from aml.store.read import Content, Fingerprint, fingerprint, read_ahead

_INSERT_RECORDS = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Tags are written so many at once: a statement costs more than two short values.
_TOGETHER = 50
_INSERT_TAG = "INSERT OR IGNORE INTO tags VALUES (?, ?)"
_INSERT_TAGS = _INSERT_TAG + ", (?, ?)" * (_TOGETHER - 1)
_INSERT_FILE = "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

Row = tuple[object, ...]


class Rows(Struct):
    """What the index holds of one record file; ``odd`` elements are no records, and of them ``too_new`` may be ones.

    ``unpacked`` is the bytes of its text, None where there is none to be had.
    """

    records: list[Row] = []
    tags: list[tuple[str, int]] = []
    odd: int = 0
    too_new: int = 0
    problem: str | None = None
    unpacked: int | None = None


class _Schemas(dict[str, int]):
    """The numbers that stand for versions of the schema; one that is met for the first time gets the next."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection.execute("SELECT version, number FROM schemas"))
        self._connection = connection

    def __missing__(self, version: str) -> int:
        number = self[version] = len(self)
        self._connection.execute("INSERT INTO schemas VALUES (?, ?)", (number, version))
        return number


def write_files(
    connection: sqlite3.Connection,
    store: Store,
    names: Sequence[FileName],
    found: Mapping[FileName, Fingerprint],
    now_ns: int,
    texts: dict[FileName, bytes] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Read those record files and replace what the index holds of them. A file that cannot be read gets no records.

    ``found`` and ``now_ns`` (since 1970) are from before: what changed later is told by them to be looked at again.
    ``texts``, if given, takes the unpacked text of each file. Raises InterruptedRunError before the next file once it
    ``is_cancelled``.
    """
    number, first = _next_numbers(connection)
    files = [record_file(store.root, agent, KIND_BY_PLURAL[kind]) for agent, kind in names]
    schemas = _Schemas(connection)
    with no_collections():
        for file, content in read_ahead(files, store.max_unpacked_bytes):
            if is_cancelled():
                raise InterruptedRunError("the index was not built any further")
            name = (file.agent, file.kind)
            forget_file(connection, name)
            if isinstance(content, AmlError):
                known = _unread(number, content, found[name], now_ns)
                rows = Rows(problem=content.message)
            else:
                stamp = fingerprint(content.stat)
                digest, is_gzip = bytes.fromhex(content.sha256), content.form == "gzip"
                known = Known(number, stamp, is_settled(stamp, now_ns), digest, is_gzip, None)
                rows = _rows_of(content, number, first, schemas)
                if texts is not None and rows.problem is None:
                    texts[name] = content.text
            _insert(connection, name, known, rows, first)
            number, first = number + 1, first + len(rows.records)


def forget_file(connection: sqlite3.Connection, name: FileName) -> None:
    """Remove what the index holds of a file, if anything."""
    found = connection.execute("SELECT number, first, records FROM files WHERE agent = ? AND kind = ?", name).fetchone()
    if found is None:
        return
    number, first, count = found
    connection.execute("DELETE FROM records WHERE number BETWEEN ? AND ?", (first, first + count - 1))
    connection.execute("DELETE FROM tags WHERE record BETWEEN ? AND ?", (first, first + count - 1))
    connection.execute("DELETE FROM files WHERE number = ?", (number,))


def _unread(number: int, error: AmlError, stamp: Fingerprint, now_ns: int) -> Known:
    # damage stays until the file changes; anything else, such as a missing right, may be over next time
    stamp = stamp if isinstance(error, DamagedError) else UNKNOWN
    return Known(number, stamp, is_settled(stamp, now_ns), b"", False, error.message)


def _insert(connection: sqlite3.Connection, name: FileName, known: Known, rows: Rows, first: int) -> None:
    row = (known.number, *name, *known.stamp, known.settled, known.sha256, known.is_gzip)
    counts = (rows.unpacked, first, len(rows.records), rows.odd, rows.too_new, rows.problem)
    connection.execute(_INSERT_FILE, (*row, *counts))
    connection.executemany(_INSERT_RECORDS, rows.records)
    tags = sorted(rows.tags)
    rest = len(tags) % _TOGETHER
    together = (tags[place : place + _TOGETHER] for place in range(0, len(tags) - rest, _TOGETHER))
    connection.executemany(_INSERT_TAGS, (list(chain.from_iterable(some)) for some in together))
    connection.executemany(_INSERT_TAG, tags[len(tags) - rest :])


def _next_numbers(connection: sqlite3.Connection) -> tuple[int, int]:
    """Numbers that no file and no record has in this index."""
    file, record = connection.execute("SELECT max(number), max(first + records) FROM files").fetchone()
    return (file or 0) + 1, record or 1


def _rows_of(content: Content, file: int, first: int, schemas: _Schemas) -> Rows:
    from xxhash import xxh3_128_digest

    rows = Rows(unpacked=len(content.text))
    try:
        array = content.array()
    except DamagedError as error:
        rows.problem = error.message
        return rows
    # looked up once, since the loop below runs for each record
    records, tagged, encode, number = rows.records, rows.tags, msgspec.json.encode, first
    views = view_records(array, KIND_BY_PLURAL[content.file.kind].view)
    for one, (start, end), element in zip(views, array.spans, array.elements, strict=True):
        if isinstance(one, Unreadable):
            # a null is what a failed writer left: there is nothing in it that could be left out
            rows.odd += bytes(element) != b"null"
            rows.too_new += one.too_new
            continue
        tags = one.tag_names if one.tags else ()
        if tags:
            tagged += [(tag, number) for tag in tags]
        records.append(
            (
                number,
                file,
                one.ident,
                *one.judgement,
                *one.moments,
                start,
                end - start,
                xxh3_128_digest(element),
                encode(tags) if tags else None,
                1 if one.is_inactive else 0,  # a bool takes SQLite's adapter the long way round
                schemas[one.schema_version],
            )
        )
        number += 1
    return rows
