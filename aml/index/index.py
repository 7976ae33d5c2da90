"""The index of one store: opened, compared with the files, brought up to date and kept for the next process."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event

from msgspec import Struct

from aml.errors import DamagedError, FileAccessError
from aml.fs.access import explain
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of, is_temporary, temporary_for
from aml.fs.flock import lock_within
from aml.fs.own_folder import prepare_folder
from aml.fs.parallel import on_own_stack
from aml.index.build import forget_file, write_files
from aml.index.fingerprints import UNKNOWN, FileName, Known, is_settled, is_unchanged, look, still_unreadable
from aml.index.schema import (
    RECORDS,
    connect_for_reading,
    connect_for_writing,
    copy_database,
    create_record_indexes,
    create_record_tables,
    has_version,
)
from aml.index.sealed import database_seal, seal_database
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.open import Store
from aml.store.read import Fingerprint

#: How long (seconds) a file may be there before whoever writes it has its lock, and after it has let go of it.
_WRITE_SECONDS = 5.0

#: What the system says where the index cannot be kept: no rights, no space, no such folder.
CANNOT_KEEP = (OSError, FileAccessError, sqlite3.OperationalError)

#: Inode, size, modification and change time (ns) of a file.
_Stamp = tuple[int, int, int, int]


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Unread(Struct, frozen=True):
    """What a query cannot show: a file, or (``odd``) so many elements of one, of which ``too_new`` have a newer schema
    than AML knows. ``problem`` is None where the file itself can be read."""

    agent: str
    kind: str
    problem: str | None
    odd: int = 0
    too_new: int = 0


class Refreshed(Struct, frozen=True):
    """What it took to make the index current: files read again, files forgotten, and whether it began anew."""

    read: int
    gone: int
    anew: bool


class Index:
    """All records of a store by what is known of them. Call ``refresh`` before each question.

    It is kept in ``folder``; where that is not possible, ``trouble`` says why, and it lasts as long as this object, as
    it does without ``keep``. Not for several threads at once.
    """

    def __init__(
        self, store: Store, folder: Path | None, *, keep: bool = True, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.store = store
        self.trouble = ""
        #: Tells this state of the index from all others; empty where it is not kept.
        self.seal = b""
        self.known: Mapping[FileName, Known] = {}
        #: The words of these records, once somebody asked for them; gone with any change.
        self.words: sqlite3.Connection | None = None
        self._folder = folder
        self._keep = keep
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._stamps: dict[str, _Stamp] = {}

    @property
    def folder(self) -> Path | None:
        """Where files that are derived from this index are kept; None where they cannot be."""
        return self._folder if self._keep and not self.trouble else None

    @property
    def connection(self) -> sqlite3.Connection:
        """The records as of the last ``refresh``."""
        if self._connection is None:
            raise RuntimeError("the index was not refreshed")
        return self._connection

    def refresh(self, *, suspects: Collection[FileName] = (), texts: dict[FileName, bytes] | None = None) -> Refreshed:
        """Make the index say what the files say now; ``suspects`` are read in any case, and ``texts`` takes the
        unpacked text of each file that is read. Raises FileAccessError where the store cannot be listed.
        """
        now_ns = self._clock()
        found = look(self.store)
        if any(self._is_overwritten(name) for name in self._stamps):
            self.close()
        if self._connection is None:
            self._load()
        change = self._compare(found, now_ns, suspects)
        if change and self._load():
            # another process was faster
            change = self._compare(found, now_ns, suspects)
        if not change and self._connection is not None:
            return Refreshed(0, 0, False)
        anew = self._connection is None
        self._update(change, found, now_ns, texts)
        return Refreshed(len(change.read), len(change.gone), anew)

    def rebuild(self) -> Refreshed:
        """Forget what is known, and read every file."""
        self.close()
        now_ns, found = self._clock(), look(self.store)
        self._update(_Change(list(found), [], []), found, now_ns)
        return Refreshed(len(found), 0, True)

    def outdated(self) -> tuple[int, int] | None:
        """How many files a refresh would read and forget now; None where there is no index that is kept. Nothing is
        written. Raises FileAccessError where the store cannot be listed."""
        found = look(self.store)
        if self._connection is None and not self._load():
            return None
        change = self._compare(found, self._clock(), ())
        return len(change.read), len(change.gone)

    def unread(self) -> tuple[Unread, ...]:
        """What queries cannot show, by agent and kind."""
        rows = self.connection.execute(
            "SELECT agent, kind, problem, odd, too_new FROM files WHERE problem IS NOT NULL OR odd ORDER BY agent, kind"
        )
        return tuple(Unread(*row) for row in rows)

    def close(self) -> None:
        for connection in (self._connection, self.words):
            if connection is not None:
                connection.close()
        self._connection, self.words, self.known, self.seal, self._stamps = None, None, {}, b"", {}

    def watch(self, name: str) -> None:
        """From now on, tell at each ``refresh`` whether somebody wrote into that open database: AML never does."""
        stamp = None if self.folder is None else _stamp(self.folder / name)
        if stamp is not None:
            self._stamps[name] = stamp

    def _is_overwritten(self, name: str) -> bool:
        now = None if self._folder is None else _stamp(self._folder / name)
        # another file in its place does no harm to the open one
        return now is not None and now[0] == self._stamps[name][0] and now != self._stamps[name]

    def _compare(self, found: Mapping[FileName, Fingerprint], now_ns: int, suspects: Collection[FileName]) -> _Change:
        change = _Change([], [name for name in self.known if name not in found], [])
        for name, stamp in found.items():
            known = self.known.get(name)
            if known is None or name in suspects:
                change.read.append(name)
            elif UNKNOWN in (stamp, known.stamp):
                if not still_unreadable(self.store, name, known):
                    change.read.append(name)
            elif stamp != known.stamp:
                change.read.append(name)
            elif not known.settled:
                if not is_unchanged(self.store, name, KIND_BY_PLURAL[name[1]], known):
                    change.read.append(name)
                elif is_settled(stamp, now_ns):
                    change.settled.append(name)
        return change

    def _load(self) -> bool:
        """Take up the index as another process left it; False where there is no other one that is whole."""
        if self._folder is None or (self._connection is not None and self.folder is None):
            # where it cannot be kept, what is in memory is newer
            return False
        connection = open_kept(self._folder / RECORDS)
        if connection is None:
            return False
        if _seal_of(connection) == self.seal or not has_version(connection, self.store.max_unpacked_bytes):
            connection.close()
            return False
        self._take(connection)
        return True

    def _update(
        self,
        change: _Change,
        found: Mapping[FileName, Fingerprint],
        now_ns: int,
        texts: dict[FileName, bytes] | None = None,
    ) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if self._connection is None:
                create_record_tables(connection, self.store.max_unpacked_bytes)
            else:
                copy_database(self._connection, connection)
            connection.execute("BEGIN")
            for name in change.gone:
                forget_file(connection, name)
            connection.executemany("UPDATE files SET settled = 1 WHERE agent = ? AND kind = ?", change.settled)
            if change.read:
                stop = Event()
                work = partial(write_files, connection, self.store, change.read, found, now_ns, texts, stop.is_set)
                on_own_stack(work, stop.set)
            create_record_indexes(connection)
            connection.execute("COMMIT")

        connection = None
        if self._folder is not None and self._keep:
            try:
                connection = replace_database(self._folder, RECORDS, write)
                self.trouble = ""
            except CANNOT_KEEP as error:
                self.trouble = _told(error, self._folder)
        if connection is None:
            connection = connect_for_writing(None)
            try:
                write(connection)
            except BaseException:
                connection.close()
                raise
        self._take(connection)

    def _take(self, connection: sqlite3.Connection) -> None:
        self.close()
        self._connection, self.known, self.seal = connection, _known_files(connection), _seal_of(connection)
        self.watch(RECORDS)


class _Change(Struct, frozen=True):
    """Files to be read, files that are gone, files that are what they were and from now on known by their stamp."""

    read: list[FileName]
    gone: list[FileName]
    settled: list[FileName]

    def __bool__(self) -> bool:
        return bool(self.read or self.gone or self.settled)


@contextmanager
def told_of_damage(index: Index) -> Iterator[None]:
    """Where somebody writes into the open index while it is read: raise DamagedError, and begin anew the next time."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        index.close()
        raise DamagedError(
            f"the index was damaged while it was read: {error}", advice="try again: it is made anew then"
        ) from error


