"""What differs between two backups, or between a backup and the store now: files, and the records in them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from aml.backup.create import OddPath
from aml.backup.read import is_record_file, read_settled
from aml.backup.scan import Tree
from aml.backup.trees import Change, compare
from aml.codec.compression import is_gzip, unpack
from aml.codec.json_array import split
from aml.errors import ChangedError, DamagedError, ExitStatus, FileAccessError
from aml.model.undecodable import UNDECODABLE
from aml.repository.destination import UNREADABLE
from aml.repository.manifest import FileEntry, path_fields
from aml.repository.repository import Reader
from aml.store.open import Store

#: The content of a file of one side, unpacked; None where it cannot be had.
Fetch = Callable[[FileEntry], bytes | None]


class _Identified(Struct):
    id: str | None = None


_DECODER = msgspec.json.Decoder(_Identified)


class FileDiff(Struct, frozen=True):
    """One file that differs: ``what`` is added, changed or removed. Sizes in bytes; None where there is no file.

    The ``records_*`` count records of a record file by their ids; None where the file holds no records that can be
    told apart.
    """

    path: str
    what: str
    bytes_before: int | None
    bytes_after: int | None
    records_before: int | None
    records_after: int | None
    records_added: int | None
    records_removed: int | None
    records_changed: int | None


class DiffReport(Struct, frozen=True):
    """What changed from backup ``before`` to backup ``after``, or to the store as it is now where that is None.

    Of what is ``unread`` on either side nothing can be told.
    """

    before: str
    after: str | None
    files: tuple[FileDiff, ...]
    same: int
    unread: tuple[OddPath, ...]
    status: ExitStatus

    def total(self, name: str) -> int:
        """Sum of one count of records over all files."""
        return sum(getattr(one, name) or 0 for one in self.files)


def diff(before: str, after: str | None, one: Tree, other: Tree, fetch: tuple[Fetch, Fetch]) -> DiffReport:
    """Compare two trees; ``fetch`` gets the contents of either side where records are to be compared."""
    changes = [change for change in compare(one, other) if one.covers(change.path) and other.covers(change.path)]
    files = tuple(_diff_file(change, fetch) for change in changes if change.what != "same")
    unread = tuple(OddPath(path, reason) for tree in (one, other) for path, reason in tree.unknown())
    status = ExitStatus.PARTIAL if unread else ExitStatus.DONE
    return DiffReport(before, after, files, sum(change.what == "same" for change in changes), unread, status)


def from_backup(reader: Reader, max_unpacked_bytes: int) -> Fetch:
    """Contents as a backup holds them."""

    def fetch(entry: FileEntry) -> bytes | None:
        try:
            data = reader.read_stored(entry)
            # of several gzip members, which are stored as they are
            return unpack(data, max_bytes=max_unpacked_bytes) if is_gzip(data) else data
        except UNREADABLE:
            return None

    return fetch


def from_store(store: Store) -> Fetch:
    """Contents as the store has them now."""

    def fetch(entry: FileEntry) -> bytes | None:
        try:
            read = read_settled(store.root / entry.location)
            if read is None:
                return None
            return unpack(read.data, max_bytes=store.max_unpacked_bytes) if is_gzip(read.data) else read.data
        except (FileAccessError, ChangedError, DamagedError):
            return None

    return fetch


def _diff_file(change: Change, fetch: tuple[Fetch, Fetch]) -> FileDiff:
    before, after = change.before, change.after
    records: tuple[int | None, int | None, int | None] = (None, None, None)
    if is_record_file(change.path):
        records = _count(_records(before, fetch[0]), _records(after, fetch[1]))
    return FileDiff(
        path_fields(change.path)[0],
        change.what,
        before.size if before is not None else None,
        after.size if after is not None else None,
        before.records if before is not None else None,
        after.records if after is not None else None,
        *records,
    )


def _records(entry: FileEntry | None, fetch: Fetch) -> dict[str, set[bytes]] | None:
    """The exact texts of a file's records by id; None where they cannot be told."""
    if entry is None:
        return {}
    data = fetch(entry)
    if data is None:
        return None
    try:
        elements = [bytes(element) for element in split(data).elements]
    except DamagedError:
        return None
    found: dict[str, set[bytes]] = {}
    for raw in elements:
        try:
            ident = _DECODER.decode(raw).id
        except UNDECODABLE:
            ident = None
        # a record without an id is known by its text alone
        found.setdefault(f"id {ident}" if ident is not None else f"text {raw!r}", set()).add(raw)
    return found


def _count(
    before: dict[str, set[bytes]] | None, after: dict[str, set[bytes]] | None
) -> tuple[int | None, int | None, int | None]:
    if before is None or after is None:
        return None, None, None
    common = before.keys() & after.keys()
    changed = sum(before[key] != after[key] for key in common)
    return len(after) - len(common), len(before) - len(common), changed
