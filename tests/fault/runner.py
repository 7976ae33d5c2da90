"""The fault runner: tries one command with a fault at each call that changes a file, and checks AML's promises.

A command joins by a ``Scenario``: how to build the project it runs on, its words, and what an ordinary user would run
after the fault. ``FaultRunner`` builds the project once, counts the calls of a faultless run, and then, for each point
(a fault at the n-th call), lets a child run into the fault on a fresh copy and checks:

- right after: every record file reads as JSON; every record is in the store or in an archive; no record has been made
  up or doubled; no other file has changed; an error is told, with a path, and without a traceback; and whoever exits
  with success has done all of the work;
- after the ordinary runs that follow, at once and without waiting for the dead run's locks: nothing is left over
  (locks, temporary files, unfinished journal entries); ``aml prune history`` names as removed exactly what is not in
  the store; and undoing every run brings all records back, in their old order.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.fault.children import (
    POWER_CUTS,
    Aml,
    Children,
    Ended,
    Point,
    Words,
    judge_exit,
    judge_next_run,
    let_agents_clear_locks,
    points_of,
)
from tests.fault.inject import Fault
from tests.support.records import NOW
from tests.support.stores import gunzipped, record_spans, tree_digest

Inventory = dict[tuple[str, str], Counter[bytes]]
"""Raw records by agent and kind; Counter, since a file may hold the same record twice."""

KINDS = ("patterns", "solutions", "decisions")
ALL_FAULTS = tuple(Fault)


@dataclass(frozen=True)
class Prepared:
    """The words of the command to be tried, and the project as agents wrote it, before any command removed a record."""

    words: Words
    whole: Project


@dataclass(frozen=True)
class Scenario:
    """One command to be tried.

    ``build`` fills an empty folder with a project whose store is at STORE below it; it may use the ``Aml`` it gets to
    run commands there. ``then`` gives, for the words of the command under fault, the command lines that an ordinary
    user runs after it; each must exit with 0. ``exit`` is the status of the faultless run. ``right_after`` sees how
    the faulty run ended and ``in_the_end`` what the runs after it led to, each beside the whole project, and both yield
    what is wrong. ``undoes_all`` tells whether undoing every prune must bring back the whole project, ``repacks`` that
    files may be gzip where they were plain, or plain where they were gzip. ``settle`` makes a copy of the project as
    good as the one that was built, where something in it names its own folder.
    """

    name: str
    build: Callable[[Path, Aml], Prepared]
    then: Callable[[Words], Sequence[Words]]
    exit: int = 0
    faults: tuple[Fault, ...] = ALL_FAULTS
    right_after: Callable[[Ended, Project, Project], Iterable[str]] = lambda ended, after, whole: ()
    in_the_end: Callable[[Project, Project], Iterable[str]] = lambda later, whole: ()
    undoes_all: bool = True
    repacks: bool = False
    settle: Callable[[Path], None] = lambda folder: None


STORE = Path(".loom", "memory")
STATE = Path(".loom", "memory.aml")
KEEP = Path(".loom", "memory-backup")


@dataclass(frozen=True)
class Project:
    """What a project holds at one moment, read without AML."""

    store: Inventory
    archived: Inventory
    order: dict[str, list[bytes]]
    others: dict[str, Any]
    modes: dict[str, tuple[int, int, int, bool]]
    torn: list[str] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Project:
        root = folder / STORE
        order: dict[str, list[bytes]] = {}
        modes: dict[str, tuple[int, int, int, bool]] = {}
        torn: list[str] = []
        times: dict[str, int] = {}
        for path in record_files(root):
            name = path.relative_to(root).as_posix()
            found, data = path.stat(), path.read_bytes()
            times[name] = found.st_mtime_ns
            modes[name] = (found.st_mode, found.st_uid, found.st_gid, data.startswith(b"\x1f\x8b"))
            try:
                json.loads(gunzipped(data))
                order[name] = record_spans(path)
            except (ValueError, EOFError, OSError, AssertionError) as error:
                torn.append(f"{name} does not read: {error}")
        others = {name: digest for name, digest in tree_digest(root).items() if name not in modes}
        archived: Inventory = {}
        for path in sorted((folder / KEEP / "archives").glob("*/*.jsonl.gz")):
            try:
                _read_archive(path, archived)
            except (ValueError, EOFError, OSError) as error:
                torn.append(f"{path.name} does not read: {error}")
        return cls(_by_kind(order), archived, order, others, modes, torn, times)


def record_files(root: Path) -> list[Path]:
    return sorted(path for kind in KINDS for path in root.glob(f"*/{kind}.json"))


def _by_kind(order: dict[str, list[bytes]]) -> Inventory:
    return {_agent_and_kind(name): Counter(records) for name, records in order.items()}


def _agent_and_kind(name: str) -> tuple[str, str]:
    agent, _, file = name.partition("/")
    return agent, file.removesuffix(".json")


def _read_archive(path: Path, found: Inventory) -> None:
    if not path.stat().st_size:
        raise EOFError("it is empty")
    for line in gzip.decompress(path.read_bytes()).splitlines():
        entry = json.loads(line)
        found.setdefault((entry["agent"], entry["kind"]), Counter())[entry["text"].encode()] += 1


def total(one: Inventory, other: Inventory) -> Inventory:
    return {key: one.get(key, Counter()) + other.get(key, Counter()) for key in {*one, *other}}


def missing(wanted: Inventory, there: Inventory) -> list[str]:
    """What of ``wanted`` is not there, in words."""
    lacks = {key: records - there.get(key, Counter()) for key, records in wanted.items()}
    return [f"{agent}/{kind} lacks {_ids(lack)}" for (agent, kind), lack in lacks.items() if lack]


def _ids(records: Counter[bytes]) -> str:
    return ", ".join(str(ident(raw)) for raw in records.elements())


def ident(raw: bytes) -> str | None:
    value = json.loads(raw)
    return value.get("id") if isinstance(value, dict) else None


class FaultRunner:
    """Tries the points of one scenario."""

    def __init__(self, scenario: Scenario, children: Children, workspace: Path) -> None:
        self.scenario = scenario
        self._children = children
        self._workspace = workspace
        self._copies = 0
        self._template = workspace / "template"
        self._template.mkdir(parents=True)
        builder = Aml(children, self._template, NOW.timestamp() - 3600)
        prepared = scenario.build(self._template, builder)
        self._words, self._whole = prepared.words, prepared.whole
        self._now = builder.now
        self._calls, self._goal = self._faultless_run()

    @property
    def words(self) -> Words:
        """The command line that is tried."""
        return self._words

    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]:
        """Every fault at every call that can meet it."""
        return points_of(self._calls, [fault for fault in self.scenario.faults if faults is None or fault in faults])

    def try_all(self, points: Sequence[Point]) -> list[str]:
        """What went wrong at each point that went wrong, in words."""
        return [f"{point}: {problem}" for point in points for problem in self.try_point(point)]

    def try_point(self, point: Point) -> list[str]:
        """What went wrong, in words; nothing where all promises were kept."""
        folder = self._copy()
        aml = Aml(self._children, folder, self._now)
        ended = aml(*self._words, fault=point.fault, at=point.at)
        if point.fault in POWER_CUTS:
            let_agents_clear_locks(folder / STORE)
        after = Project.read(folder)
        problems = [*self._judge_exit(point, ended, after, folder), *self._judge_records(after)]
        problems += self.scenario.right_after(ended, after, self._whole)
        for words in self.scenario.then(self._words):
            problems += judge_next_run(aml(*words), words)
        later = Project.read(folder)
        problems += [f"in the end {problem}" for problem in self._judge_records(later)]
        problems += self.scenario.in_the_end(later, self._whole)
        problems += leftovers(folder, self._whole)
        told = aml.look("prune", "history", "--json", "--limit", "100")
        if told.exit:
            return [*problems, f"history: exit {told.exit}: {told.err or told.out}"]
        runs = json.loads(told.out)["data"]["runs"]
        problems += self._judge_history(runs, later)
        had_begun = bool(after.archived) or after.store != self._whole.store
        if self.scenario.undoes_all and had_begun and not problems:
            problems += self._judge_way_back(runs, aml, folder)
        if not problems:
            shutil.rmtree(folder)
        return problems

    def _faultless_run(self) -> tuple[list[tuple[str, str]], Project]:
        folder, listing = self._copy(), self._workspace / "calls.json"
        aml = Aml(self._children, folder, self._now)
        ended = aml(*self._words, calls=str(listing))
        assert ended.exit == self.scenario.exit, f"without any fault: exit {ended.exit}: {ended.err or ended.out}"
        calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
        assert calls, "the command changed nothing, so there is nothing to try"
        return calls, Project.read(folder)

    def _copy(self) -> Path:
        self._copies += 1
        folder = Path(shutil.copytree(self._template, self._workspace / f"copy-{self._copies}", symlinks=True))
        self.scenario.settle(folder)
        return folder

    def _judge_exit(self, point: Point, ended: Ended, after: Project, folder: Path) -> list[str]:
        problems = judge_exit(point, ended, folder, self.scenario.exit, len(self._calls))
        if ended.exit == self.scenario.exit and after.store != self._goal.store:
            problems.append(f"exit {ended.exit} although not everything was done: {ended.out.strip()}")
        return problems

    def _judge_records(self, after: Project) -> list[str]:
        before = self._whole
        problems = list(after.torn)
        problems += [f"lost: {lack}" for lack in missing(before.store, total(after.store, after.archived))]
        problems += [f"made up or doubled: {excess}" for excess in missing(after.store, before.store)]
        problems += [f"the file {name} is gone" for name in before.modes.keys() - after.modes.keys()]
        judged = 3 if self.scenario.repacks else 4
        changed = [
            name for name, found in before.modes.items() if after.modes.get(name, found)[:judged] != found[:judged]
        ]
        problems += [f"{name} changed its mode, owner or compression" for name in changed]
        problems += [
            f"{name} has changed" for name, digest in before.others.items() if after.others.get(name) != digest
        ]
        return problems

    def _judge_history(self, runs: list[dict[str, Any]], later: Project) -> list[str]:
        """Replayed from the oldest run on, the history must name as removed exactly what is not in the store."""
        there = {_key(kind, raw) for kind, records in later.store.items() for raw in records}
        gone = {_key(kind, raw) for kind, records in self._whole.store.items() for raw in records} - there
        told: set[tuple[Any, ...]] = set()
        for run in reversed(runs):
            for file in run["files"]:
                place = (file["agent"], file["kind"])
                told |= {(*place, *key) for key in file["removed"]}
                told -= {(*place, *key) for key in file["restored"]}
        problems = [f"history does not tell that {key} was removed" for key in gone - told]
        return problems + [f"history tells that {key} was removed, but it is there" for key in told - gone]

    def _judge_way_back(self, runs: list[dict[str, Any]], aml: Aml, folder: Path) -> list[str]:
        """Undoing every prune, the newest first, brings every record back to where it stood."""
        for run in runs:
            if run["operation"] == "prune" and any(file["removed"] for file in run["files"]):
                ended = aml("prune", "undo", run["id"], unforked=True)
                if ended.exit:
                    return [f"undo of {run['id']}: exit {ended.exit}: {ended.err or ended.out}"]
        back = Project.read(folder)
        problems = [f"after undoing everything, {lack}" for lack in missing(self._whole.store, back.store)]
        moved = [name for name, records in self._whole.order.items() if back.order.get(name) != records]
        return problems or [f"after undoing everything, {name} has another order" for name in moved]


def _key(place: tuple[str, str], raw: bytes) -> tuple[Any, ...]:
    return (*place, ident(raw), sha256(raw).hexdigest()[:16])


def leftovers(folder: Path, whole: Project) -> list[str]:
    """What a finished command must not leave: locks, temporary files, journal entries of unfinished runs."""
    problems = []
    strangers = {folder / STORE / name for name in whole.others}
    for path in set(folder.rglob("*")) - strangers:
        if path.is_dir() and path.name.endswith(".lock"):
            problems.append(f"left over: the lock {path.relative_to(folder)}")
        elif "tmp" in path.name:
            problems.append(f"left over: the temporary file {path.relative_to(folder)}")
    for path in (folder / STATE / "runs").glob("*.json"):
        try:
            state = json.loads(path.read_bytes())["state"]
        except ValueError:
            state = "nothing that can be read"
        if state not in ("done", "partial", "failed", "interrupted"):
            problems.append(f"left over: the journal calls run {path.stem} {state}")
    return problems
