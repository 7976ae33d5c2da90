"""Writes that survive a crash: temporary file in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aml.errors import FileAccessError
from aml.fs.access import explained, user_name

#: Mode of what AML keeps for itself: text that the store no longer has belongs to its owner alone.
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700

_TEMPORARY_MARK = ".aml-tmp-"
#: Bytes of a file's name, on every file system in use.
LONGEST_NAME = 255
#: A write takes some seconds. Whoever was suspended in one for so long finds that it fails, and says so.
_ABANDONED_SECONDS = 3600.0
#: System errors of a call that this file system does not offer
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODATA)


def is_temporary(name: str) -> bool:
    """Whether a file of that name is an unfinished write of AML's."""
    return name.startswith(".") and _TEMPORARY_MARK in name


def temporary_for(path: Path) -> Path:
    """A name beside ``path`` that no file has, to write it under: hidden, and known to ``is_temporary``."""
    name = path.name
    while len(os.fsencode(name)) > LONGEST_NAME - len(_TEMPORARY_MARK) - 9:
        name = name[:-1]
    return path.with_name(f".{name}{_TEMPORARY_MARK}{os.urandom(4).hex()}")


def sync_file(descriptor: int) -> None:
    """Flush a file to the medium itself; on macOS fsync alone stops at the drive's cache."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Create a folder (and its parents) that only its owner may enter; an existing one is left as it is."""
    if folder.is_dir():
        return
    with explained("create", folder):
        missing = [folder, *(parent for parent in folder.parents if not parent.is_dir())]
        for part in reversed(missing):
            with suppress(FileExistsError):
                make_folder(part, PRIVATE_FOLDER)


def make_folder(folder: Path, mode: int) -> None:
    """Make one folder for good; where AML runs as root, it belongs to the owner of the one that it lies in.

    Raises OSError, FileExistsError among them.
    """
    os.mkdir(folder, mode)
    if os.geteuid() == 0:
        owner = os.stat(folder.parent)
        os.chown(folder, owner.st_uid, owner.st_gid)
    sync_folder(folder.parent)


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Where AML runs as root, give a file of its own to the owner of its folder, who may be the one to run AML next."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def write_durably(
    path: Path, data: bytes | bytearray, *, mode: int = PRIVATE_FILE, proof: Callable[[], None] = lambda: None
) -> None:
    """Create or replace ``path`` with ``data`` in one step that a crash cannot halve.

    ``proof`` is called just before the rename and raises to call the whole thing off. Raises FileAccessError.
    """

    def prepare(descriptor: int) -> None:
        os.fchmod(descriptor, mode)
        give_to_owner_of(path.parent, descriptor)

    with explained("write", path):
        _write_and_rename(path, data, prepare, proof)


