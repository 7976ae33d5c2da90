"""What a shell is given to complete a word with: names that are in the store, and never an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import aml, small_store

Completed = Callable[[Path, str], list[str]]


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Completed:
    """What bash may put for the last of some words that are typed in a folder."""

    def ask(folder: Path, words: str) -> list[str]:
        monkeypatch.chdir(folder)
        for name, value in (("_AML_COMPLETE", "complete_bash"), ("COMP_WORDS", words)):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        if not list(folder.iterdir()):
            folder.rmdir()
        with pytest.raises(SystemExit) as ended:
            aml(folder)
        out, err = capfd.readouterr()
        assert (ended.value.code, err) == (0, "")
        return out.split()

    return ask


def test_names_of_the_store_are_completed(tmp_path: Path, completed: Completed) -> None:
    project = small_store(tmp_path)
    assert aml(project, "prune").status == 0
    run = aml(project, "prune", "history", "--json").envelope["data"]["runs"][0]["id"]
    [backup] = aml(project, "backup", "list", "--json").envelope["data"]["backups"]
    assert aml(project, "monitor", "health", "--checks", "backup", now=2e9).status == 5
    [alert] = aml(project, "monitor", "alerts", "--json").envelope["data"]["alerts"]
    assert completed(project, "aml prune --agent ") == ["alpha"]
    assert completed(project, "aml query --kind s") == ["solution"]
    assert completed(project, "aml prune undo ") == [run]
    assert completed(project, "aml backup show ") == ["latest", backup["id"]]
    assert completed(project, "aml backup show l") == ["latest"]
    assert completed(project, "aml monitor alerts show ") == [alert["id"]]


@pytest.mark.parametrize("words", ["aml prune --agent ", "aml prune undo ", "aml monitor alerts show "])
@pytest.mark.parametrize("is_there", [True, False])
def test_where_there_is_no_store_there_is_nothing_to_complete_with(
    tmp_path: Path, completed: Completed, words: str, is_there: bool
) -> None:
    """Nor where the folder was removed under the shell."""
    folder = tmp_path / "here"
    folder.mkdir()
    if is_there:
        (folder / "file").touch()
    assert completed(folder, words) == []
    assert os.path.exists(folder) is is_there
