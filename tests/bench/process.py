"""Runs one process and tells its time, and its memory together with that of its children."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.02
LOOK_SHARE = 20
"""Between two looks at a family passes so long, and at least so many times what the last one took."""

_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


class RunFailedError(Exception):
    """A process could not be started, ended with an exit status other than 0, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took: seconds from its start to its end, and of processors, and the most memory at a time (bytes).

    ``memory`` is that of the process and its children together. It is None where it is no more than this process had
    itself: the system counts that in. ``output`` is what it printed, if that was asked for.
    """

    seconds: float
    cpu: float
    memory: int | None
    output: bytes = b""


def run_process(words: Sequence[str], folder: Path, variables: Mapping[str, str], *, read: bool = False) -> Usage:
    """Run a process to its end; its output is thrown away unless it is to be ``read``. Raises RunFailedError."""
    with tempfile.TemporaryFile() as stderr, tempfile.TemporaryFile() as stdout:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stdout if read else subprocess.DEVNULL,
                stderr=stderr,
            )
        except OSError as failure:
            raise RunFailedError(f"{words[0]}: {failure.strerror}") from failure
        family = Family(process.pid)
        # No time limit: waiting with one polls, which would be seen in the shortest rows.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        family.end()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            stderr.seek(0)
            raise RunFailedError(f"exit {process.returncode}: {_reason(stderr.read())}")
        stdout.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        return Usage(seconds, cpu, _memory(usage.ru_maxrss, family.most), stdout.read())


class Family:
    """Looks now and then how much memory a process has together with its children, as long as it has any.

    What they share counts once: all of the first process, and of each other what it holds alone. The system keeps the
    most of single processes only. Linux; elsewhere nothing is seen.
    """

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = LOOK_SECONDS
        while not self._stop.wait(pause):
            began = time.perf_counter()
            with suppress(OSError):  # one of them has just ended
                if children := list(_descendants(self._pid)):
                    found = _held(self._pid, "Rss") + sum(_held(child, "Private_") for child in children)
                    self.most = max(self.most, found)
            # looking must not slow down what is looked at
            pause = max(LOOK_SECONDS, LOOK_SHARE * (time.perf_counter() - began))


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        yield int(child)
        yield from _descendants(int(child))


def _held(pid: int, what: str) -> int:
    """Bytes of the memory of a process of the kinds that begin with ``what``."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(what)) * _MEMORY_UNIT


def _reason(stderr: bytes) -> str:
    """The last line that is not indented, since advice below a message is."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line[:1].strip()]
    return lines[-1] if lines else "nothing on standard error"


def _memory(counted: int, together: int) -> int | None:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(counted * _MEMORY_UNIT, together) if counted > own else together or None
