"""Wherever a file is cut or damaged: every record that stands complete is salvaged as it is, in order, and no other."""

from __future__ import annotations

import gzip
import json
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from aml.codec.json_array import split
from aml.codec.salvage import salvage
from tests.property.json_text import laid_out, sound_values, strings

MAX_BYTES = 1 << 26

#: What a record holds beside what it must state; keys that no record is judged by.
_other_keys = strings.filter(lambda key: json.loads(key) not in ("id", "agent", "timestamp", "version")).map(str.encode)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    members = [b'"id":' + json.dumps(f"r{draw(st.integers(0, 99))}").encode(), b'"agent":"a"', b'"timestamp":5']
    members += [key + b": " + value for key, value in draw(st.lists(st.tuples(_other_keys, sound_values), max_size=3))]
    return b"{" + b", ".join(draw(st.permutations(members))) + b"}"


@st.composite
def record_files(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[tuple[int, int]]]:
    elements = draw(st.lists(records(), min_size=1, max_size=5))
    text, spans = draw(laid_out(elements))
    return elements, text, spans


def salvaged(data: bytes) -> list[bytes]:
    found = salvage(data, max_bytes=MAX_BYTES)
    if found is None:
        return []
    array = split(found.text)
    assert len(array) == found.records > 0
    return [array.raw(ordinal) for ordinal in range(len(array))]


@settings(max_examples=20)
@given(record_files())
def test_h06_cut_at_any_byte_every_whole_record_is_salvaged(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]],
) -> None:
    elements, text, spans = case
    for cut in range(len(text)):
        whole = sum(end <= cut for _, end in spans)
        assert salvaged(text[:cut]) == elements[:whole], cut


@settings(max_examples=20)
@given(record_files(), st.integers(0, 9))
def test_h06_a_gzip_file_cut_at_any_byte_gives_every_record_that_unpacks(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], level: int
) -> None:
    elements, text, spans = case
    data = gzip.compress(text, level, mtime=0)
    for cut in range(len(data)):
        there = zlib.decompressobj(31).decompress(data[:cut]) if cut > 1 else b""
        whole = sum(end <= len(there) for _, end in spans)
        assert salvaged(data[:cut]) == elements[:whole], cut


@given(record_files(), st.data())
def test_h06_a_lost_block_makes_nothing_up_and_costs_no_record_before_it(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], data: st.DataObject
) -> None:
    elements, text, spans = case
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found = salvaged(text[:start] + bytes(end - start) + text[end:])
    before = [one for one, (_, stop) in zip(elements, spans, strict=True) if stop <= start]
    assert found[: len(before)] == before
    left = iter(elements)
    assert all(one in left for one in found), "something was made up, or in another order"


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b"\0", b"1"]), max_size=60).map(
        b"".join
    )
)
def test_noise_is_no_record(noise: bytes) -> None:
    found = salvage(noise, max_bytes=MAX_BYTES)
    if found is not None:
        array = split(found.text)
        assert len(array) == found.records
        assert all(array.raw(ordinal) in noise for ordinal in range(len(array)))


@given(st.lists(record_files(), min_size=1, max_size=3), st.data())
def test_members_glued_and_damaged_give_records_of_theirs_alone(
    cases: list[tuple[list[bytes], bytes, list[tuple[int, int]]]], data: st.DataObject
) -> None:
    members = [gzip.compress(text, mtime=0) for _, text, _ in cases]
    packed = bytearray(b"".join(members))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    found = salvage(bytes(packed), max_bytes=MAX_BYTES)
    if found is None or found.doubtful:
        return  # bits flipped in packed data may change what comes out, which is told
    known = [one for elements, _, _ in cases for one in elements]
    assert all(one in known for one in salvaged(bytes(packed)))


@given(st.lists(record_files(), min_size=1, max_size=3), st.integers(1, 8))
def test_glued_documents_give_the_records_of_all(
    cases: list[tuple[list[bytes], bytes, list[tuple[int, int]]]], lost: int
) -> None:
    texts = [text.removeprefix(b"\xef\xbb\xbf") for _, text, _ in cases]
    expected = [one for elements, _, _ in cases for one in elements]
    assert salvaged(b"".join(texts)) == expected
    shorter = b"".join(texts)[:-lost].rstrip()
    assert salvaged(shorter) in (expected, expected[:-1])
