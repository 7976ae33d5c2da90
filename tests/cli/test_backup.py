"""``aml backup create``, ``list``, ``show``, ``diff`` and ``verify``: what they tell."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, kept
from tests.contract.backing_up import (
    at,
    create_backup,
    data_of,
    flip,
    memory_of,
    packs_of,
    plain_array,
    project_in,
    write_noise,
)
from tests.support.stores import write_array

# ---- create, list, show, diff


def test_create_tells_what_is_new_changed_and_gone(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    first = aml(project, "backup", "create")
    assert re.fullmatch(
        r"backup: \d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}; full, 4 files, [\d.]+ KiB; 4 new, 0 changed, 0 removed; "
        r"[\d.]+ (B|KiB) written\n",
        first.out,
    )
    (memory / "alpha/patterns.json").write_bytes(b"[]")
    (memory / "global/conventions.json").unlink()
    (memory / "global/new.json").write_bytes(b"1")
    second = aml(project, "backup", "create", now=at(days=1))
    assert "incremental, 4 files" in second.out
    assert "1 new, 1 changed, 1 removed" in second.out
    third = aml(project, "backup", "create", "--full", now=at(days=2))
    assert "; full, 4 files" in third.out
    assert "0 new, 0 changed, 0 removed; 0 B written" in third.out


def test_create_names_damaged_files_and_succeeds(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    (memory_of(project) / "beta/patterns.json").write_bytes(b"[{")
    answer = aml(project, "backup", "create")
    assert answer.status == 0
    assert "damaged: beta/patterns.json" in answer.err
    assert aml(project, "backup", "create", "-q", now=at(days=1)) == Answer(0, "", "")
    assert "beta/patterns.json" in aml(project, "backup", "show").err


def test_list_filters_and_limits(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    plain = create_backup(project)
    tagged = create_backup(project, "--tag", "release", "--tag", "v1", "--description", "before it all", now=at(days=1))
    scoped = create_backup(project, "--agent", "beta", now=at(days=2))

    def listed(*words: str) -> list[str]:
        return [one["id"] for one in data_of(project, "list", *words)["backups"]]

    assert listed() == [plain, tagged, scoped]
    assert listed("--limit", "1") == [scoped]
    assert listed("--tag", "release") == listed("--tag", "release", "--tag", "v1") == [tagged]
    assert listed("--tag", "release", "--tag", "v2") == []
    assert listed("--agent", "alpha") == [plain, tagged]
    assert listed("--agent", "beta") == [plain, tagged, scoped]
    text = aml(project, "backup", "list").out
    assert [line.split()[0] for line in text.splitlines()[1:4]] == [scoped, tagged, plain], "the newest first"
    assert "release v1" in text
    assert "before it all" in text
    assert "3 backups in " in text


def test_an_unknown_agent_as_a_filter_of_the_list_is_an_error(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    answer = aml(project, "backup", "list", "--agent", "alfa")
    assert answer.status == 2
    assert "alpha" in answer.err


def test_what_people_typed_is_harmless_to_a_terminal(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project, "--tag", "\x1b[31mred", "--description", "[bold]no markup[/bold]\x07")
    for words in (["list"], ["show"], ["rotate", "--dry-run"]):
        out = aml(project, "backup", *words).out
        assert "\x1b" not in out
        assert "\x07" not in out
    assert "[bold]no markup[/bold]" in aml(project, "backup", "list").out


def test_show_tells_agents_and_with_verbose_files(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project, "--tag", "x", "--description", "why")
    text = aml(project, "backup", "show").out
    rows = [line.split() for line in text.splitlines()]
    for row in (["tags", "x"], ["description", "why"], ["kind", "full,", "complete"], ["alpha", "1", "2.3", "KiB"]):
        assert row in rows
    assert "alpha/patterns.json" not in text
    assert "alpha/patterns.json" in aml(project, "backup", "show", "-v").out
    data = data_of(project, "show")
    assert [one["path"] for one in data["files"]] == [
        "alpha/patterns.json",
        "audit/2026.log",
        "beta/patterns.json",
        "global/conventions.json",
    ]
    assert "audit/empty" in [one["path"] for one in data["folders"]]


def test_diff_counts_files_and_records(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    memory = memory_of(project)
    first = create_backup(project)
    (memory / "alpha/patterns.json").write_bytes(plain_array("alpha-0", "alpha-9"))
    shutil.rmtree(memory / "beta")
    write_array(memory / "gamma/patterns.json", [kept("g")])
    second = create_backup(project, now=at(days=1))
    for words in ([first], [first, second]):
        data = data_of(project, "diff", *words)
        files = {one["path"]: one for one in data["files"]}
        assert {path: one["what"] for path, one in files.items()} == {
            "alpha/patterns.json": "changed",
            "beta/patterns.json": "removed",
            "gamma/patterns.json": "added",
        }
        alpha = files["alpha/patterns.json"]
        assert (alpha["records_added"], alpha["records_removed"], alpha["records_changed"]) == (1, 2, 0)
        assert data["after"] == (second if len(words) > 1 else None)
    assert data_of(project, "diff", second, first)["files"][0]["records_added"] == 2, "either way"
    assert [one["path"] for one in data_of(project, "diff", first, "--agent", "alpha")["files"]] == [
        "alpha/patterns.json"
    ]
    assert data_of(project, "diff")["files"] == []


# ---- verify


@pytest.mark.parametrize("tier", [[], ["--packs"], ["--sample", "100%"], ["latest"]], ids="".join)
def test_12_damage_is_told_with_what_it_touches(tmp_path: Path, tier: list[str]) -> None:
    project = project_in(tmp_path)
    backup = create_backup(project)
    (pack,) = packs_of(project)
    flip(pack, 50)
    answer = aml(project, "backup", "verify", *tier)
    assert answer.status == 12
    for part in (pack.name, backup, "next: "):
        assert part in answer.err
    findings = data_of(project, "verify", *tier)["findings"]
    assert any(pack.name in one["key"] and one["snapshots"] == [backup] for one in findings)
    quiet = aml(project, "backup", "verify", *tier, "-q")
    assert (quiet.status, pack.name in quiet.err) == (12, True), "quiet does not mean silent about damage"


def test_verify_goes_on_with_what_was_looked_at_longest_ago(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    for number in range(3):
        write_array(memory_of(project) / f"more-{number}/patterns.json", [kept(f"r{number}")])
        create_backup(project, now=at(days=number))
    others = packs_of(project)
    write_noise(project, "last")
    create_backup(project, now=at(days=3))
    (last,) = packs_of(project) - others
    flip(last, 50)
    statuses = [
        aml(project, "backup", "verify", "--sample", "25%", now=at(days=9, seconds=second)).status
        for second in range(4)
    ]
    assert sorted(statuses) == [0, 0, 0, 12], "each pack had its turn"
