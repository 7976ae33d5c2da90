"""Real answers fit the JSON Schemas in docs/schemas, and hold nothing that these do not know."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command

from aml.cli.groups import LazyGroup
from aml.cli.main import app
from aml.demo.sample import spoil, write_sample_store
from tests.cli.running import PROJECT, Answer, aml
from tests.support.records import NOW

DOCS = PROJECT / "docs"
SCHEMAS = DOCS / "schemas"
STORE = Path(".loom", "memory")
AGENT = "backend-architect"
DAY = 86_400.0

#: Command lines whose answers have data; RUN, ID, RECORD stand for what the store has. Every command has one here.
ANSWERED = [
    "prune --dry-run",
    "prune --dry-run --strategy space --strategy time",
    "prune --max-loss 100% -v",
    "prune --plan plan.json",
    "prune explain RECORD",
    "prune explain RECORD --strategy space --strategy time --strategy performance",
    "prune explain ID",
    "prune history",
    "prune undo RUN --dry-run",
    "prune undo RUN",
    "backup create --tag nightly --description x",
    "backup create --agent backend-architect --full",
    "backup list",
    "backup show",
    "backup diff",
    "backup verify",
    "backup verify --quick",
    "backup restore latest --dry-run",
    "backup restore latest --target elsewhere",
    "backup restore latest",
    "backup rotate --keep-last 1 --dry-run",
    "backup rotate --keep-last 1",
    "backup drill",
    "backup auto",
    "query --text cache",
    "query --limit 0",
    "show RECORD",
    "optimize gc --dry-run",
    "optimize gc --salvage",
    "optimize compress --age-days 0",
    "optimize compress --age-days 0 --decompress --dry-run",
    "optimize index --rebuild",
    "optimize warm-cache",
    "optimize all",
    "migrate detect",
    "migrate plan",
    "migrate up --skip-bad",
    "migrate up --skip-bad --to 2.0.0 --dry-run",
    "migrate down --skip-bad --to 1.0.0",
    "migrate migrate --version 1.1.0 --dry-run",
    "migrate history",
    "monitor health",
    "monitor health --no-record --checks integrity,caps",
    "monitor metrics",
    "monitor metrics --no-record",
    "monitor report",
    "monitor report --no-record --html report.html",
    "monitor alerts",
    "monitor alerts list --all",
    "monitor alerts history",
    "monitor alerts show ALERT",
    "monitor alerts ack ALERT --note seen",
    "monitor alerts resolve ALERT",
    "monitor alerts test",
    "config show",
    "config path",
    "config init --print",
    "config init",
    "config init --schedule cron --print",
    "config init --schedule systemd",
]
#: A webhook that no answer comes from.
NOBODY_LISTENS = {
    "AML_WEBHOOK_URL": "http://127.0.0.1:9/",
    "AML_WEBHOOK_SECRET": "a secret of some length",
    "AML_WEBHOOK_RETRIES": "0",
}

#: Takes seconds.
LONG = ["demo"]

FAILED = [
    "prune --nonsense",
    "prune undo nonsense",
    "prune explain nonsense",
    "prune --store missing",
    "backup show nonsense",
    "backup restore",
    "query --agent nonsense",
    "show nonsense",
    "optimize compress --agent nonsense",
    "migrate up",
    "migrate up --to nonsense",
    "config init --schedule nonsense",
    "config show --config missing.toml",
]


def validator(name: str, *, strict: bool = True) -> Draft202012Validator:
    """A schema; a strict one refuses every field that it does not know."""
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    if strict:
        for part in (schema, *schema["$defs"].values()):
            if "properties" in part:
                part["additionalProperties"] = False
    return Draft202012Validator(schema)


def schema_of(command: str) -> str:
    return f"{command.replace(' ', '-')}.json"


def complaints(name: str, document: Any) -> list[str]:
    """What is wrong with a document, each with its place; the deepest causes, since an alternative names none."""
    found = []
    waiting = list(validator(name).iter_errors(document))
    while waiting:
        error = waiting.pop()
        waiting += error.context or ()
        if not error.context:
            found.append(f"{error.json_path}: {error.message[:200]}")
    return found


@pytest.fixture(scope="module")
def used_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample store with what it has of rubbish, backed up, pruned and then spoilt."""
    project = tmp_path_factory.mktemp("schemas") / "project"
    write_sample_store(project / STORE, now=NOW)
    for moment, words in ((4 * DAY, "backup create"), (DAY, f"prune --agent {AGENT}"), (3600, "backup auto")):
        assert aml(project, *words.split(), now=NOW.timestamp() - moment).status in (0, 3)
    spoil(project / STORE)
    assert aml(project, "monitor", "health").status == 5
    (project / STORE / AGENT / "solutions.json.tmp").write_bytes(b"[")
    return project


@pytest.fixture
def project(used_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(used_project, tmp_path / "project", symlinks=True))


