"""The collector of cyclic garbage rests while work is done, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from aml.model.collector import no_collections


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_collector_rests_within_and_is_afterwards_as_it_was(enabled: bool, fails: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with no_collections():
            assert not gc.isenabled()
            with no_collections():
                pass
            assert not gc.isenabled(), "the inner one leaves it to the outer one"
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert gc.isenabled() is enabled
