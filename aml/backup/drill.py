"""The drill: the newest backup restored into a scratch folder, and compared with what it should be."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from aml.backup.create import OddPath
from aml.backup.options import RestoreOptions
from aml.backup.read import read_settled
from aml.backup.restore import Wanted, build, wanted_of
from aml.backup.scan import scan
from aml.codec.compression import unpack
from aml.errors import DamagedError, ExitStatus
from aml.fs.files import read_whole
from aml.fs.new_folder import scratch_folder
from aml.ledger.state import drill_path
from aml.model.timestamps import to_iso
from aml.repository.manifest import FileEntry
from aml.repository.repository import Reader
from aml.repository.snapshots import Snapshot
from aml.store.open import Store
from aml.store.read import fingerprint


class DrillReport(Struct, frozen=True):
    """A drill of one backup, made at ``time``. ``bytes`` were restored in ``files``.

    ``compared`` of them have not changed in the store since, and were compared with it byte for byte. ``wrong`` are
    files that did not come back as they were, or cannot be restored at all; ``unread`` could not be read when the
    backup was made, and was never in it.
    """

    snapshot: str
    time: str
    files: int
    bytes: int
    compared: int
    wrong: tuple[OddPath, ...]
    unread: tuple[OddPath, ...]
    status: ExitStatus


def drill(
    store: Store, reader: Reader, snapshot: Snapshot, progress: Callable[[str], None] = lambda _: None
) -> DrillReport:
    """Restore a backup into a scratch folder beside the store, and compare each file. Raises AmlError."""
    wanted = wanted_of(reader, snapshot, RestoreOptions(skip_damaged=True))
    with scratch_folder(drill_path(store)) as scratch:
        damaged = build(reader, wanted, scratch, progress, skip_damaged=True)
        # what could not be read when the backup was made was never in it
        missed = {one.path for one in snapshot.manifest.unread}
        lost_lists = [OddPath(path, reason) for path, reason in wanted.tree.unknown() if path not in missed]
        wrong = [*damaged, *lost_lists]
        lost = {one.path for one in damaged}
        entries = [entry for entry in wanted.tree.files.values() if entry.path not in lost]
        wrong += _strangers(scratch, wanted, lost)
        compared = 0
        for entry in entries:
            progress(entry.path)
            problem, was_compared = _compare(store, scratch, entry)
            compared += was_compared
            if problem:
                wrong.append(OddPath(entry.path, problem))
    return DrillReport(
        snapshot=snapshot.id,
        time=to_iso(snapshot.manifest.time.timestamp()),
        files=len(entries),
        bytes=sum(entry.size for entry in entries),
        compared=compared,
        wrong=tuple(wrong),
        unread=tuple(OddPath(one.path, one.reason) for one in snapshot.manifest.unread),
        status=ExitStatus.DAMAGED if wrong else ExitStatus.DONE if snapshot.manifest.complete else ExitStatus.PARTIAL,
    )


def _strangers(scratch: Path, wanted: Wanted, lost: set[str]) -> Iterator[OddPath]:
    """What is missing from the restored tree, or is in it and should not be, by names alone."""
    found = {path for part in scan(scratch, None) for path, _ in part.files}
    should = {path for path, entry in wanted.tree.files.items() if entry.path not in lost}
    for path in sorted(should - found):
        yield OddPath(wanted.tree.files[path].path, "it is missing after the restore")
    for path in sorted(found - should):
        yield OddPath(path, "it is no part of the backup")


def _compare(store: Store, scratch: Path, entry: FileEntry) -> tuple[str, bool]:
    """What is wrong with a restored file ("" if nothing), and whether it was compared with the store's own."""
    try:
        data, found, _ = read_whole(scratch / entry.location)
        content = _content(data, entry)
    except (OSError, DamagedError) as error:
        return f"it cannot be read after the restore: {error}", False
    if hashlib.sha256(content).hexdigest() != entry.stored_sha256 or len(content) != entry.stored_size:
        return "it has another content after the restore", False
    if (stat.S_IMODE(found.st_mode), found.st_mtime_ns) != (entry.mode, entry.mtime_ns):
        return "it has another mode or time after the restore", False
    original = _original(store, entry)
    if original is None:
        return "", False
    try:
        same = _content(original, entry) == content
    except DamagedError:
        same = False
    return ("" if same else "the store holds something else, though the file has not changed since"), True


def _content(data: bytes, entry: FileEntry) -> bytes:
    return unpack(data, max_bytes=entry.stored_size) if entry.form == "gzip" else data


def _original(store: Store, entry: FileEntry) -> bytes | None:
    """The store's own file, if it has not changed since it was backed up."""
    path = store.root / entry.location
    try:
        if entry.stat is None or fingerprint(os.stat(path, follow_symlinks=False)) != entry.stat:
            return None
    except OSError:
        return None
    read = read_settled(path)
    return read.data if read is not None and fingerprint(read.stat) == entry.stat else None
