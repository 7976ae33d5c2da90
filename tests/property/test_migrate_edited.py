"""Records that agents edit between migrations: every move keeps what the record says by then, and no note grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.migrated import migrate_record
from tests.support.records import NOW
from tests.support.schema_versions import KINDS, VERSIONS, Meaning, meanings, read_meaning, version_in, written

Record = dict[str, Any]

#: What an agent may change: the meaning afterwards.
_EDITS: list[Callable[[Meaning], Meaning]] = [
    lambda one: replace(one, last_used=NOW if one.kind != "solutions" else None),
    lambda one: replace(one, figures={**one.figures, "success": 0.125} if one.kind == "patterns" else one.figures),
    lambda one: replace(one, figures={name: one.figures[name] for name in list(one.figures)[1:]}),
    lambda one: replace(one, text=one.text + "!"),
    lambda one: replace(one, tags=("seen",), active=True),
    lambda one: replace(one, tags=(), active=False),
    lambda one: replace(one, tags=(), active=True),
    lambda one: replace(one, own={}),
    lambda one: replace(one, own={"zz": 1}),
]


def _edited(record: Record, meant: Meaning, *, forgets: bool) -> Record:
    """The record as an agent writes it: what it knows of is new, what it does not know stays, or is forgotten."""
    new = written(meant, version_in(record))
    if forgets:
        return new
    known = {"tags", "active", "verifiedCount", "reviewedAt", "zz", "x-own"}
    return {name: value for name, value in record.items() if name not in known} | new


def _dumped(record: Record, indent: int | None) -> bytes:
    return json.dumps(record, indent=indent, ensure_ascii=False).encode()


_moves = st.tuples(st.just("move"), st.sampled_from(VERSIONS), st.just(0))
_edits = st.tuples(st.just("edit"), st.booleans(), st.integers(0, len(_EDITS) - 1))


@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 50),
    begin=st.sampled_from(VERSIONS),
    indent=st.sampled_from([None, 2]),
    life=st.lists(st.one_of(_moves, _moves, _edits), min_size=2, max_size=8),
)
def test_what_a_record_says_survives_moves_and_edits_in_any_order(
    kind: str, seed: int, begin: str, indent: int | None, life: list[tuple[str, Any, int]]
) -> None:
    (meant,) = meanings(kind, "alpha", 1, seed)
    raw = _dumped(written(meant, begin), indent)
    for what, detail, number in life:
        record = json.loads(raw)
        if what == "move":
            raw = migrate_record(raw, kind, version_in(record), detail)
            assert version_in(json.loads(raw)) == detail
        else:
            meant = _EDITS[number](meant)
            raw = _dumped(_edited(record, meant, forgets=detail), indent)
        assert read_meaning(kind, json.loads(raw)) == meant


@given(
    kind=st.sampled_from(KINDS),
    odd=st.sampled_from(
        [
            {"tags": None, "active": None},
            {"version": 3},
            {"version": "draft", "timestamp": 1_700_000_000},
            {"x_aml": "somebody's own"},
            {"metadata": None, "version": "1.0.0"},
            {"timestamp": "2025-01-01", "variations": {"a": [1]}, "tags": ["a"], "active": False},
        ]
    ),
    ways=st.lists(st.tuples(st.sampled_from(VERSIONS), st.integers(0, len(_EDITS) - 1)), min_size=3, max_size=3),
)
def test_what_is_noted_for_the_way_back_does_not_grow_with_every_round(
    kind: str, odd: Record, ways: list[tuple[str, int]]
) -> None:
    (meant,) = meanings(kind, "alpha", 1, seed=7)
    raw = _dumped(written(meant, "1.0.0") | odd, 2)
    size = len(raw)
    for version, number in ways:
        for target in (version, "2.0.0", "1.0.0"):
            raw = migrate_record(raw, kind, version_in(json.loads(raw)), target)
        record = json.loads(raw)
        record["edited"] = number
        raw = _dumped(record, 2)
    assert len(raw) < 12 * size
