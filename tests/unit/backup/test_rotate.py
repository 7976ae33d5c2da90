"""Rotation: what the dry run says is what happens, nothing that is kept loses a chunk, and room is freed in time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from aml.backup.keep import KeepRules
from aml.backup.options import BackupOptions
from aml.backup.rotate import RotateReport
from aml.errors import ClockError, DamagedError, ExitStatus, NotFoundError
from aml.ledger.operations import last_operations
from aml.ledger.runs import Journal, Run
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import Reader, reading
from aml.repository.tables import Place
from aml.store.open import Store, open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from aml.workflows.upkeep import rotate_backups, verify_backups
from tests.contract.recovering import look
from tests.support.records import NOW
from tests.support.stores import tree_digest

START = NOW.timestamp()
HOUR = 3600.0
LAST = KeepRules(last=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that was backed up four times, an hour apart; every time, half of its large file was new."""
    memory = tmp_path / ".loom/memory"
    (memory / "alpha").mkdir(parents=True)
    (memory / "beta").mkdir()
    (memory / "beta/steady.bin").write_bytes(noise(0))
    opened = open_store(memory)
    for number in range(4):
        (memory / "alpha/large.bin").write_bytes(noise(number + 1) + noise(number + 2))
        tags = ("release",) if number == 1 else ()
        backup(opened, BackupOptions(tags=tags), now=START + number * HOUR)
        age(opened, START + number * HOUR)
    return opened


def noise(seed: int) -> bytes:
    """64 KiB, as much as a chunk can hold, so that documents of it share chunks."""
    return Random(seed).randbytes(65_536)


def age(store: Store, moment: float) -> None:
    """Make the packs that were written just now as old as the backup that wrote them."""
    for path in store.keep.glob("packs/*/*"):
        if path.stat().st_mtime_ns % 1_000_000_000:
            os.utime(path, (moment, moment))


def ids(store: Store) -> list[str]:
    return [one.id for one in list_backups(store).backups]


def packs(store: Store) -> set[Path]:
    return set(store.keep.glob("packs/*/*.gz"))


def size(store: Store) -> int:
    return sum(path.stat().st_size for path in packs(store))


def removed(report: RotateReport) -> list[str]:
    return [one.id for one in report.backups if not one.keep]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (KeepRules(last=2), [2, 3]),
        (KeepRules(tags=("release",)), [1, 3]),
        (KeepRules(last=9), [0, 1, 2, 3]),
        (KeepRules(within=3 * HOUR), [1, 2, 3]),
        (KeepRules(last=9, max_backups=2), [1, 3]),
        (KeepRules(), [3]),
    ],
)
def test_what_goes_is_what_the_dry_run_said(store: Store, rules: KeepRules, kept: list[int]) -> None:
    before, names = tree_digest(store.keep), ids(store)
    now = START + 4 * HOUR
    seen = rotate_backups(store, rules, now=now, dry_run=True)
    assert tree_digest(store.keep) == before
    assert seen.dry_run
    done = rotate_backups(store, rules, now=now)
    assert not done.dry_run
    assert done.backups == seen.backups
    assert (done.packs_removed, done.packs_repacked) == (seen.packs_removed, seen.packs_repacked)
    assert (done.packs_left, done.archives_bytes, done.status) == (seen.packs_left, seen.archives_bytes, seen.status)
    assert (seen.packs_left, seen.archives_bytes, seen.status) == (0, 0, ExitStatus.DONE)
    # a dry run cannot tell what packing anew saves
    assert seen.freed_bytes <= done.freed_bytes
    assert seen.packs_repacked or seen.freed_bytes == done.freed_bytes
    assert removed(done) == [name for number, name in enumerate(names) if number not in kept]
    assert done.removed == len(names) - len(kept)
    assert all(one.reasons for one in done.backups)
    assert ids(store) == [names[number] for number in kept]


@pytest.mark.parametrize("rules", [LAST, KeepRules(tags=("release",)), KeepRules(last=2)])
def test_what_stays_can_be_restored_whole(store: Store, tmp_path: Path, rules: KeepRules) -> None:
    trees = {}
    for identity in ids(store):
        restore(store, identity, target=tmp_path / identity)
        trees[identity] = look(tmp_path / identity)
    before = size(store)
    report = rotate_backups(store, rules, now=START + 5 * HOUR)
    assert report.status is ExitStatus.DONE
    assert report.freed_bytes == before - size(store) > 0
    assert verify_backups(store, now=START + 5 * HOUR).status is ExitStatus.DONE
    for identity in ids(store):
        restore(store, identity, target=tmp_path / f"{identity} after")
        assert look(tmp_path / f"{identity} after") == trees[identity]


def test_a_second_rotation_finds_nothing_to_do(store: Store) -> None:
    rotate_backups(store, LAST, now=START + 5 * HOUR)
    age(store, START + 5 * HOUR)
    before = packs(store)
    report = rotate_backups(store, LAST, now=START + 7 * HOUR)
    assert (report.removed, report.packs_removed, report.packs_repacked, report.freed_bytes) == (0, 0, 0, 0)
    assert packs(store) == before


def test_a_pack_that_nobody_needs_stays_for_an_hour(store: Store) -> None:
    (store.root / "alpha/large.bin").write_bytes(noise(99))
    backup(store, now=START + 6 * HOUR)
    for path in packs(store):
        os.utime(path, (START + 6 * HOUR, START + 6 * HOUR))
    before = packs(store)
    early = rotate_backups(store, LAST, now=START + 7 * HOUR - 1)
    assert early.removed == 4
    assert early.freed_bytes == early.packs_removed == 0
    assert packs(store) == before
    late = rotate_backups(store, LAST, now=START + 7 * HOUR + 1)
    assert late.removed == 0
    assert late.freed_bytes > 0
    assert packs(store) < before or late.packs_repacked


