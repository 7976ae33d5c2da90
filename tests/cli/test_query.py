"""``aml query``, ``aml show``, ``aml optimize index`` and ``warm-cache`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import aml, aml_child
from tests.support.indexes import index_folder_of
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import make_store, record_spans, tree_digest

HOSTILE = "\x1b]0;owned\x07[bold]red[/bold]\u202e\x9b31m\nnew line"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    contents: dict[str, dict[str, list[Record]]] = {
        "alpha": {
            "patterns": [
                pattern(id="p1", tags=["red", "blue"], success=0.9, confidence=0.8, unused_days=3, executions=50),
                pattern(id="p2", tags=["red"], success=0.2, confidence=0.9, unused_days=30),
                pattern(id="twin", success=None, confidence=None, unused_days=None, created_days=1),
            ],
            "solutions": [solution(id="s1", tags=["blue"], created_days=400)],
        },
        "beta": {"decisions": [decision(id="d1", tags=["red"]), decision(id="twin")]},
    }
    make_store(tmp_path, contents)
    return tmp_path


def ids(project: Path, *words: str) -> list[str]:
    answer = aml(project, "query", "--limit", "0", "--ids", *words)
    assert (answer.status, answer.err) == (0, "")
    return answer.out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--agent", "beta"], {"d1", "twin"}),
        (["--agent", "beta", "--agent", "alpha", "--kind", "solution"], {"s1"}),
        (["--kind", "patterns", "--kind", "decision"], {"p1", "p2", "twin", "d1"}),
        (["--tag", "red"], {"p1", "p2", "d1"}),
        (["--tag", "red", "--tag", "blue"], {"p1"}),
        (["--text", "cache price"], {"p1", "p2", "twin"}),
        (["--text", "validator"], {"d1", "twin"}),
        (["--min-success", "0.5", "--kind", "pattern"], {"p1"}),
        (["--min-confidence", "85%", "--kind", "pattern"], {"p2"}),
        (["--since", "7d"], {"p1", "twin"}),
        (["--since", "2026-10-21", "--agent", "alpha"], {"p1", "p2", "twin"}),
        (["--tag", "red", "--text", "cache", "--min-success", "80%", "--since", "5d", "--agent", "alpha"], {"p1"}),
        (["--tag", "green"], set()),
    ],
)
def test_all_filters_must_fit(project: Path, words: list[str], expected: set[str]) -> None:
    assert set(ids(project, *words)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--kind", "pattern", "--sort", "value"], ["p1", "p2", "twin"]),
        (["--kind", "pattern", "--sort", "last-used"], ["p1", "p2", "twin"]),
        (["--agent", "alpha", "--sort", "created"], ["twin", "p1", "p2", "s1"]),
    ],
)
def test_the_order_is_the_one_asked_for(project: Path, words: list[str], expected: list[str]) -> None:
    assert ids(project, *words) == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent", "alpa"], "did you mean alpha? known: alpha, beta"),
        (["--kind", "thought"], "known: patterns, solutions, decisions"),
        (["--sort", "relevance"], "--text"),
        (["--sort", "age"], "relevance"),
        (["--text", "--"], "no word"),
        (["--text", ""], "no word"),
        (["--min-success", "80"], "80%"),
        (["--since", "soon"], "ISO 8601"),
        (["--limit", "-1"], "x>=0"),
        (["--ids", "--jsonl"], "contradict"),
        (["--jsonl", "--json"], "contradict"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(project: Path, words: list[str], told: str) -> None:
    answer = aml(project, "query", *words)
    assert answer.status == 2
    assert told in (answer.err or answer.out)


def test_a_table_says_whether_there_is_more(project: Path) -> None:
    answer = aml(project, "query", "--limit", "2")
    lines = answer.out.splitlines()
    assert lines[0].split()[:3] == ["id", "agent", "kind"]
    assert lines[-1] == "query: 2 records; there are more: see --limit"
    assert "cache-aside: Cache the price list" in aml(project, "query", "--tag", "blue").out
    assert aml(project, "query", "--tag", "green").out == "query: 0 records\n"


def test_json_and_json_lines_hold_the_same_records(project: Path) -> None:
    envelope = aml(project, "query", "--tag", "red", "--json").envelope
    assert (envelope["command"], envelope["exit"], envelope["data"]["more"]) == ("query", 0, False)
    lines = [json.loads(line) for line in aml(project, "query", "--tag", "red", "--jsonl").out.splitlines()]
    assert lines == envelope["data"]["records"]
    first = lines[[line["id"] for line in lines].index("p1")]
    assert first == {
        "agent": "alpha",
        "kind": "patterns",
        "id": "p1",
        "tags": ["red", "blue"],
        "created": "2026-08-12T12:00:00.000Z",
        "last_used": "2026-11-17T12:00:00.000Z",
        "success": 0.9,
        "confidence": 0.8,
        "executions": 50.0,
        "value": 0.8,
        "size": first["size"],
        "summary": "cache-aside: Cache the price list",
    }


def test_the_store_is_not_changed_and_nothing_of_the_index_is_in_it(project: Path) -> None:
    memory = project / ".loom" / "memory"
    before = tree_digest(memory)
    for words in (["query", "--text", "cache"], ["show", "p1"], ["optimize", "index"], ["optimize", "warm-cache"]):
        assert aml(project, *words).status == 0
    assert tree_digest(memory) == before
    state = memory.with_name("memory.aml")
    assert (state / "index" / ".gitignore").read_text().endswith("*\n")
    for path in [state / "index", *(state / "index").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_show_prints_one_record(project: Path) -> None:
    answer = aml(project, "show", "p1")
    assert answer.status == 0
    assert answer.out.splitlines()[:3] == ["record      p1", "agent       alpha", "kind        patterns"]
    body = answer.out.partition("\n\n")[2]
    assert json.loads(body)["id"] == "p1"


def test_show_raw_is_byte_for_byte(project: Path) -> None:
    raw = record_spans(project / ".loom" / "memory" / "alpha" / "patterns.json")[1]
    assert aml(project, "show", "p2", "--raw").out.encode() == raw
    child = aml_child(project, "show", "p2", "--raw")
    assert (child.status, child.out.encode()) == (0, raw)
    assert aml(project, "show", "p2", "--raw", "--json").status == 2


def test_show_json_has_the_record_and_its_text(project: Path) -> None:
    data = aml(project, "show", "s1", "--json").envelope["data"]
    assert (data["agent"], data["kind"], data["record"]["id"]) == ("alpha", "solutions", "s1")
    assert json.loads(data["text"]) == data["record"]


def test_the_beginning_of_an_id_will_do_where_only_one_begins_so(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [pattern(id="abc-1"), pattern(id="abd-2")]}})
    assert "abc-1" in aml(tmp_path, "show", "abc").out
    several = aml(tmp_path, "show", "ab")
    assert (several.status, "abc-1, abd-2" in several.err) == (1, True)
    none = aml(tmp_path, "show", "abe")
    assert (none.status, "nearest: ab" in none.err) == (1, True)
    assert aml(tmp_path, "show", "").status == 2


def test_an_id_in_several_places_names_them(project: Path) -> None:
    answer = aml(project, "show", "twin")
    assert answer.status == 1
    assert "alpha/patterns, beta/decisions" in answer.err
    assert aml(project, "show", "twin", "--kind", "decision").status == 0
    assert aml(project, "show", "twin", "--agent", "gamma").status == 2


def test_text_of_records_is_made_harmless_and_is_no_markup(tmp_path: Path) -> None:
    hostile = pattern(id=f"h{HOSTILE}", tags=[HOSTILE], pattern={"type": HOSTILE})
    make_store(tmp_path, {"alpha": {"patterns": [hostile]}})
    for words in (["query"], ["query", "--ids"], ["query", "--jsonl"], ["show", "h"], ["show", "hx"]):
        answer = aml(tmp_path, *words)
        for shown in (answer.out, answer.err):
            assert not any(mark in shown for mark in "\x1b\x07\x9b\u202e"), words
    assert "[bold]red[/bold]" in aml(tmp_path, "query").out


def test_what_cannot_be_read_is_told_and_makes_the_answer_partial(project: Path) -> None:
    memory = project / ".loom" / "memory"
    (memory / "beta" / "patterns.json").write_bytes(b"[{")
    answer = aml(project, "query", "--tag", "red", "--ids")
    assert (answer.status, set(answer.out.split())) == (3, {"p1", "p2", "d1"})
    assert "left out: beta/patterns" in answer.err
    assert aml(project, "query", "--agent", "alpha").status == 0
    assert aml(project, "query", "--kind", "pattern", "--agent", "beta").status == 12
    assert "beta/patterns" in aml(project, "show", "nothing").err
    (memory / "beta" / "patterns.json").write_bytes(b'[null, {"id": "x", "version": "7.0.0"}]')
    newer = aml(project, "query")
    assert newer.status == 13
    assert "1 element that" in newer.err


def test_where_nothing_can_be_read_the_answer_is_damage(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    (memory / "alpha" / "patterns.json").write_bytes(b"[{")
    for words in (["query"], ["show", "p1"]):
        assert aml(tmp_path, *words).status == 12
    assert aml(tmp_path, "optimize", "index").status == 3


def test_an_empty_store_has_no_records(tmp_path: Path) -> None:
    make_store(tmp_path, {})
    assert aml(tmp_path, "query").out == "query: 0 records\n"
    assert aml(tmp_path, "show", "p1").status == 1
    assert aml(tmp_path, "optimize", "warm-cache").status == 0


def test_the_words_that_scripts_say_bring_the_index_up_to_date(project: Path) -> None:
    """The old line for cron: ``aml /project/.loom/memory optimize index``."""
    memory = project / ".loom" / "memory"
    answer = aml(project, str(memory), "optimize", "index")
    assert (answer.status, answer.out) == (0, "index: read 3 files, from nothing; 6 records in 3 files\n")
    assert (index_folder_of(memory) / "records.sqlite").exists()
    assert aml(project, str(memory), "optimize", "index", "-q").out == ""


def test_a_dry_run_writes_nothing(project: Path) -> None:
    memory = project / ".loom" / "memory"
    answer = aml(project, "optimize", "index", "--dry-run", "--json")
    assert (answer.envelope["data"]["files_read"], answer.envelope["data"]["records"]) == (3, 6)
    assert aml(project, "optimize", "warm-cache", "--dry-run").out.startswith("warm-cache: would keep 6 records")
    assert not memory.with_name("memory.aml").exists()
    real = aml(project, "optimize", "index", "--json").envelope["data"]
    assert {**real, "dry_run": True, "seconds": 0} == {**answer.envelope["data"], "seconds": 0}


def test_warm_cache_fills_its_share_of_the_cache(project: Path) -> None:
    answer = aml(project, "optimize", "warm-cache", "--json", environment={"AML_CACHE_SIZE_MB": "0.5"})
    data = answer.envelope["data"]
    assert (data["records"], data["cache_bytes"]) == (6, 1 << 19)
    assert aml(project, "optimize", "warm-cache", environment={"AML_CACHE_SIZE_MB": "0"}).status == 2


def test_without_a_place_for_the_index_the_files_are_read_and_a_note_says_so(project: Path) -> None:
    (project / ".loom" / "memory.aml").write_text("in the way")
    answer = aml(project, "query", "--tag", "blue", "--ids")
    assert (answer.status, set(answer.out.split())) == (0, {"p1", "s1"})
    assert "the index cannot be kept" in answer.err
    assert aml(project, "optimize", "index").status == 1
    assert aml(project, "optimize", "warm-cache").status == 1


def test_the_index_of_a_store_on_a_network_file_system_is_in_the_users_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aml.index.folder.network_file_system", lambda _: "nfs4")
    cache = project / "home" / ".cache"
    for environment in ({"HOME": str(project / "home")}, {"XDG_CACHE_HOME": str(cache), "HOME": "/nowhere"}):
        assert aml(project, "query", "--tag", "blue", environment=environment).status == 0
    (folder,) = (cache / "aml").iterdir()
    assert (folder / "records.sqlite").exists()
    assert not (project / ".loom" / "memory.aml").exists()
