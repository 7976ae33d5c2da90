"""A disk that is not waited for: what tests look at is in the kernel's memory, and no test pulls the plug."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any


def never_wait_for_the_disk() -> None:
    """From now on fsync, fdatasync and syncfs do nothing in this process; its children wait as ever."""
    os.fsync = os.fdatasync = lambda descriptor: None
    real = ctypes.CDLL
    ctypes.CDLL = lambda *args, **keywords: Library(real(*args, **keywords), lambda descriptor: 0)  # type: ignore[assignment,misc]


class Library:
    """A library of C functions with a stand-in for one of them."""

    def __init__(self, real: Any, syncfs: Callable[[int], int]) -> None:
        self._real = real
        self.syncfs = syncfs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
