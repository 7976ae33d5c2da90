"""Hazards of making and keeping backups: nothing is missed, nothing overwritten, nothing that is needed goes."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import aml, kept, old
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    forge,
    give_to_nobody,
    ids_in,
    in_commons,
    memory_of,
    packs_of,
    project_in,
    repository_of,
    restored,
    tree,
    unprivileged,
)
from tests.support.stores import make_store, read_array, tree_digest, write_array


@pytest.fixture
def commons() -> Iterator[Path]:
    with in_commons(project_in) as folder:
        yield folder


def _project_to_prune(folder: Path) -> Path:
    make_store(folder, {"alpha": {"patterns": [old("o1"), *(kept(f"k{number}") for number in range(4))]}})
    return folder


# ---- H09: a prune without a backup


def test_h09_a_prune_backs_the_store_up_before_it_removes(tmp_path: Path) -> None:
    """H09: prune deleted without any backup although one was configured."""
    project = _project_to_prune(tmp_path / "p")
    before = tree(memory_of(project))
    answer = aml(project, "prune", "--json")
    assert answer.envelope["data"]["files"][0]["removed"] == 1
    backup = answer.envelope["data"]["backup"]
    (line,) = data_of(project, "list")["backups"]
    assert (line["id"], line["tags"], line["complete"]) == (backup, ["pre-prune"], True)
    assert restored(project, backup, tmp_path / "was") == before, "the record that went is in it"


@pytest.mark.parametrize("words", [["--dry-run"], ["--max-loss", "0%"], ["--strategy", "performance"]], ids=" ".join)
def test_h09_a_prune_that_removes_nothing_needs_no_backup(tmp_path: Path, words: list[str]) -> None:
    project = _project_to_prune(tmp_path)
    assert aml(project, "prune", *words, "--json").envelope["data"]["backup"] is None
    assert not (repository_of(project) / "snapshots").exists()


def _refused(project: Path, status: int, *words: str) -> None:
    """A prune that ends with ``status`` for its backup's sake, and removes nothing."""
    before = tree_digest(memory_of(project))
    answer = aml(project, *words, "prune", "--lock-timeout", "0.2")
    assert answer.status == status, answer.err
    assert "nothing was removed" in answer.err
    assert "--no-backup" in answer.err
    assert answer.out == ""
    assert tree_digest(memory_of(project)) == before
    assert list((repository_of(project) / "archives").rglob("*.gz")) == []


def test_h09_where_the_repository_is_a_file_nothing_is_removed(tmp_path: Path) -> None:
    project = _project_to_prune(tmp_path)
    (tmp_path / "elsewhere").write_bytes(b"no folder")
    _refused(project, 1, "--repository", "elsewhere")


