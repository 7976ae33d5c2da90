"""What a run finds that an earlier one left when it crashed, and how that is brought to an end.

Nothing has to be rolled back: a file was replaced whole or not at all, and its archive was on disk before. So a dead
run is settled by looking: what it archived and is not in the store any more was removed, the rest was not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType

from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus, FileAccessError, LockedError, NotFoundError
from aml.fs.access import explained
from aml.fs.durable import is_temporary, remove_durably
from aml.fs.files import is_there, stat_if_there
from aml.fs.new_folder import remove_abandoned_scratch
from aml.ledger.archive import ArchivedRecord, read_archive
from aml.ledger.operations import state_lock
from aml.ledger.placement import still_there
from aml.ledger.quarantine import FOLDER as QUARANTINE
from aml.ledger.quarantine import settle_original
from aml.ledger.runs import Journal, RecordKey, Run, RunFile
from aml.ledger.state import drill_path
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.layout import CONFIG, GLOBAL, record_file
from aml.store.open import Store
from aml.store.transact import Transaction

#: What settling a file raises where nothing can be told of it now: damage, a refusal, somebody who keeps writing there.
_UNTOLD = (DamagedError, FileAccessError, ChangedError)

#: Ends a run that died: sets its state and returns a note.
Ending = Callable[[Run], str]


def recover(store: Store, journal: Journal, endings: Mapping[str, Ending] = MappingProxyType({})) -> list[str]:
    """Settle every unfinished run and clear unfinished writes; returns a note for each. The run lock must be held.

    ``endings`` are for operations that are not settled by looking, by their names.
    """
    notes = []
    for run in journal.all():
        if run.is_unfinished and run.operation in endings:
            notes.append(endings[run.operation](run))
            journal.write(run)
        elif run.is_unfinished and not (run.files or run.quarantined or run.operation == "undo"):
            # it was to remove nothing: each file is as it was or as it was to be
            run.state = "interrupted"
            journal.write(run)
        elif run.is_unfinished:
            problems = settle(store, journal, run)
            run.state = settled_state("interrupted", run)
            journal.write(run)
            removed = sum(len(file.removed) for file in run.files)
            told = f"{removed} records were removed by it, all archived"
            notes.append(f"run {run.id} ({run.operation}) had died: {'; '.join([told, *problems])}")
    try:
        with explained("clear the scratch folder of a drill in", store.state):
            remove_abandoned_scratch(drill_path(store))
    except FileAccessError as error:
        notes.append(error.message)
    for folder in _folders(store):
        try:
            with state_lock(store, 0.0) if folder == store.state else nullcontext():
                for path in _files_in(folder):
                    if is_temporary(path.name):
                        remove_durably(path)
        except LockedError:
            continue  # somebody writes there now, without the run lock: the next run clears it
        except FileAccessError as error:
            notes.append(f"not looked through for unfinished writes: {error.message}")
    return notes


@contextmanager
def ended_in_any_case(store: Store, journal: Journal, run: Run) -> Iterator[None]:
    """Where a run is broken off: write down what it really did, told by looking, and that it has ended."""
    try:
        yield
    except BaseException as error:
        settle(store, journal, run)
        state = "failed" if isinstance(error, AmlError) else "interrupted"
        journal.finish(run, settled_state(state, run))
        raise


def settle(store: Store, journal: Journal, run: Run) -> list[str]:
    """Write into ``run`` what it really did, told by its archives and by what the store holds now.

    Returns what could not be told, such as for an archive that cannot be read: its file keeps the archive's name.
    """
    if run.operation == "undo" and run.target:
        try:
            _settle_undo(store, journal.read(run.target), run)
        except (*_UNTOLD, NotFoundError) as error:
            return [error.message]
        return []
    problems = []
    as_it_was = set()
    for path in list(run.quarantined):
        try:
            taken = settle_original(store, run.id, path)
        except _UNTOLD as error:
            problems.append(error.message)
            continue
        if not taken:
            run.quarantined.remove(path)
        if taken is False:
            as_it_was.add(path)
    for file in run.files:
        try:
            _settle_file(store, file, as_it_was=file.path in as_it_was)
        except _UNTOLD as error:
            problems.append(error.message)
    return problems


def settled_state(state: str, run: Run) -> str:
    """The state of a settled run: a file of which nothing could be told keeps it begun, to be looked at again."""
    return "begun" if any(file.archive and not file.removed for file in run.files) else state


def _settle_file(store: Store, file: RunFile, *, as_it_was: bool) -> None:
    """``as_it_was`` tells that the file was to be replaced whole and was not, so nothing was removed from it."""
    found = stat_if_there(record_file(store.root, file.agent, KIND_BY_PLURAL[file.kind]).path)
    file.bytes_after = 0 if found is None else found.st_size
    if file.removed and file.archive:
        read_archive(store, file.archive)
        return  # settled before, and still to be undone
    if file.archive and is_there(store.keep / file.archive):
        archived = read_archive(store, file.archive)
        all_of_it = frozenset(record.ordinal for record in archived)
        there = all_of_it if as_it_was else still_there(_hashes(store, file), archived)
        file.removed = [_key(record) for record in archived if record.ordinal not in there]
        file.shared = [record.id for record in archived if record.twins and record.id is not None]
        file.copies = [_key(record) for record in archived if record.sha256 in record.twins]
        if not file.removed:
            remove_durably(store.keep / file.archive)
    if not file.removed:
        file.archive = None


def _settle_undo(store: Store, target: Run, undo: Run) -> None:
    undo.files = []
    for file in target.files:
        if file.archive and file.removed:
            archived = read_archive(store, file.archive)
            there = still_there(_hashes(store, file), archived)
            back = [_key(record) for record in archived if record.ordinal in there]
            undo.files.append(RunFile(file.agent, file.kind, restored=back))


def _key(record: ArchivedRecord) -> RecordKey:
    return RecordKey.of(record.id, record.sha256)


def _hashes(store: Store, file: RunFile) -> list[str]:
    """SHA-256 of each record that a file holds now; none where it cannot be read."""
    try:
        content = Transaction.peek(store, record_file(store.root, file.agent, KIND_BY_PLURAL[file.kind]))
        elements = content.array().elements if content else ()
    except AmlError as error:
        if error.status is not ExitStatus.DAMAGED:
            raise
        elements = ()
    return [hashlib.sha256(element).hexdigest() for element in elements]


def _folders(store: Store) -> list[Path]:
    """Where AML writes: its unfinished writes lie beside the files they were meant for."""
    archives, quarantine = store.keep / "archives", store.keep / QUARANTINE
    folders = [store.root / agent for agent in (*store.agents(), GLOBAL, CONFIG)]
    folders += [store.state, store.state / "runs", store.keep, archives, *_folders_in(archives)]
    for run in _folders_in(quarantine):
        folders += [inner for folder in _folders_in(run) for inner in (folder, *_folders_in(folder))]
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with explained("list", folder), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _files_in(folder: Path) -> list[Path]:
    with explained("list", folder), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
