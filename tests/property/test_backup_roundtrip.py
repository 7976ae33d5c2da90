"""Whatever a store holds: a backup gives it back as it was, into a new folder and in place of anything since."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aml.backup.options import RestoreOptions
from aml.errors import ExitStatus
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from tests.cli.running import aml
from tests.contract.pruning import IMPATIENT
from tests.property.trees import Edit, File, Folder, Tree, apply, edits, essence, facts, read_tree, trees, write_tree
from tests.support.records import NOW

#: Each example costs several flushes to disk, so these are tried on fewer than the pure ones.
thrifty = settings(max_examples=max(8, settings().max_examples // 5))

CONDITIONS = Conditions(locks=IMPATIENT)


@contextmanager
def _store(tree: Tree) -> Iterator[tuple[Path, Path]]:
    """A project folder, and the store in it."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / ".loom" / "memory"
        memory.mkdir(parents=True)
        write_tree(memory, tree)
        yield Path(folder), memory


def _assert_sound(project: Path) -> None:
    """Verification, a drill and the other looks at a backup find nothing wrong."""
    for words in (["verify"], ["drill"], ["list"], ["show", "latest", "--verbose"], ["diff", "latest"]):
        answer = aml(project, "backup", *words, "--json")
        assert answer.status == 0, (words, answer)
        assert answer.envelope["status"] == "done", (words, answer.envelope)


@thrifty
@given(trees(), st.sampled_from(["fast", "default", "max"]))
def test_a_restore_into_a_new_folder_gives_the_same_tree(tree: Tree, compression: str) -> None:
    with _store(tree) as (project, memory):
        made = aml(project, "backup", "create", "--compression", compression, "--json")
        assert made.status == 0, made
        assert read_tree(memory) == tree
        restored = aml(project, "backup", "restore", "latest", "--target", "restored", "--json")
        assert restored.status == 0, restored
        assert facts(read_tree(project / "restored")) == facts(tree)
        _assert_sound(project)


@thrifty
@given(trees(), st.lists(edits, min_size=1, max_size=6))
def test_a_restore_in_place_undoes_any_edits(tree: Tree, changes: list[Edit]) -> None:
    with _store(tree) as (project, memory):
        first = aml(project, "backup", "create", "--json")
        assert first.status == 0, first
        for change in changes:
            apply(memory, change)
        edited = read_tree(memory)
        report = restore(open_store(memory), "latest", now=NOW.timestamp(), conditions=CONDITIONS)
        assert (report.status, report.left) == (ExitStatus.DONE, ())
        if report.backup is None:
            # nothing to do, as it seems to a restore that only modes and times of folders differ
            assert read_tree(memory) == edited
            assert _contents(edited) == _contents(tree)
            return
        assert facts(read_tree(memory)) == facts(tree)
        again = restore(open_store(memory), report.backup, now=NOW.timestamp(), conditions=CONDITIONS)
        assert again.status is ExitStatus.DONE
        assert facts(read_tree(memory)) == facts(edited)
        _assert_sound(project)


def test_modes_and_times_of_folders_come_back_where_nothing_else_differs() -> None:
    tree: Tree = {"alpha": Folder(0o700, 5), "alpha/x": File(b"x", 0o600, 7)}
    with _store(tree) as (project, memory):
        assert aml(project, "backup", "create").status == 0
        (memory / "alpha").chmod(0o777)
        assert restore(open_store(memory), "latest", now=NOW.timestamp(), conditions=CONDITIONS).status == 0
        assert read_tree(memory) == tree


@thrifty
@given(trees(), st.lists(edits, min_size=1, max_size=4), st.booleans())
def test_a_dry_run_says_what_a_restore_does_and_does_nothing(tree: Tree, changes: list[Edit], keep_extra: bool) -> None:
    with _store(tree) as (project, memory):
        assert aml(project, "backup", "create").status == 0
        for change in changes:
            apply(memory, change)
        edited = read_tree(memory)
        store, options = open_store(memory), RestoreOptions(keep_extra=keep_extra)
        told = restore(store, "latest", options, now=NOW.timestamp(), conditions=CONDITIONS, dry_run=True)
        assert read_tree(memory) == edited
        done = restore(store, "latest", options, now=NOW.timestamp(), conditions=CONDITIONS)
        assert (told.files, told.same, told.left) == (done.files, done.same, done.left)
        assert (told.records_before, told.records_after) == (done.records_before, done.records_after)
        before, after = _contents(edited), _contents(read_tree(memory))
        assert {one.path: one.what for one in told.files} == {
            _shown(path): "added" if path not in before else "removed" if path not in after else "changed"
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path)
        }


def _contents(tree: Tree) -> dict[str, object]:
    return {path: essence(path, node.data) for path, node in tree.items() if isinstance(node, File)}


def _shown(path: str) -> str:
    """A path as reports show it."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


@thrifty
@given(trees())
def test_a_second_backup_of_an_unchanged_store_adds_no_content(tree: Tree) -> None:
    with _store(tree) as (project, _):
        first = aml(project, "backup", "create", "--json").envelope["data"]
        for words in (["--full"], ["--incremental"]):
            again = aml(project, "backup", "create", *words, "--json").envelope["data"]
            assert [again[name] for name in ("new", "changed", "removed", "unread")] == [0, 0, 0, []]
            assert [again[name] for name in ("files", "folders", "bytes")] == [
                first[name] for name in ("files", "folders", "bytes")
            ]
