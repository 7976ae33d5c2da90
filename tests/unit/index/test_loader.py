"""MemoryLoader: single records, as they are in the store at each call."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import aml
from aml.errors import NotFoundError, UsageError
from aml.index.answers import LOAD_FROM, MAKE_FROM, Answers
from aml.index.hot_set import FILE_NAME as HOT
from aml.index.loader import MemoryLoader
from aml.store.open import open_store
from aml.workflows.index import warm_cache
from tests.support.indexes import DAMAGES, index_folder_of, opened
from tests.support.records import decision, pattern, solution
from tests.support.stores import Form, make_store, record_spans, write_array


@pytest.fixture(params=["plain", "gzip"])
def memory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    form: Form = request.param
    contents = {
        "alpha": {
            "patterns": [pattern(id="p1", tags=["red"]), pattern(id="twin", note="in alpha"), pattern(id="p2")],
            "solutions": [solution(id="s1"), solution(id="twin", note="a solution")],
        },
        "beta": {"patterns": [pattern(id="twin", agent="beta", note="in beta")], "decisions": [decision(id="d1")]},
    }
    return make_store(tmp_path, contents, form=form)


def test_a_record_is_its_exact_bytes(memory: Path) -> None:
    with aml.MemoryLoader(memory) as loader:
        raws = record_spans(memory / "alpha" / "patterns.json")
        for _ in range(2):
            assert [loader.get(ident, agent="alpha", kind="pattern").raw for ident in ("p1", "twin", "p2")] == raws
        found = loader.get("s1")
        assert (found.agent, found.kind, found.id, found.decoded()["id"]) == ("alpha", "solutions", "s1", "s1")
        assert (loader.statistics.hits, loader.statistics.misses) == (3, 4)


def test_the_same_id_in_several_places_must_be_told_apart(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        with pytest.raises(NotFoundError, match="alpha/patterns, alpha/solutions, beta/patterns"):
            loader.get("twin")
        with pytest.raises(NotFoundError, match="alpha/patterns, alpha/solutions"):
            loader.get("twin", agent="alpha")
        assert loader.get("twin", agent="beta").decoded()["note"] == "in beta"
        assert loader.get("twin", kind="solutions").decoded()["note"] == "a solution"
        assert loader.exists("twin")


def test_an_id_that_is_not_there_names_the_nearest(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        with pytest.raises(NotFoundError, match=r"nearest: .*p1") as raised:
            loader.get("p7")
        assert "p7" in raised.value.message
        with pytest.raises(NotFoundError, match="nearest"):
            loader.get("zzz")
        assert not loader.exists("p7")
        assert not loader.exists("p1", agent="beta")
        for wrong in ({"agent": "alpa"}, {"kind": "thoughts"}):
            with pytest.raises(UsageError, match="known"):
                loader.get("p1x", **wrong)
            with pytest.raises(UsageError, match="known"):
                loader.exists("p1", **wrong)


def test_of_several_versions_in_one_file_the_newest_is_given(tmp_path: Path) -> None:
    versions = [
        pattern(id="v", unused_days=9, note="old"),
        pattern(id="v", unused_days=1, executions=9, note="newest"),
        pattern(id="v", unused_days=1, executions=3, note="less used"),
        pattern(id="v", unused_days=None, note="unknown"),
    ]
    with MemoryLoader(make_store(tmp_path, {"alpha": {"patterns": versions}})) as loader:
        assert loader.get("v").decoded()["note"] == "newest"


def test_every_call_sees_what_others_have_written(memory: Path) -> None:
    path = memory / "beta" / "decisions.json"
    with MemoryLoader(memory) as loader:
        assert loader.get("d1").decoded()["id"] == "d1"
        write_array(path, [decision(id="d1", note="changed"), decision(id="d2")])
        assert loader.get("d1").decoded()["note"] == "changed"
        assert loader.exists("d2")
        path.unlink()
        assert not loader.exists("d1")
        with pytest.raises(NotFoundError):
            loader.get("d2")


def test_find_takes_the_filters_of_a_query(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        assert [found.id for found in loader.find(tags=("red",))] == ["p1"]
        assert {found.id for found in loader.find(kinds=("decision", "solutions"))} == {"d1", "s1", "twin"}
        assert loader.find(agents="beta", kinds=["pattern"]) == loader.find(agents=("beta",), kinds=("patterns",))
        assert [found.id for found in loader.find(aml.Query(text="beta", kinds=("pattern",)))] == ["twin"]
        for wrong in ({"agents": ("nobody",)}, {"kinds": ("thought",)}, {"sort": "relevance"}, {"text": "--"}):
            with pytest.raises(UsageError):
                loader.find(**wrong)


def test_the_cache_is_bounded_by_bytes(tmp_path: Path) -> None:
    records = [pattern(id=f"p{number}", note="x" * 1000) for number in range(50)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*records, pattern(id="huge", note="x" * 30_000)]}})
    with MemoryLoader(memory, cache_bytes=20_000) as loader:
        for number in range(50):
            loader.get(f"p{number}")
        loader.get("huge")
        counted = loader.statistics
        assert (counted.misses, counted.hits) == (51, 0)
        assert counted.evictions > 30
        loader.get("p49")
        loader.get("p0")
        assert (loader.statistics.hits, loader.statistics.misses) == (1, 52)


def test_figures_are_kept_across_processes(memory: Path) -> None:
    for _ in range(3):
        with MemoryLoader(memory) as loader:
            loader.get("p1")
            loader.get("p1")
    with MemoryLoader(memory) as loader:
        counted = loader.statistics
    assert (counted.hits, counted.misses, counted.queries, len(counted.recent)) == (3, 3, 6, 6)
    assert counted.hit_rate == 0.5
    assert 0 < counted.slowest <= counted.seconds


def test_damaged_figures_begin_anew(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        loader.get("p1")
    (index_folder_of(memory) / "statistics.json").write_bytes(b'{"hits": "many"}')
    with MemoryLoader(memory) as loader:
        loader.get("p1")
        assert loader.statistics.misses == 1
    assert json.loads((index_folder_of(memory) / "statistics.json").read_bytes())["misses"] == 1


def test_the_hot_set_is_at_hand_from_the_start(memory: Path) -> None:
    report = warm_cache(open_store(memory))
    assert (report.records, report.cache_bytes) == (7, 10 << 20)
    with MemoryLoader(memory) as loader:
        loader.get("p1")
        loader.get("twin", agent="beta")
        assert (loader.statistics.hits, loader.statistics.misses) == (2, 0)


def test_what_changed_since_the_hot_set_was_written_is_dropped(memory: Path) -> None:
    warm_cache(open_store(memory))
    write_array(memory / "beta" / "patterns.json", [pattern(id="twin", agent="beta", note="changed")])
    with MemoryLoader(memory) as loader:
        assert loader.get("twin", agent="beta").decoded()["note"] == "changed"
        loader.get("p1")
        assert (loader.statistics.hits, loader.statistics.misses) == (1, 1)


def test_the_hot_set_holds_the_most_valuable_up_to_its_share(tmp_path: Path) -> None:
    records = [pattern(id=f"p{number}", success=number / 100, executions=1, note="x" * 2000) for number in range(100)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    dry = warm_cache(open_store(memory), cache_bytes=100_000, dry_run=True)
    assert not (index_folder_of(memory) / HOT).exists()
    report = warm_cache(open_store(memory), cache_bytes=100_000)
    assert (dry.records, dry.bytes) == (report.records, report.bytes)
    assert 75_000 < report.bytes <= 80_000
    with MemoryLoader(memory, cache_bytes=100_000) as loader:
        for number in range(99, 99 - report.records, -1):
            loader.get(f"p{number}")
        assert (loader.statistics.hits, loader.statistics.misses) == (report.records, 0)


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_damaged_hot_set_is_ignored_and_made_anew(memory: Path, damage: str) -> None:
    warm_cache(open_store(memory))
    path = index_folder_of(memory) / HOT
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    with MemoryLoader(memory) as loader:
        assert loader.get("p1").decoded()["id"] == "p1"
        assert loader.statistics.misses == 1
    warm_cache(open_store(memory))
    assert path.read_bytes() == whole


def test_the_hit_rate_is_over_80_percent_after_warming(tmp_path: Path) -> None:
    rng = random.Random(5)
    records = [
        pattern(id=f"p{n}", success=rng.random(), executions=rng.randrange(80), note="x" * 1300) for n in range(2000)
    ]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = (memory / "alpha" / "patterns.json").stat().st_size
    cache_bytes = int(size * 10 / 17.7)  # as 10 MiB are to 10,000 records
    warm_cache(open_store(memory), cache_bytes=cache_bytes)
    ranks = [f"p{n}" for n in rng.sample(range(2000), 2000)]
    with MemoryLoader(memory, cache_bytes=cache_bytes) as loader:
        for ident in rng.choices(ranks, [1 / rank for rank in range(1, 2001)], k=5000):
            loader.get(ident)
        rate = loader.statistics.hit_rate
    assert rate is not None
    assert rate > 0.8


def test_many_look_ups_in_vain_bring_a_filter_that_belongs_to_the_state_of_the_store(memory: Path) -> None:
    index = opened(memory)
    answers = Answers()
    answers.belong_to(index)
    assert not any(answers.is_surely_not_here(index, "p7") for _ in range(MAKE_FROM - 1))
    assert answers.is_surely_not_here(index, "p7")
    assert not any(answers.is_surely_not_here(index, ident) for ident in ("p1", "p2", "twin", "s1", "d1"))
    later = Answers()
    later.belong_to(index)
    assert [later.is_surely_not_here(index, "p7") for _ in range(LOAD_FROM)][-2:] == [False, True]
    write_array(memory / "beta" / "decisions.json", [decision(id="p7")])
    index.refresh()
    later.belong_to(index)
    assert not any(later.is_surely_not_here(index, "p7") for _ in range(LOAD_FROM + 1))
    index.close()
