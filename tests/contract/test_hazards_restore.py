"""Hazards of restoring: the store becomes exactly what was backed up, or stays what it is; nothing else is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import aml as library
from aml.repository.manifest import FileEntry
from tests.cli.running import aml, kept
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    forge,
    memory_of,
    plain_array,
    project_in,
    tree,
)
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest, write_array

# ---- H11, H12: exactly what was there


def test_h11_h12_a_restore_gives_the_state_of_one_moment(tmp_path: Path) -> None:
    """H11, H12: deleted files came back, new ones stayed: a mixture of two states."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    trees = {create_backup(project): tree(memory)}
    shutil.rmtree(memory / "beta")
    (memory / "alpha/patterns.json").write_bytes(plain_array("changed"))
    write_array(memory / "gamma/solutions.json", [kept("s")])
    (memory / "audit/empty").rmdir()
    trees[create_backup(project, now=at(days=1))] = tree(memory)
    (memory / "global/conventions.json").unlink()
    (memory / "global/new").mkdir()
    trees[create_backup(project, now=at(days=2))] = tree(memory)
    for second, name in enumerate([*trees, *reversed(trees)]):
        answer = aml(project, "backup", "restore", name, now=at(days=3, seconds=second))
        assert answer.status == 0, answer.err
        assert tree(memory) == trees[name]


def test_h12_what_is_replaced_can_be_had_back(tmp_path: Path) -> None:
    """H12: what a restore takes away is backed up first, and the report says how to get it back."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup = create_backup(project)
    write_array(memory / "gamma/patterns.json", [kept("made since")])
    since = tree(memory)
    report = data_of(project, "restore", backup, now=at(days=1))
    assert "gamma" not in tree(memory)
    assert data_of(project, "show", report["backup"])["backup"]["tags"] == ["pre-restore"]
    assert aml(project, "backup", "restore", report["backup"], now=at(days=2)).status == 0
    assert tree(memory) == since


def test_h12_what_is_extra_stays_only_where_that_is_asked_for(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup, was = create_backup(project), tree(memory)
    (memory / "alpha/patterns.json").write_bytes(b"[]")
    write_array(memory / "gamma/patterns.json", [kept("g")])
    (memory / "alpha/own").mkdir()
    extra = {path: data for path, data in tree(memory).items() if path not in was}
    assert aml(project, "backup", "restore", backup, "--keep-extra", now=at(days=1)).status == 0
    assert tree(memory) == was | extra
    assert aml(project, "backup", "restore", backup, now=at(days=2)).status == 0
    assert tree(memory) == was


def test_h12_locks_and_writes_of_agents_are_no_extra_files(tmp_path: Path) -> None:
    """H12: what is only there for a moment belongs to a live agent."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup = create_backup(project)
    (memory / "beta/solutions.json.lock").mkdir()
    (memory / "beta/patterns.json.4711.tmp").write_bytes(b"[{")
    (memory / "alpha/patterns.json").write_bytes(b"[]")
    assert aml(project, "backup", "restore", backup, now=at(days=1)).status == 0
    assert (memory / "beta/solutions.json.lock").is_dir()
    assert (memory / "beta/patterns.json.4711.tmp").read_bytes() == b"[{"


def test_h12_a_backup_of_one_agent_leaves_the_others_alone(tmp_path: Path) -> None:
    """H12: exact means within the scope of the backup."""
    project = project_in(tmp_path)
    memory = memory_of(project)
    backup, was = create_backup(project, "--agent", "alpha"), tree(memory / "alpha")
    for agent in ("alpha", "beta"):
        (memory / agent / "patterns.json").write_bytes(plain_array("changed"))
        write_array(memory / agent / "solutions.json", [kept("new")])
    (memory / "global/conventions.json").write_bytes(b"null")
    others = {path: digest for path, digest in tree_digest(memory).items() if not path.startswith("alpha/")}
    assert aml(project, "backup", "restore", backup, now=at(days=1)).status == 0
    assert tree(memory / "alpha") == was
    assert {path: one for path, one in tree_digest(memory).items() if not path.startswith("alpha/")} == others


