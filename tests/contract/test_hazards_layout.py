"""Hazards of the layout: only agents of this store are read, and nothing outside is ever written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aml.errors import AmlError, ExitStatus, UsageError
from tests.contract.pruning import UNLIMITED, fresh, problems, removed_ids, run_prune, run_undo, stale
from tests.support.stores import make_store, read_array, tree_digest, write_array

STALE = [stale("old-1"), stale("old-2")]


def _store_with_neighbours(tmp_path: Path) -> tuple[Path, Path]:
    """A store with one agent, and folders outside it that look like agents."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), fresh("b"), fresh("c")]}})
    outside = tmp_path / "secret"
    write_array(outside / "patterns.json", STALE)
    return memory, outside


@pytest.mark.parametrize(
    "name",
    [
        "../../secret",
        "..",
        ".",
        "",
        "alpha/",
        "./alpha",
        "alpha/../../../secret",
        "alpha/patterns.json",
        "*",
        "alp",
        "ALPHA",
        "global",
        "audit",
        ".hidden",
    ],
)
def test_h27_an_agent_is_a_name_in_this_store_and_never_a_path(tmp_path: Path, name: str) -> None:
    """H27: --agent ../../secret read and rewrote files outside the store."""
    memory, _ = _store_with_neighbours(tmp_path)
    for reserved in ("global", "audit", ".hidden"):
        write_array(memory / reserved / "patterns.json", STALE)
    before = tree_digest(tmp_path)
    for dry_run in (False, True):
        with pytest.raises(UsageError, match="unknown agent"):
            run_prune(memory, agents=(name,), dry_run=dry_run, max_loss=UNLIMITED)
    with pytest.raises(UsageError):
        run_prune(memory, agents=(str(tmp_path / "secret"),), max_loss=UNLIMITED)
    assert tree_digest(tmp_path) == before


def _status_of_undo(memory: Path, run: str | None) -> ExitStatus:
    try:
        return run_undo(memory, run).status
    except AmlError as error:
        return error.status


def test_h27_a_run_journal_that_names_a_path_writes_nothing_outside(tmp_path: Path) -> None:
    """H27: a crafted file of AML's own must not lead outside the store either."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), *STALE, fresh("b"), fresh("c")]}})
    run = run_prune(memory, max_loss=UNLIMITED).run
    (tmp_path / "secret").mkdir()
    journal = memory.with_name("memory.aml") / "runs" / f"{run}.json"
    crafted = json.loads(journal.read_bytes())
    crafted["files"][0]["agent"] = "../../secret"
    journal.write_text(json.dumps(crafted), encoding="utf-8")
    assert _status_of_undo(memory, run) is not ExitStatus.DONE
    assert list((tmp_path / "secret").iterdir()) == []


def test_h28_an_agent_folder_that_is_a_link_is_not_an_agent(tmp_path: Path) -> None:
    """H28: a linked agent folder led to files elsewhere being rewritten."""
    memory, outside = _store_with_neighbours(tmp_path)
    (memory / "linked").symlink_to(outside)
    (memory / "linked-inside").symlink_to(memory / "alpha")
    before = tree_digest(tmp_path)
    report = run_prune(memory, max_loss=UNLIMITED, dry_run=True)
    assert {file.agent for file in report.files} == {"alpha"}
    with pytest.raises(UsageError):
        run_prune(memory, agents=("linked",), max_loss=UNLIMITED)
    assert tree_digest(tmp_path) == before
    run_prune(memory, max_loss=UNLIMITED)
    assert tree_digest(outside) == {
        name.removeprefix("secret/"): found for name, found in before.items() if name.startswith("secret/")
    }
    assert (memory / "linked").is_symlink()


@pytest.mark.parametrize("target", ["file", "nothing", "loop"])
def test_h28_a_record_file_that_is_a_link_is_left_alone(tmp_path: Path, target: str) -> None:
    """H28: a linked record file was rewritten where it leads to, or replaced by a copy."""
    memory, outside = _store_with_neighbours(tmp_path)
    link = memory / "alpha/solutions.json"
    link.symlink_to({"file": outside / "patterns.json", "nothing": tmp_path / "gone", "loop": link}[target])
    before = tree_digest(tmp_path)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert "alpha/solutions" in problems(report)
    assert report.status is ExitStatus.PARTIAL
    assert link.is_symlink()
    after = tree_digest(tmp_path)
    assert {name: after[name] for name in before} == before


def test_h28_undo_does_not_follow_a_link_that_took_the_place_of_an_agent(tmp_path: Path) -> None:
    """H28: records put back through a link would be written into a folder of somebody else's."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), *STALE, fresh("b"), fresh("c")]}})
    run = run_prune(memory, max_loss=UNLIMITED).run
    (memory / "alpha").rename(tmp_path / "elsewhere")
    (memory / "alpha").symlink_to(tmp_path / "elsewhere")
    before = tree_digest(tmp_path / "elsewhere")
    preview, report = run_undo(memory, run, dry_run=True), run_undo(memory, run)
    assert tree_digest(tmp_path / "elsewhere") == before
    assert report.files[0].problem
    assert preview.files[0].problem, "a dry run sees the same obstacle"
    assert report.status is not ExitStatus.DONE


