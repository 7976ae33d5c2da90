"""``MemoryLoader``: single records of a store, on demand, without loading the store."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

from aml.errors import DamagedError, NotFoundError, UsageError
from aml.index.answers import Answers
from aml.index.cache import Key, RecordCache
from aml.index.folder import index_folder
from aml.index.hot_set import DEFAULT_CACHE_BYTES, load_hot
from aml.index.index import Index, Unread, told_of_damage
from aml.index.lookup import named, only_one
from aml.index.query import KIND_NAMES, Found, Hit, Query, as_indexed, checked, find, is_wanted, spelt_out
from aml.index.reading import RecordReader, StoredRecord, read_current
from aml.index.statistics import Statistics, Tally
from aml.store.open import Store, open_store


class MemoryLoader:
    """Single records of a store, read on demand through the index; those used last stay in memory.

    Every call compares the index with the files first, so that no answer is older than its call. Threads may share a
    loader. ``cache_bytes`` is how much of records it keeps; ``user_cache`` is where the index of a store on a network
    file system lies (default: ``.cache`` in the user's home). Close it, or use it with ``with``: its figures then join
    those of other processes.
    """

    def __init__(
        self, store: Store | Path | str, *, cache_bytes: int = DEFAULT_CACHE_BYTES, user_cache: Path | None = None
    ) -> None:
        self.store = store if isinstance(store, Store) else open_store(store)
        folder = index_folder(self.store, user_cache)
        self._lock = RLock()
        self._index = Index(self.store, folder)
        self._reader = RecordReader(self.store)
        self._cache = RecordCache(cache_bytes)
        self._tally = Tally(folder)
        self._end = weakref.finalize(self, _let_go, self._tally, self._index)
        self._answers = Answers()
        self._refresh()
        # the most valuable last, so that it is the last to go
        for one in reversed(load_hot(self._index)):
            self._cache.keep((one.agent, one.kind, one.id, one.hash), one.raw)
        self._cache.evictions = 0

    def get(self, ident: str, *, agent: str | None = None, kind: str | None = None) -> StoredRecord:
        """The record of that id, as it is in the store now.

        Raises NotFoundError where there is none, and where several agents or kinds have one (say which); DamagedError
        where there is none in the files that can be read, and others cannot; UsageError for an unknown agent or kind;
        other AmlError.
        """
        where, ident = _where(agent, kind), _ident(ident)
        with self._lock, self._timed():

            def look_up() -> Hit:
                self._answers.belong_to(self._index)
                return self._only(ident, where)

            try:
                hit, raw = read_current(self._index, self._reader, look_up, lambda hit: self._cache.get(_key(hit)))
            except NotFoundError as error:
                if not self._named(ident, where):
                    self._refuse_to_know(where, error)
                raise
            key, found = _key(hit), hit[0]
            if key in self._cache:
                self._tally.now.hits += 1
            else:
                self._tally.now.misses += 1
                self._cache.keep(key, raw)
        return StoredRecord(found.agent, found.kind, found.id, raw)

    def exists(self, ident: str, *, agent: str | None = None, kind: str | None = None) -> bool:
        """Whether any record has that id. Raises UsageError for an unknown agent or kind."""
        where, ident = _where(agent, kind), _ident(ident)
        with self._lock, self._timed():
            self._refresh()
            return bool(self._named(ident, where))

    def find(self, query: Query | None = None, **filters: Any) -> tuple[Found, ...]:
        """What answers ``query``, or the query of those ``filters`` (the fields of ``Query``), in its order.

        Raises UsageError for an unknown agent or kind, and for a query that contradicts itself.
        """
        asked = spelt_out(query or Query(**filters))
        with self._lock, self._timed():
            self._refresh()
            if asked.agents:
                checked(self.store, asked)
            hits = self._answers.recall(asked)
            if hits is None:
                hits = self._answers.keep(asked, find(self._index, checked(self.store, asked)))
            return tuple([found for found, _ in hits])

    @property
    def statistics(self) -> Statistics:
        """What this loader counted, and with it all that others did and have closed."""
        with self._lock:
            return self._tally.all()

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What no answer of this loader can show: files that cannot be read, and elements that are no records."""
        with self._lock, self._timed():
            self._refresh()
            return self._index.unread()

    @property
    def trouble(self) -> str:
        """Why the index cannot be kept, so that each process reads all files; empty where it can."""
        return self._index.trouble

    def close(self) -> None:
        """Keep the figures, and let the index go: the loader may not be used any more."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_to_know(self, where: Query, error: NotFoundError) -> None:
        """A record that is in none of the files that can be read may be in one of the others."""
        found = [one for one in self._index.unread() if one.problem and is_wanted((one.agent, one.kind), where)]
        if found:
            names = "; ".join(f"{one.agent}/{one.kind}: {one.problem}" for one in found)
            raise DamagedError(
                f"{error.message} in what can be read; left out: {names}", advice=error.advice
            ) from error

    def _refresh(self) -> None:
        self._index.refresh()
        self._answers.belong_to(self._index)

    def _only(self, ident: str, where: Query) -> Hit:
        hits = self._named(ident, where)
        if len({place.file for _, place in hits}) == 1:
            return hits[0]
        return only_one(self._index, ident, where)

    def _named(self, ident: str, where: Query) -> list[Hit]:
        hits = self._answers.recall((ident, where))
        if hits is not None:
            return hits
        if self._answers.is_surely_not_here(self._index, ident):
            hits = []
        else:
            hits = named(self._index, ident, where)
        if not hits:
            checked(self.store, where)
        return self._answers.keep((ident, where), hits)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        if not self._end.alive:
            raise UsageError("this loader is closed", advice="make another one")
        began = time.perf_counter()
        try:
            with told_of_damage(self._index):
                yield
        finally:
            self._tally.took(time.perf_counter() - began)
            self._tally.now.evictions += self._cache.evictions
            self._cache.evictions = 0


def _let_go(tally: Tally, index: Index) -> None:
    tally.keep()
    index.close()


def _key(hit: Hit) -> Key:
    found, place = hit
    return (*place.file, found.id or "", place.hash)


def _ident(ident: str) -> str:
    """Raises UsageError for what is no text."""
    if not isinstance(ident, str):
        raise UsageError(f"an id is text, not {ident!r}")
    return as_indexed(ident)


def _where(agent: str | None, kind: str | None) -> Query:
    return Query(agents=() if agent is None else (agent,), kinds=() if kind is None else (KIND_NAMES.get(kind, kind),))
