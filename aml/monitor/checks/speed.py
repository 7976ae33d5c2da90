"""Checks of what makes AML fast: the index, the time of queries, the cache of loaders."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path

from aml.fs.access import lack_of
from aml.index.index import Index
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level
from aml.monitor.inspection import Inspection

#: With fewer look-ups, or queries, a share of them says nothing.
_FEWEST_LOOKUPS = 100
_FEWEST_QUERIES = 20
_SLOW_SHARE = 0.95

_slow = partial(Finding, "index")


def _index(seen: Inspection) -> Measure:
    if not seen.agent_files:
        return Measure(value=0, threshold=0, unit="files to read")
    folder = seen.index_folder
    findings = []
    trouble = "this user has no home for it: set HOME" if folder is None else _why_not_kept(folder)
    if trouble is not None:
        # where nobody means to write, it is as it should be
        level = Level.WARNING if seen.writes else Level.INFO
        findings.append(_slow("kept", level, "the index cannot be kept, and each query reads every file", trouble))
    index = Index(seen.store, folder, keep=False)
    try:
        outdated = index.outdated()
    finally:
        index.close()
    behind = 0 if outdated is None else sum(outdated)
    if trouble is None and outdated is None:
        findings.append(_slow("", Level.INFO, "there is no index yet; the first query makes it", "aml optimize index"))
    elif trouble is None and outdated is not None and behind:
        changed = "1 file has" if outdated[0] == 1 else f"{outdated[0]:,} files have"
        message = f"{changed} changed and {outdated[1]:,} gone since the index was made"
        findings.append(_slow("", Level.INFO, message, "aml optimize index", behind, 0, "files"))
    return Measure(tuple(findings), behind, 0, "files to read")


def _why_not_kept(folder: Path) -> str | None:
    """Why files cannot be made in a folder, or above it where it is missing; None where they can."""
    nearest = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not nearest.is_dir():
        return f"{nearest} is no folder: move it away"
    return None if os.access(nearest, os.W_OK | os.X_OK) else lack_of("write to", "wx", nearest)


def _query_time(seen: Inspection) -> Measure:
    recent = sorted(seen.statistics.recent)
    limit = seen.thresholds.query_ms
    if len(recent) < _FEWEST_QUERIES:
        return Measure(threshold=limit, unit="milliseconds")
    slowest = round(1000 * recent[math.ceil(_SLOW_SHARE * len(recent)) - 1], 3)
    findings: tuple[Finding, ...] = ()
    if slowest > limit:
        message = f"95 of 100 of the last queries took up to {slowest:,.0f} ms"
        advice = "aml optimize index and aml optimize warm-cache; aml prune makes the store smaller"
        findings = (Finding("query_time", "", Level.WARNING, message, advice, slowest, limit, "milliseconds"),)
    return Measure(findings, slowest, limit, "milliseconds")


def _cache(seen: Inspection) -> Measure:
    statistics, limit = seen.statistics, seen.thresholds.cache_hits
    rate = statistics.hit_rate
    if rate is None or statistics.hits + statistics.misses < _FEWEST_LOOKUPS:
        return Measure(threshold=limit, unit="share of the look-ups")
    rate = round(rate, 4)
    findings: tuple[Finding, ...] = ()
    if rate < limit:
        message = f"loaders had {rate:.0%} of the records at hand that were asked for"
        advice = "aml optimize warm-cache; raise cache.size_mb if that does not help"
        findings = (Finding("cache", "", Level.WARNING, message, advice, rate, limit, "share of the look-ups"),)
    return Measure(findings, rate, limit, "share of the look-ups")


SPEED = (
    Check("index", "the index is there, and tells what the files say", _index),
    Check("query_time", "queries are answered quickly", _query_time),
    Check("cache", "loaders mostly have at hand what they are asked for", _cache),
)
