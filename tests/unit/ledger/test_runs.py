"""The run journal: ids sort by time, the newest run is told by its number, prefixes find one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.errors import DamagedError, NotFoundError
from aml.ledger.runs import Journal, RecordKey, Run, RunFile, archive_name
from aml.store.open import open_store
from tests.support.records import NOW


def _journal(tmp_path: Path) -> Journal:
    (tmp_path / "memory").mkdir()
    return Journal(open_store(tmp_path / "memory"))


def _begin(journal: Journal, later: float = 0) -> Run:
    run = journal.begin("prune", NOW.timestamp() + later, version="0", options={})
    journal.write(run)
    return run


def test_an_empty_journal(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    assert journal.ids() == []
    assert journal.newest() is None
    with pytest.raises(NotFoundError, match="no runs yet"):
        journal.find("2026")
    assert not (tmp_path / "memory.aml").exists(), "looking makes nothing"


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    run = _begin(journal)
    archive = archive_name("alpha", "patterns", run.id)
    run.files = [RunFile("alpha", "patterns", archive=archive, removed=[RecordKey("x", "00"), RecordKey(None, "11")])]
    run.state = "done"
    journal.write(run)
    assert journal.read(run.id) == run
    assert run.started == "2026-11-20T12:00:00.000Z"
    assert run.started_at == NOW.timestamp()


def test_the_newest_run_goes_by_number(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    late, early = _begin(journal, 86_400 * 400), _begin(journal, 0)
    assert journal.ids() == [early.id, late.id]
    newest = journal.newest()
    assert newest is not None
    assert newest.id == early.id


def test_runs_since_a_moment(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    runs = [_begin(journal, 86_400 * day) for day in range(4)]
    assert [run.id for run in journal.since(NOW.timestamp() + 86_400 * 1.5)] == [run.id for run in runs[2:]]


def test_finding_by_prefix(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    first, second = _begin(journal), _begin(journal, 86_400)
    assert journal.find(first.id).id == first.id
    assert journal.find(second.id[:8]).id == second.id
    for prefix in ("2026", "", "20261120T120000-9999", "../" + first.id, "x"):
        with pytest.raises(NotFoundError):
            journal.find(prefix)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"id": 5}', b"\xff"])
def test_a_damaged_entry_is_named(tmp_path: Path, damage: bytes) -> None:
    journal = _journal(tmp_path)
    run = _begin(journal)
    (tmp_path / "memory.aml/runs" / f"{run.id}.json").write_bytes(damage)
    with pytest.raises(DamagedError, match=run.id):
        journal.read(run.id)


def test_a_file_whose_name_is_no_run_s_is_named_as_what_is_in_the_way(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    run = _begin(journal)
    folder = tmp_path / "memory.aml" / "runs"
    copy = folder / f"{run.id} (1).json"
    copy.write_bytes((folder / f"{run.id}.json").read_bytes())
    with pytest.raises(DamagedError, match=r"no run's.*\(1\).json.*move that file away"):
        list(journal.since(0.0))
    with pytest.raises(NotFoundError, match="no id of a run"):
        journal.read(f"../runs/{run.id}")
