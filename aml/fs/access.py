"""System errors translated into what a person can act on: which call, which path, whose right is missing."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aml.errors import FileAccessError

_PERMISSION = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def _advice(error: OSError, aim: str, path: Path) -> str:
    if error.errno in _PERMISSION:
        return _permission_advice(aim, path)
    if error.errno in _FULL:
        return "free some space there and run the same command again; nothing was lost"
    if error.errno == errno.EROFS:
        return "the file system is mounted read-only"
    return ""


def _permission_advice(aim: str, path: Path) -> str:
    right, letter = ("read", "r") if aim in ("read", "list") else ("write", "w")
    subject = _nearest_obstacle(path, os.R_OK if letter == "r" else os.W_OK)
    letters = letter + ("x" if subject.is_dir() else "")
    try:
        owner = subject.stat().st_uid
    except OSError:
        return f"{user_name()} may not {right} there"
    lack = f"{user_name()} lacks the right to {right} {subject}"
    if owner == os.geteuid():
        return f"{lack}: chmod u+{letters} {subject}"
    return f"{lack}, which belongs to another user: chown {user_name()} {subject}"


def _nearest_obstacle(path: Path, right: int) -> Path:
    """The outermost folder or file on the way to ``path`` that this process may not use."""
    for part in reversed([path, *path.parents]):
        try:
            exists = part.exists()
        except OSError:
            exists = False
        if not exists:
            break
        if part.is_dir() and part != path and not os.access(part, os.X_OK):
            return part
    if path.exists() and not os.access(path, right):
        return path
    return path.parent if path.parent.exists() else path
