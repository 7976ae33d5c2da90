"""What writers left beside the record files when they died: unfinished writes, which go when they are old, and locks,
which are only told."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from aml.errors import FileAccessError
from aml.fs.access import explained
from aml.model.timestamps import SECONDS_PER_DAY
from aml.store.layout import UNFINISHED, is_text
from aml.store.open import Store

UNFINISHED_WRITE, STALE_LOCK = "unfinished_write", "stale_lock"

_TEMPORARY = f".json{UNFINISHED}"
_LOCK = ".lock"

#: Bytes of a name that file systems take.
_LONGEST_NAME = 255

#: A live agent touches its lock every few seconds; one that nobody touched for so long (seconds) has no owner.
_STALE_SECONDS = 60.0


class Leftover(Struct, frozen=True):
    """One leftover. ``path`` is inside the store, ``age`` seconds since it was last written to, ``size`` in bytes."""

    path: str
    what: str
    age: float
    size: int


def find_leftovers(
    store: Store, folders: Sequence[str], now: float, days: float
) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
    """Unfinished writes older than ``days`` and stale locks in folders of the store, and what could not be listed.

    ``now`` in seconds since 1970 UTC.
    """
    found: list[Leftover] = []
    notes: list[str] = []
    for folder in folders:
        if os.path.islink(store.root / folder) or not os.path.isdir(store.root / folder):
            continue
        try:
            found += _in_folder(store.root, folder, now, days)
        except FileAccessError as error:
            notes.append(error.message)
    return tuple(found), tuple(notes)


def _in_folder(root: Path, folder: str, now: float, days: float) -> list[Leftover]:
    found = []
    with explained("list", root / folder), os.scandir(root / folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if not entry.name.endswith((_TEMPORARY, _LOCK)) or not is_text(entry.name):
                continue
            if len(os.fsencode(entry.name)) >= _LONGEST_NAME:
                continue  # there is no room for the name of its lock
            try:
                one = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # its writer is alive, and has just ended
            age = now - one.st_mtime
            path = f"{folder}/{entry.name}"
            if entry.name.endswith(_TEMPORARY):
                if stat.S_ISREG(one.st_mode) and age > days * SECONDS_PER_DAY:
                    found.append(Leftover(path, UNFINISHED_WRITE, age, one.st_size))
            elif stat.S_ISDIR(one.st_mode) and age > _STALE_SECONDS:
                found.append(Leftover(path, STALE_LOCK, age, 0))
    return found
