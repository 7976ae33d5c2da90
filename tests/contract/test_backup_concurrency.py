"""Backups beside agents that write, beside each other, and beside rotation: nothing is lost, nobody is harmed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aml.backup.restore import RestoreReport
from aml.errors import ExitStatus
from aml.fs.runtime_lock import LockPolicy
from aml.store.open import open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from tests.cli.running import PROJECT, Answer, aml_child
from tests.support.live_writer import Acknowledged, Writer, agent_lock, append_record, fresh_pattern, start_writer
from tests.support.stores import Form, make_store, read_array, write_array

NODE_WRITER = Path(__file__).parents[1] / "support" / "node_writer.mjs"
AGENTS = ("alpha", "beta")
IMPATIENT = Conditions(locks=LockPolicy(timeout=2, rest=0))


def make_project(folder: Path, *, form: Form = "plain", records: int = 400) -> list[Path]:
    """Two agents with some hundred patterns each; returns their files."""
    kinds = {agent: {"patterns": [fresh_pattern(agent) for _ in range(records)]} for agent in AGENTS}
    store = make_store(folder, kinds, form=form)
    return [store / agent / "patterns.json" for agent in AGENTS]


def memory(project: Path) -> Path:
    return project / ".loom" / "memory"


def ids_of(project: Path) -> list[str]:
    return [one.id for one in list_backups(open_store(memory(project))).backups]


def contents(root: Path) -> dict[str, list[Any]]:
    """The elements of each array file below a folder, by relative path; all of them must parse."""
    return {path.relative_to(root).as_posix(): read_array(path) for path in sorted(root.rglob("*.json"))}


def restored(project: Path, wanted: str, target: Path) -> dict[str, list[Any]]:
    restore(open_store(memory(project)), wanted, target=target)
    found = contents(target)
    shutil.rmtree(target)
    return found


def assert_all_sound(project: Path) -> None:
    answer = aml_child(project, "backup", "verify", "--json")
    assert answer.status == 0, answer.out
    names = [path.name for path in (project / ".loom").rglob("*")]
    assert not [name for name in names if ".aml-tmp-" in name or name.endswith(".json.lock")]


def start(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aml", *words],
        cwd=project,
        env={name: value for name, value in os.environ.items() if not name.startswith("AML_")}
        | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    return Answer(process.returncode, out, err)


# ---- side by side with each other


def test_of_two_creates_at_once_each_makes_a_whole_backup(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project)
    answers = [end(process) for process in [start(project, "backup", "create") for _ in range(2)]]
    assert [answer.status for answer in answers] == [0, 0], answers
    assert [one.sequence for one in list_backups(open_store(memory(project))).backups] == [1, 2]
    for one in ids_of(project):
        assert restored(project, one, tmp_path / "look") == contents(memory(project))
    assert_all_sound(project)


def test_a_create_that_may_not_wait_says_locked_and_harms_nothing(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project, records=2000)
    words = ("backup", "create", "--lock-timeout", "0")
    statuses = Counter(end(process).status for process in [start(project, *words) for _ in range(4)])
    assert statuses.keys() <= {ExitStatus.DONE, ExitStatus.LOCKED}, statuses
    assert len(ids_of(project)) == statuses[ExitStatus.DONE] >= 1
    for one in ids_of(project):
        assert restored(project, one, tmp_path / "look") == contents(memory(project))
    assert_all_sound(project)


class Loop(threading.Thread):
    """Calls a function over and over until ``stop`` is set, and keeps what it raised."""

    def __init__(self, stop: threading.Event, action: Callable[[], object]) -> None:
        super().__init__()
        self._stop_event = stop
        self._action = action
        self.rounds = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        while not self._stop_event.is_set():
            try:
                self._action()
            except BaseException as error:  # noqa: BLE001  (the test raises it)
                self.error = error
                self._stop_event.set()
            self.rounds += 1


def in_loops(seconds: float, *actions: Callable[[], object]) -> list[int]:
    """Run each action in a loop of its own, side by side; returns how often each came round."""
    stop = threading.Event()
    loops = [Loop(stop, action) for action in actions]
    for loop in loops:
        loop.start()
    stop.wait(seconds)
    stop.set()
    for loop in loops:
        loop.join()
        if loop.error is not None:
            raise loop.error
    return [loop.rounds for loop in loops]


def age_packs(project: Path) -> None:
    """Make all packs old enough for a rotation to remove them."""
    long_ago = time.time() - 90_000
    for pack in (project / ".loom" / "memory-backup" / "packs").rglob("*.gz"):
        with suppress(FileNotFoundError):
            os.utime(pack, (long_ago, long_ago))


class Changing:
    """A store whose one file has another content each time it is backed up."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.states: list[list[Any]] = []
        self.change()

    def change(self) -> None:
        state = [{"id": f"{len(self.states)}-{number}", "note": random.random()} for number in range(60)]
        self.states.append(state)
        file = memory(self.project) / "alpha" / "patterns.json"
        write_array(file.with_name("patterns.json.tmp"), state)
        file.with_name("patterns.json.tmp").rename(file)

    def create(self) -> None:
        self.change()
        answer = aml_child(self.project, "backup", "create")
        assert answer.status == 0, answer.err

    def rotate(self) -> None:
        age_packs(self.project)
        answer = aml_child(self.project, "backup", "rotate", "--keep-last", "2")
        assert answer.status == 0, answer.err

    def check(self, found: dict[str, list[Any]]) -> None:
        assert found["alpha/patterns.json"] in self.states


