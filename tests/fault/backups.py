"""The fault runner for backups: tries one command with a fault at each call that changes a file, and checks promises.

A command joins by a ``BackupScenario``. ``BackupRunner`` builds the project once and counts the calls of a faultless
run, which also tells what the command comes to. Then, for each point, a child runs into the fault on a fresh copy:

- right after: every backup that was listed before is listed and restores, byte for byte, as it did before, but for
  those that the command is there to remove; every file of the store is as it was or as it is to be; an error is told,
  with a path, and without a traceback, and leaves the store as it was; who exits with success has done all the work;
- after the ordinary runs that follow, at once: the store is entirely as it was or entirely as it is to be; all that was
  listed is still listed, and where backups go, it restores as before; ``aml backup verify``, which reads all of it,
  finds nothing; and nothing is left over (locks, temporary files, staging and scratch folders, unfinished journal
  entries).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aml.errors import ExitStatus
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
from tests.fault.runner import ALL_FAULTS, KEEP, STATE, STORE, Project, leftovers
from tests.support.records import NOW

Tree = dict[str, tuple[int, int, bytes | None]]
"""Mode, modification time (ns), and content (of a link its target; None for a folder) by relative path."""

#: Where a restore into a folder goes, inside the project.
TARGET = "restored"


Warming = Callable[[Path, Aml], None]


@dataclass(frozen=True)
class BackupScenario:
    """One command to be tried, ``words``, on the project that ``build`` makes in an empty folder.

    ``warm`` runs on each copy of the project before, as its files are not those that were backed up; ``then`` is what
    an ordinary user runs after the fault, each of which must exit with 0. ``locked`` is a file whose lock an agent
    holds while the command runs, which therefore ends with the status ``exit``, and no longer. ``may_remove`` tells
    whether backups go, ``changes_store`` that other files are put in place, ``finishes`` that the runs after it bring
    that to its end, whatever befell the command, and ``recovers`` that it finds a restore that died, which it may
    complete or undo before it does its own work.
    """

    name: str
    build: Callable[[Path, Aml], None]
    words: Words
    then: Sequence[Words]
    warm: Warming = lambda folder, aml: None
    faults: tuple[Fault, ...] = ALL_FAULTS
    may_remove: bool = False
    changes_store: bool = False
    finishes: bool = True
    recovers: bool = False
    locked: str = ""
    exit: int = 0


@dataclass(frozen=True)
class Backups:
    """All backups of a project, restored: their trees by sequence number; and what the store itself holds."""

    trees: dict[int, Tree]
    store: Tree


def tree_of(root: Path) -> Tree:
    """Everything below a folder, and the folder itself as "."; links are not followed."""
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (".", *folders, *files):
            path = Path(folder) / name
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                content: bytes | None = os.fsencode(path.readlink())
            else:
                content = path.read_bytes() if stat.S_ISREG(about.st_mode) else None
            found[path.relative_to(root).as_posix()] = (about.st_mode, about.st_mtime_ns, content)
    found.pop(".", None)
    return found


def difference(one: Tree, other: Tree) -> list[str]:
    """Paths that are in one tree alone, or not the same in both, and what of them differs."""
    names = ("mode", "time", "content")
    told = []
    for path in sorted({*one, *other}):
        if path not in one or path not in other:
            told.append(f"{path} is missing in one")
        elif one[path] != other[path]:
            told += [f"{path}: {name}" for name, a, b in zip(names, one[path], other[path], strict=True) if a != b]
    return told


class BackupRunner:
    """Tries the points of one scenario."""

    def __init__(self, scenario: BackupScenario, children: Children, workspace: Path) -> None:
        self.scenario = scenario
        self._children = children
        self._workspace = workspace
        self._copies = 0
        self._template = workspace / "template"
        self._template.mkdir(parents=True)
        builder = Aml(children, self._template, NOW.timestamp() - 7200)
        scenario.build(self._template, builder)
        self._now = builder.now
        self._whole = Project.read(self._template)
        self._old = tree_of(self._template / STORE)
        folder, aml = self._copy()
        self._before = _look(folder, aml)
        self._calls, self._goal = self._faultless_run(folder, aml)

    @property
    def words(self) -> Words:
        """The command line that is tried."""
        return self.scenario.words

    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]:
        """Every fault at every call that can meet it."""
        return points_of(self._calls, [fault for fault in self.scenario.faults if faults is None or fault in faults])

    def try_all(self, points: Sequence[Point]) -> list[str]:
        """What went wrong at each point that went wrong, in words."""
        return [f"{point}: {problem}" for point in points for problem in self._told(point)]

    def _told(self, point: Point) -> list[str]:
        try:
            return self.try_point(point)
        except AssertionError as error:
            return [f"a run between failed: {error}"]

    def try_point(self, point: Point) -> list[str]:
        """What went wrong, in words; nothing where all promises were kept. AssertionError where nothing can be told."""
        folder, aml = self._copy()
        ended = self._run_locked(folder, lambda: aml(*self.scenario.words, fault=point.fault, at=point.at))
        if point.fault in POWER_CUTS:
            let_agents_clear_locks(folder / STORE)
        problems = judge_exit(point, ended, folder, self.scenario.exit, len(self._calls))
        if ended.exit == ExitStatus.PARTIAL and "left alone: " in ended.err:
            problems = [one for one in problems if "names no path" not in one]  # it names one inside the store
        store = tree_of(folder / STORE)
        problems += [f"right after it, {one}" for one in self._judge_store_after(ended, store)]
        problems += [f"right after it, {one}" for one in self._judge_target(folder, ended.exit)]
        after = _look(folder, Aml(self._children, folder, aml.now))
        problems += [f"right after it, {one}" for one in self._judge_backups(after, done=ended.exit == 0)]
        for words in self._then(folder):
            problems += judge_next_run(aml(*words), words)
        problems += [f"in the end {one}" for one in self._judge_end(folder, aml, after)]
        if not problems:
            shutil.rmtree(folder)
        return problems

    def _copy(self) -> tuple[Path, Aml]:
        self._copies += 1
        folder = Path(shutil.copytree(self._template, self._workspace / f"copy-{self._copies}", symlinks=True))
        aml = Aml(self._children, folder, self._now)
        self.scenario.warm(folder, aml)
        return folder, aml

    def _run_locked(self, folder: Path, run: Callable[[], Ended]) -> Ended:
        """Run while an agent holds the lock of a file, if one is to."""
        if not self.scenario.locked:
            return run()
        lock = folder / STORE / f"{self.scenario.locked}.lock"
        lock.mkdir()
        try:
            return run()
        finally:
            lock.rmdir()

    def _faultless_run(self, folder: Path, aml: Aml) -> tuple[list[tuple[str, str]], Backups]:
        listing = self._workspace / "calls.json"
        ended = self._run_locked(folder, lambda: aml(*self.scenario.words, calls=str(listing)))
        assert ended.exit == self.scenario.exit, f"without any fault: exit {ended.exit}: {ended.err or ended.out}"
        if self.scenario.locked:
            assert _settled(tree_of(folder / STORE)) == _settled(self._old), (
                "it changed the store, though it could not end"
            )
            aml.must(*self.scenario.words)
        calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
        assert calls, "the command changed nothing, so there is nothing to try"
        goal = _look(folder, aml)
        assert self.scenario.changes_store == (goal.store != self._before.store)
        assert self.scenario.may_remove or self._before.trees.items() <= goal.trees.items()
        assert not leftovers(folder, self._whole)
        self._target = tree_of(folder / TARGET)
        return calls, goal

    def _then(self, folder: Path) -> Iterator[Words]:
        """What follows; a restore that has put its folder in place is not done again, since that must be new."""
        if not (folder / TARGET).exists():
            yield from self.scenario.then

    def _judge_store_after(self, ended: Ended, store: Tree) -> Iterator[str]:
        before, goal = self._old, self._goal.store
        if ended.exit == 0 and self._is_other(store, [before, goal] if self.scenario.recovers else [goal]):
            yield f"exit 0 although the store is not what it should be: {difference(goal, store)}"
        # an error may come after the work: then all of it is done
        told = "could not be put back" in ended.err or self.scenario.recovers
        if ended.exit > 0 and not told and self._is_other(store, [before, goal]):
            yield f"the store is a mixture, and the message does not say so: {difference(before, store)}"
        for path in sorted({*before, *goal, *store}):
            there = store.get(path, (0, 0, None))[2]
            if not _is_passing(path) and there not in (one.get(path, (0, 0, None))[2] for one in (before, goal)):
                yield f"{path} is neither what it was nor what it is to be"

    def _is_other(self, tree: Tree, wanted: Sequence[Tree]) -> bool:
        """Whether a tree is none of the wanted ones; a prune sets its own times."""
        times = self.scenario.words[0] != "prune"
        return _settled(tree, times=times) not in [_settled(one, times=times) for one in wanted]

    def _judge_target(self, folder: Path, exited: int) -> Iterator[str]:
        """What a restore into a folder has made: the whole, or nothing."""
        found = tree_of(folder / TARGET)
        if found != self._target and (exited == 0 or found):
            yield f"what was restored is not whole: {difference(self._target, found)}"

    def _judge_backups(self, found: Backups, *, done: bool) -> Iterator[str]:
        before, goal = self._before.trees, self._goal.trees
        must = goal.keys() if done else before.keys() & goal.keys()
        for number in sorted(must - found.trees.keys()):
            yield f"backup {number} is gone"
        if not self.scenario.may_remove and before.keys() - found.trees.keys():
            yield f"backups {sorted(before.keys() - found.trees.keys())} are gone"
        for number, tree in found.trees.items():
            # a step that was done and failed all the same is done again by some: that makes one more
            wanted = before.get(number) or goal.get(number) or goal[max(goal)]
            fits = tree == wanted if number in before else not self._is_other(tree, [wanted])
            if not fits and not (self.scenario.recovers and not self._is_other(tree, [_backed_up(self._old)])):
                yield f"backup {number} restores otherwise: {difference(wanted, tree)}"

    def _judge_end(self, folder: Path, aml: Aml, after: Backups) -> Iterator[str]:
        found = _look(folder, aml, restores=self.scenario.may_remove)
        before, goal = self._old, self._goal.store
        wanted = [goal] if self.scenario.finishes else [before, goal]
        if self.scenario.changes_store and self._is_other(found.store, wanted):
            yield f"the store is a mixture: {difference(before, found.store)} / {difference(goal, found.store)}"
        if not self.scenario.changes_store and self._is_other(found.store, [before]):
            yield f"the store has changed: {difference(before, found.store)}"
        kept = self._goal.trees if self.scenario.may_remove else {**self._before.trees, **after.trees}
        for number, tree in kept.items():
            if number not in found.trees:
                yield f"backup {number} is gone"
            elif self.scenario.may_remove and number in after.trees and found.trees[number] != tree:
                yield f"backup {number} restores otherwise: {difference(tree, found.trees[number])}"
        if self.scenario.may_remove and self._before.trees.keys() & found.trees.keys() - self._goal.trees.keys():
            yield f"backups are left over: {sorted(found.trees)}"
        verified = aml.look("backup", "verify")
        if verified.exit:
            yield f"verify: exit {verified.exit}: {verified.err or verified.out}"
        yield from leftovers(folder, self._whole)
        yield from _stagings(folder)


def _settled(tree: Tree, *, times: bool = True) -> Tree:
    """A tree without what passes, and without the times of its folders, which the clearing of a lock changes."""
    return {
        path: (mode, 0 if content is None or not times else time, content)
        for path, (mode, time, content) in tree.items()
        if not _is_passing(path)
    }


def _is_passing(path: str) -> bool:
    """Whether that is a lock or an unfinished write, of which none may be left in the end."""
    return path.endswith(".lock") or ".aml-tmp-" in path


def _backed_up(tree: Tree) -> Tree:
    """What of a store a backup holds."""
    return {path: one for path, one in tree.items() if not (stat.S_ISLNK(one[0]) or path.endswith((".lock", ".tmp")))}


def _stagings(folder: Path) -> Iterator[str]:
    for path in (folder / STATE / "restore").glob("*"):
        yield f"left over: the staging folder {path.relative_to(folder)}"


def _look(folder: Path, aml: Aml, *, restores: bool = True) -> Backups:
    """Restore every backup that is listed into a folder of its own, beside the project; or leave their trees empty."""
    if not (folder / KEEP / "repository.json").exists():
        return Backups({}, tree_of(folder / STORE))
    listed = aml.look("backup", "list", "--json")
    assert listed.exit == 0, listed.err or listed.out
    backups = json.loads(listed.out)["data"]["backups"]
    trees: dict[int, Tree] = {backup["sequence"]: {} for backup in backups}
    for backup in backups if restores else []:
        target = folder.with_name(f"{folder.name}.look")
        aml.must("backup", "restore", backup["id"], "--target", str(target), unforked=True)
        trees[backup["sequence"]] = tree_of(target)
        shutil.rmtree(target)
    return Backups(trees, tree_of(folder / STORE))
