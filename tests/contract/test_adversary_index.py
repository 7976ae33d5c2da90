"""What broke the index, its loader and their commands; what is marked does still."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import pytest

import aml as library
from aml.errors import AmlError, DamagedError, FileAccessError, NotFoundError, UsageError
from tests.cli.running import aml, aml_child
from tests.support.stores import make_store


def _pattern(ident: str, **more: object) -> dict[str, object]:
    return {"id": ident, "agent": "one", "timestamp": "2026-01-01T00:00:00Z", "type": "pattern", "tags": ["t"], **more}


def _store(tmp_path: Path, *records: object) -> Path:
    return make_store(tmp_path, {"one": {"patterns": list(records)}})


def _deep_down(frames: int, ask: Callable[[], object]) -> object:
    return ask() if frames == 0 else _deep_down(frames - 1, ask)


def _raw_store(tmp_path: Path, text: bytes) -> Path:
    store = _store(tmp_path)
    (store / "one" / "patterns.json").write_bytes(text)
    return store


def test_a_limit_beyond_what_the_database_counts_shows_all(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    answer = aml(tmp_path, "--store", str(store), "query", "--ids", "--limit", "9" * 20)
    assert (answer.status, answer.out) == (0, "a\n")


def test_a_thousand_tags_are_asked_for_at_once(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    answer = aml(tmp_path, "--store", str(store), "query", "--ids", *["--tag", "t"] * 1000)
    assert (answer.status, answer.out) == (0, "a\n")


def test_a_number_too_long_for_python_does_not_end_a_query(tmp_path: Path) -> None:
    store = _raw_store(tmp_path, b'[{"id":"a","timestamp":"2026-01-01T00:00:00Z","x":' + b"9" * 5000 + b"}]")
    assert aml(tmp_path, "--store", str(store), "query", "--jsonl").status == 0
    assert aml(tmp_path, "--store", str(store), "show", "a", "--json").status in (0, 12)


def test_an_agent_whose_name_is_no_text_is_named_as_left_out(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    odd = os.fsencode(store) + b"/bad\xff"
    os.mkdir(odd)
    with open(odd + b"/patterns.json", "wb") as file:
        file.write((store / "one" / "patterns.json").read_bytes())
    answer = aml(tmp_path, "--store", str(store), "query")
    assert "bad" in answer.err
    assert answer.status == 0, "as with prune and gc: a note, since nothing of it was asked for by name"


def test_a_long_id_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with library.MemoryLoader(_store(tmp_path, _pattern("a" * 50))) as loader:
        began = time.perf_counter()
        with pytest.raises(NotFoundError):
            loader.get("a" * 40_000)
        assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("ask", ["get", "exists", "tags"])
def test_a_lone_surrogate_is_asked_for_as_it_stands_in_its_record(tmp_path: Path, ask: str) -> None:
    with library.MemoryLoader(_store(tmp_path, _pattern("a\ud800", tags=["\ud800"]))) as loader:
        if ask == "tags":
            assert len(loader.find(tags=("\ud800",))) == 1
        else:
            assert getattr(loader, ask)("a\ud800")


@pytest.mark.parametrize("filters", [{"limit": "1 UNION SELECT 1"}, {"limit": 1.5}, {"limit": -1}, {"sort": "x"}])
def test_a_question_of_the_wrong_kind_is_refused(tmp_path: Path, filters: dict[str, Any]) -> None:
    with library.MemoryLoader(_store(tmp_path, _pattern("a"))) as loader, pytest.raises((UsageError, TypeError)):
        loader.find(**filters)


@pytest.mark.parametrize("name", ["records.sqlite", "words.sqlite"])
@pytest.mark.parametrize("how", ["other", "cut", "zeros"])
def test_an_index_file_written_over_under_an_open_loader_changes_no_answer(tmp_path: Path, name: str, how: str) -> None:
    files = []
    for folder in ("mine", "theirs"):
        store = _store(tmp_path / folder, *[_pattern(f"{folder}-{n}", text=f"{folder}{n}") for n in range(3000)])
        with library.MemoryLoader(store) as loader:
            loader.find(text="t")
        files.append((store, store.parent / "memory.aml" / "index" / name))
    (store, mine), (_, theirs) = files
    with library.MemoryLoader(store) as loader:
        loader.find(text="mine0")
        data = {"other": theirs.read_bytes(), "cut": mine.read_bytes()[:9000], "zeros": bytes(mine.stat().st_size)}[how]
        mine.write_bytes(data)
        for number in range(0, 3000, 211):
            assert [found.id for found in loader.find(text=f"mine{number}")] == [f"mine-{number}"]
            assert loader.exists(f"mine-{number}")
            assert not loader.exists(f"theirs-{number}")


def test_how_deep_the_caller_is_decides_nothing_that_is_kept(tmp_path: Path) -> None:
    nested = b"[" * 700 + b"]" * 700
    store = _raw_store(tmp_path, b'[{"id":"a","timestamp":"2026-01-01T00:00:00Z","text":"word","x":' + nested + b"}]")

    def ask() -> tuple[bool, int]:
        with library.MemoryLoader(store) as loader:
            return loader.exists("a"), len(loader.find(text="word"))

    _deep_down(300, ask)
    assert ask() == (True, 1)


def test_the_deepest_record_that_can_be_read_is_shown_in_json(tmp_path: Path) -> None:
    nested = b"[" * 980 + b"]" * 980
    store = _raw_store(tmp_path, b'[{"id":"a","timestamp":"2026-01-01T00:00:00Z","x":' + nested + b"}]")
    done = aml_child(tmp_path, "--store", str(store), "show", "a", "--json")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("[") >= 980


def test_a_record_in_a_damaged_file_is_not_told_to_be_absent(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    with library.MemoryLoader(store) as loader:
        path = store / "one" / "patterns.json"
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises((DamagedError, FileAccessError)):
            loader.get("a")


def test_a_search_that_is_interrupted_spoils_no_later_one(tmp_path: Path) -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(_: int, __: FrameType | None) -> None:
        raise Interrupt

    store = _store(tmp_path, *[_pattern(f"a{n}", text=f"common word{n}") for n in range(20_000)])
    with library.MemoryLoader(store) as loader:
        loader.find(text="common", limit=1)
        before = signal.signal(signal.SIGALRM, interrupt)
        # hypothesis listens to the collector, and an interrupt in there is nobody's
        gc.disable()
        try:
            for part in range(1, 40):
                signal.setitimer(signal.ITIMER_REAL, part / 400)
                try:
                    loader.find(text=f"common word* {'w*' * (part % 2)}", limit=part)
                except Interrupt:
                    pass
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            assert len(loader.find(text="word7")) == 1
        finally:
            gc.enable()
            signal.signal(signal.SIGALRM, before)


def test_an_agent_that_is_gone_is_unknown_though_it_was_asked_for_before(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    (store / "empty").mkdir()
    with library.MemoryLoader(store) as loader:
        assert loader.find(agents=("empty",)) == ()
        (store / "empty").rmdir()
        with pytest.raises(UsageError):
            loader.find(agents=("empty",))


@pytest.mark.parametrize("name", ["hot.set", "statistics.json"])
def test_a_huge_file_among_those_of_the_index_counts_as_damaged(tmp_path: Path, name: str) -> None:
    store = _store(tmp_path, _pattern("a"))
    with library.MemoryLoader(store) as loader:
        loader.get("a")
    os.truncate(_made(store.parent / "memory.aml" / "index" / name), 8 << 30)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); import aml\n"
        "with aml.MemoryLoader(sys.argv[1]) as loader: loader.get('a'); loader.statistics"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-300:]


def _made(path: Path) -> Path:
    path.touch()
    return path


def test_figures_are_counted_once_though_a_loader_was_forked(tmp_path: Path) -> None:
    store = _store(tmp_path, _pattern("a"))
    loader = library.MemoryLoader(store)
    for _ in range(50):
        loader.exists("a")
    child = os.fork()
    if child == 0:
        loader.close()
        os._exit(0)
    os.waitpid(child, 0)
    loader.close()
    with library.MemoryLoader(store) as later:
        assert later.statistics.queries == 50


def test_a_loader_that_is_closed_answers_no_more(tmp_path: Path) -> None:
    loader = library.MemoryLoader(_store(tmp_path, _pattern("a")))
    loader.close()
    with pytest.raises((AmlError, ValueError, RuntimeError)):
        loader.exists("a")


def test_a_caller_that_is_a_little_deep_decides_nothing_that_is_kept(tmp_path: Path) -> None:
    nested = b"[" * 930 + b"]" * 930
    store = _raw_store(tmp_path, b'[{"id":"a","timestamp":"2026-01-01T00:00:00Z","text":"word","x":' + nested + b"}]")
    answers: list[object] = []

    def ask() -> None:
        with library.MemoryLoader(store) as loader:
            answers.append((loader.exists("a"), len(loader.find(text="word"))))

    for frames in (90, 0):
        # a thread begins its stack anew, however deep the one of the tests is
        thread = Thread(target=_deep_down, args=(frames, ask))
        thread.start()
        thread.join()
    assert answers == [(True, 1), (True, 1)] or answers == [(False, 0), (False, 0)]
    (store / "one" / "patterns.json").write_bytes((store / "one" / "patterns.json").read_bytes() + b"\n")
    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert len(set(answers)) == 1


def test_a_record_is_decoded_however_deep_the_caller_is(tmp_path: Path) -> None:
    nested = b"[" * 900 + b"]" * 900
    store = _raw_store(tmp_path, b'[{"id":"a","timestamp":"2026-01-01T00:00:00Z","x":' + nested + b"}]")
    with library.MemoryLoader(store) as loader:
        found = _deep_down(200, lambda: loader.get("a").decoded()["id"])
    assert found == "a"


def test_an_index_file_written_over_with_its_time_put_back_changes_no_answer(tmp_path: Path) -> None:
    stores = []
    for name in ("a", "b"):
        stores.append(_store(tmp_path / name, *[_pattern(f"{name}{n}") for n in range(5000)]))
        library.MemoryLoader(stores[-1]).close()
    mine, theirs = (store.parent / "memory.aml" / "index" / "records.sqlite" for store in stores)
    with library.MemoryLoader(stores[0]) as loader:
        before = mine.stat()
        assert before.st_size == theirs.stat().st_size
        mine.write_bytes(theirs.read_bytes())
        os.utime(mine, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert all(loader.exists(f"a{n}") for n in range(0, 5000, 7))
