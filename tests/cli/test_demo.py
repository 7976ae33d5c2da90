"""``aml demo`` shows a whole tour that works: prune and undo, backup, a bad day, and the way back from it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from aml.demo.sample import COUNTS, DAMAGED_AGENT, LOST_AGENT, SPOILED_FILE, write_sample_store
from tests.cli.running import Answer, aml
from tests.support.records import NOW
from tests.support.stores import record_spans

KINDS = ("patterns", "solutions", "decisions")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A folder in which the demo ran, and what it answered."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, aml(folder, "demo", "--json")


def store_of(folder: Path) -> Path:
    return folder / "aml-demo" / ".loom" / "memory"


def test_every_step_of_the_demo_succeeds(shown: tuple[Path, Answer]) -> None:
    _, answer = shown
    assert answer.status == 0, answer.err
    steps = {tuple(shlex.split(step["command"])[3:5]): step["exit"] for step in answer.envelope["data"]["commands"]}
    assert set(steps) == {
        ("prune", "--dry-run"),
        ("prune", "--yes"),
        ("prune", "history"),
        ("prune", "undo"),
        ("backup", "create"),
        ("backup", "diff"),
        ("backup", "restore"),
        ("backup", "verify"),
        ("backup", "drill"),
        ("monitor", "report"),
    }
    # the sample has a damaged file, and the loss budget does not reach for all
    assert {words for words, status in steps.items() if status} <= {("prune", "--yes")}


def test_after_the_demo_the_store_holds_every_record_that_it_held_before(
    shown: tuple[Path, Answer], tmp_path: Path
) -> None:
    folder, _ = shown
    fresh = tmp_path / "memory"
    write_sample_store(fresh, now=NOW)
    for agent in COUNTS:
        for kind in KINDS:
            path = Path(agent, f"{kind}.json")
            if (agent, kind) == (DAMAGED_AGENT, "decisions"):
                assert (store_of(folder) / path).read_bytes() == (fresh / path).read_bytes()
            else:
                assert record_spans(store_of(folder) / path) == record_spans(fresh / path)


def test_the_bad_day_is_in_the_backup_that_the_restore_made(shown: tuple[Path, Answer], tmp_path: Path) -> None:
    folder, _ = shown
    words = ("--store", str(store_of(folder)), "backup")
    listed = aml(folder, *words, "list", "--tag", "pre-restore", "--json").envelope["data"]["backups"]
    assert len(listed) == 1
    assert aml(folder, *words, "restore", listed[0]["id"], "--target", str(tmp_path / "bad")).status == 0
    assert not (tmp_path / "bad" / LOST_AGENT).exists()
    assert (tmp_path / "bad" / SPOILED_FILE).stat().st_size < (store_of(folder) / SPOILED_FILE).stat().st_size


def test_the_commands_that_the_demo_shows_work_as_they_stand(shown: tuple[Path, Answer]) -> None:
    folder, answer = shown
    for step in answer.envelope["data"]["commands"]:
        program, *words = shlex.split(step["command"])
        assert program == "aml"
        if "--yes" not in words and "undo" not in words:
            assert aml(folder, *words).status == 0, step["command"]


def test_the_demo_ends_with_a_report_and_tells_where_it_is(shown: tuple[Path, Answer]) -> None:
    folder, answer = shown
    report = folder / "aml-demo" / "report.html"
    assert answer.envelope["data"]["report"] == str(report)
    page = report.read_text()
    assert "<h1><bdi>aml-demo</bdi></h1>" in page
    assert all(agent in page for agent in COUNTS)


def test_what_the_demo_says_fits_a_narrow_terminal(tmp_path: Path) -> None:
    answer = aml(tmp_path, "demo", "x")
    assert answer.status == 0
    said = [line for line in answer.out.splitlines() if line.startswith("# ")]
    assert len(said) > 10
    assert [line for line in said if len(line) > 80 and str(tmp_path) not in line] == []


def test_what_is_meant_for_another_store_is_left_out_of_the_demo(tmp_path: Path) -> None:
    hook, log, repository = tmp_path / "hooked", tmp_path / "aml.log", tmp_path / "repository"
    settings = tmp_path / "team.toml"
    settings.write_text(f'[hooks]\nbefore_backup = ["touch", "{hook}"]\n', encoding="utf-8")
    environment = {
        "AML_REPOSITORY": str(repository),
        "AML_CONFIG": str(settings),
        "AML_WEBHOOK_SECRET": "not to be shown",
    }
    (tmp_path / "here").mkdir()
    answer = aml(tmp_path / "here", "--log-json", str(log), "demo", environment=environment)
    assert answer.status == 0, answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aml.log", "here", "team.toml"]
    told = " ".join(answer.out.replace("\n# ", " ").split())
    assert "Go on by hand, without AML_CONFIG, AML_REPOSITORY, AML_WEBHOOK_SECRET in the environment: each" in told
    assert "not to be shown" not in answer.out + answer.err
