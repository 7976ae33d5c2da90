"""One line for each kind of record, in either spelling."""

from __future__ import annotations

import pytest

from aml.model.summary import summary_of
from tests.support.records import decision, pattern, solution


@pytest.mark.parametrize(
    ("record", "summary"),
    [
        (pattern(), "cache-aside: Cache the price list"),
        (solution(), "TimeoutError: no answer within 30 s"),
        (decision(), "Which validator?: zod"),
        ({"problem": {"error_type": "KeyError"}}, "KeyError"),
        ({"decision": {"question": 7, "chosen_option": "zod"}}, "zod"),
        ({"pattern": "text", "problem": None, "decision": []}, ""),
        ({}, ""),
        (None, ""),
        ([1], ""),
    ],
)
def test_a_record_says_what_it_is_about(record: object, summary: str) -> None:
    assert summary_of(record) == summary
