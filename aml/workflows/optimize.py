"""Everything that makes a store smaller and faster, one after the other; what befalls one does not hide the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from aml.config import Settings
from aml.errors import PRECEDENCE, AmlError, ExitStatus
from aml.optimize.compress_report import CompressReport
from aml.optimize.gc_report import GcReport
from aml.store.open import Store
from aml.workflows.compress import compress, compress_options
from aml.workflows.conditions import Conditions
from aml.workflows.gc import collect_garbage, gc_options
from aml.workflows.index import IndexReport, WarmReport, optimize_index, warm_cache


class OptimizePart(Struct, frozen=True):
    """One part: its report, or the ``error`` (with the ``advice``) that kept it from having one."""

    name: str
    status: ExitStatus
    report: GcReport | CompressReport | IndexReport | WarmReport | None = None
    error: str | None = None
    advice: str = ""


class OptimizeReport(Struct, frozen=True):
    """All parts, in the order in which they ran, and what they are worth together."""

    dry_run: bool
    parts: tuple[OptimizePart, ...]
    status: ExitStatus


def optimize(
    store: Store,
    settings: Settings | None = None,
    *,
    agents: tuple[str, ...] = (),
    max_loss: float | None = None,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
    confirm: Callable[[GcReport], bool] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    user_cache: Path | None = None,
) -> OptimizeReport:
    """Collect garbage, compress old files of the agents whose files may be gzip, then index what there is and write the
    hot set.

    ``max_loss`` (0 to 1) goes before that of the settings; ``now`` in seconds since 1970 UTC. ``confirm`` sees what the
    garbage collection would report and may say no to it.
    ``user_cache`` is the folder for the index of a store on a network file system. The index and the hot set are always
    of all agents. Raises UsageError for an unknown agent; any other AmlError is in the report of its part.
    """
    settings = settings or Settings()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    store.choose_agents(agents)

    def gc() -> GcReport:
        options = gc_options(settings, agents=agents, max_loss=max_loss)
        return collect_garbage(
            store,
            options,
            now=moment,
            dry_run=dry_run,
            conditions=conditions,
            confirm=confirm,
            progress=progress,
        )

    def pack() -> CompressReport:
        options = compress_options(settings.compress, agents=agents)
        return compress(store, options, now=moment, dry_run=dry_run, conditions=conditions, progress=progress)

    def index() -> IndexReport:
        return optimize_index(store, dry_run=dry_run, user_cache=user_cache)

    def warm() -> WarmReport:
        cache_bytes = int(settings.cache.size_mb * (1 << 20))
        return warm_cache(store, cache_bytes=cache_bytes, dry_run=dry_run, user_cache=user_cache)

    parts = (_part("gc", gc), _part("compress", pack), _part("index", index), _part("warm-cache", warm))
    return OptimizeReport(dry_run, parts, ExitStatus.DONE if dry_run and _could_plan(parts) else _status(parts))


def _part(name: str, work: Callable[[], GcReport | CompressReport | IndexReport | WarmReport]) -> OptimizePart:
    try:
        report = work()
    except AmlError as error:
        return OptimizePart(name, error.status, error=error.message, advice=error.advice)
    return OptimizePart(name, report.status, report)


def _could_plan(parts: tuple[OptimizePart, ...]) -> bool:
    return all(part.report is not None for part in parts)


def _status(parts: tuple[OptimizePart, ...]) -> ExitStatus:
    """What all have in common; else failed where one failed, and partial where one left something out."""
    found = {part.status for part in parts}
    if len(found) == 1:
        return found.pop()
    left_out = {ExitStatus.LOCKED, ExitStatus.DAMAGED}
    found = {ExitStatus.PARTIAL if status in left_out else status for status in found}
    return next(status for status in PRECEDENCE if status in found)
