"""The steps between schema versions, and the way from one version to another. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Literal, NamedTuple

from aml.codec.json_object import JsonObject
from aml.errors import UsageError
from aml.migrate.steps import v1_0_0_to_v1_1_0, v1_1_0_to_v1_2_0, v1_2_0_to_v2_0_0

Direction = Literal["up", "down"]

#: Makes another record of one of the kind (named as its file is: patterns, solutions, decisions).
Change = Callable[[JsonObject, str], JsonObject]


class Step(NamedTuple):
    """The change from one version to the next one, and back.

    ``adds`` names keys that a rule puts in, ``opens`` objects within which something may change.
    """

    start: str
    end: str
    upgrade: Change
    downgrade: Change
    adds: Sequence[str] = ()
    opens: Sequence[str] = ()

    @classmethod
    def of(cls, module: ModuleType) -> Step:
        """The step that a module of aml.migrate.steps defines."""
        return cls(module.FROM, module.TO, module.upgrade, module.downgrade, module.ADDS, module.OPENS)


class Move(NamedTuple):
    """One step in one direction."""

    step: Step
    direction: Direction

    @property
    def start(self) -> str:
        return self.step.start if self.direction == "up" else self.step.end

    @property
    def end(self) -> str:
        return self.step.end if self.direction == "up" else self.step.start

    @property
    def change(self) -> Change:
        return self.step.upgrade if self.direction == "up" else self.step.downgrade

    @property
    def back(self) -> Move:
        """The same step in the other direction."""
        return Move(self.step, "down" if self.direction == "up" else "up")

    @property
    def note(self) -> str:
        """The key under which a record keeps what it gets back by this move."""
        return f"{self.direction}_to_{self.end}"


class Registry:
    """Steps in a row. Raises ValueError where they are none: a gap, a cycle, two steps from or to one version."""

    def __init__(self, steps: Sequence[Step]) -> None:
        by_start = {step.start: step for step in steps}
        ends = {step.end for step in steps}
        if not steps:
            raise ValueError("there are no steps")
        for step in steps:
            if by_start[step.start] is not step:
                raise ValueError(f"two steps begin at {step.start}")
        if len(ends) < len(steps):
            twice = next(step.end for step in steps if [other.end for other in steps].count(step.end) > 1)
            raise ValueError(f"two steps end at {twice}")
        beginnings = [version for version in by_start if version not in ends]
        if not beginnings:
            raise ValueError(f"the steps go round in a circle: {', '.join(by_start)}")
        row: list[Step] = []
        version = beginnings[0]
        while version in by_start:
            row.append(by_start[version])
            version = row[-1].end
        if len(row) < len(steps):
            rest = [step for step in steps if step not in row]
            where = f"no step leads from {version} to {rest[0].start}"
            raise ValueError(where if len(beginnings) > 1 else f"the steps from {rest[0].start} go round in a circle")
        self.steps = tuple(row)
        self.versions = (row[0].start, *(step.end for step in row))

    def rank(self, version: str) -> int:
        """The place of a version, counted from 0 for the oldest. Raises UsageError where it is not known."""
        if version not in self.versions:
            raise UsageError(f"there is no schema version {version!r}", advice=f"known are {', '.join(self.versions)}")
        return self.versions.index(version)

    def way(self, start: str, target: str) -> tuple[Move, ...]:
        """The moves from one version to another, in order; none where they are the same. Raises UsageError."""
        first, last = self.rank(start), self.rank(target)
        if first <= last:
            return tuple(Move(step, "up") for step in self.steps[first:last])
        return tuple(Move(step, "down") for step in reversed(self.steps[last:first]))


REGISTRY = Registry([Step.of(module) for module in (v1_0_0_to_v1_1_0, v1_1_0_to_v1_2_0, v1_2_0_to_v2_0_0)])

STEPS = REGISTRY.steps
#: All known versions of the schema, oldest first.
VERSIONS = REGISTRY.versions
way = REGISTRY.way
