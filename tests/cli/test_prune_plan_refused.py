"""``aml prune --apply``: a plan that somebody altered, and what is no plan, is refused; nothing is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.cli.planning import Plan, applied, edited, ids_in, memory_of, planned, project_in
from tests.cli.running import aml
from tests.contract.pruning import fresh, stale
from tests.support.stores import make_store, record_spans, tree_digest


def _first(plan: Plan) -> dict[str, Any]:
    found = plan["files"][0]["removals"][0]
    assert isinstance(found, dict)
    return found


ALTERATIONS: dict[str, tuple[Callable[[Plan], object], str]] = {
    "another position": (
        lambda plan: _first(plan).update(position=0),
        "files[0].removals[0]: the record at position 0",
    ),
    "beyond the end": (lambda plan: _first(plan).update(position=99), "files[0].removals[0]: position 99 is beyond"),
    "negative": (lambda plan: _first(plan).update(position=-1), "files[0].removals[0]: position -1 is negative"),
    "another hash": (lambda plan: _first(plan).update(sha256="0" * 64), "the record at position 1 is another one"),
    "another id": (lambda plan: _first(plan).update(id="x"), "the id of that record is 'b', not 'x'"),
    "another rule": (lambda plan: _first(plan).update(rule="low_confidence"), "low_confidence does not condemn"),
    "a rule of another kind": (lambda plan: _first(plan).update(rule="old_decision"), "is no rule"),
    "space unasked": (lambda plan: _first(plan).update(rule="space"), "is no rule"),
    "twice": (lambda plan: plan["files"][0]["removals"].append(_first(plan)), "removals[2]: position 1 is there twice"),
    "a file twice": (lambda plan: plan["files"].append(plan["files"][0]), "files[3]: alpha/patterns is there twice"),
    "an unknown agent": (lambda plan: plan["files"][0].update(agent="gamma"), "files[0].agent: unknown agent 'gamma'"),
    "a way out": (lambda plan: plan["files"][0].update(agent="../alpha"), "unknown agent '../alpha'"),
    "a reserved folder": (lambda plan: plan["files"][0].update(agent="global"), "unknown agent 'global'"),
    "an unknown kind": (lambda plan: plan["files"][0].update(kind="metrics"), "files[0].kind: unknown kind"),
    "no hash": (lambda plan: plan["files"][0].update(sha256="x"), "files[0].sha256 is no SHA-256"),
    "no strategy": (lambda plan: plan["options"].update(strategies=[]), "options.strategies is empty"),
    "an unknown strategy": (lambda plan: plan["options"].update(strategies=["all"]), "unknown strategy 'all'"),
    "an agent not asked for": (lambda plan: plan["options"].update(agents=["beta"]), "is not among options.agents"),
    "a later format": (lambda plan: plan.update(format=2), "format 2"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_plan_is_refused_and_nothing_is_done(tmp_path: Path, name: str) -> None:
    project = project_in(tmp_path)
    plan = planned(project)
    alter, message = ALTERATIONS[name]
    alter(plan)
    edited(project, plan)
    before = tree_digest(memory_of(project))
    answer = applied(project)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert "plan.json" in answer.err
    assert tree_digest(memory_of(project)) == before


def test_an_added_entry_goes_only_where_its_rule_condemns_it(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    plan = planned(project, "--max-loss", "20%")
    spans = record_spans(memory_of(project) / "alpha/patterns.json")

    def entry(position: int, ident: str) -> dict[str, Any]:
        digest = sha256(spans[position]).hexdigest()
        return {"position": position, "id": ident, "sha256": digest, "rule": "unused_too_long"}

    alpha = {"agent": "alpha", "kind": "patterns"}
    digest = sha256((memory_of(project) / "alpha/patterns.json").read_bytes()).hexdigest()
    rest = [file for file in plan["files"] if (file["agent"], file["kind"]) != ("alpha", "patterns")]
    edited(project, plan | {"files": [*rest, alpha | {"sha256": digest, "removals": [entry(0, "a")]}]})
    assert applied(project).status == 2
    edited(project, plan | {"files": [*rest, alpha | {"sha256": digest, "removals": [entry(3, "d"), entry(1, "b")]}]})
    assert applied(project).status == 0
    assert ids_in(memory_of(project) / "alpha/patterns.json") == ["a", "c", "e", "f", "g"]


def test_a_rule_that_the_settings_changed_does_not_condemn_any_more(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    (project / ".loom/aml.toml").write_text("[prune]\nunused_days = 1000\n", encoding="utf-8")
    answer = applied(project)
    assert answer.status == 2
    assert "files[0].removals[0]: unused_too_long does not condemn that record now" in answer.err


def test_of_identical_records_all_go_or_none(tmp_path: Path) -> None:
    twin = {name: value for name, value in stale("x").items() if name != "id"}
    others = [fresh(f"f{number}") for number in range(8)]
    make_store(tmp_path, {"alpha": {"patterns": [twin, *others, twin]}})
    plan = planned(tmp_path)
    assert [one["position"] for one in plan["files"][0]["removals"]] == [0, 9]
    del plan["files"][0]["removals"][1]
    edited(tmp_path, plan)
    answer = applied(tmp_path)
    assert answer.status == 2
    assert "position 9 is identical to one that is to go" in answer.err


BROKEN = {
    "nothing": b"",
    "cut short": b'{"what": "aml prune plan", "format": 1, "files": [',
    "no object": b"[]",
    "something else": b'{"id": "x"}',
    "another type": b'{"what": "aml prune plan", "format": 1, "aml": "", "made": "", "store": 7}',
    "no text": b'{"what": "\xff"}',
    "deep": b"[" * 100_000,
    "a large number": b'{"what": "aml prune plan", "format": 1, "aml": "", "made": "", "options": '
    + b"9" * 9000
    + b"}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_plan_is_damaged_and_is_never_overwritten(tmp_path: Path, name: str) -> None:
    project = project_in(tmp_path)
    (project / "plan.json").write_bytes(BROKEN[name])
    answer = applied(project)
    assert (answer.status, answer.out) == (12, "")
    assert "plan.json is no prune plan" in answer.err
    refused = aml(project, "prune", "--plan", "plan.json")
    assert refused.status == 2
    assert (project / "plan.json").read_bytes() == BROKEN[name]


def test_a_wrong_type_names_its_place(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    plan = planned(project)
    _first(plan)["position"] = "one"
    edited(project, plan)
    answer = applied(project)
    assert answer.status == 12
    assert "$.files[0].removals[0].position" in answer.err


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with open(project / "plan.json", "wb") as stream:
        stream.truncate(1 << 40)
    answer = applied(project)
    assert answer.status == 12
    assert "too large" in answer.err


def test_a_pipe_or_a_folder_is_no_plan(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    os.mkfifo(project / "pipe")
    for name in ("pipe", ".", "missing"):
        answer = aml(project, "prune", "--apply", name)
        assert (answer.status, "Traceback" in answer.err) == (1, False)
    for name in ("pipe", "."):
        assert aml(project, "prune", "--plan", name).status == 2
