"""The arithmetic of the loss budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.ledger.budget import Limits, budget, first_within

DEFAULT = Limits()
LIFTED = Limits(run_share=1.0, allowance=0)


@pytest.mark.parametrize(
    ("live", "lost", "allowance_used", "limit"),
    [
        (0, 0, False, 0),
        (1, 0, False, 0),
        (2, 0, False, 1),
        (10, 0, False, 5),
        (10, 0, True, 3),
        (40, 0, False, 20),
        (50, 0, True, 15),
        (66, 0, False, 20),
        (67, 0, False, 20),
        (70, 0, False, 21),
        (1000, 0, False, 300),
        (700, 300, False, 200),
        (700, 300, True, 200),
        (500, 500, False, 0),
        (400, 600, False, 0),
        (30, 20, False, 5),
        (1000, 100, True, 300),
    ],
)
def test_the_limit_of_a_run(live: int, lost: int, allowance_used: bool, limit: int) -> None:
    assert budget(live, lost, allowance_used, DEFAULT).limit == limit


@pytest.mark.parametrize(("live", "lost"), [(0, 0), (1, 0), (10, 990), (1000, 1000)])
def test_a_share_of_all_lifts_every_limit(live: int, lost: int) -> None:
    assert budget(live, lost, True, LIFTED).limit == live


@pytest.mark.parametrize(("live", "lost"), [(0, 0), (1, 0), (10, 990), (1000, 0)])
def test_a_share_of_nothing_is_nothing(live: int, lost: int) -> None:
    for allowance in (0, 20):
        assert budget(live, lost, False, Limits(run_share=0.0, allowance=allowance)).limit == 0


def test_binary_rounding_does_not_take_a_record_away() -> None:
    assert [budget(10 * n, 0, True, DEFAULT).limit for n in range(1, 100)] == [3 * n for n in range(1, 100)]


def test_a_run_beyond_its_share_alone_uses_the_allowance() -> None:
    found = budget(40, 0, False, DEFAULT)
    assert (found.limit, found.run_limit) == (20, 12)


@pytest.mark.parametrize(
    ("live", "lost", "words"),
    [
        (100, 0, "30%"),
        (67, 0, "30%"),
        (66, 0, "small agent"),
        (20, 0, "small agent"),
        (70, 30, "50% of its records in 30 days, 30 went"),
    ],
)
def test_the_reason_names_the_limit_that_holds(live: int, lost: int, words: str) -> None:
    assert words in budget(live, lost, False, DEFAULT).reason


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers())).map(sorted), st.integers(-2, 12))
def test_as_many_go_as_fit_and_equals_go_together(ranked: list[tuple[int, ...]], limit: int) -> None:
    equals = [ranked[place - 1][:2] == ranked[place][:2] for place in range(1, len(ranked))]
    ends = [0, *(place for place, same in enumerate(equals, 1) if not same), len(ranked)]
    found = first_within(ranked, limit, same=2)
    assert found == ranked[: max(end for end in ends if end <= max(limit, 0))]


@pytest.mark.parametrize(
    ("equal", "fits"),
    [
        ([2, 1], [0, 0, 2, 3, 3]),
        ([1, 2, 1], [0, 1, 1, 3, 4, 4]),
        ([1, 3, 1], [0, 1, 1, 1, 4, 5, 5]),
        ([4], [0, 0, 0, 0, 4, 4]),
        ([1, 1, 1], [0, 1, 2, 3, 3]),
        ([], [0, 0]),
    ],
)
def test_of_groups_of_equals_so_many_fit(equal: list[int], fits: list[int]) -> None:
    ranked = [(rank, place) for rank, number in enumerate(equal) for place in range(number)]
    assert [len(first_within(ranked, limit, same=1)) for limit in range(len(fits))] == fits
