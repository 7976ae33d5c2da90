"""The documentation says what the program does: generated pages are current, and what is shown as a command runs."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from aml.backup.keep import DEFAULT_RULES, Candidate, KeepRules, judge
from aml.config import (
    load_settings,
)
from aml.demo.sample import write_sample_store
from aml.ledger.budget import Limits, budget
from aml.ledger.runs import REMOVING
from aml.prune.plan_file import FORMAT, WHAT, Identity, PlanFile, PlannedFile, PlannedOptions, PlannedRemoval
from aml.prune.rules import RULES
from tests.cli.running import PROJECT, Answer
from tests.cli.running import aml as call
from tests.support.records import NOW
from tests.support.stores import gunzipped, record_spans

DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.rglob("*.md"))]
STORE = Path(".loom", "memory")
ARCHIVED_FROM = Path("backend-architect", "patterns")

_EARLIER = 3600.0
_DAYS_BEFORE = 4 * 86_400.0
_BLOCK = re.compile(r"<!-- runnable(?:: (?P<how>\w+))? -->\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
_STATUS = re.compile(r"#.*exit status (\d+)")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED = re.compile(r"```.*?```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block that is marked as runnable.

    ``how`` is shell or quarantine where it is for a shell as a whole, after a prune or after a garbage collection; gone
    where it is for a project whose store is gone.
    """

    page: Path
    language: str
    how: str | None
    text: str

    def __str__(self) -> str:
        first = self.text.splitlines()[0]
        return f"{self.page.relative_to(PROJECT)}: {first[:40]}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield Block(page, match["language"], match["how"], match["text"])


BLOCKS = list(blocks())
COMMANDS = [block for block in BLOCKS if block.language == "sh" and block.how in (None, "gone")]
SHELL = [block for block in BLOCKS if block.how == "shell"]
QUARANTINE = [block for block in BLOCKS if block.how == "quarantine"]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def aml(
    words: list[str], folder: Path, *, now: float | None = None, environment: dict[str, str] | None = None
) -> Answer:
    return call(folder, *words, now=now, environment=environment)


