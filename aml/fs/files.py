"""Reading AML's own small files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.access import explained


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file. Raises FileAccessError, also for a pipe or device, which is never waited for."""
    with explained("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileAccessError(f"cannot read {path}: it is not a regular file", advice="move it away")
        with explained("read", path):
            return stream.read()
