"""Whether a file is there, and reading AML's own small ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.access import explained


def is_there(path: Path) -> bool:
    """Whether something of that name exists, or cannot be ruled out for want of rights."""
    try:
        os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file. Raises FileAccessError, also for a pipe or device, which is never waited for."""
    with explained("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileAccessError(f"cannot read {path}: it is not a regular file", advice="move it away")
        with explained("read", path), os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)
