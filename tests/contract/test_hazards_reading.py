"""Hazards of reading: nothing that AML cannot read is emptied, and everything that it can read is judged."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.contract.pruning import UNLIMITED, fates, problems, removed_ids, run_prune, run_undo, stale, totals
from tests.contract.pruning import fresh as in_use
from tests.support.records import Record, days_ago, decision, pattern, solution, to_v110, to_v120, to_v200
from tests.support.stores import Form, encode_array, gunzipped, make_store, read_array, record_spans, tree_digest

ONE_STALE = [in_use("a"), stale("b"), in_use("c"), in_use("d")]


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_h04_prune_sees_every_record_of_a_gzip_store(tmp_path: Path, form: Form) -> None:
    """H04: prune on a gzip store saw 0 records and said that all is well."""
    memory = make_store(tmp_path, {"alpha": {"patterns": ONE_STALE}}, form=form)
    report = run_prune(memory)
    assert totals(report) | {"records": 4, "removed": 1, "kept": 3} == totals(report)
    data = (memory / "alpha/patterns.json").read_bytes()
    assert data.startswith(b"\x1f\x8b") == (form == "gzip"), "a rewrite keeps the form that was found"
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["a", "c", "d"]


def test_h04_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    """H04: whatever the runtime can read counts, a file of several gzip members among it."""
    memory = make_store(tmp_path, {"alpha": {"patterns": ONE_STALE}})
    path = memory / "alpha/patterns.json"
    text = path.read_bytes()
    path.write_bytes(gzip.compress(text[:100]) + gzip.compress(b"") + gzip.compress(text[100:]))
    assert removed_ids(run_prune(memory)) == ["b"]
    assert [one["id"] for one in read_array(path)] == ["a", "c", "d"]


def test_h05_every_spelling_of_a_time_is_compared_with_now(tmp_path: Path) -> None:
    """H05: 'Z' against a naive now raised, the agent was skipped, and success was reported."""
    old, new = days_ago(200), days_ago(3)
    spelt = {
        "z": lambda text: text,
        "naive": lambda text: text.removesuffix("Z"),
        "offset": lambda text: text.removesuffix("Z") + "+02:00",
        "short-offset": lambda text: text.removesuffix("Z") + "-0800",
        "date": lambda text: text[:10],
    }
    records = []
    for name, spell in spelt.items():
        for age, when in (("old", old), ("new", new)):
            record = pattern(id=f"{name}-{age}", created_days=250)
            record["evolution"]["lastUsed"] = spell(when)
            records.append(record)
    memory = make_store(tmp_path, {"alpha": {"patterns": records}, "beta": {"patterns": records}})
    report = run_prune(memory, max_loss=UNLIMITED)
    assert report.status is ExitStatus.DONE
    assert problems(report) == {}
    assert removed_ids(report) == sorted(f"{name}-old" for name in spelt for _ in ("alpha", "beta"))


def _damaged_forms() -> dict[str, bytes]:
    text = encode_array([stale(str(number)) for number in range(14)])
    packed = gzip.compress(text, mtime=0)
    return {
        "truncated by a byte": text[:-1],
        "truncated by five bytes": text[:-5],
        "truncated half-way": text[: len(text) // 2],
        "truncated inside a string": text[: text.rindex(b"fastapi") + 2],
        "only the beginning": b"[",
        "empty": b"",
        "blank": b" \n",
        "two documents": text + b"\n" + text,
        "an array and a half": text + text[: len(text) // 3],
        "gzip truncated": packed[:-9],
        "gzip with a wrong checksum": packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:],
        "gzip with something after it": packed + b"garbage",
        "gzip of a truncated text": gzip.compress(text[:-5], mtime=0),
        "no JSON": b"\x00\x01\x02\xff" * 20,
        "an object": b'{"patterns": []}',
        "an object of records": b'{"a": ' + text + b"}",
        "null": b"null",
        "a string": b'"[]"',
        "a number": b"42",
        "a comma too many": text.replace(b"},\n  {", b"},,\n  {", 1),
    }


DAMAGED = _damaged_forms()


@pytest.mark.parametrize("name", DAMAGED)
def test_h07_h08_a_file_that_is_no_whole_array_keeps_its_bytes(tmp_path: Path, name: str) -> None:
    """H06, H07, H08: a truncated file or an object in place of an array became [], or was deleted as empty."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [], "solutions": [solution(id="s", worked=False)] * 1}})
    path = memory / "alpha/patterns.json"
    path.write_bytes(DAMAGED[name])
    before = tree_digest(memory / "alpha")["patterns.json"]
    for max_loss in (None, UNLIMITED):
        report = run_prune(memory, max_loss=max_loss)
        assert tree_digest(memory / "alpha")["patterns.json"] == before
        assert "alpha/patterns" in problems(report), "a file that is left alone is reported"
        assert report.status is ExitStatus.PARTIAL
    assert read_array(memory / "alpha/solutions.json") == [], "the neighbour of a damaged file is handled all the same"


