"""Strategies for JSON text as it is found in the wild: made as bytes, so that what is expected is known beforehand."""

from __future__ import annotations

import json

from hypothesis import strategies as st

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

blanks = st.text(" \t\n\r", max_size=3).map(str.encode)

_NUMBERS = [
    "0",
    "-0",
    "1e5",
    "1E-7",
    "-0.0",
    "0.1",
    "1e308",
    "1" + "0" * 400,
    "1e400",
    "-1e999",
    "123456789012345678901234567890",
    "18446744073709551616",
    "-9223372036854775809",
    "1.7976931348623157e308",
    "4.9e-324",
    "0.30000000000000004",
]
_NO_NUMBERS = ["NaN", "Infinity", "-Infinity"]
_ODD_STRINGS = [
    r'"\ud83d"',
    r'"\ude00 the wrong half first \ud83d"',
    r'"\ud83d\ude00"',
    r'"\u0000"',
    r'"\/"',
    r'"brackets ] } , [ {"',
    r'"quotes \" and \\"',
    r'"\\\""',
    '"\u2028\u2029\x7f"',
    '"\u202e\ufeff"',
    '""',
]

numbers = st.one_of(
    st.sampled_from(_NUMBERS), st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr)
)
strings = st.one_of(
    st.sampled_from(_ODD_STRINGS),
    st.text(max_size=8).map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
)
#: What any JSON reader takes.
sound_scalars = st.one_of(st.sampled_from(["null", "true", "false"]), numbers, strings).map(str.encode)
#: What Python's reader takes too, or nobody does.
odd_scalars = st.one_of(
    st.sampled_from(_NO_NUMBERS).map(str.encode),
    st.sampled_from([b'"\xff"', b'"\xed\xa0\xbd"', b"undefined", b"'x'", b"01"]),
)
keys = st.one_of(st.sampled_from(['"id"', '"a"', '"a"', r'"\u0061"', '"version"']), strings).map(str.encode)


def arrays(element: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(blanks, element, blanks), max_size=4).map(lambda parts: b"[" + _joined(parts) + b"]")


def objects(
    value: st.SearchStrategy[bytes], key: st.SearchStrategy[bytes] = keys, max_size: int = 5
) -> st.SearchStrategy[bytes]:
    """Objects in any layout; keys may be there twice."""
    member = st.tuples(blanks, key, blanks, blanks, value, blanks).map(
        lambda part: (part[0], part[1] + part[2] + b":" + part[3] + part[4], part[5])
    )
    return st.lists(member, max_size=max_size).map(lambda parts: b"{" + _joined(parts) + b"}")


def _joined(parts: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return b",".join(before + middle + after for before, middle, after in parts)


def values(scalar: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.recursive(scalar, lambda inner: st.one_of(arrays(inner), objects(inner)), max_leaves=6)


sound_values = values(sound_scalars)
any_values = values(st.one_of(sound_scalars, odd_scalars))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@st.composite
def laid_out(draw: st.DrawFn, elements: list[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """An array of the elements in any layout, and where each of them lies."""
    text = draw(st.sampled_from([b"", b"", BYTE_ORDER_MARK])) + draw(blanks) + b"["
    # writers have a habit, by which readers may go, and break it now and then
    habits = st.sampled_from([b"", b" ", b"\n  ", b"\t"])
    before, after = draw(habits), draw(habits)
    spans = []
    for number, element in enumerate(elements):
        text += (b"," if number else b"") + draw(st.one_of(st.just(before), st.just(before), blanks))
        spans.append((len(text), len(text) + len(element)))
        text += element + draw(st.one_of(st.just(after), st.just(after), blanks))
    return text + draw(blanks) + b"]" + draw(blanks), spans
