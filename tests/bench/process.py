"""Runs one process and tells its time and memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


class RunFailedError(Exception):
    """A process could not be started, ended with an exit status other than 0, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took: seconds from its start to its end, and the most memory it had at a time (bytes).

    ``memory`` is None where it is no more than this process had itself: the system counts that in.
    """

    seconds: float
    memory: int | None


def run_process(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Usage:
    """Run a process to its end; its output is thrown away. Raises RunFailedError."""
    with tempfile.TemporaryFile() as stderr:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        except OSError as failure:
            raise RunFailedError(f"{words[0]}: {failure.strerror}") from failure
        # No time limit: waiting with one polls, which would be seen in the shortest rows.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            stderr.seek(0)
            raise RunFailedError(f"exit {process.returncode}: {_reason(stderr.read())}")
    return Usage(seconds, _memory(usage.ru_maxrss))


def _reason(stderr: bytes) -> str:
    """The last line that is not indented, since advice below a message is."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line[:1].strip()]
    return lines[-1] if lines else "nothing on standard error"


def _memory(counted: int) -> int | None:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return counted * _MEMORY_UNIT if counted > own else None
