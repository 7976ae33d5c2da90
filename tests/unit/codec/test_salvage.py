"""Salvage takes every complete record out of a damaged file as it stands, and makes nothing up."""

from __future__ import annotations

import gzip
import json
import time
import zlib

import pytest

from aml.codec.json_array import split
from aml.codec.salvage import Salvaged, refuse_torn_elements, salvage
from aml.errors import DamagedError
from tests.support.records import pattern, to_v200
from tests.support.stores import encode_array

MAX_BYTES = 1 << 26


def raw(ident: str, **extra: object) -> bytes:
    return json.dumps(pattern(id=ident, **extra)).encode()  # type: ignore[arg-type]


ONE, TWO, THREE, FOUR = (raw(ident) for ident in ("one", "two", "three", "four"))
BROKEN = ONE[:-40]


def salvaged(data: bytes, max_bytes: int = MAX_BYTES) -> list[bytes]:
    found = salvage(data, max_bytes=max_bytes)
    return [] if found is None else elements_of(found)


def elements_of(found: Salvaged) -> list[bytes]:
    array = split(found.text)
    assert len(array) == found.records
    return [array.raw(ordinal) for ordinal in range(len(array))]


def array(*elements: bytes) -> bytes:
    return b"[" + b", ".join(elements) + b"]"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(array(ONE, TWO, THREE)[:-5], [ONE, TWO], id="cut short"),
        pytest.param(array(ONE, TWO)[:-1], [ONE, TWO], id="only the last bracket is gone"),
        pytest.param(array(ONE) + array(TWO, b'{"id": "odd"}'), [ONE, TWO, b'{"id": "odd"}'], id="glued"),
        pytest.param(array(ONE) + array(TWO, b"5"), [ONE, TWO, b"5"], id="glued, and only one is a record"),
        pytest.param(array() + array(ONE), [ONE], id="glued to an empty one"),
        pytest.param(array(ONE) + b'[{"id": "x"}], "a": 1}, ' + TWO + b"]", [ONE, TWO], id="old array of objects"),
        pytest.param(array(ONE) + b"\n\n" + array(TWO, THREE)[:-3], [ONE, TWO], id="glued and cut short"),
        pytest.param(array(ONE, TWO) + b', "tag"], "active": true}, ' + THREE + b"]", [ONE, TWO, THREE], id="old end"),
        pytest.param(array(ONE, TWO) + b'["tag"], "active": true}, ' + THREE + b"]", [ONE, TWO, THREE], id="old array"),
        pytest.param(array(ONE, TWO) + bytes(4096), [ONE, TWO], id="NULs at the end"),
        pytest.param(b"[" + ONE + b",,5,, " + TWO + b"]", [ONE, b"5", TWO], id="doubled commas"),
        pytest.param(b"[" + ONE + b"," + TWO + b",]", [ONE, TWO], id="trailing comma"),
        pytest.param(b"[" + ONE + b" " + TWO + b"," + BROKEN, [ONE, TWO], id="missing comma"),
        pytest.param(array(ONE, TWO.replace(b"]", b"}"), THREE), [ONE, THREE], id="square bracket flipped"),
        pytest.param(array(ONE, TWO.replace(b"}", b"]", 1), THREE), [ONE, THREE], id="brace flipped"),
        pytest.param(array(ONE, b"[" + TWO[1:], THREE), [ONE, THREE], id="first brace flipped"),
        pytest.param(array(ONE, BROKEN, THREE, FOUR), [ONE, THREE, FOUR], id="end of a record is lost"),
        pytest.param(array(ONE, TWO[60:], THREE), [ONE, THREE], id="beginning of a record is lost"),
        pytest.param(b'{"patterns": ' + array(ONE, TWO) + b"}", [ONE, TWO], id="an object around the array"),
        pytest.param(b'{"a": {"b": [{"c": ' + array(ONE, TWO)[:-4], [ONE], id="objects around it, cut short"),
        pytest.param(ONE, [ONE], id="a single record"),
        pytest.param(ONE + b"\n" + TWO + b"\n", [ONE, TWO], id="one record a line"),
        pytest.param(b"\xef\xbb\xbf" + array(ONE, TWO)[:-2], [ONE], id="byte-order mark"),
        pytest.param(b"", [], id="nothing"),
        pytest.param(bytes(5000), [], id="NULs alone"),
        pytest.param(b"Here are the records:\n```json\n" + array(ONE, TWO) + b"\n```\n", [ONE, TWO], id="in a text"),
    ],
)
def test_what_stands_complete_is_taken_as_it_is(data: bytes, expected: list[bytes]) -> None:
    assert salvaged(data) == expected


