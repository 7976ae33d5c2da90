"""Figures about a store: what they are. Sizes are bytes, times ISO 8601 UTC, None is unknown; nothing here opens a
file."""

from __future__ import annotations

from msgspec import Struct

from aml.index.state import IndexState
from aml.ledger.latest import LastRun
from aml.monitor.backups import BackupsSeen
from aml.monitor.samples import Growth

#: Ages (days) that part the records; what lies between two is one group, and unknown ages are one more.
AGE_DAYS = (7, 30, 90, 180, 365)


class StoreSize(Struct, frozen=True):
    """Bytes. ``bytes`` is all that lies in the store but for ``copies_bytes``, those that the agents' runtime keeps in
    it for itself; of these, ``records_bytes`` are record files and ``documents_bytes`` all others.

    ``unpacked_bytes`` are the texts of the record files, and ``compression_ratio`` how many times what they take on
    disk that is: 1 where none is gzip, None where there are none; files that cannot be unpacked are left out of both.
    ``average_record_bytes`` is of the text of one record. ``state_bytes`` and ``kept_bytes`` are what AML keeps beside
    the store: its own state, and the archives and quarantined files of earlier runs.
    """

    bytes: int
    records_bytes: int
    documents_bytes: int
    copies_bytes: int
    unpacked_bytes: int
    compression_ratio: float | None
    average_record_bytes: float | None
    state_bytes: int
    kept_bytes: int


class Counts(Struct, frozen=True):
    """``records`` are ``live`` and ``inactive`` ones; ``unreadable`` are elements that cannot be read as records, of
    which ``too_new`` have a newer schema than AML knows. Of ``damaged_files`` nothing can be counted."""

    agents: int
    files: int
    records: int
    live: int
    inactive: int
    unreadable: int
    too_new: int
    damaged_files: int


class KindFigures(Struct, frozen=True):
    """Records of one kind, of all agents: bytes of their files on disk and unpacked, counts as in ``Counts``.

    ``values`` are how many have a value from 0 to 0.1, and so on in steps of a tenth; 1 belongs to the last.
    """

    kind: str
    files: int
    bytes: int
    unpacked_bytes: int
    records: int
    inactive: int
    unreadable: int
    average_record_bytes: float | None
    values: tuple[int, ...]


class AgentKind(Struct, frozen=True):
    """One record file of an agent, likewise."""

    kind: str
    bytes: int
    unpacked_bytes: int
    records: int
    inactive: int
    unreadable: int


class AgentFigures(Struct, frozen=True):
    """One agent: bytes of all its files, of those that hold no records, and of its texts unpacked; counts as in
    ``Counts``, and its record files by kind."""

    agent: str
    bytes: int
    documents_bytes: int
    unpacked_bytes: int
    records: int
    inactive: int
    unreadable: int
    kinds: tuple[AgentKind, ...]


class DamagedFile(Struct, frozen=True):
    """A record file of which nothing can be read, its bytes on disk, and why."""

    agent: str
    kind: str
    bytes: int
    problem: str


class Ages(Struct, frozen=True):
    """Records by days since a moment; a moment to come counts as today."""

    under_7_days: int = 0
    days_7_to_30: int = 0
    days_30_to_90: int = 0
    days_90_to_180: int = 0
    days_180_to_365: int = 0
    older: int = 0
    unknown: int = 0


class CacheFigures(Struct, frozen=True):
    """What loaders asked for since counting began: records at hand, read, let go; ``hit_rate`` is 0 to 1."""

    hits: int
    misses: int
    evictions: int
    hit_rate: float | None


class QueryTimes(Struct, frozen=True):
    """Questions to the index since counting began: how long they took together (``seconds``) and each in milliseconds.
    ``p50_ms`` and ``p95_ms`` are of the last ``recent`` ones: so many percent of them were not slower."""

    count: int
    seconds: float
    mean_ms: float | None
    slowest_ms: float | None
    recent: int
    p50_ms: float | None
    p95_ms: float | None


class HistoryState(Struct, frozen=True):
    """Earlier samples of these figures: how many there are, and when the oldest was taken."""

    samples: int
    oldest: str | None


class Metrics(Struct, frozen=True):
    """All figures. ``agents`` are sorted by size, the largest first, ``operations`` by time, the newest first;
    ``schemas`` counts records by version, those beyond the 50 most frequent as ``other``. ``created`` and ``used``
    are ages since creation and since the last use. ``backups`` is None where they could not be looked at."""

    store: str
    time: str
    size: StoreSize
    counts: Counts
    kinds: tuple[KindFigures, ...]
    agents: tuple[AgentFigures, ...]
    damaged: tuple[DamagedFile, ...]
    created: Ages
    used: Ages
    schemas: dict[str, int]
    growth: tuple[Growth, ...]
    history: HistoryState
    index: IndexState
    cache: CacheFigures
    queries: QueryTimes
    operations: tuple[LastRun, ...]
    backups: BackupsSeen | None
