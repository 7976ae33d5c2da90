"""Faults that the system itself makes as backups are made, restored and rotated: full and read-only disks, kill -9."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fault.backups import Tree, tree_of
from tests.fault.real import aml, assert_failed_with_a_name, command, leave_free, look, mount, noise, own_disk
from tests.fault.runner import KEEP, STATE, STORE, Project, leftovers
from tests.support.records import pattern
from tests.support.stores import gunzipped, write_array

CREATE = ("backup", "create")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with own_disk(tmp_path / "disk", "900k") as point:
        yield point


def write_store(folder: Path) -> None:
    """Some 100 KB that hardly shrink, in one large file and some small ones."""
    notes = [pattern(id=f"a{number}", note=noise(4_000, number)) for number in range(20)]
    write_array(folder / STORE / "alpha" / "patterns.json", notes)
    write_array(folder / STORE / "beta" / "patterns.json", [pattern(id="b", agent="beta")], form="gzip")
    for number in range(5):
        write_array(folder / STORE / "beta" / f"page-{number}.json", [noise(500, number)])


def shrink_store(folder: Path) -> None:
    """Take most of it away: the way back needs more room than what is there now."""
    write_array(folder / STORE / "alpha" / "patterns.json", [pattern(id="a1")])
    (folder / STORE / "beta" / "page-3.json").unlink()
    write_array(folder / STORE / "beta" / "page-9.json", ["new"])


def grow_store(folder: Path) -> None:
    for number in range(40):
        write_array(folder / STORE / "gamma" / f"page-{number}.json", [noise(3_000, 1_000 + number)])


def held(root: Path) -> Tree:
    """What lies below a folder; of compressed files the content, since a restore packs it again."""
    return {
        path: (
            mode,
            time_ns,
            content if content is None or content == gunzipped(content) else b"gzip " + gunzipped(content),
        )
        for path, (mode, time_ns, content) in tree_of(root).items()
    }


def backups_of(folder: Path, minutes: float = 50) -> list[str]:
    listed = look(folder, "backup", "list", "--json", minutes=minutes)
    assert listed.status == 0, listed.err or listed.out
    return [one["id"] for one in listed.envelope["data"]["backups"]]


def restored(folder: Path, backup: str, target: Path) -> Tree:
    ended = look(folder, "backup", "restore", backup, "--target", str(target), minutes=50)
    assert ended.status == 0, ended.err
    tree = held(target)
    shutil.rmtree(target)
    return tree


def backed_up(folder: Path, target: Path) -> dict[str, Tree]:
    """Make a backup; returns what each of them restores."""
    ended = aml(folder, *CREATE)
    assert ended.returncode == 0, ended.stderr
    return {one: restored(folder, one, target) for one in backups_of(folder)}


def assert_all_restore(folder: Path, trees: dict[str, Tree], target: Path) -> None:
    assert trees.keys() <= set(backups_of(folder))
    for backup, tree in trees.items():
        assert restored(folder, backup, target) == tree


def assert_next_create_ends_clean(folder: Path, target: Path, minutes: float = 10) -> None:
    """What it backs up is what the store holds, nothing is found wrong, and nothing is left over."""
    ended = aml(folder, *CREATE, minutes=minutes)
    assert ended.returncode == 0, ended.stderr
    assert restored(folder, backups_of(folder)[-1], target) == held(folder / STORE)
    verified = look(folder, "backup", "verify", minutes=minutes + 1)
    assert verified.status == 0, verified.out
    assert not leftovers(folder, Project.read(folder))
    assert not list((folder / STATE / "restore").glob("*"))


# ---- no room


@pytest.mark.parametrize("pages", [0, 4, 12, 20])
def test_a_create_on_a_full_disk_harms_no_backup(disk: Path, tmp_path: Path, pages: int) -> None:
    write_store(disk)
    trees = backed_up(disk, tmp_path / "look")
    grow_store(disk)
    store = held(disk / STORE)
    filler = leave_free(disk, pages)

    ended = aml(disk, *CREATE, minutes=2)

    if ended.returncode:
        assert_failed_with_a_name(ended, disk)
    # where the backup itself found room, what is noted of it need not have
    assert "No space left on device" in ended.stderr
    assert held(disk / STORE) == store
    assert_all_restore(disk, trees, tmp_path / "look")
    filler.unlink()
    assert_next_create_ends_clean(disk, tmp_path / "look")


@pytest.mark.parametrize("pages", [0, 6, 14, 22])
def test_a_restore_on_a_full_disk_leaves_the_store_as_it_was(disk: Path, tmp_path: Path, pages: int) -> None:
    write_store(disk)
    trees = backed_up(disk, tmp_path / "look")
    shrink_store(disk)
    store = held(disk / STORE)
    filler = leave_free(disk, pages)
    (backup,) = trees

    ended = aml(disk, "backup", "restore", backup, minutes=2)

    assert_failed_with_a_name(ended, disk)
    assert "No space left on device" in ended.stderr
    assert held(disk / STORE) == store
    assert_all_restore(disk, trees, tmp_path / "look")
    filler.unlink()
    assert aml(disk, "backup", "restore", backup, minutes=4).returncode == 0
    assert held(disk / STORE) == trees[backup]
    assert_next_create_ends_clean(disk, tmp_path / "look")


def test_a_restore_into_a_folder_on_a_full_disk_leaves_nothing_there(disk: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_store(project)
    backed_up(project, tmp_path / "look")
    leave_free(disk, 10)

    ended = aml(project, "backup", "restore", "latest", "--target", str(disk / "restored"), minutes=2)

    assert_failed_with_a_name(ended, disk)
    assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("file_size", [0, 700, 10_000])
@pytest.mark.parametrize("words", [CREATE, ("backup", "restore", "--at", "2026-11-20T12:00:59Z")])
def test_a_limit_on_file_sizes_harms_no_backup_and_no_store(
    tmp_path: Path, file_size: int, words: Sequence[str]
) -> None:
    project = tmp_path / "project"
    write_store(project)
    trees = backed_up(project, tmp_path / "look")
    shrink_store(project)
    if words == CREATE:
        grow_store(project)
    store = held(project / STORE)

    ended = aml(project, *words, minutes=2, file_size=file_size)

    assert_failed_with_a_name(ended, project)
    assert held(project / STORE) == store
    assert_all_restore(project, trees, tmp_path / "look")
    assert_next_create_ends_clean(project, tmp_path / "look")


# ---- no right to write


def assert_reads_and_refuses_to_write(project: Path, trees: dict[str, Tree], repository: Path, look: Path) -> None:
    """A repository that cannot be written to serves all who read; nobody who has to write touches the store."""
    store = held(project / STORE)
    assert_all_restore(project, trees, look)
    assert aml(project, "backup", "verify", minutes=2).returncode == 0
    assert aml(project, "backup", "drill", minutes=3).returncode == 0
    for number, words in enumerate((CREATE, ("backup", "restore", "latest"), ("prune", "--max-loss", "100%"))):
        ended = aml(project, *words, minutes=4 + number)
        assert_failed_with_a_name(ended, repository)
        assert held(project / STORE) == store


def with_something_to_do(project: Path) -> None:
    """What a restore and a prune would change."""
    shrink_store(project)
    write_array(project / STORE / "beta" / "patterns.json", [pattern(id="old", agent="beta", unused_days=500)])


def test_a_repository_mounted_read_only_is_read_and_protects_the_store(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_store(project)
    with own_disk(project / KEEP, "900k") as repository:
        trees = backed_up(project, tmp_path / "look")
        with_something_to_do(project)
        assert mount("-o", "remount,ro", repository)
        assert_reads_and_refuses_to_write(project, trees, repository, tmp_path / "look")
        assert mount("-o", "remount,rw", repository)
        assert_next_create_ends_clean(project, tmp_path / "look")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_repository_without_the_right_to_write_is_read_and_protects_the_store(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_store(project)
    trees = backed_up(project, tmp_path / "look")
    with_something_to_do(project)
    folders = [path for path in (project / KEEP, *(project / KEEP).rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        assert_reads_and_refuses_to_write(project, trees, project / KEEP, tmp_path / "look")
    finally:
        for path in folders:
            path.chmod(0o700)
    assert_next_create_ends_clean(project, tmp_path / "look")


# ---- kill -9


def write_many(folder: Path) -> None:
    """So many files that putting them in place takes a while."""
    write_store(folder)
    for number in range(120):
        agent = f"agent-{number % 6}"
        write_array(folder / STORE / agent / f"page-{number}.json", [noise(900, number)])


def change_many(folder: Path) -> None:
    shrink_store(folder)
    for number in range(0, 120, 3):
        page = folder / STORE / f"agent-{number % 6}" / f"page-{number}.json"
        if number % 2:
            page.unlink()
        else:
            write_array(page, ["changed"])
    shutil.rmtree(folder / STORE / "agent-1")
    write_array(folder / STORE / "agent-9" / "patterns.json", [pattern(id="new", agent="agent-9")])


class Killing:
    """A project whose copies are killed at some moment of one command."""

    def __init__(self, tmp_path: Path, words: Sequence[str], *, more_backups: int = 0) -> None:
        self._words = words
        self._template = tmp_path / "template"
        self._look = tmp_path / "look"
        write_many(self._template)
        self.trees = backed_up(self._template, self._look)
        self._goal = held(self._template / STORE)
        change_many(self._template)
        for number in range(more_backups):
            assert aml(self._template, *CREATE, minutes=number + 1).returncode == 0
            write_array(self._template / STORE / "alpha" / "patterns.json", [pattern(id=f"n{number}")])
        self.trees = {one: restored(self._template, one, self._look) for one in backups_of(self._template)}
        self._store = held(self._template / STORE)
        self.usual = self._time(tmp_path / "trial")

    def _time(self, trial: Path) -> float:
        shutil.copytree(self._template, trial, symlinks=True)
        began = time.monotonic()
        assert aml(trial, *self._words, minutes=30).returncode == 0
        return time.monotonic() - began

    def kill_after(self, delay: float, folder: Path, *, kept: Sequence[str]) -> None:
        """Backups ``kept`` must restore, and the store must be one of two things after the next run."""
        shutil.copytree(self._template, folder, symlinks=True)
        started = command(*self._words, minutes=30)
        process = subprocess.Popen(started, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_all_restore(folder, {one: self.trees[one] for one in kept}, self._look)
        began = time.monotonic()
        assert_next_create_ends_clean(folder, self._look, minutes=40)
        assert time.monotonic() - began < 20, "the next run waited for the locks of the dead one"
        contents = [_contents(self._store), _contents(self._goal)]
        assert _contents(held(folder / STORE)) in contents, "the store is a mixture"
        assert_all_restore(folder, {one: self.trees[one] for one in kept}, self._look)
        shutil.rmtree(folder)


def _contents(tree: Tree) -> dict[str, tuple[int, bytes | None]]:
    return {path: (mode, content) for path, (mode, _, content) in tree.items()}


def kill_many_times(tmp_path: Path, name: str, times: int, seed: int) -> None:
    if name == "create":
        killing = Killing(tmp_path, CREATE)
    elif name == "restore":
        killing = Killing(tmp_path, ("backup", "restore", "--at", "2026-11-20T12:00:59Z"))
    else:
        killing = Killing(tmp_path, ("backup", "rotate", "--keep-last", "1"), more_backups=3)
    every = sorted(killing.trees)
    chance = random.Random(seed)
    for number in range(times):
        kept = every[-1:] if name == "rotate" else every
        killing.kill_after(chance.uniform(0.25, 1.0) * killing.usual, tmp_path / f"copy-{number}", kept=kept)


@pytest.mark.parametrize("name", ["create", "restore", "rotate"])
def test_kill_9_at_random_moments_harms_no_backup_and_mixes_no_store(tmp_path: Path, name: str) -> None:
    kill_many_times(tmp_path, name, 2, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["create", "restore", "rotate"])
def test_kill_9_at_many_random_moments_harms_no_backup_and_mixes_no_store(tmp_path: Path, name: str) -> None:
    kill_many_times(tmp_path, name, 20, seed=4)