def open_kept(path: Path) -> sqlite3.Connection | None:
    """A database as some process left it, opened for reading; None where there is none that is whole."""
    seal = database_seal(path)
    if seal is None:
        return None
    connection = None
    try:
        connection = connect_for_reading(path)
        if _seal_of(connection) == seal and connection.execute("SELECT version FROM made").fetchone() is not None:
            return connection
    except sqlite3.Error:
        pass
    if connection is not None:
        connection.close()
    return None


def replace_database(folder: Path, name: str, write: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Put a database that ``write`` fills in place of the one of that name; returns it, opened for reading.

    Raises one of ``CANNOT_KEEP``; the one before is then still there.
    """
    prepare_folder(folder)
    with _temporary(folder / name) as temporary:
        connection = connect_for_writing(temporary)
        try:
            write(connection)
        finally:
            connection.close()
        seal_database(temporary)
        # opened under its own name: by the other, it may be a newer one already
        opened = connect_for_reading(temporary)
        try:
            opened.execute("SELECT count(*) FROM sqlite_master").fetchone()
            os.rename(temporary, folder / name)
        except BaseException:
            opened.close()
            raise
    return opened


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """An empty file beside ``path``, gone in the end unless it was renamed; those of the dead go first."""
    _remove_abandoned(path.parent)
    temporary = temporary_for(path)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        # held, it tells others that somebody writes here
        lock_within(descriptor, 0)
        give_to_owner_of(path.parent, descriptor)
        yield temporary
    finally:
        os.close(descriptor)
        with suppress(OSError):
            temporary.unlink()


def _remove_abandoned(folder: Path) -> None:
    for path in folder.iterdir():
        if is_temporary(path.name):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if time.time() - os.fstat(descriptor).st_mtime > _WRITE_SECONDS and lock_within(descriptor, 0):
                        path.unlink()
                finally:
                    os.close(descriptor)


def _seal_of(connection: sqlite3.Connection) -> bytes:
    """The seal in the header of an open database; zeros where it has none."""
    parts = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")]
    seal = b"".join(part.to_bytes(4, "big", signed=True) for part in parts)
    return seal if any(seal) else b""


def _known_files(connection: sqlite3.Connection) -> dict[FileName, Known]:
    rows = connection.execute(
        "SELECT agent, kind, number, device, inode, size, mtime_ns, ctime_ns, settled, sha256, gzip, problem FROM files"
    )
    return {
        (agent, kind): Known(number, tuple(stamp), bool(settled), sha256, bool(is_gzip), problem)
        for agent, kind, number, *stamp, settled, sha256, is_gzip, problem in rows
    }


def _told(error: Exception, folder: Path) -> str:
    if isinstance(error, OSError):
        error = explain(error, "write to", Path(error.filename or folder))
    reason = str(error) if isinstance(error, FileAccessError) else f"{error}: {folder}"
    return f"the index cannot be kept, and every file is read each time: {reason}"
