"""Dead chunks: which packs no backup needs, which are mostly dead, and their removal."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec import Struct

from aml.errors import DamagedError
from aml.repository.destination import UNREADABLE
from aml.repository.manifest import FileEntry, ListingRef
from aml.repository.reader import Reader
from aml.repository.repository import Writer
from aml.repository.snapshots import Snapshot, Snapshots
from aml.repository.tables import PackTable

#: A pack stays so long (seconds) even if no backup needs it.
MIN_AGE = 3600.0
#: A pack is repacked where more than this share of its bytes (unpacked) is dead.
MOSTLY_DEAD = 0.5
#: Packs below this size (bytes) are put together once there are more than so many of them: a backup each hour adds a
#: small one each time.
SMALL_PACK_BYTES = 2 << 20
SMALL_PACKS = 16

_ADVICE = (
    "nothing was removed; run aml backup create --full, and if it stays so, move that manifest away: "
    "only that backup is lost"
)


class PackUse(Struct, frozen=True):
    """A pack: its name, its size (bytes), and how many of its chunks' bytes (unpacked) backups need or do not."""

    name: str
    size: int
    live_bytes: int
    dead_bytes: int


class CleanupPlan(Struct, frozen=True):
    """What a clean-up does: packs ``removed`` as no backup needs them, packs ``repacked``, and the ``kept`` ones.

    What is needed of a repacked one is written into new packs: it is mostly dead, or one of many small ones.
    """

    removed: list[PackUse]
    repacked: list[PackUse]
    kept: list[PackUse]
    damaged: frozenset[str] = frozenset()


class CleanupOutcome(Struct, frozen=True):
    """What was done: names of packs gone, of packs left since they are damaged, and bytes that were freed."""

    removed: list[str]
    left: list[str]
    freed_bytes: int


def needed_chunks(reader: Reader, snapshots: Snapshots) -> set[bytes]:
    """Every chunk that some backup refers to, by SHA-256.

    Raises DamagedError where a manifest or listing cannot be read: nobody can tell then what it needs.
    """
    if snapshots.flaws:
        flaw = snapshots.flaws[0]
        raise DamagedError(
            f"{flaw.key} cannot be read ({flaw.reason}), so nobody can tell which packs it needs",
            advice=_ADVICE,
        )
    needed: set[bytes] = set()
    seen: set[str] = set()
    for snapshot in snapshots.readable:
        for reference in snapshot.manifest.listings:
            if reference.sha256 not in seen:
                seen.add(reference.sha256)
                needed.update(bytes.fromhex(name) for name in reference.chunks)
                for entry in _files(reader, snapshot, reference):
                    needed.update(bytes.fromhex(name) for name in entry.chunks)
    return needed


def _files(reader: Reader, snapshot: Snapshot, reference: ListingRef) -> Iterator[FileEntry]:
    try:
        yield from reader.read_listing(reference).files
    except UNREADABLE as error:
        raise DamagedError(
            f"the list of files of backup {snapshot.id} cannot be read ({error.message}), "
            "so nobody can tell which packs it needs",
            advice=_ADVICE,
        ) from error


def plan_cleanup(
    reader: Reader,
    needed: Collection[bytes],
    now: float,
    *,
    damaged: Collection[str] = (),
    min_age: float = MIN_AGE,
    mostly_dead: float = MOSTLY_DEAD,
) -> CleanupPlan:
    """Which packs go, given the chunks that backups need. ``now`` is in seconds since 1970 (UTC).

    A chunk in one of the ``damaged`` packs (names) is not needed there if another pack holds it. A pack younger than
    ``min_age`` seconds, or from the future, stays as it is. Small packs are repacked where they are many.
    """
    healthy: set[bytes] = set()
    tables = reader.index.tables
    if damaged:
        healthy.update(*(table.digests() for name, table in tables.items() if name not in damaged))
    removed: list[PackUse] = []
    repacked: list[PackUse] = []
    kept: list[PackUse] = []
    small: list[PackUse] = []
    for name, entry in sorted(reader.loaded.packs.items()):
        table = tables.get(name)
        if table is None:
            # its table is damaged: what it holds is unknown
            kept.append(PackUse(name, entry.size, 0, 0))
            continue
        use = _use(table, entry.size, needed, healthy if name in damaged else ())
        if now - entry.modified < min_age:
            kept.append(use)
        elif name in damaged and use.live_bytes:
            repacked.append(use)
        elif use.dead_bytes > mostly_dead * (use.live_bytes + use.dead_bytes):
            (repacked if use.live_bytes else removed).append(use)
        elif use.size < SMALL_PACK_BYTES:
            small.append(use)
        else:
            kept.append(use)
    (repacked if len(small) > SMALL_PACKS else kept).extend(small)
    return CleanupPlan(removed, repacked, kept, frozenset(damaged))


def _use(table: PackTable, size: int, needed: Collection[bytes], elsewhere: Collection[bytes]) -> PackUse:
    live = dead = 0
    for digest, length in zip(table.digests(), table.lengths, strict=True):
        if digest in needed and digest not in elsewhere:
            live += length
        else:
            dead += length
    return PackUse(table.pack, size, live, dead)


def apply_cleanup(writer: Writer, plan: CleanupPlan, needed: Collection[bytes]) -> CleanupOutcome:
    """Rewrite what is needed of the packs to repack, then delete those. Raises FileAccessError, and DamagedError where
    new packs do not read back as they were written.

    A pack with a needed chunk that cannot be read is left. Wherever a crash ends it, no needed chunk is gone.
    """
    gone, left, freed = [use.name for use in plan.removed], [], sum(use.size for use in plan.removed)
    before = sum(entry.size for entry in writer.loaded.packs.values())
    doomed = {use.name for use in (*plan.removed, *plan.repacked)} | plan.damaged
    for use in plan.repacked:
        if _rewrite(writer, writer.index.tables[use.name], needed, doomed):
            gone.append(use.name)
        else:
            left.append(use.name)
    # a pack that is written again byte by byte has its old name
    written = writer.flush()
    gone = [name for name in gone if name not in written]
    if gone:
        writer.drop_packs(set(gone))
        freed = before - sum(entry.size for entry in writer.loaded.packs.values())
    return CleanupOutcome(gone, left, freed)


def _rewrite(writer: Writer, table: PackTable, needed: Collection[bytes], doomed: Collection[str]) -> bool:
    for digest in table.digests():
        if digest in needed and all(place.pack in doomed for place in writer.index.places(digest)):
            try:
                chunk = writer.read_chunk(digest)
            except UNREADABLE:
                return False
            writer.rewrite_chunk(digest, chunk)
    return True
