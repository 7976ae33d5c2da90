"""A few threads for work that releases the interpreter: packing, hashing, writing."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: Threads beside the one that reads and cuts.
WORKERS = 2


class Job(Generic[Result]):
    """Work that a thread does; ``result`` waits for it, and raises what it raised."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work: Callable[[], Result] | None = work
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
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]


class Workers:
    """The threads, started by the first job. ``close`` lets them end when the jobs at hand are done."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._started = False

    def submit(self, work: Callable[[], Result]) -> Job[Result]:
        if not self._started:
            self._started = True
            for _ in range(WORKERS):
                Thread(target=self._serve, name="aml-pack", daemon=True).start()
        job = Job(work)
        self._jobs.put(job)  # type: ignore[arg-type]  # the queue does not look at results
        return job

    def close(self) -> None:
        if self._started:
            for _ in range(WORKERS):
                self._jobs.put(None)
            self._started = False

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            # an idle thread must not keep the last pack alive
            del job
