"""Making room, counted by hand: as many patterns go as are needed and no more, whatever the rules and compressing free
before, and a dry run expects what the run then leaves."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from aml.prune.report import PruneReport
from tests.contract.pruning import MB, UNLIMITED, fresh, make_room, removed_ids, stale
from tests.support.records import Record, decision
from tests.support.stores import encode_array, make_store, write_array

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
    assert removed_ids(planned) == removed_ids(done)
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
    memory = make_store(tmp_path / "short", {"alpha": {"patterns": [*old, *records]}})
    report = both(memory, **words, **{whose: size - freed - 100})
    needed = size - freed - (size - freed - 100) * 0.7
    assert report.files[0].removed_by_rule == {"unused_too_long": 3, "space": ceil(needed / each_of(records))}


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