def test_h09_where_another_process_holds_the_repository_nothing_is_removed(tmp_path: Path) -> None:
    project = _project_to_prune(tmp_path)
    create_backup(project)
    with (repository_of(project) / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _refused(project, 11)
    assert aml(project, "prune").status == 0
    assert len(read_array(memory_of(project) / "alpha/patterns.json")) == 4


def test_h09_where_the_repository_is_of_another_kind_nothing_is_removed(tmp_path: Path) -> None:
    project = _project_to_prune(tmp_path)
    create_backup(project)
    path = repository_of(project) / "repository.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    _refused(project, 13)


@pytest.mark.parametrize("folder", ["packs", "snapshots", "index", ""])
def test_h09_where_the_repository_cannot_be_written_nothing_is_removed(commons: Path, folder: str) -> None:
    path = memory_of(commons) / "alpha/patterns.json"
    write_array(path, [old("o1"), *(kept(f"k{number}") for number in range(4))])
    assert unprivileged(commons, "backup", "create", "--agent", "beta").status == 0
    subject = repository_of(commons) / folder
    subject.chmod(0o500)
    for one in subject.rglob("*"):
        if one.is_dir():
            one.chmod(0o500)
    before = tree_digest(memory_of(commons))
    answer = unprivileged(commons, "prune")
    assert answer.status == 1, answer.err
    assert "nothing was removed" in answer.err
    assert "chmod u+w" in answer.err
    assert tree_digest(memory_of(commons)) == before


@pytest.mark.parametrize("by", ["flag", "settings", "variable"])
def test_h09_only_who_asks_for_it_prunes_without_a_backup(tmp_path: Path, by: str) -> None:
    project = _project_to_prune(tmp_path)
    if by == "settings":
        (project / ".loom/aml.toml").write_text("[prune]\nbackup = false\n", encoding="utf-8")
    environment = {"AML_PRUNE_BACKUP": "false"} if by == "variable" else {}
    words = ["--no-backup"] if by == "flag" else []
    answer = aml(project, "prune", "--json", *words, environment=environment)
    assert answer.envelope["data"]["backup"] is None
    assert len(read_array(memory_of(project) / "alpha/patterns.json")) == 4
    assert not (repository_of(project) / "snapshots").exists()


# ---- H10, H11, H24, H28, H48: what is in a backup


def test_h10_an_incremental_backup_holds_new_agents_and_new_global_files(tmp_path: Path) -> None:
    """H10: only files known to the last full backup were looked at."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    create_backup(project)
    write_array(memory / "gamma/patterns.json", [kept("g")])
    write_array(memory / "alpha/solutions.json", [kept("s")], form="gzip")
    (memory / "global/new.json").write_bytes(b"{}")
    (memory / "global/deep/er").mkdir(parents=True)
    (memory / "global/deep/er/notes.txt").write_bytes(b"")
    (memory / "config").mkdir()
    (memory / "top.json").write_bytes(b"1")
    answer = aml(project, "backup", "create", "--json", now=at(days=1)).envelope["data"]
    assert (answer["kind"], answer["new"], answer["removed"]) == ("incremental", 5, 0)
    assert restored(project, answer["id"], tmp_path / "out") == tree(memory)


def test_h10_h11_an_incremental_backup_knows_what_is_gone(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    first = create_backup(project)
    before = tree(memory)
    shutil.rmtree(memory / "beta")
    (memory / "global/conventions.json").unlink()
    (memory / "audit/empty").rmdir()
    answer = data_of(project, "create", now=at(days=1))
    assert (answer["kind"], answer["removed"]) == ("incremental", 2)
    assert restored(project, answer["id"], tmp_path / "second") == tree(memory)
    assert restored(project, first, tmp_path / "first") == before


def test_h10_a_change_that_leaves_size_and_time_alone_is_seen(tmp_path: Path) -> None:
    """H10: an unchanged size and modification time alone prove nothing."""
    project = project_in(tmp_path / "p")
    path = memory_of(project) / "global/conventions.json"
    long_ago = (1_600_000_000_000_000_000, 1_600_000_000_000_000_000)
    os.utime(path, ns=long_ago)
    create_backup(project)
    path.write_bytes(b'{"tabs": true }')
    os.utime(path, ns=long_ago)
    second = create_backup(project, now=at(days=1))
    assert restored(project, second, tmp_path / "out")["global/conventions.json"] == b'{"tabs": true }'


@pytest.mark.parametrize("form", ["single", "members", "other name", "broken"])
def test_h24_compressed_files_are_backed_up_like_any_other(tmp_path: Path, form: str) -> None:
    """H24: files that the tool itself had compressed were in no backup."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    text = (memory / "alpha/patterns.json").read_bytes()
    name, data = {
        "single": ("alpha/patterns.json", gzip.compress(text)),
        "members": ("alpha/patterns.json", gzip.compress(text[:100]) + gzip.compress(text[100:])),
        "other name": ("alpha/patterns.json.gz", gzip.compress(text, 1, mtime=0)),
        "broken": ("alpha/patterns.json", gzip.compress(text)[:-9]),
    }[form]
    (memory / name).write_bytes(data)
    answer = aml(project, "backup", "create", "--json")
    assert answer.status == 0, "a damaged file is kept as it is"
    assert [one["path"] for one in answer.envelope["data"]["damaged"]] == ([name] if form == "broken" else [])
    out = tmp_path / "out"
    assert aml(project, "backup", "restore", "latest", "--target", str(out)).status == 0
    came = (out / name).read_bytes()
    assert came.startswith(b"\x1f\x8b"), "in the form that it had"
    if form == "single":
        assert gzip.decompress(came) == text
    else:
        assert came == data, "what is not one whole gzip member is kept byte for byte"
    (memory / name).write_bytes(b"[]")
    assert aml(project, "backup", "restore", "latest", now=at(seconds=5)).status == 0
    assert (memory / name).read_bytes() == came


def _with_links(tmp_path: Path) -> tuple[Path, Path]:
    """A project with links to an agent, a file and a folder outside it."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    outside = tmp_path / "outside"
    write_array(outside / "agent/patterns.json", [kept("secret")])
    (outside / "file.json").write_bytes(b'"secret"')
    (memory / "linked").symlink_to(outside / "agent")
    (memory / "beta/solutions.json").symlink_to(outside / "file.json")
    (memory / "global/folder").symlink_to(outside)
    (memory / "global/nowhere").symlink_to("nowhere")
    return project, outside


def test_h28_a_backup_follows_no_link(tmp_path: Path) -> None:
    """H28: an agent folder that is a link led to files elsewhere."""
    project, _ = _with_links(tmp_path)
    backup = create_backup(project)
    shown = data_of(project, "show", backup)
    assert [one["agent"] for one in shown["shares"]] == [None, "alpha", "beta"]
    out = restored(project, backup, tmp_path / "out")
    assert not {name for name in out if "linked" in name or "folder" in name or "nowhere" in name}
    assert "beta/solutions.json" not in out
    stored = b"".join(gzip.decompress(path.read_bytes()) for path in packs_of(project))
    assert b"secret" not in stored
    refused = aml(project, "backup", "create", "--agent", "linked")
    assert refused.status == 2, "a link is no agent"


def test_h28_the_store_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    (tmp_path / "way").symlink_to(memory_of(project))
    answer = aml(tmp_path, "--store", "way", "backup", "create")
    assert answer.status == 0
    assert len(ids_in(project)) == 1, "the repository lies beside the store, not beside the link"


def test_h28_a_repository_with_a_link_inside_is_refused(tmp_path: Path) -> None:
    """H28: a link in the repository would have packs written elsewhere."""
    project = project_in(tmp_path / "p")
    create_backup(project)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(repository_of(project) / "packs", elsewhere)
    (repository_of(project) / "packs").symlink_to(elsewhere)
    before = tree_digest(elsewhere)
    write_array(memory_of(project) / "gamma/patterns.json", [kept("g")])
    answer = aml(project, "backup", "create", now=at(days=1))
    assert answer.status == 12
    assert "link" in answer.err
    assert tree_digest(elsewhere) == before


def test_h48_what_is_no_agent_is_backed_up_as_what_it_is(tmp_path: Path) -> None:
    """H48: audit/, backup/ and the tool's own folder were treated as agents."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    for name in ("backup", "backup-2025", "monitoring", "config", ".aml", "audit"):
        write_array(memory / name / "patterns.json", [old("x"), old("y"), old("z")])
    (memory / "alpha/patterns.json.lock").mkdir()
    (memory / "alpha/patterns.json.123.tmp").write_bytes(b"half")
    answer = aml(project, "prune", "--json")
    assert {file["agent"] for file in answer.envelope["data"]["files"]} == {"alpha", "beta"}
    backup = create_backup(project)
    shown = data_of(project, "show", backup)
    assert [one["agent"] for one in shown["shares"]] == [None, "alpha", "beta"]
    expected = {path: data for path, data in tree(memory).items() if "patterns.json." not in path}
    assert restored(project, backup, tmp_path / "out") == expected
    for name in ("audit", "backup", ".aml", "global"):
        assert aml(project, "backup", "create", "--agent", name).status == 2
        assert aml(project, "backup", "restore", backup, "--agent", name).status == 2
    beside = {path.name for path in (project / ".loom").iterdir()}
    assert beside == {"memory", "memory.aml", "memory-backup"}, "nothing of AML's lies inside the store"


def test_h48_a_backup_of_one_agent_holds_nothing_else(tmp_path: Path) -> None:
    project = project_in(tmp_path / "p")
    backup = create_backup(project, "--agent", "alpha")
    assert set(restored(project, backup, tmp_path / "out")) == {"alpha", "alpha/patterns.json"}


@pytest.mark.parametrize("name", ["../../secret", "..", "alpha/", "/etc", "", "*", "alp", "ALPHA", "global"])
def test_h27_an_agent_of_a_backup_is_a_name_and_never_a_path(tmp_path: Path, name: str) -> None:
    """H27: --agent ../../secret read outside the store."""
    project = project_in(tmp_path / "p")
    create_backup(project)
    write_array(tmp_path / "secret/patterns.json", [kept("s")])
    before = tree_digest(tmp_path)
    for words in (["create"], ["diff"], ["diff", "latest", "latest"], ["restore", "latest"]):
        answer = aml(project, "backup", *words, f"--agent={name}")
        assert answer.status == 2, words
        assert "alpha" in answer.err, "the agents there are"
    after = tree_digest(tmp_path)
    assert {path: after[path] for path in after if ".aml/" not in path} == {
        path: before[path] for path in before if ".aml/" not in path
    }


# ---- H44: what cannot be read


@pytest.mark.parametrize(("subject", "mode"), [("beta/patterns.json", 0o000), ("beta", 0o000), ("audit", 0o300)])
def test_h44_a_backup_that_misses_a_file_is_incomplete(commons: Path, subject: str, mode: int) -> None:
    """H44: an unreadable file was left out of the backup, which was called verified."""
    whole = unprivileged(commons, "backup", "create", "--json").envelope["data"]["id"]
    path = memory_of(commons) / subject
    write_array(memory_of(commons) / "alpha/patterns.json", [kept("new")])
    give_to_nobody(memory_of(commons))
    path.chmod(mode)
    answer = unprivileged(commons, "backup", "create", "--json", now=at(days=1))
    data = answer.envelope["data"]
    assert (answer.status, answer.envelope["status"]) == (3, "partial")
    assert [one["path"] for one in data["unread"]] == [subject]
    text = unprivileged(commons, "backup", "create", now=at(days=2))
    assert text.status == 3
    assert f"not in the backup: {subject}" in text.err
    assert "incomplete" in unprivileged(commons, "backup", "list").out
    shown = unprivileged(commons, "backup", "show", "latest", "--json").envelope["data"]["backup"]
    assert (shown["id"], shown["complete"]) == (whole, True), "an incomplete backup is not the latest"
    path.chmod(0o700 if path.is_dir() else 0o600)
    kept_there = tree(path) if path.is_dir() else path.read_bytes()
    undone = unprivileged(commons, "backup", "restore", data["id"], "--json", now=at(days=3))
    assert undone.status == 3
    assert subject in [one["path"] for one in undone.envelope["data"]["left"]]
    assert (tree(path) if path.is_dir() else path.read_bytes()) == kept_there, "what was not read is left alone"


def test_h44_a_dry_run_of_it_says_so_too(tmp_path: Path) -> None:
    """H44: a path that the backup could not read stays, with all that lies below it."""
    project = project_in(tmp_path)
    backup = forge(project, ["alpha/patterns.json"], scope=None, unread=["beta", "alpha/solutions.json"])
    write_array(memory_of(project) / "alpha/solutions.json", [kept("s")])
    write_array(memory_of(project) / "alpha/decisions.json", [kept("d")])
    planned = aml(project, "backup", "restore", backup, "--dry-run", "--json")
    assert planned.status == 0
    assert {"beta", "alpha/solutions.json"} <= {one["path"] for one in planned.envelope["data"]["left"]}
    done = aml(project, "backup", "restore", backup, now=at(seconds=1))
    assert done.status == 3
    there = tree(memory_of(project))
    assert there["alpha/patterns.json"] == b"[]"
    assert "alpha/solutions.json" in there
    assert "beta/patterns.json" in there
    assert "alpha/decisions.json" not in there, "what the backup did look at is made as it was"
