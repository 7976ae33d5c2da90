"""The sample store is realistic, holds each oddity of real stores, and is the same for the same seed."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aml.demo.records import iso_ms, make_decision, make_pattern, make_solution
from aml.demo.sample import COUNTS, DAMAGED_AGENT, PLAIN_AGENT, write_sample_store
from tests.support.stores import gunzipped, read_array, record_spans, tree_digest

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KINDS = ("patterns", "solutions", "decisions")
PROTECTED_VALUE = 0.85


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / ".loom" / "memory"
    write_sample_store(root, now=NOW)
    return root


@pytest.fixture(scope="module")
def records(store: Path) -> dict[str, dict[str, list[Any]]]:
    """All readable records by agent and kind."""
    return {
        agent: {
            kind: read_array(store / agent / f"{kind}.json")
            for kind in KINDS
            if (agent, kind) != (DAMAGED_AGENT, "decisions")
        }
        for agent in COUNTS
    }


def _all(records: dict[str, dict[str, list[Any]]], kind: str) -> list[dict[str, Any]]:
    return [record for kinds in records.values() for record in kinds.get(kind, []) if record is not None]


def _contents(root: Path) -> dict[str, str]:
    return {name: digest for name, (digest, *_) in tree_digest(root).items()}


def test_same_seed_and_moment_give_the_same_bytes(store: Path, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "again", seed=7, now=NOW)
    assert _contents(tmp_path / "again") == _contents(store)


def test_another_seed_gives_other_records(store: Path, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "other", seed=8, now=NOW)
    other, first = _contents(tmp_path / "other"), _contents(store)
    assert all(other[f"{agent}/{kind}.json"] != first[f"{agent}/{kind}.json"] for agent in COUNTS for kind in KINDS)


def test_an_empty_folder_is_taken_and_a_used_one_refused(tmp_path: Path) -> None:
    write_sample_store(tmp_path, now=NOW)
    before = tree_digest(tmp_path)
    with pytest.raises(FileExistsError):
        write_sample_store(tmp_path, now=NOW)
    assert tree_digest(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("mine")
    with pytest.raises(FileExistsError):
        write_sample_store(tmp_path / "memory", now=NOW)
    assert (tmp_path / "memory").read_text() == "mine"


def test_a_moment_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        write_sample_store(tmp_path / "memory", now=datetime(2026, 11, 20))
    assert not (tmp_path / "memory").exists()


def test_every_file_but_the_damaged_one_parses(store: Path) -> None:
    damaged = store / DAMAGED_AGENT / "decisions.json"
    files = [path for path in store.rglob("*.json") if path != damaged]
    assert len(files) > 30
    for path in files:
        json.loads(gunzipped(path.read_bytes()))
    with pytest.raises((EOFError, zlib.error)):
        gzip.decompress(damaged.read_bytes())


def test_one_agent_is_plain_and_pretty_printed_and_the_others_are_gzip(store: Path) -> None:
    for agent in COUNTS:
        for name in (*KINDS, "metrics", "context"):
            data = (store / agent / f"{name}.json").read_bytes()
            assert data.startswith(b"\x1f\x8b") is (agent != PLAIN_AGENT), (agent, name)
    plain = (store / PLAIN_AGENT / "solutions.json").read_bytes()
    assert plain.startswith(b'[\n  {\n    "id": "')
    assert plain.endswith(b"\n]")


def test_gzip_headers_hold_no_time(store: Path) -> None:
    data = (store / "backend-architect" / "patterns.json").read_bytes()
    assert data[:10] == bytes.fromhex("1f8b0800000000000003")


def test_numbers_and_sizes_are_about_right(records: dict[str, dict[str, list[Any]]], store: Path) -> None:
    assert {agent for agent in records if (store / agent).is_dir()} == set(COUNTS)
    assert 350 <= sum(len(entries) for kinds in records.values() for entries in kinds.values()) <= 600
    lengths = [len(json.dumps(record, indent=2)) for kind in KINDS for record in _all(records, kind)]
    assert 1_300 <= sum(lengths) / len(lengths) <= 1_700
    assert max(lengths) < 3_000


def test_ids_are_unique_but_for_one_that_two_agents_share(records: dict[str, dict[str, list[Any]]]) -> None:
    owners: dict[str, list[str]] = {}
    for agent, kinds in records.items():
        for entries in kinds.values():
            for record in filter(None, entries):
                owners.setdefault(record["id"], []).append(agent)
    assert [names for names in owners.values() if len(names) > 1] == [["frontend-developer", "backend-architect"]]


def test_dates_lie_in_the_two_years_before_now_and_use_follows_creation(
    records: dict[str, dict[str, list[Any]]],
) -> None:
    dated = [pattern for pattern in _all(records, "patterns") if "lastUsed" in pattern["evolution"]]
    for pattern in dated:
        created, used = pattern["evolution"]["created"], pattern["evolution"]["lastUsed"]
        assert iso_ms(NOW - timedelta(days=731)) < created == pattern["timestamp"] <= used <= iso_ms(NOW)
    years = {pattern["timestamp"][:4] for pattern in dated}
    assert years == {"2024", "2025", "2026"}


def test_figures_are_spread_as_in_real_stores(records: dict[str, dict[str, list[Any]]]) -> None:
    patterns, solutions, decisions = (_all(records, kind) for kind in KINDS)
    assert all(0 <= pattern["metrics"]["successRate"] <= 1 for pattern in patterns)
    assert all(0 <= pattern["evolution"]["confidenceScore"] <= 1 for pattern in patterns)
    assert min(pattern["metrics"]["successRate"] for pattern in patterns) < 0.2
    assert 0.7 < sum(solution["effectiveness"]["worked"] for solution in solutions) / len(solutions) < 0.98
    assert {decision.get("outcome", "missing") is None for decision in decisions} == {True, False}
    assert any("outcome" not in decision for decision in decisions)
    assert {decision["outcome"].get("wouldRepeat") for decision in decisions if decision.get("outcome")} >= {
        True,
        False,
    }
    everything = patterns + solutions + decisions
    assert 0.8 < sum("tags" in record for record in everything) / len(everything) < 0.97
    assert 0.85 < sum(record["active"] for record in everything) / len(everything) < 1


def test_it_holds_a_lone_surrogate_that_the_runtime_would_write(store: Path) -> None:
    spans = record_spans(store / "frontend-developer" / "patterns.json")
    assert sum(rb"\ud83d" in span for span in spans) == 1


def test_it_holds_an_integer_that_needs_more_than_64_bits(records: dict[str, dict[str, list[Any]]]) -> None:
    big = [solution["problem"]["context"].get("requestId", 0) for solution in records["backend-architect"]["solutions"]]
    assert [value > 2**64 and int(float(value)) != value for value in big if value] == [True]


def test_it_holds_one_timestamp_that_cannot_be_parsed(records: dict[str, dict[str, list[Any]]]) -> None:
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    odd = [
        record["timestamp"]
        for kind in KINDS
        for record in _all(records, kind)
        if not form.fullmatch(record["timestamp"])
    ]
    assert len(odd) == 1
    with pytest.raises(ValueError, match="Invalid isoformat"):
        datetime.fromisoformat(odd[0])


def test_it_holds_a_pattern_without_last_use(records: dict[str, dict[str, list[Any]]]) -> None:
    assert sum("lastUsed" not in pattern["evolution"] for pattern in _all(records, "patterns")) == 1


def test_it_holds_a_valuable_pattern_that_nobody_used_for_120_days(records: dict[str, dict[str, list[Any]]]) -> None:
    unused = iso_ms(NOW - timedelta(days=120))
    [pattern] = [one for one in _all(records, "patterns") if one["evolution"].get("lastUsed") == unused]
    figures = pattern["metrics"]
    value = (
        0.4 * figures["successRate"]
        + 0.3 * pattern["evolution"]["confidenceScore"]
        + 0.2 * min(figures["executionCount"] / 50, 1)
        + 0.1 * min(figures["avgTimeSavedMs"] / 1000, 1)
    )
    assert value >= PROTECTED_VALUE


def test_it_holds_old_records_that_are_pinned(records: dict[str, dict[str, list[Any]]]) -> None:
    old = iso_ms(NOW - timedelta(days=400))
    tags = [
        tag
        for one in _all(records, "patterns")
        if one["evolution"].get("lastUsed", "9") < old
        for tag in one.get("tags", [])
    ]
    assert tags.count("pinned") >= 2
    assert "keep" in tags


def test_it_holds_a_null_element(records: dict[str, dict[str, list[Any]]]) -> None:
    assert records[PLAIN_AGENT]["patterns"].count(None) == 1


def test_it_holds_a_hand_written_outcome(records: dict[str, dict[str, list[Any]]]) -> None:
    assert sum("would_repeat" in (one.get("outcome") or {}) for one in _all(records, "decisions")) == 1


def test_it_holds_settings_shared_documents_audit_and_old_copies(store: Path) -> None:
    top = {path.name for path in store.iterdir()}
    left = [name for name in top if re.fullmatch(r"backup-\d{13}-[0-9a-z]+", name)]
    assert len(left) == 1
    assert top == {*COUNTS, "global", "audit", "backup", "config.json", "README.md", *left}
    assert {path.name for path in (store / "global").iterdir()} == {
        "cross-agent.json",
        "project-meta.json",
        "team-conventions.json",
    }
    assert len(list((store / "audit").glob("audit-*Z.json"))) == 1
    assert (store / left[0] / "backend-architect" / "patterns.json").is_file()
    [copy] = (store / "backup").iterdir()
    assert re.fullmatch(r"frontend-developer-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z", copy.name)
    assert set(json.loads((store / "config.json").read_bytes())["agentOverrides"]) == set(COUNTS)


@pytest.mark.parametrize("maker", [make_pattern, make_solution, make_decision])
def test_a_large_file_shrinks_as_real_ones_do(maker: Any) -> None:
    rng = Random(1)
    text = json.dumps([maker(rng, "backend-architect", NOW) for _ in range(500)], indent=2).encode()
    assert 0.15 < len(gzip.compress(text)) / len(text) < 0.25
    dense = json.dumps(
        [maker(rng, "backend-architect", NOW, fingerprint_bytes=200) for _ in range(500)], indent=2
    ).encode()
    assert 0.25 < len(gzip.compress(dense)) / len(dense) < 0.33


def test_makers_draw_from_the_generator_alone() -> None:
    for maker in (make_pattern, make_solution, make_decision):
        assert maker(Random(3), "an-agent-of-another-name", NOW) == maker(Random(3), "an-agent-of-another-name", NOW)


def test_a_given_creation_date_is_used() -> None:
    born = NOW - timedelta(days=40)
    for maker in (make_pattern, make_solution, make_decision):
        assert maker(Random(3), "alpha", NOW, created=born)["timestamp"] == "2026-10-11T12:00:00.000Z"
