"""What a loader found out about one state of the index: answers, and a filter of ids once that pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache

from aml.index.bloom import load_filter, make_filter
from aml.index.index import Index
from aml.index.query import Hit

if TYPE_CHECKING:
    from pybloom_live import BloomFilter

#: Answers that are remembered, and the most records that one of them may hold.
_ANSWERS, _LONGEST = 4096, 100
#: Look-ups in vain from which on a filter pays: one that is at hand, and one that must be made. SQLite says no in 5
#: microseconds and the filter in 1.5; loading its library takes 13 milliseconds, making it another 90 for 50,000 ids.
LOAD_FROM, MAKE_FROM = 4_000, 30_000


class Answers:
    """Remembered until the index changes."""

    def __init__(self) -> None:
        self._known: LRUCache[object, list[Hit]] = LRUCache(_ANSWERS)
        self._state: object = None
        self._in_vain = 0
        self._filter: BloomFilter | None = None

    def belong_to(self, index: Index) -> None:
        """Forget everything where the index is another one than before."""
        if self._state is not index.connection:
            self._known.clear()
            self._state, self._in_vain, self._filter = index.connection, 0, None

    def recall(self, question: object) -> list[Hit] | None:
        return self._known.get(question)

    def keep(self, question: object, answer: list[Hit]) -> list[Hit]:
        if len(answer) <= _LONGEST:
            self._known[question] = answer
        return answer

    def is_surely_not_here(self, index: Index, ident: str) -> bool:
        """Whether no record has that id; False where one may have it, or nothing can tell as fast as the index."""
        if self._filter is None:
            self._in_vain += 1
            if self._in_vain == LOAD_FROM:
                self._filter = load_filter(index)
            elif self._in_vain == MAKE_FROM:
                self._filter = make_filter(index)
        return self._filter is not None and ident not in self._filter
