"""What restores have left in AML's own folder, or others put there, holds up no later run and misleads nobody."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import aml, small_store

RUN = "20260101T000000-0001-abcd"
RESTORES = Path(".loom", "memory.aml", "restore")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A store that was backed up, so that its state has a folder."""
    small_store(tmp_path)
    assert aml(tmp_path, "backup", "create").status == 0
    return tmp_path


def leave_behind(folder: Path) -> None:
    (folder / "new").mkdir(parents=True)
    (folder / "new" / "0").write_text("[]", encoding="utf-8")


def test_a_leftover_folder_is_cleared_away(project: Path) -> None:
    leave_behind(project / RESTORES / RUN)
    answer = aml(project, "backup", "create")
    assert (answer.status, answer.err) == (0, "")
    assert not (project / RESTORES / RUN).exists()


def test_a_leftover_folder_that_cannot_be_removed_is_told_and_holds_up_nobody(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_behind(project / RESTORES / RUN)
    real = os.rmdir

    def refuse(path: Any, **options: Any) -> None:
        if RUN in os.fspath(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), os.fspath(path))
        real(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", refuse)
        answers = [aml(project, *words) for words in (("backup", "create"), ("prune", "--max-loss", "100%"))]
    for answer in answers:
        assert answer.status == 0, answer.err
        assert f"left over from the restore {RUN}" in answer.err
        assert str(project / RESTORES / RUN) in answer.err
    assert aml(project, "backup", "create").err == ""
    assert not (project / RESTORES / RUN).exists()


def test_a_link_in_place_of_the_folder_of_restores_is_not_followed(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    leave_behind(elsewhere / RUN)
    (elsewhere / RUN / "steps.json").write_text("{}", encoding="utf-8")
    (project / RESTORES).symlink_to(elsewhere)
    for words in (("backup", "list"), ("backup", "create")):
        answer = aml(project, *words)
        assert (answer.status, answer.err) == (0, "")
    assert (elsewhere / RUN / "new" / "0").exists()


def test_a_file_in_place_of_the_folder_of_restores_holds_up_no_other_command(project: Path) -> None:
    (project / RESTORES).write_text("mine", encoding="utf-8")
    for words in (("backup", "list"), ("backup", "create")):
        answer = aml(project, *words)
        assert (answer.status, answer.err) == (0, "")
    assert (project / RESTORES).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", [RUN, "mine"])
def test_what_is_no_restore_of_ours_is_not_taken_for_an_unfinished_one(project: Path, name: str) -> None:
    (project / RESTORES).mkdir()
    if name == RUN:
        (project / RESTORES / name).write_text("a file", encoding="utf-8")
    else:
        leave_behind(project / RESTORES / name)
        (project / RESTORES / name / "steps.json").write_text("{}", encoding="utf-8")
    assert aml(project, "backup", "list").err == ""
    assert aml(project, "backup", "create").status == 0
    assert (project / RESTORES / name).exists()
