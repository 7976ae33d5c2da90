"""Records at the edge: nested deep, identical to another, changed between plan and lock, or exactly on a boundary."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from aml.config import PruneSettings
from aml.errors import ExitStatus
from aml.prune.report import PruneReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune, prune_options
from tests.contract.pruning import (
    IMPATIENT,
    UNLIMITED,
    fresh,
    moment,
    problems,
    removed_ids,
    run_prune,
    run_undo,
    stale,
    totals,
)
from tests.support.records import Record, decision
from tests.support.stores import make_store, read_array, record_spans, tree_digest, write_array

# ---- nested deep


def _nested(record: Record, key: str, levels: int, *, odd: bool = False) -> bytes:
    """The record with a value below ``key`` so that the whole is nested ``levels`` deep; ``odd`` adds half a letter."""
    odd_text = rb'"odd":"\ud83d",' if odd else b""
    deep = b"[" * (levels - 1) + b"]" * (levels - 1)
    plain = json.dumps({name: value for name, value in record.items() if name != key}).encode()
    return plain[:-1] + b"," + odd_text + b'"' + key.encode() + b'":' + deep + b"}"


def _store_of(tmp_path: Path, *elements: bytes) -> Path:
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    (memory / "alpha/patterns.json").write_bytes(b"[\n  " + b",\n  ".join(elements) + b"\n]")
    return memory


def _text(record: Record) -> bytes:
    return json.dumps(record).encode()


def _further_down(frames: int, call: Callable[[], PruneReport]) -> PruneReport:
    """``call`` from so many frames further down, where less of the interpreter's stack is left."""
    return call() if frames == 0 else _further_down(frames - 1, call)


@pytest.mark.parametrize("odd", [False, True], ids=["plain", "with half a surrogate pair"])
@pytest.mark.parametrize("key", ["unknown", "tags", "metrics", "timestamp"])
@pytest.mark.parametrize("levels", [150, 200, 201, 300, 480, 600, 900, 974, 978, 1500, 60_000])
def test_depth_is_judged_by_a_limit_of_our_own(tmp_path: Path, levels: int, key: str, odd: bool) -> None:
    deep = _nested(stale("deep"), key, levels, odd=odd)
    memory = _store_of(tmp_path, deep, _text(stale("plain")), _text(fresh("f")))
    planned = run_prune(memory, max_loss=UNLIMITED, dry_run=True)
    done = run_prune(memory, max_loss=UNLIMITED)
    gone = levels <= 200
    assert removed_ids(done) == removed_ids(planned) == (["deep", "plain"] if gone else ["plain"])
    assert totals(done) == totals(planned)
    assert totals(done)["unreadable"] == (0 if gone else 1)
    assert problems(done) == {}
    left = (memory / "alpha/patterns.json").read_bytes()
    assert (deep in left) is not gone, "a record that is not judged stays byte for byte"
    assert run_undo(memory, done.run).files[0].restored == len(removed_ids(done))
    assert deep in (memory / "alpha/patterns.json").read_bytes()


@pytest.mark.parametrize("levels", [150, 199, 200, 201])
def test_depth_is_judged_the_same_however_much_stack_is_left(tmp_path: Path, levels: int) -> None:
    memory = _store_of(tmp_path, _nested(stale("deep"), "unknown", levels), _text(fresh("f")))
    planned = _further_down(400, lambda: run_prune(memory, max_loss=UNLIMITED, dry_run=True))
    done = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(planned) == removed_ids(done) == (["deep"] if levels <= 200 else [])


@pytest.mark.parametrize("levels", range(880, 1000, 3))
def test_no_depth_makes_plan_and_run_differ(tmp_path: Path, levels: int) -> None:
    """About where the interpreter's own limit lies, which is met sooner while applying than while planning."""
    memory = _store_of(tmp_path, _nested(stale("deep"), "unknown", levels), _text(fresh("f")))
    before = tree_digest(memory)
    done = run_prune(memory, max_loss=UNLIMITED)
    assert (done.status, totals(done)["removed"], totals(done)["unreadable"]) == (ExitStatus.DONE, 0, 1)
    assert tree_digest(memory) == before


# ---- identical records


def _without_id() -> Record:
    record = stale("unused")
    del record["id"]
    return record


IDENTICAL = {
    "one id": stale("same"),
    "no id": _without_id(),
    "null as id": stale("x") | {"id": None},
    "a fraction as id": stale("x") | {"id": 1.5},
    "an empty id": stale("x") | {"id": ""},
}
identical = pytest.mark.parametrize("twin", list(IDENTICAL.values()), ids=list(IDENTICAL))


@identical
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_identical_records_go_together_or_stay_together(tmp_path: Path, twin: Record, share: float) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [twin, fresh("a"), twin, fresh("b")]}})
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    report = run_prune(memory, max_loss=share)
    assert totals(report)["removed"] == (0 if share < 0.5 else 2)
    assert len(read_array(path)) == 4 - totals(report)["removed"]
    assert totals(run_prune(memory, max_loss=0.0))["came_back"] == 0
    if totals(report)["removed"]:
        assert run_undo(memory, report.run).files[0].restored == 2
    assert path.read_bytes() == before