def test_h28_undo_does_not_follow_a_link_that_took_the_place_of_a_record_file(tmp_path: Path) -> None:
    """H28: the same for the file itself."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), *STALE, fresh("b"), fresh("c")]}})
    run = run_prune(memory, max_loss=UNLIMITED).run
    path, moved = memory / "alpha/patterns.json", tmp_path / "moved.json"
    path.rename(moved)
    path.symlink_to(moved)
    before = moved.read_bytes()
    report = run_undo(memory, run)
    assert report.files[0].problem
    assert moved.read_bytes() == before
    assert path.is_symlink()


def test_h28_a_store_reached_through_a_link_is_one_store(tmp_path: Path) -> None:
    """H28: the user may name the store itself by a link; lock, journal and archive lie beside the real one."""
    memory, _ = _store_with_neighbours(tmp_path)
    write_array(memory / "beta/patterns.json", [*STALE, fresh("x"), fresh("y"), fresh("z")])
    link = tmp_path / "by-another-name"
    link.symlink_to(memory)
    run = run_prune(link, max_loss=UNLIMITED).run
    assert sorted(path.name for path in tmp_path.iterdir()) == [".loom", "by-another-name", "secret"]
    assert run_undo(memory, run).files[0].restored == 2


def test_h37_an_id_is_unique_per_agent_and_kind(tmp_path: Path) -> None:
    """H37: the same id in two agents made one agent's copy go; sharing is legal."""
    shared = fresh("shared")
    agents = {
        "alpha": {"patterns": [stale("shared"), fresh("a1"), fresh("a2")]},
        "beta": {"patterns": [shared, fresh("b1"), fresh("b2")]},
        "gamma": {"patterns": [shared, fresh("c1")]},
    }
    memory = make_store(tmp_path, agents)
    others = {name: (memory / name / "patterns.json").read_bytes() for name in ("beta", "gamma")}
    first = run_prune(memory, max_loss=UNLIMITED)
    assert [(one.agent, one.id) for one in first.records] == [("alpha", "shared")]
    second = run_prune(memory, max_loss=UNLIMITED)
    assert second.total("came_back") == 0, "another agent's copy is no return of this agent's record"
    assert {name: (memory / name / "patterns.json").read_bytes() for name in others} == others
    assert run_undo(memory, first.run).files[0].conflicts == []
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["shared", "a1", "a2"]
    assert {name: (memory / name / "patterns.json").read_bytes() for name in others} == others


def test_h37_identical_records_of_two_agents_are_two_records(tmp_path: Path) -> None:
    """H37: even byte for byte the same, each belongs to its agent; undoing one agent's id gives each its own back."""
    same = {"patterns": [stale("shared"), fresh("x"), fresh("y")]}
    memory = make_store(tmp_path, {"alpha": same, "beta": same})
    before = tree_digest(memory)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert [one.agent for one in report.records] == ["alpha", "beta"]
    run_undo(memory, report.run)
    assert {name: found[0] for name, found in tree_digest(memory).items()} == {
        name: found[0] for name, found in before.items()
    }


def test_h39_an_unknown_agent_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    """H39: an unknown agent as a filter meant every agent."""
    memory = make_store(tmp_path, {"alpha": {"patterns": STALE}, "beta": {"patterns": STALE}})
    before = tree_digest(tmp_path)
    with pytest.raises(UsageError) as caught:
        run_prune(memory, agents=("alpha", "bata"), max_loss=UNLIMITED)
    assert "'bata'" in str(caught.value)
    assert "did you mean beta?" in str(caught.value)
    assert "alpha, beta" in str(caught.value)
    assert tree_digest(tmp_path) == before
    report = run_prune(memory, agents=("beta",), max_loss=UNLIMITED)
    assert [one.agent for one in report.records] == ["beta", "beta"]
    assert len(read_array(memory / "alpha/patterns.json")) == 2


RESERVED = [
    "global",
    "audit",
    "config",
    "backup",
    "backups",
    "monitoring",
    "backup-1732100000000-abc123",
    ".git",
    ".aml",
    "backup/alpha-2026-01-01",
]


@pytest.mark.parametrize("name", RESERVED)
def test_h48_reserved_folders_are_not_agents(tmp_path: Path, name: str) -> None:
    """H48: audit/, backup/ and the tool's own folder were treated as agents, and their files pruned."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("a"), fresh("b"), fresh("c"), fresh("d")]}})
    for kind in ("patterns", "solutions", "decisions"):
        write_array(memory / name / f"{kind}.json", STALE)
    before = tree_digest(memory / name)
    report = run_prune(memory, max_loss=UNLIMITED)
    assert {file.agent for file in report.files} == {"alpha"}
    assert removed_ids(report) == ["a"]
    assert tree_digest(memory / name) == before


def test_h48_files_at_the_top_and_documents_of_agents_are_never_pruned(tmp_path: Path) -> None:
    """H48: metrics.json, context.json, index.json and strays are documents, whatever they hold."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("a"), fresh("b"), fresh("c")]}})
    for name in ("alpha/metrics.json", "alpha/context.json", "alpha/index.json", "alpha/patterns.json.gz"):
        write_array(memory / name, STALE)
    for name in ("patterns.json", "config.json", "alpha/patterns.json.tmp", "alpha/deeper/patterns.json"):
        write_array(memory / name, STALE)
    before = tree_digest(memory)
    run_prune(memory, max_loss=UNLIMITED)
    after = tree_digest(memory)
    assert [name for name in before if before[name] != after.get(name)] == ["alpha/patterns.json"]


def test_h48_nothing_new_appears_inside_the_store(tmp_path: Path) -> None:
    """H48: the runtime takes every new top-level folder for an agent, so AML's own state lies beside the store."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [*STALE, fresh("b"), fresh("c"), fresh("d")]}})
    before = sorted(found for found, *_ in os.walk(memory))
    run_prune(memory, max_loss=UNLIMITED)
    assert sorted(found for found, *_ in os.walk(memory)) == before
    assert sorted(path.name for path in (memory / "alpha").iterdir()) == ["patterns.json"]
