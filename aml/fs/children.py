"""Work that keeps the interpreter busy, done by forked children side by side; what they miss, the caller does itself.

A child is a copy of this process that works through items and sends back bytes for each. Nothing else of what it does
in memory is seen here. It takes no locks, shares no open file, and ends at once when this process is gone.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from aml.fs.durable import write_all

Item = TypeVar("Item")

#: One for each of two processors; more would only add memory.
CHILDREN = 2

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SIZE_BYTES = 8
_PLACE_BYTES = 4
_HEAD_BYTES = _PLACE_BYTES + _SIZE_BYTES

#: How much of an answer is taken from a pipe at a time.
_PIECE_BYTES = 1 << 16


def can_fork() -> bool:
    """Whether a copy of this process is sound: on Linux, and where no other thread may hold a lock just now."""
    return sys.platform == "linux" and threading.active_count() == 1


def by_children(items: Sequence[Item], work: Callable[[Item], bytes]) -> dict[int, bytes]:
    """What ``work`` made of items, by their places; those are missing for which a child failed, or could not be made.

    ``work`` runs in copies of this process and may change files only. Raises what interrupts the waiting; no child
    works any more then.
    """
    found: dict[int, bytes] = {}
    if not (len(items) > 1 and can_fork()):
        return found
    places, feed = os.pipe()
    os.write(feed, b"".join(place.to_bytes(_PLACE_BYTES, "big") for place in range(len(items))))
    os.close(feed)
    children: dict[int, int] = {}
    try:
        # an interrupt between a start and its note would leave a child that nobody knows of
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            for _ in range(CHILDREN):
                _fork(items, work, places, children)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        found.update(_received(children.values()))
    except BaseException:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(places)
        for child, source in children.items():
            os.close(source)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
    return found


def _fork(items: Sequence[Item], work: Callable[[Item], bytes], places: int, children: dict[int, int]) -> None:
    """Start a child, and note where its answers come from; none where the system makes no more processes."""
    source, sink = os.pipe()
    parent = os.getpid()
    gc.freeze()  # so that no child walks, and thereby copies, what all share
    try:
        child = os.fork()
    except OSError:
        os.close(source)
        os.close(sink)
        return
    finally:
        gc.unfreeze()
    if child == 0:
        try:
            _serve(items, work, places, sink, parent)
        finally:
            os._exit(1)
    os.close(sink)
    children[child] = source


def _serve(items: Sequence[Item], work: Callable[[Item], bytes], places: int, sink: int, parent: int) -> None:
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
    first, second = sorted((places, sink))
    # the run lock among them: it must go with the process that took it
    os.closerange(3, first)
    os.closerange(first + 1, second)
    os.closerange(second + 1, os.sysconf("SC_OPEN_MAX"))
    while os.getppid() == parent and len(told := os.read(places, _PLACE_BYTES)) == _PLACE_BYTES:
        place = int.from_bytes(told, "big")
        answer = work(items[place])
        write_all(sink, told + len(answer).to_bytes(_SIZE_BYTES, "big") + answer)
    os._exit(0)


def _received(sources: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """All whole answers, as they come: no child is kept waiting until another one is done."""
    begun = {source: bytearray() for source in sources}
    waiting = select.poll()
    for source in sources:
        waiting.register(source, select.POLLIN)
    while begun:
        for source, _ in waiting.poll():
            part = os.read(source, _PIECE_BYTES)
            if not part:
                waiting.unregister(source)
                del begun[source]
                continue
            begun[source] += part
            yield from _taken(begun[source])


def _taken(answers: bytearray) -> Iterator[tuple[int, bytes]]:
    """Takes whole answers from the begin of what has come."""
    while len(answers) >= _HEAD_BYTES:
        end = _HEAD_BYTES + int.from_bytes(answers[_PLACE_BYTES:_HEAD_BYTES], "big")
        if len(answers) < end:
            return
        yield int.from_bytes(answers[:_PLACE_BYTES], "big"), bytes(answers[_HEAD_BYTES:end])
        del answers[:end]
