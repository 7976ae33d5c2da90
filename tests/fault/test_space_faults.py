"""Making room, and applying a plan from a file, meet a fault at every call that changes a file; no record is lost.

By default a sample of all points is tried; those marked slow try one in ONE_IN, and each fault at each kind of
call; AML_FAULT_EACH=1 tries all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.children import Aml, Children, Words
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, sample, share
from tests.fault.runner import STORE, FaultRunner, Prepared, Project, Scenario
from tests.fault.test_prune_faults import PRUNE_ALL, prune_after, write_project
from tests.support.records import decision, pattern
from tests.support.stores import write_array

STEP, AT_LEAST, ONE_IN = 97, 6, 14

MAKE_ROOM = ("prune", "--strategy", "space", "--max-loss", "100%")
PLAN = "plan.json"
APPLY = ("prune", "--apply", PLAN, "--max-loss", "100%")

_PAD = "".join(chr(33 + (number * 7919 + number // 83) % 90) for number in range(400)).replace("\\", "/")


def crowded(folder: Path, aml: Aml) -> Prepared:
    """Three agents: one with room, one that is over its limit, and one of which the decisions can be compressed."""
    store = folder / STORE
    odd = {"note": "cut \ud83d", "pad": _PAD}
    alpha = [pattern(id=f"a{number}", unused_days=5, success=number / 20, **odd) for number in range(12)]
    write_array(store / "alpha" / "patterns.json", [*alpha, None])
    beta = [pattern(id=f"b{number}", agent="beta", unused_days=5, success=number / 20, **odd) for number in range(12)]
    write_array(store / "beta" / "patterns.json", beta, form="gzip")
    verdicts = [decision(id=f"d{number}", agent="beta", pad=_PAD) for number in range(20)]
    write_array(store / "beta" / "decisions.json", verdicts)
    write_array(store / "gamma" / "patterns.json", [pattern(id="g0", agent="gamma")], form="gzip")
    (store / "alpha" / "metrics.json").write_text('{"runs": 3}', encoding="utf-8")
    # beta is over its limit until its decisions are compressed; then the store still is
    (folder / ".loom" / "aml.toml").write_text("[space]\nagent_mb = 0.012\nstore_mb = 0.008\n", encoding="utf-8")
    return Prepared(MAKE_ROOM, Project.read(folder))


def reviewed(folder: Path, aml: Aml) -> Prepared:
    """A store with a plan of all that the rules condemn; to be tried: applying it."""
    whole = write_project(folder)
    aml.must("prune", "--plan", PLAN, "--max-loss", "100%")
    return Prepared(APPLY, whole)


def named_anew(folder: Path) -> None:
    """Make the plan in a copy of its project one for the store there."""
    path, root = folder / PLAN, folder / STORE
    plan = json.loads(path.read_bytes())
    found = root.stat()
    plan["store"] = {"path": str(root.resolve()), "device": found.st_dev, "inode": found.st_ino}
    path.write_text(json.dumps(plan), encoding="utf-8")


def room_after(words: Words) -> list[Words]:
    return [MAKE_ROOM, PRUNE_ALL]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("space", crowded, room_after, repacks=True),
        Scenario("apply", reviewed, prune_after, settle=named_anew),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[FaultRunner]:
    return Runners(lambda name, place: FaultRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_sample_of_faults_loses_no_record(
    name: str, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), sample(runners(name).points(), STEP, AT_LEAST, STORE), record_property)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_every_fault_at_every_call_loses_no_record(
    name: str, fault: Fault, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)
