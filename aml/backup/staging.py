"""The folder in which a restore is made ready, and the note in it that tells a later run how to bring it to an end.

<store>.aml/restore/<run>/new/<n>     each file as it will be put in place
<store>.aml/restore/<run>/old/<n>     what it replaced, or what was removed, for a way back
<store>.aml/restore/<run>/steps.json  written last, when all of that is on disk: from here on a crash rolls forward
<store>.aml/restore/<run>/back        written where it has to be undone: from here on a crash rolls backward
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from aml.backup.restore_plan import Put, Steps
from aml.backup.write_files import Identity, Written, write_files
from aml.errors import DamagedError
from aml.fs.access import explained
from aml.fs.durable import (
    adopt,
    give_to_owner_of,
    make_private_folder,
    remove_durably,
    sync_file_system,
    write_durably,
)
from aml.fs.files import is_there, read_regular, stat_if_there
from aml.fs.new_folder import remove_tree
from aml.model.undecodable import UNDECODABLE
from aml.repository.manifest import FileEntry, FolderEntry, check_paths
from aml.repository.repository import Reader
from aml.store.open import Store

FORMAT = 1
_STEPS = "steps.json"
_BACK = "back"
#: Times (ns since 1970, before and after) from which on the system takes none.
_TOO_FAR_NS = 1 << 63


class Staged(Struct, frozen=True):
    """A restore that is ready: which backup, the steps, and the identity of each file to be put, in their order."""

    format: int
    run: str
    snapshot: str
    steps: Steps
    identities: list[Identity]


class Staging(Struct, frozen=True):
    """The folder of one restore."""

    folder: Path

    @classmethod
    def of(cls, store: Store, run: str) -> Staging:
        return cls(restores_folder(store) / run)

    def new(self, number: int) -> Path:
        return self.folder / "new" / str(number)

    def old(self, name: str) -> Path:
        return self.folder / "old" / name

    def prepare(self) -> None:
        """Make the folders. Raises FileAccessError."""
        make_private_folder(self.folder / "new")
        make_private_folder(self.folder / "old")

    def is_there(self) -> bool:
        """Whether there is such a folder; a link or a file of its name is somebody else's. Raises FileAccessError."""
        found = stat_if_there(self.folder)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def is_ready(self) -> bool:
        return self.is_there() and is_there(self.folder / _STEPS)

    def turn_back(self) -> None:
        """Note that the restore is to be undone. Raises FileAccessError."""
        if not self.is_turned_back():
            write_durably(self.folder / _BACK, b"")

    def is_turned_back(self) -> bool:
        return is_there(self.folder / _BACK)

    def read(self) -> Staged:
        """Raises DamagedError where the note is not what ``finish`` writes."""
        path = self.folder / _STEPS
        failures: tuple[type[Exception], ...] = (DamagedError, *UNDECODABLE)
        try:
            staged = msgspec.json.decode(read_regular(path), type=Staged)
            if (
                staged.run != self.folder.name
                or staged.format != FORMAT
                or len(staged.identities) != len(staged.steps.puts)
            ):
                raise DamagedError("it does not hold what it should")
            # the note names files to replace and remove, so it must not name any outside the store
            steps = staged.steps
            # apart from each other, since a file may come where a folder was
            check_paths((), sorted({one.path for one in (*steps.puts, *steps.settings)}))
            check_paths((), sorted({one.path for one in steps.removals}))
            folders = (*steps.made, *steps.emptied, *steps.folders, *steps.were)
            check_paths(sorted({one.location for one in folders}), ())
            _check_times(steps)
        except failures as error:
            raise DamagedError(
                f"the note of an unfinished restore, {path}, is damaged: {error}",
                advice=f"move {self.folder} away, then restore the backup again",
            ) from error
        return staged

    def discard(self) -> None:
        """Remove the folder; the note goes first, so that what is left over means nothing. Raises FileAccessError."""
        if not self.is_there():
            return
        if self.is_ready():
            remove_durably(self.folder / _STEPS)
        with explained("remove", self.folder):
            remove_tree(self.folder)


def _check_times(steps: Steps) -> None:
    """Raise DamagedError for a time that no file can have."""
    puts = (*steps.puts, *steps.settings)
    entries: list[FileEntry | FolderEntry] = [*steps.made, *steps.emptied, *steps.folders, *steps.were]
    entries += [put.entry for put in puts]
    entries += [put.before for put in puts if put.before is not None]
    for one in entries:
        if abs(one.mtime_ns) >= _TOO_FAR_NS:
            raise DamagedError(f"it gives {one.path} a time that no file has")


def restores_folder(store: Store) -> Path:
    return store.state / "restore"


def stage(store: Store, reader: Reader, staging: Staging, puts: Sequence[Put]) -> list[Written]:
    """Write every file that is to be put in place into the staging folder, and read it back.

    Raises FileAccessError. Nothing in the store is touched.
    """
    staging.prepare()
    written = write_files(reader, [(put.entry, staging.new(number)) for number, put in enumerate(puts)])
    if os.geteuid() == 0:
        for number, (put, one) in enumerate(zip(puts, written, strict=True)):
            if one.damage is None:
                _own(store.root / put.path, staging.new(number))
    return written


def make_ready(staging: Staging, staged: Staged) -> None:
    """Have all that was staged on disk, and then the note. Raises FileAccessError."""
    with explained("write", staging.folder):
        sync_file_system(staging.folder)
    write_durably(staging.folder / _STEPS, msgspec.json.encode(staged))


def _own(path: Path, staged: Path) -> None:
    """Give a staged file the owner and attributes of the one it replaces, or the owner of its folder."""
    with explained("write", staged):
        descriptor = os.open(staged, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = stat_if_there(path)
            if found is not None and stat.S_ISREG(found.st_mode):
                adopt(path, descriptor, found)
            else:
                folder = path.parent
                while not folder.is_dir():
                    folder = folder.parent
                give_to_owner_of(folder, descriptor)
        finally:
            os.close(descriptor)
