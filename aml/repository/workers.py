"""A few threads for work that releases the interpreter: packing, hashing, writing."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

from aml.fs.parallel import begun, wait_for

Result = TypeVar("Result")

#: Threads beside the one that reads and cuts.
WORKERS = 2


class Job(Generic[Result]):
    """Work that a thread does; ``result`` waits for it, and raises what it raised."""

    def __init__(self, work: Callable[[], Result], is_worked_on: Callable[[], bool]) -> None:
        self._work: Callable[[], Result] | None = work
        self._is_worked_on = is_worked_on
        self._done = Event()
        self._error: BaseException | None = None
        self._result: list[Result] = []

    def run(self) -> None:
        work, self._work = self._work, None
        if work is None:
            return
        try:
            self._result.append(work())
        except BaseException as error:  # noqa: BLE001  (raised again by whoever asks for the result)
            self._error = error
        finally:
            self._done.set()

    def result(self) -> Result:
        """What came of it. Raises AmlError also where no thread lives that could do it."""
        wait_for(self._done, self._is_worked_on)
        if self._error is not None:
            raise self._error
        return self._result[0]


class Workers:
    """The threads, started by the first job. ``close`` drops what they have not begun, and waits for the rest."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._closed = False

    def submit(self, work: Callable[[], Result]) -> Job[Result]:
        """Have a thread do ``work``; it may submit more itself. Raises AmlError where there can be no thread."""
        if self._closed:
            raise RuntimeError("the threads have ended")
        if not self._threads:
            for _ in range(WORKERS):
                self._threads.append(begun(Thread(target=self._serve, name="aml-pack", daemon=True)))
        job = Job(work, self._are_alive)
        self._jobs.put(job)  # type: ignore[arg-type]  # the queue does not look at results
        return job

    def _are_alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        self._closed = True
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            pass
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            # the caller gives up a lock next, which must not happen before the last write
            thread.join()
        self._threads.clear()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            # an idle thread must not keep the last pack alive
            del job
