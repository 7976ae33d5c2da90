"""Every operation gives the same answers whatever schema version the records have (H20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from tests.cli.running import aml
from tests.contract.answering import Answers, answers, differences
from tests.contract.moving import cases, meanings_of, migrate, migrated, versions_of
from tests.support.records import days_ago, decision, pattern, solution
from tests.support.schema_versions import VERSIONS, versioned_store
from tests.support.stores import Form, make_store, write_array

ALL_RULES = {
    "failed_pattern",
    "inactive",
    "low_confidence",
    "low_success_rate",
    "negative_outcome",
    "old_decision",
    "old_failed_solution",
    "outdated_solution",
    "space",
    "unused_too_long",
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers about a store of the oldest version."""
    project = tmp_path_factory.mktemp("oldest")
    versioned_store(project, "1.0.0")
    return answers(project, project)


def test_the_answers_that_are_compared_meet_every_rule(expected: Answers) -> None:
    dry_runs = [answer["data"]["records"] for name, answer in expected.items() if name.startswith("prune ")]
    assert {record["rule"] for records in dry_runs for record in records} == ALL_RULES
    counted = [len(answer["data"]["records"]) for name, answer in expected.items() if name.startswith("query ")]
    assert all(counted), "a query that finds nothing compares nothing"
    assert len(set(counted)) > 8


@pytest.mark.parametrize("version", [*VERSIONS[1:], "mixed"])
def test_h20_records_written_in_any_version_are_answered_alike(tmp_path: Path, expected: Answers, version: str) -> None:
    versioned_store(tmp_path, version)
    assert differences(expected, answers(tmp_path, tmp_path)) == []


def test_h20_migrated_records_are_answered_alike(tmp_path: Path, expected: Answers) -> None:
    """H20: after migrating, prune read none of the new fields and pruned the wrong records."""
    versioned_store(tmp_path, "mixed")
    for way, version in (("up", "2.0.0"), ("down", "1.0.0")):
        migrated(tmp_path, way, "--to", version)
        assert differences(expected, answers(tmp_path, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "gzip"])
@pytest.mark.parametrize("begin", [*VERSIONS, "mixed"])
def test_h20_records_are_answered_alike_after_each_of_many_migrations(
    tmp_path: Path, expected: Answers, begin: str, form: Form
) -> None:
    memory = versioned_store(tmp_path, begin, form=form)
    meant = meanings_of(memory)
    begun = answers(tmp_path, tmp_path) if form == "gzip" else expected
    for way, version in (("up", "2.0.0"), ("down", "1.2.0"), ("down", "1.1.0"), ("down", "1.0.0"), ("up", "1.2.0")):
        migrated(tmp_path, way, "--to", version)
        assert versions_of(memory).keys() == {version}
        assert meanings_of(memory) == meant
        assert differences(begun, answers(tmp_path, tmp_path)) == []


