"""All text of a record, and nothing but its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.codec.strings import strings_of

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _values(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in _values(one)]


@given(_JSON)
def test_every_text_is_there_in_order_and_no_name_of_a_field(value: object) -> None:
    assert strings_of(json.dumps(value).encode()) == "\n".join(_values(value))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"a": "half \\ud83d", "b": "whole \\ud83d\\ude00"}', "half \\ud83d\nwhole \U0001f600"),
        (b'{"a": NaN, "b": "beside"}', "beside"),
        (b'{"a": "first", "a": "last"}', "last"),
        (b'{"big": 123456789012345678901234567890, "a": "x"}', "x"),
        (b"[" * 100_000, ""),
        (b'{"a": "cut', ""),
        (b"\xff", ""),
        (b"null", ""),
    ],
)
def test_odd_json_gives_what_text_it_has(raw: bytes, text: str) -> None:
    assert strings_of(raw) == text


def test_what_a_migration_set_aside_is_text_and_the_names_it_noted_are_not() -> None:
    inner = {"id": "whole", "x_aml": {"v": {"set": {"k": "further in"}}}}
    notes = {
        "1.2.0": {
            "set": {"k": "kept", "n": ["too"]},
            "names": {"old": "new"},
            "in": {"part": {"set": "deep", "names": ["no"]}, "odd": "stands"},
            "text": json.dumps(inner),
        },
        "odd": ["listed"],
        "broken": {"text": "no record"},
    }
    told = strings_of(json.dumps({"a": "own", "x_aml": notes, "b": "last"}).encode()).split("\n")
    assert told == ["kept", "too", "deep", "stands", "further in", "whole", "listed", "no record", "own", "last"]
    assert (
        strings_of(json.dumps({"a": "own", "x_aml": "plain", "b": {"x_aml": {"v": "in"}}}).encode()) == "own\nplain\nin"
    )
