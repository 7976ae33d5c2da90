"""A repository as a whole: order of writing, locks, damage that is written again, dead packs, repacking."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest

from aml.errors import DamagedError, FileAccessError, LockedError, NotFoundError, SchemaError, UsageError
from aml.repository.check import check
from aml.repository.cleanup import SMALL_PACKS, apply_cleanup, needed_chunks, plan_cleanup
from aml.repository.destination import Destination
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import DESCRIPTION_KEY, create, describe, reading, writing
from aml.repository.snapshots import delete_snapshot, snapshot_key
from tests.support.destinations import BadSectors, InMemory
from tests.unit.repository.repositories import HOUR, NOW, back_up, contents, copy_of, manifest_of, records

TREE = {
    "alice/patterns.json": records(300),
    "alice/empty.json": b"",
    "bob/solutions.json": records(50, seed=2),
    "config.json": b"{}",
}
DAY = 86_400.0


@pytest.fixture(params=["folder", "memory"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    return LocalFolder(tmp_path / "repository") if request.param == "folder" else InMemory()


def test_what_is_backed_up_comes_back(destination: Destination) -> None:
    first = back_up(destination, TREE, folders=["alice/nothing"])
    changed = {**TREE, "alice/patterns.json": records(310), "carol/x": b"new"}
    second = back_up(destination, changed, moment=NOW + HOUR)
    with reading(destination) as reader:
        assert contents(reader, first) == TREE
        assert contents(reader, second) == changed
        assert reader.snapshots().find("latest") == second
    for tier in ("quick", "packs", "deep", "sample"):
        assert check(destination, tier).findings == []


def test_an_unchanged_tree_adds_nothing_but_a_manifest(destination: Destination) -> None:
    back_up(destination, TREE)
    before = {entry.key for entry in destination.entries("")}
    snapshot = back_up(destination, TREE, moment=NOW + HOUR)
    added = {entry.key for entry in destination.entries("")} - before
    assert added == {snapshot_key(snapshot.id)}


def test_a_repository_is_made_once(destination: Destination) -> None:
    first = create(destination, NOW)
    assert create(destination, NOW + HOUR) == first == describe(destination)


def test_a_repository_that_is_none_or_newer_or_damaged() -> None:
    destination = InMemory()
    with pytest.raises(NotFoundError), reading(destination):
        pass
    destination.put(DESCRIPTION_KEY, b'{"format":2,"id":"x","created":"2026-11-21T00:00:00Z"}')
    with pytest.raises(SchemaError), reading(destination):
        pass
    destination.put(DESCRIPTION_KEY, b'{"format":1')
    with pytest.raises(DamagedError), writing(destination):
        pass


def test_two_writers_and_a_reader_beside_a_writer_are_refused(destination: Destination) -> None:
    create(destination, NOW)
    with writing(destination):
        with pytest.raises(LockedError), writing(destination, timeout=0):
            pass
        with pytest.raises(LockedError), reading(destination, timeout=0):
            pass
    with reading(destination), reading(destination, timeout=0):
        pass


def test_chunks_have_bounds() -> None:
    destination = InMemory()
    create(destination, NOW)
    with writing(destination) as writer:
        for chunk in (b"", bytes((64 << 10) + 1)):
            with pytest.raises(UsageError):
                writer.store_chunk(chunk)
        digest = writer.store_chunk(b"x")
        assert writer.store_chunk(b"x") == digest
        assert (writer.added_chunks, writer.added_bytes) == (1, 1)
        assert writer.has(digest)
        with pytest.raises(UsageError, match="not one of this repository"):
            writer.commit(manifest_of("another"))
        assert len(writer.flush()) == 1
        assert writer.read_chunk(digest) == b"x"
        with pytest.raises(NotFoundError):
            writer.read_chunk(bytes(32))


class _Recording(InMemory):
    def __init__(self, fail_at: int = 1 << 30) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.fail_at = fail_at

    def _call(self, key: str) -> None:
        if len(self.calls) >= self.fail_at:
            raise FileAccessError(f"cannot write {key}: Input/output error")
        self.calls.append(key)

    def put(self, key: str, data: bytes) -> None:
        self._call(key)
        super().put(key, data)

    def delete(self, key: str) -> None:
        self._call(f"-{key}")
        super().delete(key)


def test_packs_come_before_their_index_and_the_manifest_last() -> None:
    destination = _Recording()
    back_up(destination, TREE, pack_bytes=20_000)
    kinds = [key.partition("/")[0] for key in destination.calls]
    assert kinds == ["repository.json", *["packs"] * (len(kinds) - 3), "index", "snapshots"]
    assert kinds.count("packs") > 1


def test_a_failure_at_any_call_loses_no_backup_and_the_next_run_goes_on() -> None:
    base = _Recording()
    first = back_up(base, TREE)
    changed = {**TREE, "alice/patterns.json": records(500, seed=4)}
    done = False
    fail_at = 0
    while not done:
        destination = _Recording(fail_at)
        destination.values, destination.times = dict(base.values), dict(base.times)
        try:
            back_up(destination, changed, moment=NOW + HOUR, pack_bytes=40_000)
            done = True
        except FileAccessError:
            fail_at += 1
        destination.fail_at = 1 << 30
        second = back_up(destination, changed, moment=NOW + 2 * HOUR, pack_bytes=40_000)
        with reading(destination) as reader:
            assert contents(reader, first) == TREE
            assert contents(reader, second) == changed
        assert check(destination, "deep").findings == []
    assert fail_at > 3


def rotate(destination: Destination, gone: list[str], now: float) -> tuple[int, int]:
    with writing(destination, purpose="rotate") as writer:
        for identity in gone:
            delete_snapshot(destination, identity)
        needed = needed_chunks(writer, writer.snapshots())
        plan = plan_cleanup(writer, needed, now)
        apply_cleanup(writer, plan, needed)
        return len(plan.removed), len(plan.repacked)


def test_dead_packs_go_and_mostly_dead_ones_are_repacked() -> None:
    destination = InMemory()
    first = back_up(destination, TREE)
    second = back_up(destination, {"bob/solutions.json": TREE["bob/solutions.json"]}, moment=NOW + HOUR)
    third = back_up(destination, {"carol/x.json": records(90, seed=7)}, moment=NOW + 2 * HOUR)
    size = sum(map(len, destination.values.values()))
    assert rotate(destination, [first.id], 3000.0) == (0, 0)
    assert rotate(destination, [], -DAY) == (0, 0)
    assert rotate(destination, [], DAY) == (0, 1)
    assert sum(map(len, destination.values.values())) < size / 2
    with reading(destination) as reader:
        assert contents(reader, second) == {"bob/solutions.json": TREE["bob/solutions.json"]}
        assert contents(reader, third) == {"carol/x.json": records(90, seed=7)}
    assert check(destination, "deep").findings == []
    assert rotate(destination, [second.id], 2 * DAY)[0] >= 1
    assert rotate(destination, [third.id], 3 * DAY)[0] >= 1
    assert [entry.key for entry in destination.entries("")] == [DESCRIPTION_KEY]


def hourly(count: int) -> tuple[InMemory, dict[str, dict[str, bytes]]]:
    """So many backups, each of a file more than the one before."""
    destination, tree = InMemory(), dict[str, bytes]()
    kept = {}
    for number in range(count):
        tree[f"a/{number:02}.json"] = records(5, seed=number)
        kept[back_up(destination, tree, moment=NOW + number * HOUR).id] = dict(tree)
    return destination, kept


def test_many_small_packs_become_one() -> None:
    destination, kept = hourly(SMALL_PACKS + 1)
    names = {entry.key for entry in destination.entries("packs/")}
    assert rotate(destination, [], 100.0) == (0, 0)
    assert rotate(destination, [], DAY) == (0, SMALL_PACKS + 1)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    assert pack not in names
    assert rotate(destination, [], 2 * DAY) == (0, 0)
    with reading(destination) as reader:
        assert {one.id: contents(reader, one) for one in reader.snapshots().readable} == kept
    assert check(destination, "deep").findings == []


def test_few_small_packs_and_young_ones_stay() -> None:
    destination, _ = hourly(SMALL_PACKS)
    destination.clock = DAY
    back_up(destination, {"b/x.json": records(9, seed=99)}, moment=NOW + 99 * HOUR)
    assert rotate(destination, [], DAY + 60) == (0, 0)
    assert len(destination.entries("packs/")) == SMALL_PACKS + 1


def test_a_damaged_pack_that_is_written_again_byte_by_byte_stays() -> None:
    destination = InMemory()
    snapshot = back_up(destination, TREE)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    name = pack.removeprefix("packs/")[3:-3]
    with writing(destination) as writer:
        needed = needed_chunks(writer, writer.snapshots())
        plan = plan_cleanup(writer, needed, DAY, damaged={name})
        assert [use.name for use in plan.repacked] == [name]
        assert name not in apply_cleanup(writer, plan, needed).removed
    with reading(destination) as reader:
        assert contents(reader, snapshot) == TREE


def test_a_failure_at_any_call_of_a_rotation_loses_no_kept_backup() -> None:
    base = _Recording()
    first = back_up(base, TREE, pack_bytes=30_000)
    tree = {"bob/solutions.json": TREE["bob/solutions.json"], "alice/p.json": TREE["alice/patterns.json"][:9000]}
    second = back_up(base, tree, moment=NOW + HOUR)
    fail_at, done = 0, False
    while not done:
        destination = _Recording(fail_at)
        destination.values, destination.times = dict(base.values), dict(base.times)
        try:
            rotate(destination, [first.id], DAY)
            done = True
        except FileAccessError:
            fail_at += 1
        destination.fail_at = 1 << 30
        with reading(destination) as reader:
            assert contents(reader, second) == tree
        rotate(destination, [], 2 * DAY)
        assert check(destination, "deep").findings == []
    assert fail_at > 3


def test_nothing_is_cleaned_while_a_manifest_or_listing_cannot_be_read() -> None:
    base = InMemory()
    snapshot = back_up(base, TREE)
    damaged = copy_of(base)
    damaged.values[snapshot_key(snapshot.id)] = b"?"
    with pytest.raises(DamagedError, match="nothing was removed"):
        rotate(damaged, [], DAY)
    damaged = copy_of(base)
    for entry in damaged.entries("packs/"):
        damaged.delete(entry.key)
    with pytest.raises(DamagedError, match="nothing was removed"):
        rotate(damaged, [], DAY)


def test_damaged_and_missing_chunks_are_written_again() -> None:
    destination = InMemory()
    first = back_up(destination, TREE)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    whole = destination.values[pack]
    destination.values[pack] = whole[:2000] + bytes(50) + whole[2050:]
    report = check(destination, "packs")
    bad = [bytes.fromhex(name) for finding in report.findings for name in finding.chunks]
    assert bad
    with writing(destination) as writer:
        writer.distrust(bad)
        for data in TREE.values():
            writer.store_document(data)
        writer.flush()
    with reading(destination) as reader:
        assert contents(reader, first) == TREE
    destination.delete(pack)
    back_up(destination, TREE, moment=NOW + HOUR)
    with reading(destination) as reader:
        assert contents(reader, first) == TREE


def test_a_cut_pack_is_distrusted_by_the_next_backup() -> None:
    destination = InMemory()
    first = back_up(destination, TREE)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    destination.values[pack] = destination.values[pack][:5000]
    back_up(destination, TREE, moment=NOW + HOUR)
    with reading(destination) as reader:
        assert contents(reader, first) == TREE


def test_index_files_are_merged_before_they_are_many() -> None:
    destination = InMemory()
    kept = {}
    for number in range(40):
        tree = {"a/x.json": records(20, seed=number)}
        kept[back_up(destination, tree, moment=NOW + number * HOUR).id] = tree
    assert len(destination.entries("index/")) <= 17
    with reading(destination) as reader:
        for snapshot in reader.snapshots().readable:
            assert contents(reader, snapshot) == kept[snapshot.id]


def test_any_sequence_of_backups_and_rotations_keeps_what_is_kept() -> None:
    rng = Random(11)
    destination = InMemory()
    tree: dict[str, bytes] = {}
    kept: dict[str, dict[str, bytes]] = {}
    for step in range(60):
        destination.clock = step * 1800.0
        for _ in range(rng.randrange(3)):
            path = f"{rng.choice('abc')}/{rng.choice('xyz')}.json"
            if rng.random() < 0.2:
                tree.pop(path, None)
            else:
                tree[path] = records(rng.randrange(150), seed=rng.randrange(6))
        kept[back_up(destination, tree, moment=NOW + step * HOUR / 2, pack_bytes=100_000).id] = dict(tree)
        if rng.random() < 0.4 and len(kept) > 2:
            gone = rng.sample(sorted(kept), rng.randrange(1, len(kept) - 1))
            for identity in gone:
                del kept[identity]
            rotate(destination, gone, destination.clock)
        with reading(destination) as reader:
            found = {one.id: contents(reader, one) for one in reader.snapshots().readable}
        assert found == kept
    assert check(destination, "deep").findings == []


def test_listings_are_named_by_their_content() -> None:
    destination = InMemory()
    snapshot = back_up(destination, TREE)
    with reading(destination) as reader:
        for reference in snapshot.manifest.listings:
            data = b"".join(reader.read_chunks(reference.chunks))
            assert hashlib.sha256(data).hexdigest() == reference.sha256


def _with_a_pack_on_bad_sectors() -> tuple[BadSectors, str, list[str]]:
    """A repository, its first pack, which cannot be read any more, and the chunks that a check found lost by that."""
    destination = BadSectors()
    back_up(destination, TREE)
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    destination.bad.add(pack)
    lost = {chunk for finding in check(destination, "deep").findings for chunk in finding.chunks}
    return destination, pack, sorted(lost)


def test_what_was_written_again_is_read_from_the_pack_that_can_be_read() -> None:
    destination, _, chunks = _with_a_pack_on_bad_sectors()
    with writing(destination) as writer:
        writer.distrust(map(bytes.fromhex, chunks))
        for data in TREE.values():
            writer.store_document(data)
        writer.flush()
        document = writer.store_document(TREE["alice/patterns.json"])
        small = writer.store_document(TREE["config.json"])
    with reading(destination) as reader:
        assert reader.read_document(document.chunks, document.sha256, document.size) == TREE["alice/patterns.json"]
        assert reader.read_document(small.chunks, small.sha256, small.size) == TREE["config.json"]
        assert b"".join(reader.read_chunks(document.chunks)) == TREE["alice/patterns.json"]


def test_a_rotation_leaves_a_pack_that_the_system_cannot_read() -> None:
    destination, pack, chunks = _with_a_pack_on_bad_sectors()
    name = pack.rpartition("/")[2].removesuffix(".gz")
    needed = set(map(bytes.fromhex, chunks))
    with writing(destination) as writer:
        plan = plan_cleanup(writer, needed, DAY, damaged=[name])
        assert [use.name for use in plan.repacked] == [name]
        assert apply_cleanup(writer, plan, needed).left == [name]
    assert pack in destination.values


def test_a_pack_without_an_index_that_the_system_cannot_read_stops_no_backup() -> None:
    destination, pack, _ = _with_a_pack_on_bad_sectors()
    for entry in destination.entries("index/"):
        destination.delete(entry.key)
    destination.bad.clear()

    def get(key: str, *, limit: int = 1 << 29) -> bytes:
        if key == pack:
            raise FileAccessError(f"cannot read {key}: Input/output error")
        return InMemory.get(destination, key, limit=limit)

    destination.get = get  # type: ignore[method-assign]
    back_up(destination, {"bob/x": b"new"}, moment=NOW + HOUR)
