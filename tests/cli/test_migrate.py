"""``aml migrate``: what it prints, asks and answers, and by which words it is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.migrate.registry import VERSIONS
from tests.cli.running import aml
from tests.contract.migrating import claim_of, contents, detected, two_agents
from tests.support.records import Record, pattern, to_v110, to_v120, to_v200
from tests.support.stores import read_array, write_array


def test_detect_shows_a_matrix_of_agents_kinds_and_versions(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    write_array(memory / "beta" / "patterns.json", [to_v120(pattern()), to_v110(pattern()), None])
    answer = aml(tmp_path, "migrate", "detect")
    assert answer.status == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[0] == ["agent", "kind", "1.0.0", "1.1.0", "1.2.0", "no", "record"]
    assert ["beta", "patterns", ".", "1", "1", "1"] in lines
    assert "several versions are mixed" in answer.out


def test_records_of_a_newer_schema_are_counted_beside_the_others(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    write_array(memory / "beta" / "patterns.json", [pattern(), {**pattern(), "version": "3.0.0"}])
    answer = aml(tmp_path, "migrate", "detect")
    assert answer.status == 13
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[0] == ["agent", "kind", "1.0.0", "newer"]
    assert ["beta", "patterns", "1", "1"] in lines
    assert "16 records: 15 of 1.0.0, 1 newer than AML knows" in answer.out
    for path in memory.glob("*/*.json"):
        write_array(path, [{**pattern(), "version": "3.0.0"}])
    assert "6 records: 6 newer than AML knows" in aml(tmp_path, "migrate", "detect").out


@pytest.mark.parametrize("mixture", [(dict, to_v120), (to_v120, to_v200), (to_v110, to_v120, to_v200)])
def test_what_detect_advises_for_a_mixed_store_makes_it_one_of_one_version(
    tmp_path: Path, mixture: tuple[Callable[..., Record], ...]
) -> None:
    memory = two_agents(tmp_path)
    made = [change(pattern(id=str(number))) for number, change in enumerate(mixture)]
    write_array(memory / "beta" / "patterns.json", made)
    for path in (memory / "alpha").glob("*.json"):
        path.unlink()
    for name in ("solutions", "decisions"):
        (memory / "beta" / f"{name}.json").unlink()
    found = re.search("mixed: (.+) brings? all to 1.2.0$", aml(tmp_path, "migrate", "detect").out, re.MULTILINE)
    assert found is not None
    for command in found[1].split(" and then "):
        assert aml(tmp_path, *command.split()[1:]).status == 0
    assert set(detected(memory).versions) == {"1.2.0"}


def test_steps_are_told_in_the_order_in_which_they_are_taken(tmp_path: Path) -> None:
    two_agents(tmp_path)
    up = aml(tmp_path, "migrate", "up", "--to", "2.0.0", "--yes")
    assert "; 1.0.0 -> 1.1.0: 18, 1.1.0 -> 1.2.0: 18, 1.2.0 -> 2.0.0: 18; " in up.out
    down = aml(tmp_path, "migrate", "down", "--to", "1.0.0")
    assert "; 2.0.0 -> 1.2.0: 18, 1.2.0 -> 1.1.0: 18, 1.1.0 -> 1.0.0: 18; " in down.out


def test_an_undo_across_a_migration_tells_that_older_versions_came_back(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    write_array(
        memory / "alpha" / "patterns.json",
        [pattern(id="p"), pattern(id="old", created_days=900, unused_days=900, success=0.1)],
    )
    run = aml(tmp_path, "prune", "--max-loss", "100%", "--json").envelope["data"]["run"]
    assert aml(tmp_path, "migrate", "up").status == 0
    told = "has the schema versions of the time before run"
    assert told in aml(tmp_path, "prune", "undo", run, "--dry-run").err
    answer = aml(tmp_path, "prune", "undo", run, "--json")
    assert answer.status == 0
    assert any(told in warning for warning in answer.envelope["warnings"])
    assert detected(memory).versions["1.0.0"] == 1
    assert aml(tmp_path, "migrate", "up").status == 0
    assert set(detected(memory).versions) == {"1.2.0"}
    assert told not in aml(tmp_path, "prune", "undo", run).err, "nothing came back"


def test_detect_counts_the_records_that_a_migration_finds(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    odd = b'[{"id": "a", "n": NaN}, {"id": "b", "n": NaN, "tags": [], "active": true}, null, 5, {"version": "1.0.7"},'
    odd += b' {"n": NaN, "version": "3.0.0"}, {"n": 1.10, "n": 2}, {"version": "2.0.0", "n": Infinity}]'
    (memory / "beta" / "patterns.json").write_bytes(odd)
    found = aml(tmp_path, "migrate", "detect", "--agent", "beta", "--json").envelope["data"]["files"][0]
    assert found["versions"] == {"1.0.0": 2, "1.0.7": 1, "1.1.0": 1, "2.0.0": 1}
    assert (found["odd"], found["too_new"]) == (2, 1)
    plan = aml(tmp_path, "migrate", "plan", "--agent", "beta", "--json").envelope["data"]["files"][0]
    assert plan["versions"] == found["versions"] | {"3.0.0": 1}
    assert (plan["odd"], plan["too_new"]) == (2, 1)
    told = aml(tmp_path, "migrate", "detect", "--agent", "beta").out
    assert "several versions are mixed, and there is no schema version 1.0.7" in told


@pytest.mark.parametrize("gone", [(0, 1), (1, 3), (2, 5), (0, 3, 5), (4, 5)])
def test_records_that_come_back_into_a_migrated_file_stand_where_they_stood(
    tmp_path: Path, gone: tuple[int, ...]
) -> None:
    memory = two_agents(tmp_path)
    path = memory / "alpha" / "patterns.json"
    old = {"created_days": 900, "unused_days": 900, "success": 0.1}
    write_array(path, [pattern(id=str(one), **(old if one in gone else {})) for one in range(6)])
    run = aml(tmp_path, "prune", "--max-loss", "100%", "--json").envelope["data"]["run"]
    assert len(read_array(path)) == 6 - len(gone)
    assert aml(tmp_path, "migrate", "up", "--to", "2.0.0", "--yes").status == 0
    assert aml(tmp_path, "prune", "undo", run).status == 0
    assert [record["id"] for record in read_array(path)] == ["0", "1", "2", "3", "4", "5"]


def test_a_mix_of_the_two_oldest_versions_is_ordinary(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    write_array(memory / "beta" / "patterns.json", [to_v110(pattern())])
    answer = aml(tmp_path, "migrate", "detect", "--json")
    assert answer.envelope["data"]["is_mixed"] is False
    assert answer.envelope["warnings"] == []


@pytest.mark.parametrize(("spoilt", "status"), [(b"[", 3), (b"[{", 3)])
def test_detect_tells_of_a_file_that_it_cannot_read(tmp_path: Path, spoilt: bytes, status: int) -> None:
    memory = two_agents(tmp_path)
    (memory / "beta" / "patterns.json").write_bytes(spoilt)
    answer = aml(tmp_path, "migrate", "detect")
    assert answer.status == status
    assert "left alone: beta/patterns.json" in answer.err


def test_detect_where_no_file_can_be_read_is_damage(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    for path in memory.glob("*/*.json"):
        path.write_bytes(b"[")
    assert aml(tmp_path, "migrate", "detect").status == 12


def test_detect_of_one_agent_asks_no_claim(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    aml(tmp_path, "migrate", "up", "--to", "1.1.0")
    write_array(memory / "beta" / "patterns.json", [to_v120(pattern())])
    assert len(aml(tmp_path, "migrate", "detect", "--json").envelope["data"]["claims"]) == 1
    found = aml(tmp_path, "migrate", "detect", "--agent", "alpha", "--json").envelope["data"]
    assert (found["claims"], found["versions"]) == ([], {"1.1.0": 9})


def test_a_plan_shows_records_before_and_after_and_changes_nothing(tmp_path: Path) -> None:
    memory = two_agents(tmp_path, change=lambda one: {**one, "note": "\x1b[2J naïve"})
    before = contents(memory)
    for words in (("plan", "--to", "1.1.0"), ("up", "--to", "1.1.0", "--dry-run")):
        answer = aml(tmp_path, "migrate", *words)
        assert answer.status == 0
        assert '+  "tags": []' in answer.out
        assert "\x1b" not in answer.out
        assert "naïve" in answer.out
        assert "would go up to 1.1.0: 18 records in 6 files" in answer.out
    assert contents(memory) == before
    assert not memory.with_name("memory.aml").exists()


def test_a_plan_that_could_not_be_carried_out_says_so_by_its_status(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    write_array(memory / "beta" / "patterns.json", [{**pattern(id="x"), "version": "1.7.0"}])
    answer = aml(tmp_path, "migrate", "plan", "--json")
    assert answer.status == 1
    assert answer.envelope["data"]["bad"][0] == {
        "agent": "beta",
        "file": "patterns.json",
        "position": 0,
        "id": "x",
        "version": "1.7.0",
        "reason": answer.envelope["data"]["bad"][0]["reason"],
    }
    assert "beta/patterns.json" in answer.envelope["data"]["obstacle"]
    assert aml(tmp_path, "migrate", "plan", "--skip-bad").status == 0


def test_up_is_one_line_and_quiet_is_none(tmp_path: Path) -> None:
    two_agents(tmp_path)
    answer = aml(tmp_path, "migrate", "up", "--to", "1.1.0")
    assert answer.status == 0
    assert len(answer.out.splitlines()) == 1
    assert "backup 2" in answer.out
    assert not answer.err
    answer = aml(tmp_path, "migrate", "up", "-q")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
    assert "nothing went up" in aml(tmp_path, "migrate", "up").out


def test_up_goes_to_the_newest_version_that_agents_read(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    assert aml(tmp_path, "migrate", "up").status == 0
    assert set(detected(memory).versions) == {"1.2.0"}


def test_h19_without_a_terminal_or_yes_nothing_becomes_unreadable(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    before = contents(memory)
    answer = aml(tmp_path, "migrate", "up", "--to", "2.0.0")
    assert answer.status == 2
    assert "--yes" in answer.err
    assert contents(memory) == before
    assert aml(tmp_path, "migrate", "plan", "--to", "2.0.0").status == 0
    answer = aml(tmp_path, "migrate", "up", "--to", "2.0.0", "--yes")
    assert answer.status == 0
    assert "cannot read 8 patterns any more" in answer.err


def test_down_needs_to_know_where_to(tmp_path: Path) -> None:
    two_agents(tmp_path)
    assert aml(tmp_path, "migrate", "down").status == 2
    answer = aml(tmp_path, "migrate", "up", "--to", "9.9.9")
    assert answer.status == 2
    assert all(version in answer.err for version in VERSIONS)


def test_the_older_words_mean_up(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    assert aml(tmp_path, "migrate", "migrate", "--version", "1.1.0", "--dry-run").status == 0
    assert aml(tmp_path, "migrate", "migrate", "--version", "1.1.0").status == 0
    assert set(detected(memory).versions) == {"1.1.0"}
    assert aml(tmp_path, str(memory), "migrate", "migrate").status == 0
    assert set(detected(memory).versions) == {"1.2.0"}
    assert "\n  migrate " not in aml(tmp_path, "migrate", "--help").out.partition("Commands")[2]


def test_one_agent_alone_changes_no_claim(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    assert aml(tmp_path, "migrate", "up", "--agent", "alpha").status == 0
    assert detected(memory).versions == {"1.0.0": 9, "1.2.0": 9}
    assert claim_of(memory) is None
    assert aml(tmp_path, "migrate", "up", "--agent", "alhpa").status == 2


def test_without_a_backup_it_says_so(tmp_path: Path) -> None:
    two_agents(tmp_path)
    answer = aml(tmp_path, "migrate", "up", "--no-backup", "--json")
    assert answer.status == 0
    assert answer.envelope["data"]["backup"] is None
    assert answer.envelope["warnings"] == ["no backup was made before"]


def test_history_names_runs_backups_and_claims(tmp_path: Path) -> None:
    two_agents(tmp_path)
    assert "no run has migrated" in aml(tmp_path, "migrate", "history").out
    backup = aml(tmp_path, "migrate", "up", "--json").envelope["data"]["backup"]
    aml(tmp_path, "migrate", "down", "--to", "1.1.0")
    answer = aml(tmp_path, "migrate", "history", "-v")
    assert backup in answer.out
    assert "down to 1.1.0" in answer.out
    assert "claims 1.1.0, which is true" in answer.out
    assert "1.2.0 -> 1.1.0" in answer.out
    told = aml(tmp_path, "migrate", "history", "--json", "--limit", "1").envelope["data"]
    assert [run["options"]["direction"] for run in told["runs"]] == ["down"]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('{"version": "1.0.0"}', '{"version": "1.1.0"}'),
        ('{\n  "schema_version": "1.0.0",\n  "n": 1.10\n}\n', '{\n  "schema_version": "1.1.0",\n  "n": 1.10\n}\n'),
        ('{"migrations": []}', '{"migrations": [], "version": "1.1.0"}'),
        ("{}", '{"version":"1.1.0"}'),
        ('\n{\n    "current_version" : "1.0.0",\n    "by" : [1,\n 2]}\n\n', None),
        ('{"n": 1, "n": 2, "version": "1.0.0", "nan": NaN}', None),
    ],
)
def test_the_file_of_older_scripts_is_kept_up_to_date_where_it_is(tmp_path: Path, text: str, after: str | None) -> None:
    memory = two_agents(tmp_path)
    path = memory / "config" / "schema_version.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    assert aml(tmp_path, "migrate", "up", "--to", "1.1.0").status == 0
    # whatever else stands there keeps its bytes
    assert path.read_text() == (after if after is not None else text.replace("1.0.0", "1.1.0"))


@pytest.mark.parametrize("text", ["[]", "", "{", "\x1f\x8b"])
def test_a_foreign_file_in_its_place_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    memory = two_agents(tmp_path)
    path = memory / "config" / "schema_version.json"
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    answer = aml(tmp_path, "migrate", "up", "--to", "1.1.0", "--json")
    assert answer.status == 0
    assert any("schema_version.json" in one for one in answer.envelope["warnings"])
    assert path.read_bytes() == text.encode("latin-1")
    assert claim_of(memory)["version"] == "1.1.0"


def test_no_config_folder_is_made(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    aml(tmp_path, "migrate", "up")
    assert not (memory / "config").exists()


def test_a_store_without_records_is_of_every_version(tmp_path: Path) -> None:
    memory = two_agents(tmp_path)
    for path in memory.glob("*/*.json"):
        path.unlink()
    assert aml(tmp_path, "migrate", "up").status == 0
    assert claim_of(memory)["version"] == "1.2.0"
