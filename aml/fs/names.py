"""How a file system compares names."""

from __future__ import annotations

import os
from pathlib import Path

from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FILE, temporary_for

#: Capital E with an acute accent in one character; then in lower case, and in two characters.
_PROBE, _OTHERS = "\u00c9", ("\u00e9", "E\u0301")


def folds_names(folder: Path) -> bool:
    """Whether names that differ in case or normal form are one file in ``folder``. Raises FileAccessError."""
    probe = temporary_for(folder / "names")
    with explained("write", probe):
        spelt = probe.with_name(probe.name + _PROBE)
        try:
            os.close(os.open(spelt, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
        except UnicodeEncodeError:
            return False  # a locale in which such names do not exist
        try:
            return any(os.path.lexists(probe.with_name(probe.name + other)) for other in _OTHERS)
        finally:
            os.unlink(spelt)
