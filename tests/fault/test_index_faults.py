"""The index meets a fault at every call that changes a file: it is right afterwards, or made anew, and so is every
answer; the store is never touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aml.index.query import Query
from aml.store.open import open_store
from aml.workflows.index import query
from tests.fault.children import Children, Point, points_of
from tests.fault.inject import Fault
from tests.fault.points import POINTS, few, share
from tests.fault.runner import STORE
from tests.support.records import NOW, pattern, solution
from tests.support.stores import tree_digest, write_array

#: So many points are tried by default; by the tests marked slow one in so many, and each fault at each kind of call.
FEW, ONE_IN = 12, 12
_INDEX = ("optimize", "index", "--rebuild")
_WORDS = ("query", "--text", "cache", "--ids")
_HOT = ("optimize", "warm-cache")
_KILLED = {Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.POWER_CUT, Fault.POWER_CUT_REORDERED}


def _project(folder: Path, children: Children, *, indexed: bool) -> None:
    store = folder / STORE
    write_array(store / "alpha" / "patterns.json", [pattern(id=f"a{number}") for number in range(5)])
    write_array(store / "beta" / "solutions.json", [solution(id="s", agent="beta")], form="gzip")
    if indexed:
        for words in (_INDEX, _WORDS, _HOT):
            assert children.run(folder, words, NOW.timestamp()).exit == 0
        write_array(store / "beta" / "patterns.json", [pattern(id="later", agent="beta")])


def _wrong(folder: Path, words: tuple[str, ...], point: Point, children: Children) -> list[str]:
    """What is wrong after a run of ``words`` met the fault."""
    before = tree_digest(folder / STORE)
    ended = children.run(folder, words, NOW.timestamp(), fault=point.fault, at=point.at)
    problems = []
    if "Traceback" in ended.err:
        problems.append(ended.err.strip().splitlines()[-1])
    if words == _WORDS and point.fault not in _KILLED | {Fault.TERMINATE} and ended.exit != 0:
        problems.append(f"a query exits with {ended.exit}: {ended.err}")
    wanted = {"a0", "a1", "a2", "a3", "a4", "s"} | ({"later"} if "later" in _ids_of(folder) else set())
    for asked in (Query(), Query(text="cache")):
        report = query(open_store(folder / STORE), asked)
        expected = wanted if asked.text is None else wanted - {"s"}
        if {found.id for found in report.records} != expected or report.notes:
            problems.append(f"{asked}: {[found.id for found in report.records]} {report.notes}")
    later = [(after, children.run(folder, after, NOW.timestamp())) for after in (_INDEX, _WORDS, _HOT)]
    problems += [f"aml {' '.join(after)} afterwards: exit {one.exit}: {one.err}" for after, one in later if one.exit]
    if tree_digest(folder / STORE) != before:
        problems.append("the store has changed")
    return [f"{point}: {problem}" for problem in problems]


def _ids_of(folder: Path) -> set[str]:
    paths = (folder / STORE).glob("*/patterns.json")
    return {record["id"] for path in paths for record in json.loads(path.read_bytes())}


@pytest.mark.parametrize("words", [_INDEX, _WORDS, _HOT], ids=" ".join)
def test_after_a_fault_every_answer_is_right(
    words: tuple[str, ...], children: Children, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _try(words, children, tmp_path, record_property, indexed=True, choose=lambda points: few(points, FEW))


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [False, True], ids=["nothing kept", "another state kept"])
@pytest.mark.parametrize("words", [_INDEX, _WORDS, _HOT], ids=" ".join)
def test_after_each_kind_of_fault_every_answer_is_right(
    words: tuple[str, ...],
    indexed: bool,
    children: Children,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    _try(words, children, tmp_path, record_property, indexed=indexed, choose=lambda points: share(points, ONE_IN))


def all_points(words: tuple[str, ...], children: Children, tmp_path: Path, *, indexed: bool) -> list[Point]:
    """Every fault at every call of a run without one, on a copy of a project that is made there as "whole"."""
    whole = tmp_path / "whole"
    _project(whole, children, indexed=indexed)
    counted, listing = shutil.copytree(whole, tmp_path / "counted"), tmp_path / "calls.json"
    assert children.run(counted, words, NOW.timestamp(), calls=str(listing)).exit == 0
    calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
    return points_of(calls, tuple(Fault))


def _try(
    words: tuple[str, ...],
    children: Children,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    *,
    indexed: bool,
    choose: Callable[[Sequence[Point]], list[Point]],
) -> None:
    whole = tmp_path / "whole"
    points = choose(all_points(words, children, tmp_path, indexed=indexed))
    record_property(POINTS, (" ".join(words), len(points)))
    problems = []
    for number, point in enumerate(points):
        folder = Path(shutil.copytree(whole, tmp_path / f"p{number}"))
        problems += _wrong(folder, words, point, children)
        shutil.rmtree(folder)
    assert not problems, "\n".join(problems)
