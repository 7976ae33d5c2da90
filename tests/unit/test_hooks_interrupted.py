"""Hooks, and the operation around them, when a signal arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aml.hooks import Hooks
from tests.unit.hooking import (
    PROJECT,
    Scene,
    appears,
    ends_soon,
    raises,
)


@pytest.mark.slow
def test_after_an_interrupt_a_hook_does_not_get_all_its_time(scene: Scene) -> None:
    with pytest.raises(KeyboardInterrupt):
        scene.run(Hooks(failure=("sleep", "100"), timeout=90.0), raises(KeyboardInterrupt()))
    assert "took more than 30 s and was killed" in scene.warnings[0]


#: An operation as the command line runs it: the first interrupt raises, and from then on none is heeded.
OPERATION = """
import signal, sys, time
from pathlib import Path
from aml.errors import ExitStatus
from aml.hooks import Hooks, hooked
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
def interrupt(number, frame):
    for one in numbers: signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt
for one in numbers: signal.signal(one, interrupt)
hooks = Hooks(**{moment: ("/bin/sh", "-c", line) for moment, line in zip(sys.argv[1::2], sys.argv[2::2])})
pass
try:
    with hooked(hooks, "prune", store=Path("a"), repository=Path("b"), warn=print) as told:
        print("body", flush=True)
        told.status = ExitStatus.DONE
except KeyboardInterrupt:
    print("interrupted")
"""


def operation(folder: Path, first: str = "", **hooks: str) -> subprocess.Popen[str]:
    """Start an operation with lines of shell as its hooks; ``first`` is run before, where OPERATION has a pass."""
    words = [word for pair in hooks.items() for word in pair]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "T": str(folder)}
    script = OPERATION.replace("pass\n", first + "\n")
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_hook_does_not_read_our_input(tmp_path: Path) -> None:
    process = operation(tmp_path, before='wc -c >"$T/read"')
    assert appears(tmp_path / "read") == "0"
    assert process.communicate(timeout=20)[0] == "body\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_hook_runs_kills_it_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    failure = 'echo "$AML_HOOK_STATUS" >"$T/told"'
    process = operation(tmp_path, before='sleep 60 & echo $! $$ >"$T/pids"; wait', failure=failure)
    pids = appears(tmp_path / "pids").split()
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert out == "interrupted\n"
    assert all(ends_soon(int(pid)) for pid in pids)
    assert (tmp_path / "told").read_text() == "130\n"


def test_an_interrupt_while_the_last_hook_runs_propagates(tmp_path: Path) -> None:
    process = operation(tmp_path, success='echo $$ >"$T/pid"; exec sleep 60')
    pid = int(appears(tmp_path / "pid"))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out == "body\ninterrupted\n"
    assert ends_soon(pid)


def test_a_hook_after_an_interrupt_can_be_told_to_stop_like_any_program(tmp_path: Path) -> None:
    # a signal that is ignored when a program is started stays ignored in it, and in all that it starts
    process = operation(tmp_path, before="kill -INT $PPID; sleep 60", failure="kill -TERM $$; echo deaf; exit 3")
    out, _ = process.communicate(timeout=20)
    assert "killed by signal 15 (SIGTERM)" in out
    assert out.endswith("interrupted\n")


#: Interrupts at the earliest moment at which the interrupt might have no effect: a hook is just being started.
EARLY = """
import os, threading
def early():
    while signal.getsignal(signal.SIGINT) is interrupt: pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=early, daemon=True).start()
"""


def test_an_interrupt_while_a_hook_is_being_started_is_heeded_once_it_can_be_killed(tmp_path: Path) -> None:
    process = operation(tmp_path, EARLY, before='echo $$ >"$T/pid"; exec sleep 3', failure='echo $PPID >"$T/told"')
    out, _ = process.communicate(timeout=20)
    assert out == "interrupted\n"
    assert appears(tmp_path / "told") == str(process.pid)
    pid = tmp_path / "pid"
    assert not pid.exists() or ends_soon(int(pid.read_text() or 0))


def test_a_hook_may_interrupt_the_run_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        pid = tmp_path / f"pid{attempt}"
        process = operation(tmp_path, before=f'kill -INT $PPID; echo $$ >"{pid}"; exec sleep 60')
        out, _ = process.communicate(timeout=20)
        assert out == "interrupted\n"
        assert not pid.exists() or ends_soon(int(pid.read_text() or 0))
