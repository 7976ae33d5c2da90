"""Whatever a store holds: gc keeps each record that stays, and undo gives back every record and every file."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aml.codec.json_array import split
from aml.errors import AmlError, ExitStatus
from tests.contract.collecting import run_gc, write_stray
from tests.contract.pruning import UNLIMITED, run_prune, run_undo
from tests.property.json_text import laid_out
from tests.property.test_prune import MAKERS, elements
from tests.support.stores import gunzipped, make_store, tree_digest

#: A real run costs several flushes to disk, so these properties are tried on fewer examples than the pure ones.
thrifty = settings(
    # to shrink a store to a small one that fails takes minutes
    max_examples=max(8, settings().max_examples // 6),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

_FIELDS = ("id", "agent", "timestamp", "evolution")


@st.composite
def garbage(draw: st.DrawFn, kind: str) -> bytes:
    """An element that may be garbage: a null, or a record of which something is missing, null, empty or odd."""
    if draw(st.integers(0, 2)) == 0:
        return b"null"
    record: dict[str, Any] = draw(MAKERS[kind])
    for name in draw(st.sets(st.sampled_from(_FIELDS), min_size=1, max_size=3)):
        value = draw(st.sampled_from(["gone", None, "", 0, [], {}]))
        if value == "gone":
            record.pop(name, None)
        else:
            record[name] = value
    return json.dumps(record).encode(errors="backslashreplace")


#: Bytes on disk by path in the store.
Files = dict[str, bytes]


@st.composite
def _contents(draw: st.DrawFn, found: list[bytes]) -> bytes:
    """A file of these elements, in any layout and form; some are damaged, some empty."""
    text, _ = draw(laid_out(found))
    fate = draw(st.integers(0, 11))
    if fate == 0:
        return b""
    if fate == 1:
        text = text[: draw(st.integers(0, len(text)))]
    data = gzip.compress(text, compresslevel=1, mtime=0) if draw(st.booleans()) else text
    return data[: -draw(st.integers(1, 12))] if fate == 2 else data


@st.composite
def stores(draw: st.DrawFn) -> Files:
    """Record files, compressed copies of some of them that have records in common, and unfinished writes."""
    files: Files = {}
    for agent in draw(st.sampled_from([("alpha",), ("alpha", "beta")])):
        for kind in sorted(draw(st.sets(st.sampled_from(sorted(MAKERS)), min_size=1))):
            one = st.one_of(elements(kind), elements(kind), garbage(kind))
            found = draw(st.lists(one, max_size=10))
            if found and draw(st.booleans()):
                found = [*found, *draw(st.lists(st.sampled_from(found), max_size=3))]
            name = f"{agent}/{kind}.json"
            which = draw(st.sampled_from(["file", "file", "both", "both", "copy"]))
            if which != "copy":
                files[name] = draw(_contents(found))
            if which != "file":
                common = draw(st.lists(st.sampled_from(found), max_size=4)) if found else []
                files[f"{name}.gz"] = draw(_contents([*common, *draw(st.lists(one, max_size=4))]))
            if draw(st.integers(0, 5)) == 0:
                files[f"{name}.tmp"] = draw(st.binary(max_size=20))
    return files


@contextmanager
def _written(files: Files) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        memory = make_store(Path(folder), {path.partition("/")[0]: {} for path in files})
        for path, data in files.items():
            if path.endswith(".tmp"):
                write_stray(memory, data, path)
            else:
                (memory / path).write_bytes(data)
        yield memory


def _elements(memory: Path) -> dict[str, list[bytes]]:
    """The exact elements of each record file and copy that is one whole array; of any other, its bytes.

    The splitter has properties of its own, which do not go through it.
    """
    found = {}
    for path in sorted(memory.glob("[!.]*/*")):
        data = path.read_bytes()
        try:
            array = split(gunzipped(data))
        except (AmlError, EOFError, OSError):
            found[path.relative_to(memory).as_posix()] = [data]
        else:
            found[path.relative_to(memory).as_posix()] = [bytes(one) for one in array.elements]
    return found


def _all(elements: dict[str, list[bytes]]) -> Counter[bytes]:
    return Counter(one for found in elements.values() for one in found)


def _kept_beside(memory: Path) -> Counter[bytes]:
    """Elements of archives, and all of files in quarantine."""
    keep = memory.with_name(f"{memory.name}-backup")
    found: Counter[bytes] = Counter()
    for archive in keep.glob("archives/*/*.jsonl.gz"):
        for line in gzip.decompress(archive.read_bytes()).splitlines():
            found[json.loads(line)["text"].encode(errors="surrogatepass")] += 1
    for run in keep.glob("quarantine/*"):
        found += _all(_elements(run))
    return found


def _is_part_of(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


def _is_read(one: bytes) -> bool:
    """Whether it is an object that some reader takes: salvage leaves all others in quarantine."""
    try:
        return isinstance(json.loads(one.decode(errors="replace"), strict=False), dict)
    except (ValueError, RecursionError):
        return False


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, 0.0, 0.5, UNLIMITED]), salvage=st.booleans())
def test_gc_then_undo_gives_back_every_record_and_file(files: Files, max_loss: float | None, salvage: bool) -> None:
    with _written(files) as memory:
        before, digest = _elements(memory), tree_digest(memory)
        report = run_gc(memory, max_loss=max_loss, salvage=salvage)
        left = _elements(memory)
        assert not _all(before) - _all(left) - _kept_beside(memory), "each is in the store, an archive or quarantine"
        made = {path: what for path, what in left.items() if path not in before}
        for path, found in left.items():
            copy = before.get(f"{path}.gz", [])
            allowed = [*before.get(path, []), *copy]
            if not salvage:
                assert _is_part_of(found, allowed), "what stays keeps its bytes and its order"
            if tree_digest(memory)[path] == digest.get(path):
                assert found == before[path]
        assert all(f"{path}.gz" in before for path in made)
        if report.changes:
            undone = run_undo(memory, report.run)
            assert undone.status is ExitStatus.DONE, undone
            again = run_undo(memory, report.run)
            assert not any(one.restored for one in again.files)
            assert not any(one.put_back for one in again.originals)
        assert _elements(memory) == before
        after = tree_digest(memory)
        for path in files:
            if before[path] == [files[path]] or path.endswith((".gz", ".tmp")):
                assert after[path] == digest[path], "whole files come back with their bytes, times and modes"


@thrifty
@given(files=stores(), salvage=st.booleans())
def test_gc_twice_changes_nothing_the_second_time(files: Files, salvage: bool) -> None:
    with _written(files) as memory:
        first = run_gc(memory, max_loss=UNLIMITED, salvage=salvage)
        before = tree_digest(memory)
        second = run_gc(memory, max_loss=UNLIMITED, salvage=salvage, later_days=1)
        assert second.changes == 0
        assert second.status in (first.status, ExitStatus.DONE, ExitStatus.DAMAGED)
        assert tree_digest(memory) == before


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, 0.2, UNLIMITED]), salvage=st.booleans())
def test_a_dry_run_is_what_the_run_does_and_leaves_no_trace(
    files: Files, max_loss: float | None, salvage: bool
) -> None:
    with _written(files) as memory, _written(dict(reversed(files.items()))) as same:
        before = tree_digest(memory.parent)
        plans = [run_gc(where, max_loss=max_loss, salvage=salvage, dry_run=True) for where in (memory, memory, same)]
        assert plans[0] == plans[1]
        assert plans[0] == plans[2]
        assert tree_digest(memory.parent) == before
        assert [path.name for path in memory.parent.iterdir()] == ["memory"]
        done = run_gc(memory, max_loss=max_loss, salvage=salvage)
        assert done.counts == plans[0].counts
        assert done.records == plans[0].records
        assert done.changes == plans[0].changes
        assert [file.steps for file in done.files] == [file.steps for file in plans[0].files]
        assert [(one.path, one.removed) for one in done.leftovers] == [
            (one.path, one.removed) for one in plans[0].leftovers
        ]


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, 0.0, 0.1]))
def test_the_budget_is_never_exceeded(files: Files, max_loss: float | None) -> None:
    """Told by what was in the record files and is not any more; a version that a newer one replaced is no loss."""
    with _written(files) as memory:
        before = _elements(memory)
        report = run_gc(memory, max_loss=max_loss)
        left = _elements(memory)
        for agent in {path.partition("/")[0] for path in files}:
            mine = [file for file in report.files if file.agent == agent]
            live = sum(file.records for file in mine)
            limit = int(live * max_loss + 1e-9) if max_loss is not None else max(live * 3 // 10, min(20, live // 2))
            gone: Counter[bytes] = Counter()
            for file in mine:
                path = f"{agent}/{file.kind}.json"
                if path in before and f"{path}.gz" not in before:
                    gone += Counter(before[path]) - Counter(left.get(path, []))
            del gone[b"null"], gone[b""]
            assert sum(gone.values()) <= limit


@thrifty
@given(files=stores())
def test_agents_that_are_not_asked_for_are_not_touched(files: Files) -> None:
    with _written(files) as memory:
        before = tree_digest(memory)
        run_gc(memory, agents=("alpha",), max_loss=UNLIMITED, salvage=True)
        after = tree_digest(memory)
        for path in files:
            if not path.startswith("alpha/"):
                assert after[path] == before[path]


Step = tuple[str, int]

steps = st.lists(
    st.tuples(st.sampled_from(["gc", "gc", "prune", "undo", "undo"]), st.integers(0, 9)), min_size=2, max_size=7
)


@thrifty
@given(files=stores(), history=steps)
def test_any_history_of_gc_prune_and_undo_loses_nothing(files: Files, history: list[Step]) -> None:
    with _written(files) as memory:
        before = _elements(memory)
        runs: list[str] = []
        for day, (what, number) in enumerate(history):
            if what == "undo" and runs:
                run = runs[number % len(runs)]
                run_undo(memory, run, later_days=day / 10)
            elif what == "prune":
                found = run_prune(memory, max_loss=UNLIMITED, later_days=day / 10)
                runs += [found.run] if found.run and found.total("removed") else []
            elif what == "gc":
                done = run_gc(memory, max_loss=UNLIMITED, salvage=bool(number % 2), later_days=day / 10)
                runs += [done.run] if done.run and done.changes else []
            there = _all(_elements(memory)) + _kept_beside(memory)
            assert not {one for one in _all(before) if one and not there[one]}, "none is nowhere"
        for run in reversed(runs):
            run_undo(memory, run, later_days=1)
        after = _all(_elements(memory))
        wanted = Counter(one for found in before.values() for one in set(found))
        # what was damaged and salvaged stays in quarantine where its file has been changed since, and that is told
        assert not {one for one in wanted if _is_read(one) and not after[one]}, "all can be had back"


@thrifty
@given(files=stores(), max_loss=st.sampled_from([None, UNLIMITED]), runs=st.integers(2, 4))
def test_several_runs_undone_the_newest_first_give_back_everything(
    files: Files, max_loss: float | None, runs: int
) -> None:
    with _written(files) as memory:
        before = _elements(memory)
        done = []
        for day in range(runs):
            report = (run_prune if day % 2 else run_gc)(memory, max_loss=max_loss, later_days=day / 10)
            changes = report.changes if day % 2 == 0 else report.total("removed")  # type: ignore[union-attr]
            done += [report.run] if changes else []
        for run in reversed(done):
            assert run_undo(memory, run, later_days=1).status is ExitStatus.DONE
        assert _elements(memory) == before
