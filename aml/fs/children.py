"""Work that keeps the interpreter busy, done by forked children side by side; what they miss, the caller does itself.

A child is a copy of this process that works through items, or waits for requests, and sends back bytes for each.
Nothing else of what it does in memory is seen here. It takes no locks, shares no open file, and ends when this process
is gone, with what it has begun at the latest.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TypeVar

from msgspec import Struct

from aml.fs.durable import write_all

Item = TypeVar("Item")

#: What is asked of a child, and its answer; None where there is none.
Ask = Callable[[bytes], bytes | None]

#: One for each of two processors; more would only add memory.
CHILDREN = 2

#: Bytes of all that there is to read from which on processes of their own are worth their start.
WORTH_A_CHILD = 4 << 20

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
    os.set_blocking(feed, False)  # of very many items a pipe takes the first ones, and the caller does the others
    os.write(feed, b"".join(place.to_bytes(_PLACE_BYTES, "big") for place in range(len(items))))
    os.close(feed)
    children: dict[int, int] = {}
    parent = os.getpid()
    try:
        with _uninterrupted():
            for _ in range(CHILDREN):
                _fork(lambda sink: _work_through(items, work, places, parent, sink), (places,), children)
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


class Attendant(Struct):
    """A child that waits for requests. ``alive`` until it is found to be dead, or to be in the midst of something."""

    process: int
    requests: int
    answers: int
    alive: bool = True

    def ask(self, request: bytes) -> bytes | None:
        """What it answers; None where it died over it. An interrupt, too, is the end of it."""
        try:
            write_all(self.requests, len(request).to_bytes(_SIZE_BYTES, "big") + request)
            answer = _next_message(self.answers)
        except OSError:
            answer = None
        except BaseException:
            self.end()
            raise
        if answer is None:
            self.end()
        return answer

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.alive = False
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)


@contextmanager
def attendants(work: Callable[[bytes], bytes], number: int) -> Iterator[Ask]:
    """So many children that wait for requests, to be made before any thread is: whichever has the time answers.

    ``work`` runs in copies of this process and may change files only. Any thread may ask; it gets None where there is
    no child any more, or one died over its request. An interrupt is not for the children: what they have begun is
    brought to an end, and all of them are gone when this is.
    """
    made: list[Attendant] = []
    try:
        if can_fork():
            with _uninterrupted():
                for _ in range(number):
                    _add_attendant(work, made)
        yield _asking(made)
    finally:
        for one in made:
            os.close(one.requests)
            one.end()
            os.close(one.answers)


def _asking(made: Sequence[Attendant]) -> Ask:
    idle: SimpleQueue[Attendant | None] = SimpleQueue()
    for one in made or (None,):
        idle.put(one)

    def ask(request: bytes) -> bytes | None:
        one = idle.get()
        try:
            return one.ask(request) if one is not None and one.alive else None
        finally:
            idle.put(one if one is not None and one.alive else None)

    return ask


def _add_attendant(work: Callable[[bytes], bytes], made: list[Attendant]) -> None:
    taken, requests = os.pipe()
    children: dict[int, int] = {}
    try:
        _fork(lambda sink: _attend(work, taken, sink), (taken,), children)
    finally:
        os.close(taken)
    if not children:
        os.close(requests)
    made += [Attendant(process, requests, answers) for process, answers in children.items()]


def _attend(work: Callable[[bytes], bytes], taken: int, sink: int) -> None:
    _heed(signal.SIG_IGN)
    while (request := _next_message(taken)) is not None:
        answer = work(request)
        write_all(sink, len(answer).to_bytes(_SIZE_BYTES, "big") + answer)


def _next_message(source: int) -> bytes | None:
    """What comes next through a pipe, size first; None where that has ended."""
    head = _read_whole(source, _SIZE_BYTES)
    return None if head is None else _read_whole(source, int.from_bytes(head, "big"))


def _read_whole(source: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(source, min(size - len(parts), _PIECE_BYTES))
        if not part:
            return None
        parts += part
    return bytes(parts)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """For as long as children are made: an interrupt between a start and its note would leave one that nobody knows."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _fork(serve: Callable[[int], None], kept: Sequence[int], children: dict[int, int]) -> None:
    """Start a child that does ``serve`` with the end of a pipe, and note where its answers come from; none where the
    system makes no more processes. Of this process's open files it has the standard ones and those ``kept``."""
    source, sink = os.pipe()
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
            # the run lock among them: it must go with the process that took it
            _close_all_but((*kept, sink))
            serve(sink)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(sink)
    children[child] = source


def _close_all_but(kept: Sequence[int]) -> None:
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _heed(action: signal.Handlers) -> None:
    """In a child: what becomes of an interrupt."""
    for number in _INTERRUPTS:
        signal.signal(number, action)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)


def _work_through(items: Sequence[Item], work: Callable[[Item], bytes], places: int, parent: int, sink: int) -> None:
    _heed(signal.SIG_DFL)
    while os.getppid() == parent and len(told := os.read(places, _PLACE_BYTES)) == _PLACE_BYTES:
        answer = work(items[int.from_bytes(told, "big")])
        write_all(sink, told + len(answer).to_bytes(_SIZE_BYTES, "big") + answer)


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
