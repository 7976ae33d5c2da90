"""The fault runner for commands that leave the store alone: they write their own notes, or a file that was asked for.

A command joins by a ``BesideScenario``. For each point a child runs into the fault on a fresh copy of a project:

- right after: the store is what it was, to the byte and the time; the file that was asked for is whole or is not there;
  what was kept beside the store before (runs, samples, alerts) is still kept; an error is told without a traceback;
- after the ordinary run that follows, at once: it ends as it does without a fault, the file is there and whole, and
  nothing is left over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fault.children import POWER_CUTS, Aml, Children, Ended, Point, Words, judge_exit, judge_next_run, points_of
from tests.fault.inject import Fault
from tests.fault.runner import ALL_FAULTS, KEEP, STATE, STORE
from tests.support.records import NOW
from tests.support.stores import tree_digest

#: Beside the store: what a run must never take away or shorten.
_KEPT = ("runs/*.json", "metrics.jsonl", "alerts.json")


@dataclass(frozen=True)
class BesideScenario:
    """One command, ``words``, to be tried on the project that ``build`` makes in an empty folder.

    ``product`` is the file that it writes, below the project's folder, and ``is_whole`` tells a whole one; ``fresh``
    that it is written only where there is none, so that a further run is one only after the first has failed, and
    ``clear`` removes what else of a failed run stands in the way of it. ``exit`` is the ordinary status.
    """

    name: str
    build: Callable[[Path, Aml], None]
    words: Words
    product: str = ""
    is_whole: Callable[[bytes], bool] = bool
    fresh: bool = False
    clear: Callable[[Path], None] = lambda folder: None
    faults: tuple[Fault, ...] = ALL_FAULTS
    exit: int = 0


class BesideRunner:
    """Tries the points of one scenario."""

    def __init__(self, scenario: BesideScenario, children: Children, workspace: Path) -> None:
        self.scenario = scenario
        self._children, self._workspace = children, workspace
        self._copies = 0
        self._template = workspace / "template"
        self._template.mkdir(parents=True)
        builder = Aml(children, self._template, NOW.timestamp() - 3600)
        scenario.build(self._template, builder)
        self._now = builder.now
        self._store = tree_digest(self._template / STORE)
        self._kept = kept_beside(self._template)
        self._calls = self._faultless_run()

    @property
    def words(self) -> Words:
        """The command line that is tried."""
        return self.scenario.words

    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]:
        """Every fault at every call that can meet it."""
        return points_of(self._calls, [one for one in self.scenario.faults if faults is None or one in faults])

    def try_all(self, points: Sequence[Point]) -> list[str]:
        """What went wrong at each point that went wrong, in words."""
        return [f"{point}: {problem}" for point in points for problem in self.try_point(point)]

    def try_point(self, point: Point) -> list[str]:
        """What went wrong, in words; nothing where all promises were kept."""
        folder = self._copy()
        aml = Aml(self._children, folder, self._now)
        words = self.scenario.words
        ended = aml(*words, fault=point.fault, at=point.at)
        problems = judge_exit(point, ended, folder, self.scenario.exit, len(self._calls))
        problems += self._judge(folder, done=ended.exit == self.scenario.exit, cut=point.fault in POWER_CUTS)
        problems += [f"in the end {problem}" for problem in self._judge_end(folder, aml, ended)]
        if not problems:
            shutil.rmtree(folder)
        return problems

    def _copy(self) -> Path:
        self._copies += 1
        return Path(shutil.copytree(self._template, self._workspace / f"copy-{self._copies}", symlinks=True))

    def _faultless_run(self) -> list[tuple[str, str]]:
        folder, listing = self._copy(), self._workspace / "calls.json"
        ended = Aml(self._children, folder, self._now)(*self.scenario.words, calls=str(listing))
        assert ended.exit == self.scenario.exit, f"without any fault: exit {ended.exit}: {ended.err or ended.out}"
        problems = [*self._judge(folder, done=True, cut=False), *strays(folder)]
        assert not problems, f"without any fault: {problems}"
        calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
        assert calls, "the command changed nothing, so there is nothing to try"
        return calls

    def _judge_end(self, folder: Path, aml: Aml, ended: Ended) -> Iterator[str]:
        if self.scenario.fresh:
            self.scenario.clear(folder)
        age_unfinished(folder)
        product = folder / self.scenario.product
        if not (self.scenario.fresh and self.scenario.product and product.exists()):
            later = aml(*self.scenario.words)
            if later.exit != self.scenario.exit or not later.exit:
                yield from judge_next_run(later, self.scenario.words)
        yield from self._judge(folder, done=True, cut=False)
        # what is AML's own is cleared by whoever next holds the run lock, or writes the index
        aml.must("optimize", "gc")
        aml.must("optimize", "index", "--rebuild")
        yield from strays(folder)

    def _judge(self, folder: Path, *, done: bool, cut: bool) -> Iterator[str]:
        if tree_digest(folder / STORE) != self._store:
            yield "the store has changed"
        now = kept_beside(folder)
        for name, lines in self._kept.items():
            if not lines <= now.get(name, set()):
                yield f"{name} has lost something"
        if not self.scenario.product:
            return
        product = folder / self.scenario.product
        if product.exists() and not self.scenario.is_whole(product.read_bytes()):
            yield f"{self.scenario.product} is not whole"
        if done and not product.exists() and not cut:
            yield f"{self.scenario.product} is not there"


def kept_beside(folder: Path) -> dict[str, set[str]]:
    """What is noted beside the store: of the journal each run, of the samples each line, of the alerts each id."""
    found: dict[str, set[str]] = {}
    for pattern in _KEPT:
        for path in (folder / STATE).glob(pattern):
            found[path.name] = set(_noted(path))
    return found


def _noted(path: Path) -> Iterator[str]:
    if path.suffix == ".jsonl":
        yield from (line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}"))
        return
    document = json.loads(path.read_bytes())
    yield from (str(one["id"]) for one in document.get("alerts", [document]))


def age_unfinished(folder: Path) -> None:
    """Let all unfinished writes be of long ago, since those that may be under way are nobody's to remove."""
    for path in folder.rglob("*.aml-tmp-*"):
        os.utime(path, (0, 0))


def strays(folder: Path) -> Iterator[str]:
    """What a finished command must not leave anywhere in the project: locks, unfinished writes, runs without an end."""
    for path in folder.rglob("*"):
        if path.is_dir() and path.name.endswith(".lock"):
            yield f"left over: the lock {path.relative_to(folder)}"
        elif ".aml-tmp-" in path.name:
            yield f"left over: the temporary file {path.relative_to(folder)}"
    for path in (folder / STATE / "runs").glob("*.json"):
        if (state := json.loads(path.read_bytes())["state"]) not in ("done", "partial", "failed", "interrupted"):
            yield f"left over: the journal calls run {path.stem} {state}"
    for name in ("restore", "scratch"):
        yield from (f"left over: {path.relative_to(folder)}" for path in (folder / STATE / name).glob("*"))
    yield from (f"left over: {path.relative_to(folder)}" for path in (folder / KEEP).glob("tmp/*"))
