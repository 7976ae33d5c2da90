"""Search by words: a second database, made at the first question that has any, and brought up to date at the next.

It knows each different text once, by its hash: an agent writes a whole file for one new record, and only that one is
new here. Texts that no record has any more stay until they are as many as the others. They are never shown, since what
is found is looked up among the records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event

from aml.codec.strings import strings_of
from aml.errors import AmlError, ChangedError, InterruptedRunError, UsageError
from aml.fs.parallel import on_own_stack
from aml.index.fingerprints import FileName
from aml.index.index import CANNOT_KEEP, Index, open_kept, replace_database
from aml.index.schema import (
    VERSION,
    WORDS,
    connect_for_writing,
    copy_database,
    create_word_tables,
    set_merging,
)
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.layout import record_file
from aml.store.read import read_ahead

#: How often the index is brought up to date again because files change while their words are read.
_ATTEMPTS = 5
#: From how many segments of words on later texts merge some of them: FTS5's own default.
_MERGED_SEGMENTS = 4
#: Texts without a record that are not worth beginning anew for.
_FEW = 1000

#: The texts found last: hash and rank, the lowest of which fits best.
_HITS_TABLE = "CREATE TEMP TABLE IF NOT EXISTS hits (hash BLOB PRIMARY KEY, rank REAL NOT NULL) WITHOUT ROWID"

#: Records that hold more different words than that all at once are not what anybody looks for.
_MOST_WORDS = 100

#: Where records lie in their file, by their hashes: first byte and length.
_Places = dict[bytes, tuple[int, int]]


class _ChangedMeanwhileError(Exception):
    """One of the files whose words are missing is not what the index says any more."""

    def __init__(self, names: Collection[FileName]) -> None:
        super().__init__()
        self.names = names


def match_words(index: Index, text: str) -> None:
    """Leave in the table ``temp.hits`` of the index all texts that hold every word of ``text``; a word that ends in *
    stands for all that begin so.

    A word is a run of letters and digits, whatever their case and accents; several joined by other signs must follow
    each other. Raises UsageError where ``text`` has no word, or this SQLite cannot search.
    """
    expression = _expression(text)
    suspects: set[FileName] = set()
    texts: dict[FileName, bytes] = {}
    for _ in range(_ATTEMPTS):
        if index.words is None:
            try:
                stop = Event()
                index.words = on_own_stack(partial(_open, index, texts, stop.is_set), stop.set)
                index.watch(WORDS)
            except _ChangedMeanwhileError as error:
                # they are read for the index now, so that rows and words come from the same bytes
                suspects.update(error.names)
                index.refresh(suspects=suspects, texts=texts)
                continue
        hits = index.words.execute(
            "SELECT t.hash, w.rank FROM words AS w JOIN texts AS t ON t.number = w.rowid WHERE words MATCH ?",
            (expression,),
        ).fetchall()
        connection = index.connection
        connection.execute(_HITS_TABLE)
        connection.execute("DELETE FROM temp.hits")
        try:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO temp.hits VALUES (?, ?)", hits)
            connection.execute("COMMIT")
        except BaseException:
            # also on an interrupt: the next question begins a transaction of its own
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return
    raise ChangedError(
        "the store keeps changing while its words are read", advice="run the command again when its writers are done"
    )


def words_are_current(index: Index, folder: Path) -> bool:
    """Whether the words that are kept in ``folder`` are those of the present records, so that none need be added."""
    base = open_kept(folder / WORDS)
    if base is None:
        return False
    try:
        return bool(index.seal) and _read_made(base) == (VERSION, index.seal)
    finally:
        base.close()


def _expression(text: str) -> str:
    """``text`` in the language of FTS5, in which each word is quoted, so that nothing of it is a command there."""
    words = []
    for word in text.encode(errors="backslashreplace").decode().replace("\0", " ").replace('"', " ").split():
        stem = word.rstrip("*")
        if any(character.isalnum() for character in stem):
            words.append(f'"{stem}"' + (" *" if word != stem else ""))
    words = list(dict.fromkeys(words))
    if len(words) > _MOST_WORDS:
        raise UsageError(f"{len(words):,} words are too many for one query", advice=f"say at most {_MOST_WORDS}")
    if not words:
        raise UsageError(f"{text!r} has no word to search for", advice="give one or more words, such as 'cache price'")
    return " ".join(words)


def _open(index: Index, texts: Mapping[FileName, bytes], is_cancelled: Callable[[], bool]) -> sqlite3.Connection:
    """The words of all records that the index has; ``texts`` are files that need not be read.

    Raises _ChangedMeanwhileError where one of the others is not what the index says, and InterruptedRunError before the
    next file once it ``is_cancelled``.
    """
    base = None if index.folder is None else open_kept(index.folder / WORDS)
    if base is not None and index.seal and _read_made(base)[1] == index.seal:
        return base
    try:
        kept = base if base is not None and _is_worth_keeping(index, base) else None
        if index.folder is not None:
            with suppress(*CANNOT_KEEP):
                return replace_database(index.folder, WORDS, partial(_write, index, texts, kept, is_cancelled))
        connection = connect_for_writing(None)
        try:
            _write(index, texts, kept, is_cancelled, connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"the words of the records cannot be searched: {error}", advice="this needs a SQLite with FTS5"
        ) from error
    finally:
        if base is not None:
            base.close()
    return connection


def _is_worth_keeping(index: Index, base: sqlite3.Connection) -> bool:
    if _read_made(base)[0] != VERSION:
        return False
    (texts,) = base.execute("SELECT count(*) FROM texts").fetchone()
    (records,) = index.connection.execute("SELECT count(*) FROM records").fetchone()
    return bool(texts <= 2 * records + _FEW)


def _read_made(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """The version of the tables, and the seal of the index whose records they were made of."""
    version, of = connection.execute("SELECT version, of FROM made").fetchone()
    return version, of


def _write(
    index: Index,
    texts: Mapping[FileName, bytes],
    base: sqlite3.Connection | None,
    is_cancelled: Callable[[], bool],
    connection: sqlite3.Connection,
) -> None:
    if base is None:
        create_word_tables(connection)
    else:
        copy_database(base, connection)
    known = {row[0] for row in connection.execute("SELECT hash FROM texts")}
    missing: dict[FileName, _Places] = {}
    for agent, kind, start, length, digest in index.connection.execute(
        "SELECT f.agent, f.kind, r.start, r.length, r.hash FROM records AS r JOIN files AS f ON f.number = r.file"
    ):
        if digest not in known:
            known.add(digest)
            missing.setdefault((agent, kind), {})[digest] = (start, length)
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM texts").fetchone()
    connection.execute("BEGIN")
    for batch in _strings(index, texts, missing):
        if is_cancelled():
            raise InterruptedRunError("the words were not read any further")
        numbered = [(number + place, *one) for place, one in enumerate(batch, start=1)]
        number += len(batch)
        connection.executemany("INSERT INTO texts VALUES (?, ?)", [one[:2] for one in numbered])
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", [one[::2] for one in numbered])
    set_merging(connection, _MERGED_SEGMENTS)
    connection.execute("UPDATE made SET of = ?", (index.seal,))
    connection.execute("COMMIT")


def _strings(
    index: Index, texts: Mapping[FileName, bytes], missing: Mapping[FileName, _Places]
) -> Iterator[list[tuple[bytes, str]]]:
    """Hashes and words of those records, file by file."""
    from xxhash import xxh3_128_digest

    for name, text in _read(index, texts, missing):
        batch = []
        for digest, (start, length) in missing[name].items():
            raw = text[start : start + length]
            if xxh3_128_digest(raw) != digest:
                raise _ChangedMeanwhileError(missing)
            batch.append((digest, strings_of(raw)))
        yield batch


def _read(
    index: Index, texts: Mapping[FileName, bytes], names: Collection[FileName]
) -> Iterator[tuple[FileName, bytes]]:
    """The unpacked texts of those files."""
    yield from ((name, texts[name]) for name in names if name in texts)
    store = index.store
    files = [
        record_file(store.root, agent, KIND_BY_PLURAL[kind]) for agent, kind in names if (agent, kind) not in texts
    ]
    for file, content in read_ahead(files, store.max_unpacked_bytes):
        if isinstance(content, AmlError):
            raise _ChangedMeanwhileError(names) from content
        yield (file.agent, file.kind), content.text
