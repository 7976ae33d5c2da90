"""The sections about what a store holds: its growth, its agents, the ages and values of its records, its schemas."""

from __future__ import annotations

from collections.abc import Sequence

from aml.model.kinds import KINDS
from aml.model.timestamps import parse_timestamp
from aml.model.units import count, size
from aml.monitor.metrics import AgentFigures, Ages
from aml.monitor.removals import Removal
from aml.monitor.report.content import Fact, Figure, Heading, Section, Table, ago, minute
from aml.monitor.report.data import ReportData, SizePoint
from aml.monitor.report.plots import Column

#: Agents and samples that are listed at most; further ones are told of.
MOST_AGENTS, MOST_POINTS = 200, 40
#: Agents that are seen at once.
_AGENTS_SHOWN = 12

#: Less than this (seconds) is no history, but one moment.
_SHORTEST_SECONDS = 3600.0

#: What is written below a column of ages, and the whole words.
_AGES = {
    "under_7_days": ("<1w", "under 7 days"),
    "days_7_to_30": ("1-4w", "7 to 30 days"),
    "days_30_to_90": ("1-3m", "30 to 90 days"),
    "days_90_to_180": ("3-6m", "90 to 180 days"),
    "days_180_to_365": ("6-12m", "180 to 365 days"),
    "older": (">1y", "over a year"),
    "unknown": ("?", "of unknown age"),
}


def now_of(data: ReportData) -> float:
    """When the report was made, in seconds since 1970 UTC."""
    return parse_timestamp(data.time) or 0.0


def key_figures(data: ReportData) -> tuple[Figure, ...]:
    """What tells most of a store at a glance."""
    metrics, now = data.metrics, now_of(data)
    counts, backups, queries = metrics.counts, metrics.backups, metrics.queries
    prune = next((run for run in metrics.operations if run.operation == "prune"), None)
    unpacked = f"{size(metrics.size.unpacked_bytes)} unpacked" if metrics.size.unpacked_bytes else ""
    return (
        Figure("Records", f"{counts.records:,}", _growth(data) or _inactive(counts.inactive)),
        Figure("Agents", f"{counts.agents:,}", count(counts.files, "record file")),
        Figure("On disk", size(metrics.size.bytes), unpacked),
        Figure(
            "Last backup",
            "unknown" if backups is None else ago(backups.newest_time, now),
            f"{count(backups.count, 'backup')}, {size(backups.stored_bytes)}" if backups and backups.count else "",
        ),
        Figure(
            "Last prune",
            ago(None if prune is None else prune.started, now),
            "" if prune is None else f"removed {count(prune.counts.get('removed', 0), 'record')}",
        ),
        Figure(
            "Query time",
            "none yet" if queries.p50_ms is None else milliseconds(queries.p50_ms),
            "" if queries.p95_ms is None else f"95% within {milliseconds(queries.p95_ms)}",
        ),
    )


def _growth(data: ReportData) -> str:
    found = data.metrics.growth
    if not found:
        return ""
    longest = found[-1]
    change = _signed(longest.records_per_day)
    return f"{change} a day over {longest.days:,.0f} d" if change else f"as many as {longest.days:,.0f} d ago"


def _inactive(number: int) -> str:
    return count(number, "inactive one") if number else ""


def _signed(number: float) -> str:
    """``+1.5``, ``-127.1``; nothing where it comes to nothing."""
    words = f"{number:+,.1f}"
    return "" if words[1:] == "0.0" else words


def milliseconds(number: float) -> str:
    """``0.4 ms``, ``12 ms``, ``1.5 s``."""
    if number >= 1000:
        return f"{number / 1000:.1f} s"
    return f"{number:.1f} ms" if number < 10 else f"{number:.0f} ms"


def growth_section(data: ReportData) -> Section:
    """The size of the store, and how many records it has, over time."""
    facts = tuple(
        Fact(f"Over {one.days:,.0f} d", _change(one.bytes_per_day, one.records_per_day)) for one in data.metrics.growth
    )
    if not is_drawn(data):
        number = len(data.history)
        measured = (
            "is one measurement so far" if number == 1 else f"are {number} measurements so far, all of the last hour"
        )
        empty = f"There {measured}. Run aml monitor metrics and aml backup auto every day, and they become a line."
        return Section("growth", "Over time", "", facts, empty=empty)
    headings = (
        Heading("time (UTC)", "time"),
        Heading("on disk", "number"),
        Heading("records", "number"),
        Heading("known by"),
    )
    rows = tuple(
        (minute(one.time), size(one.bytes), "" if one.records is None else f"{one.records:,}", one.source)
        for one in reversed(thinned(data.history, MOST_POINTS))
    )
    table = Table("Figures over time", headings, rows, shown=0, narrow=True)
    return Section("growth", "Over time", "", facts, (table,))


