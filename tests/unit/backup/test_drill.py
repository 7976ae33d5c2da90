"""The drill proves a restore: it names what did not come back, compares with the store, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import gzip
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pytest

from aml.backup.drill import DrillReport
from aml.errors import DamagedError, ExitStatus, NotFoundError
from aml.ledger.operations import last_operations
from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import FileEntry, Listing
from aml.repository.repository import Reader, reading, writing
from aml.repository.snapshots import Snapshot
from aml.repository.tables import Place
from aml.store.open import Store, open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.upkeep import drill
from tests.support.records import NOW, pattern, solution
from tests.support.stores import make_store, tree_digest, write_array

START = NOW.timestamp()
FILES = {"alpha/patterns.json", "alpha/solutions.json", "alpha/large.bin", "beta/patterns.json", "global/a.json"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="a")]}, "beta": {"patterns": [pattern(id="b")]}})
    write_array(memory / "alpha/solutions.json", [solution(id="s")], form="gzip")
    (memory / "alpha/large.bin").write_bytes(Random(1).randbytes(600_000))
    (memory / "global").mkdir()
    (memory / "global/a.json").write_bytes(b"{}")
    (memory / "beta/empty").mkdir(mode=0o500)
    return open_store(memory)


@pytest.fixture
def backed_up(store: Store) -> Store:
    backup(store, now=START)
    return store


def wrong(report: DrillReport) -> dict[str, str]:
    assert report.status is (ExitStatus.DAMAGED if report.wrong else ExitStatus.DONE)
    return {one.path: one.reason for one in report.wrong}


def left(store: Store) -> list[str]:
    """What is in AML's own folder of what a drill makes."""
    return sorted(path.name for path in store.state.iterdir() if "drill" in path.name)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 8
    path.write_bytes(data)


def change(store: Store, path: str, edit: Callable[[FileEntry], FileEntry]) -> str:
    """One more backup like the last, with another entry for one file; returns its id."""
    with writing(LocalFolder(store.keep)) as writer:
        manifest = writer.snapshots().readable[-1].manifest
        listings = []
        for reference in manifest.listings:
            listing = writer.read_listing(reference)
            entries = [edit(entry) if entry.path == path else entry for entry in listing.files]
            listings.append(writer.store_listing(reference.agent, Listing(1, listing.folders, entries)))
        later = manifest.time + timedelta(hours=1)
        snapshot: Snapshot = writer.commit(
            msgspec.structs.replace(manifest, sequence=manifest.sequence + 1, time=later, listings=listings)
        )
    return snapshot.id


def test_what_is_whole_comes_back(backed_up: Store) -> None:
    report = drill(backed_up, now=START + 1)
    assert wrong(report) == {}
    assert (report.files, report.bytes) == (
        len(FILES),
        sum((backed_up.root / path).stat().st_size for path in FILES),
    )
    assert (report.snapshot, report.time) == (list_backups(backed_up).backups[0].id, "2026-11-20T12:00:00.000Z")


def test_what_has_not_changed_since_is_compared_with_the_store(store: Store) -> None:
    time.sleep(2.1)  # of what has just changed nobody can tell whether it changed again
    backup(store, now=START)
    assert drill(store, now=START + 1).compared == len(FILES)
    (store.root / "alpha/patterns.json").write_bytes(b"[]")
    (store.root / "global/a.json").unlink()
    report = drill(store, now=START + 2)
    assert wrong(report) == {}
    assert (report.files, report.compared) == (len(FILES), len(FILES) - 2)


@pytest.mark.parametrize(
    "content",
    [
        "beta/patterns.json",
        "alpha/solutions.json",
    ],
)
def test_a_store_that_rots_without_a_change_is_told(store: Store, content: str) -> None:
    time.sleep(2.1)
    backup(store, now=START)
    other = entry_of(store, content)
    change(store, "alpha/large.bin", lambda entry: msgspec.structs.replace(other, path=entry.path, stat=entry.stat))
    assert wrong(drill(store, now=START + 3)) == {
        "alpha/large.bin": "the store holds something else, though the file has not changed since"
    }


def entry_of(store: Store, path: str) -> FileEntry:
    with reading(LocalFolder(store.keep)) as reader:
        listings = reader.snapshots().readable[-1].manifest.listings
        return next(one for each in listings for one in reader.read_listing(each).files if one.path == path)


def test_a_store_that_has_other_gzip_bytes_of_the_same_content_is_the_same(store: Store) -> None:
    path = store.root / "alpha/solutions.json"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=5))
    time.sleep(2.1)
    backup(store, now=START)
    report = drill(store, now=START + 1)
    assert wrong(report) == {}
    assert report.compared == len(FILES)


