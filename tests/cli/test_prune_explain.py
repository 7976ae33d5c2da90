"""``aml prune explain``: one record, every rule with its figures, and what would happen to it or has happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import aml as library
from aml.model.kinds import PATTERN
from aml.prune.rules import RULES
from tests.cli.running import Answer, aml, small_store
from tests.contract.pruning import fresh, stale
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import make_store, tree_digest, write_array


def explained(project: Path, *words: str) -> dict[str, Any]:
    answer = aml(project, "prune", "explain", *words, "--json")
    assert answer.status == 0, answer.out
    data = answer.envelope["data"]
    assert isinstance(data, dict)
    return data


def only(project: Path, *words: str) -> dict[str, Any]:
    records = explained(project, *words)["records"]
    assert len(records) == 1
    record = records[0]
    assert isinstance(record, dict)
    return record


def told(project: Path, *words: str) -> Answer:
    return aml(project, "prune", "explain", *words)


def test_a_record_that_would_go_is_told_with_rule_and_figures(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), stale("b"), fresh("c")]}})
    record = only(tmp_path, "b")
    assert (record["fate"], record["rule"], record["position"]) == ("removed", "unused_too_long", 1)
    assert record["figures"] == {"age_days": 200.0, "limit_days": 90.0}
    of_patterns = [rule.name for rule in RULES if PATTERN in rule.kinds]
    assert [one["rule"] for one in record["rules"]] == of_patterns
    text = told(tmp_path, "b").out
    assert "would be removed; unused_too_long: last used 200 days ago, limit 90" in text
    assert "applies         unused_too_long      last used 200 days ago, goes over 90" in text


def test_a_record_that_stays_is_told_with_every_rule(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [pattern(id="x", unused_days=None, success=None)]}})
    record = only(tmp_path, "x")
    verdicts = {one["rule"]: one["verdict"] for one in record["rules"]}
    assert (record["fate"], record["rule"]) == ("kept", None)
    assert verdicts["unused_too_long"] == "lacks a figure"
    assert verdicts["low_success_rate"] == "lacks a figure"
    assert verdicts["low_confidence"] == "does not apply"


@pytest.mark.parametrize(
    ("made", "settings", "protection"),
    [
        (stale("x", tags=["Keep"]), "", "pinned_tag"),
        (stale("x"), '[prune]\npinned_ids = ["x"]\n', "pinned_id"),
        (stale("x", success=1.0, confidence=1.0, executions=9999), "", "valuable"),
        (pattern(id="x", created_days=3, unused_days=200), "", "new"),
    ],
)
def test_h34_a_protected_record_is_told_with_what_protects_it(
    tmp_path: Path, made: object, settings: str, protection: str
) -> None:
    """H34: what is valuable, pinned or new stays, and it is told why."""
    make_store(tmp_path, {"alpha": {"patterns": [made]}})
    (tmp_path / ".loom/aml.toml").write_text(settings, encoding="utf-8")
    record = only(tmp_path, "x")
    assert (record["fate"], record["rule"]) == ("protected", "unused_too_long")
    assert [one["protection"] for one in record["protections"] if one["holds"]] == [protection]


def test_h35_an_unknown_time_is_told_as_unknown(tmp_path: Path) -> None:
    """H35: an unparsable time is no age."""
    record = stale("x") | {"timestamp": "soon"}
    record["evolution"] = {"created": "soon", "lastUsed": "yesterday", "confidenceScore": 0.1}
    make_store(tmp_path, {"alpha": {"patterns": [record]}})
    found = only(tmp_path, "x")
    assert (found["created"], found["last_used"]) == (None, None)
    verdicts = {one["rule"]: one["verdict"] for one in found["rules"]}
    assert verdicts["unused_too_long"] == "lacks a figure"
    assert "last used at an unknown time" in told(tmp_path, "x").out


def test_h47_a_record_under_two_rules_goes_under_the_first_and_both_are_told(tmp_path: Path) -> None:
    """H47: one record, one rule, in the dry run, in the run and here."""
    make_store(tmp_path, {"alpha": {"patterns": [stale("x", success=0.1), fresh("y"), fresh("z")]}})
    record = only(tmp_path, "x")
    applying = [one["rule"] for one in record["rules"] if one["verdict"] == "applies"]
    assert applying == ["unused_too_long", "failed_pattern", "low_success_rate"]
    planned = aml(tmp_path, "prune", "--dry-run", "--json").envelope["data"]["records"]
    assert [(one["id"], one["rule"]) for one in planned] == [("x", record["rule"])]


def test_a_record_beyond_the_loss_budget_is_told_as_deferred(tmp_path: Path) -> None:
    worse = [stale(f"w{number:02}", success=0.0) for number in range(30)]
    rest = [stale("x", success=0.9), *(fresh(f"f{number:02}") for number in range(69))]
    make_store(tmp_path, {"alpha": {"patterns": [*worse, *rest]}})
    record = only(tmp_path, "x")
    assert record["fate"] == "deferred"
    assert record["budget"] == {
        "limit": 30,
        "reason": "at most 30% of an agent's records in a run",
        "condemned": 31,
    }


def test_the_same_id_is_explained_wherever_it_stands(tmp_path: Path) -> None:
    memory = make_store(
        tmp_path,
        {"alpha": {"patterns": [stale("x"), fresh("x")], "decisions": [decision(id="x")]}, "beta": {"patterns": []}},
    )
    write_array(memory / "beta/solutions.json", [solution(id="x", agent="beta", worked=False)], form="gzip")
    found = [f"{one['agent']}/{one['kind']} {one['position']}" for one in explained(tmp_path, "x")["records"]]
    assert found == ["alpha/patterns 0", "alpha/patterns 1", "alpha/decisions 0", "beta/solutions 0"]
    assert len(explained(tmp_path, "x", "--agent", "beta")["records"]) == 1


def test_a_unique_beginning_will_do_and_one_that_fits_several_will_not(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("abc-1"), stale("abd-2")]}})
    assert only(tmp_path, "abc")["id"] == "abc-1"
    answer = told(tmp_path, "ab")
    assert (answer.status, answer.out) == (1, "")
    assert "fits 2 records" in answer.err
    assert "abc-1, abd-2" in answer.err


def test_an_exact_id_wins_over_those_that_begin_with_it(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("ab"), stale("abc")]}})
    assert only(tmp_path, "ab")["id"] == "ab"


def test_an_unknown_id_names_the_nearest(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("colour-of-the-sky"), stale("other")]}})
    answer = told(tmp_path, "color-of-the-sky")
    assert answer.status == 1
    assert "colour-of-the-sky" in answer.err
    assert told(tmp_path, "").status == 2


def test_a_record_that_a_run_removed_is_told_with_the_way_back(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("gone"), fresh("a"), fresh("b"), fresh("c")]}})
    run = aml(tmp_path, "prune", "--no-backup", "--json").envelope["data"]["run"]
    data = explained(tmp_path, "gone")
    assert data["records"] == []
    assert [(one["run"], one["rule"], one["undone"]) for one in data["removed"]] == [(run, "unused_too_long", False)]
    answer = told(tmp_path, "go")
    assert "not in the store" in answer.out
    command = f"aml prune undo {run} --id gone"
    assert command in answer.out
    assert aml(tmp_path, *command.split()[1:]).status == 0
    record = only(tmp_path, "gone")
    assert (record["came_back"], [one["undone"] for one in record["removed_before"]]) == (False, [True])


def test_h51_a_record_that_came_back_is_told_as_such(tmp_path: Path) -> None:
    """H51: a live agent writes back what was removed."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("gone"), fresh("a"), fresh("b"), fresh("c")]}})
    cached = (memory / "alpha/patterns.json").read_bytes()
    assert aml(tmp_path, "prune", "--no-backup").status == 0
    (memory / "alpha/patterns.json").write_bytes(cached)
    record = only(tmp_path, "gone")
    assert record["came_back"] is True
    assert "it came back" in told(tmp_path, "gone").out


