"""``aml monitor metrics`` as it is typed: text, JSON, Prometheus, a file, stores that nobody may write to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import PROJECT, Answer, aml, aml_child, old, small_store
from tests.contract.backing_up import unprivileged
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import make_store, tree_digest

METRICS = ("monitor", "metrics")
HOSTILE = "\x1b]0;owned\x07[bold]red"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two agents, a damaged file, a backup, a run."""
    memory = make_store(
        tmp_path,
        {
            "alpha": {"patterns": [pattern(), pattern(active=False), None, 7], "solutions": [solution()]},
            "beta": {"patterns": [old("o"), pattern(), pattern(), pattern()], "decisions": [decision()]},
        },
    )
    (memory / "beta" / "solutions.json").write_bytes(b'[{"id": 1},')
    assert aml(tmp_path, "backup", "create").status == 0
    assert aml(tmp_path, "prune").status == 3
    return tmp_path


def test_text_tells_the_most_important_first_and_fits_a_terminal(project: Path) -> None:
    answer = aml(project, *METRICS)
    assert answer.status == 3
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["records", "files"]
    assert lines[1].split(maxsplit=1)[1] == "6 live, 1 inactive, 1 unreadable"
    assert lines[2].split(maxsplit=1)[1] == "5 record files of 2 agents, 1 damaged"
    assert all(len(line) <= 80 for line in lines[1:]), "but for the path of the store"
    for heading in ("kind  ", "agent  ", "last run  ", "age  ", "value  ", "index  ", "cache  ", "queries  "):
        assert any(line.startswith(heading) for line in lines), heading
    assert answer.err.splitlines()[0].startswith("aml: left out: beta/solutions: ")


def test_quiet_prints_nothing_where_all_went_well(tmp_path: Path) -> None:
    small_store(tmp_path)
    assert aml(tmp_path, *METRICS, "-q") == Answer(0, "", "")
    assert len((tmp_path / ".loom/memory.aml/metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert aml(tmp_path, *METRICS, "-q", "--format", "prometheus").out.startswith("# HELP ")


def test_the_largest_agents_are_shown_and_with_verbose_all(tmp_path: Path) -> None:
    make_store(tmp_path, {f"agent-{n:02}": {"patterns": [pattern()] * n} for n in range(13)})
    shown = aml(tmp_path, *METRICS).out
    assert "agent-12" in shown
    assert "agent-02" not in shown
    assert "and 3 smaller agents: --verbose names them" in shown
    assert "agent-00" in aml(tmp_path, *METRICS, "-v").out


def test_names_from_a_store_are_harmless_to_a_terminal(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {HOSTILE: {"patterns": [pattern(version="\x1b[31m9.9.9")]}, "x" * 90: {}})
    (memory / HOSTILE / "solutions.json").write_bytes(b"[")
    for words in ((), ("-v",), ("--format", "prometheus")):
        answer = aml(tmp_path, *METRICS, *words)
        assert answer.status == 3
        assert "\x1b" not in answer.err
        assert "--format" in words or "\x1b" not in answer.out
    assert all(len(line) <= 80 for line in aml(tmp_path, *METRICS).out.splitlines()[1:])


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"], ["--json", "--format", "json"]])
def test_json_is_one_envelope(project: Path, words: list[str]) -> None:
    answer = aml(project, *METRICS, *words)
    envelope = answer.envelope
    assert (envelope["command"], envelope["exit"], answer.status, answer.err) == ("monitor metrics", 3, 3, "")
    assert envelope["warnings"] == envelope["data"]["notes"]
    metrics = envelope["data"]["metrics"]
    assert metrics["time"] == "2026-11-20T12:00:00.000Z"
    assert metrics["counts"]["records"] == 7
    assert metrics["damaged"][0]["kind"] == "solutions"
    assert metrics["backups"]["count"] == 2
    assert {one["operation"] for one in metrics["operations"]} == {"prune", "backup"}


def test_an_error_is_json_too_where_json_is_wanted_by_format(tmp_path: Path) -> None:
    answer = aml(tmp_path, *METRICS, "--format", "json")
    assert (answer.status, answer.envelope["errors"][0]["type"]) == (10, "StoreNotFoundError")


def test_formats_that_contradict_each_other_are_refused(project: Path) -> None:
    answer = aml(project, *METRICS, "--json", "--format", "prometheus")
    assert (answer.status, answer.envelope["errors"][0]["type"]) == (2, "UsageError")


def test_prometheus_reads_what_is_written_for_it(project: Path) -> None:
    answer = aml(project, *METRICS, "--format", "prometheus")
    found = {one.name: one for one in text_string_to_metric_families(answer.out)}
    assert found["aml_damaged_files"].samples[0].value == 1
    assert found["aml_file_damaged"].samples[0].labels["agent"] == "beta"
    live = [one for one in found["aml_agent_records"].samples if one.labels["state"] == "live"]
    assert sum(one.value for one in live) == 6
    assert {one.labels["operation"] for one in found["aml_operation_last_success"].samples} == {"prune", "backup"}
    assert found["aml_collected_timestamp_seconds"].samples[0].value == NOW.timestamp()
    assert all("store" in one.labels for family in found.values() for one in family.samples)


def test_every_name_for_prometheus_is_described(project: Path) -> None:
    aml(project, *METRICS, now=NOW.timestamp() - 86_400)
    aml(project, "query")
    page = (PROJECT / "docs" / "monitor.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^# TYPE (\w+) ", aml(project, *METRICS, "--format", "prometheus").out, re.MULTILINE))
    described = set(re.findall(r"`(aml_\w+)`", page.partition("| figures |")[2].partition("\n\n")[0]))
    assert written <= described
    # of what there is none here nothing is written
    assert described - written <= {
        "aml_cache_hit_ratio",
        "aml_backup_verified_timestamp_seconds",
        "aml_backup_drilled_timestamp_seconds",
        "aml_backup_rotated_timestamp_seconds",
    }


# ---- to a file


@pytest.mark.parametrize("words", [["--format", "prometheus"], ["--json"], []])
def test_an_answer_in_a_file_is_the_one_that_would_be_printed(project: Path, words: list[str]) -> None:
    printed = aml(project, *METRICS, "--no-record", *words).out
    answer = aml(project, *METRICS, "--no-record", *words, "--output", "aml.prom")
    assert answer.status == 3
    assert answer.out == ("" if "--json" in words else "metrics: written to aml.prom\n")
    file = project / "aml.prom"
    assert file.read_text(encoding="utf-8") == printed
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in project.iterdir() if path.name != ".loom"] == ["aml.prom"]


