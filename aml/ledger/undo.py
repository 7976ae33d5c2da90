"""Putting removed records back where they stood, byte for byte."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct

from aml.codec.json_array import RecordArray, split
from aml.codec.views import Unreadable, view_records
from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus, LockedError, NotFoundError
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.archive import ArchivedRecord, read_archive
from aml.ledger.runs import RecordKey, Run, RunFile
from aml.model.kinds import KIND_BY_PLURAL
from aml.store.layout import RecordFile, record_file
from aml.store.open import Store
from aml.store.transact import Transaction, transaction

#: How often a file is tried that an agent changes in the very moment of writing.
_ATTEMPTS = 3


class Placement(Struct):
    """Where each record goes (positions in the file as it is now), which are there already, and which must not."""

    insertions: list[tuple[int, ArchivedRecord]] = []
    present: list[ArchivedRecord] = []
    conflicts: list[ArchivedRecord] = []


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


class UndoReport(Struct):
    """An undo of one run: ``run`` is the undo's own id, ``target`` the run whose records were put back."""

    run: str | None
    target: str
    dry_run: bool
    files: list[FileUndo]

    @property
    def status(self) -> ExitStatus:
        problems = [file.status for file in self.files if file.problem]
        if problems and len(problems) == len(self.files) and set(problems) == {ExitStatus.LOCKED}:
            return ExitStatus.LOCKED
        if ExitStatus.FAILED in problems:
            return ExitStatus.FAILED
        return ExitStatus.PARTIAL if problems or any(file.conflicts for file in self.files) else ExitStatus.DONE


def archived_of(store: Store, run: Run, ids: tuple[str, ...]) -> list[tuple[RunFile, list[ArchivedRecord]]]:
    """Per file of a run, all records it archived. Raises NotFoundError for an id that it did not remove."""
    found = [(file, _whole_archive(store, file)) for file in run.files if file.archive and file.removed]
    known = {record.id for _, records in found for record in records}
    for ident in ids:
        if ident not in known:
            near = ", ".join(sorted(str(one) for one in known if one and one.startswith(ident))[:3])
            raise NotFoundError(
                f"run {run.id} removed no record {ident!r}",
                advice=f"nearest: {near}" if near else "aml prune history --verbose lists what it removed",
            )
    return found


def _whole_archive(store: Store, file: RunFile) -> list[ArchivedRecord]:
    records = read_archive(store, file.archive or "")
    if len(records) < len(file.removed):
        path = store.keep / (file.archive or "")
        raise DamagedError(
            f"the archive {path} is damaged: it holds {len(records)} of {len(file.removed)} records",
            advice="restore that file from a backup of its folder",
        )
    return records


def place(array: RecordArray, kind: str, archived: Sequence[ArchivedRecord], ids: tuple[str, ...]) -> Placement:
    """Where the ``archived`` records (those with one of ``ids``, or all) belong in ``array``. Pure.

    A record goes after the neighbour that stood before it, or else before the one that stood after it, or else to
    its old ordinal. An id that is there with content that nobody archived was created anew: that is a conflict.
    """
    hashes = [hashlib.sha256(bytes(element)).hexdigest() for element in array.elements]
    seen = view_records(array, KIND_BY_PLURAL[kind].view)
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    for one, sha256 in zip(seen, hashes, strict=True):
        if not isinstance(one, Unreadable) and one.ident is not None:
            by_id[one.ident].append(sha256)
    spare = Counter(hashes)
    spare.subtract(Counter(_kept_copies(archived)))
    anchors = _anchors(hashes, archived)
    own = {record.sha256 for record in archived}
    placement = Placement([], [], [])
    for record in sorted(archived, key=lambda one: one.ordinal):
        if ids and record.id not in ids:
            continue
        if spare[record.sha256] > 0:
            spare[record.sha256] -= 1
            placement.present.append(record)
        elif record.id is not None and set(by_id[record.id]) - own - set(record.twins):
            placement.conflicts.append(record)
        else:
            placement.insertions.append((anchors[record.ordinal], record))
    placement.insertions.sort(key=lambda one: (one[0], one[1].ordinal))
    return placement


