"""How much lies on disk below a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from aml.fs.access import explained
from aml.fs.files import files_below
from aml.model.kinds import KIND_BY_FILE_NAME
from aml.store.layout import is_agent_name, is_copy, is_text
from aml.store.open import Store


class StoreSizes(Struct, frozen=True):
    """Bytes on disk of all that lies in a store: of record files by agent and kind, of the other files of each agent,
    of what belongs to no agent, and of the copies that the agents' runtime keeps in it for itself."""

    records: dict[tuple[str, str], int]
    documents: dict[str, int]
    shared: int
    copies: int


def sizes_in_store(store: Store) -> StoreSizes:
    """Raises FileAccessError where the store cannot be listed; what cannot be listed in it counts for nothing."""
    records: dict[tuple[str, str], int] = {}
    documents: dict[str, int] = {}
    shared = copies = 0
    with explained("list", store.root), os.scandir(store.root) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_symlink():
            continue
        size = _size(entry) if entry.is_file(follow_symlinks=False) else size_below(Path(entry.path))
        if is_copy(entry.name):
            copies += size
        elif entry.is_dir(follow_symlinks=False) and is_agent_name(entry.name) and is_text(entry.name):
            own = _record_sizes(entry.path)
            records.update({(entry.name, kind): one for kind, one in own.items()})
            # somebody may have written to them between these two looks
            documents[entry.name] = max(0, size - sum(own.values()))
        else:
            shared += size
    return StoreSizes(records, documents, shared, copies)


def _record_sizes(folder: str) -> dict[str, int]:
    with suppress(OSError), os.scandir(folder) as entries:
        return {
            KIND_BY_FILE_NAME[entry.name].plural: _size(entry)
            for entry in entries
            if entry.name in KIND_BY_FILE_NAME and entry.is_file(follow_symlinks=False)
        }
    return {}


def size_of_store(store: Store) -> int:
    """Bytes on disk of all that lies in a store, without the copies that the agents' runtime keeps in it for itself.

    Raises FileAccessError where the store cannot be listed; what cannot be listed in it counts for nothing.
    """
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
    return sum(map(_size, files_below(folder)))


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
