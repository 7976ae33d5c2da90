"""Hazards of restoring from what is damaged, or lies elsewhere than it did: all, or what is whole, or nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.running import aml, kept
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    flip,
    ids_in,
    memory_of,
    packs_of,
    plain_array,
    project_in,
    repository_of,
    restored,
    tree,
    write_noise,
)
from tests.support.stores import tree_digest, write_array

# ---- H42: a damaged backup


def _two_packs(project: Path) -> tuple[str, Path]:
    """A backup of which one pack holds all but the agent gamma, and another that; returns it and that pack.

    Its first members hold records alone, the last ones gamma's list of files and the table of contents.
    """
    create_backup(project)
    first = packs_of(project)
    write_noise(project, "gamma")
    backup = create_backup(project, now=at(days=1))
    (pack,) = packs_of(project) - first
    return backup, pack


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "swapped"])
def test_h42_a_restore_from_a_damaged_backup_changes_nothing(tmp_path: Path, damage: str) -> None:
    """H42: a restore from a damaged backup overwrote the live file with a fragment."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup, pack = _two_packs(project)
    was = tree(memory)
    _damage(pack, damage, next(iter(packs_of(project) - {pack})))
    for agent in ("alpha", "gamma"):
        (memory / agent / "patterns.json").write_bytes(plain_array("live"))
    before = tree_digest(memory)
    for words in ([], ["--target", str(tmp_path / "out")]):
        answer = aml(project, "backup", "restore", backup, *words, now=at(days=2))
        assert answer.status == 12, answer.err
        assert tree_digest(memory) == before
        assert not (tmp_path / "out").exists()
    skipped = aml(project, "backup", "restore", backup, "--skip-damaged", now=at(days=3))
    assert skipped.status == 3
    assert "gamma" in skipped.err
    after = tree(memory)
    assert after["alpha/patterns.json"] == was["alpha/patterns.json"], "all else is restored"
    assert after["gamma/patterns.json"] == plain_array("live"), "no fragment, and not removed either"
    out = aml(project, "backup", "restore", backup, "--skip-damaged", "--target", str(tmp_path / "out"))
    assert out.status == 3
    assert {path: data for path, data in tree(tmp_path / "out").items() if data is not None} == {
        path: data for path, data in was.items() if data is not None and not path.startswith("gamma")
    }


def _damage(pack: Path, damage: str, other: Path) -> None:
    if damage == "flipped":
        flip(pack, 40)
    elif damage == "truncated":
        pack.write_bytes(pack.read_bytes()[:60])
    else:
        pack.write_bytes(b"" if damage == "empty" else other.read_bytes())


