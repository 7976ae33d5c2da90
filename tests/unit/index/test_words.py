"""Search by words: what is a word, what counts more, and that it keeps up with the records."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aml.errors import UsageError
from aml.index.index import Index
from aml.index.query import Query, find
from aml.index.schema import WORDS
from aml.index.sealed import database_seal
from tests.support.indexes import found_ids, index_folder_of, opened
from tests.support.records import pattern
from tests.support.stores import make_store, write_array


def _noted(**notes: str) -> list[dict[str, object]]:
    return [{"id": ident, "note": note} for ident, note in notes.items()]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    notes = _noted(
        a="A Read-Through cache of prices",
        b="through reading, a CACHE",
        c="Größe: naïve",
        d='say "NEAR(" OR * -- {x}',
        e="cached",
    )
    return make_store(tmp_path, {"alpha": {"patterns": notes}})


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("cache", ["a", "b"]),
        ("CACHE prices", ["a"]),
        ("read-through", ["a"]),
        ("through cache", ["a", "b"]),
        ("cach*", ["a", "b", "e"]),
        ("grosse", []),
        ("große", ["c"]),
        ("größe", ["c"]),
        ("grösse", []),
        ("naive", ["c"]),
        ("near", ["d"]),
        ('"NEAR("', ["d"]),
        ("or say", ["d"]),
        ("cache OR say", []),
        ("note", []),
        ("note:cache", []),
        ("x -- say", ["d"]),
        ("a\0cache", ["a", "b"]),
        ("\udcff cache", []),
    ],
)
def test_words_are_letters_and_digits_and_nothing_else_is_a_command(memory: Path, text: str, ids: list[str]) -> None:
    index = opened(memory)
    assert found_ids(index, text=text) == ids
    index.close()


def test_no_text_at_all_is_more_than_words(tmp_path: Path) -> None:
    index = opened(make_store(tmp_path, {"alpha": {"patterns": _noted(a="lock")}}))

    @given(st.text(st.characters(exclude_categories=())) | st.text('"*():^-+ANDORNOT{}\\0 aé\u0301'))
    @example("\u0301a \u00aa \u2460 \ue000 \u3007")
    def search(text: str) -> None:
        with suppress(UsageError):
            find(index, Query(text=text))

    search()
    index.close()


@pytest.mark.parametrize("text", ["", " ", "--", "*", '"', "\0"])
def test_a_search_without_a_word_is_refused(memory: Path, text: str) -> None:
    index = opened(memory)
    with pytest.raises(UsageError, match="no word"):
        find(index, Query(text=text))
    index.close()


def test_what_fits_best_comes_first(tmp_path: Path) -> None:
    notes = _noted(long="lock " + "other words " * 40, best="lock lock", none="nothing", short="lock here")
    index = opened(make_store(tmp_path, {"alpha": {"patterns": notes}}))
    assert [found.id for found, _ in find(index, Query(text="lock"))] == ["best", "short", "long"]
    assert [found.id for found, _ in find(index, Query(text="lock", limit=1))] == ["best"]
    index.close()


def test_words_keep_up_with_files_and_know_equal_texts_once(memory: Path) -> None:
    index = opened(memory)
    assert found_ids(index, text="cache") == ["a", "b"]
    path = memory / "beta" / "patterns.json"
    write_array(path, _noted(a="A Read-Through cache of prices", z="another cache"))
    assert found_ids(index, text="cache") == ["a", "a", "b", "z"]
    path.unlink()
    assert found_ids(index, text="cache") == ["a", "b"]
    (texts,) = index.words.execute("SELECT count(*) FROM texts").fetchone()  # type: ignore[union-attr]
    assert texts == 6, "the one of two equal texts, and that of a record that is gone"
    index.close()


def test_texts_without_records_do_not_pile_up(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": []}})
    path = memory / "alpha" / "patterns.json"
    index = opened(memory)
    for turn in range(7):
        write_array(path, [{"id": f"{turn}-{number}", "note": "lock"} for number in range(600)])
        assert len(found_ids(index, text="lock")) == 600
    (texts,) = index.words.execute("SELECT count(*) FROM texts").fetchone()  # type: ignore[union-attr]
    assert texts < 7 * 600
    index.close()


def test_an_unchanged_store_has_its_words_kept(memory: Path) -> None:
    index = opened(memory)
    found_ids(index, text="cache")
    index.close()
    path = index_folder_of(memory) / WORDS
    seal, inode = database_seal(path), path.stat().st_ino
    again = opened(memory)
    assert found_ids(again, text="cache") == ["a", "b"]
    assert (database_seal(path), path.stat().st_ino) == (seal, inode)
    again.close()


def test_without_a_place_to_keep_them_words_are_searched_all_the_same(memory: Path) -> None:
    from aml.store.open import open_store

    index = Index(open_store(memory), None)
    assert found_ids(index, text="cache") == ["a", "b"]
    write_array(memory / "alpha" / "solutions.json", [pattern(id="p")])
    assert found_ids(index, text="cache") == ["a", "b", "p"]
    index.close()
