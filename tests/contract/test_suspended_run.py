"""A run that is held up while it holds a lock: agents take the lock over, and the run must destroy nothing.

Agents hold a lock for dead after 10 s without a sign of life (newer ones after 30 s). So a run that wakes up later must
notice before it writes, leave the new holder's lock alone, and throw its result away or plan again.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

import aml
from aml.errors import ExitStatus
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.budget import Limits
from aml.prune.options import PruneOptions
from aml.prune.report import PruneReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune
from aml.workflows.undo import prune_history, prune_undo
from tests.support.live_writer import agent_lock, append_record, fresh_pattern, unused_pattern
from tests.support.stores import make_store, read_array, record_spans, write_array

#: Whoever looks for the moment to suspend a run must not miss it because others do the same.
_ONE_AT_A_TIME = Lock()

ALL_MAY_GO = PruneOptions(limits=Limits(run_share=1.0, window_share=1.0))

_PRUNE_WITH_POLICY = """
import sys
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.budget import Limits
from aml.prune.options import PruneOptions
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune
options = PruneOptions(limits=Limits(run_share=1.0, window_share=1.0))
policy = LockPolicy(timeout=30, renew=0.2, trusted=1.0, stale=4.0, watch=1.0)
sys.exit(prune(open_store(sys.argv[1]), options, conditions=Conditions(locks=policy)).status)
"""


@dataclass(frozen=True)
class Scene:
    """A store with one large file of which every second pattern may go."""

    store: Path
    file: Path
    records: list[dict[str, Any]]

    @property
    def lock(self) -> Path:
        return self.file.with_name(self.file.name + ".lock")

    @classmethod
    def make(cls, tmp_path: Path, megabytes: float) -> Scene:
        padding = {"note": "x" * 9000}
        pairs = max(int(megabytes * 50), 2)
        makers = [fresh_pattern, unused_pattern] * pairs
        records = [make("alpha") | padding for make in makers]
        store = make_store(tmp_path, {"alpha": {"patterns": records}})
        return cls(store, store / "alpha" / "patterns.json", records)

    def archived(self) -> list[dict[str, Any]]:
        found = []
        for archive in sorted(self.store.with_name(self.store.name + "-backup").glob("archives/**/*.jsonl.gz")):
            found += [
                json.loads(json.loads(line)["text"]) for line in gzip.decompress(archive.read_bytes()).splitlines()
            ]
        return found

    def check_nothing_was_lost(self, written: list[dict[str, Any]]) -> None:
        """What agents wrote meanwhile is in the store, and every other record there or in an archive, unchanged."""
        live = {record["id"]: record for record in read_array(self.file)}
        for record in written:
            assert live.get(record["id"]) == record, "a record that an agent wrote meanwhile is gone"
        kept = {record["id"]: record for record in self.archived()} | live
        lost = [record["id"] for record in self.records if kept.get(record["id"]) != record]
        assert lost == []

    def check_only_the_agents_folder_is_clean(self) -> None:
        assert [path.name for path in self.file.parent.iterdir()] == ["patterns.json"]


def start(words: list[str]) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    environment = inherited | {"PYTHONPATH": str(Path(aml.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def has_locked(scene: Scene) -> bool:
    return scene.lock.exists()


def has_drafted(scene: Scene) -> bool:
    """Its result is being written beside the file, and only the rename is still to come."""
    return scene.lock.exists() and len(os.listdir(scene.file.parent)) > 2


Moment = Callable[[Scene], bool]


def stop_in_the_middle(process: subprocess.Popen[str], scene: Scene, moment: Moment) -> bool:
    """Suspend the process as soon as it is at that moment; False if it was past it by the time that it stood still."""
    before = scene.file.stat().st_ino
    while process.poll() is None:
        if moment(scene):
            process.send_signal(signal.SIGSTOP)
            _, state = os.waitpid(process.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(state):
                return False
            if moment(scene) and scene.file.stat().st_ino == before:
                return True
            process.send_signal(signal.SIGCONT)
            return False
        time.sleep(0.0005)
    return False


@contextmanager
def suspended_run(
    tmp_path: Path, megabytes: float, words: Callable[[Path], list[str]], moment: Moment = has_drafted
) -> Iterator[tuple[Scene, subprocess.Popen[str]]]:
    """A run that stands still in the middle of its work on the file; several tries, since it may be too quick."""
    for attempt in range(10):
        scene = Scene.make(tmp_path / str(attempt), megabytes)
        with _ONE_AT_A_TIME:
            process = start(words(scene.store))
            stopped = stop_in_the_middle(process, scene, moment)
        try:
            if stopped:
                yield scene, process
                return
            process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
    pytest.fail("the run could not be stopped while it held the lock")


def resume(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGCONT)


def check_clean_end(process: subprocess.Popen[str], timeout: float) -> None:
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode in (ExitStatus.DONE, ExitStatus.PARTIAL), f"{process.returncode}: {out}{errors}"


def command_line(store: Path) -> list[str]:
    return ["-m", "aml", "--store", str(store), "prune", "--max-loss", "100%"]


def impatient_run(store: Path) -> list[str]:
    return ["-c", _PRUNE_WITH_POLICY, str(store)]


def write_as_agent(scene: Scene, stale: float) -> dict[str, Any]:
    record = fresh_pattern("alpha")
    with agent_lock(scene.file, stale=stale):
        append_record(scene.file, record)
    return record


@pytest.mark.parametrize("moment", [has_drafted, pytest.param(has_locked, marks=pytest.mark.slow)])
def test_a_suspended_run_leaves_what_an_agent_wrote_meanwhile(tmp_path: Path, moment: Moment) -> None:
    with suspended_run(tmp_path, 12, impatient_run, moment) as (scene, process):
        time.sleep(2.2)
        written = write_as_agent(scene, stale=2.0)
        resume(process)
        check_clean_end(process, timeout=60)
    scene.check_nothing_was_lost([written])
    scene.check_only_the_agents_folder_is_clean()


def test_a_suspended_run_leaves_the_lock_of_an_agent_that_took_it_over(tmp_path: Path) -> None:
    with suspended_run(tmp_path, 12, impatient_run) as (scene, process):
        time.sleep(2.2)
        first, second = fresh_pattern("alpha"), fresh_pattern("alpha")
        with agent_lock(scene.file, stale=2.0) as lock:
            append_record(scene.file, first)
            before = lock.folder.stat()
            resume(process)
            time.sleep(1.5)
            after = lock.folder.stat()
            assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
            append_record(scene.file, second)
        check_clean_end(process, timeout=60)
    scene.check_nothing_was_lost([first, second])
    scene.check_only_the_agents_folder_is_clean()


@pytest.mark.slow
def test_a_run_that_slept_longer_than_it_may_writes_nothing_by_that_lock(tmp_path: Path) -> None:
    """Nobody took the lock over, but anybody might have been about to: the lock counts as lost."""
    with suspended_run(tmp_path, 12, impatient_run) as (scene, process):
        time.sleep(1.3)
        inode = scene.file.stat().st_ino
        resume(process)
        time.sleep(1.0)
        assert scene.file.stat().st_ino == inode
        check_clean_end(process, timeout=60)
    scene.check_nothing_was_lost([])
    scene.check_only_the_agents_folder_is_clean()


def test_a_short_stop_does_no_harm(tmp_path: Path) -> None:
    with suspended_run(tmp_path, 12, impatient_run) as (scene, process):
        time.sleep(0.3)
        resume(process)
        check_clean_end(process, timeout=60)
    scene.check_nothing_was_lost([])
    assert len(read_array(scene.file)) == len(scene.records) / 2
    scene.check_only_the_agents_folder_is_clean()


def destroys_nothing(tmp_path: Path, stale: float, moment: Moment) -> None:
    """Agents of both ages: the older ones take a lock over after 10 s, the newer ones after 30 s."""
    with suspended_run(tmp_path, 30, command_line, moment) as (scene, process):
        stopped = time.monotonic()
        time.sleep(stale + 1)
        written = [write_as_agent(scene, stale), write_as_agent(scene, stale)]
        time.sleep(max(0.0, 40 - (time.monotonic() - stopped)))
        resume(process)
        check_clean_end(process, timeout=100)
    scene.check_nothing_was_lost(written)
    scene.check_only_the_agents_folder_is_clean()


def leaves_the_new_holder_of_its_lock_alone(tmp_path: Path) -> None:
    with suspended_run(tmp_path, 30, command_line) as (scene, process):
        time.sleep(38)
        first, second = fresh_pattern("alpha"), fresh_pattern("alpha")
        with agent_lock(scene.file):
            append_record(scene.file, first)
            time.sleep(2)
            resume(process)
            time.sleep(6)
            append_record(scene.file, second)
        check_clean_end(process, timeout=100)
    scene.check_nothing_was_lost([first, second])
    scene.check_only_the_agents_folder_is_clean()


def ends_well_where_agents_were_idle(tmp_path: Path) -> None:
    with suspended_run(tmp_path, 30, command_line) as (scene, process):
        time.sleep(40)
        resume(process)
        check_clean_end(process, timeout=110)
    scene.check_nothing_was_lost([])
    scene.check_only_the_agents_folder_is_clean()


@pytest.mark.slow
def test_prunes_suspended_for_40_seconds_destroy_nothing(tmp_path: Path) -> None:
    """Side by side, since hardly more is done than to wait."""
    cases: list[Callable[[Path], None]] = [
        partial(destroys_nothing, stale=10.0, moment=has_drafted),
        partial(destroys_nothing, stale=30.0, moment=has_drafted),
        partial(destroys_nothing, stale=10.0, moment=has_locked),
        leaves_the_new_holder_of_its_lock_alone,
        ends_well_where_agents_were_idle,
    ]
    with ThreadPoolExecutor(len(cases)) as threads:
        ended = [threads.submit(case, tmp_path / str(number)) for number, case in enumerate(cases)]
    problems = [error for one in ended if (error := one.exception()) is not None]
    if problems:
        raise BaseExceptionGroup("suspended runs", problems)


_MUTATING = ("open", "mkdir", "write", "fsync", "rename", "unlink", "utime")


class Overtaken:
    """An agent takes the lock over, writes a record and goes, just before the n-th system call made under the lock.

    That is what a run meets that was suspended there. Two places are left out: the rename of the result itself, since
    no check can come closer to it than the one just before, and the opening of the lock, where only the time that
    passed tells, and none passes here.
    """

    def __init__(self, scene: Scene, number: int, patch: pytest.MonkeyPatch) -> None:
        self.written: list[dict[str, Any]] = []
        self.at = ""
        self._scene, self._number, self._calls = scene, number, 0
        self._busy = False
        for name in _MUTATING:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if not self._busy and not self._is_left_out(name, arguments) and self._scene.lock.exists():
                self._calls += 1
                if self._calls == self._number:
                    self.at = f"{name}{arguments[:2]}"[:120]
                    self._take_over()
            return call(*arguments, **options)

        return watched

    def _is_left_out(self, name: str, arguments: tuple[Any, ...]) -> bool:
        is_the_commit = name == "rename" and Path(arguments[1]) == self._scene.file
        return is_the_commit or (name == "open" and Path(arguments[0]) == self._scene.lock)

    def _take_over(self) -> None:
        self._busy = True
        self._scene.lock.rmdir()
        record = fresh_pattern("alpha")
        with agent_lock(self._scene.file):
            append_record(self._scene.file, record)
        self.written.append(record)
        self._busy = False


def overtaken_prune(scene: Scene, number: int, patch: pytest.MonkeyPatch) -> tuple[Overtaken, PruneReport]:
    conditions = Conditions(locks=LockPolicy(timeout=2, rest=0, renew=5))
    with patch.context() as patched:
        agent = Overtaken(scene, number, patched)
        report = prune(open_store(scene.store), ALL_MAY_GO, conditions=conditions)
    return agent, report


def test_a_run_overtaken_before_any_call_under_its_lock_destroys_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the write, not its archive, not the journal: checked after each place where a suspension can strike."""
    unclean = []
    for number in range(1, 200):
        scene = Scene.make(tmp_path / str(number), 0)
        agent, report = overtaken_prune(scene, number, monkeypatch)
        scene.check_nothing_was_lost(agent.written)
        scene.check_only_the_agents_folder_is_clean()
        removed = len(scene.records) + len(agent.written) - len(read_array(scene.file))
        journal = prune_history(open_store(scene.store))[0]
        if report.status not in (ExitStatus.DONE, ExitStatus.PARTIAL) or report.total("removed") != removed:
            unclean.append(f"{number}: {agent.at}: {report.status.name}, {report.total('removed')} of {removed} told")
        assert sum(len(file.removed) for file in journal.files) == removed
        if not agent.written:
            assert number > 10, "hardly any call was made under the lock"
            break
    assert unclean == []


