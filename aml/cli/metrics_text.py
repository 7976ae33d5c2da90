"""What ``aml monitor metrics`` prints for people: the most important first, each line at most 80 columns wide where
names are short."""

from __future__ import annotations

from collections.abc import Sequence

from aml.cli.invocation import Invocation
from aml.cli.text import count, printable, size, write_table
from aml.errors import ExitStatus
from aml.index.state import IndexState
from aml.monitor.metrics import Ages, KindFigures, Metrics
from aml.workflows.metrics import MetricsReport

#: So many agents are shown without --verbose, the largest.
_LARGEST = 10
#: Longer names of agents are cut, so that the table keeps its width.
_NAME_CHARACTERS = 24
#: So many versions of the schema are shown, those that most records have.
_VERSIONS = 4
_MINUTE, _TO_SECONDS = 16, 19

_AGES = {
    "under_7_days": "under 7 days",
    "days_7_to_30": "7 to 30 days",
    "days_30_to_90": "30 to 90 days",
    "days_90_to_180": "90 to 180 days",
    "days_180_to_365": "180 to 365 days",
    "older": "older",
    "unknown": "unknown",
}


def write_metrics(invocation: Invocation, report: MetricsReport) -> None:
    """All figures; nothing where all went well and quiet is wanted: then only the sample was."""
    if invocation.quiet and report.status is ExitStatus.DONE:
        return
    metrics = report.metrics
    _write_facts(invocation, _summary(metrics))
    _write_kinds(invocation, metrics.kinds)
    _write_agents(invocation, metrics)
    _write_operations(invocation, metrics)
    _write_ages(invocation, metrics)
    _write_values(invocation, metrics.kinds)
    _write_facts(invocation, _index(metrics.index) + _use(metrics))
    history = count(metrics.history.samples, "earlier sample")
    told = "this one added" if report.recorded else "this one not added"
    invocation.out.write(f"metrics: {history} in the history, {told}\n")


