"""What else may lie in a store that is migrated: damage, oddities, links, unreadable files (H07, H28, H50)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aml.errors import ExitStatus
from tests.contract.moving import (
    assert_untouched,
    cases,
    elements,
    left_behind,
    meanings_of,
    migrate,
    migrated,
    record_files,
    small_store,
    versions_of,
)
from tests.support.records import pattern, solution
from tests.support.schema_versions import NEWEST
from tests.support.stores import Form, make_store, tree_digest

# ---- odd things in the store

BAD_FILES: dict[str, bytes] = {
    "an object": b'{"id": "x"}',
    "null": b"null",
    "a number": b"5",
    "nothing": b"",
    "one blank": b"\n",
    "truncated": b'[{"id": "a", "agent": "odd"}, {"id": "b", "agen',
    "two documents": b'[{"id": "a"}][{"id": "b"}]',
    "garbage after gzip": gzip.compress(b'[{"id": "a"}]', mtime=0) + b"garbage",
    "half of a gzip file": gzip.compress(b'[{"id": "a"}]' * 9, mtime=0)[:-12],
    "no text": b"\xff\xfe[\x00]\x00",
}
NO_RECORDS = ["5", '"text"', "[[]]", "null", "true", "1e999", "oops", "{}"]
BAD_ELEMENTS: dict[str, bytes] = {
    "a newer schema": b'{"id": "new", "version": "3.0.0", "agent": "odd"}',
    "too deep": b'{"id": "deep", "own": ' + b"[" * 250 + b"]" * 250 + b"}",
}


@pytest.mark.parametrize("case", cases(BAD_FILES, "an object", "truncated", "garbage after gzip"))
def test_h07_a_damaged_file_is_named_and_keeps_its_bytes(tmp_path: Path, case: str) -> None:
    """H07, H50: without --skip-bad nothing is changed anywhere; with it, everything else is."""
    memory = small_store(tmp_path)
    (memory / "odd").mkdir()
    (memory / "odd/patterns.json").write_bytes(BAD_FILES[case])
    before, meant = tree_digest(memory), _meanings_but(memory, "odd")
    answer = migrate(tmp_path, "up")
    assert "Traceback" not in answer.out + answer.err
    if answer.status == 0:
        assert not BAD_FILES[case].strip() or case == "null", "a damaged file is no success"
        assert versions_of_but(memory, "odd") == {NEWEST}
        return
    assert answer.status in (ExitStatus.DAMAGED, ExitStatus.FAILED, ExitStatus.PARTIAL)
    assert "odd" in answer.out
    if tree_digest(memory) == before:
        assert left_behind(tmp_path) == []
        answer = migrate(tmp_path, "up", "--skip-bad")
        assert answer.status in (ExitStatus.DAMAGED, ExitStatus.PARTIAL), answer.out
        assert "odd" in answer.out
    assert (memory / "odd/patterns.json").read_bytes() == BAD_FILES[case]
    assert versions_of_but(memory, "odd") == {NEWEST}
    assert _meanings_but(memory, "odd") == meant
    assert left_behind(tmp_path) == []


def versions_of_but(memory: Path, agent: str) -> set[str]:
    with _set_aside(memory / agent):
        return set(versions_of(memory))


def _meanings_but(memory: Path, agent: str) -> object:
    with _set_aside(memory / agent):
        return meanings_of(memory)


class _set_aside:  # noqa: N801 - used like a function
    """A folder is out of the way for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._aside = folder, folder.parent.parent.parent / "aside"

    def __enter__(self) -> None:
        self._folder.rename(self._aside)

    def __exit__(self, *_: object) -> None:
        self._aside.rename(self._folder)


