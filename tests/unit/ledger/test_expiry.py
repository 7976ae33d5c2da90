"""Archives that are old enough go for good: by their run's id, after the journal says so, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aml.errors import NotFoundError
from aml.ledger.expiry import Expired, expire, expired_archives
from aml.ledger.runs import Journal, Run
from aml.model.timestamps import SECONDS_PER_DAY, to_iso
from aml.store.open import Store, open_store
from aml.workflows.gc import collect_garbage
from aml.workflows.undo import prune_undo
from aml.workflows.upkeep import rotate_backups
from tests.contract.pruning import fresh, moment, removed_ids, run_prune, run_undo, stale
from tests.support.records import NOW
from tests.support.stores import make_store, read_array, tree_digest

RUN = "20251120T120000-0001-abcd"
BEGAN = NOW.timestamp() - 365 * SECONDS_PER_DAY


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    records = [stale("s1"), *(fresh(f"f{number}") for number in range(9))]
    return make_store(tmp_path, {"alpha": {"patterns": records}, "beta": {"patterns": records}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one, whose journal knows RUN."""
    (tmp_path / "memory").mkdir()
    store = open_store(tmp_path / "memory")
    Journal(store).write(Run(RUN, "restore", to_iso(BEGAN), "done"))
    return store


def put(store: Store, name: str, data: bytes = b"12345") -> Path:
    path = store.keep / "archives" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def due(store: Store, now: float = NOW.timestamp(), days: float = 30) -> list[str]:
    return [one.path for one in expired_archives(store, now, days)]


def test_without_archives_none_is_due(store: Store) -> None:
    assert expired_archives(store, NOW.timestamp(), 0) == []


def test_an_archive_is_due_by_the_begin_of_its_run_whatever_its_file_says(store: Store) -> None:
    path = put(store, f"alpha/patterns-{RUN}.jsonl.gz")
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    found = Expired(f"archives/alpha/patterns-{RUN}.jsonl.gz", RUN, 5)
    assert expired_archives(store, NOW.timestamp(), 364) == [found]
    assert expired_archives(store, BEGAN + 10 * SECONDS_PER_DAY, 10) == [], "only what is older, not as old"
    assert expired_archives(store, BEGAN + 10 * SECONDS_PER_DAY + 1, 10) == [found]
    assert expired_archives(store, BEGAN - SECONDS_PER_DAY, 0) == [], "one from the future stays"


def test_what_a_restore_kept_of_a_run_is_due_as_a_whole(store: Store) -> None:
    put(store, f"backup-{RUN}/alpha/patterns.json")
    put(store, f"backup-{RUN}/beta/solutions.json", b"123")
    found = expired_archives(store, NOW.timestamp(), 30)
    assert found == [Expired(f"archives/backup-{RUN}", RUN, 8)]
    expire(store, Journal(store), found)
    assert list((store.keep / "archives").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "alpha/notes.txt",
        "alpha/patterns-20251120T120000.jsonl.gz",
        f"alpha/patterns-{RUN}.jsonl.gz.old",
        f"alpha/patterns-{RUN}.jsonl",
        f"alpha/{RUN}.jsonl.gz",
        "alpha/patterns-20251320T120000-0001-abcd.jsonl.gz",
        "alpha/patterns-20251120T120000-0001-ABCD.jsonl.gz",
        "alpha/patterns-20251120T120000-01-abcd.jsonl.gz",
        f"alpha/deep/patterns-{RUN}.jsonl.gz",
        f".aml-tmp-{RUN}.x",
        "readme",
    ],
)
def test_what_is_no_archive_is_left(store: Store, name: str) -> None:
    path = put(store, name)
    assert due(store) == []
    expire(store, Journal(store), expired_archives(store, NOW.timestamp(), 30))
    assert path.exists()


def test_nothing_is_looked_for_through_a_link(store: Store, tmp_path: Path) -> None:
    put(store, "alpha/readme")
    (store.keep / "archives/beta").symlink_to(elsewhere(tmp_path))
    assert due(store) == []


