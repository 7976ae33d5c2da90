"""The folder in which a migration keeps every file as it will be, until all of them are checked and put in place.

``<store>.aml/migration/<run>/<agent>/<kind>.json`` beside the store. A run that died before it replaced anything leaves
that folder alone; while it is there for a run that is done, the claim is still to be written.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from msgspec import Struct

from aml.fs.access import explained
from aml.fs.durable import make_private_folder, write_durably
from aml.fs.files import stat_if_there
from aml.fs.new_folder import remove_tree
from aml.store.layout import RecordFile
from aml.store.open import Store

#: The folder of all stagings, inside the one of AML's state.
FOLDER = "migration"


class Staging(Struct, frozen=True):
    """The folder of one migration."""

    folder: Path

    @classmethod
    def of(cls, store: Store, run: str) -> Staging:
        return cls(store.state / FOLDER / run)

    def prepare(self) -> None:
        make_private_folder(self.folder)

    def put(self, file: RecordFile, data: bytes) -> None:
        """Have the bytes that ``file`` is to get on disk, so that a move puts them in place. Raises FileAccessError."""
        place = self._place(file)
        make_private_folder(place.parent)
        write_durably(place, data)

    def ready(self, file: RecordFile) -> Path | None:
        """The file that is to be moved in place of ``file``; None where that lies on another file system.

        Raises FileAccessError.
        """
        place = self._place(file)
        with explained("look at", place):
            return place if os.stat(place).st_dev == os.stat(file.path.parent).st_dev else None

    def is_there(self) -> bool:
        """Whether there is such a folder; a link or a file of its name is somebody else's. Raises FileAccessError."""
        found = stat_if_there(self.folder)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def discard(self) -> None:
        """Remove the folder. Raises FileAccessError."""
        if self.is_there():
            with explained("remove", self.folder):
                remove_tree(self.folder)

    def empty(self) -> None:
        """Remove what is in the folder, which gives back the room; while it is there itself, the run still has to be
        cleared up after. Raises FileAccessError."""
        if self.is_there():
            with explained("remove", self.folder), os.scandir(self.folder) as entries:
                for entry in entries:
                    remove_tree(Path(entry.path))

    def _place(self, file: RecordFile) -> Path:
        return self.folder / file.agent / file.path.name
