"""Moving and linking files, also between two file systems: by a durable copy, which appears whole or not."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from aml.fs.durable import PRIVATE_FILE, adopt, sync_file, temporary_for, write_all
from aml.fs.files import read_whole

#: Errors where a hard link is not possible here, or not to this file: it is copied instead.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def link_or_copy(path: Path, new: Path) -> None:
    """A hard link ``new`` to a file, or a copy of it. Raises OSError, also where ``new`` exists and could be a link."""
    try:
        os.link(path, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(path, new)


def move(source: Path, target: Path) -> None:
    """Put a file in the place of another. Raises OSError.

    A crash between two file systems may leave the source as well, or an unfinished copy beside the target.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        os.unlink(source)


def _copy(source: Path, target: Path) -> None:
    temporary = temporary_for(target)
    try:
        _write_copy(source, temporary)
        os.rename(temporary, target)
    except BaseException:
        # the error that led here is the one to report
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _write_copy(source: Path, target: Path) -> None:
    """A durable copy with mode, owner and time, for file systems between which nothing can be linked or renamed."""
    data, found, _ = read_whole(source)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        write_all(descriptor, data)
        adopt(source, descriptor, found)
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        os.utime(descriptor, ns=(found.st_mtime_ns, found.st_mtime_ns))
        sync_file(descriptor)
    finally:
        os.close(descriptor)
