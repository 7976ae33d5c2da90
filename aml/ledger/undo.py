"""Putting removed records back where they stood, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches

from msgspec import Struct

from aml.codec.json_array import Element, RecordArray, split
from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError, NotFoundError
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.archive import ArchivedRecord, read_archive
from aml.ledger.placement import Neighbours, Placement, place
from aml.ledger.removal import check_elements
from aml.ledger.runs import Journal, RecordKey, Run, RunFile
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.layout import RecordFile, record_file
from aml.store.open import Store
from aml.store.transact import Transaction, transaction, with_attempts


class FileUndo(Struct):
    """What undo did to one record file. ``problem`` says why it was left alone, if it was."""

    agent: str
    kind: str
    restored: int = 0
    already_there: int = 0
    conflicts: list[str] = []
    problem: str | None = None
    status: int = ExitStatus.DONE
    keys: list[RecordKey] = []


class OriginalUndo(Struct):
    """What undo did to one file that the run had taken away or replaced whole: put back, or there already.

    ``was_made`` tells that the run had made the file, which is removed then. ``problem`` says why it was left alone, if
    it was; ``is_replaced`` that somebody has written to it since.
    """

    path: str
    put_back: bool = False
    was_made: bool = False
    is_replaced: bool = False
    problem: str | None = None
    status: int = ExitStatus.DONE


class UndoReport(Struct):
    """An undo of one run: ``run`` is the undo's own id, ``target`` the run whose records were put back.

    ``originals`` are whole files that were put back from quarantine; ``notes`` what else should be seen.
    """

    run: str | None
    target: str
    dry_run: bool
    files: list[FileUndo]
    originals: list[OriginalUndo] = []
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> ExitStatus:
        parts: list[FileUndo | OriginalUndo] = [*self.files, *self.originals]
        problems = [part.status for part in parts if part.problem]
        if problems and len(problems) == len(parts) and set(problems) == {ExitStatus.LOCKED}:
            return ExitStatus.LOCKED
        if problems and len(problems) == len(parts) and set(problems) == {ExitStatus.DAMAGED}:
            return ExitStatus.DAMAGED
        if ExitStatus.FAILED in problems:
            return ExitStatus.FAILED
        return ExitStatus.PARTIAL if problems or any(file.conflicts for file in self.files) else ExitStatus.DONE


class Wanted(Struct, frozen=True):
    """What is to be put back into one file: all that was ``archived`` from it, or of that the records with ``ids``."""

    agent: str
    kind: str
    archived: list[ArchivedRecord]
    ids: tuple[str, ...]
    others: Neighbours

    @property
    def key(self) -> tuple[str, str]:
        return self.agent, self.kind

    def target(self, store: Store) -> RecordFile:
        return record_file(store.root, self.agent, KIND_BY_PLURAL[self.kind])


def wanted_of(store: Store, journal: Journal, run: Run, ids: tuple[str, ...]) -> list[Wanted]:
    """What of a run is to be put back, file by file. Raises NotFoundError for an id that it did not remove."""
    files = [file for file in run.files if file.archive and file.removed]
    if not files and (run.quarantine_expired or any(file.expired for file in run.files)):
        raise NotFoundError(
            f"the archives of run {run.id} have expired", advice="a backup from before that run may hold its records"
        )
    archives = [(file, _whole_archive(store, file)) for file in files]
    known = sorted({record.id for _, records in archives for record in records if record.id is not None})
    chosen = tuple(_resolve(ident, known, run) for ident in ids)
    return [
        Wanted(file.agent, file.kind, records, chosen, neighbours_of(store, journal, run, file))
        for file, records in archives
    ]


def _resolve(ident: str, known: Sequence[str], run: Run) -> str:
    """The id itself, or the only one that begins so."""
    if ident in known:
        return ident
    fitting = [one for one in known if ident and one.startswith(ident)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotFoundError(f"{ident} fits {len(fitting)} records", advice=f"say more of it: {', '.join(fitting[:5])}")
    near = ", ".join(get_close_matches(ident, known, n=3, cutoff=0.4))
    raise NotFoundError(
        f"run {run.id} removed no record {ident!r}",
        advice=f"nearest: {near}" if near else "aml prune history --verbose lists what it removed",
    )


def _whole_archive(store: Store, file: RunFile) -> list[ArchivedRecord]:
    records = read_archive(store, file.archive or "")
    if len(records) < len(file.removed):
        path = store.keep / (file.archive or "")
        raise DamagedError(
            f"the archive {path} is damaged: it holds {len(records)} of {len(file.removed)} records",
            advice="restore that file from a backup of its folder",
        )
    return records


def neighbours_of(store: Store, journal: Journal, target: Run, file: RunFile) -> Neighbours:
    """What stood beside the records that other runs removed from the same file.

    Several runs cut one file, each at a time of its own; where they are undone in another order, only all of them
    together tell where a record stood. An archive that cannot be read tells nothing, and is no reason not to undo.
    """
    found: dict[str, tuple[str | None, str | None]] = {}
    for run_id in journal.ids():
        for other in journal.read(run_id).files if run_id != target.id else ():
            if (other.agent, other.kind) == (file.agent, file.kind) and other.archive and other.removed:
                with suppress(DamagedError, FileAccessError):
                    records = read_archive(store, other.archive)
                    found.update({record.sha256: _neighbours(record) for record in records})
    return found


def _neighbours(record: ArchivedRecord) -> tuple[str | None, str | None]:
    """What stood beside it; untold where an identical one stayed: nobody can tell later which of them is there."""
    return (None, None) if record.sha256 in record.twins else (record.before, record.after)


def undo_file(store: Store, wanted: Wanted, notes: LockNotes, policy: LockPolicy) -> FileUndo:
    """Put the records of one file back under its lock; what stands in the way is reported, not raised."""
    target = wanted.target(store)
    return with_attempts(
        lambda: _restore(store, target, wanted, notes, policy),
        lambda error, status: _left_alone(target, error, status),
    )


def preview_file(store: Store, wanted: Wanted) -> FileUndo:
    """What ``undo_file`` would do now."""
    target = wanted.target(store)
    try:
        content = Transaction.peek(store, target)
        array = content.array() if content else split(b"[]")
    except AmlError as error:
        return _left_alone(target, error, error.status)
    return _outcome(target, place(array, target.kind, wanted.archived, wanted.ids, wanted.others))


def _restore(store: Store, target: RecordFile, wanted: Wanted, notes: LockNotes, policy: LockPolicy) -> FileUndo:
    with transaction(store, target, notes, policy) as held:
        content = held.read_if_there()
        array = content.array() if content else split(b"[]")
        placement = place(array, target.kind, wanted.archived, wanted.ids, wanted.others)
        if placement.insertions:
            text = array.with_inserted([(position, record.raw) for position, record in placement.insertions])
            check_elements(_expected(array, placement), text)
            if content:
                held.replace(content, text)
            else:
                held.create(text)
    return _outcome(target, placement)


def _expected(array: RecordArray, placement: Placement) -> list[Element]:
    """Every record that the new text must hold, the old ones and those put back."""
    expected = list(array.elements)
    for position, record in reversed(placement.insertions):
        expected.insert(position, record.raw)
    return expected


def _outcome(target: RecordFile, placement: Placement) -> FileUndo:
    restored = [record for _, record in placement.insertions]
    return FileUndo(
        target.agent,
        target.kind,
        restored=len(restored),
        already_there=len(placement.present),
        conflicts=[record.id or record.sha256 for record in placement.conflicts],
        keys=[RecordKey.of(record.id, record.sha256) for record in restored + placement.present],
    )


def _left_alone(target: RecordFile, error: AmlError, status: ExitStatus) -> FileUndo:
    return FileUndo(target.agent, target.kind, problem=str(error), status=status)
