"""Collecting the figures about a store from its index, its sizes, its journal and its backups. Nothing is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field, structs

from aml.index.aggregates import VALUE_STEPS, FileFigures, file_figures, group_records
from aml.index.index import Index
from aml.index.state import IndexState
from aml.index.statistics import Statistics
from aml.ledger.latest import LastRun
from aml.ledger.quarantine import FOLDER as QUARANTINE
from aml.model.kinds import KINDS
from aml.model.timestamps import SECONDS_PER_DAY, to_iso
from aml.monitor.backups import BackupsSeen
from aml.monitor.metrics import (
    AGE_DAYS,
    AgentFigures,
    AgentKind,
    Ages,
    CacheFigures,
    Counts,
    DamagedFile,
    HistoryState,
    KindFigures,
    Metrics,
    QueryTimes,
    StoreSize,
)
from aml.monitor.samples import MOST_AGENTS, Sample, growth
from aml.store.open import Store
from aml.store.sizes import StoreSizes, size_below, sizes_in_store

#: Ages in the order of their fields: so many of the moments is a record not later than.
_AGES = tuple(name for name in Ages.__struct_fields__ if name != "unknown")
_PLURALS = tuple(kind.plural for kind in KINDS)
#: Where AML keeps what outlives the store, beside the backups that may lie there too.
_KEPT = ("archives", QUARANTINE)
#: So many versions of the schema are told of one by one: there are five, but a record may name any.
_MOST_SCHEMAS = 50
#: A second has so many milliseconds.
_MS = 1000.0


class Told(Struct, frozen=True):
    """What is known beside the records: how the index was found, what was counted by those who asked it, the last runs,
    the backups, and earlier samples of these figures."""

    index: IndexState
    statistics: Statistics
    operations: tuple[LastRun, ...]
    backups: BackupsSeen | None
    samples: Sequence[Sample]


class _Sums(Struct):
    """What is added up of the files of one agent and kind, or of several."""

    files: int = 0
    disk: int = 0
    unpacked: int = 0
    #: bytes on disk of those files whose text could be unpacked
    packed: int = 0
    records: int = 0
    inactive: int = 0
    odd: int = 0
    too_new: int = 0
    text: int = 0
    values: list[int] = field(default_factory=lambda: [0] * VALUE_STEPS)

    def add(self, other: _Sums) -> None:
        for name in self.__struct_fields__:
            if name != "values":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.values = [one + two for one, two in zip(self.values, other.values, strict=True)]

    def figures(self, kind: str) -> KindFigures:
        return KindFigures(
            kind=kind,
            files=self.files,
            bytes=self.disk,
            unpacked_bytes=self.unpacked,
            records=self.records,
            inactive=self.inactive,
            unreadable=self.odd,
            average_record_bytes=_share(self.text, self.records),
            values=tuple(self.values),
        )


class _Tables(Struct):
    """What is added up of all records."""

    created: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    schemas: Counter[str] = field(default_factory=Counter)


def collect(store: Store, index: Index, told: Told, now: float) -> Metrics:
    """The figures of a store whose index was just refreshed; ``now`` in seconds since 1970 UTC.

    Raises FileAccessError where the store cannot be listed.
    """
    sizes = sizes_in_store(store)
    files = file_figures(index)
    sums = {(one.agent, one.kind): _sums_of_file(one, sizes) for one in files}
    tables = _count_records(index, sums, now)
    total = _total(sums.values())
    damaged = _damaged(files, sizes)
    agents = _agents(sums, sizes)
    metrics = Metrics(
        store=str(store.root),
        time=to_iso(now),
        size=_size(store, total, sizes),
        counts=_counts(total, len(agents), len(damaged)),
        kinds=tuple(_total(one for (_, kind), one in sums.items() if kind == name).figures(name) for name in _PLURALS),
        agents=agents,
        damaged=damaged,
        created=Ages(**tables.created),
        used=Ages(**tables.used),
        schemas=_schemas(tables.schemas),
        growth=(),
        history=_history(told.samples),
        index=told.index,
        cache=_cache(told.statistics),
        queries=_queries(told.statistics),
        operations=told.operations,
        backups=told.backups,
    )
    return structs.replace(metrics, growth=growth(told.samples, sample_of(metrics, now)))


def sample_of(metrics: Metrics, now: float) -> Sample:
    """What of the figures is kept for later comparison."""
    backups = metrics.backups
    return Sample(
        time=round(now, 3),
        bytes=metrics.size.bytes,
        unpacked=metrics.size.unpacked_bytes,
        records={one.kind: one.records for one in metrics.kinds},
        inactive=metrics.counts.inactive,
        unreadable=metrics.counts.unreadable,
        damaged=metrics.counts.damaged_files,
        agents={one.agent: (one.bytes, one.records) for one in metrics.agents[:MOST_AGENTS]},
        backups=None if backups is None else backups.count,
        backups_bytes=None if backups is None else backups.stored_bytes,
        hit_rate=metrics.cache.hit_rate,
    )


def _sums_of_file(one: FileFigures, sizes: StoreSizes) -> _Sums:
    disk = _on_disk(one, sizes)
    unpacked = one.unpacked or 0
    return _Sums(
        files=1, disk=disk, unpacked=unpacked, packed=one.size if unpacked else 0, odd=one.odd, too_new=one.too_new
    )


def _on_disk(one: FileFigures, sizes: StoreSizes) -> int:
    """What a record file takes; what is none, such as a link, takes nothing."""
    return sizes.records.get((one.agent, one.kind), one.size if one.problem is None else 0)


def _count_records(index: Index, sums: dict[tuple[str, str], _Sums], now: float) -> _Tables:
    tables = _Tables()
    for group in group_records(index, [now - days * SECONDS_PER_DAY for days in AGE_DAYS]):
        count = group.records
        of_file = sums[group.agent, group.kind]
        of_file.records += count
        of_file.inactive += count if group.inactive else 0
        of_file.text += group.size
        of_file.values[group.value] += count
        tables.created["unknown" if group.created is None else _AGES[group.created]] += count
        tables.used["unknown" if group.used is None else _AGES[group.used]] += count
        tables.schemas[group.schema] += count
    return tables


def _schemas(counted: Counter[str]) -> dict[str, int]:
    """By version, and where a store names very many, the rest together."""
    common = dict(counted.most_common(_MOST_SCHEMAS))
    rest = counted.total() - sum(common.values())
    return dict(sorted(common.items())) | ({"other": rest} if rest else {})


def _total(some: Iterable[_Sums]) -> _Sums:
    total = _Sums()
    for one in some:
        total.add(one)
    return total


def _agents(sums: dict[tuple[str, str], _Sums], sizes: StoreSizes) -> tuple[AgentFigures, ...]:
    found = []
    for agent, documents in sizes.documents.items():
        own = [(kind, sums[agent, kind]) for kind in _PLURALS if (agent, kind) in sums]
        total = _total(one for _, one in own)
        found.append(
            AgentFigures(
                agent=agent,
                bytes=total.disk + documents,
                documents_bytes=documents,
                unpacked_bytes=total.unpacked,
                records=total.records,
                inactive=total.inactive,
                unreadable=total.odd,
                kinds=tuple(
                    AgentKind(kind, one.disk, one.unpacked, one.records, one.inactive, one.odd) for kind, one in own
                ),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.bytes, one.agent)))


def _damaged(files: Sequence[FileFigures], sizes: StoreSizes) -> tuple[DamagedFile, ...]:
    return tuple(
        DamagedFile(one.agent, one.kind, _on_disk(one, sizes), one.problem) for one in files if one.problem is not None
    )


def _size(store: Store, total: _Sums, sizes: StoreSizes) -> StoreSize:
    documents = sum(sizes.documents.values()) + sizes.shared
    return StoreSize(
        bytes=total.disk + documents,
        records_bytes=total.disk,
        documents_bytes=documents,
        copies_bytes=sizes.copies,
        unpacked_bytes=total.unpacked,
        compression_ratio=_share(total.unpacked, total.packed),
        average_record_bytes=_share(total.text, total.records),
        state_bytes=size_below(store.state),
        kept_bytes=sum(size_below(store.keep / name) for name in _KEPT),
    )


def _counts(total: _Sums, agents: int, damaged: int) -> Counts:
    return Counts(
        agents=agents,
        files=total.files,
        records=total.records,
        live=total.records - total.inactive,
        inactive=total.inactive,
        unreadable=total.odd,
        too_new=total.too_new,
        damaged_files=damaged,
    )


def _history(samples: Sequence[Sample]) -> HistoryState:
    return HistoryState(len(samples), to_iso(min(one.time for one in samples)) if samples else None)


def _cache(found: Statistics) -> CacheFigures:
    return CacheFigures(found.hits, found.misses, found.evictions, found.hit_rate)


def _queries(found: Statistics) -> QueryTimes:
    recent = sorted(found.recent)
    return QueryTimes(
        count=found.queries,
        seconds=round(found.seconds, 6),
        mean_ms=None if not found.queries else _ms(found.seconds / found.queries),
        slowest_ms=None if not found.queries else _ms(found.slowest),
        recent=len(recent),
        p50_ms=_percentile(recent, 0.50),
        p95_ms=_percentile(recent, 0.95),
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest that so many are not above (nearest rank)."""
    return _ms(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if ordered else None


def _ms(seconds: float) -> float:
    return round(seconds * _MS, 3)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 3) if whole else None
