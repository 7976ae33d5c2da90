"""Folders that are built under a name of their own: to appear whole or not at all, or to be gone when done with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aml.errors import UsageError
from aml.fs.access import explained
from aml.fs.durable import PRIVATE_FOLDER, is_temporary, sync_file_system, sync_folder, temporary_for
from aml.fs.files import is_at
from aml.fs.flock import lock_within


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to be filled, which becomes ``target`` in the end; on any error there is nothing.

    Raises UsageError where something is at ``target``, other than an empty folder; FileAccessError.
    """
    refuse_occupied(target)
    with explained("create", target.parent):
        os.makedirs(target.parent, exist_ok=True)
    with scratch_folder(target) as building:
        yield building
        with explained("write", target):
            sync_file_system(building)
            os.rename(building, target)
            sync_folder(target.parent)


@contextmanager
def scratch_folder(near: Path) -> Iterator[Path]:
    """A private folder beside ``near``, removed in the end; what a process left that died with one goes first.

    Raises FileAccessError.
    """
    with explained("create", near):
        remove_abandoned_scratch(near)
        folder, descriptor = _make_held(near)
    try:
        try:
            yield folder
        finally:
            with explained("remove", folder):
                remove_tree(folder)
    finally:
        os.close(descriptor)


def refuse_occupied(target: Path) -> None:
    """Raise UsageError where something is at ``target``, other than an empty folder; FileAccessError."""
    with explained("look at", target):
        if not os.path.lexists(target):
            return
        if target.is_symlink() or not target.is_dir():
            raise UsageError(f"{target} exists already", advice="name a new folder")
        if os.listdir(target):
            raise UsageError(f"{target} is not empty", advice="name a new folder, or empty that one first")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, also folders without the right to write; raises OSError."""
    if not folder.is_dir() or folder.is_symlink():
        return
    below = [str(folder)]
    # in place of os.walk and shutil.rmtree, which end where folders lie deeper than the interpreter's stack
    for path in below:
        if stat.S_IMODE(os.stat(path).st_mode) & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(path, PRIVATE_FOLDER)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                else:
                    os.unlink(entry.path)
    for path in reversed(below):
        os.rmdir(path)


def _make_held(near: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor of it by whose lock others are told that it is in use."""
    while True:
        folder = temporary_for(near)
        os.mkdir(folder, PRIVATE_FOLDER)
        # until it is held, another process may take it for abandoned
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if lock_within(descriptor, 0) and is_at(descriptor, folder):
                return folder, descriptor
            os.close(descriptor)


def remove_abandoned_scratch(near: Path) -> None:
    """Remove what processes left that died with a scratch folder beside ``near``. Raises OSError."""
    for name in os.listdir(near.parent):
        path = near.with_name(name)
        if is_temporary(name) and name.startswith(f".{near.name}.") and path.is_dir() and not path.is_symlink():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                if lock_within(descriptor, 0):
                    remove_tree(path)
            finally:
                os.close(descriptor)
