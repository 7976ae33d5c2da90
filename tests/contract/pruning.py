"""Prune and undo through the Python API, at a fixed moment and without waiting between locks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from aml.config import PruneSettings, SpaceSettings
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.clock import ClockLimits
from aml.ledger.undo import UndoReport
from aml.model.timestamps import SECONDS_PER_DAY
from aml.prune.report import PruneReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.prune import prune, prune_options
from aml.workflows.undo import prune_undo
from tests.support.records import NOW, Record, pattern

IMPATIENT = LockPolicy(timeout=1, rest=0)
UNLIMITED = 1.0
MB = 1 << 20


def run_prune(
    memory: Path,
    *,
    max_loss: float | None = None,
    later_days: float = 0,
    dry_run: bool = False,
    trust_clock: bool = False,
    agents: tuple[str, ...] = (),
    strategies: tuple[str, ...] = (),
    aggressive: bool = False,
    settings: PruneSettings | None = None,
) -> PruneReport:
    """Prune the store at ``memory`` so many days after NOW."""
    options = prune_options(
        settings or PruneSettings(), strategies=strategies, agents=agents, aggressive=aggressive, max_loss=max_loss
    )
    return prune(
        open_store(memory),
        options,
        now=moment(later_days),
        dry_run=dry_run,
        conditions=Conditions(locks=IMPATIENT, clock=ClockLimits(), trust_clock=trust_clock),
    )


def make_room(
    memory: Path,
    *,
    agent_bytes: float = 80 * MB,
    store_bytes: float = 800 * MB,
    strategies: tuple[str, ...] = ("space",),
    policy: str | None = None,
    max_loss: float | None = UNLIMITED,
    dry_run: bool = False,
    agents: tuple[str, ...] = (),
) -> PruneReport:
    """Prune for space, with limits in bytes."""
    options = prune_options(
        PruneSettings(),
        strategies=strategies,
        agents=agents,
        max_loss=max_loss,
        space=SpaceSettings(agent_mb=agent_bytes / MB, store_mb=store_bytes / MB),
        policy=policy,
    )
    conditions = Conditions(locks=IMPATIENT)
    return prune(open_store(memory), options, now=moment(0), dry_run=dry_run, backup=False, conditions=conditions)


def run_undo(memory: Path, run: str | None, *ids: str, later_days: float = 0, dry_run: bool = False) -> UndoReport:
    """Undo ``run`` so many days after NOW."""
    assert run is not None
    conditions = Conditions(locks=IMPATIENT)
    return prune_undo(open_store(memory), run, ids, now=moment(later_days), dry_run=dry_run, conditions=conditions)


def moment(later_days: float) -> float:
    """Seconds since 1970 UTC of so many days after NOW."""
    return NOW.timestamp() + later_days * SECONDS_PER_DAY


def stale(ident: str, **figures: object) -> Record:
    """A pattern that was last used long ago, of middling value: it goes."""
    return pattern(id=ident, created_days=300, unused_days=200, **figures)  # type: ignore[arg-type]


def fresh(ident: str, **figures: object) -> Record:
    """A pattern in use, of middling value: it stays."""
    return pattern(id=ident, created_days=100, unused_days=2, **figures)  # type: ignore[arg-type]


def removed_ids(report: PruneReport) -> list[str | None]:
    """Ids of the records that went (or would go), sorted."""
    return sorted((one.id for one in report.records if one.fate == "removed"), key=str)


def fates(report: PruneReport) -> list[tuple[str, str, str | None, str, str]]:
    """Agent, kind, id, fate and rule of each record that the rules found, in the order of the report."""
    return [(one.agent, one.kind, one.id, one.fate, one.rule) for one in report.records]


def totals(report: PruneReport) -> dict[str, int]:
    """All counts of a report, summed over its files."""
    names = ("records", "kept", "removed", "protected", "deferred", "unreadable", "came_back")
    return {name: report.total(name) for name in names}


def file_of(report: PruneReport, agent: str, kind: str = "patterns") -> object:
    """The part of the report about one file."""
    return next(file for file in report.files if (file.agent, file.kind) == (agent, kind))


def problems(report: PruneReport) -> dict[str, str]:
    """Why files were left alone, by ``agent/kind``."""
    return {f"{file.agent}/{file.kind}": file.problem for file in report.files if file.problem}


def ids_of(records: list[object]) -> Counter[str]:
    """How often each id is there among decoded records."""
    return Counter(json.dumps(one.get("id")) for one in records if isinstance(one, dict))
