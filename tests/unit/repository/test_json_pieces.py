"""Pieces of JSON: what they say of a document is what a parser says of the whole."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.repository.chunking import cut
from aml.repository.json_pieces import Piece, is_json, make_json, piece_of
from tests.unit.repository.repositories import records


def pieces_of(chunks: list[bytes]) -> list[Piece]:
    return [piece_of(memoryview(chunk)) for chunk in chunks]


def parses(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_records_is_told_from_its_chunks_alone(indent: int | None) -> None:
    data = json.dumps(json.loads(records(200)), indent=indent).encode()
    pieces = pieces_of(list(cut(data)))
    assert pieces == [Piece.BEGIN, *[Piece.MIDDLE] * (len(pieces) - 2), Piece.END]
    assert len(pieces) > 5
    assert make_json(pieces)
    for place in range(len(pieces)):
        assert not make_json(pieces[:place] + pieces[place + 1 :]) or 0 < place < len(pieces) - 1
    assert not make_json(pieces[::-1])
    assert not make_json([])


TOKENS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"a"',
    b'"',
    b"1",
    b"-",
    b"null",
    b" ",
    b"\n",
    b'{"a":1}',
    b"[2]",
    b" " * 70,
]


@given(st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6), min_size=1, max_size=4))
def test_what_they_call_json_is_json(parts: list[list[bytes]]) -> None:
    chunks = [b"".join(part) for part in parts]
    if make_json(pieces_of(chunks)):
        assert parses(b"".join(chunks))


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=6), st.booleans(), st.data())
def test_any_array_cut_behind_commas_of_its_own_is_json(values: list[object], lines: bool, data: st.DataObject) -> None:
    comma = b",\n  " if lines else b","
    elements = [json.dumps(value).encode() for value in values]
    text = b"[" + comma.join(elements) + b"]"
    ends = [1 + sum(map(len, elements[:place])) + place * len(comma) for place in range(1, len(elements))]
    chosen = [end for end in ends if data.draw(st.booleans())]
    chunks = [text[low:high] for low, high in pairwise([0, *chosen, len(text)])]
    assert make_json(pieces_of(chunks))
    # a cut anywhere else may need the whole, but nothing wrong is said of it
    place = data.draw(st.integers(1, len(text) - 1))
    make_json(pieces_of([text[:place], text[place:]]))
    assert not make_json(pieces_of([text[:place], text[place:], text[place:]])) or parses(text + text[place:])


@pytest.mark.parametrize("data", [b"{}", b' {"a": [1]} \n', b"[]", b"7", b'[{"a": NaN}]'])
def test_json_and_what_agents_write_for_it(data: bytes) -> None:
    assert is_json(data)
    if b"NaN" not in data:
        assert pieces_of([data]) == [Piece.WHOLE]


@pytest.mark.parametrize("data", [b"# text", b"", b"[1", b"\xff", b"{", b"]", b","])
def test_what_is_none(data: bytes) -> None:
    assert not is_json(data)
    assert pieces_of([data]) in ([Piece.OTHER], [Piece.END])
    assert not make_json(pieces_of([data]))


def test_what_is_nested_too_deeply_to_be_read_is_no_json() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert piece_of(memoryview(deep)) == Piece.OTHER
    assert not is_json(deep[:-1])
