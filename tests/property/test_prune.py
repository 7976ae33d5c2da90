"""Whatever a store holds: prune and undo lose nothing, plans are deterministic, and protection protects."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aml.errors import ExitStatus
from tests.contract.pruning import UNLIMITED, fates, run_prune, run_undo
from tests.property.json_text import any_values, laid_out, nested, sound_values
from tests.support.records import NOW, days_ago, decision, pattern, solution, to_v110, to_v120, to_v200
from tests.support.stores import gunzipped, make_store, tree_digest

#: A real run costs several flushes to disk, so these properties are tried on fewer examples than the pure ones.
thrifty = settings(max_examples=max(10, settings().max_examples // 2))

ages = st.sampled_from([0.5, 2, 6.9, 7.1, 29, 31, 59, 61, 89, 91, 119, 121, 179, 181, 364, 366, 800])
shares = st.sampled_from([0.0, 0.05, 0.14, 0.19, 0.2, 0.29, 0.3, 0.5, 0.84, 0.85, 0.86, 1.0])
maybe = st.one_of(st.none(), shares)
tags = st.sampled_from([None, [], ["keep"], ["pinned", "x"], ["x"]])
idents = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h", "\ud83d", "\x1b[1m"])
odd_times = st.sampled_from(
    [None, "soon", 0, 1e400, 10**400, "0001-01-01", "2020-01-01", 1577836800, 1577836800000, [], True]
)

patterns = st.builds(
    pattern,
    id=idents,
    created_days=ages,
    unused_days=ages,
    success=maybe,
    executions=st.one_of(st.none(), st.integers(0, 60)),
    confidence=maybe,
    tags=tags,
    active=st.sampled_from([None, True, False]),
)
solutions = st.builds(
    solution,
    id=idents,
    created_days=ages,
    worked=st.sampled_from([None, True, False]),
    verified=st.integers(0, 5),
    tags=tags,
    active=st.sampled_from([True, False]),
)
decisions = st.builds(
    decision,
    id=idents,
    created_days=ages,
    reviewed_days=st.one_of(st.none(), ages),
    scores=st.one_of(st.none(), st.dictionaries(st.sampled_from(["developmentSpeed", "maintainability"]), shares)),
    would_repeat=st.sampled_from([None, True, False]),
    tags=tags,
)
versions = st.sampled_from([dict, dict, to_v110, to_v120, to_v200])
MAKERS = {"patterns": patterns, "solutions": solutions, "decisions": decisions}


@st.composite
def elements(draw: st.DrawFn, kind: str) -> bytes:
    """One element as bytes: mostly a record, some with something odd inside, some nothing of the kind."""
    record: dict[str, Any] = draw(versions)(draw(MAKERS[kind]))
    if draw(st.integers(0, 9)) == 0:
        record["timestamp"] = draw(odd_times)
    text = json.dumps(record, indent=draw(st.sampled_from([None, None, 2])), ensure_ascii=draw(st.booleans()))
    raw = text.encode(errors="backslashreplace").replace(b"\\udcd", b"\\ud83d")
    choice = draw(st.integers(0, 11))
    if choice == 0:
        return draw(any_values)
    if choice == 1:
        return raw[:-1] + b', "x": ' + draw(any_values) + b"}"
    if choice == 2:
        return (
            raw[:-1]
            + b', "id": "a", "x": '
            + draw(sound_values)
            + b', "x": '
            + nested(draw(st.sampled_from([9, 5000])))
            + b"}"
        )
    return raw


Files = dict[tuple[str, str], tuple[list[bytes], bytes]]


@st.composite
def stores(draw: st.DrawFn) -> Files:
    """Elements and bytes on disk of each file, by agent and kind."""
    files: Files = {}
    for agent in draw(st.sampled_from([("alpha",), ("alpha", "beta")])):
        for kind in sorted(draw(st.sets(st.sampled_from(sorted(MAKERS)), min_size=1))):
            found = draw(st.lists(elements(kind), max_size=12))
            if found and draw(st.booleans()):
                found = [*found, *draw(st.lists(st.sampled_from(found), max_size=4))]  # identical duplicates
            text, _ = draw(laid_out(found))
            packed = draw(st.booleans())
            files[agent, kind] = (found, gzip.compress(text, compresslevel=1, mtime=0) if packed else text)
    return files


@contextmanager
def _written(files: Files) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        memory = make_store(Path(folder), {agent: {} for agent, _ in files})
        for (agent, kind), (_, data) in files.items():
            (memory / agent / f"{kind}.json").write_bytes(data)
        yield memory


def _spans(memory: Path, agent: str, kind: str, known: list[bytes]) -> list[bytes]:
    """The elements of a file now, cut by the elements that it is known to be made of."""
    text = gunzipped((memory / agent / f"{kind}.json").read_bytes())
    blank = b" \t\n\r"
    place = text.index(b"[") + 1
    found = []
    candidates = sorted(set(known), key=len, reverse=True)
    while True:
        while text[place : place + 1] in (b" ", b"\t", b"\n", b"\r", b","):
            place += 1
        if text[place : place + 1] == b"]" and not text[place + 1 :].strip(blank):
            return found
        match = next((one for one in candidates if text.startswith(one, place) and _ends(text, place + len(one))), None)
        assert match is not None, f"at {place} stands what was never there: {text[place : place + 40]!r}"
        found.append(match)
        place += len(match)


def _ends(text: bytes, place: int) -> bool:
    return text[place:].lstrip(b" \t\n\r")[:1] in (b",", b"]")


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, 0.5, UNLIMITED]))
def test_prune_then_undo_gives_back_every_record(files: Files, max_loss: float | None) -> None:
    with _written(files) as memory:
        report = run_prune(memory, max_loss=max_loss)
        left = {key: _spans(memory, *key, found) for key, (found, _) in files.items()}
        assert sum(map(len, left.values())) == report.total("kept")
        assert report.total("records") - report.total("kept") == report.total("removed")
        for key, (found, _) in files.items():
            assert _is_part_of(left[key], found), "what stays keeps its bytes and its order"
        if report.total("removed"):
            undone = run_undo(memory, report.run)
            assert undone.status is ExitStatus.DONE
            assert sum(file.restored for file in undone.files) == report.total("removed")
        for key, (found, _) in files.items():
            assert _spans(memory, *key, found) == found


def _is_part_of(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


@thrifty
@given(files=stores())
def test_files_from_which_nothing_goes_keep_bytes_and_times(files: Files) -> None:
    with _written(files) as memory:
        before = tree_digest(memory)
        report = run_prune(memory, max_loss=UNLIMITED)
        after = tree_digest(memory)
        for file in report.files:
            name = f"{file.agent}/{file.kind}.json"
            assert (after[name] == before[name]) == (file.removed == 0)
        assert before.keys() == after.keys()


@thrifty
@given(files=stores())
def test_nothing_goes_within_a_budget_of_nothing(files: Files) -> None:
    with _written(files) as memory:
        before = tree_digest(memory)
        report = run_prune(memory, max_loss=0.0)
        assert report.total("removed") == 0
        assert tree_digest(memory) == before


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, 0.2, UNLIMITED]))
def test_a_plan_is_deterministic_and_is_what_the_run_does(files: Files, max_loss: float | None) -> None:
    with _written(files) as memory, _written(dict(reversed(files.items()))) as same:
        plans = [run_prune(where, max_loss=max_loss, dry_run=True) for where in (memory, memory, same)]
        assert plans[0] == plans[1]
        assert plans[0] == plans[2]
        done = run_prune(memory, max_loss=max_loss)
        assert fates(done) == fates(plans[0])
        assert [file.kept for file in done.files] == [file.kept for file in plans[0].files]


@thrifty
@given(files=stores())
def test_a_second_run_right_after_removes_nothing_more(files: Files) -> None:
    with _written(files) as memory:
        run_prune(memory, max_loss=UNLIMITED)
        before = tree_digest(memory)
        report = run_prune(memory, max_loss=UNLIMITED)
        assert (report.total("removed"), report.total("came_back"), report.total("deferred")) == (0, 0, 0)
        assert tree_digest(memory) == before


@thrifty
@given(files=stores())
def test_the_budget_is_never_exceeded(files: Files) -> None:
    with _written(files) as memory:
        report = run_prune(memory)
        for agent in {agent for agent, _ in files}:
            mine = [file for file in report.files if file.agent == agent]
            live, removed = sum(file.records for file in mine), sum(file.removed for file in mine)
            assert removed <= max(live * 3 // 10, min(20, live // 2))
            assert removed == 0 or removed <= live // 2 or removed <= live * 3 // 10


@thrifty
@given(files=stores())
def test_protected_records_never_go(files: Files) -> None:
    with _written(files) as memory:
        run_prune(memory, max_loss=UNLIMITED)
        for key, (found, _) in files.items():
            left = _spans(memory, *key, found)
            for raw in found:
                if _is_protected(raw):
                    assert left.count(raw) == found.count(raw)


def _is_protected(raw: bytes) -> bool:
    """By pinned tag, by age, or no record at all: told by plain reading, and only where that is beyond doubt."""
    try:
        record = json.loads(raw, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    except (ValueError, RecursionError):
        return True
    if not isinstance(record, dict):
        return True
    found = record.get("tags")
    if isinstance(found, list) and ("keep" in found or "pinned" in found):
        return True
    week_ago = days_ago(7)
    course = record.get("evolution") or record.get("lifecycle") or {}
    if not isinstance(course, dict):
        return False
    created = course.get("created", course.get("created_at", record.get("timestamp")))
    return (
        isinstance(created, str) and created.startswith("20") and week_ago[:19] < created[:19] <= NOW.isoformat()[:19]
    )
