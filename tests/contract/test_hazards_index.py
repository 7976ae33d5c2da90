"""Cases in which a search showed what is gone, hid what is there, or did worse."""

from __future__ import annotations

import ast
import gzip
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import aml
from aml.errors import DamagedError, UsageError
from aml.index.loader import MemoryLoader
from aml.index.query import Query
from aml.store.open import open_store
from aml.workflows.index import optimize_index, query, show_record, warm_cache
from tests.contract.pruning import run_prune, run_undo, stale
from tests.support.indexes import index_folder_of
from tests.support.records import pattern, solution
from tests.support.stores import encode_array, make_store, write_array


def ids(memory: Path, **filters: object) -> list[str]:
    asked = Query(**filters)  # type: ignore[arg-type]
    return sorted(found.id or "" for found in query(open_store(memory), asked).records)


# ---- H04: a gzip store


def test_h04_a_search_sees_every_record_of_a_gzip_store(tmp_path: Path) -> None:
    """H04: on a gzip store 0 records were seen, and all was well."""
    contents = {"alpha": {"patterns": [pattern(id="p1"), pattern(id="p2")], "solutions": [solution(id="s1")]}}
    memory = make_store(tmp_path, contents, form="gzip")
    assert ids(memory) == ["p1", "p2", "s1"]
    assert ids(memory, text="cache") == ["p1", "p2"]
    assert show_record(open_store(memory), "s1").record.decoded()["id"] == "s1"


def test_h04_gzip_of_several_members_is_searched_whole(tmp_path: Path) -> None:
    """H04: whatever the runtime can read counts."""
    memory = make_store(tmp_path, {"alpha": {}})
    data = encode_array([pattern(id="p1"), pattern(id="p2")])
    (memory / "alpha" / "patterns.json").write_bytes(gzip.compress(data[:200]) + gzip.compress(data[200:]))
    assert ids(memory) == ["p1", "p2"]
    with MemoryLoader(memory) as loader:
        assert loader.get("p2").decoded()["id"] == "p2"


# ---- H26: pickles


class _Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._mark}",)


def test_h26_no_pickle_in_any_file_of_the_state_folder_runs(tmp_path: Path) -> None:
    """H26: a pickle in the index folder ran code."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale(f"p{number}") for number in range(9)]}})
    store, mark = open_store(memory), tmp_path / "mark"
    use(memory)
    run_prune(memory)
    bomb = pickle.dumps(_Bomb(mark))
    pickle.loads(bomb)  # noqa: S301
    assert mark.exists(), "the bomb works"
    mark.unlink()
    state = [path for path in store.state.rglob("*") if path.is_file() and path.name != ".gitignore"]
    assert {"records.sqlite", "words.sqlite", "hot.set", "ids.bloom", "statistics.json"} <= {
        path.name for path in state
    }
    for path in state:
        head = path.read_bytes()
        for planted in (bomb, head[:100] + bomb, head + bomb):
            path.write_bytes(planted)
            use(memory)
            with suppress(DamagedError):  # a run's journal is not derived from anything
                run_prune(memory, dry_run=True)
            assert not mark.exists(), path
        for name in ("index.pkl", "bloom.pickle", f"{path.name}.pkl", "cache.pickle"):
            path.with_name(name).write_bytes(bomb)
        if path.parent.name == "runs":
            path.write_bytes(head)
    use(memory)
    assert not mark.exists()


def use(memory: Path) -> None:
    """Everything that reads what the index keeps."""
    from aml.index.bloom import load_filter, make_filter
    from aml.index.index import Index

    store = open_store(memory)
    optimize_index(store)
    query(store, Query(text="cache"))
    with MemoryLoader(memory) as loader:
        loader.exists("p1")
    index = Index(store, index_folder_of(memory))
    index.refresh()
    if load_filter(index) is None:
        make_filter(index)
    index.close()
    warm_cache(store)


def test_h26_no_module_of_aml_can_load_a_pickle() -> None:
    """H26: neither pickle nor what is built on it is imported anywhere."""
    banned = {"pickle", "cPickle", "_pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "copyreg", "dbm"}
    for path in Path(aml.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                names = ["pickle"]
            assert not {name.split(".")[0] for name in names} & banned, path


def test_h26_no_call_that_unpickles_is_made_while_the_index_is_used(tmp_path: Path) -> None:
    """H26: nor by a library on AML's behalf."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}})
    script = f"""
import sys
calls = []
sys.addaudithook(lambda name, args: calls.append(name) if name in ("pickle.find_class", "marshal.loads") else None)
from tests.contract.test_hazards_index import use
from pathlib import Path
del calls[:]  # importing reads the interpreter's own bytecode
use(Path({str(memory)!r}))
del calls[:]
use(Path({str(memory)!r}))
sys.exit(f"{{calls}}" if calls else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


# ---- H39: an unknown agent as a filter


def test_h39_an_unknown_agent_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    """H39: an unknown agent as a filter returned everything."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}, "beta": {"patterns": []}})
    store = open_store(memory)
    with MemoryLoader(memory) as loader:
        for agents in (("alpa",), ("alpha", "gamma"), ("../alpha",), ("global",), ("",)):
            for ask in (
                lambda agents=agents: query(store, Query(agents=agents)),
                lambda agents=agents: show_record(store, "p1", Query(agents=agents)),
                lambda agents=agents: loader.find(agents=agents),
                lambda agents=agents: loader.exists("p1", agent=agents[-1]),
            ):
                with pytest.raises(UsageError, match="known: alpha, beta"):
                    ask()


