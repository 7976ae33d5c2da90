"""The loader's cache: the records used last, as many as fit into so many bytes."""

from __future__ import annotations

from cachetools import LRUCache

Key = tuple[str, str, str, bytes]
"""Agent, kind and id of a record, and the hash of its bytes: a record that changed is another one."""

#: What an entry takes beside the record's bytes: its key, and its share of the tables.
_ENTRY_BYTES = 400


class RecordCache(LRUCache[Key, bytes]):
    """Least recently used records go first; ``evictions`` counts them."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda raw: len(raw) + _ENTRY_BYTES)
        self.evictions = 0

    def keep(self, key: Key, raw: bytes) -> None:
        """Take a record in, unless it is larger than the whole cache."""
        if len(raw) + _ENTRY_BYTES <= self.maxsize:
            self[key] = raw

    def popitem(self) -> tuple[Key, bytes]:
        self.evictions += 1
        return super().popitem()
