"""What a command does to the disk, counted without a clock: files opened, bytes read of them, syncs, renames.

Files are counted by where they lie: ``records`` are the record files of the store, ``store`` all else in it, ``state``
AML's own folder but for its ``index``, and ``keep`` the repository with archives and quarantine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.disk import Library

_KINDS = ("patterns.json", "solutions.json", "decisions.json")


@dataclass
class Calls:
    """By place: how often files were opened (a database of SQLite counts as one), how many bytes were read of
    them by ``os.read`` and ``os.pread``, how many syncs and renames went there."""

    opened: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    synced: Counter[str] = field(default_factory=Counter)
    renamed: Counter[str] = field(default_factory=Counter)


class _Watch:
    """Where events of the interpreter go while they are counted: a hook cannot be taken away again."""

    project: Path | None = None
    calls = Calls()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.project is not None and event in ("open", "sqlite3.connect") and not isinstance(arguments[0], int):
        flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
        place = _place(arguments[0])
        if place is not None and not flags & getattr(os, "O_DIRECTORY", 0):
            _Watch.calls.opened[place] += 1


sys.addaudithook(_hook)


def _place(path: Any) -> str | None:
    if path is None or isinstance(path, int) or _Watch.project is None:
        return None
    name = os.fsdecode(path).removeprefix("file:").partition("?")[0]
    loom = _Watch.project / ".loom"
    try:
        top, *rest = (Path.cwd() / name).relative_to(loom).parts
    except ValueError:
        return None
    if top == "memory":
        return "records" if rest and rest[-1] in _KINDS else "store"
    if top == "memory.aml":
        return "index" if rest[:1] == ["index"] else "state"
    return "keep" if top == "memory-backup" else None


@contextmanager
def counted(project: Path) -> Iterator[Calls]:
    """Count what this process does below ``project/.loom`` until the block ends; all threads together."""
    _Watch.project, _Watch.calls = project.resolve(), Calls()
    with pytest.MonkeyPatch.context() as patch:
        _stand_in(patch, _Watch.calls)
        try:
            yield _Watch.calls
        finally:
            _Watch.project = None


def _stand_in(patch: pytest.MonkeyPatch, calls: Calls) -> None:
    places: dict[int, str | None] = {}
    real = {name: getattr(os, name) for name in ("open", "close", "read", "rename", "replace", "pread")}

    def at(place: str | None, counter: Counter[str], number: int = 1) -> None:
        if place is not None:
            counter[place] += number

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = int(real["open"](path, flags, mode, dir_fd=dir_fd))
        places[descriptor] = _place(path)
        return descriptor

    def closed(descriptor: int) -> None:
        places.pop(descriptor, None)
        real["close"](descriptor)

    def read(descriptor: int, size: int) -> bytes:
        data: bytes = real["read"](descriptor, size)
        at(places.get(descriptor), calls.read, len(data))
        return data

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        data: bytes = real["pread"](descriptor, size, offset)
        at(places.get(descriptor), calls.read, len(data))
        return data

    def renamed(name: str) -> Any:
        def call(source: Any, target: Any, **keywords: Any) -> None:
            at(_place(target), calls.renamed)
            real[name](source, target, **keywords)

        return call

    def synced(descriptor: int) -> None:
        at(places.get(descriptor), calls.synced)

    def flushed(descriptor: int) -> int:
        synced(descriptor)
        return 0

    patch.setattr(os, "open", opened)
    patch.setattr(os, "close", closed)
    patch.setattr(os, "read", read)
    patch.setattr(os, "pread", read_at)
    patch.setattr(os, "rename", renamed("rename"))
    patch.setattr(os, "replace", renamed("replace"))
    patch.setattr(os, "fsync", synced)
    patch.setattr(os, "fdatasync", synced)
    library = ctypes.CDLL
    patch.setattr(ctypes, "CDLL", lambda *args, **keywords: Library(library(*args, **keywords), flushed))
