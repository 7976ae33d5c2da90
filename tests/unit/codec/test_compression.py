"""gzip by its magic bytes: strict, bounded, and equal content gives equal bytes."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from aml.codec.compression import is_gzip, pack, unpack
from aml.errors import DamagedError

TEXT = b'[{"a": 1}, {"b": 2}]' * 500
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
