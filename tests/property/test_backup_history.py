"""Whatever happens to a store and its backups, each backup that is kept gives back what was there when it was made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aml.backup import read
from aml.backup.keep import KeepRules
from aml.backup.options import PRE_PRUNE, PRE_RESTORE, BackupOptions, RestoreOptions
from aml.errors import ExitStatus
from aml.store.open import open_store
from aml.workflows.backup import backup, list_backups, show_backup
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune
from aml.workflows.restore import restore
from aml.workflows.upkeep import drill, rotate_backups, verify_backups
from tests.contract.pruning import IMPATIENT
from tests.property.trees import (
    Edit,
    File,
    Folder,
    Tree,
    agent_of,
    apply,
    edits,
    facts,
    parents,
    read_tree,
    trees,
    write_tree,
)
from tests.support.records import NOW

CONDITIONS = Conditions(locks=IMPATIENT, trust_clock=True)
HOUR = 3600.0

numbers = st.integers(0, 1 << 16)
hours = st.sampled_from([0.0, 0.01, 5.0, 30.0, 400.0])
keep_rules = st.builds(
    KeepRules,
    last=st.integers(0, 3),
    daily=st.integers(0, 2),
    monthly=st.integers(0, 1),
    within=st.sampled_from([0.0, 40 * HOUR]),
    tags=st.sampled_from([(), (PRE_RESTORE,), (PRE_PRUNE, "x")]),
    max_backups=st.sampled_from([0, 0, 2, 4]),
)


@dataclass(frozen=True)
class Made:
    """A backup that was made: what it must hold, and of whom (None: of the whole store)."""

    tree: Tree
    agents: frozenset[str] | None = None
    for_restore: bool = False


@dataclass(frozen=True)
class Part:
    """What of a backup is restored: of these agents (None: of anybody), and at or below this path ("": anywhere)."""

    agents: frozenset[str] | None = None
    path: str = ""

    def has(self, path: str, tree: Tree) -> bool:
        if self.agents is not None and agent_of(path, is_folder=isinstance(tree[path], Folder)) not in self.agents:
            return False
        return not self.path or self.path in (path, *parents(path))

    def of(self, tree: Tree) -> Tree:
        return {path: node for path, node in tree.items() if self.has(path, tree)}


@dataclass(frozen=True)
class Expected:
    """A store after a restore: of ``loose`` folders mode and time are open, of ``touched`` ones the time."""

    tree: Tree
    loose: set[str]
    touched: set[str]
    left: set[str]


def expect(now: Tree, wanted: Tree, part: Part, *, keep_extra: bool) -> Expected:
    """What a restore of ``part`` must make of a store: what is selected as in ``wanted``, all else as it is."""
    chosen = part.of(wanted)
    stays = dict(now) if keep_extra else {path: node for path, node in now.items() if not part.has(path, now)}
    needed = {path for path in parents(part.path) if path in wanted} if chosen else set()
    result, left, loose = dict(stays), set[str](), set[str]()
    for path in sorted(chosen.keys() | needed):
        node, there = wanted[path], stays.get(path)
        is_file = isinstance(node, File)
        in_the_way = any(isinstance(stays.get(above), File) for above in parents(path))
        if in_the_way or (there is not None and isinstance(there, File) is not is_file):
            left |= {path} if is_file else set()
        elif path in chosen:
            result[path] = node
        elif path not in stays:
            result[path] = node
            loose.add(path)
    touched = {path for path, node in now.items() if isinstance(node, Folder) and not part.has(path, now)}
    return Expected(result, loose, touched, left)


class History(RuleBasedStateMachine):
    """One store, its repository, and what the backups in it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.memory = Path(self._folder.name) / ".loom" / "memory"
        self.memory.mkdir(parents=True)
        self.now = NOW.timestamp()
        self.made: dict[str, Made] = {}
        self._clock: Any = None

    @initialize(tree=trees(), trusts=st.booleans())
    def begin(self, tree: Tree, trusts: bool) -> None:
        write_tree(self.memory, tree)
        self.store = open_store(self.memory)
        if trusts:
            # else no file here would be old enough for an incremental backup to take it over without reading it
            self._clock = patch.object(read, "_UNSETTLED_NS", 0)
            self._clock.start()
        self._back_up("full", frozenset())

    @rule(changes=st.lists(edits, min_size=1, max_size=3))
    def edit(self, changes: list[Edit]) -> None:
        for change in changes:
            apply(self.memory, change)

    @rule(
        kind=st.sampled_from(["full", "incremental", "incremental"]), chosen=st.lists(numbers, max_size=2), later=hours
    )
    def back_up(self, kind: Any, chosen: list[int], later: float) -> None:
        self.now += later * HOUR
        known = sorted(_agents(read_tree(self.memory)))
        self._back_up(kind, frozenset(known[number % len(known)] for number in chosen if known))

    def _back_up(self, kind: Any, agents: frozenset[str]) -> None:
        part = Part(agents or None)
        tree = read_tree(self.memory)
        report = backup(self.store, BackupOptions(kind=kind, agents=tuple(agents)), now=self.now, conditions=CONDITIONS)
        assert report.status is ExitStatus.DONE
        assert read_tree(self.memory) == tree
        self.made[report.id] = Made(part.of(tree), part.agents)
        self._check_list()

    @rule(rules=keep_rules, later=hours)
    def rotate(self, rules: KeepRules, later: float) -> None:
        self.now += later * HOUR
        told = rotate_backups(self.store, rules, now=self.now, conditions=CONDITIONS, dry_run=True)
        done = rotate_backups(self.store, rules, now=self.now, conditions=CONDITIONS)
        assert told.backups == done.backups
        assert {one.id for one in done.backups} == self.made.keys()
        for one in done.backups:
            if not one.keep:
                del self.made[one.id]
        self._check_list()

    @rule(number=numbers, how=st.sampled_from(["whole", "agent", "path", "both"]), inside=numbers, extra=st.booleans())
    def restore(self, number: int, how: str, inside: int, extra: bool) -> None:
        ids = sorted(self.made)
        wanted, made = ids[number % len(ids)], self.made[ids[number % len(ids)]]
        part = _choose(made, how, inside)
        self.now += HOUR
        before = read_tree(self.memory)
        options = RestoreOptions(
            agents=tuple(part.agents) if part.agents is not None and how in ("agent", "both") else (),
            paths=(part.path,) if part.path else (),
            keep_extra=extra,
        )
        report = restore(self.store, wanted, options, now=self.now, conditions=CONDITIONS)
        expected = expect(before, made.tree, part, keep_extra=extra)
        if report.backup is None:
            # nothing to do, as it seems to a restore that only modes and times of folders differ
            expected.loose.update(path for path, node in before.items() if isinstance(node, Folder))
        self._compare(expected)
        assert {one.path for one in report.left} == {_shown(path) for path in expected.left}
        assert report.status is (ExitStatus.PARTIAL if expected.left else ExitStatus.DONE)
        if report.backup is not None:
            self.made[report.backup] = Made(before, for_restore=True)
        else:
            assert read_tree(self.memory) == before
        self._check_list()

    def _compare(self, expected: Expected) -> None:
        found = read_tree(self.memory)
        assert found.keys() == expected.tree.keys()
        rest = {path: node for path, node in found.items() if path not in expected.loose}
        wanted = {path: node for path, node in expected.tree.items() if path not in expected.loose}
        assert facts(rest, timeless=expected.touched) == facts(wanted, timeless=expected.touched)

    @rule(later=hours)
    def prune(self, later: float) -> None:
        self.now += later * HOUR
        before = read_tree(self.memory)
        report = prune(self.store, now=self.now, conditions=CONDITIONS)
        if report.backup is not None:
            self.made[report.backup] = Made(before)
        else:
            assert read_tree(self.memory) == before
        self._check_list()

    def _check_list(self) -> None:
        """The backups there are, in their order, and which of them is the latest."""
        listed = [one.id for one in list_backups(self.store, conditions=CONDITIONS).backups]
        assert listed == list(self.made)
        states = [one for one in listed if not self.made[one].for_restore] or listed
        whole = [one for one in states if self.made[one].agents is None] or states
        assert show_backup(self.store, "latest", conditions=CONDITIONS).backup.id == whole[-1]

    def teardown(self) -> None:
        try:
            if self.made:
                self._check_all()
        finally:
            if self._clock is not None:
                self._clock.stop()
            self._folder.cleanup()

    def _check_all(self) -> None:
        assert verify_backups(self.store, now=self.now, conditions=CONDITIONS).status is ExitStatus.DONE
        assert drill(self.store, now=self.now, conditions=CONDITIONS).status is ExitStatus.DONE
        for number, (wanted, made) in enumerate(self.made.items()):
            target = Path(self._folder.name) / f"restored-{number}"
            report = restore(self.store, wanted, target=target, now=self.now, conditions=CONDITIONS)
            assert report.status is ExitStatus.DONE
            assert facts(read_tree(target)) == facts(made.tree)


def _agents(tree: Tree) -> set[str]:
    owners = {agent_of(path, is_folder=True) for path, node in tree.items() if isinstance(node, Folder)}
    return {owner for owner in owners if owner is not None}


def _choose(made: Made, how: str, inside: int) -> Part:
    """A part of a backup that it holds; all of it where it does not hold any such part."""
    agents = sorted(_agents(made.tree))
    paths = sorted(made.tree)
    chosen = Part(made.agents)
    if how in ("agent", "both") and agents:
        chosen = Part(frozenset([agents[inside % len(agents)]]))
        paths = sorted(chosen.of(made.tree))
    if how in ("path", "both") and paths:
        chosen = Part(chosen.agents, paths[inside % len(paths)])
    return chosen


def _shown(path: str) -> str:
    """A path as reports show it."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def test_every_backup_that_is_kept_restores_what_was_there_when_it_was_made() -> None:
    steady = settings(max_examples=max(8, settings().max_examples // 5), stateful_step_count=12)
    run_state_machine_as_test(History, settings=steady)
