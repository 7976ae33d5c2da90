"""Whatever is in the figures, Prometheus reads it as it is; whatever happens to the history, it goes on."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from aml.monitor.metrics import DamagedFile, Metrics
from aml.monitor.prometheus import exposition
from aml.monitor.samples import (
    FILE_NAME,
    MOST_BYTES,
    MOST_SAMPLES,
    Sample,
    append_sample,
    growth,
    read_samples,
    thinned,
)
from aml.store.open import open_store
from aml.workflows.metrics import collect_metrics
from tests.support.records import NOW, pattern
from tests.support.stores import make_store

_texts = st.text(st.characters(exclude_categories=()), max_size=30)
_samples = st.builds(
    Sample,
    time=st.floats(0, 2e9),
    bytes=st.integers(0, 1 << 50),
    records=st.dictionaries(st.sampled_from(("patterns", "solutions")), st.integers(0, 1 << 40)),
    agents=st.dictionaries(st.text(max_size=5), st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),
)


def _figures() -> Metrics:
    with tempfile.TemporaryDirectory() as scratch:
        memory = make_store(Path(scratch), {"alpha": {"patterns": [pattern(), pattern(active=False)]}})
        return collect_metrics(open_store(memory), now=NOW.timestamp()).metrics


FIGURES = _figures()


def parsed(text: str) -> dict[str, list[Any]]:
    """The samples of each family by name, as another program reads them."""
    return {one.name: one.samples for one in text_string_to_metric_families(text)}


def shown(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@given(_texts, _texts, _texts)
def test_any_name_is_read_back_as_it_is(store: str, agent: str, schema: str) -> None:
    (alpha,) = FIGURES.agents
    metrics = structs.replace(
        FIGURES,
        store=store,
        agents=(structs.replace(alpha, agent=agent),),
        damaged=(DamagedFile(agent, "patterns", 5, "why"),),
        schemas={schema: 3},
    )
    text = exposition(metrics, "1.0")
    text.encode()
    found = parsed(text)
    for name in ("aml_agent_bytes", "aml_agent_records", "aml_file_damaged"):
        assert {one.labels["agent"] for one in found[name]} == {shown(agent)}
    (line,) = found["aml_records_by_schema"]
    assert (line.labels["schema"], line.value) == (shown(schema), 3)
    assert {one.labels["store"] for samples in found.values() for one in samples} == {shown(store)}


@given(st.integers(0, 1 << 53), st.floats(0, 1e300), st.none() | st.floats(0, 1))
def test_any_figure_is_read_back_as_it_is(size: int, seconds: float, rate: float | None) -> None:
    metrics = structs.replace(
        FIGURES,
        size=structs.replace(FIGURES.size, records_bytes=size),
        queries=structs.replace(FIGURES.queries, seconds=seconds),
        cache=structs.replace(FIGURES.cache, hit_rate=rate),
    )
    found = parsed(exposition(metrics, "1.0"))
    assert next(one.value for one in found["aml_store_bytes"] if one.labels["part"] == "records") == size
    assert next(one.value for one in found["aml_query_duration_seconds"] if one.name.endswith("_sum")) == seconds
    assert [one.value for one in found.get("aml_cache_hit_ratio", [])] == ([] if rate is None else [rate])


@given(st.lists(_samples, min_size=1, max_size=5), st.integers(0, 2000), st.binary(max_size=20), _samples)
def test_a_history_that_was_cut_anywhere_is_read_and_goes_on(
    first: list[Sample], cut: int, garbage: bytes, later: Sample
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(make_store(Path(scratch), {}))
        for one in first:
            append_sample(store, one)
        path = store.state / FILE_NAME
        whole = path.read_bytes()
        path.write_bytes(whole[: cut % (len(whole) + 1)] + garbage)
        before = read_samples(store)
        complete = whole[: cut % (len(whole) + 1)].count(b"\n")
        assert before[:complete] == first[:complete]
        append_sample(store, later)
        after = read_samples(store)
        assert after[-1] == later
        assert after[: len(before)] == before


@given(st.lists(_samples, max_size=60), st.floats(0, 2e9))
def test_a_thinned_history_is_part_of_it_in_its_order(samples: list[Sample], now: float) -> None:
    kept = thinned(samples, now)
    assert len(kept) <= MOST_SAMPLES
    rest = iter(samples)
    assert all(any(one == other for other in rest) for one in kept)
    assert kept[-1:] == samples[-1:]
    assert sum(len(str(one)) for one in kept) < 2 * MOST_BYTES
    assert thinned(kept, now) == kept
    for one in samples:
        assert len(growth(samples, one)) <= 3


def test_names_and_types_are_those_that_prometheus_wants() -> None:
    """By hand what ``promtool check metrics`` looks for."""
    seen: set[str] = set()
    kind = ""
    for line in exposition(FIGURES, "1.0").splitlines():
        if line.startswith("# HELP "):
            name, _, help_text = line.removeprefix("# HELP ").partition(" ")
            assert name not in seen, "told of twice"
            assert help_text
            assert name.startswith("aml_")
            assert set(name) <= {*string.ascii_lowercase, "_"}
            seen.add(name)
        elif line.startswith("# TYPE "):
            told, kind = line.removeprefix("# TYPE ").split(" ")
            assert told == name, "a type follows its help"
            assert (kind == "counter") == name.endswith("_total")
            assert not name.endswith(("_count", "_sum", "_bucket"))
        else:
            assert line.partition("{")[0] in (name, *((f"{name}_sum", f"{name}_count") if kind == "summary" else ()))
            assert len(line.rpartition("} ")[2].split()) == 1, "no line has a time of its own"
    units = ("milliseconds", "_ms", "minutes", "hours", "kilobytes", "mebibytes", "percent")
    assert not [name for name in seen if name.endswith(units)]
    assert len(seen) > 30
