"""How much lies on disk below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from aml.fs.access import explained


def size_below(folder: Path) -> int:
    """Bytes of all regular files below a folder, by their size; links are not followed. Raises FileAccessError."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        path = waiting.pop()
        with explained("list", Path(path)):
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            total += _size(entry)
            except FileNotFoundError:
                continue  # gone since it was listed
    return total


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
