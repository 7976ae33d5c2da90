"""A pytest plugin that runs the collected tests once, and then on every mutant, in a process of its own for each.

Tests and modules are loaded once. A mutant is put in place by giving the functions that are there another code, so that
whoever imported them has it too. What a module or a class says while it is loaded is not changed.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import resource
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.mutants import Mutant, mutants_of

settings.register_profile(
    "mutation",
    max_examples=int(os.environ.get("AML_MUTATION_EXAMPLES", "15")),
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

_PROJECT = Path(__file__).resolve().parents[2]

#: Of a mutant's tests, the quickest are run until they took so many seconds of processor time.
_ENOUGH_SECONDS = float(os.environ.get("AML_MUTATION_SECONDS", "6"))
_HANGS_AFTER_SECONDS = 180.0
_MOST_MEMORY = 3 << 30

_KILLED, _SURVIVED, _UNTESTED = "killed", "survived", "untested"


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--mutate", action="append", default=[], help="a module, as a path")
    parser.addoption("--mutation-results", default="mutation.jsonl", help="where the outcome of each mutant is kept")
    parser.addoption("--mutation-jobs", type=int, default=2)
    parser.addoption("--mutation-again", action="store_true", help="only those that survived before")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: Any) -> bool | None:
    if not session.config.getoption("mutate"):
        return None
    Run(session).run()
    os._exit(0)  # nothing here tidies up what other processes may still use


class Run:
    """One run over all mutants of the modules that were named."""

    def __init__(self, session: Any) -> None:
        option = session.config.getoption
        self.session = session
        self.paths = [(_PROJECT / path).resolve() for path in option("mutate")]
        self.results = Path(option("mutation_results"))
        self.jobs = option("mutation_jobs")
        self.again = option("mutation_again")
        self.seconds: dict[str, float] = {}
        self.covering: dict[Path, dict[int, list[str]]] = {}
        self.items = {item.nodeid: item for item in session.items}
        self.running: dict[int, tuple[Mutant, float, Path]] = {}
        self.outcomes: dict[tuple[str, int], dict[str, Any]] = {}

    def run(self) -> None:
        for path in self.paths:
            importlib.import_module(".".join(path.relative_to(_PROJECT).with_suffix("").parts))
        self._baseline()
        if self.results.exists():
            for line in self.results.read_text().splitlines():
                one = json.loads(line)
                self.outcomes[one["path"], one["number"]] = one
        gc.collect()
        self.functions, self.caches = _found({str(path) for path in self.paths})
        gc.freeze()
        self._leave_out_what_fails_by_itself()
        for path in self.paths:
            for mutant in mutants_of(path):
                if mutant.function and self._is_asked_for(mutant):
                    self._start(mutant)
        while self.running:
            self._await_one()
        _say(f"done {time.strftime('%H:%M:%S')}")
        self._summarise()

    def _is_asked_for(self, mutant: Mutant) -> bool:
        known = self.outcomes.get((_name(mutant.path), mutant.number))
        return known is None if not self.again else known is not None and known["outcome"] != _KILLED

    def _leave_out_what_fails_by_itself(self) -> None:
        """A test that fails in a process like those of mutants, though there is no mutant, tells nothing."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _in_silence()
            with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
                self.session.config._tmp_path_factory._basetemp = Path(folder)
                failing = [ident for ident in self.items if self._first_failure([ident])]
            os.write(writing, "\n".join(failing).encode()[:60_000])
            os._exit(0)
        os.close(writing)
        with open(reading, encoding="utf-8") as told:
            failing = told.read().split("\n")
        os.waitpid(child, 0)
        for ident in filter(None, failing):
            _say(f"fails without a mutant: {ident}")
            for tests in (tests for lines in self.covering.values() for tests in lines.values() if ident in tests):
                tests.remove(ident)

    def _baseline(self) -> None:
        cover = coverage.Coverage(data_file=None, include=[str(path) for path in self.paths], config_file=False)
        cover.start()
        for ident, item in list(self.items.items()):
            cover.switch_context(ident)
            start = time.process_time()
            reports = runtestprotocol(item, nextitem=None, log=False)
            self.seconds[ident] = time.process_time() - start
            if not all(report.passed for report in reports):
                if not any(report.skipped for report in reports):
                    _say(f"fails without a mutant: {ident}")
                del self.items[ident]
        cover.stop()
        data = cover.get_data()
        for path in self.paths:
            lines = data.contexts_by_lineno(str(path))
            self.covering[path] = {
                line: sorted((one for one in tests if one in self.items), key=self.seconds.__getitem__)
                for line, tests in lines.items()
            }
        _say(f"{len(self.items)} tests in {sum(self.seconds.values()):.0f} s, {time.strftime('%H:%M:%S')}")

    def _start(self, mutant: Mutant) -> None:
        while len(self.running) >= self.jobs:
            self._await_one()
        lines = self.covering[mutant.path]
        # of a statement of several lines, not each is counted
        tests = next((lines[line] for line in range(mutant.line, mutant.line - 6, -1) if lines.get(line)), [])
        if not tests:
            self._note(mutant, _UNTESTED, "")
            return
        handle, name = tempfile.mkstemp(prefix="mutant-")
        os.close(handle)
        told = Path(name)
        child = os.fork()
        if not child:
            os.setsid()
            try:
                self._in_child(mutant, tests, told)
            finally:
                os._exit(3)
        self.running[child] = mutant, time.monotonic(), told

    def _await_one(self) -> None:
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child in self.running:
                break
            for one, (_, begun, _) in self.running.items():
                if time.monotonic() - begun > _HANGS_AFTER_SECONDS:
                    os.killpg(one, signal.SIGKILL)
            time.sleep(0.005)
        mutant, _, told = self.running.pop(child)
        survived = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        by = told.read_text()
        told.unlink()
        if not survived and not os.WIFEXITED(status):
            by = f"signal {os.WTERMSIG(status)}"
        self._note(mutant, _SURVIVED if survived else _KILLED, by)

    def _note(self, mutant: Mutant, outcome: str, by: str) -> None:
        found = {
            "path": _name(mutant.path),
            "number": mutant.number,
            "line": mutant.line,
            "function": mutant.function,
            "what": mutant.what,
            "outcome": outcome,
            "by": by,
        }
        self.outcomes[found["path"], found["number"]] = found
        with self.results.open("a") as file:
            file.write(json.dumps(found) + "\n")

    def _summarise(self) -> None:
        for _, one in sorted(self.outcomes.items()):
            if one["outcome"] != _KILLED:
                _say(f"{one['outcome']}: {one['path']}:{one['line']} {one['function']}: {one['what']}")
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (path, _), one in self.outcomes.items():
            counts[path][one["outcome"]] += 1
        for path, found in sorted(counts.items()):
            _say(f"{path:35} {sum(found.values()):5} {dict(found)}")

    def _in_child(self, mutant: Mutant, tests: list[str], told: Path) -> None:
        _in_silence()
        most = int(_ENOUGH_SECONDS + 6 * self.seconds[tests[-1]]) + 5
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            factory = self.session.config._tmp_path_factory
            factory._basetemp = Path(folder)
            self._put_in_place(mutant)
            killed_by = self._first_failure(tests)
        told.write_text(killed_by or "")
        os._exit(1 if killed_by else 0)

    def _put_in_place(self, mutant: Mutant) -> None:
        codes = {one.co_qualname: one for one in _codes(mutant.code)}
        for one in self.functions:
            if one.__code__.co_filename == str(mutant.path) and (new := codes.get(one.__code__.co_qualname)):
                one.__code__ = new
        for cache in self.caches:
            cache.cache_clear()

    def _first_failure(self, tests: list[str]) -> str | None:
        spent = 0.0
        for ident in tests:
            for report in runtestprotocol(self.items[ident], nextitem=None, log=False):
                if report.failed:
                    return ident
            spent += self.seconds[ident]
            if spent > _ENOUGH_SECONDS:
                break
        return None


def _found(paths: set[str]) -> tuple[list[FunctionType], list[Any]]:
    """All functions that those files define, and all caches of functions."""
    every = gc.get_objects()
    functions = [one for one in every if isinstance(one, FunctionType) and one.__code__.co_filename in paths]
    return functions, [one for one in every if isinstance(one, functools._lru_cache_wrapper)]


def _in_silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _name(path: Path) -> str:
    return path.relative_to(_PROJECT).as_posix()


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())
