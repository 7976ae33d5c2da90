"""Garbage collection, salvage and their undo meet faults: nothing is lost, and the next run ends as without a fault.

By default a sample of all points is tried; those marked slow try one in ONE_IN, or all with AML_FAULT_EACH=1.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.children import Aml, Children, Words
from tests.fault.garbage_runner import Files, GarbageRunner, GarbageScenario, RestlessChildren, records_of, unaccounted
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, few, share
from tests.fault.real import aml, assert_failed_with_a_name, command, leave_free, noise
from tests.fault.runner import STORE
from tests.support.records import NOW, Record, decision, pattern, solution
from tests.support.stores import encode_array, write_array

#: By default so many points of each scenario are tried, and each death right after a file of the store has changed.
SAMPLE = 6
#: The tests marked slow try one in so many of all points, and each fault at each kind of call.
ONE_IN = 24

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


def aged(folder: Path) -> Path:
    """The same as garbage, but of long ago, so that what agents have as gzip already may all be compressed."""
    store = write_garbage(folder)
    write_array(store / "beta" / "decisions.json", [decision(id=f"d{number}", agent="beta") for number in range(9)])
    for path in store.glob("*/*.json"):
        os.utime(path, (NOW.timestamp() - 86_400 * 300,) * 2)
    return store


_HARSH = (Fault.KILL_BEFORE, Fault.IO_ERROR_LATE, Fault.IO_ERROR_ON)

SCENARIOS = {
    one.name: one
    for one in (
        GarbageScenario("gc", fresh(write_garbage, GC)),
        GarbageScenario("gc --salvage", fresh(write_damage, SALVAGE)),
        GarbageScenario("optimize all", fresh(aged, ("optimize", "all", *GC[2:])), repacks=True),
        GarbageScenario("gc beside damage", fresh(write_damage, GC), faults=_HARSH),
        GarbageScenario("undo of gc", collected, restores=True),
        GarbageScenario("gc after a death at a rename", dead(Fault.KILL_AFTER, f"rename {STORE}/"), faults=_HARSH),
        GarbageScenario("gc after a death at a removal", dead(Fault.KILL_AFTER, f"unlink {STORE}/"), faults=_HARSH),
    )
}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with RestlessChildren(tmp_path_factory.mktemp("children")) as server:
        yield server


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[GarbageRunner]:
    return Runners(lambda name, place: GarbageRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_h06_h15_h16_sample_of_faults_loses_nothing(
    name: str, runners: Runners[GarbageRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), few(runners(name).points(), SAMPLE), record_property)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_h06_h15_h16_faults_at_many_calls_lose_nothing(
    name: str, fault: Fault, runners: Runners[GarbageRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)


def test_h06_a_death_before_a_damaged_file_is_replaced_takes_nothing(children: Children, tmp_path: Path) -> None:
    damaged = tmp_path / STORE / "beta" / "decisions.json"
    write_array(damaged, [decision(id="e1"), None, decision(id="e1", would_repeat=True)])
    damaged.write_bytes(damaged.read_bytes() * 2)
    whole = Files.read(tmp_path)
    project = Aml(children, tmp_path, NOW.timestamp())
    project(*SALVAGE, fault=Fault.KILL_AFTER, at=1, only="rename .loom/memory-backup/archives/beta")
    assert Files.read(tmp_path).store == whole.store
    assert project(*GC).exit == 12
    assert not list(unaccounted(tmp_path, whole))
    assert not Files.read(tmp_path).archived


def test_a_run_does_not_wait_for_its_own_lock_that_it_could_not_remove(children: Children, tmp_path: Path) -> None:
    store = tmp_path / STORE / "alpha"
    write_array(store / "patterns.json", [pattern(id="a"), None])
    (store / "patterns.json.tmp").write_bytes(b"[")
    os.utime(store / "patterns.json.tmp", (NOW.timestamp() - 300_000, NOW.timestamp() - 300_000))
    project = Aml(children, tmp_path, NOW.timestamp())
    ended = project(*GC[:4], "--lock-timeout", "4", fault=Fault.IO_ERROR, at=1, only=f"rmdir {STORE}")
    assert ended.exit in (1, 3)
    assert ended.seconds < 3


def fill_store(folder: Path, *, records: int, size: int) -> Files:
    """Two agents with garbage: every third record twice, of ``size`` bytes each; one more file cut short."""
    for agent in ("alpha", "beta"):
        patterns = [pattern(id=f"{agent}-{n - n % 3 // 2}", agent=agent, note=noise(size, n)) for n in range(records)]
        write_array(folder / STORE / agent / "patterns.json", patterns, form="plain" if agent == "alpha" else "gzip")
        cut = encode_array([decision(id=f"{agent}-d{number}", agent=agent) for number in range(3)])[:-5]
        (folder / STORE / agent / "decisions.json").write_bytes(cut)
        (folder / STORE / agent / "solutions.json").touch()
    return Files.read(folder)


def assert_nothing_lost(folder: Path, whole: Files, scratch: Path) -> None:
    """Every file is as it was, or in quarantine, or its records are in the store or an archive; no file is torn."""
    after = Files.read(folder)
    assert not after.torn
    for path, data in whole.store.items():
        if after.store.get(path) != data and data not in after.quarantine.get(path, []):
            agent, _, name = path.partition("/")
            there = Counter(records_of(after.store[path], scratch) or [])
            there += after.archived.get((agent, name.removesuffix(".json")), Counter())
            assert not Counter(records_of(data, scratch)) - there, path


def assert_next_run_ends_clean(folder: Path, whole: Files, scratch: Path) -> None:
    ended = aml(folder, *SALVAGE, minutes=1)
    assert ended.returncode == 0, ended.stderr
    assert_nothing_lost(folder, whole, scratch)
    assert not list(unaccounted(folder, whole))
    after = Files.read(folder)
    assert all(records_of(data, scratch) is not None for data in after.store.values())
    assert not [path for path in after.store if path.endswith("solutions.json")]


@pytest.mark.parametrize("file_size", [0, 700, 10_000])
def test_h16_a_limit_on_file_sizes_loses_nothing(tmp_path: Path, file_size: int) -> None:
    project = tmp_path / "project"
    whole = fill_store(project, records=40, size=4_000)

    ended = aml(project, *SALVAGE, file_size=file_size)

    assert_failed_with_a_name(ended, project)
    assert_nothing_lost(project, whole, tmp_path / "scratch")
    assert_next_run_ends_clean(project, whole, tmp_path / "scratch")


@pytest.mark.parametrize("pages", [0, 6, 12])
def test_h16_a_full_disk_loses_nothing(small_disk: Path, tmp_path: Path, pages: int) -> None:
    whole = fill_store(small_disk, records=15, size=4_000)
    filler = leave_free(small_disk, pages)

    ended = aml(small_disk, *SALVAGE)

    assert_failed_with_a_name(ended, small_disk)
    assert "No space left on device" in ended.stderr
    assert_nothing_lost(small_disk, whole, tmp_path / "scratch")
    filler.unlink()
    assert_next_run_ends_clean(small_disk, whole, tmp_path / "scratch")


def kill_many_times(tmp_path: Path, times: int, seed: int) -> None:
    template, scratch = tmp_path / "template", tmp_path / "scratch"
    whole = fill_store(template, records=300, size=2_000)
    trial = Path(shutil.copytree(template, tmp_path / "trial"))
    began = time.monotonic()
    assert aml(trial, *SALVAGE).returncode == 0
    usual = time.monotonic() - began
    chance = random.Random(seed)
    for number in range(times):
        folder = Path(shutil.copytree(template, tmp_path / f"copy-{number}"))
        child = subprocess.Popen(command(*SALVAGE), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1.0) * usual)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert_nothing_lost(folder, whole, scratch)
        assert_next_run_ends_clean(folder, whole, scratch)
        shutil.rmtree(folder)


def test_h15_kill_9_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    kill_many_times(tmp_path, 3, seed=1)


@pytest.mark.slow
def test_h15_kill_9_at_many_random_moments_loses_nothing(tmp_path: Path) -> None:
    kill_many_times(tmp_path, 40, seed=2)


def test_undo_that_cannot_put_an_original_back_leaves_its_file_alone(children: Children, tmp_path: Path) -> None:
    damaged = tmp_path / STORE / "alpha" / "decisions.json"
    write_array(damaged, [decision(id="d1"), None, decision(id="d2"), decision(id="d1", would_repeat=True)])
    damaged.write_bytes(damaged.read_bytes()[:-2] + b",")
    whole = Files.read(tmp_path)
    project = Aml(children, tmp_path, NOW.timestamp())
    run = json.loads(project.must(*SALVAGE, "--json").out)["data"]["run"]
    assert Files.read(tmp_path).store != whole.store
    undo = ("prune", "undo", run)
    assert project(*undo, fault=Fault.NO_SPACE, at=1, only=f"mkdir {STORE}/alpha/decisions.json.lock").exit == 1
    project.must(*undo)
    assert Files.read(tmp_path).store == whole.store
