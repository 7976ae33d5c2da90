"""Hazards of making room: a gzip store is counted and kept right, what is valuable or unknown stays, once is once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from aml.config import PruneSettings, SpaceSettings
from aml.errors import ExitStatus
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.explain import prune_explain
from aml.workflows.prune import prune, prune_options
from aml.workflows.prune_plans import prune_apply, prune_plan
from tests.contract.pruning import (
    IMPATIENT,
    MB,
    UNLIMITED,
    fresh,
    make_room,
    moment,
    removed_ids,
    run_undo,
    stale,
    totals,
)
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import Form, make_store, read_array, record_spans, tree_digest, write_array

PAD = "x" * 900


def worth(ident: str, value: float, **more: Any) -> Record:
    """A pattern in use of which success tells its value."""
    return fresh(ident, success=value, confidence=0.5, pad=more.pop("pad", PAD), **more)


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_h03_a_store_is_not_emptied_and_counts_are_right(tmp_path: Path, form: Form) -> None:
    """H03: space pruning wrote [] over a gzip store and reported 0 pruned."""
    noise = random.Random(3)
    records = [worth(f"p{number:02}", number / 100, pad=noise.randbytes(700).hex()) for number in range(40)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}}, form=form)
    path = memory / "alpha/patterns.json"
    before, size = record_spans(path), folder_size(memory / "alpha")
    planned = make_room(memory, agent_bytes=size - 1, dry_run=True)
    report = make_room(memory, agent_bytes=size - 1)
    gone = removed_ids(report)
    assert report.status is ExitStatus.DONE
    assert gone == removed_ids(planned) == [f"p{number:02}" for number in range(len(gone))]
    assert 0 < len(gone) < 40
    assert record_spans(path) == before[len(gone) :]
    assert totals(report) | {"removed": len(gone), "kept": 40 - len(gone)} == totals(report)
    assert folder_size(memory / "alpha") <= 0.75 * size
    assert folder_size(memory / "alpha") >= 0.60 * size, "no more goes than is needed"
    assert path.read_bytes().startswith(b"\x1f\x8b") is (form == "gzip")
    run_undo(memory, report.run)
    assert record_spans(path) == before


def test_an_agent_under_its_limit_is_not_touched(tmp_path: Path) -> None:
    memory = make_store(
        tmp_path,
        {
            "alpha": {"patterns": [worth(f"a{number}", number / 20) for number in range(20)]},
            "beta": {"patterns": [worth(f"b{number}", 0.01) for number in range(5)]},
        },
    )
    report = make_room(memory, agent_bytes=folder_size(memory / "alpha") - 1)
    assert {one.agent for one in report.records} == {"alpha"}
    assert [(one.agent, one.short_by) for one in report.space] == [("alpha", 0)]
    assert make_room(memory, agent_bytes=80 * MB, dry_run=True).records == ()


def test_patterns_only(tmp_path: Path) -> None:
    """Solutions, decisions and documents count, but stay; where patterns are not enough, that is said."""
    memory = make_store(
        tmp_path,
        {
            "alpha": {
                "patterns": [worth(f"a{number}", 0.2) for number in range(5)],
                "solutions": [solution(id=f"s{number}", pad=PAD) for number in range(30)],
                "decisions": [decision(id=f"d{number}", pad=PAD) for number in range(30)],
            }
        },
    )
    (memory / "alpha/notes.txt").write_text("n" * 5000, encoding="utf-8")
    size = folder_size(memory / "alpha")
    report = make_room(memory, agent_bytes=size - 1)
    assert {one.kind for one in report.records} == {"patterns"}
    assert report.total("removed") == 5
    assert report.status is ExitStatus.PARTIAL
    [room] = report.space
    assert room.before == size
    assert room.after == folder_size(memory / "alpha")
    assert room.target == int((size - 1) * 0.7)
    assert room.short_by == room.after - room.target > 0
    [note] = [one for one in report.notes if "not enough room: alpha held" in one]
    assert note.endswith(
        "compress.plain = true lets its decisions be compressed, a higher space.agent_mb asks for less"
    )
    [note] = make_room(memory, store_bytes=1, dry_run=True, max_loss=0.1).notes
    assert "the store holds" in note
    assert note.endswith("a higher space.store_mb asks for less")
    assert make_room(memory, agent_bytes=1, dry_run=True).status is ExitStatus.DONE, "a dry run that could plan"


def test_links_are_not_followed_when_counting(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [worth("a", 0.2), worth("b", 0.3)]}})
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    (memory / "alpha/link").symlink_to(tmp_path / "large")
    assert make_room(memory, agent_bytes=50_000).space == ()


@pytest.mark.parametrize(
    ("policy", "first"),
    [("value-density", "large"), ("value", "worthless"), ("confidence", "doubtful")],
)
def test_the_policy_tells_who_goes_first(tmp_path: Path, policy: str, first: str) -> None:
    records = [
        fresh("doubtful", success=0.6, confidence=0.01, pad=PAD),
        fresh("worthless", success=0.0, confidence=0.2, pad=PAD),
        fresh("large", success=0.5, confidence=0.5, pad=PAD * 20),
        fresh("unknown", success=0.1, confidence=None, pad=PAD),
    ]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    # less than any of them is too much
    limit = folder_size(memory / "alpha") - 1
    options = prune_options(
        PruneSettings(),
        strategies=("space",),
        max_loss=UNLIMITED,
        space=SpaceSettings(agent_mb=limit / MB, target=0.99),
        policy=policy,
    )
    report = prune(open_store(memory), options, now=moment(0), dry_run=True)
    assert removed_ids(report) == [first]
    [record] = report.records
    assert (record.rule, record.figures["policy"]) == ("space", policy)
    assert record.figures["limit_bytes"] == int(limit)
    assert record.figures["bytes"] == record.size
    assert record.figures["density"] == pytest.approx(record.value / record.size)


def test_h35_unknown_confidence_goes_last(tmp_path: Path) -> None:
    """H35: what is unknown condemns nobody; only where everything else went, room is made of such records too."""
    records = [fresh("unknown", confidence=None, pad=PAD), *(fresh(f"k{n}", confidence=0.8, pad=PAD) for n in range(4))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = folder_size(memory / "alpha")
    few = make_room(memory, agent_bytes=size - 1, policy="confidence", dry_run=True)
    assert "unknown" not in removed_ids(few)
    assert "unknown" in removed_ids(make_room(memory, agent_bytes=10, policy="confidence", dry_run=True))


def test_h34_what_always_worked_stays_however_large_it_is(tmp_path: Path) -> None:
    """H34: protected records stay; where that is not enough, the report says so."""
    best = pattern(id="best", created_days=300, success=1.0, confidence=1.0, executions=9999, pad=PAD * 50)
    keep = worth("keep", 0.0, tags=["keep"])
    new = pattern(id="new", created_days=1, success=0.0, pad=PAD)
    memory = make_store(tmp_path, {"alpha": {"patterns": [best, keep, new, worth("poor", 0.1)]}})
    report = make_room(memory, agent_bytes=1000)
    assert removed_ids(report) == ["poor"]
    assert report.status is ExitStatus.PARTIAL
    assert report.total("protected") == 3
    assert report.space[0].short_by > 0
    explained = prune_explain(
        open_store(memory),
        "best",
        prune_options(PruneSettings(), strategies=("space",), space=SpaceSettings(agent_mb=1000 / MB)),
        now=moment(0),
    )
    [record] = explained.records
    assert record.fate == "kept"
    assert [one.protection for one in record.protections if one.holds] == ["valuable"]
    assert record.rules[-1].rule == "space"


def test_h47_a_record_under_a_rule_does_not_go_for_space_as_well(tmp_path: Path) -> None:
    """H47: the rules come first, space counts what remains, and each record is counted once."""
    records = [stale("old", pad=PAD), *(worth(f"p{number}", 0.4 + number / 50) for number in range(10))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = folder_size(memory / "alpha")
    planned = make_room(memory, agent_bytes=size * 0.8, strategies=("time", "space"), dry_run=True)
    report = make_room(memory, agent_bytes=size * 0.8, strategies=("time", "space"))
    rules = {one.id: one.rule for one in report.records}
    assert rules["old"] == "unused_too_long"
    assert rules == {one.id: one.rule for one in planned.records}
    assert len(rules) == len(report.records) == report.total("removed")
    assert report.files[0].removed_by_rule == {"unused_too_long": 1, "space": len(rules) - 1}
    enough = make_room(memory, agent_bytes=folder_size(memory / "alpha"), strategies=("time", "space"), dry_run=True)
    assert enough.records == (), "what is within its limit stays"


def test_h47_a_protected_record_under_a_rule_is_counted_once(tmp_path: Path) -> None:
    """H47: what a rule would take and protection keeps is not kept from space once more."""
    records = [stale("keep", tags=["keep"], pad=PAD), worth("new", 0.0, tags=["keep"]), worth("poor", 0.4)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    report = make_room(memory, agent_bytes=100, strategies=("time", "space"))
    assert (report.total("protected"), report.total("kept"), removed_ids(report)) == (2, 2, ["poor"])


def test_decisions_are_compressed_before_patterns_go(tmp_path: Path) -> None:
    decisions = [decision(id=f"d{number}", pad=PAD) for number in range(30)]
    memory = make_store(tmp_path, {"alpha": {"decisions": decisions}})
    write_array(memory / "alpha/patterns.json", [worth(f"p{n}", n / 10) for n in range(5)], form="gzip")
    path = memory / "alpha/decisions.json"
    spans, size = record_spans(path), folder_size(memory / "alpha")
    planned = make_room(memory, agent_bytes=size - 1, dry_run=True)
    assert not path.read_bytes().startswith(b"\x1f\x8b")
    report = make_room(memory, agent_bytes=size - 1)
    assert (report.total("removed"), report.status) == (0, ExitStatus.DONE)
    assert path.read_bytes().startswith(b"\x1f\x8b")
    assert record_spans(path) == spans
    [room] = report.space
    assert (room.before, room.after, room.short_by) == (size, folder_size(memory / "alpha"), 0)
    assert room.saved == size - room.after > 0
    assert planned.space == report.space


def test_decisions_of_an_agent_without_any_gzip_file_stay_plain(tmp_path: Path) -> None:
    kinds = {"decisions": [decision(id=f"d{n}", pad=PAD) for n in range(30)], "patterns": [worth("p", 0.4)]}
    memory = make_store(tmp_path, {"alpha": kinds})
    report = make_room(memory, agent_bytes=folder_size(memory / "alpha") - 1)
    assert report.space[0].saved == 0
    assert not (memory / "alpha/decisions.json").read_bytes().startswith(b"\x1f\x8b")
    assert removed_ids(report) == ["p"]


def test_a_plan_takes_patterns_for_space_as_long_as_room_is_needed(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [worth(f"p{n:02}", n / 50) for n in range(30)]}})
    (memory / "alpha/notes.txt").write_text("n" * 9000, encoding="utf-8")
    space = SpaceSettings(agent_mb=(folder_size(memory / "alpha") - 1) / MB)
    options = prune_options(PruneSettings(), strategies=("space",), max_loss=UNLIMITED, space=space)
    conditions, path = Conditions(locks=IMPATIENT), tmp_path / "plan.json"
    store = open_store(memory)
    planned = prune_plan(store, path, options, now=moment(0), conditions=conditions)
    words = {"space": space, "max_loss": UNLIMITED, "now": moment(0), "backup": False, "conditions": conditions}
    report = prune_apply(store, path, dry_run=True, **words)  # type: ignore[arg-type]
    assert removed_ids(report) == removed_ids(planned)
    assert {one.rule for one in report.records} == {"space"}
    (memory / "alpha/notes.txt").unlink()
    late = prune_apply(store, path, **words)  # type: ignore[arg-type]
    assert (late.total("removed"), late.status) == (0, ExitStatus.PARTIAL)
    assert "need not go any more" in str(late.files[0].problem)


def test_the_loss_budget_holds_and_what_waits_is_reported(tmp_path: Path) -> None:
    records = [worth(f"p{number:03}", number / 200) for number in range(100)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    report = make_room(memory, agent_bytes=folder_size(memory / "alpha") // 4, max_loss=None)
    assert report.total("removed") == 30
    assert report.total("deferred") > 40
    assert report.status is ExitStatus.PARTIAL
    assert removed_ids(report) == [f"p{number:03}" for number in range(30)]


def test_the_store_is_brought_down_from_all_agents_in_one_order(tmp_path: Path) -> None:
    memory = make_store(
        tmp_path,
        {
            "alpha": {"patterns": [worth(f"a{number}", 0.1 + number / 20) for number in range(10)]},
            "beta": {"patterns": [worth(f"b{number}", 0.12 + number / 20) for number in range(10)]},
        },
    )
    report = make_room(memory, store_bytes=folder_size(memory) - 1, policy="value")
    assert removed_ids(report) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert [(one.agent, one.short_by) for one in report.space] == [(None, 0)]
    assert folder_size(memory) <= 0.71 * report.space[0].before


def test_copies_that_the_runtime_keeps_do_not_count(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [worth(f"p{n}", n / 20) for n in range(10)]}})
    size = folder_size(memory)
    for name in ("backup", "backups", "backup-1700000000000-x1"):
        write_array(memory / name / "alpha/patterns.json", [worth("copy", 0.1)] * 50)
    assert make_room(memory, store_bytes=size).records == ()
    assert make_room(memory, store_bytes=size - 1, dry_run=True).space[0].before == size


def test_only_the_agents_asked_for_make_room(tmp_path: Path) -> None:
    agents = {name: {"patterns": [worth(f"{name}{n}", n / 20) for n in range(10)]} for name in ("alpha", "beta")}
    memory = make_store(tmp_path, agents)
    report = make_room(memory, store_bytes=folder_size(memory) - 1, agents=("beta",))
    assert {one.agent for one in report.records} == {"beta"}


def test_identical_patterns_go_together(tmp_path: Path) -> None:
    twin = {name: value for name, value in worth("x", 0.0).items() if name != "id"}
    others = [worth(f"p{number}", 0.5) for number in range(8)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [twin, *others, twin]}})
    report = make_room(memory, agent_bytes=folder_size(memory / "alpha") * 0.99, max_loss=0.1)
    assert (report.total("removed"), report.total("deferred")) == (0, 4)
    report = make_room(memory, agent_bytes=folder_size(memory / "alpha") * 0.99, max_loss=0.2)
    assert report.total("removed") == 2
    assert len(read_array(memory / "alpha/patterns.json")) == 8


def test_damage_and_odd_elements_stay(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}, "beta": {"patterns": [None, 7, worth("b", 0.1), "x" * 5000]}})
    (memory / "alpha/patterns.json").write_bytes(b'[{"id": "' + b"x" * 9000)
    before = tree_digest(memory / "alpha")
    report = make_room(memory, agent_bytes=1000)
    assert removed_ids(report) == ["b"]
    assert tree_digest(memory / "alpha") == before
    assert [one.agent for one in report.space if one.short_by] == ["alpha", "beta"]


def test_a_file_that_changes_before_its_lock_is_brought_to_the_planned_size(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [worth(f"p{n:02}", n / 100) for n in range(30)]}})
    path = memory / "alpha/patterns.json"
    size = folder_size(memory / "alpha")
    options = prune_options(
        PruneSettings(), strategies=("space",), max_loss=UNLIMITED, space=SpaceSettings(agent_mb=(size - 1) / MB)
    )

    def shrink(_: str) -> None:
        # an agent drops most of its patterns between plan and lock
        write_array(path, read_array(path)[:5])

    store = open_store(memory)
    conditions = Conditions(locks=IMPATIENT)
    report = prune(store, options, now=moment(0), backup=False, conditions=conditions, progress=shrink)
    assert report.total("removed") == 0, "no room is needed any more"
    assert len(read_array(path)) == 5
