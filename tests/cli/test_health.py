"""``aml monitor health``: its words, its exit status, what it prints, and that it writes nothing it should not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

import aml as api
from aml.ledger.operations import last_operations
from aml.model.timestamps import to_iso
from aml.monitor.checks import CHECKS
from aml.monitor.checks.check import Check, Measure
from aml.monitor.health import run_checks
from aml.monitor.inspection import Inspection
from aml.monitor.report.commands import parted
from aml.monitor.thresholds import Thresholds
from aml.repository.local_folder import LocalFolder
from aml.store.open import open_store
from aml.workflows.health import CHECK_NAMES
from tests.cli.running import Answer, aml, kept, small_store
from tests.contract.backing_up import create_backup
from tests.contract.checking import store_with
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest, write_array

NAMES = [check.name for check in CHECKS]
DAY = 86_400.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A store that is looked after: indexed, backed up, verified, tried."""
    store_with(tmp_path)
    for words in (["optimize", "index"], ["backup", "create"], ["backup", "verify"], ["backup", "drill"]):
        assert aml(tmp_path, *words).status == 0
    return tmp_path


def break_file(project: Path) -> None:
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b"[")


def test_the_names_of_checks_never_change() -> None:
    assert NAMES == [
        "integrity",
        "runtime_readable",
        "schema",
        "resurrected",
        "caps",
        "structure",
        "limits",
        "locks",
        "permissions",
        "disk_space",
        "same_disk",
        "backup",
        "verification",
        "drill",
        "runs",
        "clock",
        "collapse",
        "index",
        "query_time",
        "cache",
    ]


def test_a_store_that_is_looked_after_passes(project: Path) -> None:
    answer = aml(project, "monitor", "health", "--json", "--skip", "same_disk", "--fail-on", "info")
    assert answer.status == 0, answer.out
    data = answer.envelope["data"]
    assert (data["level"], data["agents"], data["records"], data["time"]) == ("ok", 1, 5, "2026-11-20T12:00:00.000Z")
    states = {one["name"]: one["state"] for one in data["checks"]}
    assert states == dict.fromkeys(NAMES, "ok") | {"same_disk": "skipped"}
    text = aml(project, "monitor", "health")
    assert text.out.splitlines()[-1] == "health: 1 info; 20 checks run; 1 agent, 5 records"
    assert aml(project, "monitor", "health", "-q") == Answer(0, "", "")


@pytest.mark.parametrize(
    ("fail_on", "info", "warning", "critical"),
    [
        ([], 0, 0, 5),
        (["--fail-on", "info"], 4, 4, 5),
        (["--fail-on", "warning"], 0, 4, 5),
        (["--fail-on", "error"], 0, 0, 5),
        (["--fail-on", "critical"], 0, 0, 5),
    ],
)
def test_the_exit_status_tells_what_was_asked_for(
    project: Path, fail_on: list[str], info: int, warning: int, critical: int
) -> None:
    words = ["monitor", "health", *fail_on]
    assert aml(project, *words).status == info
    later = NOW.timestamp() + 2 * DAY
    assert aml(project, *words, now=later).status == warning
    break_file(project)
    answer = aml(project, *words, "--json", now=later)
    names = {0: "done", 4: "health_warning", 5: "health_critical"}
    assert (answer.status, answer.envelope["status"]) == (critical, names[critical])


def test_an_error_fails_unless_only_what_is_critical_is_asked_for(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(version="9.0.0")]}})
    assert memory.is_dir()
    words = ["monitor", "health", "--checks", "schema"]
    assert [aml(tmp_path, *words, "--fail-on", level).status for level in ("error", "critical")] == [5, 0]


def test_with_quiet_only_what_fails_is_told(project: Path) -> None:
    later = NOW.timestamp() + 2 * DAY
    assert aml(project, "monitor", "health", "-q", now=later).out == ""
    out = aml(project, "monitor", "health", "-q", "--fail-on", "warning", now=later).out
    assert out.startswith("warning   backup: the newest complete backup is 2 d old\n          mend: aml backup create")
    assert "same_disk" not in out
    break_file(project)
    out = aml(project, "monitor", "health", "-q", now=later).out
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == ["critical", "health:"]


def test_trouble_comes_first_and_lines_are_short(project: Path) -> None:
    break_file(project)
    write_array(project / ".loom/memory/alpha/patterns.json", [pattern() | {"metrics": {}}, {"id": "x"}, None])
    answer = aml(project, "monitor", "health", "-v", now=NOW.timestamp() + 2 * DAY)
    levels = [line.split()[0] for line in answer.out.splitlines() if not line.startswith(" ")][:-1]
    found = [level for level in levels if level not in ("ok", "skipped")]
    ranks = ["critical", "error", "warning", "info"]
    assert found == sorted(found, key=ranks.index)
    assert levels.index("ok") > len(found) - 1
    assert all(len(line) <= 80 for line in answer.out.splitlines() if "aml " not in line and " --" not in line)


