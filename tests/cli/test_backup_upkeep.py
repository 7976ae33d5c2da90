"""``aml backup rotate``, ``drill`` and ``auto``: what cron runs, and what expires."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from pathlib import Path

import pytest

from tests.cli.running import Answer, aml, aml_child, kept, old
from tests.contract.backing_up import (
    DAY,
    at,
    create_backup,
    data_of,
    flip,
    ids_in,
    memory_of,
    packs_of,
    project_in,
    repository_of,
    tree,
    write_noise,
)
from tests.support.stores import make_store, read_array, tree_digest, write_array

ALL_OF_IT = {"AML_BACKUP_VERIFY_SHARE": "100%"}

# ---- rotate


def _twelve(project: Path) -> list[str]:
    """Twelve backups, one each 5 days."""
    return [create_backup(project, now=at(days=5 * number)) for number in range(12)]


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        ([], [6, 7, 8, 9, 10, 11]),
        (["--keep-last", "2"], [10, 11]),
        (["--keep-last", "0"], [11]),
        (["--keep-within", "12d"], [9, 10, 11]),
        (["--keep-weekly", "3"], [8, 10, 11]),
        (["--keep-monthly", "2"], [8, 11]),
        (["--keep-last", "1", "--keep-within", "16d"], [8, 9, 10, 11]),
        (["--max-backups", "2"], [10, 11]),
        (["--keep-last", "5", "--max-backups", "3"], [9, 10, 11]),
    ],
    ids=lambda one: " ".join(one) if one and isinstance(one[0], str) else "",
)
def test_rotate_keeps_what_the_rules_say(tmp_path: Path, words: list[str], stay: list[int]) -> None:
    project = project_in(tmp_path)
    names = _twelve(project)
    now = at(days=56)
    planned = aml(project, "backup", "rotate", *words, "--dry-run", now=now)
    assert ids_in(project) == names, "a dry run removes nothing"
    done = aml(project, "backup", "rotate", *words, now=now)
    assert (planned.status, done.status) == (0, 0)
    assert ids_in(project) == [names[number] for number in stay]
    rows = {line.split()[1]: line for line in planned.out.splitlines() if line.startswith(("keep ", "remove "))}
    assert {name for name, row in rows.items() if row.startswith("keep")} == set(ids_in(project)), "as was planned"
    assert all(len(row.split()) > 2 for row in rows.values()), "each with its reason"
    assert f"removed {12 - len(stay)} of 12 backups" in done.out


def test_rotate_judges_each_scope_for_itself_and_keeps_tags(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    release = create_backup(project, "--tag", "release")
    create_backup(project, now=at(days=1))
    alpha = create_backup(project, "--agent", "alpha", now=at(days=2))
    whole = create_backup(project, now=at(days=3))
    answer = data_of(project, "rotate", "--keep-last", "1", "--keep-tag", "release", now=at(days=40))
    assert ids_in(project) == [release, alpha, whole]
    reasons = {one["id"]: one["reasons"] for one in answer["backups"]}
    assert reasons[release] == ["tag release"]
    assert any("newest" in reason for reason in reasons[alpha])


def test_rotate_frees_what_nobody_needs(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    start = time.time()
    write_noise(project, "gamma")
    create_backup(project, now=start)
    big = packs_of(project)
    (memory_of(project) / "gamma/patterns.json").write_bytes(b"[]")
    create_backup(project, now=start + DAY)
    words = ["rotate", "--keep-last", "1", "--json"]
    planned = aml(project, "backup", *words, "--dry-run", now=start + 2 * DAY).envelope["data"]
    done = aml(project, "backup", *words, now=start + 2 * DAY).envelope["data"]
    assert planned["packs_repacked"] == done["packs_repacked"] == 1
    assert done["freed_bytes"] > 300_000
    assert not big & packs_of(project)
    assert aml(project, "backup", "verify", now=start + 2 * DAY).status == 0


def test_rotate_takes_rules_from_the_settings(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    names = _twelve(project)
    (project / ".loom/aml.toml").write_text("[rotate]\nkeep_last = 4\nkeep_within_days = 0\n", encoding="utf-8")
    assert aml(project, "backup", "rotate", now=at(days=56)).status == 0
    assert ids_in(project) == names[-4:]


def test_rotate_refuses_a_clock_that_cannot_be_true(tmp_path: Path) -> None:
    """A clock that is years ahead would make every backup too old at once."""
    project = project_in(tmp_path)
    names = [create_backup(project, now=at(days=day)) for day in range(4)]
    for wrong in (at(days=3000), at(days=-30)):
        answer = aml(project, "backup", "rotate", "--keep-within", "30d", now=wrong)
        assert answer.status == 1
        assert "--trust-clock" in answer.err
        assert ids_in(project) == names
        planned = aml(project, "backup", "rotate", "--keep-within", "30d", "--dry-run", now=wrong)
        assert planned.status == 0
        assert "--trust-clock" in planned.err
    trusted = aml(project, "backup", "rotate", "--keep-within", "30d", "--trust-clock", now=at(days=3000))
    assert trusted.status == 0
    assert ids_in(project) == names[-1:], "even then never the newest"


# ---- archives of removed records


def _pruned(folder: Path) -> tuple[Path, str]:
    make_store(folder, {"alpha": {"patterns": [old("o1"), *(kept(f"k{number}") for number in range(4))]}})
    return folder, aml(folder, "prune", "--json").envelope["data"]["run"]


def test_archives_expire_after_a_year_and_undo_says_so(tmp_path: Path) -> None:
    project, run = _pruned(tmp_path)
    (archive,) = (repository_of(project) / "archives").rglob("*.gz")
    assert aml(project, "backup", "rotate", "--trust-clock", now=at(days=364)).status == 0
    assert archive.exists()
    planned = aml(project, "backup", "rotate", "--trust-clock", "--dry-run", "--json", now=at(days=366))
    assert planned.envelope["data"]["archives"] == [archive.relative_to(repository_of(project)).as_posix()]
    assert archive.exists()
    gone = aml(project, "backup", "rotate", "--trust-clock", now=at(days=366))
    assert "1 expired archive" in gone.out
    assert not archive.exists()
    before = tree_digest(memory_of(project))
    for words in (["--dry-run"], []):
        undone = aml(project, "prune", "undo", run, *words)
        assert (undone.status, undone.out) == (1, "")
        assert "expired" in undone.err
        assert "backup" in undone.err, "where its records may still be"
    assert tree_digest(memory_of(project)) == before
    assert run in aml(project, "prune", "history").out


def test_how_long_archives_are_kept_is_a_setting(tmp_path: Path) -> None:
    project, run = _pruned(tmp_path)
    (project / ".loom/aml.toml").write_text("[rotate]\narchive_days = 10\n", encoding="utf-8")
    assert aml(project, "backup", "rotate", now=at(days=9)).status == 0
    assert aml(project, "prune", "undo", run, "--dry-run").status == 0
    assert aml(project, "backup", "auto", now=at(days=11)).status == 0, "auto rotates by the same settings"
    assert aml(project, "prune", "undo", run).status == 1


def test_what_has_expired_is_in_the_backup_before_it(tmp_path: Path) -> None:
    project, _ = _pruned(tmp_path / "p")
    aml(project, "backup", "rotate", "--trust-clock", now=at(days=366))
    (backup,) = ids_in(project)
    out = tmp_path / "out"
    assert aml(project, "backup", "restore", backup, "--target", str(out)).status == 0
    assert "o1" in [one["id"] for one in read_array(out / "alpha/patterns.json")]


# ---- drill


def test_a_drill_proves_a_restore_and_leaves_nothing_behind(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    before = set(tree(tmp_path))
    answer = aml(project, "backup", "drill")
    assert answer.status == 0
    assert "4 files" in answer.out
    assert {path for path in set(tree(tmp_path)) - before if "memory.aml/" not in path} == set()
    assert not list((project / ".loom/memory.aml").glob("*drill*"))
    noted = (project / ".loom/memory.aml").rglob("*.json")
    assert any(b'"drill"' in path.read_bytes() for path in noted), "when a restore was last proven is written down"


def test_12_a_drill_of_a_damaged_backup_names_the_files(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    write_noise(project, "gamma")
    create_backup(project)
    (pack,) = packs_of(project)
    flip(pack, pack.stat().st_size // 2)
    answer = aml(project, "backup", "drill", "--json")
    assert answer.status == 12
    assert answer.envelope["data"]["wrong"]
    assert aml(project, "backup", "drill", "-q").err != ""


# ---- auto


def test_the_cron_line_word_for_word(tmp_path: Path) -> None:
    """``aml /project/.loom/memory backup auto``"""
    project = project_in(tmp_path / "project")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for kind in ("full", "incremental"):
        answer = aml_child(elsewhere, *f"{project}/.loom/memory backup auto".split())
        assert answer.status == 0, answer.err
        assert answer.err == ""
        assert len(answer.out.splitlines()) == 1, "one line for the log"
        assert f", {kind}, 4 files" in answer.out
    assert aml_child(elsewhere, f"{project}/.loom/memory", "backup", "auto", "-q") == Answer(0, "", "")
    assert len(ids_in(project)) == 3


def test_auto_makes_a_full_backup_each_week(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    kinds = {}
    for day in (0, 1, 6.9, 7, 8, 13.9, 14.1):
        data = data_of(project, "auto", now=at(days=day))
        kinds[day] = data["backup"]["kind"]
        assert data["backup"]["tags"] == ["auto"]
        assert data["verify"]["tier"] == "sample"
    assert [day for day, kind in kinds.items() if kind == "full"] == [0, 7, 14.1]
    assert data_of(project, "auto", now=at(days=15))["backup"]["kind"] == "incremental"


def test_a_full_backup_by_hand_counts_and_one_of_an_agent_does_not(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project, "--full", "--agent", "alpha")
    assert data_of(project, "auto", now=at(days=1))["backup"]["kind"] == "full"
    create_backup(project, "--full", now=at(days=6))
    assert data_of(project, "auto", now=at(days=9))["backup"]["kind"] == "incremental"
    (project / ".loom/aml.toml").write_text("[backup]\nfull_days = 1\n", encoding="utf-8")
    assert data_of(project, "auto", now=at(days=10))["backup"]["kind"] == "full"


def test_auto_verifies_a_share_of_the_packs_in_turn(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    for number in range(4):
        write_array(memory_of(project) / f"more-{number}/patterns.json", [kept(f"r{number}")])
        create_backup(project, now=at(days=number))
    few = data_of(project, "auto", now=at(days=5))["verify"]
    assert (few["packs"], few["packs_total"]) == (1, 4)
    half = aml(project, "backup", "auto", "--json", environment={"AML_BACKUP_VERIFY_SHARE": "50%"}, now=at(days=6))
    assert half.envelope["data"]["verify"]["packs"] == 2


def test_auto_rotates_by_the_settings(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    (project / ".loom/aml.toml").write_text("[rotate]\nkeep_last = 2\nkeep_within_days = 0\n", encoding="utf-8")
    for day in range(5):
        answer = aml(project, "backup", "auto", now=at(days=day))
        assert answer.status == 0
    assert len(ids_in(project)) == 2
    assert "1 backup" in answer.out


def test_12_auto_finds_damage_and_lets_no_backup_go(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    write_noise(project, "gamma")
    (project / ".loom/aml.toml").write_text("[rotate]\nkeep_last = 1\nkeep_within_days = 0\n", encoding="utf-8")
    first = create_backup(project)
    (pack,) = packs_of(project)
    flip(pack, pack.stat().st_size // 2)
    answer = aml(project, "backup", "auto", environment=ALL_OF_IT, now=at(days=1))
    assert answer.status == 12
    for part in (pack.name, first, "gamma/patterns.json", "rotate: left out"):
        assert part in answer.err, part
    assert len(ids_in(project)) == 2, "the new one and the old one, which may be needed"
    (project / ".loom/aml.toml").unlink()
    data = data_of(project, "auto", now=at(days=1, seconds=1))
    assert data["backup"]["repaired"] > 0, "what was found is mended by the next one"
    out = tmp_path / "out"
    assert aml(project, "backup", "restore", first, "--target", str(out)).status == 0
    assert tree(out) == tree(memory_of(project))


def test_auto_tries_again_while_a_lock_is_held(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    environment = {
        "AML_LOCKS_TIMEOUT_SECONDS": "0",
        "AML_BACKUP_RETRIES": "8",
        "AML_BACKUP_RETRY_SECONDS": "0.05",
    }
    lock = (repository_of(project) / "lock").open("r+b")
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.4, lock.close).start()
    answer = aml(project, "backup", "auto", environment=environment, now=at(days=1))
    assert answer.status == 0
    assert answer.err.count("trying again in") >= 2
    assert "trying again in 0.05 s" in answer.err
    assert "trying again in 0.1 s" in answer.err, "twice as long each time"
    assert len(ids_in(project)) == 2


def test_11_auto_gives_up_in_the_end(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    create_backup(project)
    environment = {
        "AML_LOCKS_TIMEOUT_SECONDS": "0",
        "AML_BACKUP_RETRIES": "2",
        "AML_BACKUP_RETRY_SECONDS": "0.05",
    }
    with (project / ".loom/memory.aml/run.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = aml(project, "backup", "auto", environment=environment, now=at(days=1))
    assert (answer.status, answer.out) == (11, "")
    assert answer.err.count("trying again") == 2
    assert len(ids_in(project)) == 1


def test_1_auto_says_why_a_repository_cannot_be_had(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    repository_of(project).write_bytes(b"no folder")
    environment = {"AML_BACKUP_RETRIES": "1", "AML_BACKUP_RETRY_SECONDS": "0"}
    answer = aml(project, "backup", "auto", "--json", environment=environment)
    envelope = json.loads(answer.out)
    assert (answer.status, envelope["exit"], envelope["data"]) == (1, 1, None)
    assert str(repository_of(project)) in envelope["errors"][0]["message"]
    assert repository_of(project).read_bytes() == b"no folder"


def test_an_io_error_at_the_first_look_is_tried_again(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    repository_of(project).write_bytes(b"no folder")
    threading.Timer(0.3, repository_of(project).unlink).start()
    environment = {"AML_BACKUP_RETRIES": "8", "AML_BACKUP_RETRY_SECONDS": "0.05"}
    answer = aml(project, "backup", "auto", environment=environment)
    time.sleep(0.4)
    assert answer.status == 0
    assert "trying again" in answer.err


def test_a_clock_gone_wrong_lets_auto_back_up_but_not_rotate(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    aml(project, "backup", "auto")
    answer = aml(project, "backup", "auto", now=at(days=3000))
    assert answer.status == 1
    assert "rotate" in answer.err
    assert "clock" in answer.err
    assert len(ids_in(project)) == 2