def _kept_copies(archived: Sequence[ArchivedRecord]) -> dict[str, int]:
    """How many identical copies of each archived record were in the file all along."""
    return {record.sha256: record.twins.count(record.sha256) for record in archived}


def _anchors(hashes: Sequence[str], archived: Sequence[ArchivedRecord]) -> dict[int, int]:
    """For each archived ordinal, the position in the file before which its record belongs."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for position, sha256 in enumerate(hashes):
        places[sha256].append(position)
    by_ordinal = {record.ordinal: record for record in archived}
    gone = sorted(record.ordinal for record in archived if record.sha256 not in places)

    def nearest(sha256: str, ordinal: int) -> int:
        """Of several identical elements, the one nearest to where that ordinal should be found now."""
        expected = ordinal - bisect_left(gone, ordinal)
        return min(places[sha256], key=lambda position: abs(position - expected))

    anchors: dict[int, int] = {}
    for ordinal in sorted(by_ordinal):
        before = by_ordinal[ordinal].before
        if before is None:
            anchors[ordinal] = 0
        elif before in places:
            anchors[ordinal] = nearest(before, ordinal - 1) + 1
        elif ordinal - 1 in anchors:
            anchors[ordinal] = anchors[ordinal - 1]
    for ordinal in sorted(by_ordinal, reverse=True):
        if ordinal not in anchors:
            after = by_ordinal[ordinal].after
            if after is not None and after in places:
                anchors[ordinal] = nearest(after, ordinal + 1)
            else:
                anchors[ordinal] = anchors.get(ordinal + 1, min(ordinal, len(hashes)))
    return anchors


def undo_file(
    store: Store,
    file: RunFile,
    archived: Sequence[ArchivedRecord],
    ids: tuple[str, ...],
    notes: LockNotes,
    policy: LockPolicy,
) -> FileUndo:
    """Put the records of one file back under its lock; what stands in the way is reported, not raised."""
    target = record_file(store.root, file.agent, KIND_BY_PLURAL[file.kind])
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _restore(store, target, archived, ids, notes, policy)
        except ChangedError as error:
            if attempt == _ATTEMPTS:
                return _left_alone(target, error, ExitStatus.PARTIAL)
        except LockedError as error:
            return _left_alone(target, error, ExitStatus.LOCKED)
        except AmlError as error:
            return _left_alone(target, error, error.status)
    raise AssertionError("unreachable: the last attempt returns")


def preview_file(store: Store, file: RunFile, archived: Sequence[ArchivedRecord], ids: tuple[str, ...]) -> FileUndo:
    """What ``undo_file`` would do now."""
    target = record_file(store.root, file.agent, KIND_BY_PLURAL[file.kind])
    try:
        content = Transaction.peek(store, target)
        array = content.array() if content else split(b"[]")
    except AmlError as error:
        return _left_alone(target, error, error.status)
    return _outcome(target, place(array, file.kind, archived, ids))


def _restore(
    store: Store,
    target: RecordFile,
    archived: Sequence[ArchivedRecord],
    ids: tuple[str, ...],
    notes: LockNotes,
    policy: LockPolicy,
) -> FileUndo:
    with transaction(store, target, notes, policy) as held:
        content = held.read_if_there()
        array = content.array() if content else split(b"[]")
        placement = place(array, target.kind, archived, ids)
        if placement.insertions:
            text = array.with_inserted([(position, record.raw) for position, record in placement.insertions])
            _check(array, placement, text)
            if content:
                held.replace(content, text)
            else:
                held.create(text)
    return _outcome(target, placement)


def _check(array: RecordArray, placement: Placement, text: bytes) -> None:
    """Before anything is written: the new text must hold every record, the old ones and those put back."""
    expected = [bytes(element) for element in array.elements]
    for position, record in reversed(placement.insertions):
        expected.insert(position, record.raw)
    if [bytes(element) for element in split(text).elements] != expected:
        raise ChangedError("the records put back do not read back as they were, so nothing was written")


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
