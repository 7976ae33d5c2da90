"""gzip by its magic bytes: strict, bounded, and equal content gives equal bytes."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from random import Random

import pytest

from aml.codec.compression import is_gzip, pack, pack_lines, unpack, unpack_single, unpacks_beyond, unpacks_to
from aml.errors import DamagedError

TEXT = b'[{"a": 1}, {"b": 2}]' * 500
#: More than is packed, unpacked or looked at at a time, also when it is packed.
NOISE = Random(1).randbytes(600_000)
ENOUGH = 1 << 20


def test_what_is_packed_unpacks_everywhere() -> None:
    packed = pack(TEXT)
    assert is_gzip(packed)
    assert unpack(packed, max_bytes=ENOUGH) == TEXT
    assert gzip.decompress(packed) == TEXT
    assert pack(TEXT) == packed
    assert unpack(pack(b""), max_bytes=ENOUGH) == b""


def test_only_the_magic_bytes_tell() -> None:
    assert not is_gzip(b"")
    assert not is_gzip(b"\x1f")
    assert not is_gzip(b"[]")
    assert is_gzip(b"\x1f\x8b")


def test_several_members_are_one_text() -> None:
    members = [TEXT[:700], b"", TEXT[700:701], TEXT[701:]]
    assert unpack(b"".join(gzip.compress(part) for part in members), max_bytes=ENOUGH) == TEXT


@pytest.mark.parametrize("cut", [2, 5, 9, 10, 11, 20, -9, -8, -4, -1])
def test_a_truncated_member_is_damage(cut: int) -> None:
    with pytest.raises(DamagedError):
        unpack(gzip.compress(TEXT)[:cut], max_bytes=ENOUGH)
    with pytest.raises(DamagedError):
        unpack(gzip.compress(b"[]") + gzip.compress(TEXT)[:cut], max_bytes=ENOUGH)


@pytest.mark.parametrize("rest", [b"x", b"\x00", b"\n", b"[]", b"\x1f\x8b", b"\x00" * 512])
def test_anything_after_the_last_member_is_damage(rest: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack(gzip.compress(TEXT) + rest, max_bytes=ENOUGH)


@pytest.mark.parametrize("place", [20, 40, -7, -2])
def test_a_flipped_bit_is_damage(place: int) -> None:
    data = bytearray(gzip.compress(TEXT, mtime=0))
    data[place] ^= 0x41
    with pytest.raises(DamagedError):
        unpack(bytes(data), max_bytes=ENOUGH)


def test_a_bomb_is_refused_before_it_takes_the_memory() -> None:
    bomb = gzip.compress(b"0" * (64 << 20))
    with pytest.raises(DamagedError, match="more than 1000000 bytes") as caught:
        unpack(bomb, max_bytes=1_000_000)
    assert "max_unpacked_mb" in caught.value.advice


def test_a_bomb_is_counted_before_it_is_kept() -> None:
    bomb = gzip.compress(b"0" * (128 << 20), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match="more than"):
            unpack(bomb, max_bytes=100 << 20)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_packs_unusually_well_is_no_bomb() -> None:
    text = b"[" + b" " * (20 << 20) + b"]"
    members = gzip.compress(text, compresslevel=1) * 2
    assert unpack(members, max_bytes=2 * len(text)) == text * 2
    with pytest.raises(DamagedError):
        unpack(members, max_bytes=2 * len(text) - 1)
    with pytest.raises(DamagedError):
        unpack(members[:-9], max_bytes=2 * len(text))


def test_the_limit_counts_over_all_members() -> None:
    member = gzip.compress(b"0" * 600)
    assert len(unpack(member + member, max_bytes=1200)) == 1200
    with pytest.raises(DamagedError):
        unpack(member + member, max_bytes=1199)


def test_a_single_member_is_told_from_several_and_from_damage() -> None:
    packed = pack(TEXT)
    assert unpack_single(packed, max_bytes=len(TEXT)) == TEXT
    assert unpack_single(packed + pack(b""), max_bytes=len(TEXT)) is None
    for damaged in (packed + b"x", packed[:-1], b"[]"):
        with pytest.raises(DamagedError):
            unpack_single(damaged, max_bytes=len(TEXT))
    with pytest.raises(DamagedError, match=f"more than {len(TEXT) - 1} bytes"):
        unpack_single(packed, max_bytes=len(TEXT) - 1)


@pytest.mark.parametrize("text", [TEXT, NOISE], ids=["text", "noise"])
def test_what_the_first_member_unpacks_to_is_counted(text: bytes) -> None:
    packed = pack(text)
    assert [unpacks_beyond(packed + packed, limit) for limit in (0, len(text) - 1)] == [True, True]
    assert [unpacks_beyond(packed + packed, limit) for limit in (len(text), 2 * len(text))] == [False, False]
    assert not unpacks_beyond(b"no gzip", 0)
    assert not unpacks_beyond(packed[:10] + b"\xff" * 90, len(text))


@pytest.mark.parametrize("text", [b"", b"[]", TEXT, NOISE], ids=["nothing", "little", "text", "noise"])
def test_what_was_packed_is_compared_with_what_it_should_hold(text: bytes) -> None:
    packed = pack(text)
    assert unpacks_to(packed, text)
    for other in (text + b"x", b"x" + text, text[:-1] + b"\x00", text[: len(text) // 2]):
        assert unpacks_to(packed, other) is (other == text)
    flipped = packed[:10] + b"\xff" * 90
    for damaged in (packed[:-1], packed[: len(packed) // 2], packed + b"x", packed + packed, b"", b"no gzip", flipped):
        assert not unpacks_to(damaged, text)


@pytest.mark.parametrize("lines", [[], [b""], [b"a", b"", b"b"], [b"x" * 100_000, NOISE.replace(b"\n", b""), b"y"]])
def test_lines_are_packed_in_order_each_with_its_end(lines: list[bytes]) -> None:
    packed = pack_lines(iter(lines))
    assert gzip.decompress(packed) == b"".join(line + b"\n" for line in lines)
    assert unpack_single(packed, max_bytes=ENOUGH) is not None
    assert pack_lines(lines) == packed


def test_without_the_fast_libraries_zlib_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"id": "a"}\n' * 1000
    fast = pack(text)
    for name in ("isal", "zlib_ng"):
        monkeypatch.setitem(sys.modules, name, None)
    for packed in (fast, pack(text)):
        assert unpack(packed, max_bytes=ENOUGH) == gzip.decompress(packed) == text
        assert unpacks_to(packed, text)
        with pytest.raises(DamagedError, match="the gzip data is damaged"):
            unpack(packed[:12] + b"\xff" * 40, max_bytes=ENOUGH)
    assert gzip.decompress(pack_lines([b"a", b"b"])) == b"a\nb\n"
