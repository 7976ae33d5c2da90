"""Backup commands meet a fault at every call that changes a file: what was backed up restores, no store is a mixture.

By default a few points of each scenario are tried; the tests marked slow try one in ONE_IN, and each fault at each kind
of call, or with AML_FAULT_EACH=1 all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.fault.backups import TARGET, BackupRunner, BackupScenario
from tests.fault.children import Aml, Children
from tests.fault.inject import Fault
from tests.fault.points import Runners, assert_promises_are_kept, few, share
from tests.fault.runner import KEEP, STORE
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import write_array

#: By default so many points of each scenario are tried, or a few more.
SAMPLE = 6
#: The tests marked slow try one in so many of all points; all of them take half an hour.
ONE_IN = 40

CREATE = ("backup", "create")
RESTORE_FIRST = ("backup", "restore", "--at", "2026-11-20T10:01:00Z")
ROTATE = ("backup", "rotate", "--keep-last", "1")
TO_TARGET = (*RESTORE_FIRST, "--target", TARGET)
VERIFY, DRILL, AUTO = ("backup", "verify"), ("backup", "drill"), ("backup", "auto")
PRUNE_ALL = ("prune", "--max-loss", "100%")


def write_store(folder: Path) -> None:
    """Two agents and shared files, plain and compressed; an empty folder, a nested one, a link, an unfinished write."""
    store = folder / STORE
    write_array(store / "alpha" / "patterns.json", [pattern(id=f"a{n}", note="x" * 300) for n in range(30)])
    write_array(store / "alpha" / "decisions.json", [decision(id=f"d{n}") for n in range(5)])
    write_array(store / "beta" / "patterns.json", [pattern(id=f"b{n}", agent="beta") for n in range(6)], form="gzip")
    write_array(store / "beta" / "solutions.json", [solution(id="s0", agent="beta")], form="gzip")
    (store / "alpha" / "patterns.json.tmp").write_text("[", encoding="utf-8")
    (store / "global").mkdir()
    (store / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    (store / "alpha" / "notes" / "deep").mkdir(parents=True)
    (store / "alpha" / "notes" / "deep" / "a file.txt").write_text("kept verbatim\n", encoding="utf-8")
    (store / "beta" / "empty").mkdir()
    (store / "beta" / "link").symlink_to("patterns.json")
    (store / "alpha" / "decisions.json").chmod(0o640)
    (store / "alpha" / "either").write_text("a file", encoding="utf-8")
    (store / "alpha" / "or").mkdir()
    (store / "alpha" / "or" / "rather").write_text("a file in a folder", encoding="utf-8")


def edit_store(folder: Path) -> None:
    """Change, add and remove files, folders and modes."""
    store = folder / STORE
    write_array(store / "alpha" / "patterns.json", [pattern(id=f"a{n}", note="y" * 300) for n in range(8, 40)])
    write_array(store / "beta" / "patterns.json", [pattern(id="b9", agent="beta")])
    (store / "alpha" / "decisions.json").chmod(0o600)
    (store / "beta" / "solutions.json").unlink()
    shutil.rmtree(store / "alpha" / "notes")
    (store / "beta" / "empty").rmdir()
    write_array(store / "gamma" / "patterns.json", [pattern(id="g0", agent="gamma")])
    (store / "gamma" / "more").mkdir()
    (store / "gamma" / "more" / "page.md").write_text("# new\n", encoding="utf-8")
    (store / "global" / "cross-agent.json").write_text('{"a": 1}', encoding="utf-8")
    (store / "global" / "new.json").write_text("[]", encoding="utf-8")
    (store / "beta").chmod(0o750)
    (store / "alpha" / "either").unlink()
    (store / "alpha" / "either").mkdir()
    (store / "alpha" / "either" / "way").write_text("a file in a folder", encoding="utf-8")
    shutil.rmtree(store / "alpha" / "or")
    (store / "alpha" / "or").write_text("a file", encoding="utf-8")


def never_backed_up(folder: Path, aml: Aml) -> None:
    write_store(folder)


def backed_up(folder: Path, aml: Aml) -> None:
    """A whole store and one agent backed up, then much of it changed."""
    write_store(folder)
    aml.must(*CREATE)
    aml.must(*CREATE, "--agent", "beta")
    edit_store(folder)


def backed_up_often(folder: Path, aml: Aml) -> None:
    """Backups of two scopes whose packs are old enough to go, one of them with little in it that is still needed."""
    backed_up(folder, aml)
    aml.must(*CREATE)
    aml.must(*CREATE, "--agent", "beta")
    write_array(folder / STORE / "gamma" / "patterns.json", [pattern(id="g1", agent="gamma")])
    aml.must(*CREATE)
    long_ago = NOW.timestamp() - 86_400
    for pack in (folder / KEEP / "packs").rglob("*.gz"):
        os.utime(pack, (long_ago, long_ago))


def with_something_to_prune(folder: Path, aml: Aml) -> None:
    backed_up(folder, aml)
    records = [pattern(id=f"p{n}", agent="gamma", unused_days=200 * (n % 2)) for n in range(6)]
    write_array(folder / STORE / "gamma" / "patterns.json", records)


def with_short_retries(folder: Path, aml: Aml) -> None:
    backed_up(folder, aml)
    (folder / ".loom" / "aml.toml").write_text("[backup]\nretries = 1\nretry_seconds = 0.01\n", encoding="utf-8")


def one_more(folder: Path, aml: Aml) -> None:
    """A backup of these very files, so that the next one has something to take over."""
    aml.must(*CREATE)


def died(only: str, fault: Fault, at: int = 1) -> Callable[[Path, Aml], None]:
    """A restore that died around its ``at``-th call that begins so."""

    def warm(folder: Path, aml: Aml) -> None:
        assert aml(*RESTORE_FIRST, fault=fault, at=at, only=only).exit < 0

    return warm


_CRASHES = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.POWER_CUT, Fault.POWER_CUT_REORDERED)
_FEW = (Fault.KILL_BEFORE, Fault.POWER_CUT_REORDERED, Fault.IO_ERROR, Fault.IO_ERROR_LATE)

_HARSH = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.IO_ERROR_LATE, Fault.IO_ERROR_ON)

Restoring = partial(BackupScenario, build=backed_up, words=RESTORE_FIRST, changes_store=True, finishes=False)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        BackupScenario("first create", never_backed_up, CREATE, [CREATE]),
        BackupScenario("create", backed_up, CREATE, [CREATE]),
        BackupScenario("create without changes", backed_up, CREATE, [CREATE], one_more, _FEW),
        BackupScenario("create --full", backed_up, (*CREATE, "--full"), [CREATE], one_more, _FEW),
        Restoring(name="restore, then create", then=[CREATE]),
        Restoring(name="restore, then again", then=[RESTORE_FIRST], faults=_CRASHES, finishes=True),
        Restoring(name="restore, then prune", then=[PRUNE_ALL, CREATE], faults=_FEW),
        Restoring(
            name="restore of agents",
            then=[CREATE],
            words=(*RESTORE_FIRST, "--agent", "beta", "--agent", "alpha"),
            faults=_FEW,
        ),
        Restoring(
            name="restore against a lock",
            then=[CREATE],
            words=(*RESTORE_FIRST, "--lock-timeout", "0.1"),
            locked="global/cross-agent.json",
            exit=11,
            faults=(*_CRASHES, Fault.TERMINATE),
        ),
        Restoring(
            name="completing a restore",
            then=[CREATE],
            words=CREATE,
            recovers=True,
            warm=died("rename .loom/memory/", Fault.KILL_AFTER, 2),
            faults=(*_CRASHES, Fault.TERMINATE, Fault.IO_ERROR_LATE),
        ),
        Restoring(
            name="completing a restore that has removed",
            then=[CREATE],
            words=CREATE,
            recovers=True,
            warm=died("unlink .loom/memory/", Fault.KILL_BEFORE, 2),
            faults=_HARSH,
        ),
        BackupScenario("restore --target", backed_up, TO_TARGET, [TO_TARGET]),
        BackupScenario("rotate", backed_up_often, ROTATE, [ROTATE], may_remove=True),
        BackupScenario("verify", backed_up, VERIFY, [VERIFY, CREATE], faults=_FEW),
        BackupScenario("drill", backed_up, DRILL, [DRILL, CREATE], faults=_FEW),
        BackupScenario("auto", with_short_retries, AUTO, [AUTO], faults=(*_FEW, Fault.FULL_DISK_ON)),
        BackupScenario(
            "prune with its backup", with_something_to_prune, PRUNE_ALL, [PRUNE_ALL], faults=_FEW, changes_store=True
        ),
    )
}


@pytest.fixture(scope="module")
def runners(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Runners[BackupRunner]:
    return Runners(lambda name, place: BackupRunner(SCENARIOS[name], children, place), tmp_path_factory)


@pytest.mark.parametrize("name", SCENARIOS)
def test_sample_of_faults_harms_no_backup_and_mixes_no_store(
    name: str, runners: Runners[BackupRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), few(runners(name).points(), SAMPLE), record_property)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "fault"), [(one.name, fault) for one in SCENARIOS.values() for fault in one.faults])
def test_every_fault_harms_no_backup_and_mixes_no_store(
    name: str, fault: Fault, runners: Runners[BackupRunner], record_property: Callable[[str, object], None]
) -> None:
    assert_promises_are_kept(runners(name), share(runners(name).points([fault]), ONE_IN), record_property)
