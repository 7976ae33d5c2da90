"""Putting whole files back from quarantine, where the store still holds what the run had put in their place."""

from __future__ import annotations

import os

from aml.errors import AmlError, ChangedError, DamagedError, ExitStatus, NotFoundError
from aml.fs.access import explained
from aml.fs.files import is_there
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.quarantine import Original, digest_of_records, find_original, hash_now, place_of, read_original
from aml.ledger.runs import Run
from aml.ledger.undo import FileUndo, OriginalUndo
from aml.store.layout import RecordFile, locked_file
from aml.store.open import Store
from aml.store.read import read_content
from aml.store.transact import Transaction, transaction, with_attempts


def put_back_originals(store: Store, run: Run, notes: LockNotes, policy: LockPolicy) -> list[OriginalUndo]:
    """Put back each file that a run took away or replaced; what stands in the way is reported, not raised."""
    return [_put_back(store, run.id, path, notes, policy) for path in run.quarantined]


def preview_originals(store: Store, run: Run) -> list[OriginalUndo]:
    """What ``put_back_originals`` would do now."""
    found = []
    for path in run.quarantined:
        try:
            original = _original(store, run.id, path)
            due = _is_due(store, original)
            found.append(OriginalUndo(path, put_back=due, was_made=original.sha256 is None))
        except AmlError as error:
            found.append(_left_alone(path, error, error.status))
    return found


def restored_whole(run: Run, originals: list[OriginalUndo]) -> dict[tuple[str, str], FileUndo]:
    """Of a run's record files, by agent and kind, those that are as they were since their original is in its place, and
    those whose original could not be put back: what else is done there would be in its way the next time."""
    found = {one.path: one for one in originals if not one.is_replaced}
    whole = {}
    for file in run.files:
        one = found.get(file.path)
        if one is None:
            continue
        undo = whole[file.agent, file.kind] = FileUndo(file.agent, file.kind)
        if one.problem:
            undo.problem, undo.status = one.problem, one.status
        else:
            undo.keys = list(file.removed)
            undo.restored, undo.already_there = (len(undo.keys), 0) if one.put_back else (0, len(undo.keys))
    return whole


def _put_back(store: Store, run: str, path: str, notes: LockNotes, policy: LockPolicy) -> OriginalUndo:
    def put() -> OriginalUndo:
        original = _original(store, run, path)
        with transaction(store, locked_file(store.root, path), notes, policy) as held:
            due = _is_due(store, original)
            if due:
                _write_original(store, held, original)
        return OriginalUndo(path, put_back=due, was_made=original.sha256 is None)

    return with_attempts(put, lambda error, status: _left_alone(path, error, status))


def _left_alone(path: str, error: AmlError, status: ExitStatus) -> OriginalUndo:
    return OriginalUndo(path, is_replaced=isinstance(error, _ReplacedError), problem=str(error), status=status)


def _original(store: Store, run: str, path: str) -> Original:
    original = find_original(store, run, path)
    if original is None:
        raise NotFoundError(f"the original of {path} is not in quarantine any more: {place_of(store, run, path)}")
    return original


class _ReplacedError(AmlError):
    """Something else is in the place of an original by now."""

    status = ExitStatus.PARTIAL


def _is_due(store: Store, original: Original) -> bool:
    """Whether the original is to be put back, and not there already. Raises an error where neither is so."""
    now = hash_now(store, original.path)
    if now == original.sha256:
        return False
    if now != original.after and not _holds_what_was_left(store, original):
        raise _ReplacedError(
            f"{original.path} was written to since",
            advice=f"its original lies in {place_of(store, original.run, original.path)}",
        )
    return True


def _holds_what_was_left(store: Store, original: Original) -> bool:
    """Whether the record file holds the records that the run left there, if with other bytes between them."""
    path = store.root / original.path
    if original.after_records is None or not is_there(path):
        return False
    folder, _, _ = original.path.partition("/")
    try:
        array = read_content(RecordFile(folder, "", path), store.max_unpacked_bytes).array()
    except DamagedError:
        return False
    return digest_of_records(array) == original.after_records


def _write_original(store: Store, held: Transaction, original: Original) -> None:
    path = store.root / original.path
    if original.after is None:
        held.create_as(read_original(store, original), path, mode=original.mode)
    else:
        present = held.read()
        if present.sha256 != original.after and not _holds_what_was_left(store, original):
            raise ChangedError(f"{path} was changed while it was looked at")
        if original.sha256 is None:
            held.remove(present)
            return
        held.replace_as(present, read_original(store, original))
    with explained("write", path):
        os.utime(path, ns=(original.mtime_ns, original.mtime_ns), follow_symlinks=False)