@pytest.mark.parametrize("indent", [2, None])
@pytest.mark.parametrize("size", [1, 50, 400])
def test_h06_a_lost_block_costs_the_records_it_touches_and_no_other(indent: int | None, size: int) -> None:
    """Wherever it lies, also where it ends inside a string: NULs as after a power cut, and noise."""
    records = [pattern(id=f"p{number}", note='brace { and "quote" and {') for number in range(4)]
    text = encode_array(records, indent=indent)
    spans = split(text).spans
    for start in range(1, len(text) - size - 1, 7):
        for block in (bytes(size), b"\x07" * size):
            found = salvaged(text[:start] + block + text[start + size :])
            whole = [text[a:b] for a, b in spans if b <= start or start + size <= a]
            # a control character within a string may go unnoticed: then the record is kept, and told to be odd
            assert [one for one in found if block[:1] not in one] == whole, start


def test_records_before_the_damage_are_kept_even_if_odd() -> None:
    odd = [b"null", b"7", b'{"note": NaN}', b'{"id": "\xff"}', b'{"half": "\\ud83d"}', b'{"line": "a\nb"}', b"[[]]"]
    assert salvaged(array(*odd, ONE, BROKEN)) == [*odd, ONE]


def test_what_no_reader_takes_is_left_out_so_that_agents_can_read_the_rest() -> None:
    assert salvaged(array(ONE, b"{'id': 'python'}", b'{"id" "no colon"}', b'{"id": 1}', TWO, BROKEN)) == [
        ONE,
        b'{"id": 1}',
        TWO,
    ]


def test_texts_and_numbers_right_before_the_damage_may_be_parts_of_a_lost_record() -> None:
    assert salvaged(array(ONE, b'"tag"', b"5") + b', "active": true}') == [ONE]


def test_beyond_the_damage_a_record_may_be_odd_too_but_must_state_id_agent_and_time() -> None:
    newer = raw("newer", version="9.0.0")
    lifecycle = to_v200(pattern(id="v2"))
    del lifecycle["timestamp"]
    odd = [newer, json.dumps(lifecycle).encode(), raw("x", note=float("nan")), ONE[:-1] + b', "n": "\xff \\ud83d"}']
    others = [b'{"id": "no agent", "timestamp": 5}', b'{"agent": "a", "timestamp": 5, "note": "no id of its own"}']
    assert salvaged(b"[,," + b",".join([*odd, *others, TWO]) + b"]") == [*odd, TWO]


def test_what_lies_in_a_broken_record_is_no_record_unless_it_states_all_itself() -> None:
    nested = b'{"id": "inner", "agent": "a", "note": "no time, and so no record"}'
    assert salvaged(array(ONE, b'{"id": "outer", "of": ' + nested, TWO)) == [ONE, TWO]
    assert salvaged(array(ONE, b'{"id": "outer", "of": ' + THREE, TWO)) == [ONE, THREE, TWO]


def test_a_whole_object_with_an_id_is_not_taken_apart() -> None:
    earlier = b'{"id": "kept apart", "earlier": ' + ONE + b"}"
    assert salvaged(b"[,," + earlier + b"," + TWO + b"]") == [TWO]
    assert salvaged(b"[,," + raw("outer", earlier=pattern(id="inner")) + b"]") == [
        raw("outer", earlier=pattern(id="inner"))
    ]


def test_json_quoted_in_a_string_is_no_record() -> None:
    quoting = raw("quoting", note=ONE.decode())
    assert salvaged(array(TWO, quoting[:-3])) == [TWO]
    assert salvaged(array(TWO, quoting[5:], THREE)) == [TWO, THREE]


@pytest.mark.parametrize("lost", [1, 8, 9, 20])
def test_of_a_gzip_file_cut_short_the_whole_records_are_read_and_doubted(lost: int) -> None:
    data = gzip.compress(array(ONE, TWO, THREE))[:-lost]
    found = salvage(data, max_bytes=MAX_BYTES)
    assert found is not None
    assert elements_of(found) == [ONE, TWO, THREE][: found.records]
    assert found.records >= 1
    assert "ends too early" in str(found.doubtful)


def test_flipped_bits_in_gzip_are_doubted() -> None:
    sound = gzip.compress(array(*(raw(f"p{number}") for number in range(30))))
    for place in range(18, len(sound), 11):
        data = bytearray(sound)
        data[place] ^= 16
        found = salvage(bytes(data), max_bytes=MAX_BYTES)
        assert found is None or found.doubtful, place


def test_a_wrong_checksum_keeps_all_and_doubts_it() -> None:
    data = bytearray(gzip.compress(array(ONE, TWO)))
    data[-6] ^= 1
    found = salvage(bytes(data), max_bytes=MAX_BYTES)
    assert found is not None
    assert elements_of(found) == [ONE, TWO]
    assert "incorrect data check" in str(found.doubtful)


def test_members_after_a_damaged_one_are_read() -> None:
    text = array(ONE, TWO, THREE, FOUR)
    cut = text.index(THREE) - 1
    first, second, third = (gzip.compress(part) for part in (text[:cut], text[cut : cut + 9], text[cut + 9 :]))
    damaged = bytearray(second)
    damaged[12] ^= 255
    found = salvage(first + bytes(damaged) + third + gzip.compress(array(raw("five"))), max_bytes=MAX_BYTES)
    assert found is not None
    assert elements_of(found) == [ONE, TWO, FOUR, raw("five")]
    assert found.doubtful