def test_h39_an_agent_without_records_has_none(tmp_path: Path) -> None:
    """H39: the filter holds for an agent that has nothing."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}, "beta": {}})
    assert ids(memory, agents=("beta",)) == []
    with MemoryLoader(memory) as loader:
        assert not loader.exists("p1", agent="beta")


# ---- H40: a stale index


def test_h40_what_is_gone_is_not_found_and_what_is_there_is(tmp_path: Path) -> None:
    """H40: a stale index found records that were gone."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1"), pattern(id="p2")]}})
    path = memory / "alpha" / "patterns.json"
    assert ids(memory) == ["p1", "p2"]
    write_array(path, [pattern(id="p2"), pattern(id="p3")])
    assert (ids(memory), ids(memory, text="cache")) == (["p2", "p3"], ["p2", "p3"])
    path.unlink()
    assert ids(memory) == []


def test_h40_a_prune_and_its_undo_are_seen(tmp_path: Path) -> None:
    """H40: whoever changes the store, the index follows."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [stale("old"), pattern(id="new")]}})
    assert ids(memory) == ["new", "old"]
    report = run_prune(memory, max_loss=1.0)
    assert ids(memory) == ["new"]
    run_undo(memory, report.run, later_days=1)
    assert ids(memory) == ["new", "old"]


def test_h40_a_file_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    """H40: size and modification time prove nothing."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}})
    path = memory / "alpha" / "patterns.json"
    with MemoryLoader(memory) as loader:
        assert loader.exists("p1")
        before = path.stat()
        path.write_bytes(path.read_bytes().replace(b'"p1"', b'"p2"'))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (loader.exists("p1"), loader.exists("p2")) == (False, True)
    assert ids(memory) == ["p2"]


def test_h40_a_rebuild_rebuilds_without_being_forced(tmp_path: Path) -> None:
    """H40: rebuild without force did nothing."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}})
    store = open_store(memory)
    assert optimize_index(store).rebuilt
    again = optimize_index(store)
    assert (again.rebuilt, again.files_read) == (False, 0)
    forced = optimize_index(store, rebuild=True)
    assert (forced.rebuilt, forced.files_read, forced.records) == (True, 1, 1)


def test_h40_no_absolute_path_is_kept(tmp_path: Path) -> None:
    """H40: the index stored absolute paths, and was wrong after a move."""
    memory = make_store(tmp_path, {"alpha": {"patterns": [pattern(id="p1")]}})
    use(memory)
    for path in index_folder_of(memory).iterdir():
        assert os.fsencode(tmp_path) not in path.read_bytes()