def test_a_removal_whose_archive_is_gone_is_told_without_its_rule(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("gone"), fresh("a"), fresh("b"), fresh("c")]}})
    assert aml(tmp_path, "prune", "--no-backup").status == 0
    for path in (tmp_path / ".loom/memory-backup/archives").rglob("*.gz"):
        path.unlink()
    assert explained(tmp_path, "gone")["removed"][0]["rule"] is None
    assert "cannot be read, or has expired" in told(tmp_path, "gone").out


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (b'{"id": "odd", "x": NaN}', "NaN"),
        (b'{"id": "odd", "x": "\xff"}', "UTF-8"),
        (b'{"id": "odd", "version": "9.0.0"}', "newer"),
    ],
)
def test_an_unreadable_record_is_told_with_position_and_reason(tmp_path: Path, element: bytes, reason: str) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    (memory / "alpha/patterns.json").write_bytes(b'[{"id": "a"}, ' + element + b"]")
    record = only(tmp_path, "odd")
    assert (record["fate"], record["position"], record["rules"]) == ("unreadable", 1, [])
    assert reason in record["reason"]
    assert "cannot be judged" in told(tmp_path, "odd").out


def test_a_damaged_file_hides_nothing_that_stands_elsewhere(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("x")]}})
    (memory / "alpha/solutions.json").write_bytes(b'[{"id": 1},')
    answer = told(tmp_path, "x")
    assert answer.status == 0
    assert "left alone: alpha/solutions" in answer.err
    assert "1 of its files cannot be read" in told(tmp_path, "nobody").err


