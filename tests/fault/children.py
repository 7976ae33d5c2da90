"""Runs of AML in children of a warm process, with a fault at one call that changes a file, and how they may end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fault.inject import Fault, fits

Words = Sequence[str]
#: Seconds after which a child counts as hanging, and within which a run must end that follows a fault.
CHILD_LIMIT, PROMPT = 60, 5.0
#: Seconds by the children's clock between one run and the next, so that no run rests for the sake of agents.
PAUSE = 60.0

POWER_CUTS = {Fault.POWER_CUT, Fault.POWER_CUT_REORDERED}
_KILLED = {Fault.KILL_BEFORE, Fault.KILL_AFTER} | POWER_CUTS
_MUST_SUCCEED = {Fault.SHORT_WRITE}


@dataclass(frozen=True)
class Ended:
    """How a child ended: a negative exit is a signal."""

    exit: int
    seconds: float
    out: str
    err: str


@dataclass(frozen=True)
class Point:
    """A fault at the ``at``-th call, which is ``call`` on ``path``."""

    fault: Fault
    at: int
    call: str
    path: str

    def __str__(self) -> str:
        return f"{self.fault} at call {self.at} ({self.call} {self.path})"


class Children:
    """A warm process that forks a child for each run; use as a context manager."""

    #: What the interpreter runs to answer requests.
    program: tuple[str, ...] = (str(Path(__file__).with_name("serve.py")),)

    def __init__(self, scratch: Path) -> None:
        self._out, self._err = scratch / "child.out", scratch / "child.err"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AML_", "COV_"))}
        self._server = subprocess.Popen(
            [sys.executable, "-B", *self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONWARNINGS": "error", "NO_COLOR": "1"},
        )

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait(CHILD_LIMIT)
        self._server.stdout.close()

    def run(self, folder: Path, words: Words, now: float, **injection: Any) -> Ended:
        """Run ``aml WORDS`` in ``folder``, the clock at ``now``; ``injection``: fault, at, only, calls, unforked."""
        assert self._server.stdin
        assert self._server.stdout
        request = {"words": list(words), "folder": str(folder), "now": now, "limit": CHILD_LIMIT}
        request |= {"out": str(self._out), "err": str(self._err)} | injection
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, "the server of children has died"
        answer = json.loads(line)
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in (self._out, self._err))
        return Ended(answer["exit"], answer["seconds"], out, err)


class Aml:
    """Runs of AML on one project, one after the other, each a while after the one before."""

    def __init__(self, children: Children, folder: Path, start: float) -> None:
        self._children = children
        self._folder = folder
        self.now = start

    def __call__(self, *words: str, **injection: Any) -> Ended:
        self.now += PAUSE
        return self._children.run(self._folder, words, self.now, **injection)

    def look(self, *words: str) -> Ended:
        """The same for a run that only looks at what others did, without a process of its own."""
        return self(*words, unforked=True)

    def must(self, *words: str, **injection: Any) -> Ended:
        """The same for a run that has to succeed."""
        ended = self(*words, **injection)
        assert ended.exit == 0, f"aml {' '.join(words)}: exit {ended.exit}: {ended.err or ended.out}"
        return ended


def points_of(calls: Sequence[tuple[str, str]], faults: Sequence[Fault]) -> list[Point]:
    """Every one of the faults at every call that can meet it; a call is a name and a path."""
    numbered = list(enumerate(calls, start=1))
    return [Point(fault, at, name, path) for at, (name, path) in numbered for fault in faults if fits(fault, name)]


def judge_exit(point: Point, ended: Ended, folder: Path, expected: int, calls: int) -> list[str]:
    """What is wrong with how a child ended that was to meet a fault. ``expected`` is the exit of a run without one,
    which makes so many ``calls``: whether a run that ends so has done everything is for the caller to find out."""
    if "Traceback" in ended.err:
        return [f"traceback: {ended.err.strip().splitlines()[-1]}"]
    # threads that take turns otherwise may need some calls less: then a late point is not reached, and all is done
    escaped = ended.exit == expected and point.at > 0.8 * calls
    if point.fault in _KILLED and not escaped:
        return [] if ended.exit == -signal.SIGKILL else [f"the point was not reached: exit {ended.exit}"]
    if ended.exit == expected:
        return []
    if ended.exit <= 0 or point.fault in _MUST_SUCCEED:
        return [f"exit {ended.exit}: {ended.err.strip()}"]
    if point.fault is Fault.TERMINATE:
        return [] if ended.exit == 130 else [f"exit {ended.exit} after SIGTERM: {ended.err.strip()}"]
    said = ended.err + ended.out
    return [] if str(folder.resolve()) in said else [f"the message names no path: {said.strip()!r}"]


def judge_next_run(ended: Ended, words: Words) -> list[str]:
    """What is wrong with how a run ended that followed a fault: it must succeed, and at once."""
    line = f"the next run (aml {' '.join(words)})"
    if ended.exit:
        return [f"{line}: exit {ended.exit}: {(ended.err or ended.out).strip()}"]
    return [f"{line} took {ended.seconds:.1f} s"] if ended.seconds > PROMPT else []


def let_agents_clear_locks(store: Path) -> None:
    """After a power cut every lock is dead, and agents take them over by their own rule before AML runs again."""
    for lock in store.glob("*/*.lock"):
        lock.rmdir()