def asked(project: Path, line: str) -> Answer:
    """The answer to a command line, with what the store has for the words in capitals."""
    if "RECORD" in line:
        line = line.replace("RECORD", aml(project, "query", "--agent", AGENT, "--limit", "1", "--ids").out.strip())
    if "ALERT" in line:
        line = line.replace(
            "ALERT", json.loads(aml(project, "monitor", "alerts", "--json").out)["data"]["alerts"][0]["id"]
        )
    if re.search(r"\b(RUN|ID)\b", line):
        run = json.loads(aml(project, "prune", "history", "--json").out)["data"]["runs"][0]
        ident = next(key[0] for file in run["files"] for key in file["removed"] if key[0])
        line = re.sub(r"\bID\b", ident, re.sub(r"\bRUN\b", run["id"], line))
    return aml(project, *line.split(), "--json", environment=NOBODY_LISTENS)


@pytest.mark.parametrize("line", [*ANSWERED, *(pytest.param(line, marks=pytest.mark.slow) for line in LONG)])
def test_an_answer_fits_the_schema_of_its_command(project: Path, line: str) -> None:
    answer = asked(project, line)
    envelope = answer.envelope
    assert envelope["data"] is not None, envelope["errors"]
    assert complaints(schema_of(envelope["command"]), envelope) == []


@pytest.mark.parametrize("line", FAILED)
def test_an_answer_without_data_fits_the_schema_too(project: Path, line: str) -> None:
    envelope = asked(project, line).envelope
    assert envelope["errors"]
    assert complaints(schema_of(envelope["command"]), envelope) == []
    assert complaints("error.json", envelope) == []


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["backup"], []])
def test_words_that_are_no_command_have_a_schema(project: Path, words: list[str]) -> None:
    assert complaints("error.json", aml(project, *words, "--json").envelope) == []


def test_documents_that_stand_alone_have_schemas(project: Path) -> None:
    for line in aml(project, "query", "--text", "cache", "--jsonl").out.splitlines():
        assert complaints("query-line.json", json.loads(line)) == []
    aml(project, "prune", "--plan", "plan.json", "--strategy", "time")
    assert complaints("prune-plan.json", json.loads((project / "plan.json").read_bytes())) == []
    for line in ("prune", "optimize all", "backup auto", "backup verify", "prune undo nonsense", "nonsense"):
        aml(project, *line.split(), "--log-json", "aml.log")
    lines = (project / "aml.log").read_bytes().splitlines()
    assert {json.loads(line)["event"] for line in lines} >= {"started", "file", "backup", "part", "error", "ended"}
    for one in lines:
        assert complaints("log-event.json", json.loads(one)) == []


def test_a_schema_refuses_what_is_not_so(project: Path) -> None:
    good = asked(project, "prune --dry-run").envelope
    assert validator("prune.json", strict=False).is_valid(good | {"new": 1}), "new fields may come at any time"
    for harm in (
        lambda one: one.pop("warnings"),
        lambda one: one["data"].pop("run"),
        lambda one: one["data"]["files"][0].update(removed="1"),
        lambda one: one.update(exit=77),
        lambda one: one.update(data=None),
        lambda one: one.update(errors=[{"type": "x", "message": "y", "advice": ""}]),
        lambda one: one.update(command="backup create"),
    ):
        bad = deepcopy(good)
        harm(bad)
        assert not validator("prune.json", strict=False).is_valid(bad)


def test_every_command_has_a_schema_and_an_answer_that_is_tried() -> None:
    commands = set(_commands("", get_command(app))) - {"monitor watch"}  # a view, and no answer
    answers = _generator().ANSWERS
    assert set(answers) == commands
    tried = {
        next(name for name in sorted(commands, reverse=True) if line.startswith(name)) for line in (*ANSWERED, *LONG)
    }
    assert tried == commands


def _commands(path: str, command: Any) -> Iterator[str]:
    """The words of every command that does something itself."""
    children = getattr(command, "commands", {})
    if path and (not children or command.invoke_without_command):
        yield path
    for name, child in children.items():
        found = command.loaded(name) if isinstance(command, LazyGroup) else child
        yield from _commands(f"{path} {name}".strip(), found)


def _generator() -> Any:
    """docs/generate_schemas.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_schemas", DOCS / "generate_schemas.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check(docs: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(docs / "generate_schemas.py"), "--check"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)


def test_the_schemas_are_up_to_date() -> None:
    done = _check(DOCS)
    assert done.returncode == 0, done.stderr


def test_a_schema_that_was_edited_or_left_over_is_noticed(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(SCHEMAS, docs / "schemas")
    shutil.copy(DOCS / "generate_schemas.py", docs)
    edited = docs / "schemas/prune.json"
    edited.write_text(edited.read_text(encoding="utf-8").replace("integer", "number"), encoding="utf-8")
    (docs / "schemas/gone.json").write_text("{}", encoding="utf-8")
    done = _check(docs)
    assert done.returncode == 1
    assert "gone.json, prune.json" in done.stderr