def test_h42_wherever_the_bit_lies_no_fragment_comes_out(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    backup, pack = _two_packs(project)
    was, data = tree(memory_of(project)), pack.read_bytes()
    for number, place in enumerate(range(5, len(data), max(1, len(data) // 12))):
        flip(pack, place)
        out = tmp_path / f"out{number}"
        answer = aml(project, "backup", "restore", backup, "--skip-damaged", "--target", str(out))
        assert answer.status in (0, 3)
        came = tree(out)
        assert all(came[path] == was[path] for path in came), place
        assert (came == was) or answer.status == 3
        pack.write_bytes(data)


def test_h42_the_next_backup_mends_what_the_store_still_has(tmp_path: Path) -> None:
    """H42: a report of damage names pack, backup and files, and the next command, which helps."""
    project = project_in(tmp_path)
    backup, pack = _two_packs(project)
    was = tree(memory_of(project))
    flip(pack, 40)
    found = aml(project, "backup", "verify", now=at(days=2))
    assert found.status == 12
    for part in (pack.name.removesuffix(".gz"), backup, "gamma/patterns.json", "aml backup create --full"):
        assert part in found.err, part
    refused = aml(project, "backup", "restore", backup, "--target", str(tmp_path / "refused"))
    for part in (backup, "gamma/patterns.json", "--skip-damaged"):
        assert part in refused.err, part
    assert data_of(project, "create", "--full", now=at(days=3))["repaired"] > 0
    assert restored(project, backup, tmp_path / "out") == was


def test_h42_a_pack_that_is_gone_is_damage(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    backup, pack = _two_packs(project)
    pack.unlink()
    before = tree_digest(memory_of(project))
    for words in (["restore", backup], ["restore", backup, "--target", "out"], ["show", backup], ["diff", backup]):
        answer = aml(project, "backup", *words, now=at(days=2))
        assert tree_digest(memory_of(project)) == before
        assert answer.status == 12, words


def test_h42_a_damaged_list_of_files_is_told_with_the_agent_and_the_way_on(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    backup, pack = _two_packs(project)
    pack.write_bytes(b"")
    answer = aml(project, "backup", "restore", backup, "--target", str(tmp_path / "out"))
    assert answer.status == 12
    for part in (backup, "gamma", "--skip-damaged"):
        assert part in answer.err, part


def test_h42_a_damaged_list_of_files_stops_no_restore_of_the_rest(tmp_path: Path) -> None:
    """H42: in place too, where the agent of that list has not changed since."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    write_array(memory / "gamma/patterns.json", [kept("g")])
    create_backup(project, "--agent", "gamma")
    (pack,) = packs_of(project)
    backup, was = create_backup(project, now=at(days=1)), tree(memory)
    flip(pack, 40)
    (memory / "alpha/patterns.json").write_bytes(b"[]")
    answer = aml(project, "backup", "restore", backup, "--skip-damaged", now=at(days=2))
    # the backup of what is replaced wrote that list again, since its agent has not changed
    assert answer.status == 0, answer.err
    assert tree(memory) == was


def test_h42_the_damaged_list_of_what_belongs_to_no_agent_stops_no_agent(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    create_backup(project, "--agent", "alpha")
    create_backup(project, "--agent", "beta")
    others = packs_of(project)
    backup, was = create_backup(project, now=at(days=1)), tree(memory)
    (pack,) = packs_of(project) - others
    flip(pack, 40)
    for name in ("alpha/patterns.json", "global/conventions.json"):
        (memory / name).write_bytes(b"[]")
    out = tmp_path / "out"
    aside = aml(project, "backup", "restore", backup, "--skip-damaged", "--target", str(out))
    assert aside.status == 3, aside.err
    assert tree(out) == {path: data for path, data in was.items() if path.startswith(("alpha", "beta"))}
    answer = aml(project, "backup", "restore", backup, "--skip-damaged", now=at(days=2))
    assert answer.status == 3, answer.err
    assert tree(memory) == was | {"global/conventions.json": b"[]"}, "what is not known is left alone"


def test_h42_a_backup_that_meets_a_damaged_list_of_files_is_whole_itself(tmp_path: Path) -> None:
    """H42: what a backup has just found damaged must not be what it rests on."""
    project = project_in(tmp_path)
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    create_backup(project, "--agent", "gamma")
    (pack,) = packs_of(project)
    create_backup(project, now=at(days=1))
    flip(pack, 40)
    following = create_backup(project, now=at(days=2))
    assert restored(project, following, tmp_path / "out") == tree(memory_of(project))


# ---- H43: a project that moved


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_h43_a_project_that_moved_is_restored(tmp_path: Path, how: str) -> None:
    """H43: after moving the project, restore restored 0 files and said successful."""
    project = project_in(tmp_path / "old place/p")
    backup, was = create_backup(project), tree(memory_of(project))
    elsewhere = tmp_path / "new/place"
    if how == "moved":
        elsewhere.parent.mkdir()
        os.rename(project, elsewhere)
    else:
        shutil.copytree(project, elsewhere)
        shutil.rmtree(project)
    memory = memory_of(elsewhere)
    (memory / "alpha/patterns.json").write_bytes(b"[]")
    shutil.rmtree(memory / "beta")
    report = data_of(elsewhere, "restore", backup, now=at(days=1))
    assert {(one["path"], one["what"]) for one in report["files"]} == {
        ("alpha/patterns.json", "changed"),
        ("beta/patterns.json", "added"),
    }
    assert tree(memory) == was
    assert not (tmp_path / "old place/p").exists(), "nothing is written where the project once was"
    following = data_of(elsewhere, "create", now=at(days=2))
    assert (following["kind"], following["added_bytes"]) == ("incremental", 0)


def test_h43_a_store_that_is_gone_comes_back_whole(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup, was = create_backup(project), tree(memory)
    shutil.rmtree(memory)
    assert ids_in(project) == [backup]
    answer = aml(project, "backup", "restore", "latest", now=at(days=1))
    assert answer.status == 0, answer.err
    assert tree(memory) == was
    assert ids_in(project) == [backup], "there was nothing to back up first"


def test_h43_a_repository_elsewhere_restores_another_project(tmp_path: Path) -> None:
    """H43: no absolute path decides anything, neither the store's nor the repository's."""
    project = project_in(tmp_path / "p")
    create_backup(project)
    was = tree(memory_of(project))
    shutil.move(repository_of(project), tmp_path / "carried")
    other = tmp_path / "other"
    (other / ".loom/memory").mkdir(parents=True)
    answer = aml(other, "--repository", str(tmp_path / "carried"), "backup", "restore", "latest", now=at(days=1))
    assert answer.status == 0, answer.err
    assert tree(memory_of(other)) == was
