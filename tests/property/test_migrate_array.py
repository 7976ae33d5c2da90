"""All records of an array: each as if it were alone, whatever stands beside it, and a second time changes none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.codec.json_array import split
from aml.codec.json_object import parse_object, read_pairs
from aml.codec.views import view_records
from aml.migrate.marks import version_of, version_of_pairs
from aml.migrate.moving import BadRecordError
from aml.migrate.transform import migrate_array
from aml.model.kinds import KINDS
from aml.model.record import RecordView
from tests.property.json_text import laid_out as laid_out_array
from tests.property.migrating import VERSIONS, laid_out, records, scalars, times
from tests.support.migrated import migrate_record

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
targets = st.sampled_from(VERSIONS)

_STRAYS = [
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"{}",
    b'{"version": "2.0.1"}',
    b'{"version": "1.0.9"}',
    b'{"a": undefined}',
]
_STRAYS += [b'{"a": "\xff"}', b'{"a": 01}', b'{"deep": ' + b"[" * 300 + b"]" * 300 + b"}"]


def _alone(raw: bytes, kind: str, target: str, direction: str) -> bytes:
    """The record as it becomes by itself; as it is where it is not to be changed or cannot be."""
    if raw[:1] != b"{" or raw in _STRAYS[5:]:
        return raw
    version = version_of(parse_object(raw))
    if version not in VERSIONS:
        return raw
    is_up = VERSIONS.index(version) < VERSIONS.index(target)
    try:
        return migrate_record(raw, kind, version, target) if is_up == (direction == "up") else raw
    except BadRecordError:
        return raw


def _check(elements: list[bytes], text: bytes, kind: Any, target: str, direction: Any) -> None:
    array = split(text)
    found = migrate_array(array, kind, target, direction)
    after = split(found.text)
    expected = [_alone(raw, kind.plural, target, direction) for raw in elements]
    assert [after.raw(ordinal) for ordinal in range(len(after))] == expected
    assert found.changed == sum(one != other for one, other in zip(elements, expected, strict=True))
    assert found.changed + found.kept + found.odd + found.too_new + len(found.bad) == len(elements)
    assert found.text is array.text or found.changed
    assert found.odd == sum(raw[:1] != b"{" for raw in elements)
    again = migrate_array(after, kind, target, direction)
    assert again.changed == 0
    assert again.text is after.text
    assert [(one.ordinal, one.reason) for one in again.bad] == [(one.ordinal, one.reason) for one in found.bad]


@by_kind
@given(data=st.data(), target=targets, direction=st.sampled_from(["up", "down"]))
def test_mixed_arrays_converge(kind: Any, data: st.DataObject, target: str, direction: str) -> None:
    elements = data.draw(st.lists(st.one_of(records(kind.plural), records(kind.plural), st.sampled_from(_STRAYS))))
    text, _ = data.draw(laid_out_array(elements))
    _check(elements, text, kind, target, direction)


@st.composite
def alike(draw: st.DrawFn, kind: str) -> list[bytes]:
    """Records of one shape whose values differ, some of them from what is ordinary."""
    style = draw(st.sampled_from(["pretty", "pretty", "compact", "python", "tabs"]))
    version = draw(st.sampled_from(VERSIONS[:3]))
    names = draw(st.sampled_from([["active"], ["tags"], [], ["tags", "active"]])) if version == "1.0.0" else []
    unknown = draw(st.sampled_from([[], ["100%"], ["owner", "é"]]))
    reviewed = kind == "decisions" and draw(st.booleans())
    usual = st.sampled_from([b'"2026-09-07T23:25:56.930Z"', b'"2025-01-12T01:57:52.908Z"'])
    found = []
    for _ in range(draw(st.integers(1, 4))):
        time = draw(st.sampled_from([usual, usual, usual, times]))
        pairs = [(b'"id"', draw(scalars)), (b'"agent"', draw(st.sampled_from([b'"a%b"', b'"b"', b"null"])))]
        pairs.append((b'"timestamp"', draw(time)))
        pairs += [(f'"{name}"'.encode(), draw(scalars)) for name in unknown]
        if kind == "patterns":
            figures = [(b'"successRate"', draw(scalars)), (b'"executionCount"', draw(scalars))]
            course = [(b'"created"', draw(time)), (b'"lastUsed"', draw(time)), (b'"confidenceScore"', b"0.50")]
            course += draw(st.sampled_from([[]] * 6 + [[(b'"lastUsed"', b'"2026"')], [(b'"mood"', b'{"x": 1}')]]))
            pairs += [(b'"metrics"', laid_out(figures, 2, style)), (b'"evolution"', laid_out(course, 2, style))]
        values = {"tags": [b"[]", b'["a"]', b'["a"]', b"null"], "active": [b"true", b"false", b"null"]}
        for name in ("tags", "active") if version != "1.0.0" else names:
            pairs.append((f'"{name}"'.encode(), draw(st.sampled_from(values[name]))))
        if reviewed:
            pairs.append((b'"reviewedAt"', draw(time)))
        if version == "1.2.0":
            metadata = [(b'"created_by"', draw(scalars)), (b'"version"', draw(st.sampled_from([b'"1.2.0"', b"7"])))]
            pairs.append((b'"metadata"', laid_out(metadata, 2, style)))
        found.append(laid_out(pairs, 1, style))
    return found


@by_kind
@given(data=st.data(), target=targets)
def test_records_that_look_alike_become_what_each_would_become_alone(
    kind: Any, data: st.DataObject, target: str
) -> None:
    elements = data.draw(alike(kind.plural))
    _check(elements, b"[" + b", ".join(elements) + b"]", kind, target, "up")


#: Changes by which a record is, or is not, what the step up made any more.
_EDITS = [(b"[]", b'["b"]'), (b"true", b"false"), (b'"1.2.0"', b'"1.1.0"'), (b'"tags"', b'"labels"'), (b"a%b", b"b")]


@by_kind
@given(data=st.data(), middle=targets, target=targets)
def test_records_that_look_alike_go_back_to_what_each_would_become_alone(
    kind: Any, data: st.DataObject, middle: str, target: str
) -> None:
    elements = [_alone(raw, kind.plural, middle, "up") for raw in data.draw(alike(kind.plural))]
    for place, raw in enumerate(elements):
        before, after = data.draw(st.sampled_from([(b"", b"")] * 4 + _EDITS))
        elements[place] = raw.replace(before, after, 1) if before else raw
    _check(elements, b"[" + b", ".join(elements) + b"]", kind, target, "down")


@by_kind
@given(data=st.data())
def test_the_version_of_a_record_is_told_as_by_its_view(kind: Any, data: st.DataObject) -> None:
    raw = data.draw(records(kind.plural))
    (seen,) = view_records(split(b"[" + raw + b"]"), kind.view)
    pairs = read_pairs(raw)
    if isinstance(seen, RecordView):
        assert version_of(parse_object(raw)) == seen.schema_version
        assert pairs is None or version_of_pairs(pairs) == seen.schema_version
