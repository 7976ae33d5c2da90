"""Migrating meets a fault at every call that changes a file: all files are old or all are new, and nothing is lost.

By default a few of all points are tried, and each death right after a file of the store was replaced; the tests marked
slow try one in ONE_IN, and each fault at each kind of call, or with AML_FAULT_EACH=1 all.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fault.children import (
    POWER_CUTS,
    Aml,
    Children,
    Point,
    Words,
    judge_exit,
    judge_next_run,
    let_agents_clear_locks,
    points_of,
)
from tests.fault.garbage_runner import Files, RestlessChildren, is_record_file, unaccounted
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, sample, share
from tests.fault.runner import ALL_FAULTS, KEEP, STATE, STORE
from tests.support.records import NOW, decision, pattern, solution, to_v200
from tests.support.stores import write_array

UP = ("migrate", "up", "--to", "2.0.0", "--yes")
DOWN = ("migrate", "down", "--to", "1.1.0", "--yes")
#: What an ordinary user runs next: any command that may change something brings a dead run to its end.
NEXT = ("backup", "create")

STEP, AT_LEAST, ONE_IN = 1_000, 6, 24


def write_project(folder: Path, change: Callable[[dict[str, object]], dict[str, object]] = lambda one: one) -> None:
    """Two agents, one of them compressed, odd bytes, a file that is to stay as it is, and one of older scripts."""
    store = folder / STORE
    odd = {"note": "cut \ud83d", "count": 2**70}
    write_array(store / "alpha" / "patterns.json", [change(pattern(id=f"a{number}", **odd)) for number in range(4)])
    write_array(store / "alpha" / "decisions.json", [change(decision(id="d0"))], indent=None)
    write_array(store / "alpha" / "solutions.json", [])
    write_array(store / "beta" / "patterns.json", [change(pattern(id="b0", agent="beta")), None], form="gzip")
    write_array(store / "beta" / "solutions.json", [change(solution(id="s0", agent="beta"))])
    (store / "alpha" / "patterns.json").chmod(0o640)
    (store / "config").mkdir()
    (store / "config" / "schema_version.json").write_text('{"version": "1.0.0", "count": 1.10}', encoding="utf-8")


@dataclass(frozen=True)
class MigrateScenario:
    name: str
    words: Words
    build: Callable[[Path], None]
    faults: tuple[Fault, ...] = ALL_FAULTS


class MigrateRunner:
    """Tries the points of one scenario."""

    def __init__(self, scenario: MigrateScenario, children: Children, workspace: Path) -> None:
        self.scenario = scenario
        self._children, self._workspace = children, workspace
        self._copies = 0
        self._template = workspace / "template"
        self._template.mkdir(parents=True)
        scenario.build(self._template)
        self._old = Files.read(self._template)
        folder, listing = self._copy(), workspace / "calls.json"
        aml = Aml(children, folder, NOW.timestamp())
        aml.must(*scenario.words, calls=str(listing))
        self._calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
        self._new = Files.read(folder)
        assert self._new.store != self._old.store
        problems = list(left_over(folder, self._old))
        assert not problems, f"without any fault: {problems}"

    @property
    def words(self) -> Words:
        """The command line that is tried."""
        return self.scenario.words

    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]:
        return points_of(self._calls, [one for one in self.scenario.faults if faults is None or one in faults])

    def try_all(self, points: Sequence[Point]) -> list[str]:
        return [f"{point}: {problem}" for point in points for problem in self.try_point(point)]

    def try_point(self, point: Point) -> list[str]:
        """What went wrong, in words; nothing where all promises were kept."""
        folder = self._copy()
        aml = Aml(self._children, folder, NOW.timestamp())
        ended = aml(*self.scenario.words, fault=point.fault, at=point.at)
        if point.fault in POWER_CUTS:
            let_agents_clear_locks(folder / STORE)
        after = Files.read(folder)
        problems = judge_exit(point, ended, folder, 0, len(self._calls))
        if ended.exit == 0 and self._records(after) != self._records(self._new):
            problems.append(f"exit 0 although not everything was done: {ended.out.strip()}")
        problems += [f"right after, {one}" for one in self._judge_each(after)]
        problems += judge_next_run(aml(*NEXT), NEXT)
        then = Files.read(folder)
        if self._records(then) not in (self._records(self._old), self._records(self._new)):
            problems.append(f"after the next run, neither old nor new: {self._states(then)}")
        problems += left_over(folder, self._old)
        problems += judge_next_run(aml(*self.scenario.words), self.scenario.words)
        later = Files.read(folder)
        if later.store != self._new.store:
            problems.append(f"in the end not as without a fault: {self._states(later)}")
        problems += [f"another mode: {path}" for path, mode in self._old.modes.items() if later.modes.get(path) != mode]
        problems += left_over(folder, self._old)
        if not problems:
            shutil.rmtree(folder)
        return problems

    def _copy(self) -> Path:
        self._copies += 1
        return Path(shutil.copytree(self._template, self._workspace / f"copy-{self._copies}", symlinks=True))

    def _records(self, files: Files) -> dict[str, bytes]:
        return {path: data for path, data in files.store.items() if is_record_file(path)}

    def _judge_each(self, after: Files) -> Iterator[str]:
        """Every file is what it was or what it is to be."""
        for path in {*after.store, *self._old.store}:
            if after.store.get(path) not in (self._old.store.get(path), self._new.store.get(path)):
                yield f"{path} is neither old nor new"

    def _states(self, files: Files) -> dict[str, str]:
        known = ((self._old, "old"), (self._new, "new"))
        return {
            path: next((name for one, name in known if one.store.get(path) == data), "neither")
            for path, data in files.store.items()
            if self._old.store.get(path) != self._new.store.get(path)
        }


def left_over(folder: Path, whole: Files) -> Iterator[str]:
    """What a migration must not leave: locks, unfinished writes, what it made ready, originals, unfinished runs."""
    yield from unaccounted(folder, whole)
    for place in (folder / STATE / "migration", folder / KEEP / "quarantine"):
        yield from (f"left over: {path.relative_to(folder)}" for path in place.rglob("*") if path.is_file())


SCENARIOS = {
    one.name: one
    for one in (
        MigrateScenario("migrate up", UP, write_project),
        MigrateScenario("migrate down", DOWN, lambda folder: write_project(folder, to_v200)),
    )
}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with RestlessChildren(tmp_path_factory.mktemp("children")) as server:
        yield server


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[MigrateRunner]:
    return Runners(lambda name, place: MigrateRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_h15_h16_h50_sample_of_faults_leaves_all_old_or_all_new(
    name: str, runners: Runners[MigrateRunner], record_property: Callable[[str, object], None]
) -> None:
    points = sample(runners(name).points(), STEP, AT_LEAST, STORE)
    assert_promises_are_kept(runners(name), points, record_property)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_h15_h16_h50_faults_at_many_calls_leave_all_old_or_all_new(
    name: str, fault: Fault, runners: Runners[MigrateRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)


def test_h22_a_death_when_every_file_is_replaced_counts_as_done(children: Children, tmp_path: Path) -> None:
    write_project(tmp_path)
    old = Files.read(tmp_path)
    project = Aml(children, tmp_path, NOW.timestamp())
    project(*UP, fault=Fault.KILL_BEFORE, at=2, only=f"rename {STATE}/runs")
    ended = project.must(*NEXT)
    assert "completed" in ended.err
    told = json.loads(project.look("migrate", "history", "--json").out)["data"]
    assert [claim["version"] for claim in told["claims"]] == ["2.0.0", "2.0.0"]
    assert all(claim["is_true"] for claim in told["claims"])
    assert told["runs"][0]["state"] == "done"
    assert not list(left_over(tmp_path, old))


def test_h22_a_death_in_between_is_rolled_back_around_what_an_agent_wrote(children: Children, tmp_path: Path) -> None:
    write_project(tmp_path)
    project = Aml(children, tmp_path, NOW.timestamp())
    before = Files.read(tmp_path).store
    project(*UP, fault=Fault.KILL_AFTER, at=3, only=f"rename {STORE}/")
    after = Files.read(tmp_path).store
    replaced = sorted(path for path, data in after.items() if is_record_file(path) and data != before[path])
    assert 0 < len(replaced) < 4
    written = tmp_path / STORE / replaced[0]
    for lock in written.parent.glob("*.lock"):
        lock.rmdir()
    text = written.read_bytes()
    mine = gzip.compress(gzip.decompress(text) + b"\n") if text[:2] == b"\x1f\x8b" else text + b"\n"
    written.write_bytes(mine)
    ended = project.must(*NEXT)
    assert replaced[0] in ended.err
    then = Files.read(tmp_path).store
    assert then.pop(replaced[0]) == mine
    assert all(then[path] == before[path] for path in then if is_record_file(path))


def test_h22_what_a_full_disk_broke_off_at_its_end_is_cleared_up_by_the_next_run(
    children: Children, tmp_path: Path
) -> None:
    whole, tried, listing = tmp_path / "whole", tmp_path / "tried", tmp_path / "calls.json"
    write_project(whole)
    old = Files.read(whole)
    whole_before = Path(shutil.copytree(whole, tmp_path / "before"))
    shutil.copytree(whole, tried)
    Aml(children, whole, NOW.timestamp()).must(*UP, calls=str(listing))
    calls = enumerate(json.loads(listing.read_text(encoding="utf-8")), start=1)
    at_the_end = max(at for at, (call, path) in calls if call == "create" and path.startswith(f"{STATE}/runs"))
    project = Aml(children, tried, NOW.timestamp())
    # files are worked on side by side, so that not every run makes the same number of calls before
    for _ in range(5):
        if project(*UP, fault=Fault.FULL_DISK_ON, at=at_the_end).exit:
            break
        shutil.rmtree(tried)
        shutil.copytree(whole_before, tried)
    else:
        pytest.fail("the disk was never full at the end")
    project.must(*NEXT)
    assert not list(left_over(tried, old))