@pytest.mark.parametrize("seconds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_creates_and_restores_go_on_while_backups_are_rotated_away(tmp_path: Path, seconds: float) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()

    def look() -> None:
        target = tmp_path / "look"
        answer = aml_child(project, "backup", "restore", "latest", "--target", str(target))
        assert answer.status == 0, answer.err
        changing.check(contents(target))
        shutil.rmtree(target)

    rounds = in_loops(seconds, changing.create, changing.rotate, look)

    assert min(rounds) >= 2, rounds
    for one in ids_of(project):
        changing.check(restored(project, one, tmp_path / "last"))
    assert_all_sound(project)


@pytest.mark.parametrize("seconds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_restore_in_place_and_a_rotation_take_turns(tmp_path: Path, seconds: float) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()
    statuses: Counter[int] = Counter()

    def put_back() -> None:
        answer = aml_child(project, "backup", "restore", "latest")
        statuses[answer.status] += 1
        # another run may hold the store just then, which a restore does not wait for
        assert answer.status in (ExitStatus.DONE, ExitStatus.LOCKED), answer.err
        changing.check(contents(memory(project)))

    rounds = in_loops(seconds, changing.rotate, put_back)

    assert min(rounds) >= 2, rounds
    for one in ids_of(project):
        changing.check(restored(project, one, tmp_path / "last"))
    assert_all_sound(project)


def test_a_verification_finds_nothing_wrong_while_backups_are_made(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project, records=40)
    changing = Changing(project)
    changing.create()

    def verify() -> None:
        answer = aml_child(project, "backup", "verify", "--json")
        assert answer.status == 0, answer.out

    assert min(in_loops(3, changing.create, verify)) >= 2


# ---- side by side with agents


@contextmanager
def writing_agents(
    files: Sequence[Path], logs: Path, seconds: float, programs: Sequence[Sequence[str]] = ((), ())
) -> Iterator[list[Writer]]:
    """Agents that append to the files; leaving raises where one of them died, of a torn file or a stolen lock."""
    logs.mkdir()
    writers = [
        start_writer([*files[number:], *files[:number]], logs / str(number), seconds=seconds, program=program)
        for number, program in enumerate(programs)
    ]
    try:
        yield writers
        for writer in writers:
            assert len(writer.finish()) > 2, "a writer starved"
    finally:
        for writer in writers:
            writer.kill()


def acknowledged(writers: Sequence[Writer]) -> list[Acknowledged]:
    return [entry for writer in writers for entry in writer.acknowledged()]


def is_writing(writers: Sequence[Writer]) -> bool:
    return any(writer.process.poll() is None for writer in writers)


def assert_readable(files: Sequence[Path]) -> None:
    for file in files:
        read_array(file)


def key(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)


def records_in(found: dict[str, list[Any]]) -> set[str]:
    return {key(record) for records in found.values() for record in records}


@pytest.mark.parametrize("form", ["gzip", "plain"])
def test_a_backup_holds_what_was_acknowledged_before_it_began(tmp_path: Path, form: Form) -> None:
    project = tmp_path / "project"
    files = make_project(project, form=form)
    at_first = records_in(contents(memory(project)))
    owed: dict[str, set[str]] = {}
    with writing_agents(files, tmp_path / "logs", 3) as writers:
        while is_writing(writers):
            before = {key(entry.record) for entry in acknowledged(writers)}
            answer = aml_child(project, "backup", "create", "--json")
            assert answer.status == 0, answer.out
            owed[answer.envelope["data"]["id"]] = before
            assert_readable(files)
    written = {key(entry.record) for entry in acknowledged(writers)}
    assert records_in(contents(memory(project))) == at_first | written
    assert len(owed) > 2
    for one, before in owed.items():
        held = records_in(restored(project, one, tmp_path / "look"))
        assert at_first | before <= held <= at_first | written
    assert_all_sound(project)


def restore_while_writing(tmp_path: Path, form: Form, seconds: float, programs: Sequence[Sequence[str]]) -> None:
    """Whatever an agent was told is saved is in the store, in a backup, or in the archive of a restore."""
    project = tmp_path / "project"
    files = make_project(project, form=form)
    at_first = contents(memory(project))
    first = backup(open_store(memory(project))).id
    rounds = 0
    with writing_agents(files, tmp_path / "logs", seconds, programs) as writers:
        while is_writing(writers):
            time.sleep(0.5)
            answer = aml_child(project, "backup", "restore", first, "--json")
            assert answer.status == 0, answer.out
            rounds += 1
            assert_readable(files)
    assert rounds >= 2
    places = [contents(memory(project)), contents(project / ".loom" / "memory-backup" / "archives")]
    places += [restored(project, one, tmp_path / "look") for one in ids_of(project)]
    there = set().union(*map(records_in, places))
    assert {key(entry.record) for entry in acknowledged(writers)} <= there
    last = aml_child(project, "backup", "restore", first)
    assert last.status == 0, last.err
    assert contents(memory(project)) == at_first
    assert_all_sound(project)


@pytest.mark.parametrize("form", ["gzip", "plain"])
def test_no_acknowledged_write_is_lost_while_the_store_is_restored(tmp_path: Path, form: Form) -> None:
    restore_while_writing(tmp_path, form, 4, [(), ()])


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_over_a_longer_time(tmp_path: Path) -> None:
    restore_while_writing(tmp_path, "gzip", 25, [(), (), ()])


@pytest.mark.node
def test_no_acknowledged_write_of_a_node_agent_is_lost_while_the_store_is_restored(tmp_path: Path) -> None:
    node, modules = shutil.which("node"), os.environ.get("AML_TEST_NODE_MODULES")
    there = modules and all((Path(modules) / name).is_dir() for name in ("proper-lockfile", "pako"))
    if not (node and there):
        reason = "node is missing, or AML_TEST_NODE_MODULES names no node_modules with proper-lockfile and pako"
        (pytest.fail if os.environ.get("AML_REQUIRE_NODE") == "1" else pytest.skip)(reason)
    restore_while_writing(tmp_path, "gzip", 5, [[str(node), str(NODE_WRITER)], ()])


# ---- between the backup and the swap


def archived(project: Path, report_run: str, path: str) -> list[Any]:
    return read_array(project / ".loom" / "memory-backup" / "archives" / f"backup-{report_run}" / path)


def agent_writes(file: Path) -> dict[str, Any]:
    """What an agent appends and is told is saved."""
    record = fresh_pattern(file.parent.name)
    file.parent.mkdir(exist_ok=True)
    with agent_lock(file):
        append_record(file, record)
    return record


def restore_interrupted_by(project: Path, wanted: str, path: str, action: Callable[[], object]) -> RestoreReport:
    """Restore in place, with something done once, just before that file of the store is taken in hand."""
    due = [action]

    def progress(name: str) -> None:
        if name == path and due:
            due.pop()()

    return restore(open_store(memory(project)), wanted, conditions=IMPATIENT, progress=progress)


@pytest.mark.parametrize("path", ["alpha/patterns.json", "gamma/patterns.json"])
def test_what_an_agent_wrote_after_the_backup_is_archived_before_it_is_replaced_or_removed(
    tmp_path: Path, path: str
) -> None:
    make_project(tmp_path, records=3)
    at_first = contents(memory(tmp_path))
    first = backup(open_store(memory(tmp_path))).id
    write_array(memory(tmp_path) / path, [fresh_pattern("since")])
    since = contents(memory(tmp_path))
    wrote: list[dict[str, Any]] = []

    report = restore_interrupted_by(tmp_path, first, path, lambda: wrote.append(agent_writes(memory(tmp_path) / path)))

    assert contents(memory(tmp_path)) == at_first
    assert [one.path for one in report.overwritten] == [path]
    assert report.run
    assert archived(tmp_path, report.run, path) == [*since[path], *wrote]


def test_what_an_agent_wrote_is_put_back_where_the_restore_fails_after_all(tmp_path: Path) -> None:
    files = make_project(tmp_path, records=3)
    first = backup(open_store(memory(tmp_path))).id
    for file in files:
        write_array(file, [fresh_pattern("since")])
    wrote: list[dict[str, Any]] = []

    def write_and_hold() -> None:
        wrote.append(agent_writes(files[0]))
        files[1].with_name("patterns.json.lock").mkdir()

    since = contents(memory(tmp_path))
    with pytest.raises(Exception, match="stayed locked"):
        restore_interrupted_by(tmp_path, first, "alpha/patterns.json", write_and_hold)

    files[1].with_name("patterns.json.lock").rmdir()
    assert contents(memory(tmp_path)) == since | {"alpha/patterns.json": [*since["alpha/patterns.json"], *wrote]}


# ---- between a crash and the end of what crashed

_DYING = """
import os, sys
from aml.store.open import open_store
from aml.workflows.restore import restore
def progress(name):
    if name == sys.argv[3]:
        os._exit(9)
restore(open_store(sys.argv[1]), sys.argv[2], progress=progress)
"""


def die_restoring(project: Path, wanted: str, path: str) -> None:
    """A restore in place whose process dies just before it takes that file in hand."""
    words = [sys.executable, "-c", _DYING, str(memory(project)), wanted, path]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


def crashed_project(tmp_path: Path, path: str) -> dict[str, list[Any]]:
    """Alpha and beta are to be put back, gamma and omega to go; returns what was backed up."""
    files = make_project(tmp_path, records=3)
    at_first = contents(memory(tmp_path))
    first = backup(open_store(memory(tmp_path))).id
    for file in (*files, memory(tmp_path) / "gamma" / "patterns.json", memory(tmp_path) / "omega" / "patterns.json"):
        write_array(file, [fresh_pattern(file.parent.name)])
    die_restoring(tmp_path, first, path)
    return at_first


@pytest.mark.parametrize(
    "path", ["gamma/patterns.json", "omega/patterns.json", "alpha/patterns.json", "beta/patterns.json"]
)
def test_a_crashed_restore_is_completed_where_nobody_wrote(tmp_path: Path, path: str) -> None:
    at_first = crashed_project(tmp_path, path)
    answer = aml_child(tmp_path, "backup", "create")
    assert answer.status == 0, answer.err
    assert contents(memory(tmp_path)) == at_first
    assert_all_sound(tmp_path)


@pytest.mark.parametrize(
    "crash", ["gamma/patterns.json", "omega/patterns.json", "alpha/patterns.json", "beta/patterns.json"]
)
def test_what_agents_wrote_after_a_restore_crashed_survives_its_completion(tmp_path: Path, crash: str) -> None:
    """Files that were replaced or removed, and those that were not yet: acknowledged is acknowledged."""
    at_first = crashed_project(tmp_path, crash)
    wrote = {
        f"{agent}/patterns.json": agent_writes(memory(tmp_path) / agent / "patterns.json")
        for agent in (*AGENTS, "gamma", "omega")
    }

    answer = aml_child(tmp_path, "backup", "create")

    assert answer.status == 0, answer.err
    found = contents(memory(tmp_path))
    archive = contents(tmp_path / ".loom" / "memory-backup" / "archives")
    assert {key(record) for record in wrote.values()} <= records_in(found) | records_in(archive)
    if crash == "beta/patterns.json":
        assert key(wrote[crash]) in records_in(archive), "it was still to be replaced"
    for path, records in at_first.items():
        assert found[path] in (records, [*records, wrote[path]]), "a mixture of before and after"
    assert_all_sound(tmp_path)
