"""``aml backup restore``: which backup, which part, where to, and what it says."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, kept
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    ids_in,
    memory_of,
    plain_array,
    project_in,
    repository_of,
    tree,
)
from tests.support.records import NOW
from tests.support.stores import read_array, tree_digest, write_array


@pytest.fixture
def vienna() -> Iterator[None]:
    """Local time is one hour before UTC in winter, two in summer; clocks went back on 2026-10-25."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Vienna"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


# ---- which backup


@pytest.mark.usefixtures("vienna")
def test_at_means_the_newest_made_at_or_before(tmp_path: Path) -> None:
    """NOW is 2026-11-20 12:00 UTC, 13:00 in Vienna."""
    project = project_in(tmp_path)
    names = [create_backup(project, now=at(seconds=seconds)) for seconds in (0, 3600, 86_400)]
    now = at(days=2)
    for typed, which, utc in (
        ("2026-11-20T13:00", 0, "2026-11-20T12:00:00Z"),
        ("2026-11-20T12:59:59Z", 0, "2026-11-20T12:59:59Z"),
        ("2026-11-20 14:00:00", 1, "2026-11-20T13:00:00Z"),
        ("2026-11-20T14:00+01:00", 1, "2026-11-20T13:00:00Z"),
        ("2026-11-20", 1, "2026-11-20T22:59:59Z"),
        ("2026-11-21", 2, "2026-11-21T22:59:59Z"),
        ("47h30m", 0, "2026-11-20T12:30:00Z"),
        ("1d", 2, "2026-11-21T12:00:00Z"),
        ("2030-01-01T00:00Z", 2, "2030-01-01T00:00:00Z"),
    ):
        answer = aml(project, "backup", "restore", "--at", typed, "--dry-run", now=now)
        assert answer.status == 0, typed
        assert names[which] in answer.out, typed
        assert utc in answer.err, "the UTC time is echoed"
    early = aml(project, "backup", "restore", "--at", "2026-11-20T12:00", now=now)
    assert early.status == 1
    assert "2026-11-20T11:00:00Z" in early.err
    assert names[0] not in early.out


