"""Command lines in the documentation that are not run as they stand: their words exist, and whole ones are run too."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from aml.cli.main import app
from aml.demo.sample import write_sample_store
from tests.cli.running import PROJECT, aml
from tests.cli.test_status_table import GENERATOR
from tests.support.records import NOW

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
JOBS = [*sorted((PROJECT / "cron").rglob("*.service")), PROJECT / "cron" / "aml.crontab"]
ROOT = get_command(app)
TREE: dict[str, Any] = {"aml": ROOT} | dict(GENERATOR.commands())

_RUN_AS_IT_STANDS = re.compile(r"<!-- (?:runnable|session).*? -->\n```\w+\n.*?```", re.DOTALL)
_FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_CALL = re.compile(r"(?:^|(?<=[\s(]))(?:/usr/local/bin/)?aml (?!aml )(.+)", re.MULTILINE)
_BEFORE = re.compile(r"\$ |(?:[*/\d]+ +){5}|docker .*? aml (?=aml )")
_WHOLE = re.compile(r"(?:^|.*&& )(?:/usr/local/bin/)?(aml (?:--|[a-z]+ [a-z-]).*?)(?: +(?:>|\||#).*|$)")

#: Words that stand for any command.
_ANY = ("PATH", "COMMAND", "...")

#: Whole commands in blocks that cannot be run as they stand, and how they end on the sample.
RUN: dict[str, int] = {
    "aml --version": 0,
    "aml --store /project/.loom/memory backup auto": 0,
    "aml --store /project/.loom/memory backup auto -q": 0,
    "aml --store /project/.loom/memory prune -q": 3,
    "aml --store /new/project/.loom/memory --repository /mnt/copy/project backup restore latest": 0,
    "aml --store /project/.loom/memory monitor metrics --format prometheus --output "
    "/var/lib/node_exporter/aml.prom -q": 3,
    "aml --store /project/.loom/memory monitor report": 0,
    "aml monitor report --no-record --format markdown": 0,
    "aml monitor health --no-record --skip backup,verification,drill --fail-on warning": 5,
    "aml monitor alerts show ID": 0,
    'aml monitor alerts ack ID --note "disk ordered"': 0,
    "aml monitor alerts resolve ID": 0,
    "aml prune --dry-run --json": 0,
    "aml backup verify --repository /mnt/backup/project --sample 10%": 0,
}
#: What is not run, and why.
NOT_RUN = {
    "aml monitor alerts test": "it needs a receiver; tests/contract/test_webhook.py has one",
    "aml --store ... backup auto -q": "it is shortened",
    "aml optimize gc --salvage --dry-run tells which": "a message",
}


def whole_commands() -> Iterator[str]:
    """Lines in blocks that are a command from ``aml`` to their end, without what stands around it."""
    for page in PAGES:
        if page.name == "cli.md":  # its examples are checked word by word
            continue
        for language, block in _FENCE.findall(_RUN_AS_IT_STANDS.sub("", page.read_text(encoding="utf-8"))):
            if language in ("text", "cron"):
                for line in block.replace("\\\n", "").splitlines():
                    found = _WHOLE.fullmatch(_BEFORE.sub("", line, count=1))
                    if found:
                        yield found[1]


def test_every_whole_command_is_run_or_it_is_said_why_not() -> None:
    assert set(whole_commands()) == {*RUN, *NOT_RUN}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the paths of the documentation lie: the sample store, backed up, with an alert."""
    world = tmp_path_factory.mktemp("world")
    project = world / "project"
    write_sample_store(project / ".loom/memory", now=NOW)
    for folder in ("new/project/.loom/memory", "mnt/copy", "mnt/backup", "var/lib/node_exporter"):
        (world / folder).mkdir(parents=True)
    assert aml(project, "backup", "create").status == 0
    assert aml(project, "monitor", "health", "--checks", "integrity").status == 5
    for copy in ("mnt/copy/project", "mnt/backup/project"):
        shutil.copytree(project / ".loom/memory-backup", world / copy)
    return world


