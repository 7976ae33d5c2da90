"""The sections about what was done for a store: removals, backups, runs, the index and the cache."""

from __future__ import annotations

from aml.model.moments import format_age
from aml.model.units import count, size
from aml.monitor.removals import Removal
from aml.monitor.report.content import Fact, Heading, Section, Table, ago, listed, minute
from aml.monitor.report.data import ReportData
from aml.monitor.report.memory import milliseconds, now_of

#: Runs that are told of one by one, the newest.
MOST_REMOVALS = 5


def removal_section(data: ReportData) -> Section:
    """What the last runs removed, and why."""
    headings = (
        Heading("run", "code"),
        Heading("what"),
        Heading("when (UTC)", "time"),
        Heading("removed", "number"),
        Heading("because"),
    )
    rows = tuple(
        (one.run, one.operation, minute(one.started), f"{one.records:,}", because(one))
        for one in data.removals[:MOST_REMOVALS]
    )
    return Section(
        "removals",
        "What the last runs removed",
        "Each record was archived before it went, and aml prune undo RUN puts it back." if rows else "",
        tables=(Table("Removals", headings, rows),) if rows else (),
        empty="" if rows else "No run has removed anything yet.",
    )


def because(one: Removal) -> str:
    """Rules and their numbers, and what has happened since."""
    parts = [f"{number:,} {rule_words(rule)}" for rule, number in by_number(one.rules)]
    if one.uncounted:
        parts.append(f"{one.uncounted:,} not looked into")
    if one.files:
        parts.append(count(one.files, "whole file"))
    return "; ".join([", ".join(parts) or "nothing", *([f"{one.put_back:,} put back since"] * bool(one.put_back))])


def by_number(rules: dict[str, int]) -> list[tuple[str, int]]:
    """The rules that removed most first."""
    return sorted(rules.items(), key=lambda item: (-item[1], item[0]))


def rule_words(rule: str) -> str:
    """``unused_too_long`` as people write."""
    return rule.replace("_", " ")


def backup_section(data: ReportData) -> Section:
    """The newest backups, and when they were last proven to be good."""
    seen, now = data.metrics.backups, now_of(data)
    if seen is None:
        return Section("backups", "Backups", "", empty="The backups could not be looked at.")
    if not seen.count and not seen.damaged:
        return Section("backups", "Backups", "", empty="There is no backup yet: aml backup create makes one.")
    incomplete = seen.count - seen.complete
    facts = [
        Fact("Newest", ago(seen.newest_time, now) if seen.newest else "there is no complete one"),
        Fact("In all", f"{count(seen.count, 'backup')}, {size(seen.stored_bytes)}"),
        _done("Last verified", seen.verified, seen.last_verify, now, "aml backup verify"),
        _done("Last restore drill", seen.drilled, seen.last_drill, now, "aml backup drill"),
    ]
    if incomplete:
        facts.append(Fact("Incomplete", f"{count(incomplete, 'backup')}: something could not be read"))
    if seen.damaged:
        facts.append(Fact("Damaged", listed(seen.damaged), "aml backup verify"))
    headings = (
        Heading("backup", "code"),
        Heading("when (UTC)", "time"),
        Heading("kind"),
        Heading("holds", "number"),
        Heading("added", "number"),
        Heading("tags", "name", minor=True),
    )
    rows = tuple(
        (
            one.id,
            minute(one.time),
            one.kind + ("" if one.agents is None else f", {count(len(one.agents), 'agent')}")
            + ("" if one.complete else ", incomplete"),
            size(one.bytes),
            size(one.added_bytes),
            ", ".join(one.tags),
        )
        for one in data.backups
    )  # fmt: skip
    table = Table("The newest backups", headings, rows, shown=5)
    return Section("backups", "Backups", f"They lie in {seen.repository}.", tuple(facts), (table,) if rows else ())


def _done(name: str, succeeded: str | None, last: int | None, now: float, advice: str) -> Fact:
    """When something last succeeded, and whether it has failed since."""
    failed = f"; the last attempt failed (exit status {last})" if last not in (None, 0) else ""
    return Fact(name, f"{ago(succeeded, now)}{failed}", advice if failed or succeeded is None else "")


def runs_section(data: ReportData) -> Section:
    """The last run of each operation."""
    now = now_of(data)
    headings = Heading("operation"), Heading("last run", "time"), Heading("ended", "level"), Heading("took", "number")
    rows = tuple(
        (one.operation, ago(one.started, now), one.state, "" if one.seconds is None else format_age(one.seconds))
        for one in data.metrics.operations
    )
    return Section(
        "runs",
        "Last runs",
        "",
        tables=(Table("Last runs", headings, rows, narrow=True),) if rows else (),
        empty="" if rows else "No operation has run yet.",
    )


def reading_section(data: ReportData) -> Section:
    """How the store is read: the index, query times, the cache of loaders."""
    index, queries, cache = data.metrics.index, data.metrics.queries, data.metrics.cache
    facts = [Fact("Index", _index(data), "" if index.kept else "aml optimize index")]
    if queries.p50_ms is not None and queries.p95_ms is not None:
        half, most = milliseconds(queries.p50_ms), milliseconds(queries.p95_ms)
        last = f"of the last {queries.recent:,}, half took at most {half}, 95% at most {most}"
        facts.append(Fact("Queries", f"{queries.count:,}; {last}"))
    else:
        facts.append(Fact("Queries", "none yet"))
    if cache.hit_rate is not None:
        asked = cache.hits + cache.misses
        facts.append(Fact("Cache", f"{cache.hit_rate:.0%} of {count(asked, 'look-up')} were at hand"))
    else:
        facts.append(Fact("Cache", "no look-ups yet"))
    hot = index.hot_records
    if hot is None:
        facts.append(Fact("Hot set", "none", "aml optimize warm-cache"))
    else:
        facts.append(Fact("Hot set", count(hot, "record")))
    return Section("reading", "Reading", "", tuple(facts))


def _index(data: ReportData) -> str:
    index = data.metrics.index
    if not index.kept:
        return "none: each query reads the store anew"
    behind = not index.fresh and any(one.check == "index" for one in data.health.findings)
    state = "behind the store" if behind else "up to date"
    return f"{state}, {count(index.records, 'record')}, {size(index.bytes)}"
