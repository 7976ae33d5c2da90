"""How much lies on disk below a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aml.fs.access import explained
from aml.store.layout import is_copy
from aml.store.open import Store


def size_of_store(store: Store) -> int:
    """The same for a store, without the copies that the agents' runtime keeps in it for itself."""
    with explained("list", store.root), os.scandir(store.root) as entries:
        found = list(entries)
    return sum(
        _size(entry) if entry.is_file(follow_symlinks=False) else size_below(Path(entry.path))
        for entry in found
        if not (entry.is_symlink() or is_copy(entry.name))
    )


def size_below(folder: Path) -> int:
    """Bytes of all regular files below a folder, by their size; links are not followed.

    What cannot be listed counts for nothing: whoever wants to change it is told then, and everything else goes on.
    """
    total = 0
    waiting = [str(folder)]
    while waiting:
        path = waiting.pop()
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += _size(entry)
    return total


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
