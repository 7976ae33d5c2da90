"""Places for a repository that are no folder: one in memory, and one on a medium that begins to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from aml.errors import FileAccessError, LockedError
from aml.repository.destination import (
    MAX_VALUE_BYTES,
    Entry,
    check_key,
    check_prefix,
    missing,
    too_large,
    too_short,
)


class InMemory:
    """A mapping. ``clock`` is the time that the next ``put`` is stamped with."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.clock = 0.0
        self._guard = Lock()
        self._readers = 0
        self._writing = False

    def put(self, key: str, data: bytes | bytearray) -> None:
        check_key(key)
        for other in self.values:
            if other.startswith(f"{key}/") or key.startswith(f"{other}/"):
                raise FileAccessError(f"cannot write {key}: {other} is in its way")
        self.values[key] = bytes(data)
        self.times[key] = self.clock

    def get(self, key: str, *, limit: int = MAX_VALUE_BYTES) -> bytes:
        data = self._value(key)
        if len(data) > limit:
            raise too_large(key, limit)
        return data

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        part = self._value(key)[offset : offset + length]
        if len(part) != length:
            raise too_short(key, offset, length)
        return part

    def entries(self, prefix: str) -> list[Entry]:
        check_prefix(prefix)
        keys = sorted(key for key in self.values if key.startswith(prefix))
        return [Entry(key, len(self.values[key]), self.times.get(key, self.clock)) for key in keys]

    def delete(self, key: str) -> None:
        check_key(key)
        self.values.pop(key, None)
        self.times.pop(key, None)

    def prepare(self) -> None:
        return

    def remove_strays(self) -> int:
        return 0

    @contextmanager
    def hold(self, *, exclusive: bool, purpose: str, timeout: float) -> Iterator[None]:
        del timeout
        with self._guard:
            if self._writing or (exclusive and self._readers):
                raise LockedError(f"the repository is in use ({purpose} has to wait)")
            if exclusive:
                self._writing = True
            else:
                self._readers += 1
        try:
            yield
        finally:
            with self._guard:
                if exclusive:
                    self._writing = False
                else:
                    self._readers -= 1

    def _value(self, key: str) -> bytes:
        check_key(key)
        try:
            return self.values[key]
        except KeyError:
            raise missing(key, "memory") from None


class BadSectors(InMemory):
    """A place where some values cannot be read, since the system reports an error of the medium."""

    def __init__(self) -> None:
        super().__init__()
        #: keys that cannot be read
        self.bad: set[str] = set()

    def put(self, key: str, data: bytes | bytearray) -> None:
        super().put(key, data)
        # what is written anew lies elsewhere
        self.bad.discard(key)

    def get(self, key: str, *, limit: int = MAX_VALUE_BYTES) -> bytes:
        self._refuse(key)
        return super().get(key, limit=limit)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self._refuse(key)
        return super().get_range(key, offset, length)

    def _refuse(self, key: str) -> None:
        if key in self.bad:
            raise FileAccessError(f"cannot read {key}: Input/output error")
