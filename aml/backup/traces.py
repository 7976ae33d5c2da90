"""What tells, also after a crash, whether a file was put in place, replaced, or changed by somebody else since."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from aml.backup.read import read_settled
from aml.backup.write_files import Identity
from aml.fs.files import is_there, read_regular, stat_if_there
from aml.repository.manifest import FileEntry
from aml.store.read import fingerprint, identity


def is_as(path: Path, found: os.stat_result, before: FileEntry | None) -> bool:
    """Whether a file still holds what it held when the store was backed up."""
    if before is None:
        return False
    if before.stat == fingerprint(found):
        return True
    read = read_settled(path)
    return read is None or hashlib.sha256(read.data).hexdigest() == before.sha256


def is_link_of(old: Path, found: os.stat_result) -> bool:
    """Whether a file is the very one that was saved as ``old``."""
    saved = stat_if_there(old)
    return saved is not None and (saved.st_dev, saved.st_ino) == (found.st_dev, found.st_ino)


def is_placed(found: os.stat_result, staged: Identity) -> bool:
    """Whether a file is the one that was put there; on another file system it had to become a copy."""
    own = identity(found)
    return own == staged or (own[0] != staged[0] and own[2:] == staged[2:])


def is_as_staged(staged: Path, noted: Identity) -> bool:
    """Whether a file that is to be put in place is still the one that was made ready."""
    found = stat_if_there(staged)
    # the number of a device may be another one after a restart
    return found is not None and stat.S_ISREG(found.st_mode) and identity(found)[1:] == noted[1:]


def is_copied(path: Path, old: Path, staged: Path, noted: Identity) -> bool:
    """Whether a file is a copy of the staged one, put there between file systems by a process that died right then."""
    found = stat_if_there(path)
    if found is None or not stat.S_ISREG(found.st_mode) or not is_placed(found, noted):
        return False
    if is_there(old) and not is_still(old, found):
        return True
    # what it replaces may have the same size and time
    return is_as_staged(staged, noted) and read_regular(path) == read_regular(staged)


def is_still(old: Path, found: os.stat_result) -> bool:
    """Whether a file is the one that was saved as ``old``, which may have become a copy: it was never replaced."""
    saved = stat_if_there(old)
    return saved is not None and (is_link_of(old, found) or identity(saved)[2:] == identity(found)[2:])


def is_changed(found: os.stat_result | None, old: Path, before: FileEntry | None) -> bool:
    """Whether something else than what was there before, or what was put there, is at a path now; maybe nothing."""
    if stat_if_there(old) is None:
        return found is not None and before is None
    return found is None or not is_still(old, found)
