"""Loaders in threads and processes, while agents write, the index is brought up to date, and some die half-way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from aml.index.index import Index
from aml.index.loader import MemoryLoader
from aml.index.query import Query
from aml.store.open import open_store
from aml.workflows.index import optimize_index, query
from tests.contract.backing_up import NOBODY, give_to_nobody
from tests.contract.index_worker import PER_FILE, read_until
from tests.support.indexes import found_ids, index_folder_of, opened
from tests.support.records import pattern
from tests.support.scanning import scan
from tests.support.stores import encode_array, make_store

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 1.2


def _write(memory: Path, agent: str, generation: int) -> None:
    """As the runtime does: a temporary file, and a rename."""
    notes = [
        pattern(id=f"{agent}-{generation}-{number}", agent=agent, note=f"generation g{generation}")
        for number in range(PER_FILE)
    ]
    path = memory / agent / "patterns.json"
    temporary = path.with_name("patterns.json.tmp")
    temporary.write_bytes(encode_array(notes))
    temporary.replace(path)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    memory = make_store(tmp_path, {"alpha": {}, "beta": {}})
    for agent in ("alpha", "beta"):
        _write(memory, agent, 1)
    return memory


def _write_on(memory: Path, stop: Event) -> int:
    generation = 1
    while not stop.is_set():
        generation += 1
        _write(memory, ("alpha", "beta")[generation % 2], generation)
        time.sleep(0.01)
    return generation


def test_threads_that_share_a_loader_get_right_answers_while_the_store_changes(memory: Path) -> None:
    stop = Event()
    with MemoryLoader(memory) as loader, ThreadPoolExecutor(6) as threads:
        writing = threads.submit(_write_on, memory, stop)
        until = time.monotonic() + SECONDS
        reading = [threads.submit(read_until, loader, until, random.Random(seed)) for seed in range(4)]
        try:
            counts = [one.result(timeout=60) for one in reading]
        finally:
            stop.set()
        assert sum(counts) > 0
        assert writing.result() > 3


def test_processes_get_right_answers_while_the_index_is_rebuilt(memory: Path) -> None:
    stop = Event()
    words = [sys.executable, str(PROJECT / "tests/contract/index_worker.py"), str(memory), str(SECONDS)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(_write_on, memory, stop)
        readers = [
            subprocess.Popen([*words, str(seed)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for seed in range(3)
        ]
        while any(reader.poll() is None for reader in readers):
            assert optimize_index(open_store(memory), rebuild=True).records == 2 * PER_FILE
        stop.set()
        assert writing.result() > 3
    for reader in readers:
        out, err = reader.communicate()
        assert reader.returncode == 0, err.decode()
        assert int(out) > 0


def test_whoever_is_killed_while_the_index_is_made_leaves_it_right_or_to_be_made_anew(memory: Path) -> None:
    script = (
        "import sys; from aml.store.open import open_store; from aml.workflows.index import optimize_index, query; "
        "from aml.workflows.index import warm_cache; from aml.index.query import Query; "
        "store = open_store(sys.argv[1]); print('ready', flush=True)\n"
        "while True: optimize_index(store, rebuild=True); query(store, Query(text='generation')); warm_cache(store)"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    rng = random.Random(3)
    for turn in range(2, 8):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(memory)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        _write(memory, "alpha", turn)
        wanted = sorted(one.record["id"] for one in scan(memory))
        for asked in (Query(), Query(text="generation")):
            assert sorted(found.id or "" for found in query(open_store(memory), asked).records) == wanted


def test_what_the_dead_left_half_written_goes(memory: Path) -> None:
    opened(memory).close()
    folder = index_folder_of(memory)
    left = folder / ".records.sqlite.aml-tmp-00000000"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    optimize_index(open_store(memory), rebuild=True)
    assert not left.exists()


def test_an_index_that_goes_away_under_a_loader_is_made_again(memory: Path) -> None:
    with MemoryLoader(memory) as loader:
        assert loader.exists("alpha-1-0")
        for path in index_folder_of(memory).iterdir():
            path.unlink()
        index_folder_of(memory).rmdir()
        _write(memory, "alpha", 2)
        assert (loader.exists("alpha-1-0"), loader.exists("alpha-2-0")) == (False, True)
        assert loader.trouble == ""
    assert not Index(open_store(memory), index_folder_of(memory)).refresh().anew


# ---- where the index cannot be kept


def _assert_answers(memory: Path, *, told: str) -> None:
    report = query(open_store(memory), Query(text="generation", agents=("alpha",)))
    assert len(report.records) == PER_FILE
    assert any("cannot be kept" in note and told in note for note in report.notes), report.notes
    with MemoryLoader(memory) as loader:
        assert loader.get("alpha-1-0").decoded()["note"] == "generation g1"
        _write(memory, "alpha", 2)
        assert (loader.exists("alpha-1-0"), loader.exists("alpha-2-0")) == (False, True)
        assert loader.trouble
    _write(memory, "alpha", 1)


def test_a_file_in_place_of_the_folder_means_that_files_are_read(memory: Path) -> None:
    memory.with_name("memory.aml").write_text("in the way")
    _assert_answers(memory, told="memory.aml")


@pytest.fixture
def commons() -> Iterator[Path]:
    """A store of a user whom modes bind, as whom the test runs."""
    folder = Path(tempfile.mkdtemp(prefix="aml-test-"))
    memory = make_store(folder, {"alpha": {}, "beta": {}})
    for agent in ("alpha", "beta"):
        _write(memory, agent, 1)
    user = os.geteuid()
    if user == 0:
        give_to_nobody(folder)
        os.seteuid(NOBODY)
    yield memory
    os.seteuid(user)
    shutil.rmtree(folder)


def test_a_folder_that_is_read_only_means_that_files_are_read(commons: Path) -> None:
    memory = commons
    state = memory.with_name("memory.aml")
    state.mkdir(mode=0o555)
    try:
        _assert_answers(memory, told="Permission denied")
    finally:
        state.chmod(0o755)


def test_an_index_that_may_be_read_but_not_written_is_used(commons: Path) -> None:
    memory = commons
    store = open_store(memory)
    index = Index(store, index_folder_of(memory), clock=lambda: time.time_ns() + 10_000_000_000)
    index.refresh()
    index.close()
    folder = index_folder_of(memory)
    folder.chmod(0o555)
    try:
        again = Index(store, folder)
        assert (again.refresh().anew, again.trouble) == (False, "")
        again.close()
        _write(memory, "beta", 2)
        again = opened(memory)
        assert found_ids(again, agents=("beta",))[0].startswith("beta-2-")
        assert "Permission denied" in again.trouble
        again.close()
    finally:
        folder.chmod(0o755)
