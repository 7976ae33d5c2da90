"""The figures about a store are those that anybody would count, whatever state it is in."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from aml.index.bloom import make_filter
from aml.index.query import Query
from aml.monitor.metrics import Ages, Metrics
from aml.store.open import open_store
from aml.workflows.index import query, warm_cache
from aml.workflows.metrics import MetricsReport, collect_metrics
from tests.cli.running import aml
from tests.contract.pruning import run_prune, stale
from tests.support.counting import KINDS, Counted, count_store
from tests.support.indexes import opened
from tests.support.records import NOW, Record, decision, pattern, solution, to_v110, to_v120, to_v200
from tests.support.stores import encode_array, make_store, record_spans, tree_digest, write_array

AGES = (0, 6.9, 7.1, 29, 31, 89, 91, 179, 181, 364, 366, 2000)


def collect(memory: Path, **options: Any) -> MetricsReport:
    return collect_metrics(open_store(memory), **{"now": NOW.timestamp()} | options)


def records(*, count: int = 12) -> list[Record]:
    """Patterns of all ages and schemas, some inactive, one of unknown age."""
    versions: list[Callable[[Record], Record]] = [lambda one: one, to_v110, to_v120, to_v200]
    made = [pattern(created_days=None, unused_days=None)]
    for place in range(count):
        days = AGES[place % len(AGES)]
        one = pattern(created_days=days + 0.05, unused_days=days, active=place % 3 != 0, success=place / count)
        made.append(versions[place % 4](one))
    return made


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Plain and gzip files, damage of three sorts, odd elements, inactive records, four schemas, other documents."""
    memory = make_store(
        tmp_path,
        {
            "alpha": {
                "patterns": records(),
                "solutions": [solution(created_days=3, active=False), solution(created_days=400)],
                "decisions": [decision(reviewed_days=2), to_v200(decision(created_days=200))],
            },
            "beta": {"patterns": [None, "text", 7, pattern(version="3.0.0"), pattern(), [], None]},
            "gamma": {"solutions": [solution()], "decisions": []},
            "empty": {},
        },
    )
    write_array(memory / "delta" / "patterns.json", records(count=30), form="gzip")
    write_array(memory / "delta" / "decisions.json", [decision(scores={"maintainability": 1.0})], form="gzip")
    (memory / "gamma" / "patterns.json").write_bytes(encode_array([pattern(), pattern()])[:-5])
    (memory / "delta" / "solutions.json").write_bytes(gzip.compress(encode_array([solution()]))[:-9])
    (memory / "alpha" / "context.json").write_text('{"notes": []}', encoding="utf-8")
    (memory / "beta" / "solutions.json").write_text('{"not": "an array"}', encoding="utf-8")
    for name in ("global/team.json", "backup/alpha-1/patterns.json", "backup-7-x/p.json", "audit/audit-1.json"):
        (memory / name).parent.mkdir(parents=True, exist_ok=True)
        (memory / name).write_text("[1, 2, 3]", encoding="utf-8")
    (memory / "config.json").write_text("{}", encoding="utf-8")
    return memory


def ages(found: Ages) -> Counter[str]:
    return Counter({name: getattr(found, name) for name in Ages.__struct_fields__ if getattr(found, name)})


def by_kind(counted: Counter[tuple[str, str]], kind: str) -> int:
    return sum(number for (_, of), number in counted.items() if of == kind)


