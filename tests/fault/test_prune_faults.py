"""Prune and undo meet a fault at every call that changes a file; no record is lost, and the next run ends clean.

By default a sample of all points is tried; the tests marked slow try one in ONE_IN, and each fault at each kind of
call, or with AML_FAULT_EACH=1 all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.children import Aml, Children, Ended, Words
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, sample, share
from tests.fault.runner import STORE, FaultRunner, Prepared, Project, Scenario
from tests.support.records import decision, pattern, solution
from tests.support.stores import write_array

#: By default one point in so many is tried, but so many at least.
STEP, AT_LEAST = 97, 7
#: The tests marked slow try one in so many.
ONE_IN = 10

PRUNE_ALL = ("prune", "--max-loss", "100%")


def write_project(folder: Path) -> Project:
    """Three agents, plain and compressed, with condemned records in most files, odd bytes, and files of others."""
    store = folder / STORE
    odd = {"note": "cut \ud83d", "count": 2**70}
    alpha = [pattern(id=f"a{number}", unused_days=200 if number in (0, 2, 5) else 5, **odd) for number in range(7)]
    write_array(store / "alpha" / "patterns.json", [*alpha, None])
    verdicts = [decision(id=f"d{number}", would_repeat=number % 3 != 0) for number in range(5)]
    write_array(store / "alpha" / "decisions.json", verdicts, indent=None)
    beta = [pattern(id=f"b{number}", agent="beta", success=0.05 * number) for number in range(6)]
    write_array(store / "beta" / "patterns.json", beta, form="gzip")
    fixes = [solution(id=f"s{number}", agent="beta", worked=number != 1) for number in range(3)]
    write_array(store / "beta" / "solutions.json", fixes, form="gzip")
    write_array(store / "gamma" / "patterns.json", [pattern(id="g0", agent="gamma")], form="gzip")
    write_array(store / "gamma" / "solutions.json", [solution(id="only", agent="gamma", worked=False)])
    (store / "alpha" / "patterns.json").chmod(0o640)
    (store / "alpha" / "metrics.json").write_text('{"runs": 3}', encoding="utf-8")
    (store / "alpha" / "patterns.json.tmp").write_text("[", encoding="utf-8")
    (store / "global").mkdir()
    (store / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    return Project.read(folder)


def fresh(*words: str) -> Callable[[Path, Aml], Prepared]:
    """A store that AML has never seen, and the words to be tried on it."""
    return lambda folder, aml: Prepared(words, write_project(folder))


def pruned(folder: Path, aml: Aml) -> Prepared:
    """A store that was pruned; to be tried: undo of that."""
    whole = write_project(folder)
    return Prepared(("prune", "undo", json.loads(aml.must(*PRUNE_ALL, "--json").out)["data"]["run"]), whole)


def twins(folder: Path, aml: Aml) -> Prepared:
    """Two condemned records of the same bytes, which go together, and one that the loss budget leaves."""
    twin = pattern(id="twin", unused_days=400, success=0.1)
    better = pattern(id="better", unused_days=400, success=0.9)
    others = [pattern(id=f"p{number}") for number in range(8)]
    write_array(
        folder / STORE / "alpha" / "patterns.json", [better, *others[:2], twin, *others[2:6], twin, *others[6:]]
    )
    return Prepared(("prune", "--max-loss", "20%"), Project.read(folder))


def twins_pruned(folder: Path, aml: Aml) -> Prepared:
    """The same after that prune, which is to be undone."""
    prepared = twins(folder, aml)
    ended = aml(*prepared.words, "--json")
    return Prepared(("prune", "undo", json.loads(ended.out)["data"]["run"]), prepared.whole)


def dead(fault: Fault, build: Callable[[Path, Aml], Prepared]) -> Callable[[Path, Aml], Prepared]:
    """A store on which a run was killed around its second replacement of a record file; to be tried: prune."""

    def built(folder: Path, aml: Aml) -> Prepared:
        prepared = build(folder, aml)
        aml(*prepared.words, fault=fault, at=2, only=f"rename {STORE}/")
        assert list((folder / STORE).glob("*/*.lock")), "the run was to be killed while it held a lock"
        return Prepared(PRUNE_ALL, prepared.whole)

    return built


def removals_are_told(ended: Ended, after: Project, whole: Project) -> Iterator[str]:
    """What the report says about each file is what happened to it, also where something failed."""
    if ended.exit < 0:
        return
    answer = json.loads(ended.out)
    if answer["data"] is None:
        if not answer["errors"]:
            yield "neither data nor errors"
        return
    told = {(file["agent"], file["kind"]): file["removed"] for file in answer["data"]["files"]}
    for key, records in whole.store.items():
        went = (records - after.store.get(key, Counter())).total()
        if told.get(key, 0) != went:
            yield f"the report says that {told.get(key, 0)} of {key} went, but {went} did"


def all_are_back(later: Project, whole: Project) -> Iterator[str]:
    if later.order != whole.order:
        yield "not every record is back where it stood"


def prune_after(words: Words) -> list[Words]:
    return [PRUNE_ALL]


def the_same_again(words: Words) -> list[Words]:
    return [words]


_REPORTED = (Fault.IO_ERROR, Fault.IO_ERROR_LATE, Fault.FULL_DISK_ON)
_CRASHES = (Fault.KILL_BEFORE, Fault.KILL_AFTER)
_HARSH = (Fault.KILL_BEFORE, Fault.IO_ERROR_LATE, Fault.IO_ERROR_ON)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("prune", fresh(*PRUNE_ALL), prune_after),
        Scenario("prune --json", fresh(*PRUNE_ALL, "--json"), prune_after, 0, _REPORTED, removals_are_told),
        Scenario("prune of twins", twins, prune_after, 3, (*_CRASHES, Fault.IO_ERROR_LATE)),
        Scenario("prune after a crash", dead(Fault.KILL_BEFORE, fresh(*PRUNE_ALL)), prune_after, 0, _HARSH),
        Scenario("prune after a late crash", dead(Fault.KILL_AFTER, fresh(*PRUNE_ALL)), prune_after, 0, _HARSH),
        Scenario("prune after a crashed undo", dead(Fault.KILL_AFTER, pruned), prune_after, 0, _HARSH),
        Scenario("undo", pruned, the_same_again, in_the_end=all_are_back),
        Scenario("undo, then prune", pruned, prune_after, 0, _CRASHES),
        Scenario("undo of twins", twins_pruned, the_same_again, 0, _CRASHES, in_the_end=all_are_back),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[FaultRunner]:
    return Runners(lambda name, place: FaultRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_h15_h16_sample_of_faults_loses_no_record(
    name: str, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), sample(runners(name).points(), STEP, AT_LEAST, STORE), record_property)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_h15_h16_every_fault_at_every_call_loses_no_record(
    name: str, fault: Fault, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)
