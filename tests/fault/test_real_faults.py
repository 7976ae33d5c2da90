"""Faults that the system itself makes, beside the injected ones: limits, full and read-only disks, rights, kill -9."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.real import aml, assert_failed_with_a_name, command, leave_free, mount, noise
from tests.fault.runner import KEEP, STORE, Project, leftovers, missing, total
from tests.support.records import decision, pattern
from tests.support.stores import write_array

PRUNE = ("prune", "--max-loss", "100%")


def fill_store(folder: Path, *, records: int, size: int) -> Project:
    """Two agents; every other record is condemned and has about ``size`` bytes."""
    for agent in ("alpha", "beta"):
        patterns = [
            pattern(id=f"{agent}-{number}", agent=agent, unused_days=5 + 400 * (number % 2), note=noise(size, number))
            for number in range(records)
        ]
        write_array(folder / STORE / agent / "patterns.json", patterns, form="plain" if agent == "alpha" else "gzip")
        decisions = [decision(id=f"{agent}-d{number}", agent=agent, would_repeat=number > 0) for number in range(3)]
        write_array(folder / STORE / agent / "decisions.json", decisions)
    return Project.read(folder)


def assert_all_kept(folder: Path, whole: Project) -> Project:
    """Every file reads, and every record is in the store or in an archive."""
    after = Project.read(folder)
    assert not after.torn
    assert not missing(whole.store, total(after.store, after.archived))
    assert not missing(after.store, whole.store)
    assert not after.modes.keys() ^ whole.modes.keys()
    return after


def assert_next_run_ends_clean(folder: Path, whole: Project, minutes: float = 1) -> None:
    ended = aml(folder, *PRUNE, minutes=minutes)
    assert ended.returncode == 0, ended.stderr
    assert not leftovers(folder, whole)
    after = assert_all_kept(folder, whole)
    assert after.store["alpha", "patterns"].total() < whole.store["alpha", "patterns"].total(), "nothing was pruned"


@pytest.mark.parametrize("file_size", [0, 700, 10_000])
def test_h16_a_limit_on_file_sizes_loses_no_record(tmp_path: Path, file_size: int) -> None:
    whole = fill_store(tmp_path, records=40, size=4_000)

    ended = aml(tmp_path, *PRUNE, file_size=file_size)

    assert_failed_with_a_name(ended, tmp_path)
    assert_all_kept(tmp_path, whole)
    assert_next_run_ends_clean(tmp_path, whole)


@pytest.mark.parametrize("pages", [0, 3, 9, 18])
def test_h16_a_full_disk_loses_no_record(small_disk: Path, pages: int) -> None:
    whole = fill_store(small_disk, records=20, size=4_000)
    filler = leave_free(small_disk, pages)

    ended = aml(small_disk, *PRUNE)

    assert_failed_with_a_name(ended, small_disk)
    assert "No space left on device" in ended.stderr
    assert_all_kept(small_disk, whole)
    filler.unlink()
    assert_next_run_ends_clean(small_disk, whole)


def test_h16_undo_on_a_full_disk_keeps_the_archive(small_disk: Path) -> None:
    whole = fill_store(small_disk, records=20, size=4_000)
    assert aml(small_disk, *PRUNE).returncode == 0
    run = next((small_disk / ".loom" / "memory.aml" / "runs").glob("*.json")).stem
    filler = leave_free(small_disk, 6)

    ended = aml(small_disk, "prune", "undo", run, minutes=1)

    assert_failed_with_a_name(ended, small_disk)
    assert_all_kept(small_disk, whole)
    filler.unlink()
    assert aml(small_disk, "prune", "undo", run, minutes=2).returncode == 0
    assert Project.read(small_disk).order == whole.order


def test_a_disk_mounted_read_only_is_named_and_left_alone(small_disk: Path) -> None:
    whole = fill_store(small_disk, records=6, size=100)
    assert mount("-o", "remount,ro", small_disk)

    ended = aml(small_disk, *PRUNE)

    assert_failed_with_a_name(ended, small_disk)
    assert "read-only" in ended.stderr.lower()
    assert aml(small_disk, *PRUNE, "--dry-run").returncode == 0
    assert mount("-o", "remount,rw", small_disk)
    assert_next_run_ends_clean(small_disk, whole)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named_and_its_records_stay(tmp_path: Path) -> None:
    whole = fill_store(tmp_path, records=6, size=100)
    folder = tmp_path / STORE / "alpha"
    folder.chmod(0o555)

    ended = aml(tmp_path, *PRUNE)

    folder.chmod(0o755)
    assert_failed_with_a_name(ended, tmp_path)
    assert f"chmod u+wx {folder}" in ended.stderr
    after = assert_all_kept(tmp_path, whole)
    assert after.store["alpha", "patterns"] == whole.store["alpha", "patterns"]
    assert_next_run_ends_clean(tmp_path, whole)


def block_with_file(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("not a folder", encoding="utf-8")


def block_with_dangling_link(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(place.parent / "nowhere" / "at" / "all")


@pytest.mark.parametrize(
    ("blocked", "block"),
    [
        (KEEP, block_with_file),
        (KEEP, block_with_dangling_link),
        (KEEP / "archives", block_with_file),
        (KEEP / "archives" / "alpha", block_with_dangling_link),
    ],
)
def test_h46_records_stay_where_their_archive_cannot_be_written(
    tmp_path: Path, blocked: Path, block: Callable[[Path], None]
) -> None:
    whole = fill_store(tmp_path, records=6, size=100)
    block(tmp_path / blocked)

    ended = aml(tmp_path, *PRUNE)

    assert_failed_with_a_name(ended, tmp_path)
    assert str(KEEP) in ended.stderr
    after = assert_all_kept(tmp_path, whole)
    assert after.order["alpha/patterns.json"] == whole.order["alpha/patterns.json"]
    (tmp_path / blocked).unlink()
    assert_next_run_ends_clean(tmp_path, whole)


def test_h46_an_agent_whose_archive_cannot_be_written_does_not_hold_up_the_others(tmp_path: Path) -> None:
    whole = fill_store(tmp_path, records=6, size=100)
    block_with_file(tmp_path / KEEP / "archives" / "alpha")

    assert aml(tmp_path, *PRUNE).returncode in (1, 3)

    after = assert_all_kept(tmp_path, whole)
    assert after.store["beta", "patterns"].total() == 3


def kill_at_random(template: Path, folder: Path, whole: Project, delay: float) -> None:
    """Kill a run after so many seconds; then everything must be there, and the next run ends clean and at once."""
    shutil.copytree(template, folder, symlinks=True)
    process = subprocess.Popen(command(*PRUNE), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_all_kept(folder, whole)
    began = time.monotonic()
    assert_next_run_ends_clean(folder, whole)
    assert time.monotonic() - began < 10, "the next run waited for the locks of the dead one"
    shutil.rmtree(folder)


def kill_many_times(tmp_path: Path, times: int, seed: int) -> None:
    template = tmp_path / "template"
    whole = fill_store(template, records=400, size=2_000)
    trial = Path(shutil.copytree(template, tmp_path / "trial"))
    began = time.monotonic()
    assert aml(trial, *PRUNE).returncode == 0
    usual = time.monotonic() - began
    chance = random.Random(seed)
    for number in range(times):
        kill_at_random(template, tmp_path / f"copy-{number}", whole, chance.uniform(0.3, 1.0) * usual)


def test_h15_kill_9_at_random_moments_loses_no_record(tmp_path: Path) -> None:
    kill_many_times(tmp_path, 3, seed=1)


@pytest.mark.slow
def test_h15_kill_9_at_many_random_moments_loses_no_record(tmp_path: Path) -> None:
    kill_many_times(tmp_path, 60, seed=2)
