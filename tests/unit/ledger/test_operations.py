"""The notes on operations: the last run of each and its last success, whoever writes at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aml.errors import AmlError
from aml.ledger.operations import Operation, last_operations, last_successes, note_operation
from aml.store.open import Store, open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.upkeep import drill, rotate_backups, verify_backups
from tests.support.records import NOW, pattern
from tests.support.stores import make_store, tree_digest

START = NOW.timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p")]}}))


def run(name: str, status: int = 0, subject: str = "") -> Operation:
    return Operation(name, "2026-11-20T12:00:00.000Z", 0.5, status, subject, {"files": 3})


def test_nothing_is_noted_at_first_and_looking_makes_nothing(store: Store) -> None:
    assert last_operations(store) == last_successes(store) == {}
    assert not store.state.exists()


def test_the_last_run_of_each_operation_is_known(store: Store) -> None:
    for one in (run("backup", subject="a"), run("verify"), run("backup", subject="b")):
        note_operation(store, one)
    assert last_operations(store) == {"backup": run("backup", subject="b"), "verify": run("verify")}
    assert last_successes(store) == last_operations(store)


def test_a_failure_does_not_hide_the_last_success(store: Store) -> None:
    note_operation(store, run("backup", subject="good"))
    for status in (1, 3, 12):
        note_operation(store, run("backup", status))
        assert last_operations(store)["backup"].exit == status
        assert last_successes(store)["backup"].subject == "good"
    note_operation(store, run("verify", 12))
    assert "verify" not in last_successes(store)


def test_the_notes_are_private(store: Store) -> None:
    note_operation(store, run("backup"))
    assert store.state.stat().st_mode & 0o777 == 0o700
    for path in store.state.glob("operations.*"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in store.state.iterdir()} == {".gitignore", "operations.json", "operations.lock"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"last": 1}', b'{"last": {"backup": {}}}', b"\xff"])
def test_damaged_notes_are_forgotten_and_written_anew(store: Store, content: bytes) -> None:
    note_operation(store, run("backup"))
    (store.state / "operations.json").write_bytes(content)
    assert last_operations(store) == last_successes(store) == {}
    note_operation(store, run("verify"))
    assert last_operations(store) == {"verify": run("verify")}


def test_notes_written_at_the_same_time_are_all_kept(store: Store) -> None:
    names = [f"operation-{number}" for number in range(16)]
    threads = [threading.Thread(target=note_operation, args=(store, run(name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert last_operations(store) == {name: run(name) for name in names}


def test_a_link_in_place_of_the_lock_is_not_followed(store: Store, tmp_path: Path) -> None:
    note_operation(store, run("backup"))
    (store.state / "operations.lock").unlink()
    (store.state / "operations.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AmlError, match=r"operations\.lock"):
        note_operation(store, run("verify"))
    assert not (tmp_path / "elsewhere").exists()


def test_each_operation_on_backups_is_noted_with_what_it_came_to(store: Store) -> None:
    made = backup(store, now=START)
    verify_backups(store, now=START + 1)
    verify_backups(store, made.id, tier="quick", now=START + 2)
    drill(store, now=START + 3)
    rotate_backups(store, now=START + 4)
    found = last_operations(store)
    assert found["backup"].subject == found["verify-one"].subject == found["drill"].subject == made.id
    assert found["backup"].counts["files"] == 1
    assert found["verify"].counts == {"snapshots": 1, "packs": 1, "findings": 0}
    assert found["verify"].subject == "deep"
    assert [found[name].started[17:19] for name in ("backup", "verify", "verify-one", "drill", "rotate")] == [
        f"0{number}" for number in range(5)
    ]
    assert all(one.seconds >= 0 and one.exit == 0 for one in found.values())


def test_found_damage_is_noted_as_no_success(store: Store) -> None:
    backup(store, now=START)
    next(store.keep.glob("packs/*/*.gz")).unlink()
    verify_backups(store, now=START + 1)
    drill_status = drill_or_none(store)
    assert last_operations(store)["verify"].exit == 12
    assert last_operations(store).get("drill", run("drill", 12)).exit == 12
    assert drill_status in (None, 12)
    assert last_successes(store).keys() == {"backup"}


def drill_or_none(store: Store) -> int | None:
    """The status of a drill; None where it gives up."""
    try:
        return int(drill(store, now=START + 2).status)
    except AmlError:
        return None


def test_looking_at_backups_leaves_no_note(store: Store) -> None:
    backup(store, now=START)
    before = tree_digest(store.state)
    list_backups(store)
    rotate_backups(store, now=START + 4, dry_run=True)
    assert tree_digest(store.state) == before