def write_output(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """The same for a file that a user asked for, in a folder that AML does not clear: what a dead process left of an
    earlier write of this file goes as well. Raises FileAccessError."""
    remove_abandoned(path)
    write_durably(path, data, mode=mode)


def write_in_turn(path: Path, data: bytes) -> None:
    """The same for a file whose writers keep each other out by a lock, which this one holds: what there is of other
    writes of it was left by dead processes, and goes as well. Raises FileAccessError."""
    remove_abandoned(path, age=None)
    write_durably(path, data)


def remove_abandoned(path: Path, *, age: float | None = _ABANDONED_SECONDS) -> None:
    """Remove the unfinished writes of ``path`` that are older than ``age`` (seconds), and so not under way any more;
    None means whatever their age. What cannot go stays."""
    drafts: list[os.DirEntry[str]] = []
    with suppress(OSError), os.scandir(path.parent) as entries:
        drafts += [entry for entry in entries if entry.name.startswith(f".{path.name}{_TEMPORARY_MARK}")]
    for draft in drafts:
        with suppress(OSError):
            about = draft.stat(follow_symlinks=False)
            if stat.S_ISREG(about.st_mode) and (age is None or time.time() - about.st_mtime > age):
                os.unlink(draft.path)


def write_replaceable(path: Path, data: bytes) -> None:
    """Create or replace ``path`` in one step, without waiting for the disk: for what can be made again at any time.

    After a power cut it may hold anything, so whoever reads it must be able to tell. Raises FileAccessError.
    """

    def prepare(descriptor: int) -> None:
        os.fchmod(descriptor, PRIVATE_FILE)
        give_to_owner_of(path.parent, descriptor)

    with explained("write", path):
        _write_and_rename(path, data, prepare, lambda: None, wait=False)


def replace_durably(
    path: Path, data: bytes, like: os.stat_result, proof: Callable[[], None], *, keep_time: bool = False
) -> os.stat_result:
    """Replace the existing file ``path``, keeping the mode, owner and attributes of ``like``; returns what was put.

    With ``keep_time`` it keeps the modification time as well, and is never seen with another one. ``proof`` is called
    just before the rename and raises to call the whole thing off. Raises FileAccessError, and whatever ``proof``
    raises; the file is then as it was, and no temporary file is left.
    """

    def take_over(descriptor: int) -> None:
        adopt(path, descriptor, like)
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        if keep_time:
            os.utime(descriptor, ns=(like.st_atime_ns, like.st_mtime_ns))

    with explained("write", path):
        return _write_and_rename(path, data, take_over, proof)


def move_durably(ready: Path, path: Path, like: os.stat_result, proof: Callable[[], None]) -> os.stat_result:
    """Put the file ``ready``, of the same file system, in place of the existing file ``path``; else as
    ``replace_durably``, but that ``ready`` stays where it is on an error."""
    with explained("write", path):
        descriptor = os.open(ready, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            adopt(path, descriptor, like)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            sync_file(descriptor)
            put = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        proof()
        os.rename(ready, path)
        sync_folder(path.parent)
        return put


def write_ready(ready: Path, data: bytes, *, wait: bool) -> None:
    """Make the file ``ready``, with a name by ``temporary_for``: on disk (``wait``) for ``put_ready``, or just written
    for ``move_durably``, which waits itself. It stays there, unfinished or not, until whoever chose the name removes
    it. Raises FileAccessError."""

    def prepare(descriptor: int) -> None:
        os.fchmod(descriptor, PRIVATE_FILE)
        give_to_owner_of(ready.parent, descriptor)

    with explained("write", ready):
        _fill(_open_new(ready), data, prepare, wait=wait)


def put_ready(ready: Path, path: Path) -> None:
    """Give a file that is ready its name, for good. Raises FileAccessError."""
    with explained("write", path):
        os.rename(ready, path)
        sync_folder(path.parent)


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)


def _fill(
    descriptor: int, data: bytes | bytearray, prepare: Callable[[int], None], *, wait: bool = True
) -> os.stat_result:
    """Write ``data`` to an open file, and close it in any case."""
    try:
        write_all(descriptor, data)
        prepare(descriptor)
        if wait:
            sync_file(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _write_and_rename(
    path: Path, data: bytes | bytearray, prepare: Callable[[int], None], proof: Callable[[], None], *, wait: bool = True
) -> os.stat_result:
    temporary = temporary_for(path)
    descriptor = _open_new(temporary)
    try:
        put = _fill(descriptor, data, prepare, wait=wait)
        proof()
        os.rename(temporary, path)
    except BaseException:
        # also on an interrupt: an unfinished write must not stay behind
        remove_ready(temporary)
        raise
    if wait:
        sync_folder(path.parent)
    return put


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of ``data``, in as many calls as the system wants."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def adopt(path: Path, descriptor: int, like: os.stat_result) -> None:
    """Give an open file the owner and attributes of the file at ``path``, whose place it will take.

    Raises OSError, and FileAccessError where this process may not give it that owner.
    """
    _adopt_owner(path, descriptor, like)
    _copy_attributes(path, descriptor)


def sync_file_system(folder: Path) -> None:
    """Flush all that was written to the file system of a folder: for many files at once. Raises OSError."""
    if sys.platform == "linux":
        import ctypes

        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            library = ctypes.CDLL(None, use_errno=True)
            while library.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                if number != errno.EINTR:  # which the interpreter sees to for the calls that it has
                    raise OSError(number, os.strerror(number), str(folder))
        finally:
            os.close(descriptor)
    else:
        os.sync()


def _adopt_owner(path: Path, descriptor: int, like: os.stat_result) -> None:
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except PermissionError as error:
            raise FileAccessError(
                f"cannot rewrite {path}: {user_name()} may not give the new file its owner {like.st_uid}:{like.st_gid}",
                advice="run AML as the user that owns the store",
            ) from error


def _copy_attributes(source: Path, descriptor: int) -> None:
    """Copy extended attributes (access control lists among them) where the platform has them."""
    if not hasattr(os, "listxattr"):
        return
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return
        raise
    for name in names:
        os.setxattr(descriptor, name, os.getxattr(source, name))


def remove_ready(path: Path) -> None:
    """Remove a temporary file, if it is there and can be removed."""
    try:
        os.unlink(path)
    except OSError:
        # the error that led here is the one to report; a temporary file left over is removed by the next run
        return


def remove_durably(path: Path) -> None:
    """Remove a file of AML's own and make that stick. A file that is gone already is no error."""
    with explained("remove", path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        sync_folder(path.parent)
