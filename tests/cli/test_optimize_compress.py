"""``aml optimize compress`` as it is typed: what it says, where, and its exit status."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aml.cli.invocation import Streams
from aml.cli.main import run
from tests.cli.running import PROJECT, aml, aml_child
from tests.contract.compressing import aged, all_aged, old_store, packed, texts
from tests.support.live_writer import agent_lock
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest, write_array

COMPRESS = ("optimize", "compress")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_for_a_log_and_a_note_about_who_reads_gzip(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    answer = aml(tmp_path, *COMPRESS)
    assert answer.status == 0
    assert answer.out.startswith("compress: compressed: 7 of 7 files; ")
    assert answer.out.count("\n") == 1
    assert "a person or a language model" in answer.err
    assert "alpha, beta, global" in answer.err
    again = aml(tmp_path, *COMPRESS)
    assert (again.status, again.out, again.err) == (0, "compress: compressed: 0 of 7 files\n", "")
    assert len(packed(memory)) == 7


def test_nothing_is_said_with_q_where_all_went_well(tmp_path: Path) -> None:
    old_store(tmp_path)
    answer = aml(tmp_path, *COMPRESS, "-q")
    assert (answer.status, answer.out, answer.err) == (0, "", "")


def test_the_note_stays_away_where_the_settings_allow_it(tmp_path: Path) -> None:
    old_store(tmp_path)
    answer = aml(tmp_path, *COMPRESS, environment={"AML_COMPRESS_PLAIN": "true"})
    assert (answer.status, answer.err) == (0, "")


def test_many_agents_are_counted_in_the_note(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    for number in range(9):
        write_array(memory / f"agent-{number}" / "patterns.json", [pattern()])
    all_aged(memory)
    assert "and 7 more" in aml(tmp_path, *COMPRESS).err


def test_a_dry_run_shows_each_file_and_changes_nothing(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    aged(memory / "alpha" / "patterns.json", 1)
    before = tree_digest(tmp_path)
    answer = aml(tmp_path, *COMPRESS, "--dry-run")
    assert answer.status == 0
    assert "compress: would be compressed: 6 of 7 files" in answer.out
    assert "solutions.json" in answer.out
    assert "modified lately" not in answer.out
    assert "kept: modified lately" in aml(tmp_path, *COMPRESS, "--dry-run", "-v").out
    assert tree_digest(tmp_path) == before


def test_decompress_takes_files_of_any_age_unless_one_is_given(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    before = texts(memory)
    aml(tmp_path, *COMPRESS)
    aged(memory / "alpha" / "patterns.json", 1)
    answer = aml(tmp_path, *COMPRESS, "--decompress", "--age-days", "30")
    assert packed(memory) == ["alpha/patterns.json"]
    answer = aml(tmp_path, *COMPRESS, "--decompress")
    assert answer.out.startswith("compress: decompressed: 1 of 7 files; ")
    assert packed(memory) == []
    assert texts(memory) == before


def test_the_age_comes_from_the_settings(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    (memory.parent / "aml.toml").write_text("[compress]\nage_days = 90\n", encoding="utf-8")
    assert aml(tmp_path, *COMPRESS).out == "compress: compressed: 0 of 7 files\n"
    assert "7 of 7" in aml(tmp_path, *COMPRESS, "--age-days", "50").out


def test_json_tells_each_file(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    (memory / "beta" / "patterns.json").write_bytes(b"[{")
    aged(memory / "beta" / "patterns.json", 50)
    envelope = aml(tmp_path, *COMPRESS, "--json", "--agent", "beta", "--log-json", "aml.log").envelope
    assert (envelope["command"], envelope["status"], envelope["exit"]) == ("optimize compress", "partial", 3)
    data = envelope["data"]
    assert data["run"]
    assert data["first_gzip"] == ["beta"]
    assert [(file["file"], file["fate"], file["status"]) for file in data["files"]] == [
        ("patterns.json", "left", 12),
        ("solutions.json", "compressed", 0),
        ("decisions.json", "compressed", 0),
    ]
    assert all(file["bytes_after"] == (memory / "beta" / file["file"]).stat().st_size for file in data["files"])
    logged = [json.loads(line) for line in (tmp_path / "aml.log").read_text().splitlines()]
    assert [one["message"] for one in logged if one["event"] == "warning"] == envelope["warnings"]
    assert len(envelope["warnings"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--agent", "nobody"],
        ["--agent", "../alpha"],
        ["--age-days", "-1"],
        ["--age-days", "nan"],
        ["--age-days", "often"],
        ["extra"],
    ],
    ids=" ".join,
)
def test_2_usage(tmp_path: Path, words: list[str]) -> None:
    memory = old_store(tmp_path)
    assert aml(tmp_path, *COMPRESS, *words).status == 2
    assert packed(memory) == []


def test_3_and_11_locked_files(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    with agent_lock(memory / "alpha" / "patterns.json"):
        answer = aml(tmp_path, *COMPRESS, "--lock-timeout", "0.2")
        assert answer.status == 3
        assert "left alone: alpha/patterns.json" in answer.err
        assert "1 left alone" in answer.out
        answer = aml(tmp_path, *COMPRESS, "--lock-timeout", "0.2", "-q")
        assert answer.status == 11
        assert "--lock-timeout" in answer.err
    assert len(packed(memory)) == 6


def test_10_no_store_and_12_nothing_can_be_read(tmp_path: Path) -> None:
    assert aml(tmp_path, *COMPRESS).status == 10
    file = tmp_path / ".loom/memory/alpha/patterns.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"[{" * 40)
    aged(file, 40)
    assert aml(tmp_path, *COMPRESS).status == 12


def test_a_clock_in_doubt_stops_it_unless_no_age_is_judged(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    assert aml(tmp_path, *COMPRESS, "--agent", "alpha").status == 0
    back = NOW.timestamp() - 86_400
    answer = aml(tmp_path, *COMPRESS, now=back)
    assert answer.status == 1
    assert "--trust-clock" in answer.err
    assert "would refuse" in aml(tmp_path, *COMPRESS, "--dry-run", now=back).err
    assert packed(memory) == ["alpha/decisions.json", "alpha/patterns.json", "alpha/solutions.json"]
    assert aml(tmp_path, *COMPRESS, "--decompress", now=back).status == 0
    assert aml(tmp_path, *COMPRESS, "--trust-clock", now=back).status == 0
    assert len(packed(memory)) == 7


def test_on_a_terminal_a_table_is_drawn_and_nothing_is_asked(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    out, err = Terminal(), Terminal()
    streams = Streams(out, err, Terminal())
    status = run(COMPRESS, streams=streams, environment={}, clock=NOW.timestamp, folder=tmp_path)
    assert status == 0
    assert "solutions.json" in out.getvalue()
    assert len(packed(memory)) == 7


def test_130_a_signal_leaves_each_file_whole(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    before = texts(memory)
    child = subprocess.Popen(
        [sys.executable, "-m", "aml", *COMPRESS, "--age-days", "0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with agent_lock(memory / "beta" / "decisions.json"):
        deadline = time.monotonic() + 20
        while len(packed(memory)) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert texts(memory) == before
    assert not list(memory.rglob("*.lock"))
    again = aml_child(tmp_path, *COMPRESS, "--age-days", "0", "--trust-clock")
    assert (again.status, "died" in again.err) == (0, False)


def test_history_of_prunes_does_not_name_it(tmp_path: Path) -> None:
    old_store(tmp_path)
    aml(tmp_path, *COMPRESS)
    assert "no run has pruned" in aml(tmp_path, "prune", "history").out
    run_id = next((tmp_path / ".loom/memory.aml/runs").glob("*.json")).stem
    answer = aml(tmp_path, "prune", "undo", run_id)
    assert answer.status == 2
    assert "not a prune" in answer.err


def test_help_shows_an_example(tmp_path: Path) -> None:
    assert "aml optimize compress --dry-run" in aml(tmp_path, "optimize").out


def test_what_aml_itself_could_not_unpack_again_is_not_compressed(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1", note="x" * (2 << 20))]}})
    before = tree_digest(store)
    environment = {"AML_STORE_MAX_UNPACKED_MB": "1"}
    words = ("--store", str(store), "optimize", "compress", "--age-days", "0", "--json")
    answer = aml(tmp_path, *words, environment=environment)
    assert answer.status == 12
    (file,) = answer.envelope["data"]["files"]
    assert (file["fate"], "store.max_unpacked_mb" in file["problem"]) == ("left", True)
    assert tree_digest(store) == before
