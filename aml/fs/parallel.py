"""Several files worked on at once: hashing, packing and writing run beside each other, the rest takes turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: One thread packs and writes while another computes; more would only add memory.
WORKERS = 2


def side_by_side(items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """``work`` done for each of ``items`` by a few threads; its results in the order of the items.

    Where one fails, or the user interrupts, no further item is begun; those begun are brought to their end, and then
    the error is raised.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    waiting = deque(enumerate(items))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []

    def run() -> None:
        while waiting and not errors:
            try:
                place, item = waiting.popleft()
            except IndexError:
                return
            try:
                results[place] = work(item)
            except BaseException as error:  # noqa: BLE001  (raised again below)
                errors.append(error)

    threads = [Thread(target=run, name=f"aml-worker-{number}", daemon=True) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        waiting.clear()
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(items))]
