"""A folder that is easily taken for a store is refused, and the right one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import aml, small_store
from tests.support.stores import tree_digest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = small_store(tmp_path)
    assert aml(project, "backup", "create").status == 0
    return project


@pytest.mark.parametrize(
    ("place", "told", "advised"),
    [
        (".loom/memory/alpha", "it is the folder of one agent", "/.loom/memory\n"),
        (".loom/memory-backup", "it is a repository of backups", "name the memory folder itself"),
        (".loom/memory.aml", "it is AML's own folder", "name the memory folder itself"),
    ],
)
@pytest.mark.parametrize("words", [("prune", "--yes"), ("backup", "create"), ("monitor", "health")], ids=" ".join)
def test_it_is_told_what_the_folder_is(
    project: Path, words: tuple[str, ...], place: str, told: str, advised: str
) -> None:
    before = tree_digest(project / ".loom")
    answer = aml(project, "--store", place, *words)
    assert answer.status == ExitStatus.NO_STORE
    assert f"{place} is not a store: {told}" in answer.err
    assert advised in answer.err
    assert tree_digest(project / ".loom") == before


def test_a_repository_that_lost_its_description_is_known_all_the_same(project: Path) -> None:
    (project / ".loom/memory-backup/repository.json").unlink()
    answer = aml(project, "--store", ".loom/memory-backup", "prune", "--yes")
    assert (answer.status, "it is a repository of backups" in answer.err) == (ExitStatus.NO_STORE, True)