@pytest.mark.parametrize("case", BAD_ELEMENTS)
@pytest.mark.parametrize("form", cases(["plain", "gzip"], "gzip"))
def test_h50_an_element_that_cannot_be_migrated_stops_all_or_is_left(tmp_path: Path, case: str, form: Form) -> None:
    """H50: one bad record stopped a migration in the middle, with some files new and some old."""
    memory = small_store(tmp_path, form=form)
    path = memory / "beta/solutions.json"
    data = b"[" + json.dumps(solution(id="one")).encode() + b", " + BAD_ELEMENTS[case] + b"]"
    path.write_bytes(gzip.compress(data, mtime=0) if form == "gzip" else data)
    before, spans = tree_digest(memory), [one.text for one in elements(path.read_bytes())]
    answer = migrate(tmp_path, "up")
    assert answer.status not in (0, ExitStatus.USAGE), answer.out
    if case == "a newer schema":
        assert answer.status == ExitStatus.SCHEMA
    assert_untouched(memory, before, tmp_path)
    assert "beta" in answer.out
    assert "solutions" in answer.out
    answer = migrate(tmp_path, "up", "--skip-bad")
    assert answer.status not in (0, ExitStatus.USAGE, ExitStatus.FAILED), answer.out
    after = elements(path.read_bytes())
    assert after[1].text == spans[1]
    assert after[0]["version"].text == '"2.0.0"'
    for place, data in record_files(memory).items():
        if place != ("beta", "solutions"):
            assert {one["version"].text for one in elements(data)} == {'"2.0.0"'}
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("element", cases(NO_RECORDS, "5", "oops", "{}"))
def test_an_element_that_is_no_record_stays_among_those_that_move(tmp_path: Path, element: str) -> None:
    memory = small_store(tmp_path)
    path = memory / "beta/solutions.json"
    path.write_bytes(
        b"[" + element.encode() + b", " + json.dumps(solution(id="one")).encode() + b" , " + element.encode() + b"]"
    )
    migrated(tmp_path, "up")
    first, second, third = elements(path.read_bytes())
    assert second["version"].text == '"2.0.0"'
    if element != "{}":
        assert first.text == third.text == element
    migrated(tmp_path, "down", "--to", "1.0.0")
    assert [one.text for one in elements(path.read_bytes())][0::2] == [element] * 2


def test_h28_what_is_no_agent_or_no_record_file_is_never_migrated(tmp_path: Path) -> None:
    memory = small_store(tmp_path)
    elsewhere = make_store(tmp_path / "elsewhere", {"real": {"patterns": [pattern(id="there")]}})
    old = json.dumps([pattern(id="old")]).encode()
    (memory / "linked").symlink_to(elsewhere / "real")
    for folder in ("global", "audit", "backup/alpha-1", "backups", "backup-12-ab", ".hidden", "config", "monitoring"):
        (memory / folder).mkdir(parents=True)
        (memory / folder / "patterns.json").write_bytes(old)
    (memory / "alpha/deep").mkdir()
    (memory / "alpha/deep/patterns.json").write_bytes(old)
    (memory / "patterns.json").write_bytes(old)
    (memory / "alpha/patterns.json.tmp").write_bytes(old)
    (memory / "alpha/patterns.json.bak").write_bytes(old)
    (memory / "alpha/index.json").write_bytes(b'{"metrics": {"successRate": 1}}')
    (memory / "beta/patterns.json.gz").write_bytes(gzip.compress(old))
    agents = {"alpha", "beta"}
    before = _untouchable(memory, agents)
    there = tree_digest(elsewhere)
    assert migrate(tmp_path, "up").status in (0, ExitStatus.PARTIAL)
    assert _untouchable(memory, agents) == before
    assert tree_digest(elsewhere) == there
    for place, data in record_files(memory).items():
        if place[0] in agents:
            assert {one["version"].text for one in elements(data)} == {'"2.0.0"'}


def _untouchable(memory: Path, agents: set[str]) -> dict[str, Any]:
    kinds = ("patterns.json", "solutions.json", "decisions.json")
    records = {f"{agent}/{name}" for agent in agents for name in kinds}
    return {path: one for path, one in tree_digest(memory).items() if path not in records}


def test_h28_a_record_file_that_is_a_link_or_a_folder_is_left_alone(tmp_path: Path) -> None:
    memory = small_store(tmp_path)
    outside = tmp_path / "outside.json"
    outside.write_bytes(json.dumps([pattern(id="outside")]).encode())
    (memory / "links").mkdir()
    (memory / "links/patterns.json").symlink_to(outside)
    (memory / "links/solutions.json").mkdir()
    os.mkfifo(memory / "links/decisions.json")
    before = outside.read_bytes()
    for words in (("up",), ("up", "--skip-bad")):
        answer = migrate(tmp_path, *words)
        assert "Traceback" not in answer.err
        assert outside.read_bytes() == before
        assert (memory / "links/patterns.json").is_symlink()
    assert set(versions_of_but(memory, "links")) <= {NEWEST, "1.0.0"}


@pytest.mark.parametrize("mode", [0o444, 0o4750])
def test_modes_and_the_form_of_a_file_are_kept(tmp_path: Path, mode: int) -> None:
    memory = small_store(tmp_path, form="gzip")
    file = memory / "alpha/patterns.json"
    file.chmod(mode)
    migrated(tmp_path, "up")
    assert file.stat().st_mode & 0o7777 == mode
    assert file.read_bytes()[:2] == b"\x1f\x8b"
    assert versions_of(memory).keys() == {NEWEST}
