"""The index of a small store on disk, and ways to hurt it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aml.index.index import Index
from aml.index.query import Query, find
from aml.store.open import open_store

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "garbage": lambda data: b"garbage" * 2000,
    "a flipped bit in the middle": lambda data: _flipped(data, len(data) // 2),
    "a flipped bit in the header": lambda data: _flipped(data, 50),
    "a flipped bit in the seal": lambda data: _flipped(data, 61),
    "a flipped bit at the end": lambda data: _flipped(data, len(data) - 1),
    "something after the end": lambda data: data + b"\0",
}


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def index_folder_of(memory: Path) -> Path:
    """Where the index of a store on a local disk lies."""
    return memory.with_name(f"{memory.name}.aml") / "index"


def opened(memory: Path) -> Index:
    """The index of a store, current."""
    index = Index(open_store(memory), index_folder_of(memory))
    index.refresh()
    return index


def found_ids(index: Index, **filters: object) -> list[str]:
    """Ids that answer a query, sorted; the index is made current first."""
    index.refresh()
    return sorted(found.id or "" for found, _ in find(index, Query(**filters)))  # type: ignore[arg-type]