@pytest.fixture(scope="module")
def pruned_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample store: backed up some days ago, and one agent of it pruned an hour ago, with a backup before."""
    project = tmp_path_factory.mktemp("docs") / "project"
    write_sample_store(project / STORE, now=NOW)
    assert aml(["backup", "create"], project, now=NOW.timestamp() - _DAYS_BEFORE).status == 0
    words = ["prune", "--agent", ARCHIVED_FROM.parts[0]]
    assert aml(words, project, now=NOW.timestamp() - _EARLIER).status == 3
    return project


@pytest.fixture
def project(pruned_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pruned_project, tmp_path / "project"))


def filled(text: str, project: Path) -> str:
    """``text`` with RUN, ID replaced by the newest run that removed records and one of them, BACKUP by the oldest, and
    RECORD by the id of a record that is there."""
    if re.search(r"\bRECORD\b", text):
        found = aml(["query", "--agent", ARCHIVED_FROM.parts[0], "--limit", "1", "--ids"], project)
        text = re.sub(r"\bRECORD\b", found.out.strip(), text)
    if re.search(r"\bBACKUP\b", text):
        oldest = json.loads(aml(["backup", "list", "--json"], project).out)["data"]["backups"][0]["id"]
        text = re.sub(r"\bBACKUP\b", oldest, text)
    if not re.search(r"\b(RUN|ID)\b", text):
        return text
    runs = json.loads(aml(["prune", "history", "--json"], project).out)["data"]["runs"]
    newest = next(found for found in runs if found["operation"] in REMOVING and found["counts"]["removed"])
    ident = next(key[0] for file in newest["files"] for key in file["removed"])
    return re.sub(r"\bID\b", ident or "null", re.sub(r"\bRUN\b", newest["id"], text))


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_every_command_that_is_shown_ends_as_it_is_said_to(block: Block, project: Path) -> None:
    if block.how == "gone":
        shutil.rmtree(project / STORE)
    for line in block.text.splitlines():
        words = shlex.split(filled(line, project), comments=True)
        environment: dict[str, str] = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        assert words.pop(0) == "aml", f"{line} is not a command of aml"
        stated = _STATUS.search(line)
        answer = aml(words, project, environment=environment)
        assert answer.status == (int(stated[1]) if stated else 0), f"{line}\n{answer.out}\n{answer.err}"


def test_every_page_about_tasks_has_commands_that_are_run() -> None:
    assert {block.page.name for block in COMMANDS} >= {
        "README.md",
        "backup.md",
        "prune.md",
        "query.md",
        "settings.md",
        "optimize.md",
        "operations.md",
        "cli-output.md",
        "monitor.md",
    }
    for page in PAGES:
        commands = re.findall(r"```sh\n(?:[A-Z_]+=\S+ )*aml ", page.read_text(encoding="utf-8"))
        assert len(commands) == sum(block.page == page for block in COMMANDS), f"{page} shows commands that nobody runs"


def test_records_come_back_with_gunzip_and_jq_alone(project: Path) -> None:
    """The recipes in state.md: the text of one record, all as an array, and all back in their file."""
    if shutil.which("jq") is None:
        assert not os.environ.get("AML_REQUIRE_JQ"), "jq is required here"
        pytest.skip("jq is not installed")
    file = project / STORE / f"{ARCHIVED_FROM}.json"
    kept = record_spans(file)
    archive = next((project / f"{STORE}-backup" / "archives").glob(f"{ARCHIVED_FROM}-*.jsonl.gz"))
    archived = [json.loads(line) for line in gzip.decompress(archive.read_bytes()).splitlines()]
    removed = [record["text"].encode() for record in archived]
    assert len(SHELL) == 3
    for block in SHELL:
        shell(filled(block.text, project), project)
    assert (project / "one.json").read_bytes() == removed[0] + b"\n"
    assert record_spans(project / "removed.json") == removed
    assert record_spans(file) == kept + removed
    assert gunzipped(file.with_name("patterns.json.before").read_bytes())
    assert aml(["prune", "--dry-run", "--agent", ARCHIVED_FROM.parts[0]], project).err.count("left alone") == 0


def test_a_file_comes_back_from_quarantine_with_the_copy_that_is_shown(project: Path) -> None:
    """The recipe in state.md: the bytes are checked against the note beside them, and copied back."""
    if shutil.which("jq") is None or shutil.which("sha256sum") is None:
        assert not os.environ.get("AML_REQUIRE_JQ"), "jq is required here"
        pytest.skip("jq or sha256sum is not installed")
    (block,) = QUARANTINE
    found = re.search(r"cp -p (\S+)", block.text)
    assert found
    file = project / STORE / found[1]
    text = gunzipped(file.read_bytes())
    damaged = text.rstrip()[:-1] + b", null, "
    file.write_bytes(damaged)
    assert aml(["optimize", "gc", "--salvage"], project).status == 0
    assert file.read_bytes() != damaged
    shell(filled(block.text, project), project)
    assert file.read_bytes() == damaged


def shell(script: str, folder: Path) -> None:
    done = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    assert not done.stderr, done.stderr


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_the_python_that_is_shown_runs(block: Block, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/backup.md"])
def test_the_lines_for_cron_are_those_of_the_crontab(page: str) -> None:
    shown = re.search(r"```cron\n(.+?)\n```", (PROJECT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    lines = (PROJECT / "cron" / "aml.crontab").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown[1].splitlines() if line not in lines] == []


@pytest.mark.parametrize(
    ("mark", "command"),
    [("set up and run", "pip install . && aml demo"), ("set up and test", "pip install '.[test]' && pytest")],
)
def test_the_readme_names_the_two_commands(mark: str, command: str) -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- ci: {mark} -->\n```sh\n{command}\n```\n" in text


def test_the_plan_that_is_shown_has_every_field() -> None:
    text = (DOCS / "prune.md").read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    plan = msgspec.convert(shown, type=PlanFile)
    assert set(shown) == set(PlanFile.__struct_fields__)
    assert set(shown["store"]) == set(Identity.__struct_fields__)
    assert set(shown["options"]) == set(PlannedOptions.__struct_fields__)
    assert set(shown["files"][0]) == set(PlannedFile.__struct_fields__)
    assert set(shown["files"][0]["removals"][0]) == set(PlannedRemoval.__struct_fields__)
    assert (plan.what, plan.format) == (WHAT, FORMAT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_settings_that_are_shown_are_allowed(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, encoding="utf-8")
        assert load_settings(file, {}, required=True).origins


def test_generated_pages_are_up_to_date() -> None:
    done = check_generated(DOCS)
    assert done.returncode == 0, done.stderr


def test_generated_pages_that_were_edited_are_noticed(tmp_path: Path) -> None:
    docs = Path(shutil.copytree(DOCS, tmp_path / "docs"))
    for page in ("cli.md", "settings.md"):
        text = (docs / page).read_text(encoding="utf-8")
        (docs / page).write_text(re.sub(r"\| `", "| edited `", text, count=1), encoding="utf-8")
    done = check_generated(docs)
    assert done.returncode == 1
    assert "cli.md, settings.md" in done.stderr


def check_generated(docs: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    words = [sys.executable, str(docs / "generate_cli.py"), "--check"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{page}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The names under which headings can be reached, as the usual renderers make them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target, _ in _LINK.findall(page.read_text(encoding="utf-8")):
            if not target:
                continue  # an anchor in the same page
            path = (page.parent / target).resolve()
            found = sorted(path.glob("*.md")) if path.is_dir() else [path] if path.suffix == ".md" else []
            waiting += [one for one in found if one not in reached and one not in waiting]
    assert reached >= set(PAGES)


@pytest.mark.parametrize("operation", ["backup", "prune"])
def test_a_hook_is_told_exactly_what_is_described(operation: str, project: Path) -> None:
    told = project / "told"
    hook = shlex.join(["sh", "-c", f"env | grep ^AML_HOOK_ > {shlex.quote(str(told))}"])
    words = ["backup", "create"] if operation == "backup" else ["prune", "--yes"]
    variable = {"backup": "AML_HOOKS_AFTER_BACKUP", "prune": "AML_HOOKS_AFTER_PARTIAL_PRUNE"}[operation]
    assert aml(words, project, environment={variable: hook}).status in (0, 3)
    names = {line.partition("=")[0] for line in told.read_text(encoding="utf-8").splitlines()}
    table = (DOCS / "backup.md").read_text(encoding="utf-8").partition("| variable | in hooks of |")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\w+)", table.partition("\n\n")[0], re.MULTILINE)
    assert names == {name for name, of in rows if of in ("both", operation)}


def test_the_worked_example_of_the_keep_rules_is_right() -> None:
    text = (DOCS / "backup.md").read_text(encoding="utf-8").partition("| backup of |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert len(rows) >= 8
    made = [datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC).timestamp() for day, *_ in rows]
    candidates = [Candidate(str(one), one, int(one), None, True, ()) for one in made]
    now = datetime(2026, 11, 21, 18, tzinfo=UTC).timestamp()
    for column, rules in ((1, DEFAULT_RULES), (2, KeepRules(last=1, daily=3, monthly=3))):
        verdicts = judge(candidates, rules, now)
        said = ["; ".join(one.reasons) if one.keep else "goes" for one in verdicts]
        assert [row[column] for row in rows] == said


def test_the_figures_of_each_rule_are_those_that_are_described(project: Path) -> None:
    table = dict(_figures_described())
    records = json.loads(aml(["prune", "--dry-run", "--json", "--max-loss", "100%"], project).out)["data"]["records"]
    seen = {record["rule"]: set(record["figures"]) for record in records}
    assert set(seen) == {rule.name for rule in RULES}, "the sample store has a record for each rule"
    assert {rule: table[rule] for rule in seen} == seen


def _figures_described() -> Iterator[tuple[str, set[str]]]:
    text = (DOCS / "cli-output.md").read_text(encoding="utf-8").partition("| rule | figures |")[2]
    for rules, figures in re.findall(r"^\| (.*?) \| (.*?) \|$", text.partition("\n\n")[0], re.MULTILINE):
        for rule in re.findall(r"`(\w+)`", rules):
            yield rule, set(re.findall(r"`(\w+)`", figures))


def test_the_worked_examples_of_the_loss_budget_are_right() -> None:
    text = (DOCS / "prune.md").read_text(encoding="utf-8").partition("| the agent has |")[2].partition("\n\n")[0]
    examples = re.findall(r"^\| (\d+)\D*? \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    assert len(examples) >= 8
    for live, lost, allowed in examples:
        assert budget(int(live), int(lost), allowance_used=False, limits=Limits()).limit == int(allowed), (live, lost)
