"""The words of the command line: global options anywhere, help everywhere, and every wrong usage explained."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PROJECT, aml, aml_child, small_store
from tests.support.stores import tree_digest

COMMANDS = [
    [],
    ["prune"],
    ["prune", "history"],
    ["prune", "undo"],
    ["config"],
    ["config", "show"],
    ["config", "path"],
    ["config", "init"],
    ["demo"],
    ["backup"],
    ["backup", "create"],
    ["backup", "list"],
    ["backup", "show"],
    ["backup", "diff"],
    ["backup", "verify"],
    ["backup", "restore"],
    ["backup", "rotate"],
    ["backup", "drill"],
    ["backup", "auto"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does_and_gives_examples(tmp_path: Path, command: list[str]) -> None:
    answer = aml(tmp_path, *command, "--help")
    assert answer.status == 0, "help needs no store"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_as_a_user_sees_it(tmp_path: Path, command: list[str]) -> None:
    answer = aml_child(tmp_path, *command, "--help")
    assert answer.status == 0
    assert answer.out.startswith("Usage: aml")
    assert answer.err == ""
    if command:
        assert "Example" in answer.out
        assert f"  aml {' '.join(command)}" in answer.out


@pytest.mark.parametrize("command", [[], ["prune"], ["backup", "restore"], ["monitor", "health"]], ids=" ".join)
def test_help_is_a_word_too(tmp_path: Path, command: list[str]) -> None:
    assert aml_child(tmp_path, "help", *command) == aml_child(tmp_path, *command, "--help")


def test_global_options_stand_before_or_after_the_command(tmp_path: Path) -> None:
    memory = str(small_store(tmp_path) / ".loom/memory")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    expected = aml(elsewhere, "--store", memory, "--json", "prune", "--dry-run")
    assert expected.status == 0
    for words in (
        ["prune", "--dry-run", "--store", memory, "--json"],
        ["prune", "--json", "--dry-run", f"--store={memory}"],
        ["--json", memory, "prune", "--dry-run"],
        [memory, "prune", "--dry-run", "--json"],
        ["--json", "prune", "--store", memory, "--dry-run"],
    ):
        assert aml(elsewhere, *words) == expected
    assert aml(elsewhere, "prune", "--dry-run", "--json", environment={"AML_STORE": memory}) == expected


def test_a_command_word_wins_over_a_folder_of_that_name(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / "prune").mkdir()
    assert aml(project, "prune", "history").status == 0


def test_the_store_is_found_upwards(tmp_path: Path) -> None:
    deep = small_store(tmp_path) / "src/deep"
    deep.mkdir(parents=True)
    assert "1 of 5" in aml(deep, "prune", "--dry-run").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune", "--agent", "alfa"], ["'alfa'", "did you mean alpha", "known: alpha"]),
        (["prune", "--strategy", "tame"], ["'tame'", "did you mean time", "known: time, performance"]),
        (["prune", "--strategies", "time_based", "pace_based"], ["pace", "known: time, performance, space"]),
        (["prune", "--max-loss", "150%"], ["150%", "30%"]),
        (["prune", "--dryrun"], ["--dryrun", "--dry-run"]),
        (["prune", "--agent"], ["--agent"]),
        (["prun"], ["prun", "prune"]),
        (["prune", "hist"], ["hist"]),
        (["restore", "latest"], ["restore", "aml backup restore"]),
        (["history"], ["aml prune history or aml migrate history"]),
        (["prune", "undo", ""], ["empty"]),
        (["prune", "--lock-timeout", "soon"], ["soon"]),
        (["backup", "creat"], ["creat", "create"]),
        (["backup", "create", "--agent", "alfa"], ["'alfa'", "did you mean alpha", "known: alpha"]),
        (["backup", "create", "--full", "--incremental"], ["--full", "--incremental"]),
        (["backup", "restore"], ["latest", "--at"]),
        (["backup", "restore", "latest", "--at", "3d"], ["--at", "latest"]),
        (["backup", "restore", "--at", "soon"], ["'soon'", "ISO 8601", "3d"]),
        (["backup", "verify", "--sample", "some"], ["some", "10%"]),
        (["backup", "rotate", "--keep-within", "a month"], ["a month", "30d"]),
        (["backup", "rotate", "--keepdaily", "3"], ["--keepdaily", "--keep-daily"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_words_are_named_with_the_way_out(tmp_path: Path, words: list[str], said: list[str]) -> None:
    answer = aml(small_store(tmp_path), *words)
    assert answer.status == 2
    assert answer.out == ""
    for part in said:
        assert part in answer.err


@pytest.mark.parametrize(
    ("words", "advised"),
    [
        (["backup", "verify"], "backup create"),
        (["prune", "--apply", "x.json"], "prune --plan x.json"),
        (["prune", "explain", "x"], "prune --dry-run --verbose"),
    ],
    ids=["backup verify", "prune --apply", "prune explain"],
)
def test_advised_commands_work_as_they_stand(tmp_path: Path, words: list[str], advised: str) -> None:
    project = small_store(tmp_path / "my project")
    (tmp_path / "settings.toml").touch()
    given = ["--store", f"{project}/.loom/memory", "--repository", "./kept", "--config", "settings.toml"]
    aml(tmp_path, *given, "prune", "--no-backup", "-q")
    told = aml(tmp_path, *given, *words).err.replace("FILE", "x.json")
    assert f"aml --store '{project}/.loom/memory' --repository ./kept --config settings.toml {advised}" in told
    assert aml(tmp_path, *given, *advised.split()).status == 0


@pytest.mark.parametrize("words", [["prune", "--dryrun"], ["prun"], ["--store", "nowhere", "prune"]], ids=" ".join)
def test_advice_that_needs_no_store_names_none(tmp_path: Path, words: list[str]) -> None:
    told = aml(tmp_path, *words, *([] if "--store" in words else ["--store", "nowhere"])).err
    assert "aml --store" not in told


_WORDS = """
prune history undo config show path init demo --dry-run --json -q -v --agent --strategy --strategies alpha time
--max-loss 30% --store --repository --config --yes -- - --help --version --no-color --lock-timeout 0 -1 --id x
--limit --print --nonsense --agent= --store= =x --trust-clock --aggressive nan é [bold]x[/bold] ../../secret
backup backup backup create list show diff verify restore rotate drill auto latest --at 3d --full --tag --path --sample
--quick --all --keep-last --keep-within --max-backups --keep-extra --skip-damaged --no-backup
"""
_ODD_WORDS = ["", " ", "\n", "\x00", "\x1b[31m", "\ud83d", "a" * 300]


@pytest.mark.parametrize("seed", range(6))
def test_no_words_at_all_make_a_traceback(tmp_path: Path, seed: int) -> None:
    """A real run may be among them; whatever is asked, what comes is one of the statuses and text that explains."""
    project = small_store(tmp_path)
    dice = random.Random(seed)
    for _ in range(60):
        words = [dice.choice(_WORDS.split() + _ODD_WORDS) for _ in range(dice.randint(0, 5))]
        if "demo" in words or "init" in words:
            continue
        answer = aml(project, *words)
        assert answer.status in (0, 1, 2, 3, 10), (words, answer)
        assert answer.status == 0 or answer.err or answer.out, words
        assert "Traceback" not in answer.err + answer.out, words


def test_version_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aml", "--version"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("aml ")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {name for name in imported if name.startswith("aml")}
    assert ours <= {"aml", "aml.__main__"}
    assert not imported & {"typer", "rich", "msgspec", "orjson", "json", "pathlib", "sqlite3", "dateutil"}


@pytest.mark.parametrize(
    "words", [["prune", "--dry-run", "--json"], ["backup", "create", "--json"], ["backup", "list", "-q"]], ids=" ".join
)
def test_a_light_command_draws_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    script = (
        f"import sys\nfrom aml.__main__ import main\nsys.argv = ['aml', *{words}]\nmain()\n"
        "print(sorted({'rich', 'pydantic', 'sqlite3', 'dateutil', 'pybloom_live'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=small_store(tmp_path),
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("words", [["--version"], ["-v", "--version"]], ids=" ".join)
def test_version(tmp_path: Path, words: list[str]) -> None:
    answer = aml_child(tmp_path, *words)
    assert (answer.status, answer.out.split()[0]) == (0, "aml")


def test_config(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    settings = project / ".loom/aml.toml"
    assert aml(project, "config", "path").out == f"{settings}\n"
    assert aml(project, "config", "init").status == 0
    assert settings.exists()
    before = tree_digest(project)
    again = aml(project, "config", "init")
    assert (again.status, tree_digest(project)) == (1, before), "an existing file is never overwritten"
    settings.write_text("[prune]\nunused_days = 5\n", encoding="utf-8")
    shown = aml(project, "config", "show", environment={"AML_PRUNE_MAX_LOSS": "10%"}).out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith("prune.")}
    assert rows["prune.unused_days"] == ["5.0", str(settings)]
    assert rows["prune.max_loss"] == ["0.1", "AML_PRUNE_MAX_LOSS"]
    assert rows["prune.decision_days"] == ["180.0", "default"]
    settings.write_text("[prune]\nunused_day = 5\n", encoding="utf-8")
    wrong = aml(project, "prune", "--dry-run")
    assert wrong.status == 2
    for part in (str(settings), "unused_day", "unused_days"):
        assert part in wrong.err


def test_settings_reach_the_command(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / "mine.toml").write_text('[prune]\npinned_ids = ["o1"]\n', encoding="utf-8")
    assert "0 of 5" in aml(project, "prune", "--dry-run", "--config", "mine.toml").out
    assert "0 of 5" in aml(project, "prune", "--dry-run", environment={"AML_CONFIG": "mine.toml"}).out
    assert "0 of 5" in aml(project, "prune", "--dry-run", environment={"AML_PRUNE_UNUSED_DAYS": "36500"}).out
    assert aml(project, "prune", "--config", "missing.toml").status != 0
