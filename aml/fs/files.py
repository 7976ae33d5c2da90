"""Whether a file is there, and reading AML's own small ones."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.access import explain, explained

#: A file of AML's own state is smaller (bytes), by far.
MOST_STATE = 1 << 28


def is_there(path: Path) -> bool:
    """Whether something of that name exists, or cannot be ruled out for want of rights."""
    try:
        os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file or folder is the one of that name, and not removed or replaced since. Raises OSError."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def stat_if_there(path: Path) -> os.stat_result | None:
    """What is at ``path`` itself, be it a link; None where nothing is. Raises FileAccessError."""
    try:
        return os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise explain(error, "read", path) from error


def files_below(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every regular file below a folder; links are not followed, and what cannot be listed is passed over.

    In place of os.walk, which ends where folders lie deeper than the interpreter's stack.
    """
    waiting = [str(folder)]
    while waiting:
        found: list[os.DirEntry[str]] = []
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            found += entries
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry


def read_regular(path: Path, *, most: int | None = None) -> bytes:
    """All bytes of a regular file, of which there are at most so many. Raises FileAccessError, also for a pipe or
    device, which is never waited for."""
    with explained("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileAccessError(f"cannot read {path}: it is not a regular file", advice="move it away")
        if most is not None and found.st_size > most:
            raise FileAccessError(
                f"cannot read {path}: it is too large to be what AML keeps there", advice="move it away"
            )
        with explained("read", path), os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def read_whole(path: Path | str) -> tuple[bytes, os.stat_result, os.stat_result]:
    """All bytes of a file in one open, and what it was before and after; raises OSError, MemoryError.

    A link is refused, and a writer is never waited for: a pipe in place of a file must not hang a cron job.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        try:
            data = os.read(descriptor, before.st_size + 1) if stat.S_ISREG(before.st_mode) else b""
        except OverflowError as error:
            # of a file that is nearly all holes
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path)) from error
        if len(data) != before.st_size:
            parts = [data]
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
            data = b"".join(parts)
        return data, before, os.fstat(descriptor)
    finally:
        os.close(descriptor)