def test_a_file_is_replaced_in_one_step(project: Path) -> None:
    file = project / "aml.prom"
    file.write_text("old", encoding="utf-8")
    reader = file.open(encoding="utf-8")
    assert aml(project, *METRICS, "--format", "prometheus", "--output", str(file), "-q").out == ""
    assert reader.read() == "old", "whoever had the old one open still reads it whole"
    reader.close()
    assert file.read_text(encoding="utf-8").startswith("# HELP")


def test_through_a_link_the_file_itself_is_written(project: Path) -> None:
    (project / "real").mkdir()
    (project / "link.prom").symlink_to("real/aml.prom")
    assert aml(project, *METRICS, "--output", "link.prom", "-q").status == 3
    assert (project / "link.prom").is_symlink()
    assert (project / "real" / "aml.prom").read_text(encoding="utf-8").startswith("store ")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".loom/memory/aml.prom", "lies in the store"),
        (".loom/memory/alpha/patterns.json", "lies in the store"),
        (".loom/memory.aml/metrics.jsonl", "lies in AML's own folder"),
        (".loom/memory-backup/x", "lies in the folder of the archives"),
        (".loom/aml.toml", "is the settings file"),
        ("inside/x", "lies in the store"),
        ("elsewhere/repository.json", "lies in the repository"),
        (".", "is not a file"),
        ("pipe", "is not a file"),
        ("/dev/null", "is not a file"),
        ("", "is empty"),
    ],
)
def test_a_file_that_would_do_harm_is_refused(project: Path, path: str, reason: str) -> None:
    (project / "inside").symlink_to(".loom/memory")
    (project / "elsewhere").mkdir()
    os.mkfifo(project / "pipe")
    before = tree_digest(project)
    answer = aml(project, "--repository", "elsewhere", *METRICS, "--no-record", "--output", path)
    assert answer.status == 2
    assert reason in answer.err
    assert tree_digest(project) == before


@pytest.mark.parametrize("named", [{"AML_CONFIG": "team.toml"}, {}])
def test_settings_that_are_named_are_not_written_over(project: Path, named: dict[str, str]) -> None:
    settings = project / "team.toml"
    settings.write_bytes(b"")
    (project / "link").symlink_to(settings)
    option = [] if named else ["--config", "team.toml"]
    for words in (["metrics", "--output"], ["report", "--html"]):
        for path in ("team.toml", "link"):
            answer = aml(project, *option, "monitor", *words, path, environment=named)
            assert answer.status == 2
            assert "is the settings file" in answer.err
    assert settings.read_bytes() == b""


def test_a_folder_that_is_not_there_is_named(project: Path) -> None:
    answer = aml(project, *METRICS, "--output", "missing/aml.prom")
    assert answer.status == 1
    assert f"the folder {project / 'missing'} is not there" in answer.err


# ---- stores that nobody may write to


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A folder that any user can get to, with a store in it."""
    folder = Path(tempfile.mkdtemp(prefix="aml-test-"))
    folder.chmod(0o755)
    make_store(folder, {"alpha": {"patterns": [pattern(), pattern()]}})
    yield folder
    _set_modes(folder, 0o755)
    shutil.rmtree(folder)


def _set_modes(folder: Path, mode: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(mode)


@pytest.mark.parametrize("known", [False, True], ids=["nothing is known", "an index is there"])
@pytest.mark.parametrize("words", [[], ["--no-record"]], ids=["record", "no record"])
def test_a_checkout_that_is_read_only_has_figures(checkout: Path, words: list[str], *, known: bool) -> None:
    if known:
        assert aml(checkout, *METRICS).status == 0
    _set_modes(checkout, 0o555)
    before = tree_digest(checkout)
    answer = unprivileged(checkout, *METRICS, "--json", *words)
    assert answer.status == 0, answer
    assert answer.envelope["data"]["metrics"]["counts"]["records"] == 2
    assert answer.envelope["data"]["recorded"] is False
    told = [warning for warning in answer.envelope["warnings"] if "not added to the history" in warning]
    assert bool(told) == (not words)
    assert tree_digest(checkout) == before


def test_json_does_not_wait_for_what_only_text_needs(tmp_path: Path) -> None:
    small_store(tmp_path)
    script = "import sys; from aml.cli.main import run_process; sys.argv[1:] = %r; run_process(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script % [*METRICS, "--json"]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "aml.workflows.metrics" in loaded
    assert not {"rich", "orjson", "pybloom_live", "aml.monitor.prometheus"} & set(loaded)


def test_it_runs_as_a_process(project: Path) -> None:
    answer = aml_child(project, *METRICS, "--format", "prometheus", "--no-record")
    assert answer.status == 3
    assert "Traceback" not in answer.err
    assert answer.out.endswith("\n")
