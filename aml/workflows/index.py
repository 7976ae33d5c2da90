"""Finding and reading records, and keeping at hand what that needs. Nothing here changes a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, structs

from aml.errors import PRECEDENCE, AmlError, DamagedError, ExitStatus, FileAccessError, NotFoundError
from aml.index.folder import index_folder
from aml.index.hot_set import DEFAULT_CACHE_BYTES, choose_hot, read_hot, write_hot
from aml.index.index import Index, Unread, told_of_damage
from aml.index.lookup import only_one
from aml.index.query import Found, Hit, Place, Query, checked, find, is_wanted
from aml.index.reading import RecordReader, StoredRecord, decode_record, read_current
from aml.index.statistics import Tally
from aml.model.summary import summary_of
from aml.store.open import Store
from aml.workflows.notes import stranger_notes, unfinished_notes


class QueryRecord(Found, frozen=True):
    """A record that was found; ``summary`` is what it says of itself, in one line."""

    summary: str


class QueryReport(Struct, frozen=True):
    """What answers a query; ``more`` is whether there would have been more than were asked for. ``unread`` is what of
    the agents and kinds in question could not be looked at."""

    records: tuple[QueryRecord, ...]
    more: bool
    unread: tuple[Unread, ...]
    notes: tuple[str, ...]
    status: ExitStatus


class ShowReport(Struct, frozen=True):
    """One record: what is known of it, and the record itself."""

    found: Found
    record: StoredRecord
    notes: tuple[str, ...]


class IndexReport(Struct, frozen=True):
    """What it took to bring the index up to date, or would take: files to read and to forget, and what it holds then.

    ``rebuilt`` is whether it is made from nothing.
    """

    dry_run: bool
    rebuilt: bool
    files_read: int
    files_gone: int
    files: int
    records: int
    seconds: float
    unread: tuple[Unread, ...]
    notes: tuple[str, ...]
    status: ExitStatus


class WarmReport(Struct, frozen=True):
    """The hot set that was written, or would be: its records, their bytes, and how many bytes a loader keeps."""

    dry_run: bool
    records: int
    bytes: int
    cache_bytes: int
    lowest_value: float | None
    notes: tuple[str, ...]
    status: ExitStatus


def query(store: Store, asked: Query, *, summaries: bool = True, user_cache: Path | None = None) -> QueryReport:
    """The records that answer a query, with ``summaries`` where they are wanted: those are read from the store.

    Raises UsageError for an unknown agent or kind and for a query that contradicts itself, DamagedError where nothing
    of what was asked for can be read, and other AmlError.
    """
    asked = checked(store, asked)
    one_more = asked if asked.limit is None else structs.replace(asked, limit=asked.limit + 1)
    with _opened(store, user_cache) as index:
        index.refresh()
        hits = find(index, one_more)
        unread = _unread(index, asked)
        reader = RecordReader(store)
        records = tuple(
            QueryRecord(**structs.asdict(found), summary=_summary(index, reader, place) if summaries else "")
            for found, place in hits[: asked.limit]
        )
        return QueryReport(records, len(hits) > len(records), unread, _notes(index, unread), _status(unread))


def show_record(store: Store, ident: str, where: Query | None = None, *, user_cache: Path | None = None) -> ShowReport:
    """The record of that id, or with the only id that begins so, among the agents and kinds of ``where``.

    Raises NotFoundError where there is none or several, UsageError for an unknown agent or kind, DamagedError where
    nothing of what was asked for can be read, and other AmlError.
    """
    where = checked(store, where or Query())
    with _opened(store, user_cache) as index:

        def look_up() -> Hit:
            try:
                return only_one(index, ident, where, prefix=True)
            except NotFoundError as error:
                notes = _told(_unread(index, where))
                raise NotFoundError(error.message, advice="; ".join([error.advice, *notes])) from error

        (found, _), raw = read_current(index, RecordReader(store), look_up, lambda _: None)
        return ShowReport(found, StoredRecord(found.agent, found.kind, found.id, raw), _notes(index, ()))


def optimize_index(
    store: Store, *, rebuild: bool = False, dry_run: bool = False, user_cache: Path | None = None
) -> IndexReport:
    """Bring the index up to date, or make it anew; a dry run does so in memory. Raises AmlError where the store cannot
    be listed."""
    began = time.monotonic()
    with _opened(store, user_cache, keep=not dry_run) as index:
        done = index.rebuild() if rebuild else index.refresh()
        files, records = index.connection.execute("SELECT count(*), coalesce(sum(records), 0) FROM files").fetchone()
        unread = index.unread()
        status = _status(unread, failed=bool(index.trouble))
        return IndexReport(
            dry_run=dry_run,
            rebuilt=done.anew,
            files_read=done.read,
            files_gone=done.gone,
            files=files,
            records=records,
            seconds=round(time.monotonic() - began, 3),
            unread=unread,
            notes=_notes(index, unread),
            status=ExitStatus.DONE if dry_run else status,
        )


def warm_cache(
    store: Store, *, cache_bytes: int = DEFAULT_CACHE_BYTES, dry_run: bool = False, user_cache: Path | None = None
) -> WarmReport:
    """Write the hot set for loaders that keep ``cache_bytes`` of records. Raises FileAccessError where that cannot be
    done, and other AmlError."""
    with _opened(store, user_cache, keep=not dry_run) as index:
        index.refresh()
        chosen = choose_hot(index, cache_bytes)
        records = len(chosen)
        if not dry_run:
            if index.folder is None:
                raise FileAccessError(index.trouble or "there is no place for the hot set", advice=_WAY_OUT)
            hot = read_hot(index, chosen)
            write_hot(index.folder, index, hot)
            records = len(hot)
        return WarmReport(
            dry_run=dry_run,
            records=records,
            bytes=sum(found.size for found, _ in chosen),
            cache_bytes=cache_bytes,
            lowest_value=min((found.value for found, _ in chosen), default=None),
            notes=_notes(index, index.unread()),
            status=ExitStatus.DONE if dry_run else _status(index.unread()),
        )


#: What to do where nothing can be kept.
_WAY_OUT = "give the user the right to write there, free some space, or move away what is in its place"


@contextmanager
def _opened(store: Store, user_cache: Path | None, *, keep: bool = True) -> Iterator[Index]:
    """The index of a store, and the time of what is done with it among the figures that are kept."""
    index = Index(store, index_folder(store, user_cache), keep=keep)
    began = time.monotonic()
    try:
        with told_of_damage(index):
            yield index
        if index.folder is not None:
            tally = Tally(index.folder)
            tally.took(time.monotonic() - began)
            tally.keep()
    finally:
        index.close()


def _unread(index: Index, asked: Query) -> tuple[Unread, ...]:
    """What of the agents and kinds in question cannot be looked at. Raises DamagedError where that is all of them."""
    files = [name for name in index.known if is_wanted(name, asked)]
    unread = tuple(one for one in index.unread() if (one.agent, one.kind) in files)
    if files and all(index.known[name].problem for name in files):
        first, *others = _told(unread)
        more = f"; and {len(others):,} more" if others else ""
        raise DamagedError(f"nothing of it can be read: {first}{more}", advice="aml monitor health tells what mends it")
    return unread


def _summary(index: Index, reader: RecordReader, place: Place) -> str:
    """What a record says of itself; nothing where its file has just changed."""
    try:
        raw = reader.read(index, place)
        return "" if raw is None else summary_of(decode_record(raw))
    except AmlError:
        return ""


def _notes(index: Index, unread: tuple[Unread, ...]) -> tuple[str, ...]:
    return (
        *([index.trouble] if index.trouble else []),
        *unfinished_notes(index.store),
        *stranger_notes(index.store),
        *_told(unread),
    )


def _told(unread: tuple[Unread, ...]) -> list[str]:
    notes = []
    for one in unread:
        name = f"{one.agent}/{one.kind}"
        if one.problem is not None:
            notes.append(f"left out: {name}: {one.problem}")
        else:
            newer = f", {one.too_new} of a newer schema" if one.too_new else ""
            elements = "1 element" if one.odd == 1 else f"{one.odd:,} elements"
            notes.append(f"left out of {name}: {elements} that cannot be read as records{newer}")
    return notes


def _status(unread: tuple[Unread, ...], *, failed: bool = False) -> ExitStatus:
    found = {ExitStatus.DONE}
    if failed:
        found.add(ExitStatus.FAILED)
    if unread:
        found.add(ExitStatus.PARTIAL)
    if any(one.too_new for one in unread):
        found.add(ExitStatus.SCHEMA)
    return next(status for status in PRECEDENCE if status in found)
