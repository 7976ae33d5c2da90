"""Putting a staged restore in place: file by file under the runtime's locks, to be gone on with after a crash.

First of all, what is there is saved (hard links beside the staged files), so that the whole can be undone; what an
agent wrote since the store was backed up is archived before it is replaced. Every step can be done again, both ways.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aml.backup.create import OddPath
from aml.backup.read import read_settled
from aml.backup.restore_plan import Put, Removal
from aml.backup.scan import with_parents
from aml.backup.staging import Staged, Staging
from aml.backup.traces import is_as, is_as_staged, is_changed, is_copied, is_link_of, is_placed, is_still
from aml.errors import ChangedError, DamagedError
from aml.fs.access import explain, explained
from aml.fs.durable import (
    LONGEST_NAME,
    is_temporary,
    make_folder,
    make_private_folder,
    remove_durably,
    sync_folder,
    temporary_for,
    write_durably,
)
from aml.fs.files import is_there, read_regular, stat_if_there
from aml.fs.move import link_or_copy, move
from aml.fs.runtime_lock import LockNotes, LockPolicy, RuntimeLock, lock_path, remove_own_lock
from aml.repository.manifest import FileEntry, FolderEntry, path_fields
from aml.store.layout import GLOBAL, agent_of
from aml.store.open import Store
from aml.store.read import Fingerprint, fingerprint, identity

#: Errors where somebody else's file cannot be given another mode or time.
_NOT_MINE = (errno.EPERM, errno.EACCES)


class Swap:
    """One restore being put in place. ``overwritten`` are files that an agent wrote meanwhile, with their archives."""

    def __init__(
        self,
        store: Store,
        staging: Staging,
        staged: Staged,
        notes: LockNotes,
        policy: LockPolicy,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.overwritten: list[OddPath] = []
        self.left: list[OddPath] = []
        self._store = store
        self._staging = staging
        self._staged = staged
        self._notes = notes
        self._policy = policy
        self._progress = progress
        #: what this process saved, so that only an agent can have changed it since; and what the system said then of a
        #: file that was as it is in the backup
        self._saved: dict[Path, Fingerprint | None] = {}
        #: size and modification time (ns) of what this process replaced or removed
        self._replaced: dict[Path, tuple[int, int]] = {}

    def forward(self) -> None:
        """Do every step that is not done yet. Raises AmlError; ``backward`` then undoes what was done."""
        steps = self._staged.steps
        self._check_staged()
        self._save_all()
        for number, removal in enumerate(steps.removals):
            self._progress(removal.before.path)
            self._remove(number, removal)
        for folder in steps.emptied:
            self._empty(folder)
        for folder in steps.made:
            self._make(folder)
        for number, put in enumerate(steps.puts):
            self._progress(put.entry.path)
            self._put(number, put)
        for put in steps.settings:
            self._set_file(put, put.entry)
        for folder in reversed(steps.folders):
            self._set_folder(folder)
        self._archive_late()

    def backward(self) -> None:
        """Undo every step that was done, but for files that an agent has changed since. Raises AmlError.

        ``Staging.turn_back`` comes first: what this has begun cannot be gone on with forward.
        """
        steps = self._staged.steps
        self.left.clear()  # what was left alone on the way forward is as it was
        for put in steps.settings:
            if put.before is not None:
                self._set_file(put, put.before)
        for number, put in reversed(list(enumerate(steps.puts))):
            self._take_back(number, put)
        for folder in reversed(steps.made):
            self._empty(folder)
        for folder in reversed(steps.emptied):
            self._make(folder)
        for number, removal in reversed(list(enumerate(steps.removals))):
            self._bring_back(number, removal)
        for folder in reversed(steps.were):
            self._set_folder(folder)

    def _save_all(self) -> None:
        """Save what is to be replaced or removed, before the first step: so that one flush is enough for all of it."""
        steps = self._staged.steps
        for number, put in enumerate(steps.puts):
            if self._is_staged(number, put):
                self._save_one(put.path, self._staging.old(f"put-{number}"), put.before)
        for number, removal in enumerate(steps.removals):
            self._save_one(removal.path, self._staging.old(f"removed-{number}"), removal.before)
        if self._saved:
            with explained("write", self._staging.folder):
                sync_folder(self._staging.folder / "old")

    def _save_one(self, relative: str, old: Path, before: FileEntry | None) -> None:
        path = self._store.root / relative
        self._refuse_links(relative)
        found = stat_if_there(path)
        if found is None or not stat.S_ISREG(found.st_mode) or is_there(old):
            return
        with explained("keep a copy of", path):
            link_or_copy(path, old)
            linked = os.stat(path, follow_symlinks=False)
        as_before = before is not None and before.stat == fingerprint(found) and identity(linked) == identity(found)
        self._saved[old] = fingerprint(linked) if as_before else None

    def clear_unfinished(self) -> None:
        """Remove copies that did not end, from the folders of all steps. Raises FileAccessError."""
        steps = self._staged.steps
        paths = [put.path for put in steps.puts] + [removal.path for removal in steps.removals]
        for above in sorted({path.rpartition("/")[0] for path in paths}):
            folder = self._store.root / above
            if self._link_in(above) is None and folder.is_dir():
                with explained("list", folder), os.scandir(folder) as entries:
                    names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
                for name in filter(is_temporary, names):
                    remove_durably(folder / name)

    def _check_staged(self) -> None:
        """Raise DamagedError, before anything is done, where what was staged is not there any more as it was."""
        for number, put in enumerate(self._staged.steps.puts):
            if is_there(self._staging.new(number)):
                self._refuse_spoiled(number, put)
                continue
            found = stat_if_there(self._store.root / put.path)
            placed = found is not None and is_placed(found, self._staged.identities[number])
            if not placed and not is_changed(found, self._staging.old(f"put-{number}"), put.before):
                self._refuse_spoiled(number, put)

    def _refuse_spoiled(self, number: int, put: Put) -> None:
        if not is_as_staged(self._staging.new(number), self._staged.identities[number]):
            raise DamagedError(
                f"{self._staging.new(number)} is not what was made ready for {put.entry.path}",
                advice="look at what changed AML's own folder, then restore the backup again",
            )

    def _is_staged(self, number: int, put: Put) -> bool:
        """Whether a file is still to be put in place, and not placed by a run that did not get to the end."""
        return is_there(self._staging.new(number)) and not self._is_copied(number, put)

    def _is_copied(self, number: int, put: Put) -> bool:
        """Whether a run that died had put a staged file in place, between file systems, and not cleared it up."""
        old, staged = self._staging.old(f"put-{number}"), self._staging.new(number)
        return is_copied(self._store.root / put.path, old, staged, self._staged.identities[number])

    def _remove(self, number: int, removal: Removal) -> None:
        path, old = self._store.root / removal.path, self._staging.old(f"removed-{number}")
        found = stat_if_there(path)
        if found is None or (stat.S_ISDIR(found.st_mode) and is_there(old)):
            return  # removed by a run that did not get to the end, which may have put a folder there
        if old not in self._saved and not is_link_of(old, found) and not is_as(path, found, removal.before):
            self._leave(removal.path, "it was written meanwhile, or made again")
            return
        with self._locked(removal.path) as prove:
            self._save(path, old, removal.before)
            prove()
            with explained("remove", path):
                os.unlink(path)
                sync_folder(path.parent)

    def _put(self, number: int, put: Put) -> None:
        staged, path = self._staging.new(number), self._store.root / put.path
        if not is_there(staged):
            return
        self._refuse_links(put.path)
        if self._is_copied(number, put):
            remove_durably(staged)
            return
        self._make_above(put.path)
        with self._locked(put.path) as prove:
            self._save(path, self._staging.old(f"put-{number}"), put.before)
            self._refuse_spoiled(number, put)
            prove()
            with explained("write", path):
                move(staged, path)
                sync_folder(path.parent)

    def _save(self, path: Path, old: Path, before: FileEntry | None) -> None:
        """Archive what is at ``path`` where no backup holds it, and have it for a way back."""
        found = stat_if_there(path)
        if found is None:
            return
        if not stat.S_ISREG(found.st_mode):
            raise ChangedError(f"{path} is no regular file any more", advice="look at what made it, and try again")
        if self._saved.get(old) != fingerprint(found) and not is_as(path, found, before):
            self._archive(path.relative_to(self._store.root), path)
        if not is_link_of(old, found):
            with explained("keep a copy of", path):
                temporary = temporary_for(old)
                link_or_copy(path, temporary)
                os.rename(temporary, old)
                sync_folder(old.parent)
        self._replaced[old] = (found.st_size, found.st_mtime_ns)

    def _archive_late(self) -> None:
        """Archive what was written into files after they were replaced or removed, by who had them open still."""
        steps = self._staged.steps
        for number, put in enumerate(steps.puts):
            self._archive_changed(put.path, self._staging.old(f"put-{number}"), put.before)
        for number, removal in enumerate(steps.removals):
            self._archive_changed(removal.path, self._staging.old(f"removed-{number}"), removal.before)

    def _archive_changed(self, relative: str, old: Path, before: FileEntry | None) -> None:
        found = stat_if_there(old)
        known = self._replaced.get(old) or (before and (before.size, before.mtime_ns))
        if found is not None and stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) != known:
            self._archive(Path(relative), old)

    def _archive(self, relative: Path, path: Path) -> None:
        """Keep for good what an agent wrote after the store was backed up."""
        read = read_settled(path)
        if read is None:
            return
        wanted = self._store.keep / overwritten_folder(self._staged.run) / relative
        number, target = 0, wanted
        while is_there(target) and read_regular(target) != read.data:
            number += 1
            target = wanted.with_name(f"{wanted.name}.{number}")
        if not is_there(target):
            # else it was archived by a run that did not get to the end
            make_private_folder(target.parent)
            write_durably(target, read.data)
        archived = OddPath(path_fields(str(relative))[0], str(target))
        if archived not in self.overwritten:
            self.overwritten.append(archived)

    def _take_back(self, number: int, put: Put) -> None:
        path, old = self._store.root / put.path, self._staging.old(f"put-{number}")
        if self._is_staged(number, put):
            return
        found = stat_if_there(path)
        if found is None or not is_placed(found, self._staged.identities[number]):
            if is_changed(found, old, put.before):
                self._leave(put.path, "an agent has changed it since it was restored")
            return
        with self._locked(put.path) as prove:
            found = stat_if_there(path)
            if found is None or not is_placed(found, self._staged.identities[number]):
                self._leave(put.path, "an agent has changed it since it was restored")
                return
            prove()
            with explained("put back", path):
                if is_there(old):
                    move(old, path)
                elif put.before is None:
                    os.unlink(path)
                else:
                    self._leave(put.path, "what it replaced is gone from AML's own folder; the backup before has it")
                sync_folder(path.parent)

    def _bring_back(self, number: int, removal: Removal) -> None:
        path, old = self._store.root / removal.path, self._staging.old(f"removed-{number}")
        if not is_there(old):
            return
        found = stat_if_there(path)
        if found is not None:
            if not is_still(old, found):
                self._leave(removal.path, "it was made again after its removal")
            return
        self._make_above(removal.path)
        with self._locked(removal.path) as prove:
            prove()
            with explained("put back", path):
                move(old, path)
                sync_folder(path.parent)

    def _empty(self, folder: FolderEntry) -> None:
        path = self._store.root / folder.location
        with explained("remove", path):
            try:
                os.rmdir(path)
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as error:
                # a lock, a link or something new is in it: it stays
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return
            sync_folder(path.parent)

    def _make(self, folder: FolderEntry) -> None:
        path = self._store.root / folder.location
        self._refuse_links(folder.location)
        with explained("create", path):
            try:
                make_folder(path, folder.mode | stat.S_IRWXU)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode):
                    raise ChangedError(f"{path} is no folder any more", advice="try again") from None

    def _make_above(self, path: str) -> None:
        """Somebody may have removed the folder of a file while a crashed restore was waiting to be ended."""
        self._refuse_links(path)
        make_private_folder((self._store.root / path).parent)

    def _set_file(self, put: Put, entry: FileEntry) -> None:
        """Set mode and time of a file that has the right content already, unless somebody has changed it."""
        path = self._store.root / put.path
        self._refuse_links(put.path)
        found = stat_if_there(path)
        if found is not None and stat.S_ISREG(found.st_mode) and is_as(path, found, put.before):
            self._set(path, os.O_NONBLOCK, entry, found)

    def _set_folder(self, folder: FolderEntry) -> None:
        path = self._store.root / folder.location
        self._refuse_links(folder.location)
        found = stat_if_there(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            self._set(path, os.O_DIRECTORY, folder, found)

    def _set(self, path: Path, flags: int, entry: FileEntry | FolderEntry, found: os.stat_result) -> None:
        if (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (entry.mode, entry.mtime_ns):
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
            try:
                os.fchmod(descriptor, entry.mode)
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _NOT_MINE:
                raise explain(error, "set the mode and time of", path) from error
            self._leave(entry.location, f"its mode and time cannot be set: {error.strerror}")

    @contextmanager
    def _locked(self, path: str) -> Iterator[Callable[[], None]]:
        """The runtime's lock on a file that agents lock; a function that proves that it is still held."""
        self._refuse_links(path)
        if not is_locked_by_agents(path):
            yield lambda: None
            return
        # one that this run could not give back: there is no other run, and agents make theirs otherwise
        remove_own_lock(lock_path(self._store.root / path), frozenset())
        with RuntimeLock(self._store.root / path, self._notes, self._policy) as lock:
            yield lock.prove

    def _refuse_links(self, path: str) -> None:
        link = self._link_in(path.rpartition("/")[0])
        if link is not None:
            raise ChangedError(f"{link} has become a link", advice="look at it, and try again")

    def _link_in(self, folder: str) -> Path | None:
        paths = (self._store.root / above for above in with_parents(folder))
        return next((path for path in paths if os.path.islink(path)), None)

    def _leave(self, path: str, reason: str) -> None:
        self.left.append(OddPath(path_fields(path)[0], reason))


def overwritten_folder(run: str) -> str:
    """Where a restore archives what agents wrote meanwhile, inside the folder beside the store; no agent's name."""
    return f"archives/backup-{run}"


def is_locked_by_agents(path: str) -> bool:
    """Whether agents lock a file of that path before they write it: JSON right in their folder, or in global/."""
    folder, _, name = path.rpartition("/")
    if len(os.fsencode(lock_path(Path(name)).name)) > LONGEST_NAME:
        return False  # its lock cannot exist
    return name.endswith(".json") and (folder == GLOBAL or ("/" not in folder and agent_of(path) is not None))
