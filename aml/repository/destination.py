"""Where a repository lies: plain keys and whole values, so that an object store can take a folder's place."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from aml.errors import DamagedError, FileAccessError, NotFoundError, UsageError

#: No file of a repository is larger (bytes); what claims to be is refused before memory is taken for it.
MAX_VALUE_BYTES = 1 << 29

#: What getting a value raises where it is damaged, gone, or refused by the system, as on a bad sector.
UNREADABLE = (DamagedError, NotFoundError, FileAccessError)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


class Entry(Struct, frozen=True):
    """One key: its size in bytes, and when it was put (seconds since 1970, UTC)."""

    key: str
    size: int
    modified: float


class Destination(Protocol):
    """What a repository needs of the place it is kept in; nothing is renamed and nothing appended to.

    Keys are plain names joined by ``/``; ``UsageError`` refuses any other. FileAccessError says that the place
    itself refused.
    """

    def put(self, key: str, data: bytes | bytearray) -> None:
        """Make ``data`` the value of ``key``, durably and in one step that a crash cannot halve."""

    def get(self, key: str, *, limit: int = MAX_VALUE_BYTES) -> bytes:
        """The whole value. Raises NotFoundError; DamagedError where it has more than ``limit`` bytes."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on. Raises NotFoundError; DamagedError where the value ends before that."""

    def entries(self, prefix: str) -> list[Entry]:
        """All keys that begin with ``prefix`` ("" or plain names, perhaps with a ``/`` at the end), sorted."""

    def delete(self, key: str) -> None:
        """Remove a key durably. One that is not there is no error."""

    def prepare(self) -> None:
        """Make the place itself, where it is missing."""

    def remove_strays(self) -> int:
        """Remove what unfinished writes left; to be called under the exclusive lock. Returns how many."""

    def hold(self, *, exclusive: bool, purpose: str, timeout: float) -> AbstractContextManager[None]:
        """Keep writers out (or, exclusively, everybody) while the context lasts. ``timeout`` is in seconds.

        Raises LockedError where somebody else keeps it longer than that. Dies with its process.
        """


def check_key(key: str) -> None:
    """Raise UsageError for a key that is not plain names joined by ``/``: absolute, with ``..`` or hidden."""
    if not _PLAIN_NAME.fullmatch(key) or any(name.startswith(".") for name in key.split("/")):
        raise UsageError(f"{key!r} is no name that a repository uses")


def check_prefix(prefix: str) -> None:
    """Raise UsageError for a prefix that no key can begin with."""
    if prefix.removesuffix("/"):
        check_key(prefix.removesuffix("/"))
    elif prefix:
        raise UsageError(f"{prefix!r} is no name that a repository uses")


def missing(key: str, place: str) -> NotFoundError:
    return NotFoundError(f"{key} is missing from {place}")


def too_large(key: str, limit: int) -> DamagedError:
    return DamagedError(f"{key} holds more than {limit} bytes, which no file of its kind does")


def too_short(key: str, offset: int, length: int) -> DamagedError:
    return DamagedError(f"{key} ends before byte {offset + length}: it is cut short")
