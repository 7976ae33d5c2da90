"""System errors translated into what a person can act on: which call, which path, whose right is missing."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from aml.errors import FileAccessError

_PERMISSION = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: The root, and what lies directly in it, are the system's: their rights are not to be changed for AML.
_PARTS_OF_SYSTEM = 2


@contextmanager
def explained(aim: str, path: Path) -> Iterator[None]:
    """Raise FileAccessError for an OSError inside: ``aim`` says what was being done ("read"), ``path`` to what."""
    try:
        yield
    except OSError as error:
        raise explain(error, aim, path) from error


def explain(error: OSError, aim: str, path: Path) -> FileAccessError:
    """The error to show for a failed system call."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return FileAccessError(f"cannot {aim} {path}: {reason}", advice=_advice(error, aim, path))


def user_name() -> str:
    """Name of the user that this process acts as, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def is_read_only(path: Path) -> bool:
    """Whether the file system that holds a path is mounted so that nobody may write there. Raises OSError."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def owner_name(path: Path) -> str:
    """Name of the user that a file or folder belongs to, or the number alone where it has no name. Raises OSError."""
    owner = os.stat(path).st_uid
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)


def _advice(error: OSError, aim: str, path: Path) -> str:
    if error.errno in _FULL:
        return "free some space there and run the same command again; nothing was lost"
    if error.errno == errno.EROFS:
        return "the file system is mounted read-only"
    try:
        if error.errno in _PERMISSION:
            return _permission_advice(aim, path)
        if error.errno in (errno.ENOTDIR, errno.ENOENT):
            return _folder_advice(path)
    except OSError:
        # a link into a folder that may not be entered, or what was there a moment ago: the error itself says enough
        return ""
    return ""


def _folder_advice(path: Path) -> str:
    """What is wrong with the folders that lead to a path; nothing where they are all there."""
    missing = next((folder for folder in reversed(path.parents) if not folder.is_dir()), None)
    if missing is None:
        return ""
    if os.path.lexists(missing):
        return f"{missing} is no folder: move it away, or name another path"
    return f"the folder {missing} is not there: make it, or name another path"


def _permission_advice(aim: str, path: Path) -> str:
    """Who lacks which right on which path, and the command that would mend it."""
    reading = aim in ("read", "list")
    for folder in reversed(path.parents):
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return lack_of("enter", "x", folder)
    # making, replacing, locking or removing a file are all writes to its folder, or where that one is to be made
    folders = (path if path.is_dir() else path.parent, *path.parents)
    subject = path if reading else next(folder for folder in folders if folder.is_dir())
    if not os.access(subject, os.R_OK if reading else os.W_OK):
        return lack_of("read" if reading else "write to", "r" if reading else "w", subject)
    return f"the system does not let {user_name()} do that, whatever the rights on {subject} say"


def lack_of(what: str, letter: str, subject: Path) -> str:
    """Who lacks the right to do ``what`` to a path, and the command that gives it: ``letter`` is r, w, x or several."""
    if "w" in letter and is_read_only(subject):
        return f"the file system of {subject} is mounted read-only"
    lack = f"{user_name()} lacks the right to {what} {subject}"
    if subject.stat().st_uid == os.geteuid():
        return f"{lack}: chmod u+{letter} {quote(str(subject))}"
    owner = owner_name(subject)
    if len(subject.parts) <= _PARTS_OF_SYSTEM:
        return f"{lack}, which belongs to {owner}: name another place, or run AML as {owner}"
    return f"{lack}, which belongs to {owner}: run AML as {owner}, or chown {user_name()} {quote(str(subject))}"
