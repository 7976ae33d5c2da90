"""What the checks of a store's health hold their measures against."""

from __future__ import annotations

from msgspec import Struct

from aml.ledger.budget import Limits


class Thresholds(Struct, frozen=True, kw_only=True):
    """As in the settings ``[health]`` and ``[space]``: shares from 0 to 1, ages in the unit of their names, MiB.

    ``loss`` is the loss budget, beyond which records that are gone are a collapse.
    """

    near_limit: float = 0.75
    max_patterns: int = 500
    max_solutions: int = 300
    max_decisions: int = 200
    near_cap: float = 0.90
    backup_hours: float = 24.0
    backup_critical_days: float = 7.0
    verified_days: float = 30.0
    drill_days: float = 90.0
    query_ms: float = 100.0
    cache_hits: float = 0.50
    free_mb: float = 500.0
    free_inodes: int = 1000
    collapse_days: float = 7.0
    agent_mb: float = 80.0
    store_mb: float = 800.0
    loss: Limits = Limits()