def test_a_damaged_chunk_is_told_by_the_file_that_it_costs(backed_up: Store) -> None:
    large = entry_of(backed_up, "alpha/large.bin")
    with reading(LocalFolder(backed_up.keep)) as reader:
        listings = [name for one in reader.snapshots().readable[0].manifest.listings for name in one.chunks]
        taken = {place_of(reader, name).member_offset for name in listings}
        place = next(one for one in map(partial(place_of, reader), large.chunks) if one.member_offset not in taken)
    flip(backed_up.keep / f"packs/{place.pack[:2]}/{place.pack}.gz", place.member_offset + 2000)
    report = drill(backed_up, now=START + 1)
    assert "alpha/large.bin" in wrong(report)
    assert report.files == len(FILES) - len(wrong(report))
    assert left(backed_up) == []


def place_of(reader: Reader, name: str) -> Place:
    return reader.index.places(bytes.fromhex(name))[0]


def test_a_list_that_is_damaged_is_told_by_its_agent(backed_up: Store) -> None:
    with writing(LocalFolder(backed_up.keep)) as writer:
        manifest = writer.snapshots().readable[-1].manifest
        lost = [
            msgspec.structs.replace(one, chunks=["0" * 64]) if one.agent == "beta" else one for one in manifest.listings
        ]
        later = manifest.time + timedelta(hours=1)
        writer.commit(msgspec.structs.replace(manifest, sequence=2, time=later, listings=lost))
    report = drill(backed_up, now=START + 1)
    assert list(wrong(report)) == ["beta"]
    assert report.files == len(FILES) - 1


def test_an_entry_that_tells_another_content_is_found(backed_up: Store) -> None:
    change(backed_up, "global/a.json", lambda entry: msgspec.structs.replace(entry, sha256="0" * 64))
    report = drill(backed_up, now=START + 1)
    assert list(wrong(report)) == ["global/a.json"]


@pytest.mark.parametrize("damaged", [False, True])
def test_nothing_is_left_and_the_store_is_not_touched(backed_up: Store, damaged: bool) -> None:
    if damaged:
        flip(next(backed_up.keep.glob("packs/*/*")), 5000)
    before, repository = tree_digest(backed_up.root), tree_digest(backed_up.keep)
    drill_anyhow(backed_up)
    assert left(backed_up) == []
    assert tree_digest(backed_up.root) == before
    assert tree_digest(backed_up.keep) == repository


def drill_anyhow(store: Store) -> None:
    with suppress(DamagedError):
        drill(store, now=START + 1)


def test_what_a_crashed_drill_left_goes_and_what_one_at_work_holds_stays(backed_up: Store) -> None:
    backed_up.state.mkdir(exist_ok=True)
    crashed, held = (backed_up.state / f".drill.aml-tmp-{number:08x}" for number in range(2))
    (crashed / "alpha/locked").mkdir(parents=True)
    (crashed / "alpha/locked/one.json").touch()
    (crashed / "alpha/locked").chmod(0o500)
    held.mkdir()
    other = backed_up.state / "drill"
    other.mkdir()
    descriptor = os.open(held, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert wrong(drill(backed_up, now=START + 1)) == {}
        assert left(backed_up) == [held.name, other.name]
    finally:
        os.close(descriptor)
    drill(backed_up, now=START + 2)
    assert left(backed_up) == [other.name]


def test_one_of_several_backups_can_be_named(backed_up: Store) -> None:
    (backed_up.root / "global/a.json").unlink()
    second = backup(backed_up, now=START + 60)
    first = list_backups(backed_up).backups[0].id
    assert drill(backed_up, first, now=START + 61).files == len(FILES)
    report = drill(backed_up, now=START + 62)
    assert (report.snapshot, report.files) == (second.id, len(FILES) - 1)
    with pytest.raises(NotFoundError, match="there is no backup"):
        drill(backed_up, "1999", now=START + 63)


def test_without_a_backup_there_is_nothing_to_prove(store: Store) -> None:
    with pytest.raises(NotFoundError):
        drill(store, now=START)


def test_a_drill_is_noted(backed_up: Store) -> None:
    report = drill(backed_up, now=START + 1)
    noted = last_operations(backed_up)["drill"]
    assert (noted.exit, noted.subject, noted.started) == (0, report.snapshot, "2026-11-20T12:00:01.000Z")
    assert noted.counts == {"files": len(FILES), "compared": report.compared, "wrong": 0}
