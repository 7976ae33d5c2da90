"""Compressing meets a fault at every call that changes a file, and real faults: each file says what it said.

By default a sample of all points is tried; the tests marked slow try one in ONE_IN, and each fault at each kind of
call, or with AML_FAULT_EACH=1 all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.fault.children import Aml, Children, Ended, Words
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, sample, share
from tests.fault.real import aml, assert_failed_with_a_name, command, leave_free, noise
from tests.fault.runner import STATE, STORE, FaultRunner, Prepared, Project, Scenario, leftovers
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import gunzipped, write_array

COMPRESS = ("optimize", "compress", "--age-days", "0")
DECOMPRESS = ("optimize", "compress", "--decompress")

#: One point in so many by default, but so many at least; and one in so many by the tests marked slow.
STEP, AT_LEAST, ONE_IN = 23, 7, 10


def write_project(folder: Path) -> Project:
    """Two agents, one with a gzip file, odd bytes, and files of others."""
    store = folder / STORE
    odd = {"note": "cut \ud83d", "count": 2**70}
    write_array(store / "alpha" / "patterns.json", [pattern(id=f"a{number}", **odd) for number in range(7)])
    write_array(store / "alpha" / "decisions.json", [decision(id=f"d{number}") for number in range(5)], indent=None)
    write_array(store / "beta" / "patterns.json", [pattern(id="b", agent="beta")], form="gzip")
    write_array(store / "beta" / "solutions.json", [solution(id=f"s{number}", agent="beta") for number in range(3)])
    (store / "alpha" / "patterns.json").chmod(0o640)
    (store / "alpha" / "metrics.json").write_text('{"runs": 3}', encoding="utf-8")
    (store / "alpha" / "patterns.json.tmp").write_text("[", encoding="utf-8")
    for number, path in enumerate(sorted(store.rglob("*.json"))):
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number))
    return Project.read(folder)


def fresh(*words: str) -> Callable[[Path, Aml], Prepared]:
    return lambda folder, aml: Prepared(words, write_project(folder))


def compressed(folder: Path, aml: Aml) -> Prepared:
    """A store that was compressed; to be tried: turning that back."""
    whole = write_project(folder)
    aml.must(*COMPRESS)
    return Prepared((*DECOMPRESS, "--json"), whole)


def times_stay_and_fates_are_told(ended: Ended, after: Project, whole: Project) -> Iterator[str]:
    """No file is ever seen with another time, and what the report says of each file is what it is."""
    yield from (f"{name} has another time" for name in whole.times if after.times.get(name) != whole.times[name])
    if ended.exit < 0:
        return
    answer = json.loads(ended.out)
    if answer["data"] is None:
        if not answer["errors"]:
            yield "neither data nor errors"
        return
    for file in answer["data"]["files"]:
        gzip = after.modes[f"{file['agent']}/{file['file']}"][3]
        told = {"compressed": True, "decompressed": False}.get(file["fate"])
        if told is not None and told != gzip:
            yield f"{file['file']} is said to be {file['fate']}"


def same_form(form: bool) -> Callable[[Project, Project], Iterator[str]]:
    """In the end every file is gzip, or none is, and as old as it was."""

    def judge(later: Project, whole: Project) -> Iterator[str]:
        yield from (f"{name} has another time" for name in whole.times if later.times.get(name) != whole.times[name])
        yield from (f"{name} has the wrong form" for name, mode in later.modes.items() if mode[3] != form)

    return judge


def the_same_again(words: Words) -> list[Words]:
    return [words]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "compress",
            fresh(*COMPRESS, "--json"),
            the_same_again,
            right_after=times_stay_and_fates_are_told,
            in_the_end=same_form(True),
            repacks=True,
        ),
        Scenario(
            "decompress",
            compressed,
            the_same_again,
            right_after=times_stay_and_fates_are_told,
            in_the_end=same_form(False),
            repacks=True,
        ),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[FaultRunner]:
    return Runners(lambda name, place: FaultRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_h15_h16_sample_of_faults_leaves_each_file_whole(
    name: str, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), sample(runners(name).points(), STEP, AT_LEAST, STORE), record_property)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_h15_h16_every_fault_at_every_call_leaves_each_file_whole(
    name: str, fault: Fault, runners: Runners[FaultRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)


def large_store(folder: Path, *, records: int, size: int) -> Project:
    for agent in ("alpha", "beta"):
        patterns = [pattern(id=f"{agent}-{n}", agent=agent, note=noise(size, n)) for n in range(records)]
        write_array(folder / STORE / agent / "patterns.json", patterns)
        write_array(folder / STORE / agent / "decisions.json", [decision(id="d", agent=agent)])
    return Project.read(folder)


def assert_same(folder: Path, whole: Project) -> Project:
    """Every file says what it said, with the same time and rights."""
    after = Project.read(folder)
    assert not after.torn
    assert (after.order, after.times) == (whole.order, whole.times)
    assert {name: mode[:3] for name, mode in after.modes.items()} == {
        name: mode[:3] for name, mode in whole.modes.items()
    }
    return after


@pytest.mark.parametrize("pages", [4, 8, 10])
def test_h16_a_full_disk_leaves_each_file_whole(small_disk: Path, pages: int) -> None:
    whole = large_store(small_disk, records=20, size=4_000)
    filler = leave_free(small_disk, pages)

    ended = aml(small_disk, *COMPRESS)

    assert_failed_with_a_name(ended, small_disk)
    assert "No space left on device" in ended.stderr
    assert_same(small_disk, whole)
    filler.unlink()
    assert aml(small_disk, *COMPRESS, minutes=1).returncode == 0
    assert all(mode[3] for mode in assert_same(small_disk, whole).modes.values())
    assert not leftovers(small_disk, whole)


@pytest.mark.parametrize("file_size", [0, 700, 10_000])
def test_h16_a_limit_on_file_sizes_leaves_each_file_whole(tmp_path: Path, file_size: int) -> None:
    whole = large_store(tmp_path, records=20, size=4_000)

    ended = aml(tmp_path, *COMPRESS, file_size=file_size)

    assert_failed_with_a_name(ended, tmp_path)
    assert_same(tmp_path, whole)
    assert aml(tmp_path, *COMPRESS, minutes=1).returncode == 0
    assert not leftovers(tmp_path, whole)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.06, 0.15])
def test_h15_kill_in_the_middle_leaves_each_file_whole_and_the_next_run_is_quiet(tmp_path: Path, delay: float) -> None:
    whole = large_store(tmp_path, records=300, size=4_000)
    child = subprocess.Popen(command(*COMPRESS), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not list((tmp_path / STATE).glob("runs/*.json")) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=20)
    assert_same(tmp_path, whole)

    ended = aml(tmp_path, *COMPRESS, minutes=1)

    assert ended.returncode == ExitStatus.DONE, ended.stderr
    assert "died" not in ended.stderr
    assert all(mode[3] for mode in assert_same(tmp_path, whole).modes.values())
    assert not leftovers(tmp_path, whole)


def test_a_death_over_a_shared_document_blocks_nobody(children: Children, tmp_path: Path) -> None:
    whole = write_project(tmp_path)
    shared = tmp_path / STORE / "global" / "cross-agent.json"
    shared.parent.mkdir()
    text = json.dumps({"shared": list(range(500))}).encode()
    shared.write_bytes(text)
    project = Aml(children, tmp_path, NOW.timestamp())
    project(*COMPRESS, fault=Fault.KILL_AFTER, at=1, only=f"rename {STORE}/global")
    assert shared.with_name("cross-agent.json.lock").is_dir()
    assert gunzipped(shared.read_bytes()) == text
    assert project(*COMPRESS).exit == 0
    assert gunzipped(shared.read_bytes()) == text
    assert shared.read_bytes().startswith(b"\x1f\x8b")
    assert not leftovers(tmp_path, whole)


def test_an_unfinished_write_beside_a_shared_document_is_cleared(tmp_path: Path) -> None:
    whole = large_store(tmp_path, records=2, size=100)
    shared = tmp_path / STORE / "global"
    shared.mkdir()
    (shared / ".cross-agent.json.aml-tmp-0a1b2c3d").write_bytes(b"\x1f\x8b")
    assert aml(tmp_path, *COMPRESS).returncode == 0
    assert not leftovers(tmp_path, whole)