def marked(data: ReportData) -> tuple[Removal, ...]:
    """The runs that removed records within the time that is known."""
    first = data.history[0].time
    return tuple(one for one in data.removals if first <= one.started <= data.time)


def is_drawn(data: ReportData) -> bool:
    """Whether what is known of the past is enough for a line."""
    first, last = (parse_timestamp(data.history[place].time) or 0.0 for place in (0, -1))
    return len(data.history) > 1 and last - first >= _SHORTEST_SECONDS


def thinned(points: Sequence[SizePoint], most: int) -> tuple[SizePoint, ...]:
    """At most so many of the points, evenly chosen; the first and the last are always among them."""
    if len(points) <= most:
        return tuple(points)
    step = (len(points) - 1) / (most - 1)
    return tuple(points[round(place * step)] for place in range(most))


def _change(octets: float, records: float) -> str:
    """What changed in a day."""
    parts = [f"{'-' if octets < 0 else '+'}{size(abs(octets))}"] if abs(octets) >= 1 else []
    parts += [f"{_signed(records)} records"] if _signed(records) else []
    return f"{' and '.join(parts)} a day" if parts else "no change"


def agents_section(data: ReportData) -> Section:
    """What each agent has, the largest first."""
    agents = data.metrics.agents
    headings = (
        Heading("agent", "name"),
        Heading("on disk", "number"),
        Heading("records", "number"),
        *(Heading(kind.plural, "number") for kind in KINDS),
        Heading("inactive", "number", minor=True),
        Heading("unreadable", "number", minor=True),
    )
    rows = tuple(
        (
            one.agent,
            size(one.bytes),
            f"{one.records:,}",
            *(f"{records_of(one, kind.plural):,}" for kind in KINDS),
            f"{one.inactive:,}",
            f"{one.unreadable:,}",
        )
        for one in agents[:MOST_AGENTS]
    )
    left = len(agents) - len(rows)
    more = f" The {MOST_AGENTS} largest of {len(agents):,} are listed." if left else ""
    return Section(
        "agents",
        "Agents",
        f"The largest first.{more}" if rows else "",
        tables=(Table("Agents", headings, rows, shown=_AGENTS_SHOWN),) if rows else (),
        empty="" if rows else "No agent has a folder in this store yet.",
    )


def records_of(agent: AgentFigures, kind: str) -> int:
    """How many records of a kind (plural) an agent has."""
    return sum(one.records for one in agent.kinds if one.kind == kind)


def distribution_section(data: ReportData) -> Section:
    """How old records are, and of what value."""
    created, used, values = age_columns(data.metrics.created), age_columns(data.metrics.used), value_columns(data)
    ages = tuple((one.words, f"{one.count:,}", f"{two.count:,}") for one, two in zip(created, used, strict=True))
    numbers = Heading("since creation", "number"), Heading("since last use", "number")
    if not data.metrics.counts.records:
        return Section("distribution", "Ages and values", "", empty="There are no records yet.")
    return Section(
        "distribution",
        "Ages and values",
        "Value runs from 0 to 1: success, confidence and use taken together. Records of low value are pruned first.",
        tables=(
            Table("Records by age", (Heading("age"), *numbers), ages, shown=0, narrow=True),
            Table(
                "Records by value",
                (Heading("value"), Heading("records", "number")),
                tuple((one.words, f"{one.count:,}") for one in values),
                shown=0,
                narrow=True,
            ),
        ),
    )


def age_columns(ages: Ages) -> tuple[Column, ...]:
    """Ages as a histogram; unknown ones have a column only where there are any."""
    return tuple(Column(label, words, getattr(ages, name)) for name, (label, words) in _AGES.items())


def value_columns(data: ReportData) -> tuple[Column, ...]:
    """Values as a histogram, in steps of a tenth."""
    sums = [sum(numbers) for numbers in zip(*(kind.values for kind in data.metrics.kinds), strict=True)]
    step = 1 / max(1, len(sums))
    return tuple(
        Column(
            f"{place * step:.1f}".removeprefix("0") or "0", f"{place * step:.1f} to {(place + 1) * step:.1f}", number
        )
        for place, number in enumerate(sums)
    )


def schema_section(data: ReportData) -> Section:
    """Which versions of the schema records have."""
    schemas = data.metrics.schemas
    total = sum(schemas.values())
    rows = tuple((version, f"{number:,}", f"{number / total:.1%}") for version, number in schemas.items() if number)
    headings = Heading("version", "name"), Heading("records", "number"), Heading("share", "number")
    return Section(
        "schemas",
        "Schema versions",
        "Of each record, by what it holds." if rows else "",
        tables=(Table("Schema versions", headings, rows, narrow=True),) if rows else (),
        empty="" if rows else "There are no records yet.",
    )