def test_an_undo_overtaken_while_it_makes_a_missing_file_leaves_the_agents_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that an agent made anew meanwhile is not replaced by the one that undo was about to make."""
    scene = Scene.make(tmp_path, 0)
    store = open_store(scene.store)
    pruned = prune(store, ALL_MAY_GO, conditions=Conditions(locks=LockPolicy(rest=0)))
    assert pruned.run
    kept = read_array(scene.file)
    for number in range(1, 200):
        scene.file.unlink()
        conditions = Conditions(locks=LockPolicy(timeout=2, rest=0, renew=5))
        with monkeypatch.context() as patched:
            agent = Overtaken(scene, number, patched)
            prune_undo(store, pruned.run, conditions=conditions)
        there = {record["id"] for record in read_array(scene.file)}
        assert {record["id"] for record in agent.written} <= there, f"overwritten by the undo: {agent.at}"
        assert there >= {record["id"] for record in scene.records if record not in kept}
        if not agent.written:
            assert number > 5
            return


def test_an_overtaken_run_keeps_the_bytes_of_every_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned again by what the agent left, in the agent's formatting."""
    scene = Scene.make(tmp_path, 0)
    write_array(scene.file, scene.records, indent=None)
    agent, report = overtaken_prune(scene, 3, monkeypatch)
    assert report.status is ExitStatus.DONE
    expected = [record for number, record in enumerate(scene.records) if number % 2 == 0] + agent.written
    assert [json.loads(span) for span in record_spans(scene.file)] == expected
    assert (
        record_spans(scene.file)[-1]
        == json.dumps(agent.written[0], indent=2, ensure_ascii=False).replace("\n", "\n  ").encode()
    )