def _write_facts(invocation: Invocation, facts: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        invocation.out.write(f"{name.ljust(width)}  {printable(text)}\n")
    invocation.out.write("\n")


def _table(invocation: Invocation, headers: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> None:
    """A table whose first columns are texts, and all others figures."""
    if rows:
        numeric = [place >= texts for place in range(len(headers))]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _summary(metrics: Metrics) -> list[tuple[str, str]]:
    counts, total = metrics.counts, metrics.size
    records = f"{counts.live:,} live, {counts.inactive:,} inactive, {counts.unreadable:,} unreadable"
    newer = f", {counts.too_new:,} of a newer schema" if counts.too_new else ""
    files = f"{count(counts.files, 'record file')} of {count(counts.agents, 'agent')}"
    damaged = f", {counts.damaged_files:,} damaged" if counts.damaged_files else ""
    copies = f"; copies of the runtime's {size(total.copies_bytes)}" if total.copies_bytes else ""
    ratio = "" if total.compression_ratio is None else f", {total.compression_ratio:.1f} times what they take on disk"
    return [
        ("store", metrics.store),
        ("records", records + newer),
        ("files", files + damaged),
        ("on disk", f"records {size(total.records_bytes)}, documents {size(total.documents_bytes)}{copies}"),
        ("unpacked", f"records {size(total.unpacked_bytes)}{ratio}"),
        ("average", "none" if total.average_record_bytes is None else f"{size(total.average_record_bytes)} a record"),
        ("schemas", _schemas(metrics)),
        *_growth(metrics),
        *_backups(metrics),
    ]


def _schemas(metrics: Metrics) -> str:
    """The versions that most records have."""
    common = sorted(metrics.schemas.items(), key=lambda one: -one[1])[:_VERSIONS]
    more = len(metrics.schemas) - len(common)
    shown = ", ".join(f"{name}: {number:,}" for name, number in sorted(common))
    return (shown or "none") + (f" and {count(more, 'version')} more" if more else "")


def _growth(metrics: Metrics) -> list[tuple[str, str]]:
    lines = [
        f"{_signed(size(one.bytes_per_day), one.bytes_per_day)} and {one.records_per_day:+,.1f} records a day "
        f"over {one.days:.1f} days"
        for one in metrics.growth
    ]
    return _named("growth", lines or ["unknown: no sample of a day ago or more"])


def _named(name: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    """Lines of which the first has the name."""
    return [(name if place == 0 else "", line) for place, line in enumerate(lines)]


def _signed(text: str, number: float) -> str:
    return f"+{text}" if number >= 0 else text


def _backups(metrics: Metrics) -> list[tuple[str, str]]:
    found = metrics.backups
    if found is None:
        return [("backups", "unknown")]
    if not (found.count or found.damaged):
        return [("backups", "none")]
    newest = "no complete one" if found.newest_time is None else f"newest {_minute(found.newest_time)}"
    damaged = f", {len(found.damaged):,} damaged" if found.damaged else ""
    lines = [
        f"{found.count:,} ({found.complete:,} complete){damaged}, {size(found.stored_bytes)}, {newest}",
        f"verified {_minute(found.verified)}, last drill {_minute(found.drilled)}",
    ]
    return _named("backups", lines)


def _write_kinds(invocation: Invocation, kinds: Sequence[KindFigures]) -> None:
    rows = [
        [
            one.kind,
            f"{one.files:,}",
            size(one.bytes),
            size(one.unpacked_bytes),
            f"{one.records:,}",
            f"{one.inactive:,}",
            f"{one.unreadable:,}",
        ]
        for one in kinds
    ]
    _table(invocation, ["kind", "files", "on disk", "unpacked", "records", "inactive", "unreadable"], rows)


def _write_agents(invocation: Invocation, metrics: Metrics) -> None:
    shown = metrics.agents if invocation.verbose else metrics.agents[:_LARGEST]
    rows = [
        [
            _shortened(one.agent),
            size(one.bytes),
            size(one.unpacked_bytes),
            f"{one.records:,}",
            f"{one.inactive:,}",
            f"{one.unreadable:,}",
        ]
        for one in shown
    ]
    _table(invocation, ["agent", "on disk", "unpacked", "records", "inactive", "unreadable"], rows)
    if len(shown) < len(metrics.agents):
        rest = count(len(metrics.agents) - len(shown), "smaller agent")
        invocation.out.write(f"and {rest}: --verbose names them\n\n")


def _write_operations(invocation: Invocation, metrics: Metrics) -> None:
    rows = [
        [
            one.operation,
            _second(one.started),
            one.state if one.exit in (None, 0) else f"{one.state}, exit {one.exit}",
            "" if one.seconds is None else f"{one.seconds:,.1f} s",
        ]
        for one in metrics.operations
    ]
    _table(invocation, ["last run", "began", "result", "took"], rows, texts=3)


def _write_ages(invocation: Invocation, metrics: Metrics) -> None:
    rows = [
        [_AGES[field], f"{getattr(metrics.created, field):,}", f"{getattr(metrics.used, field):,}"]
        for field in Ages.__struct_fields__
    ]
    if metrics.counts.records:
        _table(invocation, ["age", "since creation", "since last use"], rows)


def _write_values(invocation: Invocation, kinds: Sequence[KindFigures]) -> None:
    if any(one.records for one in kinds):
        steps = range(len(kinds[0].values))
        rows = [
            [f"{step / 10:.1f} to {(step + 1) / 10:.1f}", *(f"{one.values[step]:,}" for one in kinds)]
            for step in reversed(steps)
        ]
        _table(invocation, ["value", *(one.kind for one in kinds)], rows)


def _index(index: IndexState) -> list[tuple[str, str]]:
    state = "was up to date" if index.fresh else "brought up to date"
    kept = f"{size(index.bytes)}, written {_minute(index.built)}" if index.kept else "not kept on disk"
    words = "current" if index.words_current else "to be added to" if index.words else "none yet"
    filtered = "none for this state" if index.filter_capacity is None else f"for {index.filter_capacity:,} ids"
    hot = "none" if index.hot_records is None else count(index.hot_records, "record")
    return _named("index", [f"{state}, {kept}", f"words: {words}; filter of ids: {filtered}; hot set: {hot}"])


def _use(metrics: Metrics) -> list[tuple[str, str]]:
    cache, queries = metrics.cache, metrics.queries
    rate = "no look-ups yet" if cache.hit_rate is None else f"{cache.hit_rate:.0%} of look-ups at hand"
    asked = f"{cache.hits:,} hits, {cache.misses:,} misses, {cache.evictions:,} evictions"
    times = [f"{queries.count:,}"]
    if queries.mean_ms is not None:
        times[0] += f", {queries.mean_ms:,.1f} ms on average, slowest {queries.slowest_ms:,.1f} ms"
    if queries.p50_ms is not None:
        last = f"of the last {queries.recent:,}, half took up to {queries.p50_ms:,.1f} ms"
        times.append(f"{last}, 95% up to {queries.p95_ms:,.1f} ms")
    return [*_named("cache", [rate, asked] if cache.hit_rate is not None else [rate]), *_named("queries", times)]


def _minute(moment: str | None) -> str:
    return "never" if moment is None else moment[:_MINUTE].replace("T", " ")


def _second(moment: str) -> str:
    return moment[:_TO_SECONDS].replace("T", " ")


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 3] + "..."