def untidy_records() -> dict[str, list[Any]]:
    """Garbage of every class, and records whose fields are odd: what none of the rules may misread."""
    twins = [pattern(id=f"twin-{number}", created_days=50) for number in range(2)]
    versions_of_one = [pattern(id="same", unused_days=days, executions=days) for days in (3, 2, 9)]
    nameless = [{key: value for key, value in pattern().items() if key != name} for name in ("id", "agent")]
    timeless = pattern(id="timeless", created_days=None, unused_days=None)
    odd = [
        pattern(id=f"odd-{number}", created_days=300, unused_days=200) | extra
        for number, extra in enumerate(
            [
                {"metrics": None},
                {"metrics": {"success_rate": 0.1, "execution_count": 9}},
                {"metrics": {"successRate": "0.1", "executionCount": "9"}},
                {"metrics": {"successRate": 0.1, "success_rate": 0.9, "executionCount": 9}},
                {"performance": {"success_rate": 0.9}, "metrics": {"successRate": 0.1, "executionCount": 9}},
                {"performance": {"successRate": 0.05, "executionCount": 9}},
                {"lifecycle": {"last_used_at": days_ago(1)}},
                {"evolution": {"created": days_ago(40), "last_used": days_ago(100), "confidence": 0.01}},
                {"evolution": {"createdAt": days_ago(40), "lastUsed": "never", "confidence_score": 0.9}},
                {"evolution": {"lastUsed": 0}, "timestamp": 0},
                {"evolution": {"lastUsed": 1700000000.25}, "timestamp": "1700000000"},
                {"evolution": {"lastUsed": "2026-06"}, "timestamp": "2026-11-20T24:00:00"},
                {"evolution": {"lastUsed": "0001-01-01T00:00:00Z"}, "timestamp": "9999-12-31T23:59:59-12:00"},
                {"evolution": {"lastUsed": "2026-08-22T12:00:00.0004Z"}},
                {"evolution": {"lastUsed": True}, "timestamp": [1]},
                {"evolution": {"lastUsed": days_ago(200), "last_used_at": days_ago(1)}},
                {"tags": "keep"},
                {"tags": ["keep"], "active": False},
                {"tags": ["api"], "active": False},
                {"tags": None, "active": False},
                {"tags": [], "active": False},
                {"tags": [1, None, "api"], "active": True},
                {"tags": ["api"], "active": "false"},
                {"tags": ["api"], "active": None},
                {"tags": ["api"], "active": 0},
                {"version": "draft"},
                {"version": 2, "tags": ["api"]},
                {"version": "1.2.0", "tags": ["keep"]},
                {"version": "2.0.0"},
                {"version": "2.0.0", "tags": ["keep"]},
                {"metadata": {"created_by": "somebody"}},
                {"metadata": {}},
                {"metadata": None, "variations": [1]},
                {"x_aml": {"tags": ["keep"]}, "tags": ["api"]},
                {"x_aml": None},
            ]
        )
    ]
    solutions: list[Any] = [
        solution(id=f"sol-{number}", created_days=400, worked=None) | extra
        for number, extra in enumerate(
            [
                {"effectiveness": {"worked": False, "prevented_recurrence": 3}, "verified_count": 2},
                {"effectiveness": {"worked": "no"}},
                {"effectiveness": {"worked": False}, "tags": ["pinned"], "active": False},
                {"metrics": {"successRate": 0.1}, "evolution": {"lastUsed": days_ago(1)}},
                {"performance": {"success_rate": 0.1}, "version": "2.0.0"},
                {"timestamp": 1_700_000_000_000, "effectiveness": {"worked": False}},
                {"active": False},
                {"active": False, "tags": ["x"]},
            ]
        )
    ]
    decisions: list[Any] = [
        decision(id=f"dec-{number}", created_days=100) | extra
        for number, extra in enumerate(
            [
                {"outcome": None},
                {"outcome": {"success_metrics": {"development_speed": 0.1}, "would_repeat": False}},
                {"outcome": {"wouldRepeat": False}, "tags": ["keep"], "active": False},
                {"reviewed_at": days_ago(2), "timestamp": days_ago(500)},
                {"reviewedAt": 1_790_000_000, "timestamp": days_ago(500), "active": False},
                {"reviewedAt": "later", "timestamp": "2025-01-01", "active": False, "tags": ["t"]},
            ]
        )
    ]
    patterns = [*twins, None, *versions_of_one, *nameless, timeless, None, *odd]
    return {"patterns": patterns, "solutions": solutions, "decisions": decisions}


PATHS = ("2.0.0", "1.1.0", "1.2.0 2.0.0", "2.0.0 1.0.0", "1.1.0 1.0.0", "2.0.0 1.0.0 2.0.0")


@pytest.mark.parametrize("path", cases(PATHS, "2.0.0", "2.0.0 1.0.0"))
def test_h20_odd_records_and_garbage_are_answered_alike(tmp_path: Path, path: str) -> None:
    make_store(tmp_path, {"alpha": untidy_records()})
    begun = answers(tmp_path, tmp_path)
    at = "1.0.0"
    for version in path.split():
        answer = migrate(tmp_path, "up" if version > at else "down", "--to", version, "--skip-bad")
        assert answer.status in (0, ExitStatus.PARTIAL), answer.out
        at = version
    assert differences(begun, answers(tmp_path, tmp_path)) == []


@pytest.mark.parametrize("word", ["version", "whenApplicable", "draft"])
def test_h20_what_a_record_keeps_for_its_way_back_is_no_text_of_its_own(tmp_path: Path, word: str) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="both", tags=["api"], active=False)]}})
    # so laid out that it is kept whole, as text
    odd = '{"id": "odd",\n  "agent": "alpha", "tags": null, "active": null, "decision": {"whenApplicable": ""}}'
    solutions = [solution(id="draft", tags=["api"], active=True, version="draft")]
    (memory / "alpha/decisions.json").write_text(f"[{odd}]", encoding="utf-8")
    write_array(memory / "alpha/solutions.json", solutions)
    found = [_found(tmp_path, word)]
    for way, version in (("down", "1.0.0"), ("up", "2.0.0"), ("down", "1.0.0")):
        migrated(tmp_path, way, "--to", version)
        found.append(_found(tmp_path, word))
    assert found == [found[0]] * 4


def _found(project: Path, word: str) -> list[str]:
    records = aml(project, "query", "--text", word, "--json").envelope["data"]["records"]
    return sorted(record["id"] for record in records)