def test_strategies_agents_and_aggressive_count_as_in_a_prune(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [pattern(id="x", unused_days=70, created_days=80), fresh("y")]}})
    assert only(tmp_path, "x")["fate"] == "kept"
    assert only(tmp_path, "x", "--aggressive")["fate"] == "removed"
    limited = only(tmp_path, "x", "--aggressive", "--strategy", "performance")
    assert limited["fate"] == "kept"
    assert {one["rule"] for one in limited["rules"] if one["asked"]} == {"low_success_rate", "low_confidence"}
    assert told(tmp_path, "x", "--agent", "nobody").status == 2
    assert told(tmp_path, "x", "--strategy", "nothing").status == 2


def test_explaining_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("x")]}})
    (memory / "alpha/patterns.json.lock").mkdir()
    before = tree_digest(tmp_path)
    assert told(tmp_path, "x").status == 0
    assert tree_digest(tmp_path) == before


def test_the_text_fits_80_columns_and_obeys_no_control_characters(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [stale("\x1b[31mred", success=0.1, tags=["\x1b[1m", "keep"])]}})
    answer = told(tmp_path, "\x1b[31mred")
    assert answer.status == 0
    assert "\x1b" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_the_library_explains_as_the_command_does(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("x")]}})
    report = library.prune_explain(library.open_store(memory), "x", now=NOW.timestamp())
    assert json.loads(json.dumps(report.records[0].rule)) == only(tmp_path, "x")["rule"]
    with pytest.raises(library.NotFoundError, match="nobody"):
        library.prune_explain(library.open_store(memory), "nobody", now=NOW.timestamp())


def test_policy_and_max_loss_count_as_in_a_prune(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    words = ("prune", "explain", "o1")
    assert "would be deferred" in aml(project, *words, "--max-loss", "0%").out
    limit = {"AML_SPACE_AGENT_MB": "0.001"}
    answer = aml(project, "prune", "explain", "k1", "--strategy", "space", "--policy", "value", environment=limit)
    assert "alpha: " in answer.out
    assert "limit 1.0 KiB" in answer.out
