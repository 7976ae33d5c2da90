"""Fixtures for the fault runner, and a line at the end of the run that says how many points it tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.children import Children
from tests.fault.points import POINTS
from tests.fault.real import own_disk


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with Children(tmp_path_factory.mktemp("children")) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB of its own; skipped where this process may not mount one."""
    with own_disk(tmp_path / "disk", "400k") as point:
        yield point


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tests record the property POINTS as (command, number of points); xdist brings it home with their reports."""
    tried: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                tried.update({command: number for name, (command, number) in _tuples(report) if name == POINTS})
    for command, number in sorted(tried.items()):
        terminalreporter.write_line(f"fault points tried: {command}: {number}")


def _tuples(report: Any) -> list[tuple[str, tuple[str, int]]]:
    return [(name, value) for name, value in report.user_properties if name == POINTS]
