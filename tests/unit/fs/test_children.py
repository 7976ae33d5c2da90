"""Work by forked children: whatever becomes of them, an answer is whole or missing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aml.fs.children import by_children, can_fork

PROJECT = Path(__file__).parents[3]

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="children are made on Linux alone")

#: A process without other threads, which a test runner has. What ``work`` is stands in for WORK.
_PROGRAM = """
import json, os, signal, sys, threading, time
from aml.fs.children import by_children
parent = os.getpid()
def work(item):
    assert os.getpid() != parent
    WORK
began = time.monotonic()
try:
    found = by_children(list(range(12)), work)
except KeyboardInterrupt:
    found = "interrupted"
else:
    found = {place: [len(answer), answer[:8].decode()] for place, answer in found.items()}
print(json.dumps([found, time.monotonic() - began]))
"""


def answers(work: str) -> dict[str, list[object]]:
    words = [sys.executable, "-W", "error", "-c", _PROGRAM.replace("WORK", work)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[object]] = json.loads(done.stdout)[0]
    return found


@needs_fork
def test_every_item_has_its_answer() -> None:
    assert answers("return str(item).encode()") == {str(item): [len(str(item)), str(item)] for item in range(12)}


@needs_fork
def test_answers_may_be_larger_than_a_pipe() -> None:
    assert answers("return b'x' * (item << 16)") == {
        str(item): [item << 16, "x" * min(item, 1) * 8] for item in range(12)
    }


@needs_fork
def test_an_item_over_which_a_child_fails_has_none() -> None:
    found = answers("time.sleep(0.01); assert item != 3; return b''")
    assert "3" not in found
    assert set(found) <= {str(item) for item in range(12)}


@needs_fork
def test_a_child_that_dies_takes_only_its_own_item_away() -> None:
    found = answers("time.sleep(0.05); item == 0 and os.kill(os.getpid(), signal.SIGKILL); return b'whole'")
    assert "0" not in found
    assert all(answer == [5, "whole"] for answer in found.values())
    assert len(found) == 11


@needs_fork
def test_an_interrupt_ends_all_of_it_at_once() -> None:
    began = time.monotonic()
    assert answers("item == 0 and os.kill(parent, signal.SIGINT); time.sleep(20); return b''") == "interrupted"
    assert time.monotonic() - began < 10


def test_no_copy_is_made_of_a_process_with_several_threads() -> None:
    rest = threading.Event()
    thread = threading.Thread(target=rest.wait, daemon=True)
    thread.start()
    try:
        assert not can_fork()
        assert by_children([1, 2], lambda _: b"") == {}
    finally:
        rest.set()
        thread.join()


@needs_fork
def test_a_child_outlives_its_parent_by_one_item_at_most(tmp_path: Path) -> None:
    touch = f"open({str(tmp_path)!r} + f'/{{item}}', 'w').close()"
    work = f"{touch}; item == 0 and os.kill(parent, signal.SIGKILL); time.sleep(0.3); return b''"
    words = [sys.executable, "-c", _PROGRAM.replace("WORK", work)]
    done = subprocess.run(words, cwd=PROJECT, stdout=subprocess.DEVNULL, timeout=30)
    assert done.returncode == -9
    time.sleep(0.8)
    assert len(list(tmp_path.iterdir())) <= 3


#: Threads that ask attendants, whose ``work`` is WORK; a dead one is told by None.
_ASKING = """
import json, os, signal, sys, time
from aml.fs.children import attendants
from aml.fs.parallel import side_by_side
parent = os.getpid()
def work(request):
    item = int(request)
    assert os.getpid() != parent
    WORK
def asked(item):
    answer = ask(str(item).encode())
    return None if answer is None else [len(answer), answer[:8].decode()]
try:
    with attendants(work, NUMBER) as ask:
        found = side_by_side(range(12), asked, lambda: None, 3)
except KeyboardInterrupt:
    found = "interrupted"
assert ask(b"0") is None
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print(json.dumps(found))
"""


def asked(work: str, number: int = 2) -> list[list[object] | None]:
    program = _ASKING.replace("WORK", work).replace("NUMBER", str(number))
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[list[object] | None] = json.loads(done.stdout)
    return found


@needs_fork
def test_every_request_of_every_thread_has_its_own_answer() -> None:
    assert asked("return str(item).encode() * (item << 14)") == [
        [len(str(item)) * (item << 14), (str(item) * 8)[:8] if item else ""] for item in range(12)
    ]


@needs_fork
def test_nobody_waits_for_attendants_that_are_not_there() -> None:
    assert asked("return b'whole'", number=0) == [None] * 12


@needs_fork
def test_an_attendant_that_dies_or_fails_answers_no_more_and_the_other_one_does() -> None:
    for end in ("os.kill(os.getpid(), signal.SIGKILL)", "int('x')"):
        found = asked(f"time.sleep(0.02); item == 0 and {end}; return b'whole'")
        assert found[0] is None
        assert [5, "whole"] in found
        assert all(answer in (None, [5, "whole"]) for answer in found)


@needs_fork
def test_all_attendants_may_die() -> None:
    assert asked("os.kill(os.getpid(), signal.SIGKILL)") == [None] * 12


@needs_fork
def test_an_interrupt_is_not_for_attendants() -> None:
    whole = "item == 3 and [os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)]; return b'x'"
    assert asked(whole) == [[1, "x"]] * 12


@needs_fork
def test_an_interrupt_of_their_parent_ends_attendants() -> None:
    assert asked("item == 3 and os.kill(parent, signal.SIGINT); time.sleep(0.1); return b'x'") == "interrupted"


@needs_fork
def test_more_items_than_a_pipe_holds_are_left_to_the_caller() -> None:
    program = _PROGRAM.replace("WORK", "return b'x'").replace("range(12)", "range(40_000)")
    words = [sys.executable, "-W", "error", "-c", program.replace("len(answer), answer[:8].decode()", "1")]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)[0]
    assert sorted(map(int, found)) == list(range(len(found)))
    assert 0 < len(found) < 40_000
