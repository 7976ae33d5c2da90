"""Chunks: joined they are the document, their sizes are bounded, and an edit moves no cut that is far away."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.repository.chunking import MAX_CHUNK_BYTES, REACH_BYTES, WHOLE_BYTES, cut, ends
from tests.unit.repository.repositories import records

Style = Callable[[list[object]], bytes]

STYLES: dict[str, Style] = {
    "runtime": lambda values: json.dumps(values, indent=2).encode(),
    "four spaces, carriage returns": lambda values: json.dumps(values, indent=4).replace("\n", "\r\n").encode(),
    "compact": lambda values: json.dumps(values, separators=(",", ":")).encode(),
    "python": lambda values: json.dumps(values).encode(),
    "lines": lambda values: "\n".join(map(json.dumps, values)).encode(),
    "one object": lambda values: json.dumps({"all": values}, indent=2).encode(),
}


def cuts(data: bytes) -> list[int]:
    return list(ends(data))


def made(count: int, rng: Random, *, size: int = 1500) -> list[object]:
    return [
        {"id": rng.randbytes(8).hex(), "list": [{"a": 1}, {"b": [2]}], "text": rng.randbytes(rng.randrange(size)).hex()}
        for _ in range(count)
    ]


def length_in_common(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with alike."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda end: one[: end + 1] != other[: end + 1])


def check_sizes(data: bytes) -> None:
    ends = cuts(data)
    assert b"".join(cut(data)) == data
    assert ends == sorted(set(ends))
    sizes = [high - low for low, high in pairwise([0, *ends])]
    assert sum(sizes) == len(data)
    assert all(size <= MAX_CHUNK_BYTES for size in sizes)
    if len(sizes) > 1:
        assert min(sizes) >= 4 << 10


@pytest.mark.parametrize("style", STYLES)
def test_sizes_of_every_style(style: str) -> None:
    data = STYLES[style](made(1500, Random(3)))
    check_sizes(data)
    mean = len(data) / len(cuts(data))
    assert 12 << 10 < mean < 26 << 10


@pytest.mark.parametrize("style", ["runtime", "four spaces, carriage returns", "compact", "python"])
def test_cuts_are_at_record_starts(style: str) -> None:
    data = STYLES[style](made(400, Random(4), size=400))
    starts = [data[end : end + 1] for end in cuts(data)[:-1]]
    assert set(starts) == {b"{"}
    if style in ("runtime", "four spaces, carriage returns"):
        assert all(b'"id": ' in data[end : end + 30] for end in cuts(data)[:-1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\n" * WHOLE_BYTES,
        bytes(WHOLE_BYTES + 1),
        bytes(MAX_CHUNK_BYTES),
        bytes(MAX_CHUNK_BYTES + 1),
        bytes(3 * MAX_CHUNK_BYTES),
        bytes(3 * MAX_CHUNK_BYTES + 5),
        b"\n" * (5 * MAX_CHUNK_BYTES),
        b"[" + b'{"a":1},' * 40_000 + b"{}]",
        b"[\n" + b"  {},\n" * 40_000 + b"  {}\n]",
        b"[\n  {" + b" " * 300_000 + b"}\n]",
        b'[{"id":"' + b"x" * 200_000 + b'"},{"id":2}]',
    ],
    ids=range(13),
)
def test_odd_documents(data: bytes) -> None:
    check_sizes(data)
    if len(data) <= WHOLE_BYTES:
        assert len(cuts(data)) == bool(data)


@given(
    st.integers(0, 1 << 32), st.sampled_from(sorted(STYLES)), st.integers(0, 150), st.sampled_from([20, 1500, 60_000])
)
def test_joined_and_bounded(seed: int, style: str, count: int, size: int) -> None:
    check_sizes(STYLES[style](made(count if size < 5000 else count // 8, Random(seed), size=size)))


@given(
    st.integers(0, 1 << 32), st.sampled_from(["runtime", "compact", "lines"]), st.integers(0, 399), st.integers(0, 3)
)
def test_an_edit_moves_no_cut_that_is_far_away(seed: int, style: str, place: int, what: int) -> None:
    """Promise 1 of the format: the bytes within reach of a cut decide alone."""
    rng = Random(seed)
    old = made(400, rng)
    new = [*old[:place], *made(what, rng), *old[place + (what == 0) :]]
    before, after = STYLES[style](old), STYLES[style](new)
    same_head, same_tail = length_in_common(before, after), length_in_common(before[::-1], after[::-1])
    slack = 2 * REACH_BYTES
    assert [end for end in cuts(before) if end < same_head - slack] == [
        end for end in cuts(after) if end < same_head - slack
    ]
    late_before = {len(before) - end for end in cuts(before) if len(before) - end < same_tail - slack}
    late_after = {len(after) - end for end in cuts(after) if len(after) - end < same_tail - slack}
    assert late_before == late_after


def test_few_bytes_are_new_after_a_few_edits() -> None:
    old = json.loads(records(3000))
    rng = Random(5)
    new = json.loads(json.dumps(old))
    for place in rng.sample(range(3000), 30):
        new[place]["text"] = new[place]["text"][::-1]
    before = set(cut(json.dumps(old, indent=2).encode()))
    fresh = [chunk for chunk in cut(json.dumps(new, indent=2).encode()) if chunk not in before]
    assert sum(map(len, fresh)) < 30 * 24 * 1024


def test_records_that_begin_alike_are_cut_at_lines() -> None:
    head = "x" * 200
    data = json.dumps(
        [{"same": head, "id": number, "tags": list(range(20))} for number in range(500)], indent=2
    ).encode()
    check_sizes(data)
    grown = data.replace(b'"id": 100,', b'"id": 100, "more": 1,')
    kept = set(cut(data)) & set(cut(grown))
    assert sum(map(len, kept)) > len(data) - 4 * MAX_CHUNK_BYTES


def test_ends_are_sums_of_chunk_lengths() -> None:
    data = records(300)
    assert list(accumulate(map(len, cut(data)))) == cuts(data)
