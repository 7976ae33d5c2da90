"""What a disk holds when the power fails: only what fsync has put there.

Strict about what POSIX promises: a new, removed or renamed entry is safe once its folder was synced, and data once its
file was, or both once syncfs was called; everything else is taken back. Modes, owners and times are taken for safe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Call = Callable[[], Any]


class Disk:
    """Watches all calls that change files below ``folder``, through the ``real`` functions of os."""

    def __init__(self, folder: str, real: Mapping[str, Callable[..., Any]]) -> None:
        self._folder = folder
        self._real = real
        self._shadow = f"{folder}.shadow"
        self._kept = 0
        self._entries: list[tuple[str, Call]] = []
        self._synced: dict[tuple[int, int], bytes] = {}

    def perform(self, name: str, path: str, args: Sequence[Any], call: Call) -> Any:
        """Do a call, and note how to take it back."""
        if name in ("fsync", "fdatasync"):
            self._sync(path)
            return call()
        if name == "syncfs":
            self._entries.clear()
            self._synced.clear()
            return call()
        if name in ("write", "pwrite", "ftruncate", "truncate", "open"):
            self._keep_data(path)
            return call()
        parent = os.path.dirname(path)
        if name in ("unlink", "remove"):
            copy = self._keep(path)
            result = call()
            self._entries.append((parent, lambda: self._real["rename"](copy, path)))
        elif name in ("rename", "replace"):
            source = os.path.abspath(os.fsdecode(args[0]))
            old = self._replaced(path)
            result = call()
            self._entries.append((parent, lambda: self._rename_back(source, path, old)))
        else:
            result = call()
            if name in ("create", "link", "symlink"):
                self._entries.append((parent, lambda: self._real["unlink"](path)))
            elif name == "mkdir":
                self._entries.append((parent, lambda: self._remove_folder(path)))
            elif name == "rmdir":
                self._entries.append((parent, lambda: self._real["mkdir"](path)))
        return result

    def cut(self, *, reordered: bool) -> None:
        """Power fails: what was not synced is lost; ``reordered``, the folder that changed last got to the disk all the
        same, as a disk may choose to do."""
        safe = self._entries[-1][0] if reordered and self._entries else None
        for folder, take_back in reversed(self._entries):
            # what lay in a folder whose removal got to the disk is gone with it
            if folder != safe and os.path.isdir(folder):
                take_back()
        for folder, _, files in os.walk(self._folder):
            for file in files:
                self._lose_data(os.path.join(folder, file))

    def _sync(self, path: str) -> None:
        if os.path.isdir(path):
            self._entries = [entry for entry in self._entries if entry[0] != path]
        else:
            self._synced.pop(_identity(path), None)

    def _keep_data(self, path: str) -> None:
        if _identity(path) not in self._synced:
            self._synced[_identity(path)] = _read(path)

    def _lose_data(self, path: str) -> None:
        data = self._synced.get(_identity(path))
        if data is None:
            return
        descriptor = self._real["open"](path, os.O_WRONLY | os.O_TRUNC)
        self._real["write"](descriptor, data)
        self._real["close"](descriptor)

    def _replaced(self, path: str) -> Call:
        """How to bring back what a renamed file or folder replaces."""
        if not os.path.lexists(path):
            return lambda: None
        if os.path.isdir(path) and not os.path.islink(path):
            return lambda: self._real["mkdir"](path)  # only an empty folder can be replaced
        copy = self._keep(path)
        return lambda: self._real["rename"](copy, path)

    def _keep(self, path: str) -> str:
        """A second name for a file outside the folder, by which it can be brought back."""
        if not os.path.isdir(self._shadow):
            self._real["mkdir"](self._shadow)
        self._kept += 1
        copy = os.path.join(self._shadow, str(self._kept))
        self._real["link"](path, copy, follow_symlinks=False)
        return copy

    def _remove_folder(self, path: str) -> None:
        for folder, _, files in os.walk(path, topdown=False):
            for file in files:
                self._real["unlink"](os.path.join(folder, file))
            self._real["rmdir"](folder)

    def _rename_back(self, source: str, path: str, bring_back: Call) -> None:
        self._real["rename"](path, source)
        bring_back()


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
