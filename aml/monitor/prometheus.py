"""The figures as Prometheus reads them: its text format, version 0.0.4. Pure.

Each name begins with ``aml_`` and ends with its unit, a base unit (bytes, seconds) whatever the figures are in. A
figure that is unknown has no line. No line has a time of its own: whoever collects the file gives it one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from aml.index.aggregates import VALUE_STEPS
from aml.model.timestamps import SECONDS_PER_DAY, parse_timestamp
from aml.monitor.metrics import Ages, Metrics

_MS = 1000.0

Labels = dict[str, str]
Type = Literal["gauge", "counter", "summary"]


class Family(Struct):
    """Lines of one name: what it says, and each value with its labels and what follows the name, if anything."""

    name: str
    type: Type
    help: str
    lines: list[tuple[str, Labels, float]] = []

    def add(self, value: float | None, suffix: str = "", /, **labels: str) -> None:
        """One more line; none where the value is unknown."""
        if value is not None:
            self.lines.append((suffix, labels, value))


def exposition(metrics: Metrics, version: str) -> str:
    """The figures of a store by AML of that version, in the text format."""
    own = {"store": metrics.store}
    found: list[str] = []
    for family in (_info(version), *_families(metrics)):
        if family.lines:
            found += [f"# HELP {family.name} {_help(family.help)}", f"# TYPE {family.name} {family.type}"]
            found += [
                f"{family.name}{suffix}{_labels(own | labels)} {_number(value)}"
                for suffix, labels, value in family.lines
            ]
    return "\n".join(found) + "\n"


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_label(value)}"' for name, value in labels.items()) + "}"


def _label(value: str) -> str:
    # half a surrogate pair is no UTF-8: its escape stands for it
    text = value if value.isascii() else value.encode(errors="backslashreplace").decode()
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _info(version: str) -> Family:
    family = Family("aml_build_info", "gauge", "The version of AML that wrote this; always 1.")
    family.add(1, version=version)
    return family


def _families(metrics: Metrics) -> Iterator[Family]:
    yield _one("aml_collected_timestamp_seconds", "When these figures were collected.", _seconds(metrics.time))
    yield from _sizes(metrics)
    yield from _agents(metrics)
    yield from _records(metrics)
    yield from _growth(metrics)
    yield from _index(metrics)
    yield from _use(metrics)
    yield from _operations(metrics)
    yield from _backups(metrics)


def _one(name: str, text: str, value: float | None, kind: Type = "gauge") -> Family:
    family = Family(name, kind, text)
    family.add(value)
    return family


def _sizes(metrics: Metrics) -> Iterator[Family]:
    size, counts = metrics.size, metrics.counts
    parts = Family("aml_store_bytes", "gauge", "Bytes on disk in the store, by what they are.")
    parts.add(size.records_bytes, part="records")
    parts.add(size.documents_bytes, part="documents")
    parts.add(size.copies_bytes, part="copies")
    yield parts
    yield _one("aml_store_unpacked_bytes", "Bytes of the record files when they are unpacked.", size.unpacked_bytes)
    yield _one("aml_store_compression_ratio", "Unpacked bytes for each byte on disk.", size.compression_ratio)
    yield _one("aml_record_average_bytes", "Bytes of the text of one record, on average.", size.average_record_bytes)
    yield _one("aml_state_bytes", "Bytes of AML's own state beside the store.", size.state_bytes)
    yield _one("aml_kept_bytes", "Bytes of archives and quarantined files beside the store.", size.kept_bytes)
    yield _one("aml_agents", "Agents in the store.", counts.agents)
    yield _one("aml_record_files", "Record files in the store.", counts.files)
    yield _one("aml_damaged_files", "Record files of which nothing can be read.", counts.damaged_files)
    damaged = Family("aml_file_damaged", "gauge", "1 for each record file of which nothing can be read.")
    for one in metrics.damaged:
        damaged.add(1, agent=one.agent, kind=one.kind)
    yield damaged


def _agents(metrics: Metrics) -> Iterator[Family]:
    disk = Family("aml_agent_bytes", "gauge", "Bytes on disk of an agent's record files.")
    unpacked = Family("aml_agent_unpacked_bytes", "gauge", "Bytes of an agent's record files when they are unpacked.")
    documents = Family("aml_agent_documents_bytes", "gauge", "Bytes on disk of an agent's other files.")
    records = Family("aml_agent_records", "gauge", "Records of an agent: live, inactive, or unreadable.")
    for agent in metrics.agents:
        documents.add(agent.documents_bytes, agent=agent.agent)
        for one in agent.kinds:
            labels = {"agent": agent.agent, "kind": one.kind}
            disk.add(one.bytes, **labels)
            unpacked.add(one.unpacked_bytes, **labels)
            records.add(one.records - one.inactive, **labels, state="live")
            records.add(one.inactive, **labels, state="inactive")
            records.add(one.unreadable, **labels, state="unreadable")
    yield from (disk, unpacked, documents, records)


def _records(metrics: Metrics) -> Iterator[Family]:
    for name, ages, since in (("created", metrics.created, "creation"), ("used", metrics.used, "the last use")):
        family = Family(f"aml_records_by_days_since_{name}", "gauge", f"Records by days since {since}.")
        for field in Ages.__struct_fields__:
            family.add(getattr(ages, field), days=_AGE_LABELS[field])
        yield family
    values = Family("aml_records_by_value", "gauge", "Records by their value, in tenths: at least this much.")
    for kind in metrics.kinds:
        for step, count in enumerate(kind.values):
            values.add(count, kind=kind.kind, value=f"{step / VALUE_STEPS:.1f}")
    yield values
    schemas = Family("aml_records_by_schema", "gauge", "Records by the version of their schema.")
    for version, count in metrics.schemas.items():
        schemas.add(count, schema=version)
    yield schemas
    yield _one("aml_records_too_new", "Elements of a newer schema than AML knows.", metrics.counts.too_new)


_AGE_LABELS = {
    "under_7_days": "0-7",
    "days_7_to_30": "7-30",
    "days_30_to_90": "30-90",
    "days_90_to_180": "90-180",
    "days_180_to_365": "180-365",
    "older": "365+",
    "unknown": "unknown",
}


def _growth(metrics: Metrics) -> Iterator[Family]:
    disk = Family("aml_store_growth_bytes_per_second", "gauge", "Bytes gained, over a time of so many days.")
    records = Family("aml_store_growth_records_per_second", "gauge", "Records gained, over a time of so many days.")
    for one in metrics.growth:
        disk.add(one.bytes_per_day / SECONDS_PER_DAY, days=str(one.window_days))
        records.add(one.records_per_day / SECONDS_PER_DAY, days=str(one.window_days))
    yield from (disk, records)


def _index(metrics: Metrics) -> Iterator[Family]:
    index = metrics.index
    yield _one("aml_index_fresh", "1 where the index told the state of the store before this.", int(index.fresh))
    yield _one("aml_index_built_timestamp_seconds", "When the index was last written.", _seconds(index.built))
    yield _one("aml_index_bytes", "Bytes of the index on disk.", index.bytes)
    yield _one("aml_index_records", "Records in the index.", index.records)
    yield _one("aml_index_words_current", "1 where a search for words needs nothing added.", int(index.words_current))
    yield _one("aml_index_filter_capacity", "Ids that the filter of ids was made for.", index.filter_capacity or 0)
    yield _one("aml_index_hot_records", "Records in the hot set.", index.hot_records or 0)


def _use(metrics: Metrics) -> Iterator[Family]:
    cache, queries = metrics.cache, metrics.queries
    yield _one("aml_cache_hits_total", "Records that a loader had at hand.", cache.hits, "counter")
    yield _one("aml_cache_misses_total", "Records that a loader had to read.", cache.misses, "counter")
    yield _one("aml_cache_evictions_total", "Records that a loader had to let go.", cache.evictions, "counter")
    yield _one("aml_cache_hit_ratio", "Share of records that a loader had at hand.", cache.hit_rate)
    times = Family("aml_query_duration_seconds", "summary", "How long questions to the index took.")
    for quantile, value in (("0.5", queries.p50_ms), ("0.95", queries.p95_ms)):
        times.add(None if value is None else value / _MS, quantile=quantile)
    times.add(queries.seconds, "_sum")
    times.add(queries.count, "_count")
    yield times
    slowest = None if queries.slowest_ms is None else queries.slowest_ms / _MS
    yield _one("aml_query_slowest_seconds", "The longest that a question to the index took.", slowest)


def _operations(metrics: Metrics) -> Iterator[Family]:
    started = Family("aml_operation_last_timestamp_seconds", "gauge", "When an operation last began.")
    lasted = Family("aml_operation_last_duration_seconds", "gauge", "How long its last run took.")
    success = Family("aml_operation_last_success", "gauge", "1 where its last run did all that it was to do.")
    for one in metrics.operations:
        started.add(_seconds(one.started), operation=one.operation)
        lasted.add(one.seconds, operation=one.operation)
        success.add(int(one.state == "done"), operation=one.operation)
    yield from (started, lasted, success)


def _backups(metrics: Metrics) -> Iterator[Family]:
    backups = metrics.backups
    if backups is None:
        return
    counts = Family("aml_backups", "gauge", "Backups in the repository, by their state.")
    counts.add(backups.complete, state="complete")
    counts.add(backups.count - backups.complete, state="incomplete")
    counts.add(len(backups.damaged), state="damaged")
    yield counts
    yield _one("aml_backups_bytes", "Bytes of all backups together.", backups.stored_bytes)
    for name, text, moment in (
        ("newest", "When the newest complete backup of the whole store was made.", backups.newest_time),
        ("newest_full", "When the newest full one was made.", backups.newest_full),
        ("verified", "When all backups were last verified without a finding.", backups.verified),
        ("drilled", "When the last drill succeeded.", backups.drilled),
        ("rotated", "When backups were last rotated.", backups.rotated),
    ):
        yield _one(f"aml_backup_{name}_timestamp_seconds", text, _seconds(moment))


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else parse_timestamp(moment)