@pytest.mark.parametrize(
    "name",
    [
        f"alpha/patterns-{RUN}.jsonl.gz",
        f"backup-{RUN}",
    ],
)
def test_of_a_link_that_is_called_an_archive_the_link_goes_alone(store: Store, tmp_path: Path, name: str) -> None:
    put(store, "alpha/readme")
    link, target = store.keep / "archives" / name, elsewhere(tmp_path)
    link.symlink_to(target if name.startswith("backup") else next(target.iterdir()))
    expire(store, Journal(store), expired_archives(store, NOW.timestamp(), 30))
    assert not os.path.lexists(link)
    assert [path.read_bytes() for path in target.iterdir()] == [b"kept"]


def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"elsewhere/patterns-{RUN}.jsonl.gz").write_bytes(b"kept")
    return tmp_path / "elsewhere"


def test_the_journal_says_that_they_are_gone_and_so_does_undo(memory: Path) -> None:
    store = open_store(memory)
    report = run_prune(memory)
    assert removed_ids(report) == ["s1", "s1"]
    journal = Journal(store)
    now = moment(31)
    found = expired_archives(store, now, 30)
    assert {one.run for one in found} == {report.run}
    assert [one.path for one in found] == [file.archive for file in journal.read(report.run or "").files]
    assert found[0].size == (store.keep / found[0].path).stat().st_size
    expire(store, journal, found)
    assert not any((store.keep / one.path).exists() for one in found)
    files = journal.read(report.run or "").files
    assert [(file.archive, file.expired) for file in files] == [(None, True)] * 2
    assert [[key.id for key in file.removed] for file in files] == [["s1"], ["s1"]], "the budget still counts them"
    before = tree_digest(memory)
    with pytest.raises(NotFoundError, match="expired"):
        run_undo(memory, report.run, later_days=31)
    with pytest.raises(NotFoundError, match="expired"):
        prune_undo(store, report.run or "", dry_run=True)
    assert tree_digest(memory) == before


def test_one_archive_of_a_run_that_expired_does_not_hide_the_others(memory: Path) -> None:
    store = open_store(memory)
    report = run_prune(memory)
    (first,) = [one for one in expired_archives(store, moment(31), 30) if "/alpha/" in one.path]
    expire(store, Journal(store), [first])
    undone = run_undo(memory, report.run, later_days=31)
    assert [(file.agent, file.restored) for file in undone.files] == [("beta", 1)]
    assert len(read_array(memory / "alpha/patterns.json")) == 9
    assert len(read_array(memory / "beta/patterns.json")) == 10


@pytest.mark.parametrize(
    "content",
    [b"damaged", None],
)
def test_an_archive_whose_run_nobody_knows_goes_all_the_same(store: Store, content: bytes | None) -> None:
    path = put(store, f"alpha/patterns-{RUN}.jsonl.gz")
    entry = store.state / "runs" / f"{RUN}.json"
    entry.unlink()
    if content is not None:
        entry.write_bytes(content)
    expire(store, Journal(store), expired_archives(store, NOW.timestamp(), 30))
    assert not path.exists()
    assert content is None or entry.read_bytes() == content


def test_a_rotation_removes_them_when_they_are_as_old_as_the_settings_say(memory: Path) -> None:
    store = open_store(memory)
    run_prune(memory)
    archives = sorted((store.keep / "archives").glob("*/*"))
    assert rotate_backups(store, archive_days=30, now=moment(29)).archives == ()
    seen = rotate_backups(store, archive_days=30, now=moment(31), dry_run=True)
    assert all(path.exists() for path in archives)
    done = rotate_backups(store, archive_days=30, now=moment(31))
    assert done.archives == seen.archives == tuple(path.relative_to(store.keep).as_posix() for path in archives)
    assert done.archives_bytes == seen.archives_bytes > 0
    assert not any(path.exists() for path in archives)


def test_what_is_in_quarantine_goes_with_its_run(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [fresh("f1")]}})
    (memory / "alpha" / "decisions.json").write_bytes(b"")
    report = collect_garbage(open_store(memory), now=NOW.timestamp())
    store = open_store(memory)
    assert report.run is not None
    later = NOW.timestamp() + 366 * SECONDS_PER_DAY
    found = expired_archives(store, later, 365)
    assert [one.path for one in found] == [f"quarantine/{report.run}"]
    expire(store, Journal(store), found)
    assert not (store.keep / "quarantine" / report.run).exists()
    assert Journal(store).read(report.run).quarantined == []
    with pytest.raises(NotFoundError, match="have expired"):
        prune_undo(store, report.run, now=NOW.timestamp())
