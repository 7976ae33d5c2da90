"""What somebody meets who uses AML for the first time: wrong paths, odd values, the question."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, Answer, aml, aml_child, kept, old, small_store
from tests.contract.pruning import run_prune, run_undo
from tests.support.stores import make_store, read_array, tree_digest


def _names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# ---- which store


@pytest.mark.parametrize(
    "words", [["prune"], ["prune", "-q"], ["prune", "history"], ["prune", "--dry-run"]], ids=" ".join
)
@pytest.mark.parametrize("named", ["", ".loom"])
def test_a_folder_that_holds_a_store_is_not_taken_for_one(tmp_path: Path, named: str, words: list[str]) -> None:
    project = small_store(tmp_path / "project")
    before = tree_digest(tmp_path)
    answer = aml(tmp_path, "--store", str(project / named), *words)
    assert answer.status == 10
    assert str(project / ".loom/memory") in answer.err
    assert answer.out == ""
    assert tree_digest(tmp_path) == before
    assert _names_in(tmp_path) == ["project"], "nothing is made beside it"
    assert _names_in(project) == [".loom"]
    assert _names_in(project / ".loom") == ["memory"]


def test_the_advice_about_the_store_works_as_it_stands(tmp_path: Path) -> None:
    small_store(tmp_path / "project")
    advice = aml(tmp_path, "--store", "project", "prune").err
    found = re.search(r"--store \S+", advice)
    assert found is not None
    assert aml(tmp_path, *shlex.split(found.group()), "prune", "--dry-run").status == 0


@pytest.mark.parametrize("words", [["prune", "--dry-run"], ["prune"], ["prune", "history"], ["config", "show"]])
def test_the_root_folder_is_no_store(tmp_path: Path, words: list[str]) -> None:
    if words != ["config", "show"]:
        answer = aml(tmp_path, "--store", "/", *words)
        assert answer.status == 2
        assert answer.err.startswith("aml: / cannot be a store")
        assert aml(tmp_path, "--store", "/", *words, "--json").envelope["exit"] == 2
    else:
        assert aml(tmp_path, "--store", "/", *words).status in (0, 2, 10)


@pytest.mark.parametrize("option", ["--store", "--config", "--repository"])
@pytest.mark.parametrize("glued", [False, True], ids=["apart", "with ="])
def test_an_empty_path_is_not_the_default(tmp_path: Path, option: str, glued: bool) -> None:
    """An unset variable in a script, as in --store "$STORE", must not prune whatever store is near."""
    project = small_store(tmp_path)
    before = tree_digest(project)
    words = [f"{option}="] if glued else [option, ""]
    answer = aml(project, *words, "prune", "--yes")
    assert answer.status == 2
    assert option in answer.err
    assert tree_digest(project) == before


def test_a_path_from_the_environment_is_named_as_such(tmp_path: Path) -> None:
    answer = aml(tmp_path, "prune", environment={"AML_STORE": str(tmp_path / "none")})
    assert answer.status == 10
    assert "AML_STORE" in answer.err


@pytest.mark.parametrize(
    "command",
    [["migrates", "detect"], ["monitr", "health"], ["prun", "--dry-run"]],
    ids=" ".join,
)
def test_after_a_path_it_is_the_command_that_is_unknown(tmp_path: Path, command: list[str]) -> None:
    memory = small_store(tmp_path) / ".loom/memory"
    answer = aml(tmp_path, str(memory), *command)
    assert answer.status == 2
    assert f"'{command[0]}'" in answer.err
    assert str(memory) not in answer.err


# ---- odd values


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "1e400", "-1", "1e9"])
@pytest.mark.timeout(20)
def test_a_lock_timeout_that_never_ends_is_refused(tmp_path: Path, seconds: str) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/patterns.json.lock").mkdir()
    before = tree_digest(project)
    for words in (["prune"], ["prune", "undo", "x"]):
        assert aml(project, *words, f"--lock-timeout={seconds}").status == 2
    assert tree_digest(project) == before


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e400"])
@pytest.mark.timeout(20)
def test_a_lock_timeout_of_the_settings_that_never_ends_is_refused(tmp_path: Path, seconds: str) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/patterns.json.lock").mkdir()
    answer = aml(project, "prune", environment={"AML_LOCKS_TIMEOUT_SECONDS": seconds})
    assert answer.status == 2
    assert "AML_LOCKS_TIMEOUT_SECONDS" in answer.err


@pytest.mark.parametrize("words", [["prune"], ["prune", "--dry-run"], ["config", "show"]], ids=" ".join)
def test_no_strategies_at_all_is_an_error(tmp_path: Path, words: list[str]) -> None:
    project = small_store(tmp_path)
    before = tree_digest(project / ".loom/memory")
    assert aml(project, *words, environment={"AML_PRUNE_STRATEGIES": ""}).status == 2
    (project / ".loom/aml.toml").write_text("[prune]\nstrategies = []\n", encoding="utf-8")
    answer = aml(project, *words)
    assert answer.status == 2
    for part in ("prune.strategies", "time", "performance", str(project / ".loom/aml.toml")):
        assert part in answer.err
    assert tree_digest(project / ".loom/memory") == before


@pytest.mark.parametrize("text", ["1", " 1 "])
def test_a_loss_of_one_is_asked_for_in_plain(tmp_path: Path, text: str) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old(str(number)) for number in range(10)]}})
    before = tree_digest(tmp_path)
    answer = aml(tmp_path, "prune", "--max-loss", text)
    assert answer.status == 2
    assert "1%" in answer.err
    assert "100%" in answer.err
    assert tree_digest(tmp_path) == before
    assert "10 of 10" in aml(tmp_path, "prune", "--dry-run", "--max-loss", "100%").out


# ---- ways back


def test_the_undo_that_is_printed_works_from_anywhere(tmp_path: Path) -> None:
    project = small_store(tmp_path / "a project")
    path = project / ".loom/memory/alpha/patterns.json"
    before = path.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answer = aml(elsewhere, "--store", str(path.parent.parent), "prune", "--yes")
    assert path.read_bytes() != before
    printed = shlex.split(answer.out.partition("undo with: ")[2])
    assert printed[0] == "aml"
    assert aml(elsewhere, *printed[1:]).status == 0
    assert path.read_bytes() == before


def _ids(answer: Answer) -> tuple[str, list[str]]:
    """The run and the ids of the records that it removed."""
    data = answer.envelope["data"]
    return data["run"], [record["id"] for record in data["records"] if record["fate"] == "removed"]


def test_history_counts_as_put_back_what_was_put_back(tmp_path: Path) -> None:
    records = [old(f"o{number}") for number in range(4)]
    make_store(tmp_path, {"alpha": {"patterns": [*records, *(kept(f"k{n}") for n in range(4))]}})
    memory = tmp_path / ".loom/memory"
    run = run_prune(memory).run
    for ids in (["o1"], ["o1"], [], []):
        run_undo(memory, run, *ids)
    rows = [line.split() for line in aml(tmp_path, "prune", "history").out.splitlines()]
    put_back = {row[0]: int(row[-1]) for row in rows[1:]}
    assert [put_back[row[0]] for row in rows[1:] if "undo" in row] == [0, 3, 0, 1]
    assert put_back[str(run)] == 4


def test_a_record_is_named_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    names = ["23b22c99-aaaa", "23b22c77-bbbb", "99999999-cccc"]
    make_store(tmp_path, {"alpha": {"patterns": [*(old(name) for name in names), *(kept(f"k{n}") for n in range(4))]}})
    path = tmp_path / ".loom/memory/alpha/patterns.json"
    run, removed = _ids(aml(tmp_path, "prune", "--json"))
    assert sorted(removed) == sorted(names)
    assert run_undo(tmp_path / ".loom/memory", run, "23b22c99").files[0].restored == 1
    assert [one["id"] for one in read_array(path) if one["id"] in names] == ["23b22c99-aaaa"]
    several = aml(tmp_path, "prune", "undo", run, "--id", "23b22c")
    assert several.status == 1
    assert "23b22c99-aaaa" in several.err
    assert "23b22c77-bbbb" in several.err
    typo = aml(tmp_path, "prune", "undo", run, "--id", "99999999-cccd")
    assert typo.status == 1
    assert "99999999-cccc" in typo.err
    for nothing in ("", "xyz"):
        assert aml(tmp_path, "prune", "undo", run, "--id", nothing).status in (1, 2)
    assert [one["id"] for one in read_array(path) if one["id"] in names] == ["23b22c99-aaaa"]


def test_a_run_that_does_not_exist_is_answered_with_the_nearest(tmp_path: Path) -> None:
    run, _ = _ids(aml(small_store(tmp_path), "prune", "--json"))
    answer = aml(tmp_path, "prune", "undo", run[:-1] + ("0" if run[-1] != "0" else "1"))
    assert answer.status == 1
    assert run in answer.err


# ---- the report


def test_the_size_of_a_damaged_file_is_told(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    damaged = project / ".loom/memory/alpha/solutions.json"
    damaged.write_bytes(b"[" + b" " * 5000 + b"{")
    for words in (["prune", "--dry-run", "--json"], ["prune", "--json"]):
        files = {file["kind"]: file for file in aml(project, *words).envelope["data"]["files"]}
        assert files["solutions"]["bytes_before"] == damaged.stat().st_size
        assert files["solutions"]["bytes_after"] == damaged.stat().st_size
        assert files["solutions"]["problem"]
    assert "4.9 KiB" in aml(project, "prune", "--dry-run").out


# ---- the Python API


@pytest.mark.parametrize(
    "first",
    [
        "aml.prune(store, dry_run=True)",
        "aml.PruneOptions()",
        "aml.prune_history(store)",
        "from aml import PruneOptions",
        "from aml import *",
        "import aml.prune.rules",
        "aml.UndoReport, aml.PruneReport",
    ],
)
def test_the_function_prune_stays_a_function(tmp_path: Path, first: str) -> None:
    memory = small_store(tmp_path) / ".loom/memory"
    script = (
        f"import aml\nstore = aml.open_store({str(memory)!r})\n{first}\n"
        "for _ in range(2):\n    print(aml.prune(store, dry_run=True).total('removed'))\n"
        "from aml import prune\nprint(prune(store, aml.PruneOptions(), dry_run=True).total('removed'))\n"
        "import aml.prune.options\nprint(callable(aml.prune), callable(prune))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["1", "1", "1", "True", "True"]


# ---- answers


@pytest.mark.parametrize("words", [["config"], []], ids=["config", "nothing"])
def test_json_is_answered_even_where_a_command_is_missing(tmp_path: Path, words: list[str]) -> None:
    answer = aml(small_store(tmp_path), "--json", *words)
    assert (answer.status, answer.envelope["exit"]) == (2, 2)


def test_help_works_by_its_short_name(tmp_path: Path) -> None:
    assert aml_child(tmp_path, "-h").out.startswith("Usage: aml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "nofile.toml", "prune", "--dry-run"], "aml config init writes one"),
        (["prune", "--apply", "nofile.json"], "aml prune --plan FILE writes one"),
        (["prune", "--plan", "nowhere/p.json"], "nowhere is not there: make it, or name another path"),
        (["prune", "--plan", "file/p.json"], "file is no folder: move it away, or name another path"),
        (["prune", "--lock-timeout", "x"], "'x' is not a number"),
        (["prune", "history", "--limit", "x"], "'x' is not a whole number"),
        (["prune", "--max-loss", "130%"], "from 0% to 100%"),
        (["prune", "explain", "o1", "--policy", "value"], "say --strategy space too"),
    ],
)
def test_what_cannot_be_is_told_with_a_way_out(tmp_path: Path, words: list[str], said: str) -> None:
    project = small_store(tmp_path)
    (project / "file").write_text("", encoding="utf-8")
    answer = aml(project, *words)
    assert answer.status in (1, 2)
    assert said in answer.err


def test_a_file_in_place_of_the_kept_folder_is_told_with_a_way_out(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory-backup").write_text("", encoding="utf-8")
    answer = aml(project, "prune")
    assert answer.status == 1
    assert "memory-backup is no folder: move it away" in answer.err
    assert "--no-backup" not in answer.err


@pytest.mark.parametrize("words", [["optimize"], []])
def test_a_missing_command_names_the_help_that_lists_it(tmp_path: Path, words: list[str]) -> None:
    found = aml(tmp_path, *words, "--json").envelope
    assert found["errors"][0]["advice"].startswith(f"{' '.join(['aml', *words])} --help ")


@pytest.mark.parametrize("name", ["AGENT_MB", "STORE_MB", "TARGET"])
def test_no_limit_of_room_is_0(tmp_path: Path, name: str) -> None:
    answer = aml(small_store(tmp_path), "prune", "--dry-run", environment={f"AML_SPACE_{name}": "0"})
    assert answer.status == 2
    assert "allowed: a number above 0, up to" in answer.err