def test_pieces_around_a_damaged_member_are_not_sewn_together() -> None:
    text = array(ONE, TWO[:-1] + b', "note": "' + b"x" * 50 + b'"}', THREE)
    cut = text.index(b"xxx")
    lost = bytearray(gzip.compress(text[cut : cut + 20]))
    lost[11] ^= 255
    found = salvaged(gzip.compress(text[:cut]) + bytes(lost) + gzip.compress(text[cut + 20 :]))
    assert found == [ONE, THREE]


def test_plain_text_added_to_a_gzip_file_is_read_too() -> None:
    assert salvaged(gzip.compress(array(ONE, TWO)) + b"trailing garbage") == [ONE, TWO]
    assert salvaged(gzip.compress(array(ONE, TWO)) + b",\n" + THREE + b"]") == [ONE, TWO, THREE]


def test_what_unpacks_to_more_than_is_allowed_is_left_alone() -> None:
    bomb = gzip.compress(array(ONE) + bytes(3_000_000))
    assert salvage(bomb, max_bytes=1_000_000) is None
    assert salvaged(bomb, 4_000_000) == [ONE]
    many = gzip.compress(bytes(500_000)) * 8
    assert salvage(many + many[:-1], max_bytes=1_000_000) is None


def test_noise_that_looks_like_members_is_soon_given_up() -> None:
    member = zlib.compressobj(9, zlib.DEFLATED, 31)
    cut = (member.compress(bytes(200_000)) + member.flush())[:-9]
    began = time.perf_counter()
    assert salvage(cut * 5000, max_bytes=MAX_BYTES) is None
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "unit",
    [b"{", b"[", b'{"', b'{"a":', b'\\"', b'"', b",", b"[]", b'\n"', b'{"":' * 900 + b"1" + b"}" * 900, b'\0{"\0'],
    ids=["braces", "brackets", "keys", "objects", "escapes", "quotes", "commas", "arrays", "lines", "nested", "NULs"],
)
def test_whatever_it_holds_a_file_is_read_in_time_that_grows_with_its_size(unit: bytes) -> None:
    """Quadratic work would take hours here."""
    began = time.perf_counter()
    assert salvaged(b"[" + ONE + b",," + unit * (1_000_000 // len(unit))) in ([ONE], [])
    assert time.perf_counter() - began < 5


def test_deep_nesting_does_not_matter() -> None:
    deep = b'{"id": "deep", "at": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert salvaged(array(ONE, deep, BROKEN)) == [ONE, deep]
    assert salvaged(array(ONE, b'{"a":' * 50_000, TWO)) == [ONE, TWO]


@pytest.mark.parametrize("opened", [0, 1, 1022, 1023, 1024, 1025, 1600, 5000])
def test_objects_that_never_end_before_it_cost_no_record(opened: int) -> None:
    assert salvaged(b"[1} " + b'{"a": ' * opened + ONE) == [ONE]


@pytest.mark.parametrize("depth", [2, 7, 8, 9, 30])
def test_objects_in_each_other_after_it_cost_no_record(depth: int) -> None:
    nest = b'{"no record, and long enough": ' * depth + b"1" + b"}" * depth
    assert salvaged(b"[1} " + ONE + b", " + nest + b", " + TWO + b" {") == [ONE, TWO]


def test_the_shortest_record_is_found() -> None:
    shortest = b'{"id":1,"agent":1,"timestamp":1}'
    assert salvaged(b"{}, " + shortest + b" {") == [shortest]
    assert salvaged(b'"' + shortest + b" {") == [shortest]


@pytest.mark.parametrize("odd", [b"NaN", b'"\\ud83d"', b'"a\nb"', b'"\xff"', b"[" * 5000 + b"]" * 5000])
def test_what_some_reader_takes_is_not_torn(odd: bytes) -> None:
    refuse_torn_elements(split(array(ONE, b'{"id": "x", "note": ' + odd + b"}")))


@pytest.mark.parametrize("torn", [b'{"id" "x"}', b"{'id': 1}", b'{"id": "x\0y"}', b"tru"])
def test_a_torn_element_is_named_by_its_place(torn: bytes) -> None:
    with pytest.raises(DamagedError, match="element 2 is no JSON"):
        refuse_torn_elements(split(array(ONE, TWO, torn)))


def test_what_several_members_unpack_to_together_is_bounded() -> None:
    first, second = array(*[ONE] * 40), array(*[TWO] * 40)
    data = gzip.compress(first)[:-4] + gzip.compress(second)
    assert salvage(data, max_bytes=len(first) + len(second) - 1) is None
    found = salvage(data, max_bytes=2 * (len(first) + len(second)))
    assert found is not None
    assert elements_of(found) == [ONE] * 40 + [TWO] * 40
    assert found.doubtful is not None
