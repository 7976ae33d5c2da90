"""A call that fails half-way: report, journal and undo all say what is on disk, and one leftover stops nobody."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from aml.prune.report import PruneReport
from tests.contract.pruning import UNLIMITED, fresh, ids_of, problems, removed_ids, run_prune, run_undo, stale, totals
from tests.support.records import pattern
from tests.support.stores import make_store, read_array, tree_digest

TOO_NEW = {"beta": {"patterns": [pattern(id="new", version="3.0.0")]}}
NOTHING_ELSE: dict[str, dict[str, list[object]]] = {"beta": {"patterns": [fresh("b")]}}


def _store(tmp_path: Path, others: dict[str, Any]) -> Path:
    patterns = [stale("s1"), fresh("f1"), stale("s2"), fresh("f2")]
    return make_store(tmp_path, {"alpha": {"patterns": patterns}, **others})


def _journal(memory: Path, run: str | None) -> dict[str, Any]:
    found = json.loads((memory.with_name("memory.aml") / f"runs/{run}.json").read_bytes())
    assert isinstance(found, dict)
    return found


def _rewrite_journal(memory: Path, run: str | None, **changes: object) -> None:
    path = memory.with_name("memory.aml") / f"runs/{run}.json"
    path.write_text(json.dumps(_journal(memory, run) | changes), encoding="utf-8")


def _bring_back_to_begun(memory: Path, run: str | None) -> None:
    """The journal as a run leaves it that is killed before its last word: what it meant to touch, not what it did."""
    journal = _journal(memory, run)
    meant = [file | {"removed": []} for file in journal["files"]] if journal["operation"] == "prune" else []
    _rewrite_journal(memory, run, state="begun", finished=None, files=meant, counts={})


def _archives(memory: Path) -> list[Path]:
    return sorted((memory.with_name("memory-backup") / "archives").rglob("*.gz"))


def _spoil_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file appears inside each lock folder as soon as it is made, so that the lock cannot be given back."""
    make = os.mkdir

    def make_and_spoil(path: Any, *rest: Any, **named: Any) -> None:
        make(path, *rest, **named)
        if os.fspath(path).endswith(".lock"):
            (Path(path) / ".DS_Store").write_bytes(b"")

    monkeypatch.setattr(os, "mkdir", make_and_spoil)


