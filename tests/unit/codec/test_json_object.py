"""An object's pairs are changed one by one, and every other byte stays."""

from __future__ import annotations

import pytest
from hypothesis import given

from aml.codec.json_object import DamagedObjectError, DuplicateKeyError, parse_object
from tests.property.json_text import any_values, objects, sound_values

_PRETTY = b'{\n    "id": "a",\n    "n": 1.10\n  }'
_ODD = b'{ "a" : 1 ,\n\t"b":{"x":[1,{}]} , "a": "\\ud83d" }'


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"{ }",
        b'{"a":1}',
        b'{"a": NaN, "b": -Infinity}',
        b'{"a":' + b"1" * 5000 + b"}",
        b'{"\\u0061":1,"a":2}',
        b'{"\\ud83d":"\\ud83d"}',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
        '{"é":"\u2028"}'.encode(),
        _PRETTY,
        _ODD,
    ],
)
def test_what_is_not_changed_is_given_back_as_it_was(raw: bytes) -> None:
    assert parse_object(raw).to_bytes() == raw


@given(objects(any_values))
def test_any_object_that_can_be_read_is_given_back_as_it_was(raw: bytes) -> None:
    try:
        found = parse_object(raw)
    except DamagedObjectError:
        return
    assert found.to_bytes() == raw


@given(objects(sound_values))
def test_what_is_put_in_and_taken_out_again_leaves_no_trace(raw: bytes) -> None:
    found = parse_object(raw)
    found.set("not there before", b'{"x": 1.10}')
    changed = parse_object(found.to_bytes())
    assert changed.get("not there before") == b'{"x": 1.10}'
    assert [(one.key, one.value) for one in changed][:-1] == [(one.key, one.value) for one in parse_object(raw)]
    changed.remove("not there before")
    assert changed.to_bytes() == raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": 01}', "not valid JSON"),
        (b'{"a": undefined}', "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": 1} {}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": "\xed\xa0\xbd"}', "not valid UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_object_is_refused_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(DamagedObjectError, match=reason):
        parse_object(raw)


def test_new_pairs_are_laid_out_as_those_around_them() -> None:
    found = parse_object(_PRETTY)
    found.set("tags", b"[]")
    found.insert_after("id", b'"in"', found.lay_out({b'"x"': b"1", b'"y"': {b'"z"': b"2"}}))
    assert found.to_bytes() == (
        b'{\n    "id": "a",\n    "in": {\n      "x": 1,\n      "y": {\n        "z": 2\n      }\n    },\n'
        b'    "n": 1.10,\n    "tags": []\n  }'
    )


def test_a_key_keeps_its_place_when_it_gets_another_value_or_name() -> None:
    found = parse_object(_PRETTY)
    found.set("id", b"7")
    found.rename("id", "ident")
    assert found.to_bytes() == b'{\n    "ident": 7,\n    "n": 1.10\n  }'


def test_the_first_and_the_last_pair_can_be_taken_out() -> None:
    found = parse_object(_PRETTY)
    assert found.remove("n") == b"1.10"
    assert found.to_bytes() == b'{\n    "id": "a"\n  }'
    assert found.remove("id") == b'"a"'
    assert parse_object(found.to_bytes()).names == []


def test_keys_are_known_by_their_names_whatever_their_spelling() -> None:
    found = parse_object(b'{"\\u0061": 1}')
    assert found.get("a") == b"1"
    found.set("a", b"2")
    assert found.to_bytes() == b'{"\\u0061": 2}'


def test_of_a_key_that_is_there_twice_the_last_counts_and_none_is_changed() -> None:
    found = parse_object(_ODD)
    assert found.duplicates == ["a"]
    assert found.get("a") == b'"\\ud83d"'
    for change in (lambda: found.set("a", b"1"), lambda: found.remove("a"), lambda: found.rename("a", "c")):
        with pytest.raises(DuplicateKeyError, match="'a' is there more than once"):
            change()
    assert found.to_bytes() == _ODD
