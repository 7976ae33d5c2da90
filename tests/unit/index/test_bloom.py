"""The filter of ids: never wrong about an id that is there, seldom about others, and nothing but whole."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from aml.index.bloom import FILE_NAME, load_filter, make_filter
from aml.index.index import Index
from tests.support.indexes import DAMAGES, index_folder_of, opened
from tests.support.records import pattern
from tests.support.stores import make_store


def _uuid(number: int) -> str:
    return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))


def test_fewer_than_1_in_100_of_50_000_other_ids_pass(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": [{"id": _uuid(number)} for number in range(50_000)]}})
    index = opened(memory)
    made = make_filter(index)
    kept = load_filter(index)
    assert kept is not None
    for found in (made, kept):
        assert all(_uuid(number) in found for number in range(50_000))
        passed = sum(_uuid(number) in found for number in range(50_000, 100_000))
        assert passed < 500
    index.close()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    found = opened(
        make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1"), pattern(id="p2"), {"note": "none"}]}})
    )
    make_filter(found)
    return found


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_damaged_filter_counts_as_none(index: Index, damage: str) -> None:
    path = index_folder_of(index.store.root) / FILE_NAME
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert load_filter(index) is None
    index.close()


def test_any_flipped_bit_is_noticed(index: Index) -> None:
    path = index_folder_of(index.store.root) / FILE_NAME
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert load_filter(index) is None, place
    path.write_bytes(whole)
    assert load_filter(index) is not None
    index.close()


def test_the_filter_of_another_state_is_not_used(index: Index) -> None:
    (index.store.root / "alpha" / "solutions.json").write_text('[{"id": "s1"}]')
    index.refresh()
    assert load_filter(index) is None
    assert "s1" in make_filter(index)
    index.close()


def test_an_index_that_is_not_kept_has_no_kept_filter(index: Index) -> None:
    fresh = Index(index.store, None)
    fresh.refresh()
    assert load_filter(fresh) is None
    assert "p1" in make_filter(fresh)
    assert isinstance(fresh.connection, sqlite3.Connection)
    fresh.close()
    index.close()
