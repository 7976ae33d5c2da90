"""``--log-json``: one JSON object for each event, and no influence on anything else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aml import __version__
from tests.cli.running import PROJECT, Answer, aml, aml_child, kept, old, small_store
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest

ALWAYS = ["time", "level", "event", "operation", "call", "aml", "host", "pid"]


def events(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    for one in found:
        assert list(one)[: len(ALWAYS)] == ALWAYS
    return found


def logged(project: Path, *words: str, **keywords: Any) -> tuple[Answer, list[dict[str, Any]]]:
    """One call with a log of its own, and the lines of that."""
    path = project / "one.log"
    path.unlink(missing_ok=True)
    answer = aml(project, *words, "--log-json", str(path), **keywords)
    return answer, events(path)


def shape(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["event"], one["level"]) for one in found]


def test_a_run_is_told_from_its_begin_to_its_end(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    answer, (began, file, ended) = logged(project, "prune")
    assert answer.status == 0
    run = json.loads(aml(project, "prune", "history", "--json").out)["data"]["runs"][0]["id"]
    assert began == {
        "time": began["time"],
        "level": "info",
        "event": "started",
        "operation": "prune",
        "call": began["call"],
        "aml": __version__,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "store": str(project / ".loom/memory"),
    }
    assert (file["event"], file["agent"], file["file"], file["run"]) == ("file", "alpha", "alpha/patterns.json", run)
    assert file["counts"]["removed"] == 1
    assert (ended["event"], ended["status"], ended["exit"], ended["run"]) == ("ended", "done", 0, run)
    assert ended["counts"]["records"] == 5
    assert ended["counts"]["removed"] == 1
    assert 0 <= ended["seconds"] < 60
    assert {began["call"], file["call"], ended["call"]} == {began["call"]}


def test_a_dry_run_says_that_it_is_one(tmp_path: Path) -> None:
    _, (_, file, ended) = logged(small_store(tmp_path), "prune", "--dry-run")
    assert file["dry_run"] is ended["dry_run"] is True
    assert "run" not in file


def test_what_is_the_matter_with_a_file_is_told(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b'[{"id": 1},')
    answer, found = logged(project, "prune")
    assert answer.status == 3
    damaged = next(one for one in found if one.get("file") == "alpha/solutions.json")
    assert damaged["level"] == "error"
    assert damaged["message"]
    assert (found[-1]["status"], found[-1]["level"]) == ("partial", "warning")


def test_files_that_stay_as_they_are_have_no_line(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [kept("a")]}, "beta": {"patterns": [kept("b"), old("c"), kept("d")]}})
    _, found = logged(tmp_path, "prune", "--max-loss", "100%")
    assert [one["agent"] for one in found if one["event"] == "file"] == ["beta"]


def test_warnings_and_errors_are_told_as_they_come(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    aml(project, "prune", "--max-loss", "0%")
    answer, found = logged(project, "prune", now=4_000_000_000)
    assert answer.status == 1
    assert shape(found) == [("started", "info"), ("error", "error"), ("ended", "error")]
    assert found[1]["error"]["type"] == "ClockError"
    assert found[1]["error"]["message"] in answer.err
    assert set(found[1]["error"]) == {"type", "message", "advice"}
    assert (found[2]["status"], found[2]["exit"]) == ("failed", 1)
    _, found = logged(project, "prune", "--dry-run", now=4_000_000_000)
    assert "--trust-clock" in next(one for one in found if one["event"] == "warning")["message"]


@pytest.mark.parametrize(
    ("words", "operation", "status"),
    [(["nonsense"], "aml", 2), (["prune", "--nonsense"], "prune", 2), (["backup"], "backup", 2)],
)
def test_words_that_cannot_be_parsed_are_logged_too(
    tmp_path: Path, words: list[str], operation: str, status: int
) -> None:
    answer, found = logged(small_store(tmp_path), *words, "--json")
    assert answer.status == status
    assert shape(found) == [("started", "info"), ("error", "error"), ("ended", "error")]
    assert found[0]["operation"] == operation
    assert found[2]["exit"] == status


def test_each_part_of_a_command_is_told_with_its_run(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    _, found = logged(project, "backup", "auto")
    assert [one["subject"] for one in found if one["event"] == "part"] == ["backup", "verify", "rotate"]
    made = next(one for one in found if one["event"] == "backup")
    assert made["what"] == "made"
    assert made["subject"] == json.loads(aml(project, "backup", "list", "--json").out)["data"]["backups"][0]["id"]
    _, found = logged(project, "optimize", "all")
    parts = {one["subject"]: one for one in found if one["event"] == "part"}
    assert list(parts) == ["gc", "compress", "index", "warm-cache"]
    assert parts["gc"]["run"] != parts["compress"]["run"]
    assert parts["index"]["counts"]["records"] == 5


def test_backups_that_go_and_damage_in_the_repository_are_told(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    ids = []
    for day in range(3):
        made = aml(project, "backup", "create", "--json", now=NOW.timestamp() + day * 86_400)
        ids.append(made.envelope["data"]["id"])
    later = NOW.timestamp() + 4 * 86_400
    _, found = logged(project, "backup", "rotate", "--keep-last", "1", now=later)
    assert [one["subject"] for one in found if one["event"] == "backup"] == ids[:2]
    pack = next(one for one in (project / ".loom/memory-backup/packs").rglob("*") if one.is_file())
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-5] + b"12345")
    answer, found = logged(project, "backup", "verify", now=later)
    assert answer.status == 12
    assert any(one["event"] == "file" and one["level"] == "error" and one["what"] == "damaged" for one in found)


def test_a_restore_tells_each_file(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    aml(project, "backup", "create")
    (project / ".loom/memory/alpha/patterns.json").unlink()
    _, found = logged(project, "backup", "restore", "latest", "--yes", now=NOW.timestamp() + 60)
    file = next(one for one in found if one["event"] == "file")
    assert (file["file"], file["what"], file["counts"]["records_after"]) == ("alpha/patterns.json", "added", 5)
    assert file["run"] == found[-1]["run"]


def test_text_from_records_cannot_break_a_line_or_command_a_terminal(tmp_path: Path) -> None:
    name = "evil\x1b[31m\n\u2028\x85'\"\\"
    make_store(tmp_path, {name: {"patterns": [kept("a"), old("b"), kept("c"), kept("d")]}})
    _, found = logged(tmp_path, "prune")
    text = (tmp_path / "one.log").read_bytes()
    assert text.isascii()
    assert not any(code < 0x20 for code in text.replace(b"\n", b""))
    assert next(one for one in found if one["event"] == "file")["agent"] == name


def test_a_store_whose_name_is_no_text_can_be_logged(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)
    project = small_store(Path(folder))
    answer = aml_child(project, "prune", "--log-json", str(tmp_path / "log"))
    assert answer.status == 0
    assert "\\xff" in events(tmp_path / "log")[0]["store"] or "\\udcff" in events(tmp_path / "log")[0]["store"]


def test_urls_lose_all_but_their_host_and_secrets_are_blotted_out(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    hook = "sh -c 'echo https://user:pw@hooks.example.org/services/T0/abc?token=1 correct-horse; exit 1'"
    environment = {"AML_HOOKS_BEFORE_PRUNE": hook, "AML_WEBHOOK_SECRET": "correct-horse"}
    answer, _ = logged(project, "prune", environment=environment)
    assert answer.status == 1
    text = (project / "one.log").read_text(encoding="utf-8")
    assert "https://hooks.example.org/***" in text
    for secret in ("user:pw", "services/T0", "token=1", "correct-horse"):
        assert secret not in text


def test_the_option_may_stand_anywhere_and_wins_over_the_setting(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    (project / ".loom/aml.toml").write_text('[log]\nfile = "../by-setting.log"\n', encoding="utf-8")
    for words in (
        ["--log-json", "by-option.log", "prune", "--dry-run"],
        ["prune", "--dry-run", "--log-json=by-option.log"],
        [".loom/memory", "prune", "--log-json", "by-option.log", "--dry-run"],
    ):
        assert aml(project, *words).status == 0
    assert Counter(one["event"] for one in events(project / "by-option.log"))["started"] == 3
    assert not (project / "by-setting.log").exists()
    deep = project / "src"
    deep.mkdir()
    aml(deep, "prune", "--dry-run")
    assert events(project / "by-setting.log"), "from the folder that holds the store, wherever one stands"
    aml(project, "prune", "--dry-run", environment={"AML_LOG_FILE": str(tmp_path / "by-variable.log")})
    assert events(tmp_path / "by-variable.log")


def test_the_settings_say_when_a_log_is_rotated_and_how_many_stay(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    environment = {"AML_LOG_FILE": str(tmp_path / "aml.log"), "AML_LOG_MAX_MB": "0.0005", "AML_LOG_KEEP": "2"}
    for _ in range(12):
        aml(project, "prune", "--dry-run", environment=environment)
    assert sorted(one.name for one in tmp_path.glob("aml.log*")) == ["aml.log", "aml.log.1", "aml.log.2"]
    assert all(one.stat().st_size <= 600 for one in tmp_path.glob("aml.log*"))
    assert stat.S_IMODE((tmp_path / "aml.log").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name",
    [
        ".loom/memory/aml.log",
        ".loom/memory/alpha/aml.log",
        ".loom/memory.aml/aml.log",
        ".loom/memory-backup/aml.log",
        "elsewhere/aml.log",
        "link/aml.log",
    ],
)
def test_no_log_lies_where_agents_or_aml_keep_their_files(tmp_path: Path, name: str) -> None:
    project = small_store(tmp_path)
    aml(project, "prune", "--max-loss", "0%")
    (project / "link").symlink_to(".loom/memory")
    (project / "elsewhere").mkdir()
    before = tree_digest(project / ".loom")
    for environment in ({}, {"AML_LOG_FILE": f"../{name}"}):
        words = [] if environment else ["--log-json", name]
        answer = aml(project, "prune", *words, "--repository", "elsewhere", "--json", environment=environment)
        assert (answer.status, answer.envelope["errors"][0]["type"]) == (2, "UsageError")
        assert "not for logs" in answer.envelope["errors"][0]["message"]
    assert tree_digest(project / ".loom") == before
    assert not (project / name).exists()


def _unwritable(project: Path) -> dict[str, str]:
    (project / "folder").mkdir(exist_ok=True)
    (project / "notes.txt").write_text("do not lose me\n", encoding="utf-8")
    return {"missing/aml.log": "is not there", "folder": "directory", "notes.txt": "is no log", "/dev/full": "space"}


@pytest.mark.parametrize("name", ["missing/aml.log", "folder", "notes.txt", "/dev/full"])
def test_a_log_that_cannot_be_written_warns_once_and_changes_nothing(tmp_path: Path, name: str) -> None:
    if name.startswith("/dev") and not Path(name).exists():
        pytest.skip(f"there is no {name}")
    answers = []
    for options in ([], ["--log-json", name]):
        project = small_store(tmp_path / str(len(answers)))
        told = _unwritable(project)[name]
        answers.append(aml(project, "prune", *options))
        assert (project / "notes.txt").read_text(encoding="utf-8") == "do not lose me\n"
    plain, with_log = answers
    assert with_log.status == plain.status == 0
    assert with_log.out.split("undo")[0] == plain.out.split("undo")[0]
    (line,) = with_log.err.splitlines()
    assert line.startswith("aml: no log of this command: ")
    assert told in line
    assert aml(project, "prune", "--json", "--log-json", name).envelope["warnings"][0] == line.removeprefix("aml: ")


@pytest.mark.parametrize("named", [False, True])
def test_the_settings_file_is_no_log(tmp_path: Path, named: bool) -> None:
    project = small_store(tmp_path)
    path = project / ("other.toml" if named else ".loom/aml.toml")
    if named:
        path.touch()
    words = ["--config", str(path)] if named else []
    answer = aml(project, "monitor", "metrics", "--log-json", str(path), *words)
    assert answer.status == 2
    assert "is the settings file" in answer.err
    assert not path.exists() or not path.read_bytes()


def test_commands_without_a_log_write_none(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    before = set(project.iterdir())
    aml(project, "prune", "--dry-run")
    assert set(project.iterdir()) == before


def test_help_and_completion_are_no_events(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    environment = {"AML_LOG_FILE": str(tmp_path / "aml.log")}
    for words in (["--help"], ["prune", "--help"], ["--version"], []):
        aml(project, *words, environment=environment)
    assert not (tmp_path / "aml.log").exists()


def test_a_reader_that_went_away_is_told_as_a_failure(tmp_path: Path) -> None:
    project = tmp_path
    make_store(project, {"alpha": {"patterns": [pattern(id=str(number)) for number in range(3)]}})
    log = project / "aml.log"
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "aml", "query", "--jsonl", "--log-json", str(log)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(words, cwd=project, env=environment, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.returncode == 1
    assert (events(log)[-1]["event"], events(log)[-1]["exit"]) == ("ended", 1)


def test_a_command_without_a_log_does_not_even_load_what_writes_it(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    script = (
        "import sys\n"
        "from aml.__main__ import main\n"
        "sys.argv = ['aml', 'prune', '--dry-run', '-q']\n"
        "status = main()\n"
        "unwanted = {'aml.cli.event_log', 'aml.cli.log_outcomes', 'aml.fs.log_file', 'aml.cli.schedule'}\n"
        "loaded = sorted(unwanted & set(sys.modules))\n"
        "sys.exit(f'{status} {loaded}')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=project, env=environment, capture_output=True, timeout=60)
    assert done.stderr == b"0 []\n"
