"""A repository of format 1 as it was once written: every AML lists, verifies, restores, goes on with and rotates it."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from aml.backup.keep import KeepRules
from aml.errors import ExitStatus
from aml.repository.check import Tier
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import reading
from aml.store.open import Store, open_store
from aml.workflows.backup import backup, diff_backups, list_backups, show_backup
from aml.workflows.restore import restore
from aml.workflows.upkeep import drill, rotate_backups, verify_backups
from tests.contract.recovering import restore_with_script
from tests.support.golden_repository import (
    GOLDEN,
    HOST,
    HOUR,
    NAME,
    SOURCE,
    START,
    expectations,
    generate,
    look,
    unpack,
)
from tests.support.stores import tree_digest

BACKUPS = expectations()
IDS = [one["id"] for one in BACKUPS]
NEWEST = BACKUPS[-1]
LATER = START + 48 * HOUR

Tree = dict[str, dict[str, Any]]

each_backup = pytest.mark.parametrize("expected", BACKUPS, ids=IDS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store with a copy of the golden repository."""
    unpack(tmp_path)
    (tmp_path / ".loom/memory").mkdir()
    return open_store(tmp_path / ".loom/memory")


def files_of(tree: Tree) -> Tree:
    return {path: one for path, one in tree.items() if "sha256" in one}


def said(path: str) -> str:
    """A path as AML shows it."""
    return os.fsencode(path).decode(errors="replace")


def restored(store: Store, identity: str, target: Path) -> Tree:
    report = restore(store, identity, target=target, now=LATER)
    (expected,) = [one for one in BACKUPS if one["id"] == identity]
    assert sorted(said(one.path) for one in report.left) == sorted(map(said, expected["unread"]))
    assert report.status is (ExitStatus.PARTIAL if expected["unread"] else ExitStatus.DONE)
    return look(target)


def test_the_golden_files_are_small_and_plain() -> None:
    path = GOLDEN / f"{NAME}.tar.gz"
    assert path.stat().st_size < 300_000
    with tarfile.open(path) as archive:
        names = [entry.name for entry in archive]
        for entry in archive:
            assert entry.isreg()
            if entry.name.startswith(("packs/", "index/")):
                stream = archive.extractfile(entry)
                assert stream is not None
                assert hashlib.sha256(stream.read()).hexdigest() == Path(entry.name).name.partition(".")[0]
    assert [name for name in names if name.startswith("snapshots/")] == [f"snapshots/{one}.json.gz" for one in IDS]
    assert sum(name.startswith("index/") for name in names) > 1
    assert sum(name.startswith("packs/") for name in names) > 1


def test_it_holds_one_of_each_kind(store: Store) -> None:
    with reading(LocalFolder(store.keep)) as reader:
        manifests = [one.manifest for one in reader.snapshots().readable]
        entries = [entry for one in manifests for each in one.listings for entry in reader.read_listing(each).files]
        assert any(len(table.members) > 1 for table in reader.index.tables.values())
    assert max(len(entry.chunks) for entry in entries) > 3
    assert min(len(entry.chunks) for entry in entries) == 0
    assert {entry.form for entry in entries} == {"plain", "gzip"}
    for name in ("damaged", "path_hex", "stat", "records", "schema"):
        assert {getattr(entry, name) is None for entry in entries} == {True, False}, name
    assert [one.clock_doubted for one in manifests] == [bool(one["unread"]) for one in BACKUPS]
    assert {one.source for one in manifests} == {SOURCE}
    assert any(unread.path_hex for one in manifests for unread in one.unread)
    assert all(one.redactions == [] for one in manifests)


def test_the_generator_still_makes_its_like(tmp_path: Path) -> None:
    generate(tmp_path)
    made = json.loads((tmp_path / f"{NAME}.json").read_text(encoding="ascii"))
    assert [one | {"id": ""} for one in made] == [one | {"id": ""} for one in BACKUPS]
    with pytest.raises(FileExistsError):
        generate(tmp_path)


def test_the_list_tells_what_each_backup_is(store: Store) -> None:
    found = list_backups(store)
    assert found.status is ExitStatus.DONE
    assert [one.id for one in found.backups] == IDS
    parents = [None, IDS[0], None, IDS[1], IDS[1]]
    for number, (line, expected, parent) in enumerate(zip(found.backups, BACKUPS, parents, strict=True), 1):
        assert (line.sequence, line.kind, line.parent) == (number, expected["kind"], parent)
        assert (line.agents and list(line.agents), list(line.tags)) == (expected["agents"], expected["tags"])
        assert (line.description, line.host) == (expected["description"], HOST)
        assert line.complete is not bool(expected["unread"])
        assert line.files == len(files_of(expected["tree"]))
    assert [one.id for one in list_backups(store, tags=("auto",)).backups] == [IDS[1], IDS[4]]


@pytest.mark.parametrize("tier", ["quick", "packs", "sample", "deep"])
def test_it_is_whole(store: Store, tier: Tier) -> None:
    before = tree_digest(store.keep)
    report = verify_backups(store, tier=tier, now=LATER)
    assert (report.status, report.findings) == (ExitStatus.DONE, ())
    assert report.snapshots == len(BACKUPS)
    after = tree_digest(store.keep)
    assert after.keys() - before.keys() <= {"lock"}
    assert before.items() <= after.items()


