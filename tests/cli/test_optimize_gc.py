"""``aml optimize gc`` as people and programs see it: counts, texts, exit statuses, the question, the way back."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import aml, small_store
from tests.cli.test_question import _Terminal
from tests.contract.collecting import LONG_AGO, without, write_copy, write_stray
from tests.contract.pruning import fresh, stale
from tests.support.live_writer import agent_lock
from tests.support.stores import encode_array, make_store, read_array, tree_digest, write_array

DAMAGED = encode_array([fresh("d", note=1), fresh("e", note=2), fresh("f")])[:-9]


def _project(tmp_path: Path, *, healthy: bool = False) -> Path:
    """A project whose store has garbage of every class, with a damaged file or without."""
    garbage = [
        None,
        stale("x", note=1),
        without(fresh("-", note=2), "id"),
        fresh("x", note=3),
        without(fresh("y", note=4), "agent"),
        without(fresh("z", note=5), "timestamp"),
        "no record",
        *(fresh(f"k{number}", note=10 + number) for number in range(8)),
        fresh("same-1"),
        fresh("same-2"),
    ]
    memory = make_store(tmp_path, {"alpha": {"patterns": garbage}, "beta": {"patterns": [fresh("b", note=1)]}})
    write_copy(memory, [fresh("c", note=2)], agent="beta")
    (memory / "alpha/solutions.json").write_bytes(b"")
    if not healthy:
        (memory / "beta/decisions.json").write_bytes(DAMAGED)
    write_stray(memory)
    (memory / "alpha/decisions.json.lock").mkdir()
    os.utime(memory / "alpha/decisions.json.lock", (LONG_AGO, LONG_AGO))
    return tmp_path


def _memory(project: Path) -> Path:
    return project / ".loom/memory"


COUNTS = {
    "null_element": 1,
    "duplicate_id": 1,
    "without_id": 1,
    "without_agent": 1,
    "without_timestamp": 1,
    "empty_file": 1,
    "packed_copy": 1,
    "salvaged_file": 0,
    "unfinished_write": 1,
    "content_duplicate": 1,
    "odd_element": 1,
    "damaged_file": 1,
    "stale_lock": 1,
}


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_answer_counts_each_class(tmp_path: Path, dry_run: bool) -> None:
    project = _project(tmp_path)
    answer = aml(project, "optimize", "gc", "--json", "--max-loss", "100%", *(["--dry-run"] if dry_run else []))
    data = answer.envelope["data"]
    assert data["counts"] == COUNTS
    assert answer.status == answer.envelope["exit"] == (0 if dry_run else 3)
    assert (data["run"] is None) == dry_run
    assert answer.err == ""
    fates = {one["rule"]: one["fate"] for one in data["records"]}
    assert set(fates.values()) == {"removed"}
    assert len(fates) == 5


def test_salvage_is_counted_and_told(tmp_path: Path) -> None:
    project = _project(tmp_path)
    dry = aml(project, "optimize", "gc", "--salvage", "--dry-run")
    assert "would salvage 1 damaged file" in dry.out
    assert read_bytes(project) == DAMAGED
    answer = aml(project, "optimize", "gc", "--salvage", "--json", "--max-loss", "100%")
    assert (answer.status, answer.envelope["data"]["counts"]) == (0, COUNTS | {"salvaged_file": 1, "damaged_file": 0})
    assert [one["id"] for one in read_array(_memory(project) / "beta/decisions.json")] == ["d", "e"]


def read_bytes(project: Path) -> bytes:
    return (_memory(project) / "beta/decisions.json").read_bytes()


def test_one_line_says_what_was_done_and_how_to_undo_it(tmp_path: Path) -> None:
    project = _project(tmp_path, healthy=True)
    answer = aml(project, "optimize", "gc", "--max-loss", "100%")
    assert answer.status == 0
    assert re.fullmatch(
        r"gc: removed 5 of 19 elements, 1 empty file, 1 unfinished write; merged 1 compressed copy; "
        r"1 record equal to another but for the id; .* -> .*; undo with: aml prune undo \S+\n",
        answer.out,
    )
    assert "stale lock: alpha/decisions.json.lock" in answer.err
    run = answer.out.split()[-1]
    undone = aml(project, "prune", "undo", run)
    assert (undone.status, len(undone.out.splitlines()), undone.err) == (0, 1, "")
    assert len(read_array(_memory(project) / "alpha/patterns.json")) == 17
    assert (_memory(project) / "alpha/solutions.json").read_bytes() == b""
    history = aml(project, "prune", "history")
    assert history.status == 0
    assert "gc" in history.out
    assert run in history.out


def test_quiet_success_prints_nothing(tmp_path: Path) -> None:
    answer = aml(_project(tmp_path, healthy=True), "optimize", "gc", "-q", "--max-loss", "100%")
    assert (answer.status, answer.out, answer.err) == (0, "", "")


def test_quiet_does_not_hide_what_was_left_alone(tmp_path: Path) -> None:
    answer = aml(_project(tmp_path), "optimize", "gc", "-q", "--max-loss", "100%")
    assert answer.status == 3
    assert "beta/decisions" in answer.out + answer.err
    assert "--salvage" in answer.out + answer.err


def test_verbose_tells_every_element(tmp_path: Path) -> None:
    answer = aml(_project(tmp_path), "optimize", "gc", "--dry-run", "-v", "--max-loss", "100%")
    for words in ("it is null", "states no agent", "used later", "same-1, same-2", "it is a string, not an object"):
        assert words in answer.out


def test_nothing_to_do_is_said_and_leaves_the_store_alone(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    before = tree_digest(memory)
    answer = aml(tmp_path, "optimize", "gc")
    assert (answer.status, answer.out, answer.err) == (0, "gc: removed 0 of 1 element\n", "")
    assert tree_digest(memory) == before


# ---- exit statuses


def test_the_budget_that_was_reached_is_partial(tmp_path: Path) -> None:
    records = [without(fresh("-", note=number), "id") for number in range(100)]
    make_store(tmp_path, {"alpha": {"patterns": records}})
    answer = aml(tmp_path, "optimize", "gc", "-q")
    assert answer.status == 3
    assert "70" in answer.out + answer.err
    assert "--max-loss" in answer.out + answer.err


@pytest.mark.parametrize("extra", [[], ["--salvage"]])
def test_all_damaged_is_damaged(tmp_path: Path, extra: list[str]) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    (memory / "alpha/patterns.json").write_bytes(b"\x00\x00")
    answer = aml(tmp_path, "optimize", "gc", "--json", *extra)
    assert (answer.status, answer.envelope["data"]["counts"]["damaged_file"]) == (12, 1)


def test_all_locked_is_locked_and_some_locked_is_partial(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a"), None], "decisions": [None]}})
    now = time.time()
    with agent_lock(memory / "alpha/patterns.json"):
        answer = aml(tmp_path, "optimize", "gc", "--lock-timeout", "0.2", now=now)
        assert answer.status == 3
        assert "alpha/patterns" in answer.err
        assert read_array(memory / "alpha/decisions.json") == []
        again = aml(tmp_path, "optimize", "gc", "--lock-timeout", "0.2", now=now)
        assert again.status == 11
    assert len(read_array(memory / "alpha/patterns.json")) == 2


def test_a_schema_that_is_too_new_is_told(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a", version="9.0.0"), None]}})
    answer = aml(tmp_path, "optimize", "gc", "--json")
    assert answer.status == aml(tmp_path, "prune", "--json").status == 13
    assert len(read_array(memory / "alpha/patterns.json")) == 1


@pytest.mark.parametrize("name", ["nobody", "../alpha", "global", ""])
def test_an_unknown_agent_is_an_error_that_names_the_known(tmp_path: Path, name: str) -> None:
    project = _project(tmp_path)
    before = tree_digest(project)
    answer = aml(project, "optimize", "gc", "--agent", name)
    assert answer.status == 2
    assert "alpha, beta" in answer.err
    assert tree_digest(project) == before


def test_one_agent_is_one_agent(tmp_path: Path) -> None:
    project = _project(tmp_path)
    before = tree_digest(_memory(project) / "beta")
    answer = aml(project, "optimize", "gc", "--json", "--agent", "alpha", "--max-loss", "100%")
    assert (answer.status, answer.envelope["data"]["counts"]["packed_copy"]) == (0, 0)
    assert tree_digest(_memory(project) / "beta") == before


@pytest.mark.parametrize("words", [["--max-loss", "120%"], ["--max-loss", "x"], ["--salvge"], ["extra"]])
def test_what_is_not_understood_changes_nothing(tmp_path: Path, words: list[str]) -> None:
    project = _project(tmp_path)
    before = tree_digest(project)
    assert aml(project, "optimize", "gc", *words).status == 2
    assert tree_digest(project) == before


def test_no_store_is_no_store(tmp_path: Path) -> None:
    assert aml(tmp_path, "optimize", "gc").status == 10


# ---- the question


def test_the_question_comes_after_the_tables_and_no_changes_nothing(tmp_path: Path) -> None:
    project = _project(tmp_path)
    before = tree_digest(_memory(project))
    terminal = _Terminal(project, "optimize", "gc")
    terminal.read_until("Take that away, archived first?")
    assert "compressed copy" in terminal.seen
    assert not list(_memory(project).rglob("*/patterns.json.lock"))
    assert terminal.answer("n") == 0
    assert tree_digest(_memory(project)) == before


def test_yes_does_what_was_shown(tmp_path: Path) -> None:
    project = _project(tmp_path, healthy=True)
    terminal = _Terminal(project, "optimize", "gc", "--max-loss", "100%")
    terminal.read_until("Take that away, archived first?")
    assert terminal.answer("y") == 0
    assert "removed 5 of 19 elements" in terminal.seen


@pytest.mark.parametrize("words", [["--yes"], ["--dry-run"], ["--agent", "gamma"]])
def test_who_said_yes_or_loses_nothing_is_not_asked(tmp_path: Path, words: list[str]) -> None:
    project = _project(tmp_path, healthy=True)
    write_array(_memory(project) / "gamma/patterns.json", [fresh("g")])
    terminal = _Terminal(project, "optimize", "gc", *words)
    terminal.read_until("gc:")
    assert terminal.answer("") in (0, 3)
    assert "[y/N]" not in terminal.seen


# ---- undo


def test_undo_tells_of_whole_files(tmp_path: Path) -> None:
    project = _project(tmp_path, healthy=True)
    run = aml(project, "optimize", "gc", "--json", "--max-loss", "100%").envelope["data"]["run"]
    (_memory(project) / "alpha/solutions.json").write_bytes(b"[]")
    dry = aml(project, "prune", "undo", run, "--dry-run", "--json")
    done = aml(project, "prune", "undo", run, "--json")
    told: list[dict[str, Any]] = done.envelope["data"]["originals"]
    assert told == dry.envelope["data"]["originals"]
    assert {one["path"]: one["put_back"] for one in told} == {
        "alpha/solutions.json": False,
        "beta/patterns.json": True,
        "beta/patterns.json.gz": True,
        "alpha/patterns.json.tmp": True,
    }
    assert done.status == 3
    assert (_memory(project) / "alpha/solutions.json").read_bytes() == b"[]"
    text = aml(project, "prune", "undo", run, "--dry-run")
    assert "left alone: alpha/solutions.json: it was written to since (its original lies in" in text.err


@pytest.mark.slow
def test_undo_names_the_whole_files_where_every_detail_is_wanted(tmp_path: Path) -> None:
    project = _project(tmp_path, healthy=True)
    run = aml(project, "optimize", "gc", "--json", "--max-loss", "100%").envelope["data"]["run"]
    dry = aml(project, "prune", "undo", run, "--dry-run", "-v").out
    done = aml(project, "prune", "undo", run, "-v").out
    for name in ("solutions.json", "patterns.json.gz", "patterns.json.tmp"):
        assert re.search(rf"{re.escape(name)} +\(whole file: to put back\)", dry)
        assert re.search(rf"{re.escape(name)} +\(whole file: put back\)", done)


@pytest.mark.parametrize("salvage", [(), ("--salvage",)])
def test_an_odd_copy_is_not_told_as_its_record_file(tmp_path: Path, salvage: tuple[str, ...]) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("a")]}})
    (memory / "alpha/patterns.json.gz").symlink_to("elsewhere")
    answer = aml(tmp_path, "optimize", "gc", *salvage)
    assert answer.status != 0
    assert "the compressed copy patterns.json.gz beside it: it is a link" in answer.err
    assert "--salvage" not in answer.err


def test_what_is_deferred_and_pinned_is_told_with_the_reason(tmp_path: Path) -> None:
    records = [without(fresh(f"w{number}"), "agent") for number in range(8)] + [fresh("k")]
    records.append(without(fresh("held", note=1), "agent") | {"tags": ["pinned"]})
    make_store(tmp_path, {"alpha": {"patterns": records}})
    answer = aml(tmp_path, "optimize", "gc", "--dry-run", "--max-loss", "10%")
    assert "; 7 deferred; 1 pinned" in answer.out
    assert "aml: 7 records are deferred: more than the loss budget of one run allows" in answer.err
    assert "alpha: at most 10% of an agent's records in a run" in answer.err


def test_sizes_that_read_alike_are_told_once_or_not_at_all(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [*(fresh(f"k{n}", note=n) for n in range(2000)), None]}})
    assert "->" not in aml(tmp_path, "optimize", "gc").out


def test_a_lock_that_stays_is_told_with_its_place_once(tmp_path: Path) -> None:
    project = _project(tmp_path, healthy=True)
    with agent_lock(_memory(project) / "alpha/patterns.json"):
        answer = aml(project, "optimize", "gc", "--lock-timeout", "0")
    assert "left alone: alpha/patterns: it stayed locked by an agent for 0 s" in answer.err


HOSTILE = ["\x1b[31mred", "a\rb", "\u202egnp.exe", "[bold]b[/bold]"]


def test_text_from_records_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    agent = "[red]ag\x1b[1ment"
    records = [one for ident in HOSTILE for one in (stale(ident), fresh(ident))]
    memory = make_store(tmp_path, {agent: {"patterns": [*records, fresh("same\x1b1"), fresh("same\x1b2")]}})
    (memory / agent / "solutions.json").write_bytes(b"[\x1b[31m")
    write_stray(memory, name=f"{agent}/\x1bx.json.tmp")
    (memory / agent / "\x1by.json.lock").mkdir()
    dry = aml(tmp_path, "optimize", "gc", "--dry-run", "-v", "--max-loss", "100%")
    done = aml(tmp_path, "optimize", "gc", "-v", "--max-loss", "100%")
    history = aml(tmp_path, "prune", "history", "-v")
    run = json.loads(aml(tmp_path, "prune", "history", "--json").out)["data"]["runs"][0]["id"]
    undo = aml(tmp_path, "prune", "undo", run, "-v")
    for answer in (dry, done, history, undo):
        shown = answer.out + answer.err
        assert not set(shown) & set("\x1b\x07\r\x9b\u202e"), repr(shown)
    assert r"\x1b[31mred" in dry.out


def test_a_damaged_file_is_told_once_by_all_parts_together(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b'[{"id"')
    told = aml(project, "optimize", "all", "--yes").err
    assert told.count("alpha/solutions") == 1
    assert "--salvage" in told
    assert any("alpha/solutions" in one for one in aml(project, "optimize", "all", "--json").envelope["warnings"])
