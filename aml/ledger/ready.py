"""Taking records out of locked files with the help of children, who make all of it ready but for the replacing itself.

A child reads the file that its parent has locked, and has the archive and the new content on disk, under names that the
parent chose and removes again. The parent then proves that the file is still what the child has read, gives the archive
its name, and moves the new content in place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore

import msgspec
from msgspec import Struct

from aml.errors import AmlError
from aml.fs.children import CHILDREN, WORTH_A_CHILD, Ask, attendants, can_fork
from aml.fs.durable import put_ready, remove_ready, temporary_for, write_ready
from aml.fs.parallel import WORKERS
from aml.ledger.removal import Cut, Removed, archive_taken_back
from aml.ledger.runs import archive_name
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, Fingerprint, fast_digest, fingerprint, size_of
from aml.store.transact import Transaction


class _Request(Struct, array_like=True):
    """What a child is asked for: a file by its place, and where its archive and its new content are to lie."""

    place: int
    archive: bytes
    content: bytes


class _Ready(Struct, array_like=True):
    """What a child has made ready. ``seen`` and ``before`` tell what was read, ``after`` what is to be put there."""

    seen: Fingerprint
    before: str
    after: bytes
    size: int
    removed: Removed


class Done(Struct, frozen=True):
    """What was taken out of a file; sizes in bytes on disk."""

    removed: Removed
    before: int
    after: int


#: What becomes of a file, or None where it is no longer what the plan is for. Raises AmlError.
CutOut = Callable[[RecordFile], tuple[Content, Cut] | None]


class Preparation:
    """Children, if any, that make ready what is to be done to some files.

    ``threads`` are to work on files: one more than there are children, which waits for the disk. ``turn`` is to be had
    for work without a child, which takes the memory that a child has otherwise.
    """

    def __init__(self, store: Store, files: Sequence[RecordFile], run: str, ask: Ask | None) -> None:
        self.threads = WORKERS if ask is None else CHILDREN + 1
        self.turn = BoundedSemaphore(WORKERS)
        self._store = store
        self._places = {file: place for place, file in enumerate(files)}
        self._run = run
        self._ask = ask

    def remove(self, held: Transaction, file: RecordFile) -> Done | None:
        """Take out of a locked file what is to go; None where that is to be done without a child.

        Raises AmlError; ChangedError means that nothing was written, and then there is no archive either.
        """
        if self._ask is None or file not in self._places:
            return None
        name = archive_name(file.agent, file.kind, self._run)
        archive, content = temporary_for(self._store.keep / name), temporary_for(file.path)
        try:
            request = _Request(self._places[file], os.fsencode(archive), os.fsencode(content))
            answer = self._ask(msgspec.msgpack.encode(request))
            if not answer:
                return None
            ready = msgspec.msgpack.decode(answer, type=_Ready)
            before = held.seen_as(ready.seen, ready.before)
            put_ready(archive, self._store.keep / name)
            with archive_taken_back(self._store, name):
                held.move_in_fast(before, content, ready.after)
            return Done(ready.removed, before.stat.st_size, ready.size)
        finally:
            remove_ready(archive)
            remove_ready(content)


@contextmanager
def preparing(store: Store, files: Sequence[RecordFile], run: str, cut_out: CutOut) -> Iterator[Preparation]:
    """Children for those files of a run, made before any thread is, and gone with the context; none where they are not
    worth it."""
    if len(files) < 2 or sum(map(size_of, files)) < WORTH_A_CHILD or not can_fork():
        yield Preparation(store, files, run, None)
        return
    with attendants(lambda request: _make_ready(request, files, cut_out), CHILDREN) as ask:
        yield Preparation(store, files, run, ask)


def _make_ready(request: bytes, files: Sequence[RecordFile], cut_out: CutOut) -> bytes:
    """In a child: have the archive and the new content of a file on disk. Nothing is answered where that cannot be."""
    asked = msgspec.msgpack.decode(request, type=_Request)
    try:
        found = cut_out(files[asked.place])
        if found is None:
            return b""
        before, cut = found
        data = before.rewritten(cut.text())
        size, after = len(data), fast_digest(data)
        write_ready(Path(os.fsdecode(asked.content)), data, wait=False)
        del data  # freed before the archive is made
        packed, removed = cut.archive()
        write_ready(Path(os.fsdecode(asked.archive)), packed, wait=True)
        ready = _Ready(fingerprint(before.stat), before.sha256, after, size, removed)
        return msgspec.msgpack.encode(ready)
    except (AmlError, UnicodeEncodeError):
        return b""  # whoever asked does it without a child: he meets the same, or knows names that are no text
