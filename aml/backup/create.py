"""Making a backup: every file of its scope, complete by itself; only what is new is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from msgspec import Struct

from aml.backup.checked import Checked
from aml.backup.options import BackupOptions
from aml.backup.read import entry_of, read_settled
from aml.backup.scan import Part, Tree, scan, unread
from aml.errors import ChangedError, DamagedError, ExitStatus, FileAccessError
from aml.model.timestamps import to_iso
from aml.repository.destination import UNREADABLE
from aml.repository.manifest import FORMAT, FileEntry, FolderEntry, Listing, ListingRef, Manifest, Scope, Totals, Unread
from aml.repository.repository import Writer
from aml.repository.snapshots import Snapshot, Snapshots, read_snapshot
from aml.store.open import Store
from aml.store.read import fingerprint

#: A store with less than this share of what it held is worth a note.
_COLLAPSE = 0.5


class OddPath(Struct, frozen=True):
    """A path and what is the matter with it."""

    path: str
    reason: str


class BackupReport(Struct, frozen=True):
    """One backup. Sizes in bytes; ``time`` is ISO 8601 UTC; ``agents`` None means the whole store.

    ``new``, ``changed``, ``removed`` count files against the parent. ``added_bytes`` of the content were not in the
    repository yet, and ``stored_bytes`` is what they took there. ``unread`` is missing from the backup, which is
    incomplete by it; what is ``damaged`` is in it as it was found. ``repaired`` counts damaged chunks of the
    repository that were written again.
    """

    id: str
    kind: str
    parent: str | None
    sequence: int
    time: str
    agents: tuple[str, ...] | None
    tags: tuple[str, ...]
    description: str
    files: int
    folders: int
    bytes: int
    new: int
    changed: int
    removed: int
    added_bytes: int
    stored_bytes: int
    unread: tuple[OddPath, ...]
    damaged: tuple[OddPath, ...]
    repaired: int
    notes: tuple[str, ...]
    status: ExitStatus


class _Counts(Struct):
    new: int = 0
    changed: int = 0
    removed: int = 0
    folders: int = 0


def parent_of(snapshots: Snapshots, scope: Scope, source: str) -> Snapshot | None:
    """The backup that an incremental one of that scope builds on: the newest complete one, of the same store if any."""
    complete = snapshots.complete(scope)
    own = [one for one in complete if one.manifest.source == source]
    return (own or complete)[-1] if complete else None


def source_of(store: Store) -> str:
    """The path of a store, as its backups name it."""
    return os.fsencode(store.root).decode(errors="replace")


def create(
    store: Store,
    writer: Writer,
    options: BackupOptions,
    now: float,
    *,
    checked: Checked,
    clock_doubted: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> BackupReport:
    """Back ``store`` up. ``now`` in seconds since 1970 UTC; ``progress`` is told the part that comes next.

    Chunks that ``checked`` knows for damaged are written again, and taken from its list where that was possible.
    Raises FileAccessError, DamagedError where what was written does not read back; there is no backup then.
    """
    snapshots = writer.snapshots()
    scope = Scope(tuple(sorted(set(options.agents))) or None)
    writer.distrust(map(bytes.fromhex, checked.damaged_chunks))
    source = source_of(store)
    parent = parent_of(snapshots, scope, source)
    maker = _Maker(store, writer, parent, full=options.kind == "full" or parent is None)
    references = []
    for part in scan(store.root, scope.agents):
        progress(part.agent or "the rest")
        references.append(maker.take(part))
    maker.count_gone({one.agent for one in references})
    references = maker.read_back(references)
    manifest = Manifest(
        format=FORMAT,
        repository=writer.description.id,
        kind="full" if maker.full else "incremental",
        parent=None if maker.full or parent is None else parent.id,
        sequence=snapshots.next_sequence(),
        time=datetime.fromtimestamp(now, UTC),
        host=os.uname().nodename,
        scope=scope,
        unread=maker.unread,
        schemas=maker.schemas,
        tags=list(options.tags),
        description=options.description,
        redactions=[],
        totals=Totals(
            sum(one.files for one in references),
            maker.counts.folders,
            sum(one.bytes for one in references),
            writer.added_chunks,
            writer.added_bytes,
        ),
        listings=references,
        clock_doubted=clock_doubted,
        source=source,
    )
    snapshot = writer.commit(manifest)
    if read_snapshot(writer.destination, snapshot.id).manifest != manifest:
        raise DamagedError(f"backup {snapshot.id} does not read back as it was written", advice="check the disk")
    still_damaged = [name for name in checked.damaged_chunks if not writer.has(bytes.fromhex(name))]
    repaired = len(checked.damaged_chunks) - len(still_damaged)
    checked.damaged_chunks = still_damaged
    notes = (*_foreign(snapshots, source), *_collapse(parent, manifest), *maker.newly_damaged)
    return _report(snapshot, maker, repaired, writer.added_packed_bytes, notes)


class _Maker:
    """Turns parts of a store into listings, reading only what has changed since the parent."""

    def __init__(self, store: Store, writer: Writer, parent: Snapshot | None, *, full: bool) -> None:
        self.full = full
        self.counts = _Counts()
        self.unread: list[Unread] = []
        self.damaged: list[OddPath] = []
        #: notes about files that the parent still holds whole
        self.newly_damaged: list[str] = []
        self.schemas: dict[str, int] = {}
        self._stored: list[tuple[ListingRef, str | None, Listing]] = []
        self._store = store
        # joined as text: for many small files, path objects take longer than reading
        self._root = str(store.root)
        self._writer = writer
        self._references = {one.agent: one for one in parent.manifest.listings} if parent is not None else {}

    def take(self, part: Part) -> ListingRef:
        """The listing of a part, which is stored unless it is the parent's. Raises FileAccessError."""
        reference = self._references.get(part.agent)
        earlier = _listing(self._writer, reference)
        known = {entry.location: entry for entry in earlier.files}
        entries, all_known = self._entries(part, known)
        self.unread += part.unread
        self.counts.folders += len(part.folders)
        missed = Tree(unread={one.location: one.reason for one in part.unread})
        there = {entry.location for entry in entries}
        self.counts.removed += sum(path not in there and missed.covers(path) for path in known)
        self._count_contents(entries, known)
        folders = sorted(part.folders, key=_location)
        unchanged = all_known and len(entries) == len(known) and folders == earlier.folders
        if reference is not None and unchanged and _has_all(self._writer, reference.chunks):
            return reference
        listing = Listing(FORMAT, folders, entries)
        stored = self._writer.store_listing(part.agent, listing)
        self._stored.append((stored, part.agent, listing))
        return stored

    def read_back(self, references: list[ListingRef]) -> list[ListingRef]:
        """Read the new lists: one that shares a chunk with a damaged pack is written again. Raises DamagedError."""
        self._writer.flush()
        anew: dict[str, ListingRef] = {}
        for stored, agent, listing in self._stored:
            try:
                self._writer.read_listing(stored)
            except UNREADABLE:
                self._writer.distrust_neighbours(map(bytes.fromhex, stored.chunks))
                anew[stored.sha256] = self._writer.store_listing(agent, listing)
        if anew:
            self._writer.flush()
            for reference in anew.values():
                self._writer.read_listing(reference)
        return [anew.get(one.sha256, one) for one in references]

    def count_gone(self, present: Collection[str | None]) -> None:
        """Count the files of agents that the parent holds and that are not there any more."""
        self.counts.removed += sum(one.files for agent, one in self._references.items() if agent not in present)

    def _entries(self, part: Part, known: dict[str, FileEntry]) -> tuple[list[FileEntry], bool]:
        """The entries of a part's files by path, and whether each was taken over."""
        entries: list[FileEntry] = []
        all_known = True
        for path, found in sorted(part.files):
            before = known.get(path)
            if before is not None and not self.full and self._is_same(before, found):
                entries.append(before)
                continue
            all_known = False
            entry = self._read(path, part)
            if entry is not None:
                entries.append(entry)
                self._compare(before, entry)
        return entries, all_known

    def _is_same(self, before: FileEntry, found: os.stat_result) -> bool:
        return before.stat == fingerprint(found) and _has_all(self._writer, before.chunks)

    def _read(self, path: str, part: Part) -> FileEntry | None:
        try:
            read = read_settled(f"{self._root}/{path}")
        except (FileAccessError, ChangedError) as error:
            part.unread.append(unread(path, error))
            return None
        except MemoryError:
            part.unread.append(unread(path, FileAccessError(f"{self._root}/{path} is too large for the memory")))
            return None
        if read is None:
            return None
        try:
            return entry_of(path, read, self._writer.store_document, self._store.max_unpacked_bytes)
        except MemoryError as error:
            # what was taken up of it may be half written: going on could refer to chunks that are not there
            raise FileAccessError(f"there is too little memory to store {path}", advice="move it out") from error

    def _compare(self, before: FileEntry | None, entry: FileEntry) -> None:
        if before is None:
            self.counts.new += 1
        elif (before.stored_sha256, before.mode, before.form) != (entry.stored_sha256, entry.mode, entry.form):
            self.counts.changed += 1

    def _count_contents(self, entries: list[FileEntry], known: dict[str, FileEntry]) -> None:
        for entry in entries:
            if entry.damaged is not None:
                self.damaged.append(OddPath(entry.path, entry.damaged))
                before = known.get(entry.location)
                if before is not None and before.damaged is None:
                    told = f"{entry.path} is damaged, and was whole in the backup before: {entry.damaged}"
                    self.newly_damaged.append(told)
            if entry.schema is not None:
                self.schemas[entry.schema] = self.schemas.get(entry.schema, 0) + (entry.records or 0)


