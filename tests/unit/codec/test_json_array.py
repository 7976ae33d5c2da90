"""Arrays as bytes: what is one, where its elements lie, and what exactly is wrong where it is none."""

from __future__ import annotations

import pytest

from aml.codec.json_array import DamagedArrayError, is_deeper_than, join_elements, split


def elements(text: bytes) -> list[bytes]:
    array = split(text)
    return [array.raw(ordinal) for ordinal in range(len(array))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[]", []),
        (b" [ \n ] ", []),
        (b"[1]", [b"1"]),
        (b"[1,2]", [b"1", b"2"]),
        (b'[ {"a": [1, 2]} ,\t"x,]" , null ]', [b'{"a": [1, 2]}', b'"x,]"', b"null"]),
        (b"\xef\xbb\xbf[{}]", [b"{}"]),
        (b"[NaN, -Infinity]", [b"NaN", b"-Infinity"]),
        (b'["\\ud83d"]', [b'"\\ud83d"']),
        (b'["\\"", "\\\\", "]"]', [b'"\\""', b'"\\\\"', b'"]"']),
        (b'[{"a":1,"a":2}]', [b'{"a":1,"a":2}']),
        (b'["\xff"]', [b'"\xff"']),
        (b"[[],[[]]]", [b"[]", b"[[]]"]),
        (b"[1e400]", [b"1e400"]),
    ],
)
def test_split(text: bytes, expected: list[bytes]) -> None:
    assert elements(text) == expected
    array = split(text)
    assert [text[start:end] for start, end in array.spans] == expected


@pytest.mark.parametrize(
    ("text", "reason", "readable", "offset"),
    [
        (b"", "^the file is empty where a JSON array should be$", 0, 0),
        (b" \n", "empty", 0, 2),
        (b"{}", "^an object stands", 0, 0),
        (b" null", "^null stands", 0, 1),
        (b'"x"', "^a string stands", 0, 0),
        (b"true", "^a boolean stands", 0, 0),
        (b"false", "^a boolean stands", 0, 0),
        (b"-3", "^a number stands", 0, 0),
        (b" 7", "^a number stands", 0, 1),
        (b"XX", "^no JSON stands", 0, 0),
        (b"garbage", "^no JSON stands", 0, 0),
        (b"\x00\x00", "^no JSON stands", 0, 0),
        (b"[", "truncated", 0, 1),
        (b"[1, 2", "truncated", 1, 5),
        (b"[1, 2,", "truncated", 2, 6),
        (b'[{"a": 1}, {"a', "string never ends", 1, 12),
        (b'[{"a": 1}, {"a": [1, 2', "truncated", 1, 22),
        (b"[1][2]", "3 bytes follow", 1, 3),
        (b"[1] x", "1 bytes follow", 1, 4),
        (b"[1}", "closes what was never opened", 0, 2),
        (b"[1,,2]", "comma", 1, 3),
        (b"[,1]", "comma", 0, 1),
        (b"[1,]", "comma", 1, 3),
    ],
)
def test_damage_is_named_with_its_place(text: bytes, reason: str, readable: int, offset: int) -> None:
    with pytest.raises(DamagedArrayError, match=reason) as caught:
        split(text)
    assert (caught.value.readable, caught.value.offset) == (readable, offset)


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ([], b"[ 1,\n2 ,3 , 4 ]"),
        ([0], b"[ 2 ,3 , 4 ]"),
        ([3], b"[ 1,\n2 ,3 ]"),
        ([1], b"[ 1 ,3 , 4 ]"),
        ([0, 1, 2, 3], b"[]"),
        ([1, 2], b"[ 1 , 4 ]"),
        ([0, 3], b"[ 2 ,3 ]"),
    ],
)
def test_without(gone: list[int], expected: bytes) -> None:
    assert split(b"[ 1,\n2 ,3 , 4 ]").without(gone) == expected


def test_without_keeps_what_surrounds_the_array() -> None:
    assert split(b"\xef\xbb\xbf \n[1, 2]\n\n").without({0, 1}) == b"\xef\xbb\xbf \n[]\n\n"


@pytest.mark.parametrize(
    ("text", "insertions", "expected"),
    [
        (b"[1, 2]", [], b"[1, 2]"),
        (b"[1, 2]", [(0, b"0")], b"[0, 1, 2]"),
        (b"[1, 2]", [(2, b"3")], b"[1, 2, 3]"),
        (b"[1, 2]", [(1, b"x"), (1, b"y")], b"[1, x, y, 2]"),
        (b"[1, 2]", [(0, b"x"), (0, b"y"), (2, b"z")], b"[x, y, 1, 2, z]"),
        (b"[\n  1\n]", [(1, b"2")], b"[\n  1,\n  2\n]"),
        (b"[\n  1\n]", [(0, b"0")], b"[\n  0,\n  1\n]"),
        (b"[]", [(0, b"1"), (0, b"2")], b"[1,2]"),
        (b"[ \n]\n", [(0, b'{\n    "a": 1\n  }')], b'[\n  {\n    "a": 1\n  }\n]\n'),
        (b" []", [(0, b"1"), (0, b"[\n]")], b" [\n  1,\n  [\n]\n]"),
    ],
)
def test_with_inserted(text: bytes, insertions: list[tuple[int, bytes]], expected: bytes) -> None:
    assert split(text).with_inserted(insertions) == expected


@pytest.mark.parametrize(
    ("text", "replacements", "expected"),
    [
        (b"[1]", {}, b"[1]"),
        (b" [ 1 ] ", {0: b"x"}, b" [ x ] "),
        (b"[1, 2, 3]\n", {2: b"zz", 0: b"x"}, b"[x, 2, zz]\n"),
        (b"[\n  1,\n  2,\n  3\n]", {1: b"[2]"}, b"[\n  1,\n  [2],\n  3\n]"),
        (b"[ 1,\n2 ,3 , 4 ]", {3: b"d", 0: b"aa", 2: b"c"}, b"[ aa,\n2 ,c , d ]"),
        (b"[1, 2,3]", {0: b"aa", 2: b"x"}, b"[aa, 2,x]"),
        (b"[1, 2,  3]", {1: b"x", 2: b"y"}, b"[1, x,  y]"),
        (b"[1, 2 ]", {1: b"x"}, b"[1, x ]"),
        (b"\xef\xbb\xbf[NaN,2]", {1: b"x"}, b"\xef\xbb\xbf[NaN,x]"),
    ],
)
def test_with_replaced(text: bytes, replacements: dict[int, bytes], expected: bytes) -> None:
    assert split(text).with_replaced(replacements) == expected


@pytest.mark.parametrize(
    ("raw", "depth"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b'{"a": {}}', 2),
        (b"[[], [], []]", 2),
        (b'[{"a": [1]}, {}]', 3),
        (b'{"a": "[[[{{{", "b": "\\"[", "c": []}', 2),
        (b'["]]]]", [[]]]', 3),
    ],
)
def test_depth_is_that_of_brackets_outside_strings(raw: bytes, depth: int) -> None:
    assert [is_deeper_than(raw, levels) for levels in range(6)] == [levels < depth for levels in range(6)]


def test_elements_are_joined_as_the_runtime_lays_them_out() -> None:
    assert join_elements([]) == b"[]"
    assert join_elements([b"1"]) == b"[\n  1\n]"
    assert join_elements([b"{}", b"2"]) == b"[\n  {},\n  2\n]"