@pytest.mark.usefixtures("vienna")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2026-10-25T02:30", ["comes twice", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
        ("2026-03-29T02:30", ["does not exist"]),
        ("2026-13-01", ["2026-13-01"]),
        ("3", ["'3'", "3d"]),
        ("yesterday", ["yesterday", "ISO 8601"]),
        ("-3d", ["3d"]),
    ],
)
def test_a_time_that_means_two_things_or_none_is_refused(tmp_path: Path, typed: str, said: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = tree_digest(tmp_path)
    answer = aml(project, "backup", "restore", f"--at={typed}")
    assert answer.status == 2
    for part in said:
        assert part in answer.err
    assert tree_digest(tmp_path) == before


def test_at_skips_what_restores_made_and_latest_too(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    first = create_backup(project)
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    second = create_backup(project, now=at(days=1))
    made = data_of(project, "restore", first, now=at(days=2))["backup"]
    assert made in ids_in(project)
    for words in (["latest"], ["--at", "2026-12-01T00:00Z"], ["--at", "0s"]):
        assert data_of(project, "restore", *words, "--dry-run", now=at(days=3))["snapshot"] == second
    assert data_of(project, "restore", made, "--dry-run", now=at(days=3))["snapshot"] == made, "by its id it is had"


# ---- which part


def _changed_everywhere(project: Path) -> None:
    memory = memory_of(project)
    for name in ("alpha", "beta"):
        (memory / name / "patterns.json").write_bytes(plain_array("changed"))
        write_array(memory / name / "solutions.json", [kept("extra")])
    (memory / "global/conventions.json").write_bytes(b"null")


@pytest.mark.parametrize(
    ("words", "touched"),
    [
        (["--agent", "alpha"], {"alpha/patterns.json", "alpha/solutions.json"}),
        (["--path", "alpha"], {"alpha/patterns.json", "alpha/solutions.json"}),
        (["--path", "alpha/patterns.json"], {"alpha/patterns.json"}),
        (["--path", "alpha/patterns.json", "--path", "global"], {"alpha/patterns.json", "global/conventions.json"}),
        (["--agent", "alpha", "--path", "alpha/patterns.json"], {"alpha/patterns.json"}),
        (["--agent", "alpha", "--keep-extra"], {"alpha/patterns.json"}),
        (
            ["--agent", "alpha", "--agent", "beta"],
            {"alpha/patterns.json", "alpha/solutions.json", "beta/patterns.json", "beta/solutions.json"},
        ),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_only_what_was_asked_for_is_touched(tmp_path: Path, words: list[str], touched: set[str]) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup, was = create_backup(project), tree(memory)
    _changed_everywhere(project)
    before = tree_digest(memory)
    planned = data_of(project, "restore", backup, *words, "--dry-run", now=at(days=1))
    assert {one["path"] for one in planned["files"]} == touched
    assert tree_digest(memory) == before
    assert aml(project, "backup", "restore", backup, *words, now=at(days=1)).status == 0
    after = tree_digest(memory)
    assert {path: one for path, one in after.items() if path not in touched} == {
        path: one for path, one in before.items() if path not in touched
    }
    there = tree(memory)
    assert {path: there.get(path) for path in touched} == {path: was.get(path) for path in touched}


def test_a_path_that_the_backup_does_not_hold_is_an_error(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "backup", "restore", "latest", "--path", "alpha/pattern.json", now=at(days=1))
    assert answer.status == 1
    assert "'alpha/pattern.json'" in answer.err
    agent = aml(project, "backup", "restore", "latest", "--agent", "alfa", now=at(days=1))
    assert agent.status == 2
    assert "did you mean alpha" in agent.err


def test_a_path_that_the_backup_does_not_hold_is_answered_with_the_nearest(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "backup", "restore", "latest", "--path", "alpha/pattern.json")
    assert "alpha/patterns.json" in answer.err


# ---- what it says


def test_a_dry_run_shows_files_and_record_counts_and_changes_nothing(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    create_backup(project)
    _changed_everywhere(project)
    shutil.rmtree(memory / "beta")
    before, there = tree_digest(memory), ids_in(project)
    answer = aml(project, "backup", "restore", "latest", "--dry-run", now=at(days=1))
    assert answer.status == 0
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["add", "beta/patterns.json", "-", "->", "2.3", "KiB", "0", "->", "3"] in rows
    assert any(row[:2] == ["change", "alpha/patterns.json"] and row[-3:] == ["1", "->", "3"] for row in rows)
    assert any(row[:2] == ["remove", "alpha/solutions.json"] and row[-3:] == ["1", "->", "0"] for row in rows)
    assert "would restore" in answer.out
    assert "records 2 -> 6" in answer.out
    assert (tree_digest(memory), ids_in(project)) == (before, there)


def test_the_way_back_that_is_printed_works(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    create_backup(project)
    _changed_everywhere(project)
    since = tree(memory)
    answer = aml(project, "backup", "restore", "latest", now=at(days=1))
    assert len(answer.out.splitlines()) == 1
    assert "running agents" in answer.err, "they write their cached copies back"
    printed = answer.out.partition("undo with: aml ")[2].split()
    assert aml(project, *printed, now=at(days=2)).status == 0
    assert tree(memory) == since
    quiet = aml(project, "backup", "restore", "latest", "-q", now=at(days=3))
    assert quiet == Answer(0, "", "")


def test_a_restore_of_what_is_there_changes_nothing(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = tree_digest(memory_of(project))
    answer = aml(project, "backup", "restore", "latest", now=at(days=1))
    assert (answer.status, answer.err) == (0, "")
    assert "0 added, 0 changed, 0 removed, 4 the same" in answer.out
    assert tree_digest(memory_of(project)) == before


def test_a_locked_file_is_waited_for_and_then_nothing_is_changed(tmp_path: Path) -> None:
    """A restore is one state or the other: a file that stays locked does not make a mixture."""
    project = project_in(tmp_path)
    create_backup(project)
    _changed_everywhere(project)
    before = tree_digest(memory_of(project))
    (memory_of(project) / "beta/patterns.json.lock").mkdir()
    answer = aml(project, "backup", "restore", "latest", "--lock-timeout", "0.3", now=at(days=1))
    assert answer.status == 11
    assert "beta/patterns.json" in answer.err
    assert tree_digest(memory_of(project)) == before
    (memory_of(project) / "beta/patterns.json.lock").rmdir()
    assert aml(project, "backup", "restore", "latest", now=at(days=2)).status == 0


# ---- where to


def test_into_a_new_folder_with_modes_and_times(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    (memory / "alpha/patterns.json").chmod(0o640)
    (memory / "audit/empty").chmod(0o750)
    os.utime(memory / "beta/patterns.json", ns=(1, 1_600_000_000_123_456_789))
    create_backup(project)
    before, there = tree_digest(memory), ids_in(project)
    answer = aml(project, "backup", "restore", "latest", "--target", "../deep/er/out")
    assert (answer.status, answer.err) == (0, "")
    assert "4 files, 6 records" in answer.out
    out = tmp_path / "deep/er/out"
    assert tree_digest(out) == before
    assert (out / "audit/empty").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (tree_digest(memory), ids_in(project)) == (before, there), "the store is not touched, nor backed up"


def test_into_an_empty_folder_by_agent(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    create_backup(project)
    (tmp_path / "out").mkdir()
    answer = aml(project, "backup", "restore", "latest", "--agent", "beta", "--target", str(tmp_path / "out"))
    assert answer.status == 0
    assert set(tree(tmp_path / "out")) == {"beta", "beta/patterns.json"}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("full", "not empty"),
        ("file", "exists already"),
        (".loom/memory", "inside the store"),
        (".loom/memory/alpha/out", "inside the store"),
        (".loom/memory-backup", "inside the repository"),
        (".loom/memory-backup/out", "inside the repository"),
        ("into-store/out", "inside the store"),
    ],
)
@pytest.mark.parametrize("words", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_2_never_over_what_is_there(tmp_path: Path, target: str, said: str, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    write_array(tmp_path / "full/own.json", [1])
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "into-store").symlink_to(".loom/memory")
    before = tree_digest(tmp_path)
    answer = aml(project, "backup", "restore", "latest", "--target", target, *words)
    assert answer.status == 2, answer
    assert said in answer.err
    assert tree_digest(tmp_path) == before


def test_1_a_file_stands_in_the_way_of_the_target(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    (tmp_path / "file").write_bytes(b"mine")
    answer = aml(project, "backup", "restore", "latest", "--target", "file/out")
    assert answer.status == 1
    assert "Traceback" not in answer.err
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_dry_run_into_a_folder_makes_none(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "backup", "restore", "latest", "--target", "out", "--dry-run", "--json")
    data = answer.envelope["data"]
    assert (answer.status, data["target"], len(data["files"])) == (0, str(tmp_path / "out"), 4)
    assert not (tmp_path / "out").exists()


# ---- the store is gone


@pytest.mark.parametrize("named", [[], ["--store", ".loom/memory"]], ids=["found", "named"])
def test_a_store_that_is_gone_is_looked_at_and_restored(tmp_path: Path, named: list[str]) -> None:
    project = project_in(tmp_path)
    backup, was = create_backup(project), tree(memory_of(project))
    shutil.rmtree(memory_of(project))
    for words in (["list"], ["show"], ["verify"], ["rotate", "--dry-run"], ["restore", "latest", "--dry-run"]):
        assert aml(project, *named, "backup", *words).status == 0, words
        assert not memory_of(project).exists()
    for words in (["create"], ["auto"], ["diff"]):
        assert aml(project, *named, "backup", *words).status == 10, words
    answer = aml(project, *named, "backup", "restore", "latest", "--json", now=at(days=1))
    assert (answer.status, answer.envelope["data"]["backup"]) == (0, None)
    assert tree(memory_of(project)) == was
    assert ids_in(project) == [backup]


def test_not_only_the_store_but_all_beside_the_repository_is_gone(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    create_backup(project)
    was = tree(memory_of(project))
    shutil.move(repository_of(project), tmp_path / "saved")
    shutil.rmtree(project)
    memory = tmp_path / "new/.loom/memory"
    words = ["--store", str(memory), "--repository", str(tmp_path / "saved"), "backup", "restore", "latest"]
    answer = aml(tmp_path, *words, now=at(days=1))
    assert answer.status == 0, answer.err
    assert tree(memory) == was


def test_a_file_in_place_of_the_store_is_no_store(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    shutil.rmtree(memory_of(project))
    memory_of(project).write_bytes(b"mine")
    answer = aml(project, "--store", ".loom/memory", "backup", "restore", "latest")
    assert answer.status == 10
    assert memory_of(project).read_bytes() == b"mine"


def test_records_come_back_as_agents_read_them(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    path = memory_of(project) / "alpha/patterns.json"
    ids = [one["id"] for one in read_array(path)]
    path.unlink()
    aml(project, "backup", "restore", "latest", now=at(days=1))
    assert [one["id"] for one in read_array(path)] == ids


@pytest.mark.parametrize("words", [["--dry-run"], ["--yes"], ["--target", "look"]], ids=" ".join)
def test_that_the_latest_backup_is_damaged_is_told_where_the_one_before_is_taken(
    tmp_path: Path, words: list[str]
) -> None:
    project = project_in(tmp_path)
    first = create_backup(project, now=NOW.timestamp() - 60)
    second = create_backup(project)
    (repository_of(project) / f"snapshots/{second}.json.gz").write_bytes(b"junk")
    answer = aml(project, "backup", "restore", "latest", *words)
    assert answer.status == 0
    assert first in answer.out
    assert f"newer, but damaged: snapshots/{second}.json.gz" in answer.err
    assert (
        "damaged" not in aml(project, "backup", "restore", first, *words[:1], "x" if "--target" in words else "-v").err
    )


def test_a_damaged_backup_is_told_where_it_may_be_the_one_of_that_time(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    first = create_backup(project, now=NOW.timestamp() - 3600)
    second = create_backup(project)
    (repository_of(project) / f"snapshots/{second}.json.gz").write_bytes(b"junk")
    meant, before = (aml(project, "backup", "restore", "--at", ago, "--dry-run") for ago in ("0s", "30m"))
    assert all(first in answer.out for answer in (meant, before))
    assert f"newer, but damaged: snapshots/{second}.json.gz" in meant.err
    assert "damaged" not in before.err


def test_no_damaged_run_of_the_journal_stops_a_backup(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    run = memory_of(project).with_name("memory.aml") / "runs/20261120T120000-0001-abcd.json"
    run.parent.mkdir(parents=True)
    run.write_bytes(b"junk")
    answer = aml(project, "backup", "create")
    assert answer.status == 0
    assert f"the run journal {run} is damaged" in answer.err
    assert run.read_bytes() == b"junk"
    assert aml(project, "prune").status == 12, "what removes must know what runs before it removed"
