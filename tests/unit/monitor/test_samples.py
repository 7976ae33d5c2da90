"""The history of figures: added to, compared with, thinned, and whole again after whatever happened to the file."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest
from msgspec import structs

from aml.errors import FileAccessError, LockedError
from aml.ledger.operations import state_lock
from aml.monitor import samples as history
from aml.monitor.samples import MOST_BYTES, MOST_SAMPLES, Growth, Sample, append_sample, growth, read_samples, thinned
from aml.store.open import Store, open_store
from tests.support.records import NOW
from tests.support.stores import make_store

DAY = 86_400.0
START = NOW.timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_store(tmp_path, {}))


def sample(days_ago: float = 0, *, records: int = 0, size: int = 0, agents: int = 0) -> Sample:
    return Sample(
        time=START - days_ago * DAY,
        bytes=size,
        records={"patterns": records},
        agents={f"agent-{place}": (place, place) for place in range(agents)},
    )


def test_there_is_no_history_at_first_and_looking_makes_none(store: Store) -> None:
    assert read_samples(store) == []
    assert not store.state.exists()


def test_samples_are_read_as_they_were_added(store: Store) -> None:
    added = [sample(3, records=2, agents=3), sample(2), structs.replace(sample(), backups=2, hit_rate=0.5)]
    for one in added:
        append_sample(store, one)
    assert read_samples(store) == added
    assert (store.state / history.FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", ['{"time":1', '{"time":1,"bytes":2}', "\0\0\0\0", '{"time":-5,"bytes":1}', "[]"])
def test_what_a_writer_left_is_skipped_and_the_next_line_is_whole(store: Store, left: str) -> None:
    append_sample(store, sample(2))
    path = store.state / history.FILE_NAME
    with path.open("a", encoding="utf-8") as file:
        file.write(left)
    append_sample(store, sample(1))
    found = read_samples(store)
    assert [found[0], found[-1]] == [sample(2), sample(1)]
    assert all(0 <= one.time <= START for one in found)
    assert path.read_bytes().endswith(b"\n")


def test_writers_at_the_same_time_lose_nothing(store: Store) -> None:
    def add(first: int) -> None:
        for place in range(20):
            append_sample(store, Sample(time=START, bytes=first + place))

    threads = [threading.Thread(target=add, args=(first * 100,)) for first in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.bytes for one in read_samples(store)) == sorted(
        first * 100 + place for first in range(4) for place in range(20)
    )


def test_where_there_is_no_room_the_history_is_as_it_was(store: Store) -> None:
    append_sample(store, sample(1))
    path = store.state / history.FILE_NAME
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # half of the line can be written, and the rest cannot
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(FileAccessError, match="cannot write"):
            append_sample(store, sample())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    append_sample(store, sample())
    assert read_samples(store) == [sample(1), sample()]


def test_nobody_waits_long_for_the_history(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_LOCK_SECONDS", 0.05)
    with state_lock(store), pytest.raises(LockedError):
        append_sample(store, sample())


def test_a_history_that_grew_too_long_is_thinned_and_keeps_what_matters(store: Store) -> None:
    # every ten minutes for 100 days, which is more than fits
    all_of_them = [sample(days / 144) for days in range(100 * 144, 0, -1)]
    path = store.state / history.FILE_NAME
    append_sample(store, all_of_them[0])
    path.write_bytes(b"".join(json.dumps({"time": one.time, "bytes": 1}).encode() + b"\n" for one in all_of_them))
    append_sample(store, sample())
    found = read_samples(store)
    assert found[-1] == sample()
    ages = [(START - one.time) / DAY for one in found]
    assert sum(age <= 2 for age in ages) == 2 * 144 + 1
    assert sum(2 < age <= 30 for age in ages) == pytest.approx(28 * 24, abs=2)
    assert sum(age > 30 for age in ages) == pytest.approx(70, abs=2)


def test_a_thinned_history_is_not_written_anew_each_time(store: Store) -> None:
    append_sample(store, sample())
    path = store.state / history.FILE_NAME
    path.write_bytes(b"".join(json.dumps({"time": START - n, "bytes": 1}).encode() + b"\n" for n in range(3000, 0, -1)))
    append_sample(store, sample())
    assert len(read_samples(store)) == int(0.75 * MOST_SAMPLES)
    written = path.stat().st_ino
    append_sample(store, sample())
    assert path.stat().st_ino == written


def test_agents_go_before_samples_do() -> None:
    many = [sample(days, agents=500) for days in range(400, 0, -1)]
    kept = thinned(many, START)
    assert [one.time for one in kept] == [one.time for one in many]
    told = [bool(one.agents) for one in kept]
    assert told == sorted(told)
    assert told[-1]
    assert sum(len(json.dumps(structs.asdict(one))) for one in kept) < 2 * MOST_BYTES


def test_the_last_sample_stays_however_large_it_is() -> None:
    large = Sample(time=START, bytes=1, agents={"x" * 100 + str(n): (1, 1) for n in range(20_000)})
    assert thinned([sample(1), large], START) == [large]


@pytest.mark.parametrize(
    ("ages", "windows"),
    [
        ([], []),
        ([0.4], []),
        ([0.5], [1]),
        ([1.1, 0.9], [1]),
        ([3], []),
        ([4, 8, 20], [7, 30]),
        ([1, 7, 30], [1, 7, 30]),
        ([61], []),
        ([-1], []),
    ],
)
def test_growth_needs_a_sample_that_is_about_as_old_as_the_window(ages: list[float], windows: list[int]) -> None:
    assert [one.window_days for one in growth([sample(age) for age in ages], sample())] == windows


def test_growth_is_by_the_day_since_the_nearest_sample() -> None:
    earlier = [sample(8, records=100, size=1000), sample(6, records=40, size=400), sample(1.5, records=70, size=10)]
    now = sample(records=100, size=700)
    day, week = growth([*earlier, sample(7.5, records=85, size=10)], now)
    assert day == Growth(1, 1.5, 460.0, 20.0)
    assert week == Growth(7, 7.5, 92.0, 2.0)
    (shrunk,) = growth([sample(7, records=170, size=7000)], now)
    assert (shrunk.bytes_per_day, shrunk.records_per_day) == (-900.0, -10.0)
