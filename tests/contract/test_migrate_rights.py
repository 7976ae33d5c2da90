"""Migrations by a user who may not do everything (H18, H44)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.contract.backing_up import in_commons, unprivileged
from tests.contract.moving import elements, left_behind, record_files, small_store, versions_of
from tests.support.schema_versions import NEWEST
from tests.support.stores import tree_digest

pytestmark = pytest.mark.slow


@pytest.fixture
def commons() -> Iterator[Path]:
    with in_commons(small_store) as folder:
        yield folder


def test_a_file_that_may_not_be_read_stops_all_or_is_left(commons: Path) -> None:
    memory = commons / ".loom/memory"
    (memory / "beta/patterns.json").chmod(0)
    files = {place: data for place, data in record_files(memory).items() if place != ("beta", "patterns")}
    answer = unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes", "--json")
    assert answer.status not in (0, ExitStatus.USAGE), answer.out
    assert "beta" in answer.out
    assert "Traceback" not in answer.err + answer.out
    now = {place: data for place, data in record_files(memory).items() if place in files}
    assert now == files or all('"2.0.0"' in one.text for data in now.values() for one in elements(data))
    (memory / "beta/patterns.json").chmod(0o600)
    assert unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes").status == 0
    assert versions_of(memory).keys() == {NEWEST}


def test_h18_a_repository_that_may_only_be_read_stops_the_migration(commons: Path) -> None:
    memory = commons / ".loom/memory"
    assert unprivileged(commons, "backup", "create").status == 0
    repository = memory.with_name("memory-backup")
    folders = [repository, *(path for path in repository.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    before = tree_digest(memory)
    answer = unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes", "--json")
    assert answer.status not in (0, ExitStatus.USAGE), answer.out
    assert "Traceback" not in answer.err + answer.out
    assert tree_digest(memory) == before
    for folder in folders:
        folder.chmod(0o700)
    assert unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes").status == 0
    assert versions_of(memory).keys() == {NEWEST}
    assert left_behind(commons) == []


def test_h50_a_folder_that_may_not_be_written_has_all_others_put_back(commons: Path) -> None:
    memory = commons / ".loom/memory"
    old = record_files(memory)
    (memory / "beta").chmod(0o500)
    answer = unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes", "--json")
    assert answer.status not in (0, ExitStatus.USAGE), answer.out
    assert str(memory / "beta") in answer.out
    assert record_files(memory) == old
    assert left_behind(commons) == []
    (memory / "beta").chmod(0o700)
    assert unprivileged(commons, "migrate", "up", "--to", NEWEST, "--yes").status == 0
    assert versions_of(memory).keys() == {NEWEST}