def test_h06_the_report_says_how_many_records_stand_before_the_damage(tmp_path: Path) -> None:
    """H06: a file truncated by five bytes held 13 records that could be saved."""
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    (memory / "alpha/patterns.json").write_bytes(DAMAGED["truncated by five bytes"])
    assert "13 records" in problems(run_prune(memory))["alpha/patterns"]


def test_h07_a_store_of_which_nothing_can_be_read_is_damaged(tmp_path: Path) -> None:
    """H07: success was reported over a file that could not be read."""
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    (memory / "alpha/patterns.json").write_bytes(DAMAGED["truncated half-way"])
    assert run_prune(memory).status is ExitStatus.DAMAGED


@pytest.mark.parametrize("name", ["truncated by five bytes", "an object", "empty", "gzip truncated"])
def test_h07_undo_leaves_a_damaged_file_alone(tmp_path: Path, name: str) -> None:
    """H07: records put back into a file that cannot be read would replace what is left in it."""
    memory = make_store(tmp_path, {"alpha": {"patterns": ONE_STALE}})
    run = run_prune(memory).run
    path = memory / "alpha/patterns.json"
    path.write_bytes(DAMAGED[name])
    before = tree_digest(memory)
    report = run_undo(memory, run)
    assert tree_digest(memory) == before
    assert report.files[0].problem
    assert report.status is not ExitStatus.DONE
    path.write_bytes(encode_array([in_use("a"), in_use("c"), in_use("d")]))
    assert run_undo(memory, run).files[0].restored == 1, "the archive still has the record"


def test_h07_h08_a_folder_in_place_of_a_record_file_is_left_alone(tmp_path: Path) -> None:
    """H08: what stands where a file should be is reported, not replaced."""
    memory = make_store(tmp_path, {"alpha": {"solutions": [solution(id="s", worked=False)]}})
    (memory / "alpha/patterns.json").mkdir()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert "alpha/patterns" in problems(report)
    assert (memory / "alpha/patterns.json").is_dir()
    assert removed_ids(report) == ["s"]


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_h17_a_lone_surrogate_survives_its_neighbours_going(tmp_path: Path, form: Form) -> None:
    """H17: half an emoji raised in the middle of the write; a truncated file stayed behind, exit status 0."""
    half = {"note": "cut \ud83d here"}
    records = [in_use("a"), stale("b"), in_use("c", **half), stale("d", **half), in_use("e", **half)]
    memory = make_store(tmp_path, {"alpha": {"patterns": records}}, form=form)
    path = memory / "alpha/patterns.json"
    before, spans = gunzipped(path.read_bytes()), record_spans(path)
    assert rb"\ud83d" in before
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["b", "d"], "a record that holds one is judged like any other"
    assert record_spans(path) == [spans[0], spans[2], spans[4]]
    assert run_undo(memory, report.run).status is ExitStatus.DONE
    assert gunzipped(path.read_bytes()) == before


def test_h17_odd_text_in_the_id_itself(tmp_path: Path) -> None:
    """H17: an id is text like any other; it goes into the journal and the archive as well."""
    odd = ["half \ud83d", "\x1b[31mred", "nul \x00", "\u202eback", "a\nb", "x" * 5000]
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale(ident) for ident in odd] + [in_use("z")]}})
    before = (memory / "alpha/patterns.json").read_bytes()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert report.total("removed") == len(odd)
    run_undo(memory, report.run)
    assert (memory / "alpha/patterns.json").read_bytes() == before


