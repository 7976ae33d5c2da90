"""Garbage collection, salvage and their undo meet faults: nothing is lost, and the next run ends as without a fault.

By default a sample of all points is tried; those marked slow try a larger share, or all with AML_FAULT_EACH=1.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.children import Aml, Children, Point, Words
from tests.fault.conftest import POINTS
from tests.fault.garbage_runner import Files, GarbageRunner, GarbageScenario
from tests.fault.inject import Fault
from tests.fault.runner import STORE
from tests.support.records import NOW, Record, decision, pattern, solution
from tests.support.stores import encode_array, write_array

#: By default so many points of each scenario are tried, and each death right after a file of the store has changed.
SAMPLE = 6
#: The tests marked slow try one in so many of all points; 1 tries every one.
EACH = int(os.environ.get("AML_FAULT_EACH", "7"))

#: A run that cannot remove its own lock must not wait for it, see below.
HASTE = ("--lock-timeout", "2")
GC = ("optimize", "gc", "--max-loss", "100%", *HASTE)
SALVAGE = (*GC, "--salvage")


def without(record: Record, *keys: str) -> Record:
    return {key: value for key, value in record.items() if key not in keys}


def write_garbage(folder: Path) -> Path:
    """Three agents with garbage of every class, plain and compressed, copies, empty files and unfinished writes."""
    store = folder / STORE
    odd = {"note": "cut \ud83d", "count": 2**70}
    alpha = [pattern(id=f"a{number}", **odd) for number in range(6)]
    older = pattern(id="a1", unused_days=90)
    write_array(
        store / "alpha" / "patterns.json", [None, *alpha[:3], older, without(pattern(), "id"), *alpha[3:], None]
    )
    write_array(
        store / "alpha" / "decisions.json", [decision(id="d0"), without(decision(id="d1"), "agent")], indent=None
    )
    (store / "alpha" / "solutions.json").touch(mode=0o600)
    (store / "alpha" / "patterns.json").chmod(0o640)
    copied = [alpha[2], pattern(id="from the copy"), pattern(id="a4", unused_days=0.5)]
    (store / "alpha" / "patterns.json.gz").write_bytes(gzip.compress(encode_array(copied), mtime=0))
    beta = [pattern(id=f"b{number}", agent="beta") for number in range(5)]
    write_array(store / "beta" / "patterns.json", [beta[0], *beta, without(pattern(id="b9"), "agent")], form="gzip")
    write_array(store / "beta" / "solutions.json", [solution(id="s0", agent="beta")], form="gzip")
    (store / "beta" / "solutions.json.gz").write_bytes(gzip.compress(encode_array([solution(id="s0", agent="beta")])))
    (store / "gamma").mkdir()
    only = [decision(id="only in a copy", agent="gamma"), None]
    (store / "gamma" / "decisions.json.gz").write_bytes(gzip.compress(encode_array(only), mtime=0))
    (store / "global").mkdir()
    (store / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    for path, days in (
        ("alpha/patterns.json.tmp", 3),
        ("global/cross-agent.json.tmp", 2),
        ("beta/metrics.json.tmp", 0),
    ):
        (store / path).write_bytes(b'[{"half": ')
        os.utime(store / path, (NOW.timestamp() - 86_400 * days, NOW.timestamp() - 86_400 * days))
    return store


def write_damage(folder: Path) -> Path:
    """The same, and files that were cut short, glued together, hit by a lost block, or wrapped; one is beyond help."""
    store = write_garbage(folder)
    whole = encode_array([pattern(id=f"x{number}", agent="delta") for number in range(13)])
    (store / "delta").mkdir()
    (store / "delta" / "patterns.json").write_bytes(whole[:-5])
    (store / "delta" / "solutions.json").write_bytes(
        gzip.compress(encode_array([solution(id="g1"), solution(id="g2")]))[:-5]
    )
    (store / "delta" / "decisions.json").write_bytes(b"\0" * 512)
    both = [decision(id="e1", agent="beta"), None, decision(id="e1", agent="beta", would_repeat=True)]
    (store / "beta" / "decisions.json").write_bytes(
        encode_array(both) + encode_array([decision(id="e2", agent="beta")])
    )
    (store / "gamma" / "patterns.json").write_bytes(b'{"patterns": ' + whole + b"}")
    (store / "gamma" / "patterns.json.gz").write_bytes(gzip.compress(encode_array([pattern(id="y")]), mtime=0)[:-3])
    return store


def fresh(write: Callable[[Path], Path], words: Words) -> Callable[[Path, Aml], tuple[Words, Files]]:
    """A store that AML has never seen, and the words to be tried on it."""

    def built(folder: Path, aml: Aml) -> tuple[Words, Files]:
        write(folder)
        return words, Files.read(folder)

    return built


def collected(folder: Path, aml: Aml) -> tuple[Words, Files]:
    """A store after salvage; to be tried: undo of that."""
    write_damage(folder)
    whole = Files.read(folder)
    told = json.loads(aml(*SALVAGE, "--json").out)
    return ("prune", "undo", told["data"]["run"], *HASTE), whole


def dead(fault: Fault, only: str) -> Callable[[Path, Aml], tuple[Words, Files]]:
    """A store on which a salvage died around its second call that begins so; to be tried: the same again."""

    def built(folder: Path, aml: Aml) -> tuple[Words, Files]:
        write_damage(folder)
        whole = Files.read(folder)
        assert aml(*SALVAGE, fault=fault, at=2, only=only).exit < 0
        return SALVAGE, whole

    return built


_HARSH = (Fault.KILL_BEFORE, Fault.IO_ERROR_LATE, Fault.IO_ERROR_ON)

SCENARIOS = {
    one.name: one
    for one in (
        GarbageScenario("gc", fresh(write_garbage, GC)),
        GarbageScenario("gc --salvage", fresh(write_damage, SALVAGE)),
        GarbageScenario("gc beside damage", fresh(write_damage, GC), faults=_HARSH),
        GarbageScenario("undo of gc", collected, restores=True),
        GarbageScenario("gc after a death at a rename", dead(Fault.KILL_AFTER, f"rename {STORE}/"), faults=_HARSH),
        GarbageScenario("gc after a death at a removal", dead(Fault.KILL_AFTER, f"unlink {STORE}/"), faults=_HARSH),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GarbageRunner]:
    """The runner of a scenario, whose project is built once in this process."""
    made: dict[str, GarbageRunner] = {}

    def runner(name: str) -> GarbageRunner:
        if name not in made:
            made[name] = GarbageRunner(SCENARIOS[name], children, tmp_path_factory.mktemp("faults") / "scenario")
        return made[name]

    return runner


def sample(points: list[Point]) -> list[Point]:
    """A few points from everywhere."""
    return points[:: max(1, len(points) // SAMPLE)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_h06_h15_h16_sample_of_faults_loses_nothing(
    name: str, runners: Callable[[str], GarbageRunner], record_property: Callable[[str, object], None]
) -> None:
    points = sample(runners(name).points())
    record_property(POINTS, (name, len(points)))
    problems = runners(name).try_all(points)
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_h06_h15_h16_faults_at_many_calls_lose_nothing(
    name: str, fault: Fault, runners: Callable[[str], GarbageRunner], record_property: Callable[[str, object], None]
) -> None:
    points = runners(name).points([fault])
    # another residue for each fault, so that together they meet all calls
    points = points[list(Fault).index(fault) % EACH :: EACH]
    record_property(POINTS, (name, len(points)))
    problems = runners(name).try_all(points)
    assert not problems, "\n".join(problems)
