"""JSON answers: one document in one envelope, for errors as well."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, aml_child, old, small_store
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import make_store, write_array

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KEYS = ["schema", "command", "status", "exit", "data", "warnings", "errors"]


@pytest.mark.parametrize(
    ("words", "command", "status"),
    [
        (["prune", "--dry-run"], "prune", 0),
        (["prune"], "prune", 0),
        (["prune", "history"], "prune history", 0),
        (["backup", "create"], "backup create", 0),
        (["backup", "list"], "backup list", 0),
        (["backup", "show"], "backup show", 0),
        (["backup", "diff"], "backup diff", 0),
        (["backup", "verify"], "backup verify", 0),
        (["backup", "restore", "latest"], "backup restore", 0),
        (["backup", "rotate"], "backup rotate", 0),
        (["backup", "drill"], "backup drill", 0),
        (["backup", "auto"], "backup auto", 0),
        (["backup", "restore"], "backup restore", 2),
        (["backup", "show", "x"], "backup show", 1),
        (["backup"], "backup", 2),
        (["config", "show"], "config show", 0),
        (["config", "path"], "config path", 0),
        (["config", "init", "--print"], "config init", 0),
        (["prune", "--agent", "x"], "prune", 2),
        (["prune", "--nonsense"], "prune", 2),
        (["prune", "undo", "x"], "prune undo", 1),
        (["prune", "undo"], "prune undo", 2),
        (["nonsense"], "aml", 2),
        (["prune", "--store", "missing"], "prune", 10),
        (["prune", "--config", "missing.toml"], "prune", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("json_first", [False, True])
def test_every_answer_is_one_envelope(
    tmp_path: Path, words: list[str], command: str, status: int, json_first: bool
) -> None:
    project = small_store(tmp_path)
    if words[0] == "backup":
        aml(project, "backup", "create")
    answer = aml(project, *(["--json", *words] if json_first else [*words, "--json"]))
    envelope = answer.envelope
    assert list(envelope) == KEYS
    assert (envelope["schema"], envelope["command"], envelope["exit"], answer.status) == (1, command, status, status)
    assert envelope["status"] == {0: "done", 1: "failed", 2: "usage", 10: "no_store"}[status]
    assert (envelope["data"] is None) == bool(envelope["errors"]) == (status != 0)
    assert answer.err == "", "nothing but JSON"
    for error in envelope["errors"]:
        assert list(error) == ["type", "message", "advice"]
        assert error["message"]


def test_warnings_are_in_the_envelope(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    aml(project, "prune", "--max-loss", "0%")
    answer = aml(project, "prune", "--dry-run", "--json", now=4_000_000_000)
    assert "--trust-clock" in answer.envelope["warnings"][0]
    refused = aml(project, "prune", "--json", now=4_000_000_000)
    assert (refused.status, refused.envelope["errors"][0]["type"]) == (1, "ClockError")


def test_a_partial_answer_has_its_data(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [old(str(number)) for number in range(100)]}})
    answer = aml(tmp_path, "prune", "--json")
    assert (answer.status, answer.envelope["status"], answer.envelope["exit"]) == (3, "partial", 3)
    assert answer.envelope["data"]["files"][0]["deferred"] == 70


def _store_of_everything(tmp_path: Path) -> None:
    never = {"wouldRepeat": False}
    patterns = [
        pattern(id="unused", created_days=200, unused_days=100),
        pattern(id="failed", success=0.25, executions=4, created_days=40),
        pattern(id="best", success=1.0, confidence=1.0, executions=9999, unused_days=91, created_days=200),
        pattern(id="used", created_days=50),
        None,
        pattern(id="half \ud83d", created_days=200, unused_days=100, success=0.9),
        pattern(id="\x1b[31m[bold]", created_days=200, unused_days=100, success=0.8),
    ]
    agents = {
        "alpha": {
            "patterns": patterns,
            "solutions": [solution(id="no", worked=False), solution(id="yes")],
            "decisions": [decision(id="never", outcome=never), decision(id="old", created_days=181)],
        },
        "beta": {"patterns": [pattern(id="unused", agent="beta", created_days=200, unused_days=100)]},
    }
    memory = make_store(tmp_path, agents)
    (memory / "beta/solutions.json").write_bytes(b'[{"id": 1},')


#: What differs from one machine or moment to the next: ids of backups, and sizes in the repository.
_BACKUP = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_STORED = re.compile(r'"((?:added|stored|freed)_bytes)": \d+')


def _compare_with_golden(project: Path, answer: Answer, name: str) -> None:
    """A golden file is an interface; after a deliberate change write it anew with AML_TEST_WRITE_GOLDEN=1."""
    numbers: dict[str, str] = {}
    text = answer.out.replace(str(project), "PROJECT")
    text = _BACKUP.sub(lambda found: numbers.setdefault(found[0], f"BACKUP-{len(numbers) + 1}"), text)
    text = _STORED.sub(r'"\1": 1000', text)
    golden = GOLDEN / name
    if os.environ.get("AML_TEST_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_the_json_of_a_dry_run_is_as_documented(tmp_path: Path) -> None:
    _store_of_everything(tmp_path)
    answer = aml(tmp_path, "prune", "--dry-run", "--json")
    _compare_with_golden(tmp_path, answer, "prune-dry-run.json")
    assert answer.status == 0


def _backed_up(tmp_path: Path) -> None:
    """A backup of the store of everything; then files of it are changed, added, removed, and replaced by a link."""
    _store_of_everything(tmp_path)
    memory = tmp_path / ".loom/memory"
    (memory / "global").mkdir()
    (memory / "global/conventions.json").write_bytes(b"{}")
    aml(tmp_path, "backup", "create", "--tag", "first")
    write_array(memory / "alpha/patterns.json", [pattern(id="used", created_days=50)])
    write_array(memory / "gamma/decisions.json", [decision(id="new")])
    (memory / "alpha/solutions.json").unlink()
    (memory / "global/conventions.json").unlink()
    (memory / "global/conventions.json").symlink_to("elsewhere")


def test_the_json_of_a_backup_is_as_documented(tmp_path: Path) -> None:
    _backed_up(tmp_path)
    words = ["backup", "create", "--tag", "nightly", "--description", "before \x1b[31mit\x1b[0m", "--json"]
    answer = aml(tmp_path, *words, now=NOW.timestamp() + 60)
    _compare_with_golden(tmp_path, answer, "backup-create.json")
    assert answer.status == 0


def test_the_json_of_a_restore_is_as_documented(tmp_path: Path) -> None:
    _backed_up(tmp_path)
    answer = aml(tmp_path, "backup", "restore", "latest", "--dry-run", "--json", now=NOW.timestamp() + 60)
    _compare_with_golden(tmp_path, answer, "backup-restore-dry-run.json")
    assert answer.status == 0


def test_the_json_of_a_rotation_is_as_documented(tmp_path: Path) -> None:
    _backed_up(tmp_path)
    aml(tmp_path, "prune", "--max-loss", "100%")
    for day, words in ((1, []), (2, ["--agent", "beta"]), (3, [])):
        aml(tmp_path, "backup", "create", *words, now=NOW.timestamp() + day * 86_400)
    words = ["backup", "rotate", "--keep-last", "1", "--keep-tag", "first", "--dry-run", "--json"]
    answer = aml(tmp_path, *words, now=NOW.timestamp() + 4 * 86_400)
    _compare_with_golden(tmp_path, answer, "backup-rotate-dry-run.json")
    assert answer.status == 0


@pytest.mark.parametrize("name", [b"\xff", b"\xed\xa0\x80", "é".encode("latin-1")])
def test_names_that_are_not_utf8_can_be_told(tmp_path: Path, name: bytes) -> None:
    project = small_store(tmp_path)
    os.mkdir(os.fsencode(project / ".loom/memory") + b"/" + name)
    for words in (["prune", "--dry-run", "--json"], ["prune", "--json", "--agent", name], ["prune", "--json"]):
        answer = aml_child(project, *words)
        assert list(answer.envelope) == KEYS
        assert "Traceback" not in answer.err
    assert json.loads(aml_child(project, "prune", "history", "--json").out)["data"]["runs"]