def _fail_sync_of(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The disk reports an error whenever that folder is to be flushed."""
    sync, inode = os.fsync, folder.stat().st_ino

    def fail(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode) and found.st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


def _free(memory: Path) -> None:
    """What the advice says: remove the lock by hand."""
    for lock in memory.rglob("*.lock"):
        shutil.rmtree(lock)


def _assert_told_truly(memory: Path, report: PruneReport, before: bytes) -> None:
    """Two records of four are gone, and report, journal, archive and undo agree on that."""
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["f1", "f2"]
    assert totals(report)["removed"] == 2
    assert "alpha/patterns" in problems(report)
    journal = _journal(memory, report.run)
    assert journal["state"] == "failed"
    assert journal["counts"]["removed"] == 2
    (file,) = journal["files"]
    assert [key[0] for key in file["removed"]] == ["s1", "s2"]
    assert [file["archive"]] == [str(path.relative_to(memory.with_name("memory-backup"))) for path in _archives(memory)]
    assert file["bytes_after"] == (memory / "alpha/patterns.json").stat().st_size
    (undone,) = run_undo(memory, report.run).files
    assert (undone.restored, undone.problem) == (2, None)
    assert (memory / "alpha/patterns.json").read_bytes() == before


@pytest.mark.parametrize("others", [NOTHING_ELSE, TOO_NEW], ids=["alone", "beside a record that is too new"])
def test_a_lock_that_cannot_be_given_back_hides_no_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, Any]
) -> None:
    memory = _store(tmp_path, others)
    before = (memory / "alpha/patterns.json").read_bytes()
    with monkeypatch.context() as patch:
        _spoil_locks(patch)
        report = run_prune(memory, max_loss=UNLIMITED)
    _free(memory)
    assert report.status is (ExitStatus.SCHEMA if others is TOO_NEW else ExitStatus.FAILED)
    _assert_told_truly(memory, report, before)


@pytest.mark.parametrize("others", [NOTHING_ELSE, TOO_NEW], ids=["alone", "beside a record that is too new"])
def test_a_folder_that_cannot_be_flushed_hides_no_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, Any]
) -> None:
    memory = _store(tmp_path, others)
    before = (memory / "alpha/patterns.json").read_bytes()
    with monkeypatch.context() as patch:
        _fail_sync_of(patch, memory / "alpha")
        report = run_prune(memory, max_loss=UNLIMITED)
    assert report.status is (ExitStatus.SCHEMA if others is TOO_NEW else ExitStatus.FAILED)
    _assert_told_truly(memory, report, before)


def test_an_undo_whose_folder_cannot_be_flushed_is_journaled_by_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = _store(tmp_path, NOTHING_ELSE)
    before = (memory / "alpha/patterns.json").read_bytes()
    pruned = run_prune(memory, max_loss=UNLIMITED)
    with monkeypatch.context() as patch:
        _fail_sync_of(patch, memory / "alpha")
        undone = run_undo(memory, pruned.run)
    assert undone.status is ExitStatus.FAILED
    assert (memory / "alpha/patterns.json").read_bytes() == before
    (file,) = _journal(memory, undone.run)["files"]
    assert [key[0] for key in file["restored"]] == ["s1", "s2"]
    assert run_prune(memory, max_loss=UNLIMITED).total("came_back") == 0, "they were put back, and did not come back"


def test_what_a_failed_call_removed_counts_in_the_loss_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale(f"s{n}") for n in range(100)]}, **TOO_NEW})
    with monkeypatch.context() as patch:
        _fail_sync_of(patch, memory / "alpha")
        run_prune(memory)
    removed = [30, *(run_prune(memory).total("removed") for _ in range(3))]
    assert removed == [30, 20, 0, 0]
    assert len(read_array(memory / "alpha/patterns.json")) == 50


def _two_agents(tmp_path: Path) -> Path:
    agents = {name: {"patterns": [stale(f"{name}-s"), fresh(f"{name}-f")]} for name in ("alpha", "beta")}
    return make_store(tmp_path, agents)


@pytest.mark.parametrize("damage", ["gone", "cut short", "no archive at all"])
@pytest.mark.parametrize("operation", ["undo", "prune"])
def test_an_unfinished_run_with_a_lost_archive_does_not_stop_later_ones(
    tmp_path: Path, operation: str, damage: str
) -> None:
    memory = _two_agents(tmp_path)
    first = run_prune(memory, max_loss=UNLIMITED)
    dead = first.run
    if operation == "undo":
        dead = run_undo(memory, first.run).run
        second = run_prune(memory, max_loss=UNLIMITED)
        assert second.total("removed") == 2
    _bring_back_to_begun(memory, dead)
    lost = next(path for path in _archives(memory) if str(first.run) in path.name and path.parent.name == "alpha")
    if damage == "gone":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:40] if damage == "cut short" else b"no archive at all")
    others = {path: path.read_bytes() for path in _archives(memory) if path != lost}
    before = tree_digest(memory)

    report = run_prune(memory)
    assert (report.status, report.total("removed")) == (ExitStatus.DONE, 0)
    told = "\n".join(report.notes)
    assert f"run {dead} ({operation}) had died" in told
    if damage != "gone":
        assert str(lost) in told, "the archive that cannot be read is named"
    assert tree_digest(memory) == before
    assert {path: path.read_bytes() for path in others} == others, "no other archive is lost by it"
    assert run_prune(memory).status is ExitStatus.DONE, "nor is any other run after that stopped"


def _die_after_cutting(memory: Path) -> str | None:
    """A run that removed a record from each of two agents, killed before the last word in its journal."""
    run = run_prune(memory, max_loss=UNLIMITED).run
    _bring_back_to_begun(memory, run)
    return run


def test_one_lost_archive_of_a_dead_run_does_not_hide_the_others(tmp_path: Path) -> None:
    memory = _two_agents(tmp_path)
    dead = _die_after_cutting(memory)
    _archives(memory)[0].write_bytes(b"no archive at all")
    run_prune(memory)
    undone = {file.agent: file.restored for file in run_undo(memory, dead).files}
    assert undone["beta"] == 1
    assert ids_of(read_array(memory / "beta/patterns.json")) == {'"beta-s"': 1, '"beta-f"': 1}


def test_an_archive_of_a_dead_run_that_was_mended_is_a_way_back_again(tmp_path: Path) -> None:
    """As the advice says: restore that file from a backup of its folder."""
    memory = _two_agents(tmp_path)
    before = tree_digest(memory)
    dead = _die_after_cutting(memory)
    whole = {path: path.read_bytes() for path in _archives(memory)}
    for path in whole:
        path.write_bytes(whole[path][:40])
    run_prune(memory)
    for path, data in whole.items():
        path.write_bytes(data)
    assert sum(file.restored for file in run_undo(memory, dead).files) == 2
    assert {name: digest[0] for name, digest in tree_digest(memory).items()} == {
        name: digest[0] for name, digest in before.items()
    }


def test_no_record_of_a_file_left_alone_is_listed_as_removed(tmp_path: Path) -> None:
    memory = _two_agents(tmp_path)
    (memory / "alpha/patterns.json.lock").mkdir()
    report = run_prune(memory, max_loss=UNLIMITED)
    assert {file.agent: file.removed for file in report.files} == {"alpha": 0, "beta": 1}
    assert removed_ids(report) == ["beta-s"]


def test_a_run_that_died_without_a_trace_of_its_archive_loses_nothing(tmp_path: Path) -> None:
    """Begun, and killed before its first archive: nothing was removed, and that is what is told."""
    memory = _two_agents(tmp_path)
    report = run_prune(memory, max_loss=0.0)
    template = _journal(memory, report.run)
    file = {"agent": "alpha", "kind": "patterns", "archive": f"archives/alpha/patterns-{report.run}.jsonl.gz"}
    _rewrite_journal(memory, report.run, state="begun", finished=None, files=[file])
    assert template["files"] == []
    again = run_prune(memory, max_loss=UNLIMITED)
    assert again.total("removed") == 2
    assert any("0 records were removed by it" in note for note in again.notes)
    run_undo(memory, again.run)
    assert ids_of(read_array(memory / "alpha/patterns.json")) == {'"alpha-s"': 1, '"alpha-f"': 1}
