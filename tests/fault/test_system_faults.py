"""Every command that changes anything meets faults that the system itself makes, on one small project.

File size limits, full disks of their own, and, by strace, calls that fail or kill beneath the interpreter: those of
SQLite among them, which no stand-in for ``os`` can reach. By default each command meets one or two; the rest is slow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.children import Aml, Children, Ended
from tests.fault.every import COMMANDS, judge, judge_end, judge_words, write_project
from tests.fault.garbage_runner import Files, RestlessChildren
from tests.fault.points import POINTS
from tests.fault.real import command, leave_free, own_disk
from tests.support.records import NOW

Property = Callable[[str, object], None]

_BEGIN = NOW.timestamp() - 3600


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with RestlessChildren(tmp_path_factory.mktemp("children")) as server:
        yield server


@pytest.fixture(scope="module")
def statuses(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[int]]:
    """With what a command ends without a fault, the first and the second time."""
    known: dict[str, set[int]] = {}

    def of(name: str) -> set[int]:
        if name not in known:
            folder = tmp_path_factory.mktemp("faultless")
            write_project(folder)
            aml = Aml(children, folder, _BEGIN)
            words = COMMANDS[name].made_ready(folder, aml)
            known[name] = {aml(*words).exit, aml(*words).exit}
        return known[name]

    return of


class Trial:
    """One command in one project, with which something will go wrong."""

    def __init__(self, name: str, children: Children, folder: Path, scratch: Path) -> None:
        self.name, self.folder = name, folder
        write_project(folder)
        self.aml = Aml(children, folder, _BEGIN)
        self._scratch = scratch
        self.words = COMMANDS[name].made_ready(folder, self.aml)
        self.whole = Files.read(folder)

    def problems(self, ended: Ended) -> list[str]:
        """What is wrong right after."""
        right_after = judge(self.folder, self.whole, self.aml, self._scratch)
        return [*([] if ended.exit < 0 else judge_words(ended)), *right_after]

    def problems_in_the_end(self, statuses: set[int]) -> list[str]:
        later = judge_end(self.folder, self.words, self.aml, statuses)
        return [*later, *judge(self.folder, self.whole, self.aml, self._scratch)]


def _everything(*, slow: tuple[int, ...], default: tuple[int, ...]) -> list[object]:
    each = [(name, value) for name in COMMANDS for value in (*default, *slow)]
    return [
        pytest.param(
            name, value, marks=[pytest.mark.slow] * (value in slow or COMMANDS[name].heavy), id=f"{name}-{value}"
        )
        for name, value in each
    ]


@pytest.mark.parametrize(("name", "size"), _everything(default=(3000,), slow=(0, 300, 1000, 9000)))
def test_a_limit_on_file_sizes_loses_nothing(
    name: str,
    size: int,
    children: Children,
    statuses: Callable[[str], set[int]],
    tmp_path: Path,
    record_property: Property,
) -> None:
    trial = Trial(name, children, tmp_path / "project", tmp_path / "scratch")
    ended = trial.aml(*trial.words, file_size=size)
    problems = [*trial.problems(ended), *trial.problems_in_the_end(statuses(name))]
    record_property(POINTS, ("file size limit, every command", 1))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("name", "pages"), _everything(default=(3,), slow=(0, 1, 6, 12, 24)))
def test_a_full_disk_loses_nothing(
    name: str,
    pages: int,
    children: Children,
    statuses: Callable[[str], set[int]],
    tmp_path: Path,
    record_property: Property,
) -> None:
    with own_disk(tmp_path / "disk", "600k") as disk:
        trial = Trial(name, children, disk / "project", tmp_path / "scratch")
        filler = leave_free(disk, pages)
        ended = trial.aml(*trial.words)
        problems = trial.problems(ended)
        filler.unlink()
        if COMMANDS[name].heavy:
            shutil.rmtree(disk / "project" / "sample", ignore_errors=True)
        problems += trial.problems_in_the_end(statuses(name))
    record_property(POINTS, ("full disk, every command", 1))
    assert not problems, "\n".join(problems)


#: What strace does to the n-th of which calls; a thread has its own count.
_RENAMES, _SYNCS, _WRITES = "rename,renameat,renameat2", "fsync,fdatasync,syncfs", "write,pwrite64"
INJECTIONS = (
    (_RENAMES, "error=EIO:when={n}+", (1, 2, 5)),
    (_RENAMES, "signal=KILL:when={n}", (1, 3, 6)),
    (_SYNCS, "error=EIO:when={n}", (1, 3, 6)),
    (_SYNCS, "error=EINTR:when={n}", (1, 4)),
    (_SYNCS, "signal=KILL:when={n}", (2, 5)),
    (_WRITES, "error=ENOSPC:when={n}+", (1, 4, 9)),
    (_WRITES, "error=EIO:when={n}", (2, 6)),
    (_WRITES, "error=EINTR:when={n}", (2, 7)),
    (_WRITES, "signal=KILL:when={n}", (3, 8, 20)),
)
_DEFAULT = {("prune", _RENAMES), ("backup create", _SYNCS), ("optimize index", _WRITES)}


def _struck() -> list[object]:
    found, seen = [], set()
    for name, one in COMMANDS.items():
        for calls, what, numbers in INJECTIONS:
            for n in numbers if not one.heavy else numbers[-1:]:
                is_default = (name, calls) in _DEFAULT and (name, calls) not in seen
                seen.add((name, calls))
                ident = f"{name}-{calls.partition(',')[0]}-{what.format(n=n)}"
                marks = [] if is_default else [pytest.mark.slow]
                found.append(pytest.param(name, calls, what.format(n=n), marks=marks, id=ident))
    return found


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a strace that may trace; the test is skipped where there is none, unless AML_REQUIRE_STRACE is 1."""
    found = shutil.which("strace")
    log = tmp_path_factory.mktemp("strace") / "log"
    if found and subprocess.run([found, "-f", "-o", log, "true"], capture_output=True).returncode == 0:
        return found
    reason = "strace is missing, or may not trace"
    if os.environ.get("AML_REQUIRE_STRACE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize(("name", "calls", "injection"), _struck())
def test_a_call_that_fails_beneath_the_interpreter_loses_nothing(
    name: str,
    calls: str,
    injection: str,
    strace: str,
    children: Children,
    statuses: Callable[[str], set[int]],
    tmp_path: Path,
    record_property: Property,
) -> None:
    trial = Trial(name, children, tmp_path / "project", tmp_path / "scratch")
    ended = _run_traced(strace, trial, calls, injection, tmp_path / "strace.log")
    if "EINTR" in injection and "(INJECTED)" in (tmp_path / "strace.log").read_text(encoding="utf-8"):
        assert ended.exit in statuses(name), "a call that was broken off by a signal is made again"
    if COMMANDS[name].heavy:
        shutil.rmtree(trial.folder / "sample", ignore_errors=True)
    problems = [*trial.problems(ended), *trial.problems_in_the_end(statuses(name))]
    record_property(POINTS, ("failing system call (strace), every command", 1))
    assert not problems, "\n".join(problems)


def _run_traced(strace: str, trial: Trial, calls: str, injection: str, log: Path) -> Ended:
    minutes = (trial.aml.now + 60 - NOW.timestamp()) / 60
    trial.aml.now += 60
    tracing = [strace, "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{injection}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AML_", "COV_"))}
    done = subprocess.run(
        [*tracing, *command(*trial.words, minutes=minutes)],
        cwd=trial.folder,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"},
    )
    return Ended(done.returncode, 0.0, done.stdout, done.stderr)
