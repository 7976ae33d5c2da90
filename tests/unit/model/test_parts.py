"""What stands in a record, read one value at a time, and what of it a terminal may show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aml.codec.views import view_record
from aml.model.kinds import KINDS, PATTERN
from aml.model.parts import amount, ratio
from aml.model.printable import printable
from aml.model.record import RecordView
from aml.model.schema import version_of
from aml.model.summary import summary_of
from aml.model.undecodable import encodable
from aml.model.units import count, size
from tests.support.records import pattern


@pytest.mark.parametrize(
    ("value", "read"),
    [(0, 0.0), (1, 1.0), (0.0, 0.0), (2.5, 2.5), ((1 << 53) - 1, float((1 << 53) - 1)), (1e300, 1e300)],
)
def test_an_amount_is_a_finite_number_from_0(value: Any, read: float) -> None:
    assert amount(value) == read
    assert type(amount(value)) is float


@pytest.mark.parametrize("value", [-1, -0.5, 1 << 53, 1 << 70, float("inf"), float("nan"), True, "1", None])
def test_anything_else_is_no_amount(value: Any) -> None:
    assert amount(value) is None


@pytest.mark.parametrize(
    ("value", "limit", "read"),
    [(0, 1.0, 0.0), (1, 1.0, 1.0), (1.01, 1.0, None), (1.01, 2.0, 1.01), (2, 2.0, 2.0), (2.01, 2.0, None)],
)
def test_a_ratio_reaches_from_0_to_its_limit(value: float, limit: float, read: float | None) -> None:
    assert ratio(value, limit) == read
    if limit == 1.0:
        assert ratio(value) == read


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 \U0001f600", "plain é 日本 \U0001f600"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x1b[1m\x7f\x9f\xad", "\\x00\\x1b[1m\\x7f\\x9f\\xad"),
        ("\u202e\u2028\ufeff\uffff", "\\u202e\\u2028\\ufeff\\uffff"),
        ("\ud83d", "\\ud83d"),
        ("\U000e0001\U0010ffff", "\\U000e0001\\U0010ffff"),
    ],
)
def test_what_would_be_obeyed_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def view(record: object, kind: Any = PATTERN) -> RecordView:
    seen = view_record(json.dumps(record).encode(), kind.view)
    assert isinstance(seen, RecordView)
    return seen


HEAD = {"id": "x", "agent": "alpha", "timestamp": "2026-01-01"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("empty", [None, ""])
def test_what_a_record_does_not_state_is_missing(kind: Any, empty: Any) -> None:
    assert view(HEAD, kind).missing == ()
    for name in HEAD:
        assert view(HEAD | {name: empty}, kind).missing == (name,)
        assert view({key: value for key, value in HEAD.items() if key != name}, kind).missing == (name,)
    assert view({}, kind).missing == ("id", "agent", "timestamp")
    assert view({"id": 0, "agent": [], "timestamp": False}, kind).missing == (), "what is odd is stated"


@pytest.mark.parametrize("course", ["evolution", "lifecycle"])
@pytest.mark.parametrize("name", ["created", "createdAt", "created_at"])
def test_a_pattern_may_state_its_creation_elsewhere(course: str, name: str) -> None:
    stated = {"id": "x", "agent": "alpha", course: {name: "soon"}}
    assert view(stated).missing == ()
    assert view(stated | {course: {name: ""}}).missing == ("timestamp",)
    assert view(stated, KINDS[1]).missing == ("timestamp",)


@pytest.mark.parametrize(
    ("marks", "version"),
    [
        ({}, "1.0.0"),
        ({"tags": []}, "1.0.0"),
        ({"active": True}, "1.0.0"),
        ({"tags": [], "active": False}, "1.1.0"),
        ({"tags": None, "active": True}, "1.0.0"),
        ({"metadata": {}}, "1.2.0"),
        ({"metadata": None, "tags": [], "active": True}, "1.1.0"),
        ({"version": "2.0.0", "metadata": {}}, "2.0.0"),
        ({"version": "two", "metadata": {}}, "1.2.0"),
    ],
)
def test_the_schema_version_is_told_by_its_marks(marks: dict[str, Any], version: str) -> None:
    plain = {key: value for key, value in pattern(active=None).items() if key not in ("tags", "active")}
    assert view(plain | marks).schema_version == version
    assert version_of(plain | marks) == version


def test_what_is_of_no_kind_has_no_worth() -> None:
    with pytest.raises(TypeError, match="RecordView"):
        RecordView().value  # noqa: B018


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1024, "1,023.0 KiB"),
        (1024**2, "1.0 MiB"),
        (20 * 1024**3, "20.0 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**5, "5,000.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_sizes_are_told_in_units_that_read_well(octets: int, shown: str) -> None:
    assert size(octets) == shown


def test_numbers_of_things() -> None:
    told = ["0 records", "1 record", "2 records", "2,000 records"]
    assert [count(number, "record") for number in (0, 1, 2, 2000)] == told


def test_texts_that_are_no_utf_8_show_their_bytes_wherever_they_stand() -> None:
    odd = {"a\udcff": ["b\udcff", ("c\udcff", {"d": "e\udcff"}), 1, None], "f": "é"}
    assert encodable(odd) == {"a\\udcff": ["b\\udcff", ["c\\udcff", {"d": "e\\udcff"}], 1, None], "f": "é"}


def test_of_two_spellings_a_summary_tells_one() -> None:
    assert summary_of({"problem": {"errorType": "A", "error_type": "B", "error_message": "m"}}) == "A: m"
    assert summary_of({"problem": {"errorType": 7, "error_type": "B"}}) == "B"
