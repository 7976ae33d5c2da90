"""How a migration ends that did not go through: every file that it replaced gets its original back.

In the run itself where something failed, and in the next one where the process died; there, a migration that had
replaced all its files counts as done.
"""

from __future__ import annotations

import os

from msgspec import Struct

from aml.errors import AmlError, NotFoundError
from aml.fs.access import explained
from aml.fs.new_folder import remove_tree
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.quarantine import FOLDER as QUARANTINE
from aml.ledger.quarantine import find_original, hash_now, settle_original, take_back
from aml.ledger.runs import Journal, Run
from aml.ledger.undo_originals import put_back_originals
from aml.migrate.claim import Claimed, write_claims
from aml.migrate.staging import Staging
from aml.store.open import Store

#: Counts of what a run leaves as it is.
_LEFT = ("bad", "too_new", "unread")


class RolledBack(Struct, frozen=True):
    """Which files got their original back, which were left to whoever has written to them since, with the reason, and
    which could not be put back now, so that the next run is to try again."""

    back: tuple[str, ...]
    left: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def told(self) -> str:
        """What became of the files, as part of a message."""
        parts = [] if self.left or self.failed else ["every file is as it was"]
        if self.left:
            parts.append(f"every other file is as it was; left as it is: {'; '.join(self.left)}")
        if self.failed:
            parts.append(f"not put back yet, which the next run does: {'; '.join(self.failed)}")
        return "; ".join(parts)


def roll_back(store: Store, run: Run, notes: LockNotes, policy: LockPolicy) -> RolledBack:
    """Put every original back where the run's own bytes still are; ``run`` then names what is not back.

    Nothing is raised for a single file. A damaged original stays in quarantine, and the backup made before has it.
    """
    replaced: list[str] = []
    failed: list[tuple[str, str]] = []
    for path in run.quarantined:
        try:
            if settle_original(store, run.id, path):
                replaced.append(path)
        except AmlError as error:
            failed.append((path, str(error)))
    run.quarantined = replaced
    left: list[tuple[str, str]] = []
    for one in put_back_originals(store, run, notes, policy):
        if one.problem is None:
            try:
                take_back(store, run.id, one.path)
            except AmlError:
                continue  # it is in its place, which is what counts
        else:
            (left if one.is_replaced else failed).append((one.path, one.problem))
    away = {path for path, _ in (*left, *failed)}
    back = tuple(path for path in replaced if path not in away)
    run.quarantined = [path for path in run.quarantined if path in away] + [
        path for path, _ in failed if path not in replaced
    ]
    return RolledBack(back, tuple(map(_told, left)), tuple(map(_told, failed)))


def _told(one: tuple[str, str]) -> str:
    path, problem = one
    return problem if path in problem else f"{path}: {problem}"


def end_migration(store: Store, run: Run, notes: LockNotes, policy: LockPolicy) -> str:
    """Bring a migration whose process died to its end, and set its state; returns a note."""
    told = f"run {run.id} (migrate) had died"
    if run.quarantined and all(_is_replaced(store, run, path) for path in run.quarantined):
        # what was counted before it began is what it has done
        run.state = "partial" if any(run.counts.get(name) for name in _LEFT) else "done"
        run.quarantined = []
        return f"{told} when all its files were replaced; it was completed"
    rolled = roll_back(store, run, notes, policy)
    run.state, run.counts = "begun" if rolled.failed else "interrupted", run.counts if rolled.failed else {}
    return f"{told}; {rolled.told}"


def _is_replaced(store: Store, run: Run, path: str) -> bool:
    """Whether a file holds what the run was to put there."""
    try:
        original = find_original(store, run.id, path)
        return original is not None and hash_now(store, path) == original.after
    except AmlError:
        return False


def clear_up(store: Store, run: Run) -> list[str]:
    """What comes after a migration that is over: the claims where it is done, then what it kept for a way back.

    Returns notes of what could not be done. The staging goes last: while it is there, this is done again.
    """
    notes: list[str] = []
    try:
        done = claimed_by(run) if run.state in ("done", "partial") else None
        if done is not None:
            notes += write_claims(store, done)
        if not run.quarantined:
            _remove_quarantine(store, run.id)
        Staging.of(store, run.id).discard()
    except AmlError as error:
        notes.append(f"the migration {run.id} is over, but not all was cleared up: {error}")
    return notes


def claimed_by(run: Run) -> Claimed | None:
    """What a run that is done makes true of the whole store, if anything."""
    if run.options.get("agents") or run.counts.get("others") or run.counts.get("unread"):
        return None
    moved = {name: number for name, number in run.counts.items() if " -> " in name}
    at = run.finished or run.started
    return Claimed(run.id, at, str(run.options.get("direction")), str(run.options.get("target")), moved)


def _remove_quarantine(store: Store, run: str) -> None:
    folder = store.keep / QUARANTINE / run
    if os.path.lexists(folder):
        with explained("remove", folder):
            remove_tree(folder)


def clear_ended(store: Store, journal: Journal, runs: list[str]) -> list[str]:
    """Clear up after migrations that are over; those that are still to be ended keep what they have."""
    notes = []
    for run_id in runs:
        try:
            run = journal.read(run_id)
            if not run.is_unfinished:
                notes += clear_up(store, run)
        except NotFoundError:
            # it died before it was written down, so before it changed anything
            notes += _discard(store, run_id)
    return notes


def _discard(store: Store, run: str) -> list[str]:
    try:
        Staging.of(store, run).discard()
    except AmlError as error:
        return [f"left over from a migration that changed nothing: {error.message}"]
    return []
