"""What a prune is asked to do."""

from __future__ import annotations

from msgspec import Struct

from aml.ledger.budget import Limits

#: Strategies in the order in which their rules are tried.
STRATEGIES = ("time", "performance")


class Thresholds(Struct, frozen=True):
    """Where the rules draw their lines: days, shares and scores from 0 to 1, numbers of executions."""

    unused_days: float = 90.0
    failed_days: float = 30.0
    failed_success: float = 0.30
    min_executions: float = 3.0
    decision_days: float = 180.0
    solution_days: float = 365.0
    inactive_days: float = 30.0
    low_success: float = 0.20
    low_confidence: float = 0.15
    negative_score: float = 0.50


class Protection(Struct, frozen=True):
    """What no rule removes: worth at least ``value`` and used within ``used_days``, newer than ``new_days``, pinned."""

    value: float = 0.85
    used_days: float = 365.0
    new_days: float = 7.0
    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ("pinned", "keep")

    @property
    def folded_tags(self) -> tuple[str, ...]:
        """The tags without regard to case, as records are compared with them."""
        return tuple(tag.casefold() for tag in self.tags)


class PruneOptions(Struct, frozen=True):
    """A prune. ``agents`` empty means all of them."""

    strategies: tuple[str, ...] = STRATEGIES
    agents: tuple[str, ...] = ()
    aggressive: bool = False
    thresholds: Thresholds = Thresholds()
    protection: Protection = Protection()
    limits: Limits = Limits()
