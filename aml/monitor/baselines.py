"""How many records each agent had before: what samples and backups say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

from aml.errors import AmlError, DamagedError, NotFoundError
from aml.model.kinds import KIND_BY_FILE_NAME
from aml.monitor.samples import read_samples
from aml.repository.destination import Destination
from aml.repository.index import load_index
from aml.repository.manifest import Listing, ListingRef, Scope
from aml.repository.reader import Reader
from aml.repository.snapshots import Snapshot, Snapshots
from aml.store.open import Store

#: So many of the newest backups are looked at.
_MOST_BACKUPS = 14


class Baseline(Struct, frozen=True):
    """Records by agent at ``time`` (seconds since 1970 UTC), by ``source``: in words, and the id of a ``backup``."""

    time: float
    records: dict[str, int]
    source: str
    backup: str | None = None


def baselines(
    store: Store, destination: Destination, snapshots: Snapshots, since: float, now: float
) -> Iterator[Baseline]:
    """What is known of the time from ``since`` to ``now``, backups first, since they can bring records back.

    A backup that cannot be read says nothing here.
    """
    yield from _of_backups(destination, snapshots, since, now)
    with suppress(AmlError):
        for sample in read_samples(store):
            if since <= sample.time <= now and sample.agents:
                yield Baseline(sample.time, {name: one[1] for name, one in sample.agents.items()}, "a sample")


def _of_backups(destination: Destination, snapshots: Snapshots, since: float, now: float) -> Iterator[Baseline]:
    complete = snapshots.complete(Scope())
    within = [one for one in complete if since <= one.manifest.time.timestamp() <= now][-_MOST_BACKUPS:]
    if not within:
        return
    # without a lock: nothing is written, and a pack that a rotation takes away is one baseline less
    reader = Reader(destination, None, load_index(destination))
    known: dict[str, Counter[str]] = {}
    try:
        for snapshot in within:
            with suppress(DamagedError, NotFoundError):
                yield _of_backup(reader, snapshot, known)
    finally:
        reader.close()


def _of_backup(reader: Reader, snapshot: Snapshot, known: dict[str, Counter[str]]) -> Baseline:
    """``known`` are listings that were read already, by SHA-256: most agents are the same in many backups."""
    records: Counter[str] = Counter()
    for reference in snapshot.manifest.listings:
        if reference.agent is None:
            continue
        if reference.sha256 not in known:
            known[reference.sha256] = _counted(reader.read_listing(reference), reference)
        records.update(known[reference.sha256])
    moment = snapshot.manifest.time.timestamp()
    return Baseline(moment, dict(records), f"backup {snapshot.id}", snapshot.id)


def _counted(listing: Listing, reference: ListingRef) -> Counter[str]:
    counted: Counter[str] = Counter()
    for file in listing.files:
        folder, _, name = file.path.partition("/")
        if name in KIND_BY_FILE_NAME and folder == reference.agent and file.records is not None:
            counted[folder] += file.records
    return counted
