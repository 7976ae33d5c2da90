"""Elements of an array as views: what is read of odd ones, and why of some there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aml.codec.json_array import split
from aml.codec.views import Unreadable, has_odd_parts, is_utf8, view_record, view_records
from aml.model.record import DecisionView, PatternView, RecordView, SolutionView

SLICE = 1 << 16
SOUND = b'{"id": "a", "metrics": {"successRate": 0.5}}'


def one(record: object, view: type[RecordView] = PatternView) -> Any:
    """The view of one record, the same alone and among others."""
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    alone = view_record(raw, view)
    first, second, third = view_records(split(b"[" + SOUND + b"," + raw + b"," + SOUND + b"]"), view)
    assert second == alone
    assert [getattr(seen, "ident", None) for seen in (first, third)] == ["a", "a"]
    return alone


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"null", "it is null, not an object"),
        (b"true", "it is a boolean, not an object"),
        (b'"x"', "it is a string, not an object"),
        (b"[{}]", "it is an array, not an object"),
        (b"1.5", "it is a number, not an object"),
        (b'{"id": "\xff"}', "it is not valid UTF-8"),
        (b'{"id": "x", "what nobody looks at": "\xff"}', "it is not valid UTF-8"),
        (b'{"id": NaN}', "it is not valid JSON: NaN is not JSON"),
        (b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "it is nested too deeply"),
    ],
)
def test_what_is_no_record_is_told_as_what_it_is(raw: bytes, reason: str) -> None:
    assert one(raw) == Unreadable(reason)


def test_a_record_of_a_newer_schema_is_not_read_and_one_of_a_known_schema_is() -> None:
    for record in ({"version": "3.0.0"}, {"version": "3.0.0", "metrics": 7}):
        assert one(record) == Unreadable(
            "its schema version 3.0.0 is newer than 2.0.0, the newest known here", too_new=True
        )
    for version in ("2.0.0", "1.0.0", "mine", 9):
        assert one({"id": "x", "version": version}).ident == "x"


@pytest.mark.parametrize("odd", [7, "x", [], [{"successRate": 0.1}], True])
def test_what_stands_where_an_object_should_counts_as_absent_and_all_else_is_read(odd: object) -> None:
    found = one({"id": "x", "metrics": odd, "lifecycle": {"confidence": 0.7}, "performance": {"success_rate": 0.4}})
    assert (found.ident, found.metrics, found.success, found.confidence) == ("x", None, 0.4, 0.7)
    found = one({"id": "x", "outcome": {"successMetrics": odd, "wouldRepeat": False}}, DecisionView)
    assert (found.outcome_score, found.would_repeat) == (None, False)
    metrics = {"apiPerformance": 0.25}
    found = one({"id": "x", "metadata": odd, "outcome": {"successMetrics": metrics}}, DecisionView)
    assert (found.outcome_score, found.schema_version) == (0.25, "1.0.0")
    assert one({"id": "x", "effectiveness": odd}, SolutionView).worked is None


def test_half_a_surrogate_pair_is_shown_by_its_escape_and_what_is_no_tag_is_none() -> None:
    found = one(rb'{"id": "\ud83d", "tags": ["a\udead", "b", 7, null, {}], "metrics": 1}')
    assert found.ident == "\\ud83d"
    assert found.tag_names == ("a\\udead", "b")


@pytest.mark.parametrize(
    ("record", "odd"),
    [
        ({"id": "x"}, False),
        ({"id": "x", "metrics": {}, "evolution": None}, False),
        ({"id": "x", "metrics": {}, "evolution": 7}, True),
        ({"id": [7], "tags": "x", "metrics": "x"}, True),
        ({"id": [7], "tags": "x"}, False),
    ],
)
def test_an_odd_part_is_something_else_where_an_object_is_looked_for(record: object, odd: bool) -> None:
    assert has_odd_parts(json.dumps(record).encode(), PatternView) is odd


def test_a_record_that_only_some_can_read_may_have_odd_parts() -> None:
    assert has_odd_parts(b'{"x": ' + b"1" * 5000 + b"}", PatternView) is True
    assert has_odd_parts(b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", PatternView) is True


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", True),
        (b"x" * 3 * SLICE, True),
        (b"x" * (SLICE - 1) + "é".encode() + b"x" * SLICE, True),
        (b"x" * (SLICE - 2) + "\U0001f600".encode() + b"x" * 2 * SLICE, True),
        (("é" * 3 * SLICE).encode(), True),
        (b"\xff" + b"x" * 9, False),
        (b"\xff" + b"x" * SLICE, False),
        (b"x" * SLICE + b"\xff", False),
        (b"x" * 3 * SLICE + b"\xff" + b"x" * SLICE, False),
        (b"x" * (SLICE - 1) + b"\xc3" + b"x" * SLICE, False),
        (b"x\xc3", False),
        (b"x" * (2 * SLICE - 1) + b"\xc3", False),
        (b"\xed\xa0\xbd", False),
    ],
    ids=range(13),
)
def test_text_is_told_from_other_bytes_wherever_they_stand(data: bytes, whole: bool) -> None:
    assert is_utf8(data) is whole
