"""Every subcommand of ``aml backup``: its statuses, its JSON, which backup is meant."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, kept
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    ids_in,
    memory_of,
    project_in,
    repository_of,
)
from tests.support.stores import tree_digest, write_array

#: Every subcommand, with the words it cannot do without.
SUBCOMMANDS = [
    ["create"],
    ["list"],
    ["show"],
    ["diff"],
    ["verify"],
    ["restore", "latest"],
    ["rotate"],
    ["drill"],
    ["auto"],
]
NEED_ONE = [words for words in SUBCOMMANDS if words[0] not in ("create", "list", "auto")]
IMPATIENT = {"AML_LOCKS_TIMEOUT_SECONDS": "0.1", "AML_BACKUP_RETRIES": "0"}

KEYS = ["schema", "command", "status", "exit", "data", "warnings", "errors"]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """A lock file, locked as by another process."""
    with path.open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _all(words: list[list[str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("words", words, ids=" ".join)


# ---- statuses of all of them


@_all(SUBCOMMANDS)
def test_0_and_nothing_but_an_answer(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "backup", *words, now=at(seconds=5))
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.endswith("\n")
    if words[0] in ("create", "verify", "rotate", "drill", "auto", "restore"):
        assert len(answer.out.splitlines()) == 1, "one line from cron"
        assert answer.out.startswith("backup: " if words[0] == "create" else words[0])
        quiet = aml(project, "backup", *words, "-q", now=at(seconds=10))
        assert quiet == Answer(0, "", ""), "nothing with -q"


@_all(SUBCOMMANDS)
def test_the_json_of_each_is_one_envelope(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "--json", "backup", *words, now=at(seconds=5))
    envelope = answer.envelope
    assert list(envelope) == KEYS
    assert (envelope["command"], envelope["status"], envelope["exit"]) == (f"backup {words[0]}", "done", 0)
    assert envelope["data"]["status"] == 0
    assert (envelope["warnings"], envelope["errors"], answer.err) == ([], [], "")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            words,
            id=words[0],
        )
        for words in NEED_ONE
    ],
)
def test_1_where_there_is_no_backup_yet(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    before = tree_digest(memory_of(project))
    answer = aml(project, "backup", *words)
    assert (answer.status, answer.out) == (1, "")
    assert "aml backup create" in answer.err
    assert tree_digest(memory_of(project)) == before
    assert not repository_of(project).exists(), "to look makes nothing"


def test_12_where_no_backup_can_be_read_nobody_is_told_that_there_is_none(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    (manifest,) = (repository_of(project) / "snapshots").iterdir()
    manifest.write_bytes(b"junk")
    listed = aml(project, "backup", "list")
    assert (listed.status, listed.out) == (12, f"no backup can be read in {repository_of(project)}\n")
    assert "other backups" not in listed.err
    for words in (["restore", "latest"], ["diff"], ["show"], ["drill"]):
        answer = aml(project, "backup", *words)
        assert (answer.status, answer.out) == (12, ""), answer
        assert "no backup can be read: 1 manifest of backups is damaged" in answer.err
        assert "aml backup verify" in answer.err


def test_0_a_list_of_no_backups_is_an_answer(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    answer = aml(project, "backup", "list")
    assert (answer.status, answer.out) == (0, f"no backups in {repository_of(project)}\n")
    assert data_of(project, "list")["backups"] == []
    assert not repository_of(project).exists()


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--full", "--incremental"],
        ["create", "--compression", "best"],
        ["create", "--agent", "nobody"],
        ["list", "--limit", "0"],
        ["show", "one", "two"],
        ["diff", "latest", "--agent", "nobody"],
        ["diff", "latest", "latest", "--agent", "nobody"],
        ["verify", "--all", "latest"],
        ["verify", "--sample", "lots"],
        ["verify", "--sample", "10%", "--quick"],
        ["verify", "--quick", "--packs"],
        ["restore"],
        ["restore", "latest", "--at", "3d"],
        ["restore", "--at", "yesterday"],
        ["restore", "latest", "--agent", "nobody"],
        ["rotate", "--keep-last", "-1"],
        ["rotate", "--keep-within", "soon"],
        ["drill", "--lock-timeout", "nan"],
        ["crate"],
        [],
    ],
    ids=" ".join,
)
def test_2_usage(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = tree_digest(repository_of(project))
    answer = aml(project, "backup", *words)
    assert answer.status == 2
    assert aml(project, "backup", *words, "--json").envelope["exit"] == 2
    assert tree_digest(repository_of(project)) == before


@_all(SUBCOMMANDS)
def test_10_no_store(tmp_path: Path, words: list[str]) -> None:
    answer = aml(tmp_path, "backup", *words)
    assert answer.status == 10
    assert "--store" in answer.err
    assert list(tmp_path.iterdir()) == []
    assert aml(tmp_path, "--store", "missing", "backup", *words).status == 10


@_all(SUBCOMMANDS)
def test_11_the_repository_is_in_use(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = tree_digest(memory_of(project))
    with held(repository_of(project) / "lock"):
        answer = aml(project, "backup", *words, environment=IMPATIENT, now=at(seconds=5))
    assert (answer.status, answer.out) == (11, "")
    assert "aml backup (pid " in answer.err, "by whom it was written last"
    assert len(ids_in(project)) == 1
    assert tree_digest(memory_of(project)) == before


@_all([["create"], ["restore", "latest"], ["rotate"], ["auto"]])
def test_11_another_run_changes_the_store(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    with held(project / ".loom/memory.aml/run.lock"):
        answer = aml(project, "backup", *words, environment=IMPATIENT, now=at(seconds=5))
        assert aml(project, "backup", "list").status == 0, "who only looks is not kept out"
    assert answer.status == 11
    assert len(ids_in(project)) == 1


@_all(SUBCOMMANDS)
def test_13_a_repository_of_a_later_version(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    path = repository_of(project) / "repository.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    answer = aml(project, "backup", *words, now=at(seconds=5))
    assert answer.status == 13
    assert "newer" in answer.err


# ---- which backup is meant


WITH_AN_ID = [["show"], ["diff"], ["diff", "latest"], ["verify"], ["restore"], ["drill"]]


@_all(WITH_AN_ID)
def test_a_backup_is_named_by_the_beginning_of_its_id(tmp_path: Path, words: list[str]) -> None:
    project = project_in(tmp_path)
    names = [create_backup(project, now=at(days=day)) for day in (0, 1)]
    for wanted in (names[0], names[0][:8], names[0][:-1]):
        answer = aml(project, "backup", *words, wanted, "--json", *(["--dry-run"] if words == ["restore"] else []))
        assert answer.status == 0, answer.out
        assert names[0] in answer.out
    several = aml(project, "backup", *words, names[0][:6])
    assert several.status == 1
    for name in names:
        assert name in several.err, "both that it fits"
    for unknown in ("nothing", f"{names[0]}0", ""):
        answer = aml(project, "backup", *words, unknown)
        assert answer.status in (1, 2)
        assert answer.out == ""


def test_an_id_that_does_not_exist_is_answered_with_the_nearest(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    names = [create_backup(project, now=at(days=day)) for day in (0, 10)]
    typo = names[0][:-1] + ("0" if names[0][-1] != "0" else "1")
    answer = aml(project, "backup", "show", typo)
    assert answer.status == 1
    assert names[0] in answer.err


def test_the_latest_is_what_was_made_for_its_own_sake(tmp_path: Path) -> None:
    """Neither what a restore made of the store before, nor an incomplete one, nor one with a later clock."""
    project = project_in(tmp_path)
    create_backup(project, now=at(days=5))
    second = create_backup(project, "--trust-clock", now=at(days=1))
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    restored = data_of(project, "restore", second, now=at(days=6))
    for day in (7, 8):
        shown = data_of(project, "show", now=at(days=day))["backup"]["id"]
        assert shown == second != restored["backup"]
        assert data_of(project, "restore", "latest", now=at(days=day))["snapshot"] == second, "and again"
