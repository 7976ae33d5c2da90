"""What health says of the files of a store: damage, records that nobody can read, versions, caps, what came back."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from aml.config import HealthSettings, Settings
from aml.monitor.report.commands import parted
from tests.cli.running import aml, kept, old
from tests.contract.backing_up import at, create_backup, manifest_path, packs_of, repository_of
from tests.contract.checking import checked, health, only_finding, store_with, subjects
from tests.support.records import decision, pattern, solution, to_v110, to_v120, to_v200
from tests.support.stores import encode_array, make_store, write_array

ALPHA = "alpha/patterns.json"


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_a_whole_store_passes_every_check_of_its_files(tmp_path: Path, form: Any) -> None:
    memory = store_with(tmp_path, form=form)
    for name in ("integrity", "runtime_readable", "schema", "resurrected", "caps"):
        assert checked(memory, name).state == "ok", name
    report = health(memory)
    assert (report.agents, report.records) == (1, 5)


DAMAGE = {
    "cut short": (lambda data: data[:-5], "truncated"),
    "empty": (lambda data: b"", "empty"),
    "an object": (lambda data: b'{"a": 1}', "an object stands where a JSON array should be"),
    "null": (lambda data: b"null", "null stands"),
    "garbage": (lambda data: b"\x00\x01garbage", "no JSON"),
    "two arrays": (lambda data: data + data, ""),
    "no UTF-8": (lambda data: data.replace(b"cache-aside", b"caf\xe9"), "no UTF-8"),
    "gzip cut short": (lambda data: gzip.compress(data)[:-9], "ends too early"),
    "gzip and more": (lambda data: gzip.compress(data) + b"more", "follow the gzip data"),
    "no element": (lambda data: b"[1, garbage]", "what is wrong begins at line 1, column 5"),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_record_file_is_critical_and_the_way_back_is_named(tmp_path: Path, fault: str) -> None:
    damage, reason = DAMAGE[fault]
    memory = store_with(tmp_path)
    file = memory / ALPHA
    file.write_bytes(damage(file.read_bytes()))
    report = health(memory, "integrity")
    (finding,) = report.findings
    assert (finding.subject, finding.level.word, report.level, int(report.status)) == (
        "alpha/patterns",
        "critical",
        "critical",
        5,
    )
    assert reason in finding.message
    assert finding.advice.startswith("no backup holds it whole; aml optimize gc ")
    assert ("--salvage" in finding.advice) == (fault != "empty")
    assert checked(memory, "integrity").value == 1


def test_how_many_records_stand_whole_before_the_damage_is_told(tmp_path: Path) -> None:
    memory = store_with(tmp_path, [pattern() for _ in range(4)])
    file = memory / ALPHA
    file.write_bytes(file.read_bytes()[:-10])
    assert "3 records stand whole before that" in only_finding(memory, "integrity").message


@pytest.mark.parametrize(
    "path",
    ["alpha/metrics.json", "alpha/context.json", "alpha/index.json", "global/conventions.json", "audit/audit-1.json"],
)
@pytest.mark.parametrize("content", [b'{"a": ', b"", b"\xff\xfe", b"\x1f\x8bno gzip"])
def test_documents_are_read_as_well(tmp_path: Path, path: str, content: bytes) -> None:
    memory = store_with(tmp_path)
    (memory / path).parent.mkdir(exist_ok=True)
    (memory / path).write_bytes(b'{"any": ["thing", 1]}')
    assert checked(memory, "integrity").state == "ok"
    (memory / path).write_bytes(content)
    finding = only_finding(memory, "integrity")
    assert (finding.subject, finding.level.word) == (path, "critical")
    assert finding.advice == "no backup holds it whole, so correct it by hand"


@pytest.mark.parametrize("path", [ALPHA, "alpha/context.json", "config.json"])
def test_the_backup_that_brings_a_damaged_file_back_is_named(tmp_path: Path, path: str) -> None:
    memory = store_with(tmp_path)
    file = memory / path
    file.write_bytes(b"[]" if path == ALPHA else b'{"any": "thing"}')
    whole = file.read_bytes()
    older, newer = (create_backup(tmp_path, now=at(days=days)) for days in (0, 1))
    file.write_bytes(b"[")
    damaged = [create_backup(tmp_path, now=at(days=days)) for days in (2, 3)]
    advice = only_finding(memory, "integrity").advice
    command = f"aml backup restore {newer} --path {path}"
    assert advice.startswith(f"{command} brings it back as it was at 2026-")
    assert not any(one in advice for one in (older, *damaged))
    assert aml(tmp_path, *command.split()[1:], "--yes", now=at(days=4)).status == 0
    assert file.read_bytes() == whole


@pytest.mark.parametrize("newer", [to_v120, to_v200])
def test_versions_that_stand_side_by_side_are_mended_by_what_is_advised(tmp_path: Path, newer: Any) -> None:
    memory = store_with(tmp_path, [pattern(), newer(pattern())])
    advice = only_finding(memory, "schema").advice
    command = next(words for words, is_command in parted(advice) if is_command and "--dry-run" in words)
    assert aml(tmp_path, *command.split()[1:]).status == 0
    assert aml(tmp_path, *command.removesuffix(" --dry-run").split()[1:], "--yes").status == 0
    left = [one.level.word for one in checked(memory, "schema").findings]
    assert left in ([], ["info"]), "records that stay older are an info"
    assert checked(memory, "runtime_readable").state == "ok"


def test_backups_that_cannot_be_read_are_no_way_back(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    identity = create_backup(tmp_path)
    (memory / ALPHA).write_bytes(b"[")
    assert identity in only_finding(memory, "integrity").advice
    described = repository_of(tmp_path) / "snapshots"
    described.rename(tmp_path / "elsewhere")
    described.write_text("no folder")
    assert only_finding(memory, "integrity").advice.startswith("whether a backup holds it whole cannot be told; ")
    described.unlink()
    (tmp_path / "elsewhere").rename(described)
    for pack in packs_of(tmp_path):
        pack.write_bytes(b"damaged")
    assert only_finding(memory, "integrity").advice.startswith("no backup holds it whole; ")
    manifest_path(tmp_path, identity).write_bytes(b"damaged")
    assert only_finding(memory, "integrity").advice.startswith("no backup holds it whole; ")


def test_the_copies_that_the_runtime_keeps_are_not_read(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    for folder in ("backup/alpha-2026", "backups", "backup-1795190177502-mtc6x8h0k/alpha", "alpha/nested", ".cache"):
        (memory / folder).mkdir(parents=True)
        (memory / folder / "patterns.json").write_bytes(b"[")
    assert checked(memory, "integrity").state == "ok"


def test_elements_that_are_no_records_are_told_by_position(tmp_path: Path) -> None:
    memory = store_with(tmp_path, [None, pattern(), "text", pattern(), 5])
    finding = only_finding(memory, "integrity")
    assert (finding.level.word, finding.value) == ("warning", 3)
    assert [line.split(":")[0] for line in finding.details] == ["position 0", "position 2", "position 4"]


def test_a_large_file_is_judged_in_parts_that_count_on(tmp_path: Path) -> None:
    """In parts, some of which hold an odd element."""
    records: list[Any] = [pattern(), *(pattern() for _ in range(240))]
    for record in records:
        record["pattern"]["approach"]["codeTemplate"] = "x" * 100_000
    records[5], records[120], records[230] = None, 5, pattern(version="9.0.0")
    records[100]["metrics"]["successRate"] = 7
    memory = store_with(tmp_path, records)
    report = health(memory)
    found = {(one.check, one.subject): one for one in report.findings}
    integrity, refused = found["integrity", "alpha/patterns"], found["runtime_readable", "alpha/patterns"]
    assert (integrity.value, found["schema", "alpha/patterns"].value, refused.value) == (2, 1, 3)
    assert {line.split(":")[0] for line in integrity.details} == {"position 5", "position 120", "position 230"}
    assert all(any(f"first at {position}" in line for line in refused.details) for position in (5, 100, 120))
    for record in records:
        if isinstance(record, dict):
            record["pattern"]["approach"].pop("codeTemplate", None)
    write_array(memory / ALPHA, records)
    again = {(one.check, one.subject): one for one in health(memory).findings}
    assert {key: one.value for key, one in again.items()} == {key: one.value for key, one in found.items()}
    assert again["runtime_readable", "alpha/patterns"] == refused


@pytest.mark.parametrize("valid", [True, False])
def test_a_large_file_takes_memory_by_its_size_and_not_by_its_records(tmp_path: Path, valid: bool) -> None:
    text = encode_array([pattern() for _ in range(500)], indent=None)
    end = b"]" if valid else b",null]"
    memory = store_with(tmp_path)
    (memory / ALPHA).write_bytes(b"[" + b",".join([text[1:-1]] * 60) + end)
    size = (memory / ALPHA).stat().st_size
    health(store_with(tmp_path / "other"))
    tracemalloc.start()
    try:
        health(memory)
        assert tracemalloc.get_traced_memory()[1] < 2.6 * size
    finally:
        tracemalloc.stop()


def test_a_folder_or_a_pipe_in_place_of_a_record_file_is_critical(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    for make in (Path.mkdir, os.mkfifo):
        (memory / ALPHA).unlink() if (memory / ALPHA).is_file() else (memory / ALPHA).rmdir()
        make(memory / ALPHA)
        finding = only_finding(memory, "integrity")
        assert (finding.subject, finding.level.word) == ("alpha/patterns", "critical")
        assert "no regular file" in finding.message


def changed(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a record in which one field has another value, or is gone where that is Ellipsis."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    *way, last = path.split(".")
    holder = copy
    for name in way:
        holder = holder[name]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return copy


REFUSED = [
    (pattern, "id", "no uuid", "id is no UUID"),
    (pattern, "id", ..., "it has no id"),
    (pattern, "timestamp", 5, "timestamp is a whole number instead of a text"),
    (pattern, "metrics", ..., "it has no metrics"),
    (pattern, "metrics", None, "metrics is null instead of an object"),
    (pattern, "metrics.successRate", 1.5, "metrics.successRate is more than 1"),
    (pattern, "metrics.executionCount", -1, "metrics.executionCount is less than 0"),
    (pattern, "metrics.executionCount", 2.5, "metrics.executionCount is a number instead of a whole number"),
    (pattern, "evolution.confidenceScore", "0.5", "evolution.confidenceScore is a text instead of a number"),
    (pattern, "evolution.lastUsed", ..., "it has no evolution.lastUsed"),
    (pattern, "pattern.context", {"a": [1]}, "pattern.context[...] is an array instead of"),
    (pattern, "pattern.conditions.whenApplicable", [1], "pattern.conditions.whenApplicable[] is a whole number"),
    (pattern, "tags", None, "tags is null instead of an array"),
    (pattern, "active", "yes", "active is a text instead of a boolean"),
    (solution, "effectiveness.worked", 1, "effectiveness.worked is a whole number instead of a boolean"),
    (solution, "verifiedCount", -2, "verifiedCount is less than 0"),
    (decision, "decision.chosenOption", ..., "it has no decision.chosenOption"),
    (decision, "outcome", {"successMetrics": {"developmentSpeed": 2.5}}, "outcome.successMetrics.developmentSpeed"),
]


@pytest.mark.parametrize(("make", "path", "value", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_a_record_that_the_runtime_would_refuse_is_told(
    tmp_path: Path, make: Any, path: str, value: Any, reason: str
) -> None:
    kind = f"{make.__name__}s"
    memory = make_store(tmp_path, {"alpha": {kind: [make(), changed(make(), path, value), make()]}})
    finding = only_finding(memory, "runtime_readable")
    assert (finding.subject, finding.level.word, finding.value) == (f"alpha/{kind}", "warning", 1)
    assert reason in finding.details[0]
    assert "first at 1" in finding.details[0]
    assert "refuse 1 of 3 records" in finding.message


TAKEN = [
    changed(pattern(), "metrics.executionCount", 5.0),
    changed(pattern(), "metrics.executionCount", 10**30),
    changed(pattern(), "evolution.created", "whenever"),
    changed(pattern(), "pattern.approach.steps", ["one", "two"]),
    pattern(tags=["\ud83d", "caf\u00e9"], variations=[{"any": [1]}], note=None),
    to_v110(pattern(tags=[])),
    to_v120(pattern()),
]


@pytest.mark.parametrize("record", TAKEN, ids=range(len(TAKEN)))
def test_what_the_runtime_takes_is_no_fault(tmp_path: Path, record: Any) -> None:
    memory = store_with(tmp_path, [record])
    for name in ("runtime_readable", "integrity"):
        assert checked(memory, name).state == "ok", checked(memory, name)


def test_a_decision_without_an_outcome_is_no_fault(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"decisions": [decision(), decision() | {"outcome": None}]}})
    assert checked(memory, "runtime_readable").state == "ok"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xef\xbb\xbf[]", "it begins with a byte-order mark"),
        (b'[{"a": NaN}]', "it holds NaN, which is no JSON"),
        (b'{"a": [-Infinity]}', "it holds -Infinity, which is no JSON"),
    ],
)
def test_what_is_no_json_for_the_runtime_alone_is_no_damage(tmp_path: Path, text: bytes, reason: str) -> None:
    memory = store_with(tmp_path)
    path = ALPHA if text.startswith((b"[", b"\xef")) else "alpha/context.json"
    (memory / path).write_bytes(text)
    finding = only_finding(memory, "runtime_readable")
    assert finding.message == f"the agents' runtime cannot read this file: {reason}"
    assert checked(memory, "integrity").state in ("ok", "warning")


def test_a_store_made_by_hand_is_told_in_a_few_lines(tmp_path: Path) -> None:
    record = {"id": "p1", "agent": "alpha", "success_rate": 0.5, "created_at": "2026-01-01"}
    memory = make_store(tmp_path, {"alpha": {"patterns": [record | {"id": f"p{n}"} for n in range(500)]}})
    finding = only_finding(memory, "runtime_readable")
    assert finding.value == 500
    assert len(finding.details) == 1
    assert "first at 0 (p0), 1 (p1), 2 (p2), 3 (p3), 4 (p4)" in finding.details[0]


def test_patterns_of_the_newest_schema_are_unreadable_to_the_runtime_and_the_way_down_is_named(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [to_v200(pattern())], "solutions": [to_v200(solution())]}})
    finding = only_finding(memory, "runtime_readable")
    assert finding.subject == "alpha/patterns"
    assert finding.advice.startswith("aml migrate down")
    assert checked(memory, "schema").state == "ok"


@pytest.mark.parametrize(
    ("records", "levels"),
    [
        ([pattern(), to_v110(pattern())], {}),
        ([to_v120(pattern())], {}),
        ([to_v200(pattern())], {}),
        ([pattern(), to_v120(pattern())], {"mixed": "info"}),
        ([to_v120(pattern()), to_v200(pattern())], {"mixed": "warning"}),
        ([to_v200(pattern()) | {"version": "9.1.0"}], {"alpha/patterns": "error"}),
        ([pattern(version="0.7.0")], {"unknown": "warning"}),
    ],
)
def test_versions_beyond_the_ordinary_mixture_are_told(tmp_path: Path, records: Any, levels: dict[str, str]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    assert subjects(checked(memory, "schema")) == levels


def test_of_very_many_versions_some_are_named(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(version=f"0.{number}.0") for number in range(300)]}})
    findings = checked(memory, "schema").findings
    assert {one.subject for one in findings} == {"unknown", "mixed"}
    assert all("and 290 more" in one.message and len(one.message) < 500 for one in findings)


def test_records_of_a_newer_schema_are_told_once(tmp_path: Path) -> None:
    """Valid as they are for the runtime, or odd: in both ways of reading a file."""
    newer = pattern(version="9.0.0")
    for records in ([pattern(), newer], [None, newer]):
        memory = make_store(tmp_path, {"alpha": {"patterns": records}})
        finding = only_finding(memory, "schema")
        assert (finding.value, finding.level.word) == (1, "error")
        assert len(checked(memory, "integrity").findings) == records.count(None)


def test_caps_of_the_runtime_are_told_before_it_drops_records(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern() for _ in range(9)], "solutions": [solution()]}})
    settings = Settings(health=HealthSettings(max_patterns=10, max_solutions=300))
    finding = only_finding(memory, "caps", settings=settings)
    assert (finding.subject, finding.level.word, finding.value, finding.threshold) == (
        "alpha/patterns",
        "warning",
        9,
        10,
    )
    write_array(memory / ALPHA, [pattern() for _ in range(11)])
    assert only_finding(memory, "caps", settings=settings).level.word == "error"
    overrides = {"agentOverrides": {"alpha": {"maxPatternCount": 50}, "beta": 5}}
    (memory / "config.json").write_text(json.dumps(overrides))
    assert checked(memory, "caps", settings=settings).value == 0.22
    (memory / "config.json").write_text('{"agentOverrides": []}')
    assert checked(memory, "caps", settings=settings).state == "error"
    assert checked(memory, "caps").state == "ok"


def test_records_that_came_back_are_told_by_file(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [old("o"), *(kept(f"k{n}") for n in range(5))]}})
    before = (memory / ALPHA).read_bytes()
    assert aml(tmp_path, "prune").status == 0
    assert checked(memory, "resurrected").state == "ok"
    (memory / ALPHA).write_bytes(before)
    finding = only_finding(memory, "resurrected")
    assert (finding.subject, finding.level.word, finding.value) == ("alpha/patterns", "warning", 1)
    assert "restart them" in finding.advice
    # told where files are read one record at a time as well
    (memory / ALPHA).write_bytes(encode_array([None, *json.loads(before)]))
    assert only_finding(memory, "resurrected").value == 1


def test_a_damaged_journal_stops_no_other_check(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [old("o"), *(kept(f"k{n}") for n in range(5))]}})
    assert aml(tmp_path, "prune").status == 0
    (run,) = (tmp_path / ".loom/memory.aml/runs").glob("*.json")
    run.write_bytes(b"{")
    report = health(memory)
    states = {one.name: one.state for one in report.checks}
    assert states["resurrected"] == states["collapse"] == "not_run"
    assert states["integrity"] == "ok"
    assert "resurrected" not in report.ran
    finding = next(one for one in report.findings if one.check == "resurrected")
    assert finding.message.startswith("the check could not run: the run journal")