# ---- H27, H28: nothing outside

_EVIL = b'["evil"]'


def _hex_entry(name: bytes) -> FileEntry:
    digest = "0" * 64
    return FileEntry("alpha/patterns.json", 2, 0o600, 0, digest, [digest], path_hex=name.hex())


HOSTILE: dict[str, tuple[list[str | FileEntry], list[str]]] = {
    "up": (["../evil.json"], ["alpha"]),
    "up and up": (["alpha/../../../evil.json"], ["alpha"]),
    "up and back": (["alpha/../alpha/evil.json"], ["alpha"]),
    "absolute": (["/aml-evil.json"], ["alpha"]),
    "two slashes": (["//aml-evil.json"], ["alpha"]),
    "a dot": (["alpha/./evil.json"], ["alpha"]),
    "nothing": ([""], ["alpha"]),
    "nul": (["alpha/evil\0.json"], ["alpha"]),
    "a folder above": (["alpha/evil.json"], ["alpha", ".."]),
    "a folder elsewhere": (["alpha/evil.json"], ["alpha", "/aml-evil"]),
    "through a file": (["alpha/evil", "alpha/evil/evil.json"], ["alpha"]),
    "twice": (["alpha/evil.json", "alpha/evil.json"], ["alpha"]),
    "up in bytes": ([_hex_entry(b"../evil.json")], ["alpha"]),
    "no bytes at all": ([_hex_entry(b"")], ["alpha"]),
    "of another agent": (["beta/patterns.json"], ["alpha"]),
    "of no agent": (["global/conventions.json"], ["alpha"]),
    "above the agents": (["alpha"], []),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_h27_a_crafted_manifest_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    """H27: a crafted manifest wrote outside the target."""
    project = project_in(tmp_path / "a/b")
    backup = forge(project, *HOSTILE[name], data=_EVIL)
    before = tree_digest(memory_of(project))
    for words in (
        ["restore", backup],
        ["restore", backup, "--keep-extra"],
        ["restore", backup, "--agent", "alpha"],
        ["restore", backup, "--dry-run"],
        ["restore", backup, "--target", str(tmp_path / "a/b/out")],
        ["drill", backup],
        ["diff", backup],
        ["show", backup, "-v"],
    ):
        answer = aml(project, "backup", *words, now=at(days=1))
        assert answer.status == 12, (words, answer)
        assert tree_digest(memory_of(project)) == before, words
    skipped = aml(project, "backup", "restore", backup, "--skip-damaged", now=at(days=2))
    assert skipped.status == 3, "what its list says of alpha is not believed; there is nothing else in it"
    after = tree_digest(tmp_path)
    assert {path for path in after if "evil" in path} == set()
    own = ("a/b/.loom/memory.aml/", "a/b/.loom/memory-backup/")
    outside = {path for path in after if not path.startswith((*own, "a/b/.loom/memory/"))}
    assert outside == set()
    assert not list(Path("/").glob("aml-evil*"))
    agents = {path: digest for path, digest in before.items() if path.startswith("alpha/")}
    assert {path: one for path, one in tree_digest(memory_of(project)).items() if path.startswith("alpha/")} == agents


@pytest.mark.parametrize("agent", ["../../x", "beta", "..", "/etc", None])
def test_h27_a_list_of_files_is_one_of_the_agent_that_it_is_said_to_be_of(tmp_path: Path, agent: str | None) -> None:
    project = project_in(tmp_path)
    backup = forge(project, ["alpha/patterns.json"], agent=agent)
    before = tree_digest(memory_of(project))
    answer = aml(project, "backup", "restore", backup)
    assert answer.status == 12
    assert tree_digest(memory_of(project)) == before


@pytest.mark.parametrize("path", ["../beta", "/etc/passwd", "alpha/../..", "\0"])
def test_h27_a_crafted_list_of_unread_paths_is_refused(tmp_path: Path, path: str) -> None:
    project = project_in(tmp_path)
    backup = forge(project, ["alpha/patterns.json"], unread=[path])
    before = tree_digest(memory_of(project))
    assert aml(project, "backup", "restore", backup).status == 12
    assert tree_digest(memory_of(project)) == before


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "..", "alpha/../..", "", "alpha/../../x"])
def test_h27_a_path_to_restore_is_one_inside_the_store(tmp_path: Path, path: str) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = tree_digest(tmp_path)
    answer = aml(project, "backup", "restore", "latest", f"--path={path}")
    assert answer.status == 2, answer
    assert tree_digest(tmp_path) == before