def test_what_is_to_be_removed_is_asked_for_once_and_only_where_something_goes(store: Store) -> None:
    asked: list[RotateReport] = []

    def refuse(report: RotateReport) -> bool:
        asked.append(report)
        return False

    before = tree_digest(store.keep)
    answer = rotate_backups(store, LAST, now=START + 5 * HOUR, confirm=refuse)
    assert tree_digest(store.keep) == before
    assert [one.removed for one in asked] == [3]
    assert "not confirmed" in answer.notes[0]
    assert rotate_backups(store, LAST, now=START + 5 * HOUR, confirm=lambda _: True).removed == 3
    asked.clear()
    rotate_backups(store, LAST, now=START + 6 * HOUR, confirm=refuse)
    assert asked == []


@pytest.mark.parametrize("harm", ["manifest", "list"])
def test_nothing_goes_while_it_cannot_be_told_what_is_needed(store: Store, harm: str) -> None:
    if harm == "manifest":
        (store.keep / f"snapshots/{ids(store)[0]}.json.gz").write_bytes(b"damaged")
    else:
        for path in packs(store):
            path.write_bytes(path.read_bytes()[:50])
    before = tree_digest(store.keep)
    for dry_run in (True, False):
        with pytest.raises(DamagedError, match="nobody can tell"):
            rotate_backups(store, LAST, now=START + 5 * HOUR, dry_run=dry_run)
    after = tree_digest(store.keep)
    assert {key: value for key, value in after.items() if key != "lock"} == {
        key: value for key, value in before.items() if key != "lock"
    }


def test_a_doubtful_clock_removes_nothing(store: Store) -> None:
    before = ids(store)
    for now in (START - 400 * 24 * HOUR, START + 400 * 24 * HOUR):
        with pytest.raises(ClockError):
            rotate_backups(store, LAST, now=now)
        seen = rotate_backups(store, LAST, now=now, dry_run=True)
        assert "--trust-clock" in seen.notes[0]
    assert ids(store) == before
    rotate_backups(store, LAST, now=START + 400 * 24 * HOUR, conditions=Conditions(trust_clock=True))
    assert ids(store) == before[-1:]


@pytest.mark.parametrize("repository", [True, False])
def test_old_archives_go_also_where_there_is_no_repository_yet(store: Store, repository: bool) -> None:
    run = "20250101T000000-0001-abcd"
    Journal(store).write(Run(run, "prune", "2026-11-20T11:00:00.000Z", "done"))
    if not repository:
        shutil.rmtree(store.keep)
    archive = store.keep / f"archives/alpha/patterns-{run}.jsonl.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"123")
    report = rotate_backups(store, now=START + 5 * HOUR)
    assert (report.archives, report.archives_bytes) == ((archive.relative_to(store.keep).as_posix(),), 3)
    assert len(report.backups) == 4 * repository
    assert not archive.exists()


def test_a_pack_with_a_damaged_chunk_that_is_needed_is_left(tmp_path: Path) -> None:
    (tmp_path / "store/alpha").mkdir(parents=True)
    gone, steady = tmp_path / "store/alpha/gone.bin", tmp_path / "store/alpha/steady.bin"
    gone.write_bytes(Random(1).randbytes(2_000_000))
    steady.write_bytes(Random(2).randbytes(1_000_000))
    store = open_store(tmp_path / "store")
    backup(store, now=START)
    gone.unlink()
    backup(store, now=START + HOUR)
    for path in packs(store):
        os.utime(path, (START, START))
    with reading(LocalFolder(store.keep)) as reader:
        listings = [one for each in reader.snapshots().readable for one in each.manifest.listings]
        (entry,) = [one for one in reader.read_listing(listings[-1]).files if one.path == "alpha/steady.bin"]
        taken = {place.member_offset for one in listings for name in one.chunks for place in places(reader, name)}
        place = next(
            place for name in entry.chunks for place in places(reader, name) if place.member_offset not in taken
        )
    path = store.keep / f"packs/{place.pack[:2]}/{place.pack}.gz"
    data = bytearray(path.read_bytes())
    data[place.member_offset + 1000] ^= 1
    path.write_bytes(data)
    os.utime(path, (START, START))
    report = rotate_backups(store, LAST, now=START + 3 * HOUR)
    assert (report.status, report.packs_left, report.packs_repacked) == (ExitStatus.PARTIAL, 1, 0)
    assert path.exists()
    assert backup(store, BackupOptions(kind="full"), now=START + 4 * HOUR).repaired
    assert not backup(store, now=START + 5 * HOUR).repaired
    assert rotate_backups(store, LAST, now=START + 6 * HOUR).status is ExitStatus.DONE
    assert not path.exists()
    assert verify_backups(store, now=START + 7 * HOUR).status is ExitStatus.DONE


def places(reader: Reader, name: str) -> list[Place]:
    return reader.index.places(bytes.fromhex(name))


def test_without_a_repository_there_is_nothing_to_rotate(store: Store) -> None:
    shutil.rmtree(store.keep)
    with pytest.raises(NotFoundError):
        rotate_backups(store, now=START)


def test_a_rotation_is_noted(store: Store) -> None:
    report = rotate_backups(store, LAST, now=START + 5 * HOUR)
    noted = last_operations(store)["rotate"]
    assert noted.counts == {"removed": 3, "freed_bytes": report.freed_bytes, "archives": 0}
    assert (noted.exit, noted.started) == (0, "2026-11-20T17:00:00.000Z")
