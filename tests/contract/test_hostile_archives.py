"""Archives and journals that somebody else put there or spoilt: refused, never forgotten, never waited for."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from aml.errors import DamagedError, ExitStatus
from tests.cli.running import aml
from tests.contract.pruning import UNLIMITED, fresh, removed_ids, run_prune, run_undo, stale
from tests.support.stores import make_store, read_array, tree_digest

#: Nothing here may wait for a pipe.
pytestmark = pytest.mark.timeout(20)


def _store(tmp_path: Path) -> Path:
    agents = {name: {"patterns": [stale(f"{name}-s"), fresh(f"{name}-f")]} for name in ("alpha", "beta")}
    memory = make_store(tmp_path, agents)
    (memory.with_name("memory.aml") / "runs").mkdir(parents=True)
    return memory


def _state(memory: Path) -> Path:
    return memory.with_name("memory.aml")


def _archive_of(memory: Path, agent: str) -> Path:
    (archive,) = (memory.with_name("memory-backup") / "archives" / agent).glob("*.gz")
    return archive


def test_a_pipe_in_place_of_an_archive_is_not_waited_for(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    run = run_prune(memory, max_loss=UNLIMITED).run
    archive = _archive_of(memory, "alpha")
    archive.unlink()
    os.mkfifo(archive)
    answer = aml(tmp_path, "prune", "undo", str(run))
    assert answer.status in (1, 12)
    assert str(archive) in answer.err


TEXTS = ["\0", "", " ", "1, 2", '{"a":1},{"b":2}', '{"a":1} {"b":2}', "]", "5", "null", '{"a":', "[" * 100_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_an_archive_whose_text_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    """With a SHA-256 that fits, so that the text itself must be looked at: it would leave a file nobody can read."""
    memory = _store(tmp_path)
    run = run_prune(memory, max_loss=UNLIMITED).run
    archive = _archive_of(memory, "alpha")
    record = json.loads(gzip.decompress(archive.read_bytes()))
    record |= {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    archive.write_bytes(gzip.compress(json.dumps(record).encode() + b"\n"))
    before = tree_digest(memory)
    for dry_run in (True, False):
        with pytest.raises(DamagedError, match="archive"):
            run_undo(memory, run, dry_run=dry_run)
    answer = aml(tmp_path, "prune", "undo", str(run))
    assert answer.status == 12
    assert str(archive) in answer.err
    assert tree_digest(memory) == before


@pytest.mark.parametrize("odd", [b'"reason": "\xff"', b'"x": ' + b"[" * 5000 + b"]" * 5000 + b', "reason": ""'])
def test_an_archive_that_no_reader_of_json_takes_is_refused(tmp_path: Path, odd: bytes) -> None:
    memory = _store(tmp_path)
    run = run_prune(memory, max_loss=UNLIMITED).run
    archive = _archive_of(memory, "alpha")
    record = json.dumps(json.loads(gzip.decompress(archive.read_bytes())) | {"reason": ""}).encode()
    archive.write_bytes(gzip.compress(record.replace(b'"reason": ""', odd)))
    before = tree_digest(memory)
    with pytest.raises(DamagedError, match="archive"):
        run_undo(memory, run)
    assert tree_digest(memory) == before


def test_an_archive_that_cannot_be_looked_for_is_not_forgotten(tmp_path: Path) -> None:
    memory = _store(tmp_path)
    run = run_prune(memory, max_loss=UNLIMITED).run
    journal = _state(memory) / "runs" / f"{run}.json"
    died = json.loads(journal.read_bytes()) | {"state": "begun"}
    for file in died["files"]:
        file["removed"] = []
    journal.write_text(json.dumps(died), encoding="utf-8")
    folder = _archive_of(memory, "alpha").parent
    folder.rename(tmp_path / "aside")
    folder.symlink_to(folder)
    note = next(note for note in run_prune(memory).notes if str(run) in note)
    assert str(folder) in note
    assert json.loads(journal.read_bytes())["state"] == "begun"
    folder.unlink()
    (tmp_path / "aside").rename(folder)
    run_undo(memory, run)
    assert [one["id"] for one in read_array(memory / "alpha/patterns.json")] == ["alpha-s", "alpha-f"]


@pytest.mark.parametrize("target", ["a\0b", "../../x", "", "x" * 5000, "20200101T000000-0001-abcd"])
def test_an_unfinished_undo_of_a_run_that_cannot_be_is_noted_and_stops_nobody(tmp_path: Path, target: str) -> None:
    memory = _store(tmp_path)
    first = run_prune(memory, max_loss=0.0).run
    journal = _state(memory) / "runs" / f"{first}.json"
    forged = json.loads(journal.read_bytes()) | {"operation": "undo", "target": target, "state": "begun"}
    journal.write_text(json.dumps(forged), encoding="utf-8")
    report = run_prune(memory, max_loss=UNLIMITED)
    assert removed_ids(report) == ["alpha-s", "beta-s"]
    assert any(str(first) in note for note in report.notes)
    assert run_prune(memory).status is ExitStatus.DONE
