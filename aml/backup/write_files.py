"""Files of a backup written anew somewhere, each read back and compared before it counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from aml.codec.compression import pack
from aml.errors import AmlError, DamagedError, FileAccessError, NotFoundError
from aml.fs.access import explain
from aml.fs.durable import PRIVATE_FILE, write_all
from aml.fs.parallel import side_by_side
from aml.repository.manifest import FileEntry
from aml.repository.repository import Reader
from aml.store.read import identity

#: How much one thread takes at a time (bytes): neighbours share members of a pack.
_SHARE_BYTES = 4 << 20
#: Larger files (bytes) are written in pieces, so that no file has to be in memory whole.
_LARGE_BYTES = 8 << 20

#: Device, inode, size (bytes) and modification time (ns) of a file, which outlive its renaming.
Identity = tuple[int, int, int, int]


class Written(Struct, frozen=True):
    """What came of one file: its identity, or what is damaged about it in the repository."""

    identity: Identity | None = None
    damage: AmlError | None = None


def write_files(
    reader: Reader, files: Sequence[tuple[FileEntry, Path | str]], progress: Callable[[str], None] = lambda _: None
) -> list[Written]:
    """Write each entry of a backup to a path where nothing is yet, with its mode and time.

    Damage of the repository is told file by file; raises FileAccessError where a file cannot be written, or does not
    read back.
    """
    shares = list(_shares(files))

    def write(share: Sequence[tuple[FileEntry, Path | str]]) -> list[Written]:
        # a reader caches, so each thread has its own
        own = Reader(reader.destination, reader.described, reader.loaded)
        done = []
        for entry, path in share:
            progress(entry.path)
            done.append(_write(own, entry, path))
        return done

    return [one for share in side_by_side(shares, write, lambda: None) for one in share]


def _shares(files: Sequence[tuple[FileEntry, Path | str]]) -> Iterator[list[tuple[FileEntry, Path | str]]]:
    share: list[tuple[FileEntry, Path | str]] = []
    size = 0
    for one in files:
        share.append(one)
        size += one[0].stored_size
        if size >= _SHARE_BYTES:
            yield share
            share, size = [], 0
    if share:
        yield share


def _write(reader: Reader, entry: FileEntry, path: Path | str) -> Written:
    try:
        if entry.form == "plain" and entry.stored_size > _LARGE_BYTES:
            pieces = reader.stream_document(entry.chunks, entry.stored_sha256, entry.stored_size)
            return _create(path, entry, partial(_stream, pieces, entry.sha256))
        with _damage_of_the_repository():
            data = reader.read_stored(entry)
        return _create(path, entry, partial(_put, pack(data) if entry.form == "gzip" else data))
    except (DamagedError, NotFoundError) as error:
        return Written(damage=error)
    except OSError as error:
        raise explain(error, "write", Path(path)) from error


@contextmanager
def _damage_of_the_repository() -> Iterator[None]:
    """What the system refuses to read of a repository is damage, told file by file: no trouble with the new file."""
    try:
        yield
    except FileAccessError as error:
        raise DamagedError(error.message, advice=error.advice) from error


def _create(path: Path | str, entry: FileEntry, fill: Callable[[int], bool]) -> Written:
    """Make the file; ``fill`` writes it and tells whether it reads back as it was written."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            same = fill(descriptor)
        except (DamagedError, NotFoundError):
            os.unlink(path)
            raise
        if not same:
            raise FileAccessError(f"{path} does not read back as it was written", advice="check the disk")
        os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        return Written(identity(os.fstat(descriptor)))
    finally:
        os.close(descriptor)


def _put(data: bytes, descriptor: int) -> bool:
    """``data`` is right, by its SHA-256: the file must hold the same."""
    write_all(descriptor, data)
    found = os.pread(descriptor, len(data) + 1, 0)
    if len(found) < len(data):
        os.lseek(descriptor, 0, os.SEEK_SET)
        found = b"".join(_blocks(descriptor))
    return found == data


def _stream(pieces: Iterator[bytes], sha256: str, descriptor: int) -> bool:
    while True:
        with _damage_of_the_repository():
            piece = next(pieces, b"")
        if not piece:
            break
        write_all(descriptor, piece)
    os.lseek(descriptor, 0, os.SEEK_SET)
    hashed = hashlib.sha256()
    for block in _blocks(descriptor):
        hashed.update(block)
    return hashed.hexdigest() == sha256


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, 1 << 20):
        yield block
