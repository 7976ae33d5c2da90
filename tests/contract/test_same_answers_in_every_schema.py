"""Every operation gives the same answers whatever schema version the records have (H20)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.answering import Answers, answers, differences
from tests.support.schema_versions import VERSIONS, versioned_store

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
