"""Work in threads ends when it is interrupted, and whoever asked for it is as before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aml.fs.parallel import side_by_side
from tests.cli.running import PROJECT

#: Interrupts itself in the midst of work, again and again; another thread of the process takes signals as well.
_PROGRAM = """
import os, signal, sys, threading, time
from aml.fs.parallel import on_own_stack, side_by_side
if "thread" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
stop, ended = [], []
def work(item):
    if item == 0:
        os.kill(os.getpid(), signal.SIGINT)
    end = time.monotonic() + 20
    while not stop and time.monotonic() < end:
        time.sleep(0.005)
    ended.append(stop[:1])
for one in range(20):
    stop.clear()
    ended.clear()
    try:
        if one % 2:
            side_by_side([0, 1, 2, 3, 4, 5], work, lambda: stop.append("told"))
        else:
            on_own_stack(lambda: work(0), lambda: stop.append("told"))
        sys.exit("it was not interrupted")
    except KeyboardInterrupt:
        pass
    assert all(ended), "it was waited for in vain"
    held_back = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert not held_back, held_back
    count = len(ended)
    time.sleep(0.01)
    assert len(ended) == count, "it went on behind our back"
"""


@pytest.mark.parametrize("others", [[], ["thread"]])
def test_an_interrupt_ends_the_work_and_holds_back_no_later_one(others: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, *others],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timeout(20)
def test_an_item_that_fails_at_once_ends_it_whether_or_not_the_other_thread_had_begun() -> None:
    def work(item: int) -> None:
        raise ValueError(item)

    for _ in range(200):
        with pytest.raises(ValueError, match=r"^[01]$"):
            side_by_side([0, 1, 2, 3], work, lambda: None)


#: The thread of that number dies where memory is short between its start and its first line.
_DEATH = """
import sys, threading
from aml.errors import AmlError
from aml.fs.parallel import on_own_stack
from aml.repository.workers import Workers
number, seen = int(sys.argv[1]), []
def die(frame, event, arg):
    seen.append(frame)
    if len(seen) == number or number < 0:
        raise MemoryError
threading.excepthook = lambda told: None
threading.settrace(die)
try:
    workers = Workers()
    print(workers.submit(lambda: 1).result() if sys.argv[2] == "workers" else on_own_stack(lambda: 1))
except AmlError as error:
    print(error.message)
"""


@pytest.mark.parametrize("what", ["workers", "on_own_stack"])
@pytest.mark.parametrize("number", [1, 2, -1])
def test_a_thread_that_dies_as_it_begins_is_not_waited_for(number: int, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DEATH, str(number), what], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )
    assert done.stdout in ("1\n", "a thread of this process has died\n"), done.stderr
    if number < 0:
        assert done.stdout != "1\n"