@identical
def test_the_budget_is_spent_on_what_fits_beside_identical_records(tmp_path: Path, twin: Record) -> None:
    """Three are allowed: a single one and a pair, never a pair and half of another."""
    other = twin | {"pattern": {"type": "other"}}
    memory = make_store(
        tmp_path, {"alpha": {"patterns": [twin, other, twin, other, *(fresh(f"f{n}") for n in "abcd")]}}
    )
    assert totals(run_prune(memory, max_loss=3 / 8))["removed"] == 2
    left = [one for one in read_array(memory / "alpha/patterns.json") if one in (twin, other)]
    assert left in ([twin, twin], [other, other]), "no pair is parted"


@identical
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_copies_that_several_runs_removed_all_come_back(
    tmp_path: Path, twin: Record, order: tuple[int, int, int]
) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [twin, twin, twin, *(fresh(f"f{n}") for n in range(9))]}})
    path = memory / "alpha/patterns.json"
    before = sorted(record_spans(path))
    runs: list[str | None] = [run_prune(memory, max_loss=share).run for share in (1 / 12, 2 / 12, 1.0)]
    for place in order:
        journal = json.loads((memory.with_name("memory.aml") / f"runs/{runs[place]}.json").read_bytes())
        if journal["counts"]["removed"]:
            run_undo(memory, runs[place])
    assert sorted(record_spans(path)) == before


