"""Whatever stands in an array and however it is laid out: its elements are found, cut and put in byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.codec.json_array import DamagedArrayError, split
from aml.codec.views import Unreadable, view_record, view_records
from aml.model.kinds import KINDS
from aml.model.record import RecordView
from tests.property.json_text import any_values, keys, laid_out, nested, objects, sound_scalars, sound_values

elements_of_any_kind = st.lists(
    st.one_of(sound_values, any_values, st.sampled_from([nested(40), nested(6000), b'{"deep":' + nested(6000) + b"}"])),
    max_size=7,
)


@st.composite
def any_array(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[tuple[int, int]]]:
    elements = draw(elements_of_any_kind)
    text, spans = draw(laid_out(elements))
    return elements, text, spans


def _elements(text: bytes) -> list[bytes]:
    array = split(text)
    return [array.raw(ordinal) for ordinal in range(len(array))]


@given(any_array())
def test_every_element_is_found_where_it_lies(case: tuple[list[bytes], bytes, list[tuple[int, int]]]) -> None:
    elements, text, spans = case
    array = split(text)
    assert _elements(text) == elements
    assert [tuple(span) for span in array.spans] == spans


@given(any_array(), st.data())
def test_without_cuts_elements_out_and_touches_no_other(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], data: st.DataObject
) -> None:
    elements, text, _ = case
    gone = data.draw(st.sets(st.integers(0, len(elements) - 1)) if elements else st.just(set()))
    rest = split(text).without(gone)
    assert _elements(rest) == [one for ordinal, one in enumerate(elements) if ordinal not in gone]
    if not gone:
        assert rest == text
    assert rest.startswith(text[: text.index(b"[") + 1])
    assert rest.endswith(text[text.rindex(b"]") :])


@given(any_array(), st.data())
def test_what_was_cut_out_can_be_put_back(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], data: st.DataObject
) -> None:
    elements, text, _ = case
    gone = sorted(data.draw(st.sets(st.integers(0, len(elements) - 1)) if elements else st.just(set())))
    rest = split(split(text).without(gone))
    insertions = [(ordinal - index, elements[ordinal]) for index, ordinal in enumerate(gone)]
    assert _elements(rest.with_inserted(insertions)) == elements


@given(any_array(), elements_of_any_kind, st.data())
def test_elements_can_be_put_in_anywhere(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], new: list[bytes], data: st.DataObject
) -> None:
    elements, text, _ = case
    positions = sorted(data.draw(st.integers(0, len(elements))) for _ in new)
    expected = list(elements)
    for position, raw in reversed(list(zip(positions, new, strict=True))):
        expected.insert(position, raw)
    assert _elements(split(text).with_inserted(list(zip(positions, new, strict=True)))) == expected


@given(any_array(), elements_of_any_kind, st.data())
def test_elements_can_be_replaced_and_nothing_else_changes(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], new: list[bytes], data: st.DataObject
) -> None:
    elements, text, spans = case
    ordinals = data.draw(st.lists(st.integers(0, len(elements) - 1), unique=True) if elements else st.just([]))
    replacements = dict(zip(ordinals, new, strict=False))
    expected = text
    for ordinal in sorted(replacements, reverse=True):
        start, end = spans[ordinal]
        expected = expected[:start] + replacements[ordinal] + expected[end:]
    assert split(text).with_replaced(replacements) == expected


@given(any_array(), st.data())
def test_a_beginning_of_an_array_is_never_taken_for_a_whole_one(
    case: tuple[list[bytes], bytes, list[tuple[int, int]]], data: st.DataObject
) -> None:
    elements, text, _ = case
    end = text.rindex(b"]")
    cut = data.draw(st.integers(0, end))
    with pytest.raises(DamagedArrayError) as caught:
        split(text[:cut])
    assert caught.value.readable <= len(elements)


@given(any_array(), any_array())
def test_two_documents_glued_together_are_damage(
    first: tuple[list[bytes], bytes, list[tuple[int, int]]], second: tuple[list[bytes], bytes, list[tuple[int, int]]]
) -> None:
    with pytest.raises(DamagedArrayError) as caught:
        split(first[1] + second[1])
    assert caught.value.readable == len(first[0])


_PARTS = ["metrics", "performance", "evolution", "lifecycle", "effectiveness", "outcome", "verifiedCount", "reviewedAt"]
_PARTS += ["id", "timestamp", "tags", "active", "version"]
_FIGURES = ["successRate", "success_rate", "executionCount", "avgTimeSavedMs", "created", "created_at", "lastUsed"]
_FIGURES += ["confidenceScore", "confidence", "worked", "preventedRecurrence", "wouldRepeat", "would_repeat"]
_SCORES = ["successMetrics", "success_metrics", "developmentSpeed", "maintainability", "apiPerformance"]


def _named(names: list[str]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(names).map(lambda name: json.dumps(name).encode())


_scores = objects(sound_scalars, _named(_SCORES), 4)
_figures = objects(st.one_of(sound_scalars, _scores), _named(_FIGURES + _SCORES), 5)
_versions = st.sampled_from([b'"2.0.0"', b'"2.0.1"', b'"1.2.0"', b'"10.0.0"', b'"x"', b"2"])
records = objects(
    st.one_of(_figures, sound_scalars, _versions, any_values), st.one_of(_named(_PARTS), keys), max_size=6
)


def _facts(seen: RecordView | Unreadable) -> list[Any]:
    """Everything that an operation can ask of a view."""
    if isinstance(seen, Unreadable):
        return ["unreadable"]
    names = [name for name, found in vars(RecordView).items() if isinstance(found, property)]
    return [(name, type(getattr(seen, name)), getattr(seen, name)) for name in names]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
def test_records_look_the_same_one_by_one_and_all_at_once(kind: Any, data: st.DataObject) -> None:
    elements = data.draw(st.lists(st.one_of(records, records, sound_values), max_size=5))
    text, _ = data.draw(laid_out(elements))
    together = [_facts(one) for one in view_records(split(text), kind.view)]
    alone = [_facts(view_record(raw, kind.view)) for raw in elements]
    beside_an_odd_one = view_records(split(b"[NaN," + b",".join(elements) + b"]"), kind.view)[1:] if elements else []
    assert together == alone == [_facts(one) for one in beside_an_odd_one]
    assert [_facts_by_json(raw, kind.view) for raw in elements] == alone


def _facts_by_json(raw: bytes, view: type[RecordView]) -> list[Any]:
    """The same facts by way of the standard library's reader: parse the whole record, then build the view by hand."""
    try:
        found = json.loads(raw.decode(), parse_constant=_refuse)
    except ValueError:
        return ["unreadable"]
    if not isinstance(found, dict):
        return ["unreadable"]
    version = found.get("version")
    numbers = version.split(".") if isinstance(version, str) else []
    known = len(numbers) == 3 and all(part.isascii() and part.isdecimal() for part in numbers)
    if known and [int(part) for part in numbers] > [2, 0, 0]:
        return ["unreadable"]
    return _facts(view_record(json.dumps(_ordinary(found)).encode(), view))


def _refuse(name: str) -> None:
    raise ValueError(name)


def _ordinary(value: Any) -> Any:
    """A decoded value without what only one reader takes: no infinite numbers, no half surrogates."""
    if isinstance(value, dict):
        return {_ordinary(key): _ordinary(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_ordinary(one) for one in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return -1.0  # out of every range as well, and stated, which null would not be
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


@given(st.binary(max_size=60))
def test_any_bytes_at_all_are_an_array_or_damage(data: bytes) -> None:
    try:
        array = split(data)
    except DamagedArrayError:
        return
    assert all(data[start:end] == array.raw(ordinal) for ordinal, (start, end) in enumerate(array.spans))


@given(
    st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b":", b" ", b"1", b"a", b"null"]), max_size=14)
)
def test_any_mixture_of_marks_is_an_array_or_damage(marks: list[bytes]) -> None:
    test_any_bytes_at_all_are_an_array_or_damage.hypothesis.inner_test(b"".join(marks))
