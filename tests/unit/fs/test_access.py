"""What a person is told of a system call that failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aml.fs.access import explain, lack_of

PERMISSION = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_what_cannot_be_made_is_explained_by_the_folder_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "not there" / "nor this" / "file"
    assert str(tmp_path) in explain(PERMISSION, "create", path).advice


def test_commands_in_advice_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    assert lack_of("read", "r", folder).endswith(f"chmod u+r '{folder}'")


def test_what_has_gone_since_the_call_was_refused_is_explained_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("gone", "link"):
        assert explain(PERMISSION, "read", tmp_path / name).message.endswith("Permission denied")


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="no file system that is read-only for everybody")
def test_where_nobody_can_write_no_right_is_asked_for() -> None:
    read_only = next(
        (path for path in map(Path, ("/sys", "/proc/sys")) if os.statvfs(path).f_flag & os.ST_RDONLY), None
    )
    if read_only is None:
        pytest.skip("none of them is mounted read-only here")
    assert lack_of("write to", "wx", read_only) == f"the file system of {read_only} is mounted read-only"


def test_nobody_is_told_to_make_a_folder_of_the_system_his_own() -> None:
    if os.geteuid() == 0:
        pytest.skip("root owns them")
    assert "chown" not in lack_of("write to", "w", Path("/"))
    assert "name another place, or run AML as root" in lack_of("write to", "w", Path("/"))


def test_the_owner_of_what_belongs_to_another_user_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 12_345, -1)
    told = lack_of("write to", "w", tmp_path)
    assert f"which belongs to 12345: run AML as 12345, or chown root {tmp_path}" in told