def test_h27_a_document_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    """H27: sizes are checked before anything is taken for them."""
    project = project_in(tmp_path)
    digest = "ab" * 32
    backup = forge(project, [FileEntry("alpha/patterns.json", 1 << 60, 0o600, 0, digest, [])])
    before = tree_digest(memory_of(project))
    for words in ([], ["--target", "out"]):
        assert aml(project, "backup", "restore", backup, *words, now=at(days=1)).status == 12
    assert tree_digest(memory_of(project)) == before
    assert not (project / "out").exists()


def test_h27_set_id_bits_are_not_given_to_a_restored_file_for_nothing(tmp_path: Path) -> None:
    """H27: a mode is that of the file, and nothing beyond permission bits."""
    project = project_in(tmp_path)
    backup = create_backup(project)
    (memory_of(project) / "alpha/patterns.json").chmod(0o640)
    assert aml(project, "backup", "restore", backup, now=at(days=1)).status == 0
    assert (memory_of(project) / "alpha/patterns.json").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("place", ["agent", "file", "global"])
@pytest.mark.parametrize("words", [[], ["--keep-extra"], ["--agent", "alpha"]], ids=["exact", "keep", "agent"])
def test_h28_a_restore_goes_through_no_link(tmp_path: Path, place: str, words: list[str]) -> None:
    """H28: an agent folder that is a link led to rewriting files elsewhere."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    backup = create_backup(project)
    outside = tmp_path / "outside"
    subject = {"agent": memory / "alpha", "file": memory / "alpha/patterns.json", "global": memory / "global"}[place]
    shutil.move(subject, outside)
    subject.symlink_to(outside)
    if outside.is_dir():
        (outside / "own.json").write_bytes(b"[1]")
        next(path for path in outside.glob("*s.json")).write_bytes(b'["mine"]')
    else:
        outside.write_bytes(b'["mine"]')
    before = tree_digest(outside) if outside.is_dir() else outside.read_bytes()
    answer = aml(project, "backup", "restore", backup, *words, "--json", now=at(days=1))
    left = answer.envelope["data"]["left"]
    if place == "global" and "--agent" in words:
        assert (answer.status, left) == (0, [])
    else:
        assert answer.status == 3
        assert any("link" in one["reason"] for one in left)
    assert (tree_digest(outside) if outside.is_dir() else outside.read_bytes()) == before
    assert subject.is_symlink(), "the link is not the backup's to remove"


def test_h28_links_that_no_backup_holds_stay(tmp_path: Path) -> None:
    """H28: a restore removes what is not in the backup, but a link never is."""
    project = project_in(tmp_path / "p")
    memory = memory_of(project)
    backup = create_backup(project)
    (memory / "gamma").symlink_to(tmp_path)
    (memory / "new").mkdir()
    (memory / "new/link").symlink_to("nowhere")
    answer = aml(project, "backup", "restore", backup, now=at(days=1))
    assert answer.status in (0, 3)
    assert (memory / "gamma").is_symlink()
    assert (memory / "new/link").is_symlink()


def test_a_path_that_is_no_text_is_restored_and_noted(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p")]}})
    odd = os.fsencode(store) + b"/\x80"
    os.mkdir(odd)
    with open(odd + b"/patterns.json", "wb") as file:
        file.write(b"[]")
    library.backup(library.open_store(store), now=NOW.timestamp())
    os.unlink(odd + b"/patterns.json")
    options = library.RestoreOptions(paths=(os.fsdecode(b"\x80/patterns.json"),))
    library.restore(library.open_store(store), options=options, now=NOW.timestamp() + 60)
    assert os.path.exists(odd + b"/patterns.json")