def test_what_is_to_be_typed_stands_on_one_line_and_means_this_store(project: Path) -> None:
    break_file(project)
    (project / "elsewhere").mkdir()
    store = "../.loom/memory"
    answer = aml(project / "elsewhere", "--store", store, "monitor", "health", now=NOW.timestamp() + 9 * DAY)
    assert (
        f"\n          mend: aml --store {store} backup create\n                for cron: aml --store {store} backup"
        in (answer.out)
    )
    alerts = aml(project / "elsewhere", "--store", store, "monitor", "alerts").out
    assert f"\n  mend: aml --store {store} backup create\n" in alerts
    (ident,) = re.findall(r"(\S+), for .*\n  mend: aml --store \S+ backup create\n", alerts)
    shown = aml(project, "monitor", "alerts", "show", ident).out
    assert "\nmend          aml backup create\n              for cron: aml backup auto\n" in shown
    assert "\nmeasured      9 d\n" in shown
    assert "\nthreshold     7 d\n" in shown


def test_each_command_that_is_advised_can_be_typed_as_it_is_printed(tmp_path: Path) -> None:
    """On a store that has about everything wrong with it that a command mends."""
    memory = store_with(tmp_path, [pattern() for _ in range(20)])
    make_store(tmp_path / "other", {"two words": {"patterns": [pattern()]}})
    shutil.copytree(tmp_path / "other/.loom/memory/two words", memory / "two words")
    shutil.rmtree(tmp_path / "other")
    for words in (["backup", "create"], ["optimize", "index"], ["monitor", "metrics"]):
        assert aml(tmp_path, *words).status == 0
    write_array(memory / "alpha/patterns.json", [pattern() | {"metrics": {}}, None])
    (memory / "alpha/solutions.json").write_bytes(b"[")
    (memory / "alpha/decisions.json").write_bytes(b"")
    (memory / "two words/decisions.json").write_bytes(b"[1, ")
    (memory / "alpha/old.json.gz").write_bytes(b"x")
    (memory.parent / "aml.toml").write_text("[space]\nstore_mb = 0.01\nagent_mb = 0.001\n[health]\nmax_patterns = 1\n")
    later = NOW.timestamp() + 9 * DAY
    findings = [
        one
        for check in aml(tmp_path, "monitor", "health", "--json", now=later).envelope["data"]["checks"]
        for one in check["findings"]
    ]
    commands = {words for one in findings for words, _ in parted(one["advice"]) if words.startswith("aml ")}
    assert {words.split()[1] for words in commands} == {"backup", "monitor", "optimize", "prune"}
    assert any("'two words'" in words for words in commands)
    for command in sorted(commands):
        words = shlex.split(command)[1:]
        dry = ["--dry-run"] if words[:2] == ["backup", "restore"] or words[0] == "prune" else []
        answer = aml(tmp_path, *words, *dry, now=later)
        assert answer.status in (0, 3, 5), (command, answer)


def test_names_in_a_store_are_harmless_to_a_terminal(tmp_path: Path) -> None:
    make_store(tmp_path, {"alpha": {"patterns": [pattern() | {"id": "x\x1b[2J"}]}})
    (tmp_path / ".loom/memory/alpha/a\x1b[31m.json").write_bytes(b"[")
    answer = aml(tmp_path, "monitor", "health", "-v")
    assert "\x1b" not in answer.out
    assert "\\x1b[31m" in answer.out


def test_checks_are_chosen_by_name(project: Path) -> None:
    def ran(*words: str) -> list[str]:
        checks = aml(project, "monitor", "health", "--json", *words).envelope["data"]["checks"]
        return [one["name"] for one in checks if one["state"] != "skipped"]

    assert ran("--checks", "clock,integrity", "--checks", "cache") == ["integrity", "clock", "cache"]
    assert ran("--checks", "integrity,clock", "--skip", "clock") == ["integrity"]
    assert ran("--skip", "integrity , clock") == [name for name in NAMES if name not in ("integrity", "clock")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--checks", "integrty"], "did you mean integrity?"),
        (["--skip", "nothing"], "unknown check 'nothing'"),
        (["--checks", "clock", "--skip", "clock"], "no check is left"),
        (["--checks", ""], "names no check"),
        (["--fail-on", "fatal"], "fatal"),
    ],
)
def test_wrong_words_are_explained(project: Path, words: list[str], told: str) -> None:
    answer = aml(project, "monitor", "health", *words)
    assert (answer.status, answer.out) == (2, "")
    assert told in answer.err


