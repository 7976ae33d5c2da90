"""Who interrupts while an index is made does not wait until it is finished."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from aml.index.fingerprints import FileName
from aml.index.index import Index
from aml.index.query import Query, find
from aml.index.schema import RECORDS, WORDS
from aml.store.open import open_store
from tests.support.indexes import found_ids, index_folder_of
from tests.support.records import pattern
from tests.support.stores import make_store

FILES = 100


class Watched(dict[FileName, bytes]):
    """Texts of the files that were read; reading the first one interrupts, and each takes a while."""

    def __setitem__(self, name: FileName, text: bytes) -> None:
        super().__setitem__(name, text)
        if len(self) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    memory = make_store(tmp_path, {f"a{n}": {"patterns": [pattern(id=f"p{n}")]} for n in range(FILES)})
    return Index(open_store(memory), index_folder_of(memory))


def test_an_interrupt_ends_reading_after_the_file_that_is_being_read(index: Index) -> None:
    texts = Watched()
    with pytest.raises(KeyboardInterrupt):
        index.refresh(texts=texts)
    assert len(texts) < FILES / 4
    assert index.folder is not None
    assert [path.name for path in index.folder.iterdir() if "sqlite" in path.name] == []
    index.refresh()
    assert len(found_ids(index)) == FILES
    index.close()


def test_an_interrupt_ends_reading_the_words_of_all_files(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.refresh()
    read: list[object] = []

    def strings_of(raw: bytes) -> str:
        read.append(raw)
        if len(read) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        return "word"

    with monkeypatch.context() as slowed:
        slowed.setattr("aml.index.words.strings_of", strings_of)
        with pytest.raises(KeyboardInterrupt):
            find(index, Query(text="word"))
    assert len(read) < FILES / 4
    assert index.folder is not None
    assert sorted(path.name for path in index.folder.iterdir() if "sqlite" in path.name) == [RECORDS]
    assert len(find(index, Query(text="cache"))) == FILES
    assert (index.folder / WORDS).is_file()
    index.close()
