"""Backups and restores beside agents that write: nothing that was acknowledged is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from aml.store.open import open_store
from aml.workflows.backup import backup
from tests.cli.running import aml_child
from tests.contract.side_by_side import (
    assert_all_sound,
    contents,
    ids_of,
    key,
    make_project,
    memory,
    records_in,
    restored,
)
from tests.support.live_writer import Acknowledged, Writer, start_writer
from tests.support.stores import Form, read_array


@contextmanager
def writing_agents(
    files: Sequence[Path], logs: Path, seconds: float, programs: Sequence[Sequence[str]] = ((), ())
) -> Iterator[list[Writer]]:
    """Agents that append to the files; leaving raises where one of them died, of a torn file or a stolen lock."""
    logs.mkdir()
    writers = [
        start_writer([*files[number:], *files[:number]], logs / str(number), seconds=seconds, program=program)
        for number, program in enumerate(programs)
    ]
    try:
        yield writers
        for writer in writers:
            assert len(writer.finish()) > 2, "a writer starved"
    finally:
        for writer in writers:
            writer.kill()


def acknowledged(writers: Sequence[Writer]) -> list[Acknowledged]:
    return [entry for writer in writers for entry in writer.acknowledged()]


def is_writing(writers: Sequence[Writer]) -> bool:
    return any(writer.process.poll() is None for writer in writers)


def assert_readable(files: Sequence[Path]) -> None:
    for file in files:
        read_array(file)


@pytest.mark.parametrize("form", ["gzip", pytest.param("plain", marks=pytest.mark.slow)])
def test_a_backup_holds_what_was_acknowledged_before_it_began(tmp_path: Path, form: Form) -> None:
    project = tmp_path / "project"
    files = make_project(project, form=form)
    at_first = records_in(contents(memory(project)))
    owed: dict[str, set[str]] = {}
    with writing_agents(files, tmp_path / "logs", 3) as writers:
        while is_writing(writers):
            before = {key(entry.record) for entry in acknowledged(writers)}
            answer = aml_child(project, "backup", "create", "--json")
            assert answer.status == 0, answer.out
            owed[answer.envelope["data"]["id"]] = before
            assert_readable(files)
    written = {key(entry.record) for entry in acknowledged(writers)}
    assert records_in(contents(memory(project))) == at_first | written
    assert len(owed) > 2
    for one, before in owed.items():
        held = records_in(restored(project, one, tmp_path / "look"))
        assert at_first | before <= held <= at_first | written
    assert_all_sound(project)


def restore_while_writing(tmp_path: Path, form: Form, seconds: float, programs: Sequence[Sequence[str]]) -> None:
    """Whatever an agent was told is saved is in the store, in a backup, or in the archive of a restore."""
    project = tmp_path / "project"
    files = make_project(project, form=form)
    at_first = contents(memory(project))
    first = backup(open_store(memory(project))).id
    rounds = 0
    with writing_agents(files, tmp_path / "logs", seconds, programs) as writers:
        while is_writing(writers):
            time.sleep(0.5)
            answer = aml_child(project, "backup", "restore", first, "--json")
            assert answer.status == 0, answer.out
            rounds += 1
            assert_readable(files)
    assert rounds >= 2
    places = [contents(memory(project)), contents(project / ".loom" / "memory-backup" / "archives")]
    places += [restored(project, one, tmp_path / "look") for one in ids_of(project)]
    there = set().union(*map(records_in, places))
    assert {key(entry.record) for entry in acknowledged(writers)} <= there
    last = aml_child(project, "backup", "restore", first)
    assert last.status == 0, last.err
    assert contents(memory(project)) == at_first
    assert_all_sound(project)


@pytest.mark.parametrize("form", ["gzip", pytest.param("plain", marks=pytest.mark.slow)])
def test_no_acknowledged_write_is_lost_while_the_store_is_restored(tmp_path: Path, form: Form) -> None:
    restore_while_writing(tmp_path, form, 4, [(), ()])


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_over_a_longer_time(tmp_path: Path) -> None:
    restore_while_writing(tmp_path, "gzip", 25, [(), (), ()])


@pytest.mark.node
def test_no_acknowledged_write_of_a_node_agent_is_lost_while_the_store_is_restored(
    tmp_path: Path, node_writer: list[str]
) -> None:
    restore_while_writing(tmp_path, "gzip", 5, [node_writer, ()])
