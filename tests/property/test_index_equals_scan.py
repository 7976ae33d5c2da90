"""Whatever happens to the files, a question to the index is answered as by reading all of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aml.errors import DamagedError, NotFoundError
from aml.index.loader import MemoryLoader
from aml.index.query import Found, Query
from aml.store.open import open_store
from aml.workflows.index import query
from tests.contract.pruning import run_prune
from tests.support.records import Record, decision, pattern, solution
from tests.support.scanning import KINDS, Scanned, scan
from tests.support.stores import make_store, write_array

AGENTS = ("alpha", "beta")
IDS = ("a1", "a2", "b1", "b2")
TAGS = ("red", "blue", "pale green")
WORDS = ("cache", "index", "retry", "lock")
_MAKERS: dict[str, Callable[..., Record]] = {"patterns": pattern, "solutions": solution, "decisions": decision}

_contents = st.lists(
    st.tuples(
        st.sampled_from(IDS),
        st.lists(st.sampled_from(TAGS), max_size=2),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
        st.sampled_from((0.2, 0.7)),
    ),
    max_size=4,
)
_files = st.tuples(st.sampled_from(AGENTS), st.sampled_from(KINDS))
_edits = st.one_of(
    st.tuples(st.just("write"), _files, _contents, st.sampled_from(("plain", "gzip"))),
    st.tuples(st.just("swap words"), _files, st.permutations(WORDS)),
    st.tuples(st.just("break"), _files, st.integers(1, 30)),
    st.tuples(st.just("remove"), _files),
    st.tuples(st.just("remove agent"), st.sampled_from(AGENTS)),
    st.tuples(st.just("prune")),
    st.tuples(st.just("odd"), _files),
)


def _records(kind: str, agent: str, contents: list[tuple[str, list[str], list[str], float]]) -> list[Record]:
    made = []
    for ident, tags, words, figure in contents:
        figures: dict[str, Any] = {}
        if kind == "patterns":
            figures = {"success": figure, "confidence": figure, "unused_days": 200}
        made.append(_MAKERS[kind](id=ident, agent=agent, tags=tags, note={"words": words}, **figures))
    return made


def _apply(memory: Path, edit: tuple[Any, ...]) -> None:
    what, *rest = edit
    if what == "prune":
        run_prune(memory, max_loss=1.0)
        return
    if what == "remove agent":
        shutil.rmtree(memory / rest[0], ignore_errors=True)
        return
    (agent, kind), *rest = rest
    path = memory / agent / f"{kind}.json"
    if what == "write":
        write_array(path, _records(kind, agent, rest[0]), form=rest[1])
    elif what == "remove":
        path.unlink(missing_ok=True)
    elif what == "odd":
        write_array(path, [None, 7, {"id": "a1", "tags": "red", "note": "lock"}, []])
    elif path.is_file():
        data, before = path.read_bytes(), path.stat()
        if what == "break":
            path.write_bytes(data[: -rest[0]])
        else:
            # in place, of the same size where the words are, and with the old time put back
            with path.open("r+b") as file:
                for old, new in zip(WORDS, rest[0], strict=True):
                    data = data.replace(old.encode(), f"<{new}>".encode()[: len(old)].ljust(len(old), b"x"))
                file.write(data)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _key(one: Scanned) -> tuple[str, str, str]:
    return one.agent, one.kind, one.record["id"] if isinstance(one.record.get("id"), str) else ""


def _check(memory: Path, loader: MemoryLoader) -> None:
    scanned = scan(memory)
    store = open_store(memory)

    def expect(question: Query, fits: Callable[[Scanned], bool]) -> None:
        wanted = sorted(_key(one) for one in scanned if fits(one))
        assert sorted(map(_found_key, loader.find(question))) == wanted, question
        try:
            answered = query(store, question).records
        except DamagedError:
            assert wanted == []
            return
        assert sorted(map(_found_key, answered)) == wanted, question

    expect(Query(), lambda _: True)
    expect(Query(min_success=0.5, kinds=("patterns",)), lambda one: _figure(one, "successRate") >= 0.5)
    expect(
        Query(min_confidence=0.5, tags=("red",), kinds=("pattern",)),
        lambda one: "red" in _tags(one) and _figure(one, "successRate") >= 0.5,
    )
    for tag in TAGS:
        expect(Query(tags=(tag,)), lambda one, tag=tag: tag in _tags(one))
    expect(Query(tags=TAGS[:2]), lambda one: set(TAGS[:2]) <= set(_tags(one)))
    for agent in store.agents():
        expect(Query(agents=(agent,)), lambda one, agent=agent: one.agent == agent)
    for word in WORDS:
        expect(Query(text=word), lambda one, word=word: word in one.words)
    expect(Query(text="cache lock", tags=("red",)), lambda one: {"cache", "lock"} <= one.words and "red" in _tags(one))
    for ident in IDS:
        expected = [one for one in scanned if one.record.get("id") == ident]
        assert loader.exists(ident) == bool(expected)
        for agent, kind in {(one.agent, one.kind) for one in expected}:
            versions = [one.record for one in expected if (one.agent, one.kind) == (agent, kind)]
            assert loader.get(ident, agent=agent, kind=kind).decoded() in versions
        if not expected:
            try:
                loader.get(ident)
            except (NotFoundError, DamagedError):
                continue
            raise AssertionError(f"{ident} is found, and is not there")


def _found_key(one: Found) -> tuple[str, str, str]:
    return one.agent, one.kind, one.id or ""


def _figure(one: Scanned, name: str) -> float:
    metrics = one.record.get("metrics")
    return float(metrics[name]) if one.kind == "patterns" and isinstance(metrics, dict) else -1.0


def _tags(one: Scanned) -> list[str]:
    tags = one.record.get("tags", [])
    return [tags] if isinstance(tags, str) else tags


@given(st.lists(_edits, min_size=1, max_size=4))
def test_after_any_edits_every_question_is_answered_as_by_reading_all_files(edits: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = make_store(Path(folder), {agent: {} for agent in AGENTS})
        with MemoryLoader(memory) as loader:
            for edit in edits:
                _apply(memory, edit)
                _check(memory, loader)