def same(metrics: Metrics, counted: Counted) -> None:
    """Every figure that can be counted is the one that was."""
    disk, others = counted.disk.total(), counted.others.total()
    assert (metrics.size.records_bytes, metrics.size.documents_bytes) == (disk, others)
    assert (metrics.size.bytes, metrics.size.copies_bytes) == (disk + others, counted.copies)
    assert metrics.size.unpacked_bytes == counted.unpacked.total()
    packed = sum(size for name, size in counted.disk.items() if name in counted.unpacked)
    assert metrics.size.compression_ratio == (round(counted.unpacked.total() / packed, 3) if packed else None)
    counts = metrics.counts
    assert (counts.agents, counts.files) == (len(counted.agents), len(counted.disk))
    assert (counts.records, counts.inactive) == (counted.records.total(), counted.inactive.total())
    assert counts.live == counts.records - counts.inactive
    assert (counts.unreadable, counts.damaged_files) == (counted.unreadable.total(), len(counted.damaged))
    assert {(one.agent, one.kind): one.bytes for one in metrics.damaged} == {
        name: counted.disk[name] for name in counted.damaged
    }
    assert (ages(metrics.created), ages(metrics.used)) == (counted.created, counted.used)
    assert metrics.schemas == counted.schemas
    assert [one.kind for one in metrics.kinds] == list(KINDS)
    for one in metrics.kinds:
        assert one.bytes == by_kind(counted.disk, one.kind)
        assert one.records == by_kind(counted.records, one.kind) == sum(one.values)
        assert one.unreadable == by_kind(counted.unreadable, one.kind)
    assert {one.agent for one in metrics.agents} == counted.agents
    for agent in metrics.agents:
        own = [one.kind for one in agent.kinds]
        assert own == [kind for kind in KINDS if (agent.agent, kind) in counted.disk]
        assert agent.documents_bytes == counted.others[agent.agent]
        assert agent.bytes == agent.documents_bytes + sum(counted.disk[agent.agent, kind] for kind in own)
        assert agent.unpacked_bytes == sum(counted.unpacked[agent.agent, kind] for kind in own)
        for one in agent.kinds:
            name = agent.agent, one.kind
            assert (one.bytes, one.unpacked_bytes) == (counted.disk[name], counted.unpacked[name])
            assert (one.records, one.inactive) == (counted.records[name], counted.inactive[name])
            assert one.unreadable == counted.unreadable[name]
    assert [one.bytes for one in metrics.agents] == sorted((one.bytes for one in metrics.agents), reverse=True)


def test_the_figures_of_a_mixed_store_are_those_that_anybody_would_count(mixed: Path) -> None:
    report = collect(mixed)
    counted = count_store(mixed, NOW)
    assert len(counted.damaged) == 3
    assert counted.unreadable.total() == 4
    assert set(counted.schemas) == {"1.0.0", "1.1.0", "1.2.0", "2.0.0"}
    assert set(ages(report.metrics.created)) == set(Ages.__struct_fields__)
    same(report.metrics, counted)
    assert report.metrics.counts.too_new == 1
    assert report.status is ExitStatus.PARTIAL
    assert sum(note.startswith("left out: ") for note in report.notes) == 3


def test_the_average_record_is_that_of_the_exact_texts(mixed: Path) -> None:
    spans = [span for agent in ("alpha", "delta") for span in record_spans(mixed / agent / "decisions.json")]
    assert collect(mixed).metrics.kinds[2].average_record_bytes == round(sum(map(len, spans)) / len(spans), 3)


def test_values_are_counted_in_tenths(tmp_path: Path) -> None:
    # a decision is worth the mean of its scores, and no less than 0.1
    scores = [0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.699, 0.7, 0.8, 0.9, 0.95, 1.0]
    made = [decision(scores={"maintainability": one}) for one in scores]
    memory = make_store(tmp_path, {"alpha": {"decisions": made}})
    expected = Counter(min(9, int(round(max(0.1, one) * 1000) / 100)) for one in scores)
    assert collect(memory).metrics.kinds[2].values == tuple(expected[step] for step in range(10))


def test_an_empty_new_store_has_figures(tmp_path: Path) -> None:
    """H33: a new store is no reason to worry."""
    memory = make_store(tmp_path, {})
    report = collect(memory)
    same(report.metrics, count_store(memory, NOW))
    assert (report.status, report.notes) == (ExitStatus.DONE, ())
    assert report.metrics.size.compression_ratio is report.metrics.size.average_record_bytes is None


@pytest.mark.parametrize("state", ["no index", "a fresh index", "an index that is out of date", "without record"])
def test_the_figures_are_of_now_whatever_the_index_knows(mixed: Path, state: str) -> None:
    if state != "no index":
        assert query(open_store(mixed), Query()).records
    if state == "an index that is out of date":
        write_array(mixed / "alpha" / "patterns.json", [pattern(), pattern(active=False)])
        (mixed / "beta" / "patterns.json").unlink()
        write_array(mixed / "new" / "solutions.json", [solution()])
    report = collect(mixed, record=state != "without record")
    same(report.metrics, count_store(mixed, NOW))


