"""What health says of the index, of the time of queries and of the cache of loaders."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from aml.config import HealthSettings, Settings
from aml.index.statistics import Statistics
from tests.cli.running import aml
from tests.contract.checking import checked, only_finding, store_with, subjects
from tests.support.records import pattern
from tests.support.stores import make_store, tree_digest, write_array


def write_statistics(tmp_path: Path, statistics: Statistics) -> None:
    folder = tmp_path / ".loom/memory.aml/index"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "statistics.json").write_bytes(msgspec.json.encode(statistics))


def test_an_index_that_is_missing_or_stale_is_told_and_not_made(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    assert subjects(checked(memory, "index")) == {"": "info"}
    assert not (tmp_path / ".loom/memory.aml").exists()
    assert aml(tmp_path, "optimize", "index").status == 0
    found = checked(memory, "index")
    assert (found.state, found.value) == ("ok", 0)
    write_array(memory / "alpha/patterns.json", [pattern()])
    (memory / "alpha/solutions.json").unlink()
    before = tree_digest(tmp_path)
    finding = only_finding(memory, "index")
    assert (finding.level.word, finding.value) == ("info", 2)
    assert finding.message == "1 file has changed and 1 gone since the index was made"
    assert tree_digest(tmp_path) == before


def test_a_store_without_agents_needs_no_index(tmp_path: Path) -> None:
    assert checked(make_store(tmp_path, {}), "index").state == "ok"


def test_an_index_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    (tmp_path / ".loom/memory.aml").write_text("in the way")
    assert subjects(checked(memory, "index", record=True)) == {"kept": "warning"}
    assert subjects(checked(memory, "index")) == {"kept": "info"}


@pytest.mark.parametrize(
    ("recent", "value", "state"),
    [
        ([], None, "ok"),
        ([9.0] * 19, None, "ok"),
        ([0.02] * 100, 20, "ok"),
        ([0.02] * 96 + [9.0] * 4, 20, "ok"),
        ([0.02] * 90 + [0.5] * 10, 500, "warning"),
    ],
)
def test_slow_queries_are_told_where_there_are_enough_of_them(
    tmp_path: Path, recent: list[float], value: float | None, state: str
) -> None:
    memory = store_with(tmp_path)
    write_statistics(tmp_path, Statistics(queries=len(recent), recent=recent))
    found = checked(memory, "query_time")
    assert (found.state, found.value, found.threshold) == (state, value, 100)
    relaxed = checked(memory, "query_time", settings=Settings(health=HealthSettings(query_ms=600)))
    assert relaxed.state == "ok"


@pytest.mark.parametrize(
    ("hits", "misses", "value", "state"),
    [(0, 0, None, "ok"), (0, 99, None, "ok"), (0, 100, 0, "warning"), (49, 51, 0.49, "warning"), (50, 50, 0.5, "ok")],
)
def test_a_cache_that_misses_is_told_where_there_were_enough_look_ups(
    tmp_path: Path, hits: int, misses: int, value: float | None, state: str
) -> None:
    memory = store_with(tmp_path)
    write_statistics(tmp_path, Statistics(hits=hits, misses=misses))
    found = checked(memory, "cache")
    assert (found.state, found.value) == (state, value)
