"""Steps in a row: the way between any two versions, and what makes no row."""

from __future__ import annotations

import sys

import pytest

from aml.errors import UsageError
from aml.migrate.registry import STEPS, VERSIONS, Registry, Step, way
from aml.model import schema


def _step(start: str, end: str) -> Step:
    return Step(start, end, lambda record, kind: None, lambda record, kind: None)


def _first_line(step: Step) -> str:
    return (sys.modules[step.upgrade.__module__].__doc__ or "").partition("\n")[0]


def _ends(start: str, target: str) -> list[tuple[str, str, str]]:
    return [(move.direction, move.start, move.end) for move in way(start, target)]


def test_the_versions_are_those_that_are_documented() -> None:
    assert VERSIONS == schema.VERSIONS == ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
    assert all(_first_line(step).startswith(f"{step.start} to {step.end}: ") for step in STEPS)


def test_the_way_leads_step_by_step_in_either_direction() -> None:
    assert _ends("1.0.0", "1.2.0") == [("up", "1.0.0", "1.1.0"), ("up", "1.1.0", "1.2.0")]
    assert _ends("2.0.0", "1.1.0") == [("down", "2.0.0", "1.2.0"), ("down", "1.2.0", "1.1.0")]
    assert _ends("1.1.0", "1.1.0") == []


def test_a_move_knows_its_way_back() -> None:
    (move,) = way("1.2.0", "2.0.0")
    assert (move.back.start, move.back.end) == ("2.0.0", "1.2.0")
    assert move.back.back == move
    assert move.change is move.step.upgrade
    assert move.back.change is move.step.downgrade


@pytest.mark.parametrize(("start", "target"), [("1.0.0", "1.3.0"), ("0.9.0", "1.0.0"), ("1.0.0", ""), ("2", "2")])
def test_an_unknown_version_is_refused_and_the_known_ones_are_named(start: str, target: str) -> None:
    with pytest.raises(UsageError, match=r"1\.0\.0, 1\.1\.0, 1\.2\.0, 2\.0\.0"):
        way(start, target)


def test_steps_are_put_in_order() -> None:
    assert Registry([_step("b", "c"), _step("c", "d"), _step("a", "b")]).versions == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([], "no steps"),
        ([("a", "b"), ("c", "d")], "no step leads from b to c"),
        ([("a", "b"), ("b", "a")], "in a circle"),
        ([("a", "a")], "in a circle"),
        ([("a", "b"), ("b", "c"), ("d", "e"), ("e", "d")], "in a circle"),
        ([("a", "b"), ("a", "c")], "two steps begin at a"),
        ([("a", "c"), ("b", "c")], "two steps end at c"),
        ([("a", "b"), ("b", "c"), ("c", "b")], "two steps end at b"),
    ],
)
def test_what_is_no_row_of_steps_is_refused(steps: list[tuple[str, str]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Registry([_step(start, end) for start, end in steps])
