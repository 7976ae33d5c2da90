"""The index is made, kept, taken up by the next process, and made anew where it is not whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from aml.index.index import Index
from aml.index.schema import RECORDS, WORDS
from aml.store.open import open_store
from tests.support.indexes import DAMAGES, found_ids, index_folder_of, opened
from tests.support.records import pattern, solution
from tests.support.stores import encode_array, make_store, write_array

SECONDS = 1_000_000_000


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    contents = {
        "alpha": {"patterns": [pattern(id="p1", tags=["red"]), pattern(id="p2")], "solutions": [solution(id="s1")]},
        "beta": {"patterns": [pattern(id="p1", agent="beta", tags=["red", "blue"])]},
    }
    return make_store(tmp_path, contents)


def _later(seconds: float) -> int:
    import time

    return time.time_ns() + int(seconds * SECONDS)


def test_the_second_process_reads_no_file_again(memory: Path) -> None:
    folder = index_folder_of(memory)
    store = open_store(memory)
    first = Index(store, folder, clock=lambda: _later(10))
    assert (first.refresh().read, first.trouble) == (3, "")
    first.close()
    second = Index(store, folder)
    done = second.refresh()
    assert (done.read, done.gone, done.anew) == (0, 0, False)
    assert found_ids(second) == ["p1", "p1", "p2", "s1"]
    second.close()


def test_one_changed_file_is_read_and_no_other(memory: Path) -> None:
    store, folder = open_store(memory), index_folder_of(memory)
    index = Index(store, folder, clock=lambda: _later(10))
    index.refresh()
    write_array(memory / "beta" / "patterns.json", [pattern(id="p9", agent="beta")])
    done = index.refresh()
    assert (done.read, done.gone, done.anew) == (1, 0, False)
    assert found_ids(index) == ["p1", "p2", "p9", "s1"]
    assert found_ids(index, tags=("blue",)) == []
    index.close()


def test_files_and_agents_that_go_are_forgotten(memory: Path) -> None:
    index = opened(memory)
    (memory / "alpha" / "solutions.json").unlink()
    shutil.rmtree(memory / "beta")
    done = index.refresh()
    assert (done.gone, found_ids(index)) == (2, ["p1", "p2"])
    index.close()


@pytest.mark.parametrize("name", [RECORDS, WORDS])
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_damaged_index_is_made_anew_at_its_first_use(memory: Path, name: str, damage: str) -> None:
    index = opened(memory)
    assert found_ids(index, text="cache") == ["p1", "p1", "p2"]
    index.close()
    path = index_folder_of(memory) / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = opened(memory)
    assert (found_ids(again), found_ids(again, text="cache")) == (["p1", "p1", "p2", "s1"], ["p1", "p1", "p2"])
    assert again.trouble == ""
    again.close()
    assert not opened_anew(memory)


def opened_anew(memory: Path) -> bool:
    index = Index(open_store(memory), index_folder_of(memory))
    done = index.refresh()
    index.close()
    return done.anew


@pytest.mark.parametrize("statement", ["UPDATE made SET version = 99", "DROP TABLE made", "DELETE FROM made"])
def test_an_index_of_another_version_is_made_anew(memory: Path, statement: str) -> None:
    from aml.index.sealed import seal_database

    opened(memory).close()
    path = index_folder_of(memory) / RECORDS
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    seal_database(path)
    assert opened_anew(memory)
    assert not opened_anew(memory)


def test_an_index_made_with_another_limit_for_gzip_is_made_anew(memory: Path) -> None:
    opened(memory).close()
    index = Index(open_store(memory, max_unpacked_bytes=1000), index_folder_of(memory))
    assert index.refresh().anew
    index.close()


def test_a_folder_in_place_of_the_index_is_no_obstacle_to_an_answer(memory: Path) -> None:
    (index_folder_of(memory) / RECORDS).mkdir(parents=True)
    index = opened(memory)
    assert found_ids(index) == ["p1", "p1", "p2", "s1"]
    assert "cannot be kept" in index.trouble
    index.close()


def test_changes_within_one_tick_of_the_clock_are_seen(memory: Path) -> None:
    """The same file, size and modification time, and often enough the same change time too."""
    path = memory / "beta" / "patterns.json"
    index = opened(memory)
    before = path.stat()
    for number in range(60):
        with path.open("r+b") as file:
            file.write(encode_array([pattern(id=f"n{number:03}", agent="beta")]).ljust(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert found_ids(index, agents=("beta",)) == [f"n{number:03}"]
    index.close()


def test_a_file_is_hashed_again_until_it_has_been_left_alone_for_two_seconds(memory: Path) -> None:
    store, folder = open_store(memory), index_folder_of(memory)
    index = Index(store, folder)
    index.refresh()
    assert not any(known.settled for known in index.known.values())
    index.close()
    later = Index(store, folder, clock=lambda: _later(10))
    assert later.refresh().read == 0
    assert all(known.settled for known in later.known.values())
    later.close()
    reopened = Index(store, folder)
    reopened.refresh()
    assert all(known.settled for known in reopened.known.values()), "what was found out is kept"
    reopened.close()


def test_the_order_of_answers_does_not_depend_on_the_history_of_the_index(memory: Path) -> None:
    index = opened(memory)
    path = memory / "alpha" / "patterns.json"
    data = path.read_bytes()
    path.write_bytes(b"[]")
    index.refresh()
    path.write_bytes(data)
    index.refresh()
    fresh = Index(open_store(memory), None)
    fresh.refresh()
    from aml.index.query import Query, find

    assert [found for found, _ in find(index, Query())] == [found for found, _ in find(fresh, Query())]
    index.close()
    fresh.close()


def test_a_store_that_moves_takes_its_index_along(memory: Path, tmp_path: Path) -> None:
    first = Index(open_store(memory), index_folder_of(memory), clock=lambda: _later(10))
    first.refresh()
    first.close()
    moved = tmp_path / "moved"
    memory.parent.rename(moved)
    index = Index(open_store(moved / "memory"), index_folder_of(moved / "memory"))
    done = index.refresh()
    assert (done.read, done.anew) == (0, False)
    assert str(tmp_path).encode() not in b"".join(
        path.read_bytes() for path in index_folder_of(moved / "memory").iterdir()
    )
    index.close()


def test_odd_elements_and_damaged_files_are_named_and_break_nothing(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1"), None, 5, {"id": "n", "version": "9.0.0"}]}})
    (memory / "alpha" / "solutions.json").write_bytes(b'[{"id": "s1"}, {"id"')
    (memory / "alpha" / "decisions.json").write_bytes(b"\x1f\x8bnothing")
    index = opened(memory)
    assert found_ids(index) == ["p1"]
    unread = {one.kind: one for one in index.unread()}
    assert (unread["patterns"].problem, unread["patterns"].odd, unread["patterns"].too_new) == (None, 2, 1)
    assert "truncated" in (unread["solutions"].problem or "")
    assert "gzip" in (unread["decisions"].problem or "")
    index.close()


def test_records_keep_their_text_whatever_their_json(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    (memory / "alpha" / "patterns.json").write_bytes(
        b'\xef\xbb\xbf[{"id": "a", "note": "half \\ud83d a pair"}, {"id": 7, "note": "number", "tags": "one"}, '
        b'{"id": "c", "id": "d", "big": 123456789012345678901234567890, "note": "twice"}, {"note": "nameless"}]'
    )
    index = opened(memory)
    assert found_ids(index) == ["", "7", "a", "d"]
    assert found_ids(index, tags=("one",)) == ["7"]
    for word, ident in (("half", "a"), ("number", "7"), ("twice", "d"), ("nameless", "")):
        assert found_ids(index, text=word) == [ident]
    index.close()


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 130])
def test_every_tag_is_found_however_many_there_are(tmp_path: Path, count: int) -> None:
    records = [{"id": "all", "tags": [f"t{number}" for number in range(count)] * 2}, {"id": "one", "tags": ["t0"]}]
    index = opened(make_store(tmp_path, {"alpha": {"patterns": records}}))
    for number in range(1, count):
        assert found_ids(index, tags=(f"t{number}",)) == ["all"]
    assert found_ids(index, tags=("t0",)) == (["all", "one"] if count else ["one"])
    index.close()
