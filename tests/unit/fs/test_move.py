"""Files put in the place of others, also from another file system, where they have to become copies."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml.errors import FileAccessError
from aml.fs.move import link_or_copy, move
from tests.contract.backing_up import without_rights


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than ``tmp_path``."""
    shared = Path("/dev/shm")  # noqa: S108  (the one that is there on every Linux)
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    folder = Path(tempfile.mkdtemp(prefix="aml-test-", dir=shared))
    yield folder
    shutil.rmtree(folder)


def written(path: Path, data: bytes = b"moved") -> Path:
    path.write_bytes(data)
    path.chmod(0o640)
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    return path


def told(path: Path) -> tuple[bytes, int, int]:
    return path.read_bytes(), path.stat().st_mode & 0o7777, path.stat().st_mtime_ns


@pytest.mark.parametrize("is_far", [False, True])
def test_what_is_moved_keeps_its_mode_and_time(tmp_path: Path, far: Path, is_far: bool) -> None:
    source, target = written(tmp_path / "source"), (far if is_far else tmp_path) / "target"
    target.write_bytes(b"replaced")
    before = told(source)
    move(source, target)
    assert told(target) == before
    assert not source.exists()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("is_far", [False, True])
def test_a_link_is_one_file_where_it_can_be_and_else_a_copy(tmp_path: Path, far: Path, is_far: bool) -> None:
    source, new = written(tmp_path / "source"), (far if is_far else tmp_path) / "new"
    link_or_copy(source, new)
    assert told(new) == told(source)
    assert os.path.samefile(new, source) != is_far


def test_a_link_takes_no_place_that_is_taken(tmp_path: Path) -> None:
    source, new = written(tmp_path / "source"), written(tmp_path / "new", b"mine")
    with pytest.raises(FileExistsError):
        link_or_copy(source, new)
    assert new.read_bytes() == b"mine"


def test_a_copy_that_does_not_get_to_its_end_leaves_both_as_they_were(tmp_path: Path, far: Path) -> None:
    source, target = written(tmp_path / "source", bytes(10_000)), written(far / "target", b"mine")
    before = told(source)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            move(source, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told(source) == before
    assert [(path.name, path.read_bytes()) for path in far.iterdir()] == [("target", b"mine")]


def test_where_there_is_no_folder_nothing_is_moved(tmp_path: Path) -> None:
    source = written(tmp_path / "source")
    with pytest.raises(FileNotFoundError):
        move(source, tmp_path / "none/target")
    assert source.exists()


def test_a_copy_that_cannot_be_given_its_owner_is_not_made(far: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has files of another user")
    with tempfile.TemporaryDirectory() as name:
        source = written(Path(name, "source"))
        source.chmod(0o644)
        for folder in (source.parent, far):
            folder.chmod(0o777)
        with without_rights(), pytest.raises(FileAccessError, match="may not give the new file its owner 0:0"):
            move(source, far / "target")
        assert source.exists()
    assert list(far.iterdir()) == []
