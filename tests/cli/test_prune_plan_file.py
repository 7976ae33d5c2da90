"""``aml prune --plan`` and ``--apply``: a plan as a file, reviewed by hand, trusted in nothing."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

import aml as library
from tests.cli.planning import applied, edited, ids_in, memory_of, planned, project_in
from tests.cli.running import Answer, aml
from tests.contract.pruning import fresh, stale
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, record_spans, tree_digest, write_array


def fates_of(answer: Answer) -> list[tuple[str, str]]:
    return [(one["id"], one["fate"]) for one in answer.envelope["data"]["records"]]


def test_a_plan_says_what_a_dry_run_says_and_changes_nothing_else(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    before = tree_digest(memory_of(project).parent)
    dry = aml(project, "prune", "--dry-run", "--json").envelope["data"]
    plan = planned(project)
    assert tree_digest(memory_of(project).parent) == before
    found = [
        (file["agent"], file["kind"], one["id"], one["rule"], one["reason"], one["figures"], one["value"])
        for file in plan["files"]
        for one in file["removals"]
    ]
    names = ("agent", "kind", "id", "rule", "reason", "figures", "value")
    assert found == [tuple(one[name] for name in names) for one in dry["records"]]
    assert (plan["what"], plan["format"], plan["made"]) == ("aml prune plan", 1, "2026-11-20T12:00:00.000Z")
    root = memory_of(project)
    assert plan["store"] == {"path": str(root), "device": root.stat().st_dev, "inode": root.stat().st_ino}


def test_a_plan_is_pinned_to_bytes(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    for file in planned(project)["files"]:
        path = memory_of(project) / file["agent"] / f"{file['kind']}.json"
        assert file["sha256"] == sha256(path.read_bytes()).hexdigest()
        spans = record_spans(path)
        assert [one["sha256"] for one in file["removals"]] == [
            sha256(spans[one["position"]]).hexdigest() for one in file["removals"]
        ]


def test_plan_and_apply_come_to_what_a_prune_comes_to(tmp_path: Path) -> None:
    pruned, reviewed = project_in(tmp_path / "one"), project_in(tmp_path / "two")
    assert aml(pruned, "prune", "--no-backup").status == 0
    planned(reviewed)
    answer = applied(reviewed, "--json")
    assert (answer.status, answer.envelope["data"]["plan_file"]) == (0, str(reviewed / "plan.json"))
    for path in sorted(memory_of(pruned).rglob("*.json")):
        twin = memory_of(reviewed) / path.relative_to(memory_of(pruned))
        assert record_spans(twin) == record_spans(path)
    run = aml(reviewed, "prune", "history", "--json").envelope["data"]["runs"][0]
    assert run["operation"] == "prune"
    assert run["options"]["plan"] == sha256((reviewed / "plan.json").read_bytes()).hexdigest()
    assert aml(reviewed, "prune", "undo", run["id"]).status == 0
    assert ids_in(memory_of(reviewed) / "alpha/patterns.json") == ["a", "b", "c", "d", "e", "f", "g"]


def test_a_backup_comes_before_as_with_any_prune(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    answer = aml(project, "prune", "--apply", "plan.json", "--json")
    assert (answer.status, answer.envelope["data"]["backup"] is None) == (0, False)


def test_entries_that_were_deleted_stay(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    plan = planned(project)
    plan["files"] = [file for file in plan["files"] if file["agent"] == "alpha"]
    plan["files"][0]["removals"] = [one for one in plan["files"][0]["removals"] if one["id"] == "d"]
    edited(project, plan)
    answer = applied(project, "--json")
    assert answer.status == 0
    assert fates_of(answer) == [("d", "removed"), ("never", "removed")]
    assert ids_in(memory_of(project) / "alpha/patterns.json") == ["a", "b", "c", "e", "f", "g"]
    assert "no" in ids_in(memory_of(project) / "beta/solutions.json")


def test_a_dry_run_of_a_plan_is_the_same_code(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    before = tree_digest(memory_of(project).parent)
    dry = applied(project, "--dry-run", "--json")
    assert tree_digest(memory_of(project).parent) == before
    assert fates_of(dry) == fates_of(applied(project, "--json"))


def test_a_file_that_changed_is_left_alone_and_the_others_are_done(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    write_array(memory_of(project) / "alpha/patterns.json", [fresh("a"), stale("b"), stale("d"), fresh("z")])
    before = (memory_of(project) / "alpha/patterns.json").read_bytes()
    answer = applied(project)
    assert answer.status == 3
    assert "left alone: alpha/patterns: it changed since the plan was made" in answer.err
    assert (memory_of(project) / "alpha/patterns.json").read_bytes() == before
    assert ids_in(memory_of(project) / "alpha/decisions.json") == ["again"]
    assert ids_in(memory_of(project) / "beta/solutions.json") == ["y0", "y1", "y2"]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    (memory_of(project) / "alpha/decisions.json").unlink()
    answer = applied(project)
    assert answer.status == 3
    assert "left alone: alpha/decisions: it is not there any more" in answer.err


def test_another_store_is_refused(tmp_path: Path) -> None:
    project = project_in(tmp_path / "one")
    other = project_in(tmp_path / "two")
    plan = planned(project)
    before = tree_digest(other)
    answer = aml(other, "prune", "--apply", str(project / "plan.json"))
    assert (answer.status, tree_digest(other)) == (1, before)
    assert "another store" in answer.err
    for key, value in (("path", "/elsewhere"), ("device", -1), ("inode", 1)):
        edited(project, plan | {"store": plan["store"] | {key: value}})
        assert applied(project).status == 1


@pytest.mark.parametrize("settings", ['[prune]\npinned_ids = ["b"]\n', "[prune]\nprotect_value = 0.0\n"])
def test_protection_is_asked_again(tmp_path: Path, settings: str) -> None:
    project = project_in(tmp_path)
    planned(project)
    (project / ".loom/aml.toml").write_text(settings, encoding="utf-8")
    answer = applied(project, "--json")
    assert answer.status == 0
    assert answer.envelope["data"]["files"][0]["protected"] > 0
    assert "b" in ids_in(memory_of(project) / "alpha/patterns.json")


def test_the_loss_budget_is_asked_again(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    answer = applied(project, "--max-loss", "20%", "--json")
    assert answer.status == 3
    assert sorted(fate for _, fate in fates_of(answer)) == ["deferred"] * 3 + ["removed"]
    assert len(ids_in(memory_of(project) / "beta/solutions.json")) == 4


def test_what_a_plan_leaves_for_the_loss_budget_takes_a_new_plan(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    answer = applied(project, "--max-loss", "20%")
    assert "once this plan is applied, write a new one for the rest" in answer.err
    assert "a later run takes" not in answer.err
    again = applied(project)
    assert "it changed since the plan was made; aml prune --plan FILE writes a new one" in again.err


@pytest.mark.parametrize("place", [".loom/memory/plan.json", ".loom/memory/alpha/plan.json", "link/plan.json"])
def test_no_plan_is_written_inside_the_store(tmp_path: Path, place: str) -> None:
    project = project_in(tmp_path)
    (project / "link").symlink_to(memory_of(project) / "alpha")
    before = tree_digest(memory_of(project))
    answer = aml(project, "prune", "--plan", place)
    assert answer.status == 2
    assert "inside the store" in answer.err
    assert tree_digest(memory_of(project)) == before


def test_an_older_plan_is_replaced(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    plan = planned(project, "--agent", "beta")
    assert [file["agent"] for file in plan["files"]] == ["beta"]
    assert (project / "plan.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words",
    [
        ("--plan", "other.json"),
        ("--strategy", "time"),
        ("--agent", "alpha"),
        ("--aggressive",),
        ("--policy", "value"),
    ],
)
def test_what_contradicts_a_plan_is_wrong_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    project = project_in(tmp_path)
    planned(project)
    assert applied(project, *words).status == 2
    assert aml(project, "prune", "--plan", "").status == 2
    assert aml(project, "prune", "--apply", "").status == 2


def test_a_plan_of_nothing_does_nothing(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    assert planned(tmp_path)["files"] == []
    before = tree_digest(tmp_path / ".loom/memory")
    answer = applied(tmp_path)
    assert (answer.status, tree_digest(tmp_path / ".loom/memory")) == (0, before)


def test_options_of_the_plan_are_kept(tmp_path: Path) -> None:
    records = [pattern(id="x", unused_days=70, created_days=80), fresh("y"), fresh("z")]
    make_store(tmp_path, {"alpha": {"patterns": records}})
    plan = planned(tmp_path, "--aggressive", "--strategy", "time")
    assert plan["options"]["aggressive"] is True
    assert plan["options"]["strategies"] == ["time"]
    assert applied(tmp_path).status == 0
    assert ids_in(tmp_path / ".loom/memory/alpha/patterns.json") == ["y", "z"]


def test_the_way_on_is_told_and_quiet_is_quiet(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    assert "aml prune --apply plan.json" in aml(project, "prune", "--plan", "plan.json").out
    assert aml(project, "prune", "--plan", "plan.json", "-q").out == ""


def test_a_file_that_changes_before_its_lock_is_not_planned_again(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    planned(project)
    path = memory_of(project) / "alpha/patterns.json"

    def write(_: str) -> None:
        # told of each file, and by several threads
        new = path.with_suffix(f".{uuid4()}")
        write_array(new, [stale("b"), stale("d"), fresh("z")])
        new.replace(path)

    report = library.prune_apply(
        library.open_store(memory_of(project)),
        project / "plan.json",
        now=NOW.timestamp(),
        backup=False,
        progress=write,
        conditions=library.Conditions(),
    )
    assert ids_in(path) == ["b", "d", "z"]
    assert {file.kind: file.problem for file in report.files if file.problem} == {
        "patterns": "it changed since the plan was made; aml prune --plan FILE writes a new one"
    }
    assert report.status is library.ExitStatus.PARTIAL


def test_the_library_plans_and_applies(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    store = library.open_store(memory_of(project))
    now = NOW.timestamp()
    report = library.prune_plan(store, project / "plan.json", now=now)
    assert (report.dry_run, report.total("removed")) == (True, 4)
    assert library.prune_apply(store, project / "plan.json", now=now, backup=False).total("removed") == 4
