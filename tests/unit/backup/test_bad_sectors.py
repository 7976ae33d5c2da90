"""A repository on a medium that begins to fail: backups go on, and a restore brings back everything else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aml.backup.checked import Checked
from aml.backup.create import BackupReport, create
from aml.backup.options import BackupOptions, RestoreOptions
from aml.backup.restore import restore_to, wanted_of
from aml.errors import DamagedError, ExitStatus
from aml.repository.repository import create as create_repository
from aml.repository.repository import reading, writing
from aml.store.open import Store, open_store
from tests.support.destinations import BadSectors
from tests.support.records import NOW, pattern
from tests.support.stores import make_store

#: More than what is restored in one piece (bytes).
_LARGE_BYTES = 9 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="a")]}})
    (memory / "alpha" / "large.bin").write_bytes(hashlib.shake_128(b"noise").digest(_LARGE_BYTES))
    return open_store(memory)


def _back_up(store: Store, destination: BadSectors, later: float = 0.0) -> BackupReport:
    create_repository(destination, datetime.fromtimestamp(NOW.timestamp(), UTC))
    with writing(destination) as writer:
        return create(store, writer, BackupOptions(), NOW.timestamp() + later, checked=Checked())


def _packs(destination: BadSectors) -> set[str]:
    return {entry.key for entry in destination.entries("packs/")}


def test_a_backup_whose_parent_cannot_be_read_reads_everything_anew(store: Store, tmp_path: Path) -> None:
    destination = BadSectors()
    (store.root / "alpha" / "large.bin").unlink()
    _back_up(store, destination)
    destination.bad |= _packs(destination)
    report = _back_up(store, destination, later=60.0)
    assert (report.status, report.files) == (ExitStatus.DONE, 1)
    with reading(destination) as reader:
        wanted = wanted_of(reader, reader.snapshots().find(report.id), RestoreOptions())
        restore_to(reader, wanted, tmp_path / "all", RestoreOptions(), lambda _: None)
    assert (tmp_path / "all/alpha/patterns.json").read_bytes() == (store.root / "alpha/patterns.json").read_bytes()


@pytest.mark.parametrize("name", ["large.bin", "small.bin"])
def test_a_file_that_cannot_be_read_costs_no_other(store: Store, tmp_path: Path, name: str) -> None:
    destination = BadSectors()
    _back_up(store, destination)
    whole = _packs(destination)
    (store.root / "alpha" / "large.bin").unlink()
    size = _LARGE_BYTES if name == "large.bin" else 100_000
    (store.root / "alpha" / name).write_bytes(hashlib.shake_128(b"other").digest(size))
    (store.root / "alpha" / "patterns.json").touch()
    newest = _back_up(store, destination, later=60.0)
    holding = _packs(destination) - whole
    with reading(destination) as reader:
        # the list of files may lie beside the content: it is read before the medium fails
        wanted = wanted_of(reader, reader.snapshots().find(newest.id), RestoreOptions())
        destination.bad |= holding
        with pytest.raises(DamagedError, match=f"alpha/{name}.*Input/output error"):
            restore_to(reader, wanted, tmp_path / "none", RestoreOptions(), lambda _: None)
        report = restore_to(reader, wanted, tmp_path / "rest", RestoreOptions(skip_damaged=True), lambda _: None)
    assert [one.path for one in report.damaged] == [f"alpha/{name}"]
    assert (tmp_path / "rest/alpha/patterns.json").read_bytes() == (store.root / "alpha/patterns.json").read_bytes()
    assert not (tmp_path / "none").exists()
