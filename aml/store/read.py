"""Reading one record file whole, without a lock: every writer that keeps the protocol replaces files by rename."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread

from aml.codec.compression import is_gzip, pack, unpack
from aml.codec.json_array import RecordArray, split
from aml.errors import AmlError, ChangedError, DamagedError
from aml.fs.access import explained
from aml.fs.files import read_whole
from aml.fs.parallel import LARGE_BYTES, begun, take_from
from aml.store.layout import RecordFile

#: How often a file is read again that somebody changes in place while it is read.
_ATTEMPTS = 5

#: How much is read at a time where only a hash is wanted.
_PIECE_BYTES = 1 << 20

Fingerprint = tuple[int, int, int, int, int]


def fingerprint(found: os.stat_result) -> Fingerprint:
    """Device, inode, size, modification and change times (ns): equal means, but for malice, the same content."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def identity(found: os.stat_result) -> tuple[int, int, int, int]:
    """What of a file outlives its renaming: device, inode, size and modification time (ns)."""
    return fingerprint(found)[:4]


class Content:
    """What a record file held at one moment."""

    def __init__(self, file: RecordFile, data: bytes, found: os.stat_result, max_unpacked_bytes: int) -> None:
        self.file = file
        self.data = data
        self.stat = found
        self.max_unpacked_bytes = max_unpacked_bytes

    @property
    def form(self) -> str:
        """``gzip`` or ``plain``, told by the bytes and never by the name."""
        return "gzip" if is_gzip(self.data) else "plain"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes on disk, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> bytes:
        """The JSON text. Raises DamagedError where gzip bytes do not unpack."""
        return unpack(self.data, max_bytes=self.max_unpacked_bytes) if is_gzip(self.data) else self.data

    def prepare(self, *, hashed: bool = True) -> None:
        """Unpack now, and hash where that is wanted. Raises DamagedError as ``text`` does."""
        _ = self.text, hashed and self.sha256

    def array(self) -> RecordArray:
        """The records. Raises DamagedError where the text is not one whole JSON array."""
        return split(self.text)

    def rewritten(self, text: bytes) -> bytes:
        """``text`` in the form in which this content was found."""
        return pack(text) if is_gzip(self.data) else text


class Digest:
    """What a record file held at one moment, told by its SHA-256 alone."""

    def __init__(self, file: RecordFile, sha256: str, found: os.stat_result) -> None:
        self.file = file
        self.sha256 = sha256
        self.stat = found


def refuse_link(folder: Path) -> None:
    """Raise DamagedError where an agent's folder is a link: what it points at belongs to somebody else."""
    if os.path.islink(folder):
        raise DamagedError(f"the agent's folder {folder} is a link, which AML does not follow")


def read_content(file: RecordFile, max_unpacked_bytes: int) -> Content:
    """Read ``file`` whole. Raises DamagedError for what is not a regular file, FileAccessError, ChangedError."""
    refuse_link(file.path.parent)
    for _ in range(_ATTEMPTS):
        with explained("read", file.path):
            found = os.stat(file.path, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                what = "a link" if stat.S_ISLNK(found.st_mode) else "no regular file"
                raise DamagedError(f"it is {what}, which AML does not follow")
            if found.st_size > max_unpacked_bytes:
                raise DamagedError(
                    f"it holds {found.st_size:,} bytes, more than the {max_unpacked_bytes:,} that are read of a file",
                    advice="raise store.max_unpacked_mb in the settings if that is what it should hold",
                )
            data, before, after = read_whole(file.path)
        if fingerprint(before) == fingerprint(after) and len(data) == after.st_size:
            return Content(file, data, after, max_unpacked_bytes)
    raise ChangedError(
        f"{file.path} keeps changing while it is read", advice="run the command again when its writer is done"
    )


def read_digest(file: RecordFile) -> Digest:
    """Read ``file`` piece by piece, which takes no memory. Raises as ``read_content`` does."""
    digest = hashlib.sha256()
    found = _read_through(file, digest.update)
    return Digest(file, digest.hexdigest(), found)


def read_fast_digest(file: RecordFile) -> tuple[bytes, os.stat_result]:
    """The same by ``fast_digest``."""
    from xxhash import xxh3_128

    digest = xxh3_128()
    found = _read_through(file, digest.update)
    return digest.digest(), found


def reads_as(file: RecordFile, data: bytes) -> tuple[bool, os.stat_result]:
    """Whether ``file`` holds just these bytes, and what was looked at; piece by piece, and raising, likewise."""
    place, same = 0, True

    def compare(part: bytes) -> None:
        nonlocal place, same
        same = same and data[place : place + len(part)] == part
        place += len(part)

    found = _read_through(file, compare)
    return same and place == len(data), found


def fast_digest(data: bytes) -> bytes:
    """What tells bytes apart that nobody has chosen to look alike, at a tenth of the time that SHA-256 takes."""
    from xxhash import xxh3_128_digest

    return xxh3_128_digest(data)


def _read_through(file: RecordFile, take: Callable[[bytes], None]) -> os.stat_result:
    refuse_link(file.path.parent)
    with explained("read", file.path):
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DamagedError("it is no regular file, which AML does not follow")
            while part := os.read(descriptor, _PIECE_BYTES):
                take(part)
            if fingerprint(os.fstat(descriptor)) != fingerprint(found):
                raise ChangedError(f"{file.path} was changed while it was read")
        finally:
            os.close(descriptor)
    return found


def size_of(file: RecordFile) -> int:
    """Bytes on disk of a file; 0 where that cannot be told."""
    try:
        return os.stat(file.path, follow_symlinks=False).st_size
    except OSError:
        return 0


def read_ahead(
    files: Sequence[RecordFile], max_unpacked_bytes: int, *, hashed: bool = True
) -> Iterator[tuple[RecordFile, Content | AmlError]]:
    """The contents of ``files`` in order, read, unpacked and (``hashed``) hashed by a thread while the one before is
    worked on.

    A file that cannot be read comes as the error that says why. At most one file is read ahead, and of LARGE_BYTES and
    more none, which bounds memory. Raises AmlError where there can be no thread.
    """
    ready: SimpleQueue[Content | AmlError | BaseException] = SimpleQueue()
    wanted = Semaphore(0)
    stopped = Event()

    def read() -> None:
        for file in files:
            wanted.acquire()
            if stopped.is_set():
                return
            ready.put(_read_ready(file, max_unpacked_bytes, hashed))

    large = [size_of(file) >= LARGE_BYTES for file in files]
    reader = begun(Thread(target=read, name="aml-read-ahead", daemon=True))
    asked = 0
    try:
        for place, file in enumerate(files):
            ahead = not any(large[place : place + 2])
            for _ in range(asked, min(place + 1 + ahead, len(files))):
                wanted.release()
                asked += 1
            content = take_from(ready, reader.is_alive)
            if not isinstance(content, Content | AmlError):
                raise content
            yield file, content
            del content
    finally:
        stopped.set()
        wanted.release()
        reader.join()


def _read_ready(file: RecordFile, max_unpacked_bytes: int, hashed: bool) -> Content | AmlError | BaseException:
    """A content whose text and hash are at hand; errors are carried to the thread that asked."""
    try:
        content = read_content(file, max_unpacked_bytes)
        content.prepare(hashed=hashed)
    except BaseException as error:  # noqa: BLE001  (raised again by whoever takes it)
        return error
    return content
