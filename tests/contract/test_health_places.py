"""What health says of where things lie: strange folders, sizes, locks, rights, room, the disk of the backups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aml.config import HealthSettings, Settings, SpaceSettings, WebhookSettings
from aml.workflows.conditions import Conditions
from tests.cli.running import aml
from tests.contract.checking import DAY, HOUR, checked, health, only_finding, store_with, subjects
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, write_array

MIB = 1 << 20


def test_a_plain_store_has_nothing_strange_in_it(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    for folder in ("global", "audit", "backup/alpha-2026", "backups", "config", ".cache", "backup-1-x/alpha"):
        (memory / folder).mkdir(parents=True)
    for name in ("README.md", ".gitkeep", "config.json", "alpha/notes.md"):
        (memory / name).write_text("{}")
    for name in ("structure", "limits", "locks", "permissions", "disk_space", "same_disk"):
        assert checked(memory, name).state == "ok", checked(memory, name)


def test_what_is_strange_is_told_by_its_sort(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    (memory / "linked").symlink_to(tmp_path)
    (memory / "alpha/decisions.json").rename(tmp_path / "elsewhere.json")
    (memory / "alpha/decisions.json").symlink_to(tmp_path / "elsewhere.json")
    (memory / "alpha/nested").mkdir()
    (memory / "node_modules/left-pad").mkdir(parents=True)
    os.mkfifo(memory / "alpha/pipe")
    write_array(memory / "alpha/solutions.json.gz", [], form="gzip")
    (memory / os.fsdecode(b"caf\xe9")).mkdir()
    found = checked(memory, "structure")
    assert subjects(found) == {
        "links": "warning",
        "names": "warning",
        "compressed copies": "warning",
        "folders": "info",
        "no agents": "info",
        "files": "info",
    }
    details = {one.subject: one.details for one in found.findings}
    assert details["links"] == ("linked", "alpha/decisions.json")
    assert details["no agents"] == ("node_modules",)
    advice = next(one.advice for one in found.findings if one.subject == "compressed copies")
    assert advice.startswith("aml optimize gc")


def test_sizes_are_held_against_the_limits_of_space(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {name: {"patterns": [pattern() for _ in range(20)]} for name in ("alpha", "beta")})
    size = (memory / "alpha/patterns.json").stat().st_size

    def settings(agent: float, store: float) -> Settings:
        return Settings(space=SpaceSettings(agent_mb=agent * size / MIB, store_mb=store * size / MIB))

    assert checked(memory, "limits", settings=settings(1.4, 3)).state == "ok"
    assert subjects(checked(memory, "limits", settings=settings(1.3, 9))) == {"alpha": "warning", "beta": "warning"}
    assert subjects(checked(memory, "limits", settings=settings(0.9, 9))) == {"alpha": "critical", "beta": "critical"}
    assert subjects(checked(memory, "limits", settings=settings(9, 2.5))) == {"": "warning"}
    finding = only_finding(memory, "limits", settings=settings(9, 1.5))
    assert finding.level.word == "critical"
    assert finding.value == sum(path.stat().st_size for path in memory.rglob("*.json"))
    assert finding.advice == "aml prune --strategy space --dry-run"


def test_the_sizes_are_those_at_which_space_prune_acts(tmp_path: Path) -> None:
    """60 and 80 MB an agent, 600 and 800 MB a store."""
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    big = memory / "alpha/context.json"
    for octets, level in ((59 * MIB, None), (60 * MIB, "warning"), (79 * MIB, "warning"), (80 * MIB, "critical")):
        with big.open("wb") as stream:
            stream.truncate(octets - 2)
        assert subjects(checked(memory, "limits")) == ({} if level is None else {"alpha": level})


def test_copies_of_the_runtime_do_not_count(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    (memory / "backup").mkdir()
    (memory / "backup/big").write_bytes(bytes(MIB))
    assert checked(memory, "limits", settings=Settings(space=SpaceSettings(store_mb=0.5))).state == "ok"


@pytest.mark.parametrize(("age", "state"), [(5, "ok"), (59, "ok"), (-500, "ok"), (61, "warning"), (DAY, "warning")])
def test_a_lock_that_nobody_touches_is_stale(tmp_path: Path, age: float, state: str) -> None:
    memory = store_with(tmp_path)
    lock = memory / "alpha/patterns.json.lock"
    lock.mkdir()
    os.utime(lock, (NOW.timestamp() - age,) * 2)
    found = checked(memory, "locks")
    assert found.state == state
    if found.findings:
        assert found.findings[0].subject == "alpha/patterns.json.lock"
        assert f"rmdir {lock}" in found.findings[0].advice


def test_a_lock_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    (memory / "alpha/patterns.json.lock").write_text("")
    assert subjects(checked(memory, "locks")) == {"alpha/patterns.json.lock": "error"}


def test_unfinished_writes_are_told_by_whose_they_are(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    for name in ("patterns.json.tmp", ".patterns.json.aml-tmp-01234567"):
        (memory / "alpha" / name).write_text("[")
        os.utime(memory / "alpha" / name, (NOW.timestamp() - HOUR,) * 2)
    (memory / "alpha/solutions.json.tmp").write_text("[")
    os.utime(memory / "alpha/solutions.json.tmp", (NOW.timestamp() - 1,) * 2)
    found = checked(memory, "locks")
    assert subjects(found) == {"alpha/patterns.json.tmp": "info", "alpha/.patterns.json.aml-tmp-01234567": "info"}
    assert checked(memory, "integrity").state == "ok", "nobody reads them"


def test_what_aml_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    backups = tmp_path / ".loom/memory-backup"
    assert aml(tmp_path, "backup", "create").status == 0
    assert checked(memory, "permissions").state == "ok"
    # as the agents' runtime makes it for copies of its own: what AML keeps in there stays closed
    backups.chmod(0o755)
    assert checked(memory, "permissions").state == "ok"
    for path in (tmp_path / ".loom/memory.aml", backups / "packs", backups / "snapshots"):
        path.chmod(0o755)
        finding = only_finding(memory, "permissions")
        assert (finding.subject, finding.level.word) == (str(path), "warning")
        assert finding.advice == f"chmod 700 {path}"
        path.chmod(0o700)


def signed(secret: Path) -> Settings:
    """Settings that name a file for the secret of the webhook."""
    return Settings(webhook=WebhookSettings(secret_file=str(secret)))


def test_a_secret_in_the_open_is_an_error(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    secret = tmp_path / "secret"
    assert checked(memory, "permissions", settings=signed(secret)).state == "ok"
    secret.write_text("hush")
    secret.chmod(0o600)
    assert checked(memory, "permissions", settings=signed(secret)).state == "ok"
    secret.chmod(0o640)
    finding = only_finding(memory, "permissions", settings=signed(secret))
    assert (finding.level.word, finding.subject) == ("error", str(secret))
    assert "hush" not in str(finding)


def test_a_secret_behind_a_link_is_as_private_as_its_file(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    (tmp_path / "mounted").write_text("hush")
    (tmp_path / "mounted").chmod(0o600)
    secret = tmp_path / "secret"
    secret.symlink_to("mounted")
    assert checked(memory, "permissions", settings=signed(secret)).state == "ok"
    (tmp_path / "mounted").chmod(0o644)
    assert only_finding(memory, "permissions", settings=signed(secret)).level.word == "error"
    secret.unlink()
    secret.symlink_to("secret")
    assert checked(memory, "permissions", settings=signed(secret)).state == "ok", "nothing there to be read"


def test_little_room_is_told_before_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = store_with(tmp_path)
    real = os.statvfs(memory)
    assert subjects(checked(memory, "disk_space", settings=Settings(health=HealthSettings(free_mb=1 << 29)))) == {
        "store": "warning"
    }
    assert subjects(checked(memory, "disk_space", settings=Settings(health=HealthSettings(free_inodes=1 << 39)))) == (
        {"store inodes": "warning"} if real.f_files else {}
    )

    class Full:
        f_bavail, f_frsize, f_files, f_favail = 0, 4096, 100, 5

    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    assert subjects(checked(memory, "disk_space")) == {"store": "critical", "store inodes": "warning"}


def test_the_room_that_is_wanted_grows_with_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = store_with(tmp_path)
    with (memory / "alpha/notes.md").open("wb") as stream:
        stream.truncate(700 * MIB)

    class Room:
        f_bavail, f_frsize, f_files, f_favail = 600 * 256, 4096, 0, 0

    monkeypatch.setattr(os, "statvfs", lambda _: Room)
    finding = only_finding(memory, "disk_space")
    assert (finding.level.word, finding.value) == ("warning", 600 * MIB)
    assert 700 * MIB <= (finding.threshold or 0) < 701 * MIB


def test_backups_on_the_disk_of_the_store_are_worth_a_word(tmp_path: Path) -> None:
    memory = store_with(tmp_path)
    assert checked(memory, "same_disk").state == "ok", "there are none"
    assert aml(tmp_path, "backup", "create").status == 0
    finding = only_finding(memory, "same_disk")
    assert (finding.level.word, finding.subject) == ("info", "")


def test_backups_on_another_disk_are_as_they_should_be(tmp_path: Path) -> None:
    import tempfile

    other = Path("/dev/shm")  # noqa: S108
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    memory = store_with(tmp_path)
    with tempfile.TemporaryDirectory(dir=other) as folder:
        repository = Path(folder, "repository")
        assert aml(tmp_path, "--repository", str(repository), "backup", "create").status == 0
        report = health(memory, "same_disk", "backup", conditions=Conditions(repository=repository))
        assert [one.state for one in report.checks if one.state != "skipped"] == ["ok", "ok"]


@pytest.mark.parametrize("name", ["structure", "limits", "locks", "permissions", "disk_space", "same_disk"])
def test_each_of_these_checks_runs_alone(tmp_path: Path, name: Any) -> None:
    report = health(store_with(tmp_path), name)
    assert report.ran == (name,)
    assert report.records is None, "no file was read for it"
