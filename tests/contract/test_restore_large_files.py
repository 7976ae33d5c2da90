"""Files that are too large to be held in memory whole are restored piece by piece, under the same promises."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from tests.cli.running import aml
from tests.contract.backing_up import create_backup, flip, memory_of, packs_of, project_in

NAME = "alpha/recording.bin"
DATA = hashlib.shake_128(b"recording").digest((8 << 20) + 4321)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a backup of a large file."""
    project = project_in(tmp_path / "project")
    path = memory_of(project) / NAME
    path.write_bytes(DATA)
    path.chmod(0o640)
    create_backup(project)
    return project


def test_a_large_file_comes_back_with_its_mode_and_time(project: Path, tmp_path: Path) -> None:
    answer = aml(project, "backup", "restore", "latest", "--target", str(tmp_path / "target"))
    assert (answer.status, answer.err) == (0, "")
    found, original = tmp_path / "target" / NAME, memory_of(project) / NAME
    assert found.read_bytes() == DATA
    assert (found.stat().st_mode, found.stat().st_mtime_ns) == (original.stat().st_mode, original.stat().st_mtime_ns)


def test_a_large_file_that_is_damaged_towards_its_end_is_not_there_in_part(project: Path, tmp_path: Path) -> None:
    pack = max(packs_of(project), key=lambda path: path.stat().st_size)
    flip(pack, pack.stat().st_size * 3 // 4)
    words = ("backup", "restore", "latest", "--target", str(tmp_path / "target"))
    assert aml(project, *words).status == 12
    assert not (tmp_path / "target").exists()
    answer = aml(project, *words, "--skip-damaged")
    assert answer.status == 3
    assert NAME in answer.out + answer.err
    assert sorted(path.name for path in (tmp_path / "target/alpha").iterdir()) == ["patterns.json"]


@pytest.mark.parametrize("limit", [5 << 20, 10])
def test_a_file_that_cannot_be_written_to_its_end_leaves_no_target(project: Path, tmp_path: Path, limit: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        answer = aml(project, "backup", "restore", "latest", "--target", str(tmp_path / "target"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status, "File too large" in answer.err) == (1, True), answer
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
