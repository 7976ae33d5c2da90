"""The tables of the index, and connections to them.

A database that others may read is never written to: a change makes a new file, sealed, which takes the old one's place
by a rename. So a reader sees one state from beginning to end, without locks, and a crash leaves the old one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote_from_bytes

#: Raised with any change to the tables, or to what is written into them: an index of another version is made anew.
VERSION = 2

RECORDS = "records.sqlite"
WORDS = "words.sqlite"

_RECORD_TABLES = """
CREATE TABLE made (version INTEGER NOT NULL, max_unpacked_bytes INTEGER NOT NULL);
CREATE TABLE files (
    number INTEGER PRIMARY KEY, agent TEXT NOT NULL, kind TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, settled INTEGER NOT NULL, sha256 BLOB NOT NULL, gzip INTEGER NOT NULL,
    unpacked INTEGER, first INTEGER NOT NULL, records INTEGER NOT NULL, odd INTEGER NOT NULL, too_new INTEGER NOT NULL,
    problem TEXT, UNIQUE (agent, kind)
);
CREATE TABLE records (
    number INTEGER PRIMARY KEY, file INTEGER NOT NULL, id TEXT, value REAL NOT NULL, confidence REAL, success REAL,
    executions REAL, created REAL, used REAL, start INTEGER NOT NULL, length INTEGER NOT NULL, hash BLOB NOT NULL,
    tag_names BLOB, inactive INTEGER NOT NULL, schema INTEGER NOT NULL
);
CREATE TABLE schemas (number INTEGER PRIMARY KEY, version TEXT NOT NULL);
CREATE TABLE tags (tag TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (tag, record)) WITHOUT ROWID;
"""
_RECORD_INDEXES = "CREATE INDEX IF NOT EXISTS ids ON records (id)"

_WORD_TABLES = """
CREATE TABLE made (version INTEGER NOT NULL, of BLOB NOT NULL);
CREATE TABLE texts (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (text, content = '');
"""

#: KiB of pages that a connection may keep in memory.
_CACHE_KIB = 16_384


def connect_for_writing(path: Path | None) -> sqlite3.Connection:
    """A database that nobody else knows of: a file under a name of its own, or None for memory.

    It is not protected against a crash, which would leave a file that nobody asks for.
    """
    name = ":memory:" if path is None else f"file:{_quoted(path)}"
    connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)
    # what it sorts stays in memory: the folder for temporary files may be full
    connection.executescript(
        f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{_CACHE_KIB};"
    )
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A database that nobody changes any more, opened without locks."""
    connection = sqlite3.connect(reading_name(path), uri=True, isolation_level=None, check_same_thread=False)
    connection.executescript(f"PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{_CACHE_KIB};")
    return connection


def copy_database(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Fill an empty database with what another holds, but for its seal."""
    source.backup(target)
    target.executescript("PRAGMA user_version=0; PRAGMA application_id=0;")


def reading_name(path: Path) -> str:
    """What SQLite calls a database that nobody changes any more."""
    return f"file:{_quoted(path)}?mode=ro&immutable=1"


def _quoted(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path))


def create_record_tables(connection: sqlite3.Connection, max_unpacked_bytes: int) -> None:
    connection.executescript(f"PRAGMA page_size=8192; {_RECORD_TABLES}")
    connection.execute("INSERT INTO made VALUES (?, ?)", (VERSION, max_unpacked_bytes))


def create_record_indexes(connection: sqlite3.Connection) -> None:
    """Made when the rows are in: that is faster than keeping them up row by row."""
    connection.execute(_RECORD_INDEXES)


def create_word_tables(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.OperationalError where this SQLite has no full-text search."""
    connection.executescript(f"PRAGMA page_size=8192; {_WORD_TABLES}")
    # the segments of the first texts stay apart: merging them takes as long again, and makes a search no faster to feel
    set_merging(connection, 0)
    connection.execute("INSERT INTO words (words, rank) VALUES ('crisismerge', 1000)")
    connection.execute("INSERT INTO made VALUES (?, x'')", (VERSION,))


def set_merging(connection: sqlite3.Connection, segments: int) -> None:
    """From how many segments of words on texts that are added merge some of them; 0: never."""
    connection.execute("INSERT INTO words (words, rank) VALUES ('automerge', ?)", (segments,))


def has_version(connection: sqlite3.Connection, max_unpacked_bytes: int) -> bool:
    """Whether these are record tables of this version, made with that limit. Raises sqlite3.Error for
    anything else."""
    found: object = connection.execute("SELECT * FROM made").fetchone()
    return found == (VERSION, max_unpacked_bytes)
