"""Writing: what is put is read back before it counts, and a repository opens without its description."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from aml.errors import DamagedError, FileAccessError, NotFoundError, SchemaError
from aml.repository.check import check
from aml.repository.destination import Destination
from aml.repository.local_folder import LocalFolder
from aml.repository.repository import DESCRIPTION_KEY, create, describe, reading, writing
from aml.repository.workers import Workers
from tests.support.destinations import InMemory
from tests.unit.repository.repositories import HOUR, NOW, back_up, contents, copy_of, manifest_of, records

TREE = {"alice/patterns.json": records(300), "bob/solutions.json": records(50, seed=2), "config.json": b"{}"}

Spoil = Callable[[bytes], bytes]


class _Spoiling(InMemory):
    """Keeps something else than what it is given, of every pack but the first ``right`` ones."""

    def __init__(self, spoil: Spoil, right: int = 0) -> None:
        super().__init__()
        self.spoil = spoil
        self.right = right

    def put(self, key: str, data: bytes | bytearray) -> None:
        if key.startswith("packs/"):
            self.right -= 1
            data = self.spoil(bytes(data)) if self.right < 0 else data
        super().put(key, data)


SPOILED: dict[str, Spoil] = {
    "a bit in the middle": lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    "the last byte": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut short": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "another pack": gzip.compress,
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("right", [0, 1])
def test_a_pack_that_does_not_read_back_stops_the_backup(kind: str, right: int) -> None:
    destination = _Spoiling(SPOILED[kind], right)
    with pytest.raises(DamagedError, match=r"pack [0-9a-f]{64} does not read back"):
        back_up(destination, TREE, pack_bytes=20_000)
    assert destination.entries("snapshots/") == []
    assert destination.entries("index/") == []
    destination.spoil = lambda data: data
    snapshot = back_up(destination, TREE)
    with reading(destination) as reader:
        assert contents(reader, snapshot) == TREE
    assert [one for one in check(destination, "deep").findings if one.chunks or one.files] == []


def test_nothing_can_be_committed_after_a_failure() -> None:
    destination = _Spoiling(SPOILED["cut short"])
    identity = create(destination, NOW).id
    with writing(destination) as writer:
        writer.store_document(TREE["alice/patterns.json"])
        with pytest.raises(DamagedError):
            writer.flush()
        with pytest.raises(FileAccessError, match="earlier write"):
            writer.commit(manifest_of(identity))
    assert destination.entries("snapshots/") == []


def test_what_does_not_unpack_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    isal_zlib = pytest.importorskip("isal.isal_zlib")
    compress = isal_zlib.compress
    monkeypatch.setattr(isal_zlib, "compress", lambda data, *rest: compress(bytes(data)[::-1], *rest))
    destination = InMemory()
    with pytest.raises(DamagedError, match="does not unpack to the same"):
        back_up(destination, TREE)
    assert destination.entries("packs/") == []


def test_reading_back_can_be_left_out() -> None:
    destination = _Spoiling(SPOILED["cut short"])
    create(destination, NOW)
    with writing(destination, verify=False) as writer:
        writer.store_document(TREE["alice/patterns.json"])
        assert len(writer.flush()) == 1


def test_the_bytes_of_new_packs_are_counted(tmp_path: Path) -> None:
    destination = LocalFolder(tmp_path / "repository")
    create(destination, NOW)
    with writing(destination, pack_bytes=20_000) as writer:
        assert writer.added_packed_bytes == 0
        writer.store_document(TREE["alice/patterns.json"])
        first = writer.flush()
        assert len(first) > 1
        assert writer.added_packed_bytes == sum(entry.size for entry in destination.entries("packs/"))
        writer.store_document(TREE["bob/solutions.json"])
        writer.flush()
        assert writer.added_packed_bytes == sum(entry.size for entry in destination.entries("packs/"))
    with writing(destination) as writer:
        assert writer.added_packed_bytes == 0


def test_a_pack_left_by_a_run_that_did_not_end_is_not_relied_on_before_it_was_read() -> None:
    destination = InMemory()
    create(destination, NOW)
    with writing(destination, verify=False) as writer:
        for data in TREE.values():
            writer.store_document(data)
        writer.flush()
    (pack,) = [entry.key for entry in destination.entries("packs/")]
    (index,) = [entry.key for entry in destination.entries("index/")]
    destination.delete(index)
    whole = copy_of(destination)
    back_up(whole, TREE)
    assert sum(len(data) for key, data in whole.values.items() if key.startswith("packs/") and key != pack) < 5000
    destination.values[pack] = SPOILED["a bit in the middle"](destination.values[pack])
    first = back_up(destination, {"config.json": b"{}"})
    second = back_up(destination, TREE, moment=NOW + HOUR)
    with reading(destination) as reader:
        assert contents(reader, first) == {"config.json": b"{}"}
        assert contents(reader, second) == TREE


LOST: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "cut": b'{"format":1,"id":"',
    "garbage": b"\xff\xfe\0",
    "no id": b'{"format":1}',
}


@pytest.mark.parametrize("kind", LOST)
def test_a_description_that_is_lost_is_written_again(kind: str) -> None:
    destination = InMemory()
    snapshot = back_up(destination, TREE)
    identity = describe(destination).id
    destination.delete(DESCRIPTION_KEY)
    if (data := LOST[kind]) is not None:
        destination.put(DESCRIPTION_KEY, data)
    assert [finding.key for finding in check(destination, "quick").findings] == [DESCRIPTION_KEY]
    with reading(destination) as reader:
        assert contents(reader, snapshot) == TREE
        assert reader.described is not None
        assert reader.described.id == identity
    made = copy_of(destination)
    assert create(made, NOW + HOUR).id == identity == describe(made).id
    with writing(destination) as writer:
        assert writer.description.id == identity
    assert describe(destination).id == identity
    assert check(destination, "quick").findings == []


def test_a_newer_format_is_refused_whatever_else_it_says(tmp_path: Path) -> None:
    destination = LocalFolder(tmp_path / "repository")
    back_up(destination, TREE)
    for text in (b'{"format":2}', b'{"format":2,"id":7,"made":"today"}'):
        destination.put(DESCRIPTION_KEY, text)
        for opened in (reading, writing):
            with pytest.raises(SchemaError), opened(destination):
                pass
        with pytest.raises(SchemaError):
            create(destination, NOW)
        assert destination.get(DESCRIPTION_KEY) == text


def test_without_description_and_backups_the_packs_are_used_all_the_same() -> None:
    destination = InMemory()
    back_up(destination, TREE)
    for entry in [*destination.entries("index/"), *destination.entries("snapshots/")]:
        destination.delete(entry.key)
    destination.delete(DESCRIPTION_KEY)
    with pytest.raises(NotFoundError), reading(destination):
        pass
    create(destination, NOW + HOUR)
    with writing(destination) as writer:
        for data in TREE.values():
            writer.store_document(data)
        assert (writer.added_chunks, writer.flush()) == (0, [])


def large(seed: int = 1) -> bytes:
    return records(3000, seed=seed)


def test_a_document_comes_in_pieces(tmp_path: Path) -> None:
    destination: Destination = LocalFolder(tmp_path / "repository")
    create(destination, NOW)
    documents = [large(), records(40), b"", b"x", large()[:1_500_000], large(2)]
    with writing(destination, pack_bytes=300_000) as writer:
        stored = [writer.store_document(data) for data in documents]
        writer.flush()
        for data, one in zip(documents, stored, strict=True):
            parts = list(writer.stream_document(one.chunks, one.sha256, one.size))
            assert b"".join(parts) == data
            assert max(map(len, parts), default=0) <= 1 << 20
    assert len(large()) > 2 << 20


@pytest.mark.parametrize("data", [large(), records(40)], ids=["large", "small"])
def test_pieces_that_make_another_document_end_with_an_error(data: bytes) -> None:
    destination = InMemory()
    create(destination, NOW)
    with writing(destination) as writer:
        stored = writer.store_document(data)
        writer.flush()
        parts = writer.stream_document(stored.chunks[::-1], stored.sha256, stored.size)
        taken: list[bytes] = []
        with pytest.raises(DamagedError, match="make another one"):
            taken.extend(parts)
        assert sum(map(len, taken)) == stored.size
        with pytest.raises(DamagedError, match="instead of"):
            writer.stream_document(stored.chunks, stored.sha256, stored.size + 1)
        with pytest.raises(NotFoundError):
            writer.stream_document(["ab" * 32], stored.sha256, stored.size)
        left = writer.stream_document(stored.chunks, stored.sha256, stored.size)
        assert next(left)


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
@pytest.mark.parametrize("data", [large(), records(40)], ids=["large", "small"])
def test_pieces_come_from_another_pack_where_one_is_damaged(data: bytes, gone: bool) -> None:
    destination = InMemory()
    create(destination, NOW)
    with writing(destination) as writer:
        stored = writer.store_document(data)
        (pack,) = writer.flush()
        for name in stored.chunks[::-1]:
            writer.rewrite_chunk(bytes.fromhex(name), writer.read_chunk(bytes.fromhex(name)))
        assert len(writer.flush()) == 1
    key = f"packs/{pack[:2]}/{pack}.gz"
    with reading(destination) as reader:
        packs = destination.values
        packs[key] = packs[key][:99] + bytes(9) + packs[key][108:]
        if gone:
            destination.delete(key)
        assert b"".join(reader.stream_document(stored.chunks, stored.sha256, stored.size)) == data
        assert reader.read_document(stored.chunks, stored.sha256, stored.size) == data


def test_threads_do_what_they_began_and_no_more_once_closed() -> None:
    workers, done = Workers(), list[int]()
    jobs = [workers.submit(lambda number=number: done.append(number)) for number in range(3)]  # type: ignore[misc]
    jobs[2].result()
    workers.close()
    assert sorted(done) == [0, 1, 2]
    with pytest.raises(RuntimeError):
        workers.submit(lambda: None)


def test_a_manifest_is_text_of_its_hash() -> None:
    destination = InMemory()
    snapshot = back_up(destination, TREE)
    text = gzip.decompress(destination.values[f"snapshots/{snapshot.id}.json.gz"])
    assert text == msgspec.json.encode(snapshot.manifest)
    assert snapshot.id.endswith(hashlib.sha256(text).hexdigest()[:8])
