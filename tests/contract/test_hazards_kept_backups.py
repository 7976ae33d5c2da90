"""Hazards of keeping backups: none depends on another, none overwrites another, and no more stay than are wanted."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.cli.running import aml, kept
from tests.contract.backing_up import (
    DAY,
    at,
    create_backup,
    data_of,
    ids_in,
    manifest_path,
    memory_of,
    packs_of,
    project_in,
    repository_of,
    restored,
    tree,
)
from tests.support.stores import write_array


def test_h13_a_backup_outlives_the_one_it_builds_on(tmp_path: Path) -> None:
    """H13: rotation deleted a parent under a live incremental; verify still said that all was fine."""
    project = project_in(tmp_path / "p")
    memory, start = memory_of(project), time.time()
    create_backup(project, now=start)
    trees = {}
    for day in (1, 2, 3):
        write_array(memory / f"agent-{day}/patterns.json", [kept(f"r{day}")])
        (memory / "global/conventions.json").write_bytes(b'{"day": %d}' % day)
        trees[create_backup(project, now=start + day * DAY)] = tree(memory)
    _, middle, newest = trees
    answer = aml(project, "backup", "rotate", "--keep-last", "2", now=start + 4 * DAY)
    assert answer.status == 0
    assert ids_in(project) == [middle, newest]
    assert data_of(project, "show", middle)["backup"]["parent"] not in ids_in(project)
    assert aml(project, "backup", "verify", now=start + 4 * DAY).status == 0
    for number, backup in enumerate((middle, newest)):
        assert restored(project, backup, tmp_path / f"out{number}") == trees[backup]
    following = create_backup(project, now=start + 5 * DAY)
    assert restored(project, following, tmp_path / "following") == tree(memory)


def test_h13_what_is_missing_from_a_repository_is_noticed(tmp_path: Path) -> None:
    """H13: verify must not call a backup fine of which a part is gone."""
    project = project_in(tmp_path / "p")
    create_backup(project)
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    first = packs_of(project)
    create_backup(project, now=at(days=1))
    for path in first:
        path.unlink()
    for words in (["verify"], ["verify", "--quick"], ["verify", "--packs"], ["verify", "latest"]):
        answer = aml(project, "backup", *words, now=at(days=1))
        assert answer.status == 12, words
        assert "alpha/patterns.json" in answer.err or "list of files" in answer.err, words


def test_h14_two_backups_at_one_moment_are_two(tmp_path: Path) -> None:
    """H14: two backups in one second shared an id, and the second overwrote the first."""
    project = project_in(tmp_path / "p")
    trees = {}
    for number in range(4):
        (memory_of(project) / "global/conventions.json").write_bytes(b"%d" % (number // 2))
        trees[create_backup(project)] = tree(memory_of(project))
    assert len(trees) == 4, "same clock, and for half of them the same content"
    assert ids_in(project) == list(trees), "in the order in which they were made"
    for number, (backup, was) in enumerate(trees.items()):
        assert restored(project, backup, tmp_path / f"out{number}") == was
    assert data_of(project, "show", "latest")["backup"]["id"] == list(trees)[-1]


@pytest.mark.parametrize(
    ("damage", "which"),
    [("truncated", 0), ("truncated", 2), ("empty", 1), ("garbage", 1), ("swapped", 1), ("a folder", 1)],
)
def test_h41_a_damaged_manifest_hides_no_other_backup(tmp_path: Path, damage: str, which: int) -> None:
    """H41: a truncated catalogue showed 0 backups, and the next backup orphaned the old ones."""
    project = project_in(tmp_path / "p")
    trees = {}
    for number in range(3):
        (memory_of(project) / "global/conventions.json").write_bytes(b"%d" % number)
        trees[create_backup(project, now=at(days=number))] = tree(memory_of(project))
    names = list(trees)
    path, other = manifest_path(project, names[which]), manifest_path(project, names[which - 1])
    data = {"truncated": path.read_bytes()[:-5], "empty": b"", "garbage": os.urandom(300)}
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data.get(damage, other.read_bytes()))
    whole = [name for name in names if name != names[which]]
    listed = aml(project, "backup", "list")
    assert all(name in listed.out for name in whole)
    assert ids_in(project) == whole
    if damage != "a folder":
        assert listed.status == 12
        assert names[which] in listed.err, "which one cannot be read is told"
        broken = aml(project, "backup", "restore", names[which])
        assert broken.status == 12
        assert aml(project, "backup", "verify").status == 12
        rotated = aml(project, "backup", "rotate", "--keep-last", "1", now=at(days=3))
        assert rotated.status == 12, "nobody can tell which packs the damaged one needs"
        assert ids_in(project) == whole
    following = create_backup(project, now=at(days=4))
    assert ids_in(project) == [*whole, following]
    for number, name in enumerate(whole):
        assert restored(project, name, tmp_path / f"out{number}") == trees[name]
    assert restored(project, following, tmp_path / "following") == tree(memory_of(project))


@pytest.mark.parametrize("lost", ["index", "repository.json", "both"])
def test_h41_nothing_but_packs_and_manifests_is_needed(tmp_path: Path, lost: str) -> None:
    """H41: what can be told from the rest is no single point of failure."""
    project = project_in(tmp_path / "p")
    backup, was = create_backup(project), tree(memory_of(project))
    if lost in ("index", "both"):
        shutil.rmtree(repository_of(project) / "index")
    if lost in ("repository.json", "both"):
        (repository_of(project) / "repository.json").unlink()
    assert restored(project, backup, tmp_path / "out") == was
    following = create_backup(project, now=at(days=1))
    assert ids_in(project) == [backup, following]
    assert data_of(project, "show", following)["backup"]["parent"] == backup
    assert aml(project, "backup", "verify", now=at(days=1)).status == 0


@pytest.mark.parametrize("by", ["flag", "settings", "variable", "auto"])
def test_h49_no_more_backups_stay_than_are_wanted(tmp_path: Path, by: str) -> None:
    """H49: max_backups was never read."""
    project = project_in(tmp_path)
    names = [create_backup(project, now=at(seconds=number)) for number in range(5)]
    if by in ("settings", "auto"):
        (project / ".loom/aml.toml").write_text("[rotate]\nmax_backups = 2\n", encoding="utf-8")
    environment = {"AML_ROTATE_MAX_BACKUPS": "2"} if by == "variable" else {}
    words = {"flag": ["rotate", "--max-backups", "2"], "auto": ["auto"]}.get(by, ["rotate"])
    answer = aml(project, "backup", *words, environment=environment, now=at(seconds=10))
    assert answer.status == 0
    left = ids_in(project)
    assert len(left) == 2, "all five are younger than 30 days, which the limit overrules"
    assert left == names[-2:] if by != "auto" else left[0] == names[-1]


def test_h49_tagged_backups_go_last_and_the_newest_never(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    tagged = create_backup(project, "--tag", "release")
    others = [create_backup(project, now=at(seconds=number + 1)) for number in range(3)]
    assert aml(project, "backup", "rotate", "--max-backups", "2", now=at(seconds=10)).status == 0
    assert ids_in(project) == [tagged, others[-1]]
    assert aml(project, "backup", "rotate", "--max-backups", "1", now=at(seconds=10)).status == 0
    assert ids_in(project) == [others[-1]]