def test_the_older_words_work(project: Path) -> None:
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    assert aml(elsewhere, str(project / ".loom/memory"), "monitor", "health").status == 0


def test_there_is_no_health_without_a_store(tmp_path: Path) -> None:
    assert aml(tmp_path, "monitor", "health").status == 10


def test_that_a_store_was_checked_is_noted_unless_that_is_not_wanted(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    before = tree_digest(tmp_path)
    assert aml(project, "monitor", "health", "--no-record").status == 0
    assert tree_digest(tmp_path) == before
    assert not (tmp_path / ".loom/memory.aml").exists()
    assert aml(project, "monitor", "health").status == 0
    noted = last_operations(open_store(tmp_path / ".loom/memory"))["health"]
    assert (noted.exit, noted.counts) == (0, {"info": 1, "warning": 2, "error": 0, "critical": 0})
    after = tree_digest(tmp_path)
    assert {path for path in after if path not in before} == {
        f".loom/memory.aml/{name}" for name in (".gitignore", "alerts.json", "operations.json", "operations.lock")
    }


def test_a_look_at_a_few_checks_is_no_run_of_health(tmp_path: Path) -> None:
    project = small_store(tmp_path)
    store = open_store(tmp_path / ".loom/memory")
    some = aml(project, "monitor", "health", "--checks", "backup,schema", "--fail-on", "warning", "--json")
    assert some.status == 4
    assert some.envelope["data"]["alerts"]["opened"] == 1, "what it finds becomes alerts all the same"
    assert "health" not in last_operations(store)
    assert aml(project, "monitor", "health", "--skip", "backup").status == 0
    assert last_operations(store)["health"].exit == 0
    later = NOW.timestamp() + DAY
    assert aml(project, "monitor", "health", "--checks", ",".join(CHECK_NAMES), now=later).status == 0
    assert last_operations(store)["health"].started == to_iso(later)


def test_without_record_store_state_and_repository_stay_as_they_are(project: Path) -> None:
    (project / ".loom/memory/alpha/solutions.json").write_bytes(b"[")
    write_array(project / ".loom/memory/beta/patterns.json", [kept("b"), None])
    before = tree_digest(project)
    assert aml(project, "monitor", "health", "--no-record", now=NOW.timestamp() + 9 * DAY).status == 5
    assert tree_digest(project) == before


def test_one_check_that_breaks_hides_no_other(project: Path) -> None:
    def breaks(_: Inspection) -> Measure:
        raise ZeroDivisionError("of all things")

    store = open_store(project / ".loom/memory")
    inspection = Inspection(store, LocalFolder(store.keep), NOW.timestamp(), Thresholds())
    broken = Check("broken", "nothing", breaks)
    results = run_checks((broken, *CHECKS), ("broken", *NAMES), inspection)
    assert results[0].state == "not_run"
    (finding,) = results[0].findings
    assert (finding.check, finding.level.word) == ("broken", "error")
    assert finding.message == "the check could not run: ZeroDivisionError: of all things"
    assert [one.state for one in results[1:]] == ["info" if name == "same_disk" else "ok" for name in NAMES]


def test_health_is_there_in_python(project: Path) -> None:
    report = api.health(api.open_store(project / ".loom/memory"), now=NOW.timestamp(), record=False)
    assert isinstance(report, api.HealthReport)
    assert (report.level, len(report.ran), int(report.status)) == ("info", 20, 0)


def test_odd_names_are_told_so_that_they_can_be_typed(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    for name in (b"caf\xe9.json", b"two words.json"):
        (memory / "alpha" / os.fsdecode(name)).write_bytes(b"{}")
    identity = create_backup(tmp_path)
    for name in (b"caf\xe9.json", b"two words.json"):
        (memory / "alpha" / os.fsdecode(name)).write_bytes(b"[")
    answer = aml(tmp_path, "monitor", "health", "--json")
    assert answer.status == 5
    advice = [one["advice"] for one in answer.envelope["data"]["checks"][0]["findings"]]
    assert [one.split(" brings")[0] for one in advice] == [
        f"aml backup restore {identity} --path {name}" for name in ("'alpha/caf\\udce9.json'", "'alpha/two words.json'")
    ]
    assert "alpha/caf\\udce9.json" in aml(tmp_path, "monitor", "health").out
