"""Whatever agents, users and broken-off commands do in whatever order, no record is lost, changed or made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.garbage_runner import RestlessChildren
from tests.support.walking import Walk


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestlessChildren]:
    with RestlessChildren(tmp_path_factory.mktemp("children")) as found:
        yield found


def walk(seed: int, steps: int, children: RestlessChildren, folder: Path) -> None:
    """Go so many steps; what goes wrong is told with all that led there."""
    one = Walk(seed, children, folder)
    try:
        for _ in range(steps):
            one.step()
        assert one.end() == []
    except AssertionError as error:
        error.add_note("\n".join([f"seed {seed}:", *one.steps]))
        raise


def test_a_short_walk_loses_nothing(children: RestlessChildren, tmp_path: Path) -> None:
    walk(0, 25, children, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 9))
def test_a_long_walk_loses_nothing(children: RestlessChildren, tmp_path: Path, seed: int) -> None:
    walk(seed, 80, children, tmp_path)
