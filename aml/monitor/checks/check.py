"""What a check is: a name that stays, and a function from an inspection to what it measured and found."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from aml.monitor.findings import Finding
from aml.monitor.inspection import Inspection


class Measure(Struct, frozen=True):
    """What a check came to. ``value`` is what it measured, the worst of it where there is much, and ``threshold`` what
    that is held against, in ``unit``; None where it measures nothing."""

    findings: tuple[Finding, ...] = ()
    value: float | None = None
    threshold: float | None = None
    unit: str = ""


class Check(Struct, frozen=True):
    """One check. ``about`` says in one line what is well where it passes. ``look`` may raise anything."""

    name: str
    about: str
    look: Callable[[Inspection], Measure]
