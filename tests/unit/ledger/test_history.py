"""What earlier runs removed: the newest prune counts however old, and however its clock stood."""

from __future__ import annotations

from pathlib import Path

from aml.ledger.history import read_history
from aml.ledger.runs import Journal, RecordKey, RunFile
from aml.store.open import open_store
from tests.support.records import NOW

DAY = 86_400.0


def _prune(journal: Journal, days: float, ident: str) -> None:
    run = journal.begin("prune", NOW.timestamp() + days * DAY, version="0", options={})
    run.files = [RunFile("alpha", "patterns", removed=[RecordKey(ident, "00")])]
    journal.write(run)


def test_the_newest_prune_is_told_by_its_number_where_its_clock_stood_wrong(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    journal = Journal(open_store(tmp_path / "memory"))
    _prune(journal, -100, "first")
    _prune(journal, -20_000, "last")
    found = read_history(journal, NOW.timestamp(), 30.0)["alpha"].of("patterns")
    assert {key.id for key in found.keys} == {"last"}
    assert not found.counted
