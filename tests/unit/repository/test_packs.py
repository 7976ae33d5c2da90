"""Packs and their index: what goes in comes out, and what is not what it should be is refused."""

from __future__ import annotations

import gzip
import hashlib
import struct
import time
import tracemalloc
from random import Random

import msgspec
import pytest

from aml.errors import DamagedError, FileAccessError, NotFoundError
from aml.repository.index import Index, load_index, write_index
from aml.repository.packs import Compression, PackReader, PackWriter, packer
from aml.repository.tables import (
    MAX_MEMBER_BYTES,
    MEMBER_BYTES,
    PackTable,
    check_table,
    decode_table,
    pack_key,
    places,
    read_table,
    table_member,
)
from tests.support.destinations import InMemory


def chunks_of(count: int, *, seed: int = 1, size: int = 20_000) -> dict[bytes, bytes]:
    rng = Random(seed)
    chunks = [rng.randbytes(rng.randrange(1, size) // 2).hex().encode() or b"x" for _ in range(count)]
    return {hashlib.sha256(chunk).digest(): chunk for chunk in chunks}


def write(
    destination: InMemory,
    chunks: dict[bytes, bytes],
    *,
    pack_bytes: int = 1 << 20,
    compression: Compression = "default",
) -> list[PackTable]:
    writer = PackWriter(destination, compression, pack_bytes=pack_bytes)
    for digest, chunk in chunks.items():
        writer.add(digest, chunk)
    tables = writer.finish()
    writer.close()
    return tables


@pytest.mark.parametrize("compression", ["fast", "default", "max"])
def test_every_chunk_comes_back(compression: Compression) -> None:
    destination, chunks = InMemory(), chunks_of(300)
    tables = write(destination, chunks, pack_bytes=200_000, compression=compression)
    assert len(tables) > 2
    index, reader = Index(tables), PackReader(destination)
    assert set(index) == set(chunks)
    for digest, chunk in chunks.items():
        (place,) = index.places(digest)
        assert reader.read(digest, place) == chunk
        assert index.length(digest) == len(chunk)
    for table in tables:
        data = destination.get(pack_key(table.pack))
        assert hashlib.sha256(data).hexdigest() == table.pack
        assert all(member[2] <= MEMBER_BYTES for member in table.members)
        assert read_table(destination, table.pack, len(data)) == table
        check_table(table)


def test_the_fallbacks_without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    for compression in ("fast", "default", "max"):
        assert gzip.decompress(packer(compression)(b"text" * 99)) == b"text" * 99


def test_nothing_makes_no_pack() -> None:
    destination = InMemory()
    assert write(destination, {}) == []
    assert destination.values == {}


def test_equal_chunks_make_an_equal_pack() -> None:
    first, second = InMemory(), InMemory()
    assert write(first, chunks_of(50)) == write(second, chunks_of(50))
    assert first.values == second.values


class _Full(InMemory):
    def put(self, key: str, data: bytes) -> None:
        raise FileAccessError(f"cannot write {key}: No space left on device")


def test_a_full_disk_is_told_to_the_caller() -> None:
    with pytest.raises(FileAccessError, match="No space"):
        write(_Full(), chunks_of(50))


def test_memory_is_bounded_by_packs_and_not_by_content() -> None:
    class Nowhere(InMemory):
        def put(self, key: str, data: bytes) -> None:
            return

    rng = Random(1)
    writer = PackWriter(Nowhere(), pack_bytes=1 << 20)
    tracemalloc.start()
    for number in range(800):
        chunk = rng.randbytes(40_000)
        writer.add(number.to_bytes(32, "big"), chunk)
    writer.finish()
    writer.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20


def test_a_wrong_chunk_a_cut_pack_and_a_missing_one_are_told_apart() -> None:
    destination, chunks = InMemory(), chunks_of(30)
    (table,) = write(destination, chunks)
    key = pack_key(table.pack)
    index, whole = Index([table]), destination.get(key)
    digest = next(iter(chunks))
    (place,) = index.places(digest)
    with pytest.raises(DamagedError, match="another content"):
        PackReader(destination).read(bytes(32), place)
    for damaged in (whole[: place.member_packed // 2], whole[:40] + b"\xff" * 9 + whole[49:]):
        destination.values[key] = damaged
        with pytest.raises(DamagedError):
            PackReader(destination).read(digest, place)
    destination.delete(key)
    with pytest.raises(NotFoundError):
        PackReader(destination).read(digest, place)


def test_a_bomb_in_a_member_is_refused() -> None:
    destination = InMemory()
    bomb = gzip.compress(bytes(64 << 20))
    name = "ab" * 32
    destination.put(pack_key(name), bomb)
    table = PackTable(name, len(bomb), [(0, len(bomb), 1000, 1)], "00" * 32, [1000])
    check_table(table)
    tracemalloc.start()
    with pytest.raises(DamagedError):
        PackReader(destination).read(bytes(32), Index([table]).places(bytes(32))[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "change",
    [
        {"members": [(0, 10, MAX_MEMBER_BYTES + 1, 1)], "lengths": [MAX_MEMBER_BYTES + 1]},
        {"members": [(0, 101, 50, 1)]},
        {"members": [(5, 96, 50, 1)]},
        {"members": [(0, 10, 50, 2)]},
        {"members": [(0, 10, 50, 0)]},
        {"members": [(0, 10, 25, 1), (5, 10, 25, 0)]},
        {"members": []},
        {"lengths": [49]},
        {"lengths": [0]},
        {"lengths": [-50]},
        {"lengths": [50, 50]},
        {"sha256": "00" * 31},
        {"sha256": ""},
    ],
    ids=range(13),
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    good = PackTable("ab" * 32, 100, [(0, 10, 50, 1)], "00" * 32, [50])
    check_table(good)
    with pytest.raises(DamagedError):
        check_table(msgspec.structs.replace(good, **change))


def test_a_table_must_fit_its_pack() -> None:
    member = table_member([(0, 10, 50, 1)], [bytes(32)], [50])
    decode_table(member, "ab" * 32, 10 + len(member))
    for size in (9 + len(member), 11 + len(member)):
        with pytest.raises(DamagedError, match="size"):
            decode_table(member, "ab" * 32, size)


def test_a_table_is_found_behind_bytes_that_look_like_one() -> None:
    """A chunk may hold another pack's table; only the one that ends with the file counts."""
    member = table_member([(0, 10, 50, 1)], [bytes(32)], [50])
    destination = InMemory()
    name = "ab" * 32
    decoy = member[:20] + member
    own = table_member([(0, len(decoy), 50, 1)], [bytes(32)], [50])
    destination.put(pack_key(name), decoy + own)
    assert read_table(destination, name, len(decoy) + len(own)).members == [(0, len(decoy), 50, 1)]
    destination.put(pack_key(name), decoy)
    with pytest.raises(DamagedError):
        read_table(destination, name, len(decoy))
    destination.put(pack_key(name), bytes(300_000))
    with pytest.raises(DamagedError, match="does not end with a table"):
        read_table(destination, name, 300_000)


def test_an_extra_field_is_told_by_its_length() -> None:
    member = table_member([(0, 10, 50, 1)], [bytes(32)], [50])
    assert struct.unpack_from("<I", member, 16)[0] == len(member)
    assert msgspec.json.decode(gzip.decompress(member))["lengths"] == [50]


def test_chunks_that_do_not_fill_their_member_are_refused() -> None:
    table = PackTable("ab" * 32, 100, [(0, 10, 50, 1), (10, 10, 60, 1)], "00" * 64, [60, 50])
    with pytest.raises(DamagedError, match="fill"):
        list(places(table))


def test_an_index_is_merged_and_read_from_the_packs_where_it_is_missing() -> None:
    destination = InMemory()
    first, second, third = (write(destination, chunks_of(40, seed=seed)) for seed in (1, 2, 3))
    write_index(destination, first)
    damaged = write_index(destination, second)
    loaded = load_index(destination)
    assert len(loaded.index) == 120
    assert loaded.unlisted == third
    assert not loaded.flaws
    destination.values[damaged] = destination.values[damaged][:-1] + b"?"
    loaded = load_index(destination)
    assert len(loaded.index) == 120
    assert {table.pack for table in loaded.unlisted} == {second[0].pack, third[0].pack}
    assert [flaw.key for flaw in loaded.flaws] == [damaged]
    for entry in destination.entries("index/"):
        destination.delete(entry.key)
    assert len(load_index(destination).index) == 120
    destination.delete(pack_key(first[0].pack))
    assert len(load_index(destination).index) == 80


def test_an_index_knows_packs_that_are_gone_or_cut() -> None:
    destination = InMemory()
    tables = [*write(destination, chunks_of(9)), *write(destination, chunks_of(9, seed=2))]
    write_index(destination, tables)
    destination.delete(pack_key(tables[0].pack))
    cut = pack_key(tables[1].pack)
    destination.values[cut] = destination.values[cut][:-1]
    loaded = load_index(destination)
    assert [table.pack for table in loaded.missing] == [tables[0].pack]
    assert [flaw.key for flaw in loaded.flaws] == [cut]


def test_a_chunk_in_several_packs_has_several_places() -> None:
    destination, chunks = InMemory(), chunks_of(5)
    both = [*write(destination, chunks), *write(destination, {**chunks_of(1, seed=9), **chunks})]
    index = Index(both)
    assert len(index) == 6
    for digest in chunks:
        assert [place.pack for place in index.places(digest)] == [table.pack for table in both]


def test_a_large_index_is_small_and_quick_to_load() -> None:
    destination = InMemory()
    rng = Random(1)
    tables = []
    for _ in range(25):
        name = rng.randbytes(32).hex()
        lengths = [rng.randrange(8000, 30_000) for _ in range(4000)]
        members = [(at * 6000, 90_000, sum(lengths[at : at + 16]), 16) for at in range(0, 4000, 16)]
        tables.append(PackTable(name, 25 << 20, members, rng.randbytes(32 * 4000).hex(), lengths))
        destination.values[pack_key(name)] = b""
    key = write_index(destination, tables)
    # 32 bytes of each digest do not shrink
    assert len(destination.values[key]) < 100_000 * 40
    best = 9.0
    for _ in range(4):
        start = time.perf_counter()
        loaded = load_index(destination)
        best = min(best, time.perf_counter() - start)
    assert len(loaded.index) == 100_000
    # 60 ms are meant; a busy machine takes longer
    assert best < 0.4


def test_the_cache_holds_few_members() -> None:
    destination, chunks = InMemory(), chunks_of(200, size=60_000)
    index = Index(write(destination, chunks))
    reader = PackReader(destination, cached_members=2)
    for digest in chunks:
        reader.read(digest, index.places(digest)[0])
    assert len(reader._cache) == 2
