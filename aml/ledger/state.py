"""The folders that AML keeps beside a store, and the notes about locks in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aml.errors import FileAccessError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, give_to_owner_of, write_all
from aml.fs.files import MOST_STATE, read_regular
from aml.fs.own_folder import prepare_folder as prepare_folder
from aml.fs.runtime_lock import remove_own_lock
from aml.model.undecodable import UNDECODABLE
from aml.store.layout import GLOBAL, is_agent_name
from aml.store.open import Store


def drill_path(store: Store) -> Path:
    """Beside this a drill makes its scratch folder."""
    return store.state / "drill"


def run_lock_path(store: Store) -> Path:
    return store.state / "run.lock"


class _Note(msgspec.Struct, omit_defaults=True):
    """One line of the notes: a lock about to be held with ``mtime_ns``, or given back at ``released`` (seconds).

    ``lock`` is its path inside the store, so that notes can name nothing else and survive a move of the project.
    """

    lock: str
    mtime_ns: int | None = None
    released: float | None = None


class FileLockNotes:
    """Notes about the runtime locks of one run, in a file that outlives a crash of the process.

    They need no fsync: after a power cut no lock is alive, and the agents' own rule for stale locks holds.
    """

    def __init__(
        self, root: Path, path: Path, descriptor: int, released: dict[str, float], problems: Sequence[str]
    ) -> None:
        #: Locks of a crashed run that could not be cleared.
        self.problems = problems
        self._root = root
        self._path = path
        self._cancelled = False
        self._left_over: set[str] = set()
        self._descriptor = descriptor
        self._released = released
        for lock, when in released.items():
            self._write(_Note(lock, released=when))

    def will_hold(self, lock: Path, mtime_ns: int) -> None:
        self._write(_Note(self._name(lock), mtime_ns=mtime_ns))

    def gave_back(self, lock: Path) -> None:
        now = time.time()
        self._left_over.discard(self._name(lock))
        self._released[self._name(lock)] = now
        self._write(_Note(self._name(lock), released=now))

    def could_not_remove(self, lock: Path) -> None:
        self._left_over.add(self._name(lock))

    def is_left_over(self, lock: Path) -> bool:
        return self._name(lock) in self._left_over

    def last_release(self, lock: Path) -> float | None:
        return self._released.get(self._name(lock))

    def cancel(self) -> None:
        self._cancelled = True

    def go_on(self) -> None:
        """Wait for locks again, after ``cancel``: what was begun is to be undone."""
        self._cancelled = False

    def is_cancelled(self) -> bool:
        return self._cancelled

    def _name(self, lock: Path) -> str:
        return lock.relative_to(self._root).as_posix()

    def _write(self, note: _Note) -> None:
        with explained("write", self._path):
            write_all(self._descriptor, msgspec.json.encode(note) + b"\n")


@contextmanager
def lock_notes(store: Store) -> Iterator[FileLockNotes]:
    """Clear the locks that a crashed run left, then keep notes for this one. The run lock must be held."""
    path = store.state / "locks.jsonl"
    held, released = _read_notes(path)
    problems = []
    for lock, mtimes_ns in held.items():
        try:
            remove_own_lock(store.root / lock, frozenset(mtimes_ns))
        except FileAccessError as error:
            # only that one file stays locked; everything else can go on
            problems.append(f"{error.message}; remove it by hand")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with explained("write", path):
        descriptor = os.open(path, flags, PRIVATE_FILE)
        give_to_owner_of(path.parent, descriptor)
    try:
        yield FileLockNotes(store.root, path, descriptor, released, problems)
    finally:
        os.close(descriptor)


def _read_notes(path: Path) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Locks noted as held, with the times they may carry; and when others were given back."""
    held: dict[str, list[int]] = {}
    released: dict[str, float] = {}
    if not os.path.lexists(path):
        return held, released
    for line in read_regular(path, most=MOST_STATE).splitlines():
        try:
            note = msgspec.json.decode(line, type=_Note)
        except UNDECODABLE:
            continue  # a line cut short by the crash: its lock was not made yet
        agent, _, name = note.lock.partition("/")
        if not (is_agent_name(agent) or agent == GLOBAL) or "/" in name or "\0" in name or not name.endswith(".lock"):
            continue
        if note.released is not None:
            held.pop(note.lock, None)
            released[note.lock] = note.released
        elif note.mtime_ns is not None:
            held.setdefault(note.lock, []).append(note.mtime_ns)
    return held, released
