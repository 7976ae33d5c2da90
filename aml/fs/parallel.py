"""Several files worked on at once: hashing, packing and writing run beside each other, the rest takes turns."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

from aml.errors import AmlError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: One thread packs and writes while another computes; more would only add memory.
WORKERS = 2

#: Bytes from which a file is worked on alone; gzip files of that size unpack to ten times as much.
LARGE_BYTES = 16 << 20

#: How often (seconds) those who wait for a thread see whether it lives.
_LOOK_SECONDS = 1.0

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begun(thread: Thread) -> Thread:
    """That thread, started. Raises AmlError where the system has none left to give."""
    try:
        thread.start()
    except RuntimeError as error:
        raise AmlError(
            "the system lets this process start no further thread",
            advice="raise the limit of processes (ulimit -u, or that of the container), or try again later",
        ) from error
    return thread


def wait_for(finished: Event, is_at_work: Callable[[], bool]) -> None:
    """Wait until a thread sets ``finished``. Raises AmlError where none is at work any more that could."""
    while not finished.wait(_LOOK_SECONDS):
        if not (is_at_work() or finished.is_set()):
            raise _died()


def take_from(queue: SimpleQueue[Item], is_at_work: Callable[[], bool]) -> Item:
    """What a thread puts there. Raises AmlError where none is at work any more that could."""
    while True:
        try:
            return queue.get(timeout=_LOOK_SECONDS)
        except Empty:
            if not is_at_work() and queue.empty():
                raise _died() from None


def _died() -> AmlError:
    # as where memory was short between its start and its first line
    return AmlError("a thread of this process has died", advice="see that memory is free, and try again")


def side_by_side(
    items: Sequence[Item], work: Callable[[Item], Result], cancel: Callable[[], None], workers: int = WORKERS
) -> list[Result]:
    """``work`` done for each of ``items`` by a few threads; its results in the order of the items.

    Where one fails, or the user interrupts, no further item is begun and ``cancel`` is called, which may hasten the end
    of those begun. The error is raised only when no thread works any more, so that nothing changes behind its back.
    """
    return [work(item) for item in items] if len(items) < 2 else _in_threads(items, work, cancel, workers)


def large_ones_alone(
    items: Sequence[Item], size: Callable[[Item], int], work: Callable[[Item], Result], cancel: Callable[[], None]
) -> list[Result]:
    """The same, but those of LARGE_BYTES and more one at a time after the others, which bounds memory."""
    ordinary, large = parted(items, size)
    return side_by_side(ordinary, work, cancel) + [work(item) for item in large]


def parted(items: Sequence[Item], size: Callable[[Item], int]) -> tuple[list[Item], list[Item]]:
    """Those that are worked on side by side, and those of LARGE_BYTES and more."""
    ordinary = [item for item in items if size(item) < LARGE_BYTES]
    return ordinary, [item for item in items if size(item) >= LARGE_BYTES]


def on_own_stack(work: Callable[[], Result], cancel: Callable[[], None] = lambda: None) -> Result:
    """``work`` done on a stack of its own: how deep it may nest must not depend on who asks for it. Where the user
    interrupts, ``cancel`` is called, which may hasten its end."""
    return _in_threads([None], lambda _: work(), cancel, WORKERS)[0]


def _in_threads(
    items: Sequence[Item], work: Callable[[Item], Result], cancel: Callable[[], None], workers: int
) -> list[Result]:
    waiting = deque(enumerate(items))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    turn = Lock()
    idle = [Event() for _ in range(workers)]
    at_work: list[Event] = []
    threads: dict[Event, Thread] = {}

    def run(finished: Event) -> None:
        try:
            with turn:
                if not errors:
                    at_work.append(finished)
            while not errors:
                with turn:
                    if not waiting:
                        break
                    place, item = waiting.popleft()
                results[place] = work(item)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            errors.append(error)
        finally:
            finished.set()

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # an interrupt between two starts would leave a thread that nobody waits for
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        for finished in idle:
            threads[finished] = begun(Thread(target=run, args=(finished,), name="aml-worker", daemon=True))
    except BaseException as error:  # noqa: BLE001  (raised again below)
        # another thread of this process, which holds no signals back, took the interrupt, or there are no more threads:
        # who has not begun by now never will
        with turn:
            errors.append(error)
            idle = at_work
        cancel()

    def watch(finished: Event) -> None:
        try:
            wait_for(finished, lambda: finished not in threads or threads[finished].is_alive())
        except AmlError:
            finished.set()
            raise

    _wait(idle, errors, cancel, lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask), watch)
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(items))]


def _wait(
    idle: Sequence[Event],
    errors: list[BaseException],
    cancel: Callable[[], None],
    unmask: Callable[[], object],
    watch: Callable[[Event], None],
) -> None:
    """Wait for every thread. An event, unlike joining a thread, is still to be waited for after an interrupt."""
    masked = True
    while masked or not all(finished.is_set() for finished in idle):
        try:
            masked = False
            unmask()
            for finished in idle:
                watch(finished)
        except BaseException as error:  # noqa: BLE001  (raised by the caller when all is quiet)
            errors.append(error)
            cancel()
