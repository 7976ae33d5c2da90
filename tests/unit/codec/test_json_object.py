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
        (b' {"a": 1}', "blanks stand before the object"),
        (b" {}", "blanks stand before the object"),
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


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", b'{"new":{"x":1,"y":{}}}'),
        (b"{ }", b'{ "new":{ "x":1,"y":{}}}'),
        (b'{"a":1}', b'{"a":1,"new":{"x":1,"y":{}}}'),
        (b'{"a": 1}', b'{"a": 1, "new": {"x": 1, "y": {}}}'),
        (b'{"a":1, "b":2}', b'{"a":1, "b":2, "new":{"x":1, "y":{}}}'),
        (b'{"a" : 1 ,"b" : 2}', b'{"a" : 1 ,"b" : 2 ,"new" : {"x" : 1 ,"y" : {}}}'),
        (b'{\n  "a": 1\n}', b'{\n  "a": 1,\n  "new": {\n    "x": 1,\n    "y": {}\n  }\n}'),
        (b'{\n    "a": 1\n}', b'{\n    "a": 1,\n    "new": {\n        "x": 1,\n        "y": {}\n    }\n}'),
        (b'{\n\t"a":1,\n\t"b":2\n}', b'{\n\t"a":1,\n\t"b":2,\n\t"new":{\n\t\t"x":1,\n\t\t"y":{}\n\t}\n}'),
        (b'{\n"a": 1\n}', b'{\n"a": 1,\n"new": {\n  "x": 1,\n  "y": {}\n}\n}'),
        (b'{\n      "a": 1}', b'{\n      "a": 1,\n      "new": {\n        "x": 1,\n        "y": {}\n      }}'),
        (b'{\n   "a": 1\n\t}', b'{\n   "a": 1,\n   "new": {\n     "x": 1,\n     "y": {}\n   }\n\t}'),
    ],
)
def test_an_object_that_is_added_is_laid_out_as_the_one_it_comes_to(raw: bytes, expected: bytes) -> None:
    for found in (parse_object(raw), parse_object(raw).copy()):
        assert found.lay_out({}) == b"{}"
        found.set("new", found.lay_out({b'"x"': b"1", b'"y"': {}}))
        assert found.to_bytes() == expected


def test_the_layout_is_the_one_that_was_read_whatever_was_taken_out_since() -> None:
    found = parse_object(_PRETTY)
    found.remove("n")
    found.remove("id")
    emptied = found.copy()
    for one in (found, emptied):
        one.set("x", b"1")
        assert one.to_bytes() == b'{\n    "x": 1\n  }'


def test_a_pair_can_be_put_in_after_any_other() -> None:
    for name, expected in (("a", b'{"a":1,"x":0,"b":2,"c":3}'), ("c", b'{"a":1,"b":2,"c":3,"x":0}')):
        found = parse_object(b'{"a":1,"b":2,"c":3}')
        found.insert_after(name, b'"x"', b"0")
        assert found.to_bytes() == expected


def test_what_is_not_there_is_not_renamed_and_nothing_stands_after_it() -> None:
    found = parse_object(_PRETTY)
    for change in (lambda: found.rename("x", "y"), lambda: found.insert_after("x", b'"y"', b"1")):
        with pytest.raises(KeyError):
            change()
    assert found.remove("x") is None
    assert found.to_bytes() == _PRETTY


@pytest.mark.parametrize(("name", "key"), [("é", '"é"'.encode()), ("\ud83d", b'"\\ud83d"'), ('"\n', b'"\\"\\n"')])
def test_any_name_can_be_given(name: str, key: bytes) -> None:
    found = parse_object(b"{}")
    found.set(name, b"1")
    assert found.to_bytes() == b"{" + key + b":1}"
    assert parse_object(found.to_bytes()).get(name) == b"1"


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
    assert parse_object(b'{"d":1,"b":2,"c":0,"a":3,"b":4,"a":5,"d":6}').duplicates == ["a", "b", "d"]
    assert found.get("a") == b'"\\ud83d"'
    for change in (lambda: found.set("a", b"1"), lambda: found.remove("a"), lambda: found.rename("a", "c")):
        with pytest.raises(DuplicateKeyError, match="'a' is there more than once") as caught:
            change()
        assert caught.value.name == "a"
    assert found.to_bytes() == _ODD