@pytest.mark.parametrize("line", RUN)
def test_a_whole_command_ends_as_it_should(line: str, world: Path) -> None:
    words = [f"{world}{word}" if word.startswith("/") else word for word in shlex.split(line)[1:]]
    if "ID" in words:
        alerts = json.loads(aml(world / "project", "monitor", "alerts", "list", "--all", "--json").out)
        words[words.index("ID")] = alerts["data"]["alerts"][0]["id"]
    answer = aml(world / "project", *words)
    assert answer.status == RUN[line], f"{answer.out}\n{answer.err}"
    if words[-1] == "-q" and answer.status == 0:
        assert (answer.out, answer.err) == ("", ""), "cron would send a mail"


def mentions() -> Iterator[tuple[Path, str]]:
    """Everything that follows the word ``aml`` in code, whether a whole command or not."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for _, block in _FENCE.findall(text):
            for line in block.splitlines():
                yield from ((page, call) for call in _CALL.findall(re.sub(r"^[*/\d]+ .*?(?=/usr|aml )", "", line)))
        for code in _INLINE.findall(_FENCE.sub("", text)):
            yield from ((page, call) for call in _CALL.findall(" ".join(code.split())))
    for job in JOBS:
        yield from ((job, call) for call in _CALL.findall(job.read_text(encoding="utf-8")))


def complaint(call: str) -> str | None:
    """What of the words after ``aml`` does not exist. Words in a sentence end where a second blank or a mark is."""
    words = re.split(r"\s{2,}|[;,:)](?:\s|$)|\s[#>|]", call)[0].split()
    path, waiting = "aml", False
    for word in words:
        name = word.partition("=")[0].rstrip(".,;:)'\"")
        command = TREE[path]
        if waiting:
            waiting = False
        elif name == "--help":
            return None
        elif name.startswith("-") and len(name) > 1:
            option = options(command).get(name) or options(ROOT).get(name)
            if option is None:
                return f"{path} has no {name}"
            waiting = not option.is_flag
        elif f"{path} {name}" in TREE:
            path = f"{path} {name}"
        elif path == "aml" and name.islower() and re.fullmatch("[a-z]+", name):
            return f"there is no command {name}"
    return None


def options(command: Any) -> dict[str, Any]:
    return {spelling: one for one in command.params for spelling in (*one.opts, *one.secondary_opts, "-h", "--help")}


def test_every_command_and_option_that_is_mentioned_exists() -> None:
    found = list(mentions())
    assert len(found) > 400
    wrong = {f"{page.name}: aml {call}: {told}" for page, call in found if (told := complaint(call)) is not None}
    assert wrong == set()


@pytest.mark.parametrize(
    "call", ["prun --dry-run", "prune --dry", "backup create --tags x", "monitor alerts --nothing"]
)
def test_a_misspelt_mention_is_noticed(call: str) -> None:
    assert complaint(call)


def test_every_option_and_argument_is_in_the_reference() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path, command in TREE.items():
        section = text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        assert section, path
        for param in command.params:
            for spelling in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
                known = f"`{spelling}`" in section or (path != "aml" and spelling.endswith("-completion"))
                assert known, f"{path} {spelling}"
            if param.param_type_name == "argument":
                assert f"`{param.metavar or param.name.upper()}`" in section, f"{path} {param.name}"


def test_every_command_is_in_the_changelog() -> None:
    text = " ".join((PROJECT / "docs" / "changelog.md").read_text(encoding="utf-8").split())
    groups = {"aml monitor alerts"}
    for path, command in TREE.items():
        if path == "aml" or command.hidden or not (GENERATOR.can_run(command) or path in groups):
            continue
        words = path.split()
        named = f"`{path}" in text or (f"`{' '.join(words[:2])} " in text and f"`{words[-1]}`" in text)
        assert named, f"the changelog has no {path}"


@pytest.mark.parametrize("program", ["restic", "borg"])
def test_commands_of_other_programs_are_theirs(program: str) -> None:
    if shutil.which(program) is None:
        assert not os.environ.get(f"AML_REQUIRE_{program.upper()}"), f"{program} is required here"
        pytest.skip(f"{program} is not installed")
    text = (PROJECT / "docs" / "coming-from.md").read_text(encoding="utf-8")
    # later versions have another name for it, and list this one no more
    named = set(re.findall(rf"`{program} ([a-z-]+)", text)) - {"rebuild-index", "repair"}
    told = subprocess.run([program, "help"], capture_output=True, text=True, timeout=60).stdout
    assert len(named) > 8
    assert [name for name in sorted(named) if not re.search(rf"^ +{name}\s", told, re.MULTILINE)] == []
