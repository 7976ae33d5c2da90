"""Which points of a scenario are tried, by which runner, and how that is told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from zlib import crc32

import pytest

from tests.fault.children import Point
from tests.fault.inject import Fault

#: The property by which a test tells (scenario, number of points tried).
POINTS = "fault points"
#: One in so many points is tried by the tests marked slow, instead of the share that each of them names; 1 is all.
EACH = int(os.environ.get("AML_FAULT_EACH", "0"))


class Runner(Protocol):
    """What tries the points of one scenario."""

    @property
    def scenario(self) -> Any: ...
    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]: ...
    def try_all(self, points: Sequence[Point]) -> list[str]: ...


AnyRunner = TypeVar("AnyRunner", bound=Runner)


class Runners(Generic[AnyRunner]):
    """The runner of a scenario by its name, made once in this process from the name and an empty folder."""

    def __init__(self, make: Callable[[str, Path], AnyRunner], folders: pytest.TempPathFactory) -> None:
        self._make = make
        self._folders = folders
        self._made: dict[str, AnyRunner] = {}

    def __call__(self, name: str) -> AnyRunner:
        if name not in self._made:
            self._made[name] = self._make(name, self._folders.mktemp("faults") / "scenario")
        return self._made[name]


def share(points: Sequence[Point], one_in: int) -> list[Point]:
    """One in so many points from everywhere, but of each fault at each kind of call one at least."""
    each = EACH or one_in
    kinds: dict[tuple[Fault, str], list[Point]] = {}
    for point in points:
        kinds.setdefault((point.fault, point.call), []).append(point)
    chosen = []
    for kind, alike in kinds.items():
        first = crc32(f"{kind} {len(points)}".encode()) % min(each, len(alike))
        chosen += alike[first::each]
    return chosen


def few(points: Sequence[Point], number: int) -> list[Point]:
    """So many points from everywhere, or some more."""
    # an odd step, since neighbours are the same call with one fault after the other
    return list(points[:: len(points) // number | 1])


def deaths_after_replacing(points: Sequence[Point], folder: Path) -> list[Point]:
    """Each death right after a file below ``folder`` was replaced."""
    replaced = [one for one in points if one.call == "rename" and Path(one.path).is_relative_to(folder)]
    return [one for one in replaced if one.fault is Fault.KILL_AFTER]


def sample(points: Sequence[Point], step: int, at_least: int, folder: Path) -> list[Point]:
    """A few points from everywhere, and each death right after a file below ``folder`` was replaced."""
    chosen = [*few(points, max(at_least, len(points) // step)), *deaths_after_replacing(points, folder)]
    return list(dict.fromkeys(chosen))


def assert_promises_are_kept(
    runner: Runner, points: Sequence[Point], record_property: Callable[[str, object], None]
) -> None:
    record_property(POINTS, (runner.scenario.name, len(points)))
    problems = runner.try_all(points)
    assert not problems, "\n".join(problems)


def told_points(reports: Iterable[Any]) -> Iterator[str]:
    """A line for each scenario: how many points the tests of these reports tried, and one for all of them."""
    tried: Counter[str] = Counter()
    for report in reports:
        if getattr(report, "when", None) == "call":
            tried.update({name: number for key, (name, number) in _pairs(report) if key == POINTS})
    if tried:
        width = max(map(len, tried))
        yield from (f"fault points tried: {name:{width}}  {number:>6,}" for name, number in sorted(tried.items()))
        yield f"fault points tried: {'in all':{width}}  {tried.total():>6,}"


def _pairs(report: Any) -> list[tuple[str, tuple[str, int]]]:
    """xdist brings the properties of a test home with its report."""
    return [(key, value) for key, value in report.user_properties if key == POINTS]
