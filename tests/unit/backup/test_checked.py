"""The memory of verification: what a check found is known to the next one, and to the backup that mends it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aml.backup.checked import Checked, load_checked, save_checked
from aml.backup.keep import KeepRules
from aml.errors import ExitStatus
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import describe
from aml.store.open import Store, open_store
from aml.workflows.backup import backup
from aml.workflows.upkeep import rotate_backups, verify_backups
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, write_array

START = NOW.timestamp()
FULL = Checked({"aa": START}, ["bb"], ["cc"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that was backed up three times, into a pack for each."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p")]}})
    opened = open_store(memory)
    for number in range(3):
        write_array(memory / f"alpha/more-{number}.json", [pattern(id=f"{number}")])
        backup(opened, now=START + number)
    return opened


def packs(store: Store) -> list[Path]:
    return sorted(store.keep.glob("packs/*/*.gz"))


def known(store: Store) -> Checked:
    return load_checked(store, describe(LocalFolder(store.keep)).id)


def harm(path: Path) -> bytes:
    """Flip a bit in a pack's first member; returns what it held."""
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 4]) + whole[21:])
    return whole


def test_nothing_is_known_at_first_and_looking_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    assert load_checked(open_store(tmp_path / "memory"), "one") == Checked()
    assert not (tmp_path / "memory.aml").exists()


def test_what_is_saved_is_known_of_that_repository_alone(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    store = open_store(tmp_path / "memory")
    save_checked(store, "one", FULL)
    assert load_checked(store, "one") == FULL
    assert load_checked(store, "two") == Checked()
    save_checked(store, "two", Checked(damaged_packs=["dd"]))
    assert load_checked(store, "one") == FULL
    assert load_checked(store, "two") == Checked(damaged_packs=["dd"])
    assert (store.state / "verified.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"one": 1}', b"\xff", b'{"one": {"packs": 1}}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memory").mkdir()
    store = open_store(tmp_path / "memory")
    save_checked(store, "one", FULL)
    (store.state / "verified.json").write_bytes(content)
    assert load_checked(store, "one") == Checked()
    save_checked(store, "one", FULL)
    assert load_checked(store, "one") == FULL


def test_a_backup_counts_its_packs_as_checked_since_it_read_them_back(store: Store) -> None:
    assert known(store).packs == {path.stem: START + number for number, path in enumerate(by_age(store))}


def by_age(store: Store) -> list[Path]:
    return sorted(packs(store), key=lambda path: path.stat().st_mtime_ns)


def test_a_sample_goes_on_with_what_was_checked_longest_ago(store: Store) -> None:
    for number, path in enumerate(by_age(store)):
        report = verify_backups(store, tier="sample", sample=0.3, now=START + 100 + number)
        assert (report.packs, report.packs_total) == (1, 3)
        assert known(store).packs[path.stem] == START + 100 + number
    assert {*known(store).packs.values()} == {START + 100, START + 101, START + 102}


@pytest.mark.parametrize(("tier", "remembers"), [("deep", True), ("sample", True), ("packs", False), ("quick", False)])
def test_only_what_was_unpacked_counts_as_checked(store: Store, tier: str, remembers: bool) -> None:
    before = known(store)
    verify_backups(store, tier=tier, sample=1.0, now=START + 100)  # type: ignore[arg-type]
    packs_then = dict.fromkeys(before.packs, START + 100) if remembers else before.packs
    assert known(store) == Checked(packs_then)


@pytest.mark.parametrize("tier", ["deep", "sample", "packs"])
def test_damage_is_remembered_until_a_backup_mends_it(store: Store, tier: str) -> None:
    path = by_age(store)[0]
    harm(path)
    assert verify_backups(store, tier=tier, sample=1.0, now=START + 100).status is ExitStatus.DAMAGED  # type: ignore[arg-type]
    found = known(store)
    assert found.damaged_packs == [path.stem]
    assert found.damaged_chunks
    assert found.packs[path.stem] == START, "it is as old as when it was last whole"
    report = backup(store, now=START + 200)
    assert 0 < report.repaired <= len(found.damaged_chunks)
    assert len(known(store).damaged_chunks) == len(found.damaged_chunks) - report.repaired
    assert known(store).damaged_packs == [path.stem], "it is still there"


def test_a_pack_that_is_whole_again_is_damaged_no_more(store: Store) -> None:
    path = packs(store)[0]
    whole = harm(path)
    verify_backups(store, now=START + 100)
    assert known(store).damaged_packs == [path.stem]
    path.write_bytes(whole)
    assert verify_backups(store, now=START + 101).status is ExitStatus.DONE
    assert known(store).damaged_packs == []
    assert known(store).packs[path.stem] == START + 101


def test_what_the_store_has_no_more_stays_on_the_list(store: Store) -> None:
    for path in (store.root / "alpha").iterdir():
        path.unlink()
    path = by_age(store)[0]
    harm(path)
    verify_backups(store, now=START + 100)
    before = known(store).damaged_chunks
    backup(store, now=START + 200)
    assert known(store).damaged_chunks
    assert {*known(store).damaged_chunks} <= {*before}
    assert verify_backups(store, now=START + 300).status is ExitStatus.DAMAGED


def test_what_another_repository_found_is_not_held_against_this_one(store: Store) -> None:
    harm(packs(store)[0])
    verify_backups(store, now=START + 100)
    store.keep.rename(store.keep.with_name("away"))
    assert backup(store, now=START + 200).repaired == 0
    assert known(store).damaged_packs == []
    assert [*known(store).packs] == [path.stem for path in packs(store)]


def test_a_rotation_forgets_what_is_gone(store: Store) -> None:
    old = by_age(store)[0]
    harm(old)
    verify_backups(store, now=START + 100)
    backup(store, now=START + 200)
    for path in packs(store):
        os.utime(path, (START, START))
    before = known(store).packs
    rotate_backups(store, KeepRules(last=1), now=START + 7200)
    assert not old.exists()
    assert known(store).damaged_packs == []
    left = {path.stem for path in packs(store)}
    assert {*known(store).packs} <= left
    assert {name: when for name, when in before.items() if name in left} == known(store).packs


def test_a_rotation_remembers_what_is_still_there(store: Store) -> None:
    verify_backups(store, now=START + 100)
    before = Checked(known(store).packs, [by_age(store)[-1].stem])
    assert len(before.packs) == 3
    save_checked(store, describe(LocalFolder(store.keep)).id, before)
    rotate_backups(store, KeepRules(last=9), now=START + 200)
    assert known(store) == before
    assert verify_backups(store, now=START + 7300).status is ExitStatus.DONE


def test_what_two_checks_find_at_once_is_kept_of_both(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    store = open_store(tmp_path / "memory")
    save_checked(store, "one", Checked({"aa": START, "bb": START}, ["pp"], ["c1", "c2"]))
    first, second = load_checked(store, "one"), load_checked(store, "one")
    second.packs |= {"aa": START + 5, "cc": START + 5}
    second.damaged_packs, second.damaged_chunks = ["qq"], ["c1", "c2", "c3"]
    save_checked(store, "one", second)
    del first.packs["aa"]
    first.packs["dd"] = START + 4
    first.damaged_chunks.remove("c1")
    save_checked(store, "one", first)
    expected = Checked({"bb": START, "cc": START + 5, "dd": START + 4}, ["qq"], ["c2", "c3"])
    assert load_checked(store, "one") == expected
