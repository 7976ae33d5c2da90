"""Making room, counted by hand: as many patterns go as are needed and no more, whatever the rules and compressing free
before, and a dry run expects what the run then leaves."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aml.config import PruneSettings, SpaceSettings
from aml.errors import ExitStatus
from aml.prune.report import PruneReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.explain import prune_explain
from aml.workflows.prune import prune, prune_options
from tests.contract.pruning import IMPATIENT, MB, UNLIMITED, fresh, make_room, moment, removed_ids, stale
from tests.support.records import Record, decision
from tests.support.stores import encode_array, make_store, read_array, write_array

PAD = "x" * 900
#: A planned size may miss the real one by what stands around an array, a byte or two for each record that goes.
AROUND = 40


def equal(prefix: str, number: int) -> list[Record]:
    """Patterns of one size, the first of which is worth least; none of them is worth protecting."""
    values = [value for value in range(11, 79) if value % 10]
    return [fresh(f"{prefix}{place:02}", confidence=values[place] / 100, pad=PAD) for place in range(number)]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def each_of(records: list[Record]) -> int:
    """What one of several equal records takes, with what parts it from the next."""
    return len(encode_array(records)) - len(encode_array(records[1:]))


def both(memory: Path, **words: Any) -> PruneReport:
    """The run, of which the dry run has foretold everything."""
    planned, done = make_room(memory, dry_run=True, **words), make_room(memory, **words)
    assert [(one.id, one.rule, one.fate) for one in planned.records] == [
        (one.id, one.rule, one.fate) for one in done.records
    ]
    assert [(one.agent, one.before, one.saved, one.limit) for one in planned.space] == [
        (one.agent, one.before, one.saved, one.limit) for one in done.space
    ]
    for told, came in zip(planned.space, done.space, strict=True):
        assert told.after == pytest.approx(
            came.after, abs=AROUND * (1 + done.total("removed")) if told.saved else AROUND
        )
        assert bool(told.short_by) is bool(came.short_by)
        assert came.after == size_of(memory / (came.agent or ""))
        assert isinstance(told.after, int)
        assert told.short_by in (0, told.after - told.target)
    return done


@pytest.mark.parametrize("whose", ["agent_bytes", "store_bytes"])
def test_as_many_go_as_bring_it_to_its_target_and_no_more(tmp_path: Path, whose: str) -> None:
    records = equal("p", 20)
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = size_of(memory)
    assert make_room(memory, dry_run=True, **{whose: size}).space == (), "a limit that is just kept is kept"
    report = both(memory, **{whose: size - 1})
    assert report.total("removed") == ceil((size - (size - 1) * 0.7) / each_of(records))
    assert report.status is ExitStatus.DONE
    [room] = report.space
    assert (room.before, room.limit, room.target, room.short_by) == (size, size - 1, int((size - 1) * 0.7), 0)


@pytest.mark.parametrize("whose", ["agent_bytes", "store_bytes"])
def test_what_the_rules_free_counts(tmp_path: Path, whose: str) -> None:
    records, old = equal("p", 20), [stale(f"old{number}", pad=PAD * 2) for number in range(3)]
    memory = make_store(tmp_path / "enough", {"alpha": {"patterns": [*old, *records]}})
    size, freed = size_of(memory), 3 * each_of(old)
    words: dict[str, Any] = {"strategies": ("time", "space")}
    report = both(memory, **words, **{whose: size - freed + AROUND})
    assert removed_ids(report) == ["old0", "old1", "old2"], "where the rules make room enough, nothing else goes"
    assert (report.status, report.space[0].short_by) == (ExitStatus.DONE, 0), "though it is above its target"
    memory = make_store(tmp_path / "short", {"alpha": {"patterns": [*records, *old]}})
    report = both(memory, **words, **{whose: size - freed - 100})
    by_space = ceil((size - freed - (size - freed - 100) * 0.7) / each_of(records))
    assert report.files[0].removed_by_rule == {"unused_too_long": 3, "space": by_space}
    in_order = [f"p{number:02}" for number in range(by_space)] + ["old0", "old1", "old2"]
    assert [one.id for one in report.records] == in_order, "told in the order of the file"


@pytest.mark.parametrize("whose", ["agent_bytes", "store_bytes"])
def test_what_the_rules_free_of_other_kinds_counts_too(tmp_path: Path, whose: str) -> None:
    old = [decision(id=f"d{number}", created_days=999, pad=PAD) for number in range(8)]
    memory = make_store(tmp_path, {"alpha": {"patterns": equal("p", 10), "decisions": old}})
    size, freed = size_of(memory), 8 * each_of(old)
    report = both(memory, strategies=("time", "space"), **{whose: size - freed + AROUND})
    assert {one.rule for one in report.records} == {"old_decision"}


def test_what_the_limit_of_an_agent_frees_counts_for_the_store(tmp_path: Path) -> None:
    mine, others = equal("a", 30), equal("b", 20)
    held = {"alpha": {"patterns": mine}, "beta": {"patterns": others}}
    memory = make_store(tmp_path / "enough", held)
    size, alone = size_of(memory), size_of(memory / "alpha")
    first = ceil((alone - (alone - 1) * 0.7) / each_of(mine))
    report = both(memory, agent_bytes=alone - 1, store_bytes=size - 1)
    assert removed_ids(report) == [f"a{number:02}" for number in range(first)]
    assert [(one.agent, one.short_by) for one in report.space] == [("alpha", 0), (None, 0)]
    memory = make_store(tmp_path / "short", held)
    limit = size - first * each_of(mine) - AROUND
    report = both(memory, agent_bytes=alone - 1, store_bytes=limit, policy="value")
    more = ceil((size - first * each_of(mine) - limit * 0.7) / each_of(mine))
    assert report.total("removed") == first + more
    assert {file.agent: file.removed for file in report.files}["beta"] > 0
    assert report.status is ExitStatus.DONE


def test_what_is_protected_or_beyond_the_budget_is_counted_once_under_both_limits(tmp_path: Path) -> None:
    records = [*equal("p", 20), *(one | {"tags": ["keep"], "active": True} for one in equal("k", 4))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    report = both(memory, agent_bytes=1, store_bytes=1, max_loss=0.25)
    assert (report.total("removed"), report.total("deferred"), report.total("protected")) == (6, 14, 4)
    assert removed_ids(report) == [f"p{number:02}" for number in range(6)]
    assert report.files[0].protected_by_reason == {"it carries the tag keep": 4}
    assert report.status is ExitStatus.PARTIAL
    assert [one.agent for one in report.space if one.short_by] == ["alpha", None]


@pytest.mark.parametrize("whose", ["agent_bytes", "store_bytes"])
def test_compressed_decisions_that_go_free_what_they_took_when_compressed(tmp_path: Path, whose: str) -> None:
    old = [decision(id=f"d{number}", created_days=999, pad=PAD) for number in range(20)]
    new = [decision(id=f"n{number}", pad=PAD) for number in range(20)]
    memory = make_store(tmp_path, {"alpha": {"decisions": [*old, *new]}, "beta": {"decisions": new[:5]}})
    for agent in ("alpha", "beta"):
        write_array(memory / agent / "solutions.json", [], form="gzip")
        write_array(memory / agent / "patterns.json", equal(agent[0], 20))
    size = size_of(memory if whose == "store_bytes" else memory / "alpha")
    report = both(memory, strategies=("time", "space"), max_loss=UNLIMITED, **{whose: size - 1})
    assert report.space[0].saved > 20 * 900, "most of what decisions take is saved, also of those that go then"
    assert {one.rule for one in report.records if one.kind == "decisions"} == {"old_decision"}
    assert report.total("removed") == 20, "and so no pattern has to go"


def test_saved_and_plain_decisions_are_told_of_whom_they_are(tmp_path: Path) -> None:
    decisions = [decision(id=f"d{number}", pad=PAD) for number in range(10)]
    patterns = equal("p", 20)
    held = {name: {"decisions": decisions, "patterns": patterns} for name in ("alpha", "beta", "gamma")}
    memory = make_store(tmp_path, held)
    write_array(memory / "alpha/solutions.json", [], form="gzip")
    write_array(memory / "beta/solutions.json", [], form="gzip")
    (memory / "gamma/patterns.json").unlink()
    report = make_room(memory, agent_bytes=100, store_bytes=100, dry_run=True)
    saved = {one.agent: one.saved for one in report.space}
    assert saved["gamma"] == 0 < saved["alpha"] == saved["beta"]
    assert saved[None] == saved["alpha"] + saved["beta"]
    notes = [note.split(" held ")[0].split(" holds ")[0] for note in report.notes if "compress.plain" in note]
    assert [note.rpartition(": ")[2] for note in notes] == ["gamma", "the store"]


def test_a_limit_is_counted_in_bytes_of_the_whole_folder(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": equal("p", 5)}})
    (memory / "alpha/notes.txt").write_bytes(b"n" * 3 * MB)
    report = both(memory, agent_bytes=2 * MB)
    assert (report.total("removed"), report.total("kept")) == (5, 0)
    assert report.space[0].short_by == report.space[0].after - report.space[0].target == 3 * MB + 2 - int(2 * MB * 0.7)


def run_while(memory: Path, now_there: list[Record], agent_bytes: int, **words: Any) -> PruneReport:
    """A run for space in whose midst, between plan and lock, an agent writes its patterns anew."""
    options = prune_options(PruneSettings(), space=SpaceSettings(agent_mb=agent_bytes / MB), **words)
    written = []

    def write(_: str) -> None:
        if not written:
            written.append(write_array(memory / "alpha/patterns.json", now_there))

    conditions = Conditions(locks=IMPATIENT)
    report = prune(open_store(memory), options, now=moment(0), backup=False, conditions=conditions, progress=write)
    assert written
    return report


def left_in(memory: Path) -> list[object]:
    return [one["id"] for one in read_array(memory / "alpha/patterns.json") if isinstance(one, dict)]


@pytest.mark.parametrize("dropped", [0, 1, 3, 5, 6, 9])
def test_what_an_agent_drops_meanwhile_need_not_go(tmp_path: Path, dropped: int) -> None:
    # those that are dropped are a little larger, so that no fraction of a byte decides
    records = [one | {"pad": PAD + "y" * (place // 2)} for place, one in enumerate(equal("p", 20))]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = size_of(memory)
    planned = make_room(memory, agent_bytes=size - 1, policy="value", dry_run=True).total("removed")
    there = [records[0] | {"pad": PAD[1:] + "y"}, *records[1 : 20 - dropped]]
    report = run_while(memory, there, size - 1, strategies=("space",), max_loss=UNLIMITED, policy="value")
    still = max(0, planned - dropped)
    assert (report.total("removed"), report.total("deferred")) == (still, 0)
    assert left_in(memory) == [f"p{number:02}" for number in range(still, 20 - dropped)]


@pytest.mark.parametrize("added", [1, 4])
def test_no_more_go_than_were_planned_whatever_an_agent_adds(tmp_path: Path, added: int) -> None:
    records = equal("p", 20)
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    size = size_of(memory)
    planned = ceil((size - (size - 1) * 0.7) / each_of(records))
    there = [*records, *(one | {"id": f"q{number:02}"} for number, one in enumerate(equal("q", 20)[-added:]))]
    report = run_while(memory, there, size - 1, strategies=("space",), max_loss=UNLIMITED)
    assert (report.total("removed"), report.total("deferred"), report.status) == (planned, added, ExitStatus.PARTIAL)
    assert left_in(memory) == [one["id"] for one in there[planned:]]


def test_what_the_rules_take_meanwhile_counts_within_the_plan(tmp_path: Path) -> None:
    records, old = equal("p", 20), [stale(f"old{number}", pad=PAD) for number in range(4)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*old[:2], *records]}})
    limit = size_of(memory) * 3 // 4
    words: dict[str, Any] = {"strategies": ("time", "space"), "max_loss": UNLIMITED}
    planned = make_room(memory, agent_bytes=limit, dry_run=True, **words)
    by_space = planned.files[0].removed_by_rule["space"]
    report = run_while(memory, [*records, *old], limit, **words)
    assert report.files[0].removed_by_rule == {"unused_too_long": 4, "space": by_space - 2}
    assert left_in(memory) == [f"p{number:02}" for number in range(by_space - 2, 20)]


def test_where_the_rules_take_as_many_as_were_planned_nothing_goes_for_room(tmp_path: Path) -> None:
    records, old = equal("p", 20), [stale(f"old{number:02}", pad=PAD) for number in range(30)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*old[:2], *records]}})
    limit = size_of(memory) * 3 // 4
    words: dict[str, Any] = {"strategies": ("time", "space"), "max_loss": UNLIMITED}
    planned = make_room(memory, agent_bytes=limit, dry_run=True, **words)
    report = run_while(memory, [*records, *old], limit, **words)
    assert report.files[0].removed_by_rule == {"unused_too_long": planned.total("removed")}
    assert left_in(memory)[:20] == [one["id"] for one in records]


def test_a_single_pattern_is_planned_anew_like_several(tmp_path: Path) -> None:
    records = [*equal("p", 3), fresh("large", pad=PAD * 20)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}})
    there, limit = [records[3], *records[:3]], size_of(memory) - 1
    report = run_while(memory, there, limit, strategies=("space",), max_loss=UNLIMITED)
    assert (report.total("removed"), left_in(memory)) == (1, ["p00", "p01", "p02"])


def test_the_budget_of_what_is_there_under_the_lock_holds_for_room_too(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": equal("p", 20)}})
    there = [one | {"pad": PAD * 3} for one in equal("p", 10)]
    report = run_while(memory, there, 100, strategies=("space",), max_loss=0.4)
    assert (report.total("removed"), left_in(memory)) == (4, [f"p{number:02}" for number in range(4, 10)])
    assert report.total("deferred") > 0


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("value-density", "least value per byte: value 0.25, 1.7 KiB"),
        ("value", "least value: value 0.25, 1.7 KiB"),
        ("confidence", "least confidence: confidence 0.11, 1.7 KiB"),
    ],
)
def test_why_a_pattern_goes_is_told_by_the_policy_and_by_whose_limit_it_is(
    tmp_path: Path, policy: str, told: str
) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": equal("p", 3)}})
    for limits, whose in (({"agent_bytes": 100}, "its agent"), ({"store_bytes": 100}, "the store")):
        report = make_room(memory, dry_run=True, policy=policy, **limits)  # type: ignore[arg-type]
        [first] = [one for one in report.records if one.id == "p00"]
        assert first.reason == f"{told}; {whose} holds more than 100 B"
        assert (first.figures["value"], first.figures["confidence"], first.figures["limit_bytes"]) == (0.253, 0.11, 100)


def test_of_unknown_confidence_the_least_valuable_go_first(tmp_path: Path) -> None:
    records = [fresh(f"p{number}", confidence=None, success=success) for number, success in enumerate([0.6, 0.3, 0.45])]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*records, fresh("known", confidence=0.7)]}})
    for share, gone in ((0.25, ["known"]), (0.5, ["known", "p1"]), (0.75, ["known", "p1", "p2"])):
        report = make_room(memory, agent_bytes=1, policy="confidence", max_loss=share, dry_run=True)
        assert removed_ids(report) == gone
        told = {str(one.id): "confidence unknown" in one.reason for one in report.records}
        assert told == {"known": False, "p0": True, "p1": True, "p2": True}


def test_what_stays_is_counted_by_what_protects_it(tmp_path: Path) -> None:
    kept = [one | {"tags": ["keep"], "active": True} for one in equal("k", 3)]
    new = [fresh(f"n{number}") | {"timestamp": "2026-11-19T12:00:00Z", "evolution": {}} for number in range(2)]
    worthy = [fresh("w", confidence=0.9)]
    old = [stale("old", tags=["keep"])]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*old, *new, *equal("p", 2), *worthy, *kept]}})
    report = make_room(memory, agent_bytes=1, store_bytes=1, strategies=("time", "space"))
    assert removed_ids(report) == ["p00", "p01"]
    assert report.files[0].protected_by_reason == {
        "it carries the tag keep": 4,
        "it was created in the last 7 days": 2,
        "its confidence is high": 1,
    }


def test_what_the_rules_free_of_a_gzip_file_counts_as_it_is_packed(tmp_path: Path) -> None:
    noise = Random(1)
    records = [one | {"pad": noise.randbytes(900).hex()} for one in equal("p", 20)]
    old = [stale(f"old{number}", pad=noise.randbytes(900).hex()) for number in range(10)]
    memory = make_store(tmp_path, {"alpha": {"patterns": [*old, *records]}}, form="gzip")
    size = size_of(memory)
    words: dict[str, Any] = {"agent_bytes": size * 0.7, "strategies": ("time", "space")}
    planned = make_room(memory, dry_run=True, **words)
    assert planned.files[0].removed_by_rule == {"unused_too_long": 10}
    [room] = make_room(memory, **words).space
    assert planned.space[0].after == pytest.approx(room.after, rel=0.1)


def test_the_verdict_on_space_tells_both_limits(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": equal("p", 10)}})
    size = size_of(memory)
    space = SpaceSettings(agent_mb=(size - 1) / MB, store_mb=size / MB)
    options = prune_options(PruneSettings(), strategies=("space",), space=space, max_loss=UNLIMITED, policy="value")
    for ident, said in (("p00", "applies"), ("p09", "does not apply")):
        [explained] = prune_explain(open_store(memory), ident, options, now=moment(0)).records
        verdict = explained.rules[-1]
        assert (verdict.rule, verdict.strategy, verdict.asked, verdict.verdict) == ("space", "space", True, said)
        assert [(one.figure, one.value, one.limit, one.met) for one in verdict.conditions] == [
            ("agent_bytes", float(size), float(size - 1), True),
            ("store_bytes", float(size), float(size), False),
        ]
        told = f"{size / 1024:.1f} KiB, limit {size / 1024:.1f} KiB"
        assert [one.text for one in verdict.conditions] == [f"alpha: {told}", f"the store: {told}"]
