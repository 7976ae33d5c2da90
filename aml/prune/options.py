"""What a prune is asked to do."""

from __future__ import annotations

from msgspec import Struct

from aml.ledger.budget import Limits

#: Strategies in the order in which their rules are tried; space comes after all rules, and counts what remains.
STRATEGIES = ("time", "performance", "space")
DEFAULT_STRATEGIES = ("time", "performance")
SPACE = "space"

#: What goes first where room is to be made: least value per byte on disk, least value, or least confidence.
POLICIES = ("value-density", "value", "confidence")


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


class Space(Struct, frozen=True):
    """How much may lie on disk (bytes): in an agent's folder, and in the store. What holds more is brought down to the
    share ``target`` of its limit; ``policy`` is one of POLICIES. ``compress_plain`` tells whether decisions may be
    compressed where an agent has no gzip file yet."""

    agent_bytes: int = 80 << 20
    store_bytes: int = 800 << 20
    target: float = 0.70
    policy: str = POLICIES[0]
    compress_plain: bool = False


class PruneOptions(Struct, frozen=True):
    """A prune. ``agents`` empty means all of them."""

    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    agents: tuple[str, ...] = ()
    aggressive: bool = False
    thresholds: Thresholds = Thresholds()
    protection: Protection = Protection()
    limits: Limits = Limits()
    space: Space = Space()