def _location(entry: FolderEntry) -> str:
    return entry.location


def _has_all(writer: Writer, chunks: list[str]) -> bool:
    has = writer.has
    return all(has(bytes.fromhex(name)) for name in chunks)


def _listing(writer: Writer, reference: ListingRef | None) -> Listing:
    """A parent's listing; an empty one where it has none, or one that cannot be read: then all is read anew."""
    if reference is not None:
        try:
            return writer.read_listing(reference)
        except UNREADABLE:
            # it must not be referred to again, nor anything beside it that may be damaged too
            writer.distrust_neighbours(map(bytes.fromhex, reference.chunks))
    return Listing(FORMAT, [], [])


def _foreign(snapshots: Snapshots, source: str) -> list[str]:
    """A note where the repository holds backups of other stores that are still there."""
    others = {one.manifest.source for one in snapshots.readable} - {source, ""}
    return [
        f"this repository also holds backups of {other}: give each store a repository of its own"
        for other in sorted(others)
        if os.path.isdir(other)
    ]


def _collapse(parent: Snapshot | None, manifest: Manifest) -> list[str]:
    """A note where most of what the parent holds is gone, as in a store whose disk is not mounted."""
    if parent is None:
        return []
    before, now = parent.manifest, manifest
    for what, had, has in (
        ("files", before.totals.files, now.totals.files),
        ("records", sum(before.schemas.values()), sum(now.schemas.values())),
    ):
        if has < had * _COLLAPSE:
            empty = "the store is empty" if not now.totals.files else "most of the store is gone"
            return [f"{empty}: {has:,} {what}, where the backup before ({parent.id}) holds {had:,}; is it mounted?"]
    return []


def _report(
    snapshot: Snapshot, maker: _Maker, repaired: int, stored_bytes: int, notes: tuple[str, ...]
) -> BackupReport:
    manifest = snapshot.manifest
    return BackupReport(
        id=snapshot.id,
        kind=manifest.kind,
        parent=manifest.parent,
        sequence=manifest.sequence,
        time=to_iso(manifest.time.timestamp()),
        agents=manifest.scope.agents,
        tags=tuple(manifest.tags),
        description=manifest.description,
        files=manifest.totals.files,
        folders=manifest.totals.folders,
        bytes=manifest.totals.bytes,
        new=maker.counts.new,
        changed=maker.counts.changed,
        removed=maker.counts.removed,
        added_bytes=manifest.totals.added_bytes,
        stored_bytes=stored_bytes,
        unread=tuple(OddPath(one.path, one.reason) for one in manifest.unread),
        damaged=tuple(maker.damaged),
        repaired=repaired,
        notes=notes,
        status=ExitStatus.DONE if manifest.complete else ExitStatus.PARTIAL,
    )
