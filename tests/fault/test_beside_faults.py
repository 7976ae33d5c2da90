"""Commands that leave the store alone meet a fault at every call that changes a file: it stays what it was.

By default a few points of each scenario are tried; the tests marked slow try one in ONE_IN, and each fault at each kind
of call, or with AML_FAULT_EACH=1 all.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.beside import BesideRunner, BesideScenario
from tests.fault.children import Aml, Children
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, few, share
from tests.fault.runner import STORE
from tests.support.records import pattern, solution
from tests.support.stores import write_array

#: By default so many points of each scenario are tried, or a few more.
SAMPLE = 6
#: The tests marked slow try one in so many of all points.
ONE_IN = 12

HEALTH = ("monitor", "health", "--fail-on", "critical")
METRICS = ("monitor", "metrics")


def write_project(folder: Path) -> None:
    store = folder / STORE
    ages = [5, 200, 5, 5, 200, 5, 5]
    write_array(store / "alpha" / "patterns.json", [pattern(id=f"a{n}", unused_days=age) for n, age in enumerate(ages)])
    write_array(store / "beta" / "solutions.json", [solution(id="s", agent="beta")], form="gzip")


def never_seen(folder: Path, aml: Aml) -> None:
    write_project(folder)


def watched(folder: Path, aml: Aml) -> None:
    """A store that was pruned, measured and checked before: there are samples, alerts and runs that must stay."""
    write_project(folder)
    aml.must("prune", "--max-loss", "100%", "--no-backup")
    aml.must(*METRICS)
    aml.must(*HEALTH)


def without_a_file_for_a_dead_demo(folder: Path) -> None:
    """The demo writes only into a new folder, and says so: what a dead one left is for its user to remove."""
    shutil.rmtree(folder / "sample", ignore_errors=True)


def is_json(data: bytes) -> bool:
    return isinstance(json.loads(data), dict)


def is_toml(data: bytes) -> bool:
    return isinstance(tomllib.loads(data.decode()), dict) and b"[store]" in data and data.endswith(b"\n")


def is_exposition(data: bytes) -> bool:
    return data.startswith(b"# ") and data.endswith(b"\n") and b"aml_" in data.splitlines()[-1]


def is_page(data: bytes) -> bool:
    return data.lower().startswith(b"<!doctype html>") and data.rstrip().endswith(b"</html>")


def is_crontab(data: bytes) -> bool:
    return data.endswith(b"\n") and b"backup" in data


_HARSH = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.IO_ERROR_LATE, Fault.FULL_DISK_ON)

SCENARIOS = {
    one.name: one
    for one in (
        BesideScenario("monitor metrics", watched, METRICS),
        BesideScenario("monitor metrics, the first", never_seen, METRICS),
        BesideScenario(
            "monitor metrics --output",
            watched,
            (*METRICS, "--format", "prometheus", "--output", "figures.prom"),
            "figures.prom",
            is_exposition,
        ),
        BesideScenario("monitor health", watched, HEALTH),
        BesideScenario("monitor health, the first", never_seen, HEALTH),
        BesideScenario("monitor report --html", watched, ("monitor", "report", "--html", "r.html"), "r.html", is_page),
        BesideScenario("prune --plan", watched, ("prune", "--plan", "plan.json"), "plan.json", is_json),
        BesideScenario("config init", never_seen, ("config", "init"), ".loom/aml.toml", is_toml, fresh=True),
        BesideScenario(
            "config init --schedule",
            never_seen,
            ("config", "init", "--schedule", "cron", "--output", "cron"),
            "cron/aml.crontab",
            is_crontab,
            fresh=True,
        ),
        BesideScenario(
            "demo",
            never_seen,
            ("demo", "sample", "-q"),
            "sample/report.html",
            is_page,
            fresh=True,
            clear=without_a_file_for_a_dead_demo,
            faults=_HARSH,
        ),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[BesideRunner]:
    return Runners(lambda name, place: BesideRunner(SCENARIOS[name], children, place), tmp_path_factory)


#: Some seconds for each point, since it does what ten other commands do.
LONG = ("demo",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in SCENARIOS])
def test_sample_of_faults_leaves_the_store_and_whole_files(
    name: str, runners: Runners[BesideRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), few(runners(name).points(), SAMPLE), record_property)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LONG])
def test_faults_at_many_calls_leave_the_store_and_whole_files(
    name: str, runners: Runners[BesideRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points(), ONE_IN), record_property)