@pytest.mark.parametrize("record", [True, False])
def test_it_is_told_whether_the_index_was_fresh(tmp_path: Path, *, record: bool) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    first = collect(memory, record=record).metrics.index
    assert (first.fresh, first.kept, first.built is not None) == (False, record, record)
    query(open_store(memory), Query(text="cache"))
    warm_cache(open_store(memory))
    index = opened(memory)
    make_filter(index)
    index.close()
    state = collect(memory, record=record).metrics.index
    assert (state.fresh, state.kept, state.files, state.records) == (True, True, 1, 1)
    assert (state.words, state.words_current, state.hot_records, state.filter_capacity) == (True, True, 1, 1)
    write_array(memory / "alpha" / "patterns.json", [pattern(), pattern()])
    changed = collect(memory, record=record).metrics.index
    assert (changed.fresh, changed.records) == (False, 2)
    assert (changed.words, changed.words_current, changed.filter_capacity) == (True, False, None)


def test_h04_a_gzip_store_has_the_figures_of_the_same_store_in_plain_text(tmp_path: Path) -> None:
    """H04: metrics of a gzip store saw 0 records and said all is well."""
    contents = {"alpha": {"patterns": records(), "solutions": [solution()], "decisions": [decision()]}}
    plain, packed = (collect(make_store(tmp_path / form, contents, form=form)).metrics for form in ("plain", "gzip"))  # type: ignore[arg-type]
    assert plain.counts == packed.counts
    assert (plain.created, plain.used, plain.schemas) == (packed.created, packed.used, packed.schemas)
    assert [one.values for one in plain.kinds] == [one.values for one in packed.kinds]
    assert plain.size.unpacked_bytes == packed.size.unpacked_bytes
    assert plain.size.compression_ratio == 1.0
    assert packed.size.compression_ratio is not None
    assert packed.size.compression_ratio > 2


def test_h48_folders_that_are_no_agents_are_not_counted_as_such(mixed: Path) -> None:
    """H48: audit/, backup/ and the tool's own folder were taken for agents."""
    assert {one.agent for one in collect(mixed).metrics.agents} == {"alpha", "beta", "gamma", "delta", "empty"}


def test_what_cannot_be_opened_is_told_and_all_else_counted(mixed: Path) -> None:
    (mixed / "alpha" / "solutions.json").unlink()
    (mixed / "alpha" / "solutions.json").symlink_to(mixed / "gamma" / "solutions.json")
    report = collect(mixed)
    (link,) = (one for one in report.metrics.damaged if one.agent == "alpha")
    assert "it is a link" in link.problem
    assert report.metrics.counts.records == count_store(mixed, NOW).records.total()


def test_nothing_in_the_store_is_touched(mixed: Path) -> None:
    before = tree_digest(mixed)
    collect(mixed)
    assert tree_digest(mixed) == before


def test_without_record_nothing_at_all_is_written(mixed: Path) -> None:
    before = tree_digest(mixed.parent)
    assert collect(mixed, record=False).recorded is False
    assert tree_digest(mixed.parent) == before
    assert os.listdir(mixed.parent) == ["memory"]


def test_the_monitor_does_not_count_among_those_that_ask(mixed: Path) -> None:
    query(open_store(mixed), Query())
    for _ in range(3):
        assert collect(mixed).metrics.queries.count == 1


def test_a_run_is_told_with_its_result(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("s"), pattern(), pattern(), pattern()]}})
    run_prune(memory)
    runs = {one.operation: one for one in collect(memory).metrics.operations}
    assert runs["prune"].state == "done"
    assert runs["prune"].counts["removed"] == 1
    assert runs["prune"].seconds is not None


def test_a_damaged_journal_hides_no_other_figure(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("s"), pattern(), pattern(), pattern()]}})
    run_prune(memory)
    (run,) = (memory.with_name("memory.aml") / "runs").glob("*.json")
    run.write_bytes(run.read_bytes()[:40])
    report = collect(memory)
    assert "prune" not in {one.operation for one in report.metrics.operations}
    assert report.metrics.counts.records == 3
    assert any("the run journal" in note for note in report.notes)
    assert report.status is ExitStatus.PARTIAL


