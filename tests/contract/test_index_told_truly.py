"""What a loader cannot know, and what befalls its index meanwhile, is told and passes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aml import MemoryLoader
from aml.errors import DamagedError, NotFoundError, UsageError
from tests.support.records import pattern
from tests.support.stores import make_store


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return make_store(tmp_path, {"alpha": {"patterns": [pattern(id=f"a{n}", tags=["t"]) for n in range(5)]}})


def test_a_record_may_be_in_a_file_that_cannot_be_read(memory: Path) -> None:
    (memory / "alpha" / "solutions.json").write_text('[{"id": "s1"', encoding="utf-8")
    with MemoryLoader(memory) as loader:
        with pytest.raises(DamagedError, match="alpha/solutions"):
            loader.get("s1")
        with pytest.raises(NotFoundError):
            loader.get("s1", kind="patterns")
        assert [(one.agent, one.kind) for one in loader.unread] == [("alpha", "solutions")]
        assert loader.get("a1").id == "a1"


@pytest.mark.parametrize("harm", ["another", "cut", "noise"])
def test_an_index_that_is_written_into_while_it_is_open_is_made_anew(tmp_path: Path, memory: Path, harm: str) -> None:
    other = make_store(tmp_path / "other", {"beta": {"patterns": [pattern(id="b0", agent="beta")]}})
    with MemoryLoader(other) as loader:
        assert loader.exists("b0")
    with MemoryLoader(memory) as loader:
        assert loader.get("a0").id == "a0"
        (index,) = memory.with_name("memory.aml").rglob("records.sqlite")
        (stranger,) = other.with_name("memory.aml").rglob("records.sqlite")
        data = {"another": stranger.read_bytes(), "cut": index.read_bytes()[:5000], "noise": os.urandom(20_000)}[harm]
        with index.open("r+b") as file:
            file.truncate(0)
            file.write(data)
        assert loader.get("a0").id == "a0"
        assert not loader.exists("b0")
        assert len(loader.find(tags=("t",))) == 5


def test_questions_that_are_none_are_refused(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        for filters in (
            {"limit": "1; DROP TABLE records"},
            {"limit": 1.5},
            {"limit": -1},
            {"sort": "x"},
            {"since": 10**400},
            {"text": 5},
            {"tags": ("t",) * 2 + tuple(f"t{n}" for n in range(2000))},
            {"text": " ".join(f"w{n}" for n in range(500))},
        ):
            with pytest.raises(UsageError):
                loader.find(**filters)
        for ident in (None, 5, 1.5):
            with pytest.raises(UsageError):
                loader.get(ident)  # type: ignore[arg-type]
        with pytest.raises(NotFoundError) as told:
            loader.get("a" * 300_000)
        assert len(told.value.message) < 1000
        assert not loader.exists("sur\ud800")
        assert len(loader.find(limit=1 << 80)) == 5
        assert len(loader.find(tags=("t",) * 1500)) == 5
    with pytest.raises(UsageError, match="closed"):
        loader.get("a0")
