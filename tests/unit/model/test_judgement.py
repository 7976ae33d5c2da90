"""What is asked together is what is asked one by one, for every kind, schema version and odd figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aml.codec.views import view_record
from aml.model.kinds import DECISION, PATTERN, SOLUTION, Kind
from aml.model.record import RecordView
from tests.support.records import Record, decision, pattern, solution, to_v120, to_v200

_figures = st.none() | st.floats(0, 1) | st.sampled_from([7, -1, "much"])
_times = st.none() | st.sampled_from(["2026-01-02T03:04:05Z", "never", 1_790_000_000, 0])
_patterns = st.builds(
    lambda success, confidence, used: (
        pattern(success=success, confidence=confidence)
        | {"evolution": {"lastUsed": used, "confidenceScore": confidence}}
    ),
    _figures,
    _figures,
    _times,
)
_solutions = st.builds(lambda worked, when: solution(worked=worked, timestamp=when), st.none() | st.booleans(), _times)
_decisions = st.builds(
    lambda score, again, reviewed: decision(scores={"maintainability": score}, would_repeat=again, reviewedAt=reviewed),
    _figures,
    st.none() | st.booleans(),
    _times,
)
_kinds: list[tuple[Kind, st.SearchStrategy[Record]]] = [
    (PATTERN, _patterns),
    (SOLUTION, _solutions),
    (DECISION, _decisions),
]
_newer: list[Callable[[Record], Record]] = [lambda record: record, to_v120, to_v200]


@given(st.one_of([st.tuples(st.just(kind), records) for kind, records in _kinds]), st.sampled_from(_newer))
def test_what_is_asked_together_is_what_is_asked_one_by_one(
    found: tuple[Kind, Record], newer: Callable[[Record], Any]
) -> None:
    kind, record = found
    view = view_record(json.dumps(newer(record)).encode(), kind.view)
    assert isinstance(view, RecordView)
    assert view.judgement == (view.value, view.confidence, view.success, view.executions)
    assert view.moments == (view.created, view.last_used)
