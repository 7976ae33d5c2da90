"""Quarantine: where a whole file goes, byte for byte, before a run removes it or writes another text in its place.

``quarantine/<run>/<path in the store>`` beside the store holds the file itself, and ``quarantine/<run>/.origin/<path>``
what it was: that small file is written last, so where it is, the bytes are. It also tells of a file that a run made.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

from aml.codec.json_array import RecordArray
from aml.errors import ChangedError, DamagedError
from aml.fs.access import explained
from aml.fs.durable import make_private_folder, remove_durably, sync_file, sync_folder, write_durably
from aml.fs.files import is_there, read_regular
from aml.fs.move import link_or_copy
from aml.ledger.state import prepare_folder
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store
from aml.store.read import Content, Digest, identity

#: The folder of all that is in quarantine, inside the one kept beside the store.
FOLDER = "quarantine"

#: Folder of the small files, beside those of agents, of which none begins with a dot.
_ORIGINS = ".origin"


class Original(msgspec.Struct, frozen=True):
    """A file that a run took away, replaced or made. ``path`` is inside the store, ``size`` in bytes.

    ``sha256`` is of its bytes, None where there was no file; ``after`` of those that the run put in its place, None
    where it put nothing there, and ``after_records`` of the records in those, whatever stands between them.
    ``mtime_ns`` is in nanoseconds since 1970 UTC.
    """

    run: str
    path: str
    reason: str
    sha256: str | None
    after: str | None
    after_records: str | None = None
    size: int = 0
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o777)] = 0
    mtime_ns: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


def place_of(store: Store, run: str, path: str) -> Path:
    """Where the file from ``path`` in the store lies, or would lie, in the quarantine of a run."""
    return store.keep / FOLDER / run / PurePosixPath(path)


def put_in_quarantine(
    store: Store,
    run: str,
    content: Content,
    reason: str,
    after: bytes | None = None,
    records: RecordArray | None = None,
) -> Original:
    """Have a copy of a file on disk for good, before ``after``, which holds ``records``, or nothing takes its place.

    Raises FileAccessError; the store must not change before this returns.
    """
    original = _original_of(run, content, reason, None if after is None else hashlib.sha256(after).hexdigest(), records)
    place = place_of(store, run, original.path)
    _prepare(store, place.parent)
    write_durably(place, content.data)
    _write_origin(store, original)
    return original


def link_into_quarantine(store: Store, run: str, content: Content | Digest, reason: str, after: str) -> None:
    """The same without a copy where the file system allows that: the file itself gets one more name, by which it stays
    when a file with the SHA-256 ``after`` takes its place.

    That is a change of the file's state, which ``content`` then tells. Raises ChangedError where it is no longer the
    file that was read, FileAccessError.
    """
    original = _original_of(run, content, reason, after, None)
    place = place_of(store, run, original.path)
    _prepare(store, place.parent)
    with explained("write", place):
        with suppress(FileNotFoundError):
            os.unlink(place)
        link_or_copy(content.file.path, place)
        found = os.stat(content.file.path, follow_symlinks=False)
        if identity(found) != identity(content.stat):
            raise ChangedError(f"{content.file.path} was changed without its lock while AML held it")
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # whoever wrote it need not have waited for the disk
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(place.parent)
    content.stat = found
    _write_origin(store, original)


def _original_of(
    run: str, content: Content | Digest, reason: str, after: str | None, records: RecordArray | None
) -> Original:
    return Original(
        run=run,
        path=content.file.path_in_store,
        reason=reason,
        sha256=content.sha256,
        after=after,
        after_records=None if records is None else digest_of_records(records),
        size=content.stat.st_size,
        mode=content.stat.st_mode & 0o777,
        mtime_ns=max(0, content.stat.st_mtime_ns),
    )


def note_creation(store: Store, run: str, path: str, reason: str, after: bytes, records: RecordArray) -> None:
    """Have on disk that a run makes a file where none is. Raises FileAccessError."""
    digest = hashlib.sha256(after).hexdigest()
    _write_origin(store, Original(run, path, reason, None, digest, digest_of_records(records)))


def digest_of_records(array: RecordArray) -> str:
    """SHA-256 over the SHA-256 of each element of an array, in hex."""
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in array.elements)).hexdigest()


def _write_origin(store: Store, original: Original) -> None:
    origin = _origin_of(store, original.run, original.path)
    _prepare(store, origin.parent)
    write_durably(origin, msgspec.json.encode(original))


def _prepare(store: Store, folder: Path) -> None:
    """Make a folder in the quarantine, and have all above it on disk, also where a run that died had made them."""
    prepare_folder(store.keep)
    make_private_folder(folder)
    while folder != store.keep.parent.parent:
        with explained("write", folder):
            sync_folder(folder)
        folder = folder.parent


def find_original(store: Store, run: str, path: str) -> Original | None:
    """What a run put in quarantine from that path, or None. Raises DamagedError, FileAccessError."""
    origin = _origin_of(store, run, path)
    if not is_there(origin):
        return None
    try:
        original = msgspec.json.decode(read_regular(origin), type=Original)
    except UNDECODABLE as error:
        raise DamagedError(f"{origin} is damaged: {error}", advice="restore it from a backup of its folder") from error
    if (original.run, original.path) != (run, path):
        raise DamagedError(f"{origin} is damaged: it tells of another file", advice="restore it from a backup")
    return original


def read_original(store: Store, original: Original) -> bytes:
    """The bytes of a file in quarantine. Raises DamagedError where they are not those that were put there."""
    place = place_of(store, original.run, original.path)
    data = read_regular(place)
    if hashlib.sha256(data).hexdigest() != original.sha256:
        raise DamagedError(f"{place} is damaged: it does not fit its SHA-256", advice="restore it from a backup")
    return data


def take_back(store: Store, run: str, path: str) -> None:
    """Remove from quarantine what never left the store. Raises FileAccessError."""
    for one in (_origin_of(store, run, path), place_of(store, run, path)):
        if is_there(one.parent):
            remove_durably(one)


def settle_original(store: Store, run: str, path: str) -> bool | None:
    """Whether a run that died had taken that file away, replaced or made it; None where it had not even begun to.

    What it had only noted is taken back. Raises DamagedError, FileAccessError.
    """
    original = find_original(store, run, path)
    if original is not None and hash_now(store, path) != original.sha256:
        return True
    take_back(store, run, path)
    return None if original is None else False


def hash_now(store: Store, path: str) -> str | None:
    """SHA-256 of what is at a path in the store now; None where nothing is. Raises FileAccessError."""
    place = store.root / path
    if not is_there(place):
        return None
    return hashlib.sha256(read_regular(place)).hexdigest()


def _origin_of(store: Store, run: str, path: str) -> Path:
    return store.keep / FOLDER / run / _ORIGINS / PurePosixPath(path)