@identical
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_run_that_died_after_its_cut_keeps_every_copy(tmp_path: Path, twin: Record, share: float) -> None:
    """Killed between the replacement of the file and the last word in its journal."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [twin, twin, fresh("a"), fresh("b")]}})
    path = memory / "alpha/patterns.json"
    before = path.read_bytes()
    run = run_prune(memory, max_loss=share).run
    cut = path.read_bytes()
    journal = memory.with_name("memory.aml") / f"runs/{run}.json"
    begun = json.loads(journal.read_bytes()) | {"state": "begun", "finished": None}
    for file in begun["files"]:
        file["removed"] = []
    journal.write_text(json.dumps(begun), encoding="utf-8")
    run_prune(memory, max_loss=0.0)
    assert path.read_bytes() == cut
    if cut != before:
        run_undo(memory, run)
    assert path.read_bytes() == before


# ---- an agent writes between plan and lock


def _prune_while(memory: Path, write: Callable[[], None], max_loss: float | None = None) -> PruneReport:
    """A prune in which ``write`` happens once all is planned, just before the patterns are locked."""

    def progress(file: str) -> None:
        if file == "alpha/patterns":
            write()

    options = prune_options(PruneSettings(), max_loss=max_loss)
    return prune(open_store(memory), options, now=moment(0), conditions=Conditions(locks=IMPATIENT), progress=progress)


@pytest.mark.parametrize(
    ("left", "max_loss", "most"), [(35, 0.3, 10), (10, 0.3, 3), (3, 0.3, 0), (0, 0.3, 0), (35, None, 17), (99, 0.3, 29)]
)
def test_the_budget_is_that_of_the_records_under_the_lock(
    tmp_path: Path, left: int, max_loss: float | None, most: int
) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale(f"s{n}") for n in range(100)]}})
    path = memory / "alpha/patterns.json"
    report = _prune_while(memory, lambda: write_array(path, [stale(f"s{n}") for n in range(left)]), max_loss)
    assert totals(report)["removed"] <= most
    assert len(read_array(path)) == left - totals(report)["removed"]
    assert totals(report)["removed"] > 0 or most == 0


def test_more_records_under_the_lock_raise_no_budget(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale(f"s{n}") for n in range(100)]}})
    path = memory / "alpha/patterns.json"
    report = _prune_while(memory, lambda: write_array(path, [stale(f"s{n}") for n in range(1000)]))
    assert totals(report)["removed"] == 30


def test_what_goes_from_the_agents_other_files_counts_under_the_lock(tmp_path: Path) -> None:
    """15 poor patterns and 15 decisions of 100 records are to go; 10 patterns are left, so 18 of 60 may go in all."""
    poor = [stale(f"s{n}", success=0.0, confidence=0.0) for n in range(15)]
    kinds: dict[str, list[Record]] = {
        "patterns": [*poor, *(fresh(f"f{n}") for n in range(35))],
        "decisions": [decision(id=f"d{n}", created_days=300) for n in range(50)],
    }
    memory = make_store(tmp_path, {"alpha": kinds})
    path = memory / "alpha/patterns.json"
    report = _prune_while(memory, lambda: write_array(path, poor[:10]), 0.3)
    assert {file.kind: file.removed for file in report.files} == {"patterns": 3, "decisions": 15}


# ---- pins


PINS = ["pinned", "Pinned", "KEEP", ["Pinned"], ["x", "keep"], ["Keep", 5, None]]
NO_PINS: list[object] = ["unpinned", ["pinned-not"], {"pinned": True}, 5, True, [["pinned"]], ""]


@pytest.mark.parametrize("tags", PINS, ids=str)
def test_a_pin_protects_however_it_is_spelt(tmp_path: Path, tags: object) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("p") | {"tags": tags}, stale("s")]}})
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["s"]
    assert totals(report)["protected"] == 1


@pytest.mark.parametrize("tags", NO_PINS, ids=str)
def test_what_is_no_pin_protects_nothing(tmp_path: Path, tags: object) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("p") | {"tags": tags}, stale("s")]}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["p", "s"]


@pytest.mark.parametrize("tags", ["Mine", "mine", ["MINE"]], ids=str)
def test_a_pin_of_the_settings_protects(tmp_path: Path, tags: object) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("p") | {"tags": tags}, stale("s")]}})
    report = run_prune(memory, max_loss=UNLIMITED, settings=PruneSettings(pinned_tags=("Mine",)))
    assert removed_ids(report) == ["s"]


# ---- exactly on a boundary


def _worth(value_parts: tuple[float, float, float]) -> Record:
    """A pattern unused for 200 days with that success, confidence and time saved; executions are worth 0.2."""
    success, confidence, saved = value_parts
    return stale("edge", success=success, confidence=confidence, saved_ms=saved, executions=50)


@pytest.mark.parametrize(
    "parts", [(0.95, 0.65, 750), (0.95, 0.8, 300), (0.8, 0.85, 750), (0.9, 0.7, 800), (1.0, 0.5, 1000)], ids=str
)
def test_a_value_of_exactly_the_limit_protects(tmp_path: Path, parts: tuple[float, float, float]) -> None:
    """0.85 by the formula, which binary numbers miss by 1e-16 in one direction or the other."""
    success, confidence, saved = parts
    assert 40 * success + 30 * confidence + 20 + 10 * saved / 1000 == pytest.approx(85)
    memory = make_store(tmp_path, {"alpha": {"patterns": [_worth(parts), fresh("f")]}})
    report = run_prune(memory, max_loss=UNLIMITED)
    assert (totals(report)["removed"], totals(report)["protected"]) == (0, 1)


def test_a_value_just_under_the_limit_does_not_protect(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [_worth((0.95, 0.65, 749)), fresh("f")]}})
    assert totals(run_prune(memory, max_loss=UNLIMITED))["removed"] == 1


@pytest.mark.parametrize("scores", [(0.6, 0.95, 0.15), (0.9, 0.3, 0.6), (1.2, 0.1, 0.6), (0.0, 0.7, 0.8)], ids=str)
def test_a_mean_outcome_of_exactly_the_limit_is_not_negative(
    tmp_path: Path, scores: tuple[float, float, float]
) -> None:
    """A mean of 0.5; a development speed of 1.5 counts as the full score of 1."""
    speed, performance, satisfaction = scores
    assert speed / 1.5 + performance + satisfaction == pytest.approx(1.5)
    named = {"developmentSpeed": speed, "apiPerformance": performance, "clientSatisfaction": satisfaction}
    edge = decision(id="edge", created_days=50, scores=named)
    negative = decision(id="negative", created_days=50, scores=named | {"apiPerformance": performance - 0.01})
    memory = make_store(tmp_path, {"alpha": {"decisions": [edge, negative]}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["negative"]


# ---- times that are none


@pytest.mark.parametrize(
    "moment_text",
    [
        "2023121",
        "2020123",
        "20200101",
        "202001",
        "2020",
        "1577836800",
        "1577836800000",
        "2020-01",
        "2020-W01",
        "2020W01",
        "2020-01T00:00:00Z",
        "2020T00:00:00Z",
        "2020-001",
        "--01-01",
        "٢٠٢٠٠١٠١٠٠",
        "",
        "2020-13-01",
        "2020-02-30",
    ],
)
def test_digits_and_parts_of_a_date_are_no_age(tmp_path: Path, moment_text: str) -> None:
    record = stale("unknown")
    record["timestamp"] = record["evolution"]["created"] = record["evolution"]["lastUsed"] = moment_text
    memory = make_store(tmp_path, {"alpha": {"patterns": [record, fresh("f")]}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == []


@pytest.mark.parametrize("moment_text", ["2020-01-01", "2020-01-01T00:00", "2020-01-01 00:00:00+02:00"])
def test_a_whole_date_is_an_age(tmp_path: Path, moment_text: str) -> None:
    record = stale("old")
    record["timestamp"] = record["evolution"]["created"] = record["evolution"]["lastUsed"] = moment_text
    memory = make_store(tmp_path, {"alpha": {"patterns": [record, fresh("f")]}})
    assert removed_ids(run_prune(memory, max_loss=UNLIMITED)) == ["old"]