@each_backup
def test_one_is_shown(store: Store, expected: dict[str, Any]) -> None:
    details = show_backup(store, expected["id"], files=True)
    files = files_of(expected["tree"])
    assert {one.path for one in details.files} == set(map(said, files))
    assert {one.path for one in details.folders} == set(map(said, expected["tree"].keys() - files.keys()))
    assert {one.path for one in details.unread} == set(map(said, expected["unread"]))
    assert [one.path for one in details.damaged] == ["alpha/decisions.json"]
    for entry in details.files:
        one = files[entry.location]
        assert (entry.form, entry.mode, entry.mtime_ns) == ("gzip" if one.get("gzip") else "plain", *times(one))
        assert (entry.stored_sha256, entry.stored_size) == (one["sha256"], one["size"])
    assert details.schemas


def times(one: dict[str, Any]) -> tuple[int, int]:
    return one["mode"], one["mtime_ns"]


def test_two_are_compared(store: Store) -> None:
    for before, after in ((BACKUPS[0], BACKUPS[1]), (BACKUPS[1], BACKUPS[4]), (BACKUPS[4], BACKUPS[0])):
        one, other = files_of(before["tree"]), files_of(after["tree"])
        expected = {said(path): "removed" for path in one.keys() - other.keys()}
        expected |= {said(path): "added" for path in other.keys() - one.keys()}
        common = one.keys() & other.keys()
        expected |= {said(path): "changed" for path in common if one[path]["sha256"] != other[path]["sha256"]}
        report = diff_backups(store, before["id"], after["id"])
        assert {file.path: file.what for file in report.files} == expected
    (patterns,) = [one for one in diff_backups(store, IDS[0], IDS[1]).files if one.path == "alpha/patterns.json"]
    assert (patterns.records_before, patterns.records_after, patterns.records_removed) == (300, 298, 2)


@each_backup
def test_each_comes_back_as_it_was(store: Store, tmp_path: Path, expected: dict[str, Any]) -> None:
    assert restored(store, expected["id"], tmp_path / "target") == expected["tree"]


@each_backup
def test_each_comes_back_without_aml(store: Store, tmp_path: Path, expected: dict[str, Any]) -> None:
    done = restore_with_script(store.keep, expected["id"], tmp_path / "target")
    assert done.returncode == (3 if expected["unread"] else 0), done.stderr
    assert look(tmp_path / "target") == expected["tree"]


def test_each_comes_back_from_the_packs_alone(store: Store, tmp_path: Path) -> None:
    for path in [*store.keep.glob("index/*"), store.keep / "repository.json"]:
        path.unlink()
    for expected in BACKUPS:
        assert restored(store, expected["id"], tmp_path / expected["id"]) == expected["tree"]


def test_a_store_comes_back_in_place_and_a_drill_succeeds(store: Store) -> None:
    assert restore(store, now=LATER).snapshot == NEWEST["id"]
    assert look(store.root) == NEWEST["tree"]
    report = drill(store, NEWEST["id"], now=LATER)
    assert (report.status, report.wrong, report.files) == (ExitStatus.DONE, (), len(files_of(NEWEST["tree"])))


def test_an_incremental_backup_goes_on_from_it(store: Store, tmp_path: Path) -> None:
    store.root.rmdir()  # else what it holds, nothing, would be backed up first
    restore(store, now=LATER)
    (store.root / "alpha/notes/new.md").write_bytes(b"# Newer\n")
    report = backup(store, now=LATER)
    assert (report.status, report.kind, report.parent) == (ExitStatus.DONE, "incremental", NEWEST["id"])
    assert (report.sequence, report.new, report.changed, report.removed) == (len(BACKUPS) + 1, 0, 1, 0)
    assert report.added_bytes < report.bytes / 10, "what was stored then is not stored again"
    assert not [note for note in report.notes if SOURCE in note]
    assert verify_backups(store, now=LATER).status is ExitStatus.DONE
    for expected in BACKUPS:
        assert restored(store, expected["id"], tmp_path / expected["id"]) == expected["tree"]
    assert restore(store, report.id, target=tmp_path / "new").status is ExitStatus.DONE
    assert look(tmp_path / "new") == look(store.root)


def test_a_rotation_keeps_what_it_says(store: Store, tmp_path: Path) -> None:
    rules = KeepRules(last=1, tags=("weekly",))
    seen = rotate_backups(store, rules, now=LATER, dry_run=True)
    report = rotate_backups(store, rules, now=LATER)
    assert report.status is ExitStatus.DONE
    assert report.backups == seen.backups
    kept = [IDS[0], IDS[2], IDS[4]]
    assert [one.id for one in report.backups if one.keep] == kept
    assert [one.id for one in list_backups(store).backups] == kept
    assert verify_backups(store, now=LATER).status is ExitStatus.DONE
    for identity in kept:
        (expected,) = [one for one in BACKUPS if one["id"] == identity]
        assert restored(store, identity, tmp_path / identity) == expected["tree"]
        assert restore_with_script(store.keep, identity, tmp_path / f"{identity} script").returncode == 0
        assert look(tmp_path / f"{identity} script") == expected["tree"]