def test_growth_is_told_from_earlier_samples(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    day = 86_400.0
    first = collect(memory, now=NOW.timestamp() - 7 * day).metrics
    write_array(memory / "alpha" / "patterns.json", [pattern() for _ in range(15)])
    last = collect(memory).metrics
    (growth,) = last.growth
    assert (growth.window_days, growth.days, growth.records_per_day) == (7, 7.0, 2.0)
    assert growth.bytes_per_day == round((last.size.bytes - first.size.bytes) / 7, 3)
    assert last.history.samples == 1


@pytest.mark.parametrize("damage", ["a folder", "a link", "a pipe", "garbage", "nothing but blanks"])
def test_whatever_stands_in_place_of_the_history_the_figures_are_had(tmp_path: Path, damage: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    collect(memory)
    history = memory.with_name("memory.aml") / "metrics.jsonl"
    history.unlink()
    if damage == "a folder":
        history.mkdir()
    elif damage == "a link":
        history.symlink_to(memory / "alpha" / "patterns.json")
    elif damage == "a pipe":
        os.mkfifo(history)
    else:
        history.write_bytes(b"\x00garbage\n{}\n" * 9 if damage == "garbage" else b"\n\n \n")
    before = tree_digest(memory)
    report = collect(memory)
    assert report.metrics.counts.records == 1
    assert report.status is ExitStatus.DONE
    assert report.recorded == (damage in ("garbage", "nothing but blanks"))
    assert report.recorded != any("not added to the history" in note for note in report.notes)
    assert tree_digest(memory) == before


def test_a_damaged_index_is_made_anew(mixed: Path) -> None:
    collect(mixed)
    kept = mixed.with_name("memory.aml") / "index" / "records.sqlite"
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    report = collect(mixed)
    same(report.metrics, count_store(mixed, NOW))
    assert not report.metrics.index.fresh


def test_the_samples_are_those_of_the_figures(mixed: Path) -> None:
    metrics = collect(mixed).metrics
    (line,) = (mixed.with_name("memory.aml") / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    sample = json.loads(line)
    assert sample["time"] == NOW.timestamp()
    assert (sample["bytes"], sample["unpacked"]) == (metrics.size.bytes, metrics.size.unpacked_bytes)
    assert sample["records"] == {one.kind: one.records for one in metrics.kinds}
    assert sample["agents"] == {one.agent: [one.bytes, one.records] for one in metrics.agents}
    assert (sample["unreadable"], sample["damaged"]) == (4, 3)


HOSTILE = {
    "statistics.json": [
        b"{",
        b'{"queries":-1}',
        b'{"queries":0,"recent":[1.5]}',
        b'{"queries":' + b"9" * 400 + b"}",
        b'{"queries":5,"recent":[]}',
        b'{"hits":1,"seconds":1e300}',
    ],
    "operations.json": [
        b"[]",
        b'{"last":{"x":{"operation":"x","started":"never","seconds":-1e300,"exit":' + b"9" * 400 + b"}}}",
    ],
}


@pytest.mark.parametrize(("name", "content"), [(name, one) for name, some in HOSTILE.items() for one in some])
def test_hostile_notes_are_no_reason_to_fail(tmp_path: Path, name: str, content: bytes) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    collect(memory)
    state = memory.with_name("memory.aml")
    (state / "index" / name if name == "statistics.json" else state / name).write_bytes(content)
    for words in ([], ["--json"], ["--format", "prometheus"]):
        answer = aml(tmp_path, "monitor", "metrics", *words)
        assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize("instead", ["a file", "a pipe", "a folder of others", "a link to nothing"])
def test_whatever_stands_in_place_of_the_repository_the_figures_are_had(tmp_path: Path, instead: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern()]}})
    repository = memory.with_name("memory-backup")
    if instead == "a file":
        repository.write_bytes(b"x")
    elif instead == "a pipe":
        os.mkfifo(repository)
    elif instead == "a folder of others":
        (repository / "snapshots").mkdir(parents=True)
        (repository / "snapshots" / "holiday.json").write_bytes(b"{}")
        (repository / "photo.jpg").write_bytes(b"x" * 100)
    else:
        repository.symlink_to("nothing")
    report = collect(memory)
    assert report.metrics.counts.records == 1
    for words in ([], ["--json"], ["--format", "prometheus"]):
        answer = aml(tmp_path, "monitor", "metrics", *words)
        assert answer.status == report.status in (ExitStatus.DONE, ExitStatus.PARTIAL)
        assert answer.status == 0 or "left out: the backups: " in (answer.err + answer.out) or "--format" in words


def test_of_very_many_versions_the_rarest_are_told_together(tmp_path: Path) -> None:
    versions = [f"0.{number}.0" for number in range(60)] * 2 + ["0.59.0", "1.0.0", "1.0.0", "1.0.0"]
    records = [pattern(version=version) for version in versions]
    found = collect(make_store(tmp_path, {"alpha": {"patterns": records}})).metrics.schemas
    assert len(found) == 51
    assert (found["1.0.0"], found["0.59.0"], found["other"]) == (3, 3, 22)
    assert sum(found.values()) == len(records)