def _of_every_rule() -> dict[str, list[Record]]:
    """Records for every rule and every protection, and the like that stay."""
    scores = {"developmentSpeed": 0.4, "apiPerformance": 0.2, "clientSatisfaction": 0.3, "maintainability": 0.4}
    good = {"developmentSpeed": 1.5, "apiPerformance": 0.9, "clientSatisfaction": 0.9, "maintainability": 0.8}
    patterns = [
        pattern(id="p-unused", unused_days=95, created_days=200),
        pattern(id="p-used", unused_days=85, created_days=200),
        pattern(id="p-failed", success=0.25, executions=3, created_days=31),
        pattern(id="p-failed-new", success=0.25, executions=3, created_days=29),
        pattern(id="p-untried", success=0.0, confidence=0.0, executions=2, created_days=40),
        pattern(id="p-low", success=0.1, executions=30, created_days=20),
        pattern(id="p-unsure", success=0.9, executions=9, confidence=0.1, created_days=20),
        pattern(id="p-best", success=1.0, executions=9999, confidence=1.0, unused_days=91, created_days=300),
        pattern(id="p-newest", success=0.0, executions=9, confidence=0.0, unused_days=1, created_days=2),
        pattern(id="p-inactive", active=False, unused_days=40),
        pattern(id="p-pinned", tags=["keep"], unused_days=300, created_days=301),
        pattern(id="p-unknown", success=None, executions=None, confidence=None, unused_days=None, created_days=None),
    ]
    solutions = [
        solution(id="s-failed", worked=False),
        solution(id="s-worked", worked=True, created_days=900),
        solution(id="s-unknown", worked=None, created_days=900),
        solution(id="s-inactive", active=False, created_days=31),
        solution(id="s-verified", worked=True, verified=4, active=False, created_days=31),
    ]
    decisions = [
        decision(id="d-old", created_days=181),
        decision(id="d-new", created_days=179),
        decision(id="d-bad", scores=scores),
        decision(id="d-good", scores=good, would_repeat=True),
        decision(id="d-never-again", scores=good, would_repeat=False),
        decision(id="d-good-and-old", scores=good, would_repeat=True, created_days=300),
        decision(id="d-null") | {"outcome": None},
    ]
    return {"patterns": patterns, "solutions": solutions, "decisions": decisions}


def _expected_fates() -> dict[str, str]:
    return {
        "p-unused": "unused_too_long",
        "p-failed": "failed_pattern",
        "p-low": "low_success_rate",
        "p-unsure": "low_confidence",
        "p-inactive": "inactive",
        "s-failed": "outdated_solution",
        "s-inactive": "inactive",
        "d-old": "old_decision",
        "d-bad": "negative_outcome",
        "d-never-again": "negative_outcome",
    }


@pytest.mark.parametrize(
    "migrate", [lambda record: record, to_v110, to_v120, to_v200], ids=["100", "110", "120", "200"]
)
def test_h20_the_same_records_in_every_schema_version_meet_the_same_fate(tmp_path: Path, migrate: object) -> None:
    """H20: after a migration prune read none of the new fields and removed the wrong records."""
    assert callable(migrate)
    agents = {"alpha": {kind: [migrate(one) for one in records] for kind, records in _of_every_rule().items()}}
    report = run_prune(make_store(tmp_path, agents), max_loss=UNLIMITED)
    assert {one.id: one.rule for one in report.records if one.fate == "removed"} == _expected_fates()
    assert report.total("unreadable") == 0
    assert report.total("protected") == 5


def test_h20_the_figures_are_the_same_in_every_schema_version(tmp_path: Path) -> None:
    """H20: the value by which the least valuable go first must not depend on the spelling either."""
    found = []
    for migrate in (dict, to_v110, to_v120, to_v200):
        agents = {"alpha": {kind: [migrate(one) for one in records] for kind, records in _of_every_rule().items()}}
        report = run_prune(make_store(tmp_path / migrate.__name__, agents), dry_run=True)
        found.append((fates(report), [(one.value, one.figures, one.reason) for one in report.records]))
    assert found[1:] == found[:-1]


def test_h20_a_mixed_store_is_judged_record_by_record(tmp_path: Path) -> None:
    """H20: a store can hold every version at once, after a crash or where an agent writes an old one."""
    migrations = (dict, to_v110, to_v120, to_v200)
    mixed = {
        kind: [migrations[number % 4](one) for number, one in enumerate(records)]
        for kind, records in _of_every_rule().items()
    }
    report = run_prune(make_store(tmp_path, {"alpha": mixed}), max_loss=UNLIMITED)
    assert {one.id: one.rule for one in report.records} == _expected_fates()
