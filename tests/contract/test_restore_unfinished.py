"""A restore in place that died at any step is brought to its end by the next run that changes the store, or is undone;
and what people and agents did in between is left alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml
from tests.contract.recovering import look
from tests.contract.side_by_side import changed_since_backup, killed_restore, memory

#: Calls after which the restore dies, in their order; all but the first are in the store.
STAGED = "utime .loom/memory.aml/restore"
STEPS = [
    "unlink .loom/memory/alpha/since/more.md",
    "rmdir .loom/memory/alpha/since",
    "mkdir .loom/memory/alpha/notes",
    "rename .loom/memory/beta/gone.md",
    "fchmod .loom/memory/alpha/mode.md",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    changed_since_backup(tmp_path / "project")
    return tmp_path / "project"


def ended(project: Path) -> Answer:
    """The next run that changes the store; nothing is left of the restore after it."""
    answer = aml(project, "optimize", "gc", "--yes", now=time.time())
    assert not list((project / ".loom/memory.aml/restore").iterdir())
    return answer


def contents(project: Path) -> dict[str, object]:
    """Of every file and folder, content and mode."""
    return {path: node[:2] for path, node in look(memory(project)).items()}


def wanted(project: Path, target: Path) -> dict[str, object]:
    assert aml(project, "backup", "restore", "latest", "--target", str(target)).status == 0
    return {path: node[:2] for path, node in look(target).items()}


def test_one_that_changed_nothing_yet_leaves_nothing(project: Path) -> None:
    before = contents(project)
    killed_restore(project, STAGED)
    answer = ended(project)
    assert (answer.status, "had died before it changed anything" in answer.err) == (0, True), answer
    assert contents(project) == before


@pytest.mark.parametrize("step", STEPS)
def test_one_that_had_begun_is_completed(project: Path, tmp_path: Path, step: str) -> None:
    then = wanted(project, tmp_path / "target")
    killed_restore(project, step)
    answer = ended(project)
    assert (answer.status, "had died: it was completed" in answer.err) == (0, True), answer
    assert contents(project) == then


def _a_file_for_a_folder(root: Path) -> None:
    shutil.rmtree(root / "alpha/notes")
    (root / "alpha/notes").write_bytes(b"mine")


def _a_link_for_a_folder(root: Path) -> None:
    shutil.rmtree(root / "alpha/notes")
    (root / "alpha/notes").symlink_to(root.parent)


@pytest.mark.parametrize(
    ("meddle", "told"),
    [(_a_file_for_a_folder, "is no folder any more"), (_a_link_for_a_folder, "has become a link")],
    ids=["file", "link"],
)
def test_one_that_cannot_be_completed_is_undone(project: Path, meddle: Callable[[Path], None], told: str) -> None:
    before = contents(project)
    killed_restore(project, "mkdir .loom/memory/alpha/notes")
    meddle(memory(project))
    answer = ended(project)
    assert f"{told}), so it was undone" in answer.err
    notes = memory(project) / "alpha/notes"
    assert notes.is_symlink() or notes.read_bytes() == b"mine"
    notes.unlink()
    assert contents(project) == before


def test_what_was_half_written_goes_and_what_was_removed_stays_away(project: Path, tmp_path: Path) -> None:
    then = wanted(project, tmp_path / "target")
    run = killed_restore(project, "mkdir .loom/memory/alpha/notes").name
    archive = project / ".loom/memory-backup/archives" / f"backup-{run}/alpha"
    archive.mkdir(parents=True)
    (archive / ".patterns.json.aml-tmp-00000000").write_bytes(b"[")
    (memory(project) / "alpha/mode.md").unlink()
    assert ended(project).status == 0
    assert list(archive.iterdir()) == []
    then.pop("alpha/mode.md")
    assert contents(project) == then
