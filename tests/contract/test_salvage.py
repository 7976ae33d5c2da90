"""``gc --salvage``: what can be read stays, the damaged original goes to quarantine, and undo brings it back."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from aml.errors import ExitStatus
from aml.fs.runtime_lock import LockPolicy
from aml.optimize.gc_report import GcReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.gc import collect_garbage, gc_options
from tests.contract.pruning import IMPATIENT, moment, run_undo
from tests.support.live_writer import agent_lock
from tests.support.records import pattern
from tests.support.stores import encode_array, gunzipped, read_array, record_spans, tree_digest, write_array

FORMS = ["plain", "gzip"]


def run_salvage(memory: Path, *, later_days: float = 0, locks: LockPolicy = IMPATIENT, **words: Any) -> GcReport:
    """Collect garbage and salvage so many days after NOW."""
    from aml.config import Settings

    dry_run = words.pop("dry_run", False)
    options = gc_options(Settings(), **({"salvage": True} | words))
    conditions = Conditions(locks=locks)
    return collect_garbage(open_store(memory), options, now=moment(later_days), dry_run=dry_run, conditions=conditions)


def damaged_file(tmp_path: Path, form: str, data: bytes) -> tuple[Path, Path]:
    """A store with one record file of those bytes, plain or as gzip, which is cut short by five bytes."""
    memory = tmp_path / ".loom" / "memory"
    file = memory / "alpha" / "patterns.json"
    file.parent.mkdir(parents=True)
    file.write_bytes((gzip.compress(data, mtime=0) if form == "gzip" else data)[:-5])
    return memory, file


def thirteen_and_one() -> bytes:
    """Thirteen records, and a last one that a cut by five bytes breaks in either form."""
    return encode_array([pattern(id=f"p{number}") for number in range(14)])


def in_quarantine(memory: Path, run: str | None) -> bytes:
    return (memory.with_name("memory-backup") / "quarantine" / str(run) / "alpha" / "patterns.json").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_h06_a_file_cut_short_by_five_bytes_is_kept_and_told_without_salvage(tmp_path: Path, form: str) -> None:
    """H06: gc deleted it as empty."""
    memory, _ = damaged_file(tmp_path, form, thirteen_and_one())
    before = tree_digest(memory)
    report = run_salvage(memory, salvage=False)
    assert report.status is ExitStatus.DAMAGED
    assert report.counts["damaged_file"] == 1
    assert tree_digest(memory) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_can_be_salvaged_is_told_with_the_way_to_do_it(tmp_path: Path, form: str) -> None:
    memory, _ = damaged_file(tmp_path, form, thirteen_and_one())
    assert "--salvage" in str(run_salvage(memory, salvage=False).files[0].problem)


@pytest.mark.parametrize("form", FORMS)
def test_h06_its_records_are_salvaged_and_the_original_is_in_quarantine(tmp_path: Path, form: str) -> None:
    memory, file = damaged_file(tmp_path, form, thirteen_and_one())
    damaged = file.read_bytes()
    report = run_salvage(memory)
    assert report.status is ExitStatus.DONE
    assert report.counts["salvaged_file"] == 1
    assert record_spans(file)[:13] == split_whole()[:13]
    # what gzip lost is its checksum alone: there the last record is whole
    assert len(record_spans(file)) == (13 if form == "plain" else 14)
    assert (file.read_bytes()[:2] == b"\x1f\x8b") == (form == "gzip")
    assert in_quarantine(memory, report.run) == damaged


def split_whole() -> list[bytes]:
    from aml.codec.json_array import split

    return [bytes(one) for one in split(thirteen_and_one()).elements]


@pytest.mark.parametrize("form", FORMS)
def test_undo_brings_the_damaged_file_back_and_a_second_gc_changes_nothing(tmp_path: Path, form: str) -> None:
    memory, file = damaged_file(tmp_path, form, thirteen_and_one())
    damaged, before = file.read_bytes(), tree_digest(memory)
    run = run_salvage(memory).run
    after = tree_digest(memory)
    assert run_salvage(memory, later_days=1).status is ExitStatus.DONE
    assert tree_digest(memory) == after
    assert run_undo(memory, run, later_days=2).status is ExitStatus.DONE
    assert file.read_bytes() == damaged
    assert tree_digest(memory) == before


def test_a_dry_run_tells_what_would_be_salvaged_and_changes_nothing(tmp_path: Path) -> None:
    memory, _ = damaged_file(tmp_path, "plain", thirteen_and_one())
    before = tree_digest(tmp_path)
    report = run_salvage(memory, dry_run=True)
    assert [(step.what, step.records) for step in report.files[0].steps] == [("salvaged_file", 13)]
    assert tree_digest(tmp_path) == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", [b"nothing of use", bytes(4096), b'{"id": "cut'], ids=["text", "NULs", "cut"])
def test_h06_a_file_in_which_nothing_can_be_read_is_left_alone(tmp_path: Path, form: str, data: bytes) -> None:
    memory, _ = damaged_file(tmp_path, form, data + b"....." * (form == "plain"))
    before = tree_digest(memory)
    assert run_salvage(memory).status is ExitStatus.DAMAGED
    assert tree_digest(memory) == before


def test_h08_records_in_an_object_are_salvaged_only_on_request(tmp_path: Path) -> None:
    """H08: gc turned an object where an array was expected into []."""
    memory, file = damaged_file(tmp_path, "plain", b'{"patterns": ' + thirteen_and_one() + b"}     ")
    before = tree_digest(memory)
    assert run_salvage(memory, salvage=False).status is ExitStatus.DAMAGED
    assert tree_digest(memory) == before
    assert run_salvage(memory).status is ExitStatus.DONE
    assert record_spans(file) == split_whole()


def test_what_was_salvaged_is_within_the_loss_budget_like_all_else(tmp_path: Path) -> None:
    records = [pattern(id=f"p{number}") for number in range(10)]
    nameless = [{key: value for key, value in pattern(note=n).items() if key != "id"} for n in range(8)]
    memory, file = damaged_file(tmp_path, "plain", encode_array([*records, *nameless, pattern(id="cut")]))
    damaged = file.read_bytes()
    report = run_salvage(memory, max_loss=0.2)
    assert report.status is ExitStatus.PARTIAL
    assert (report.files[0].removed, report.files[0].deferred) == (3, 5)
    assert len(read_array(file)) == 15
    assert in_quarantine(memory, report.run) == damaged
    assert run_undo(memory, report.run, later_days=1).status is ExitStatus.DONE
    assert file.read_bytes() == damaged


def test_flipped_bits_are_told_to_be_doubtful(tmp_path: Path) -> None:
    memory, file = damaged_file(tmp_path, "gzip", thirteen_and_one())
    data = bytearray(gzip.compress(thirteen_and_one(), mtime=0))
    data[-6] ^= 1
    file.write_bytes(data)
    report = run_salvage(memory)
    assert "so check what was salvaged" in report.files[0].steps[0].reason
    assert len(json.loads(gunzipped(file.read_bytes()))) == 14


def test_h29_a_file_that_an_agent_holds_is_not_salvaged(tmp_path: Path) -> None:
    memory, file = damaged_file(tmp_path, "plain", thirteen_and_one())
    damaged = file.read_bytes()
    with agent_lock(file):
        report = run_salvage(memory, locks=LockPolicy(timeout=0.3, rest=0))
    assert report.status is ExitStatus.LOCKED
    assert file.read_bytes() == damaged
    assert not list((memory.with_name("memory-backup") / "quarantine").rglob("*.json"))


def test_h30_what_an_agent_writes_while_salvage_waits_is_what_counts(tmp_path: Path) -> None:
    """The plan was made of the damaged file; under the lock there is a sound one."""
    memory, file = damaged_file(tmp_path, "plain", thirteen_and_one())
    reports: list[GcReport] = []
    patient = LockPolicy(timeout=10, rest=0)
    with agent_lock(file):
        thread = threading.Thread(target=lambda: reports.append(run_salvage(memory, locks=patient)))
        thread.start()
        sleep(0.4)
        write_array(file, [pattern(id="mended by its agent")])
        mended = file.read_bytes()
    thread.join()
    assert reports[0].status is ExitStatus.DONE
    assert file.read_bytes() == mended
    assert not list((memory.with_name("memory-backup") / "quarantine").rglob("*.json"))
