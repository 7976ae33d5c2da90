"""What every run begins with: where backups lie, one change at a time, a believable clock, a sound file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from aml.config import PruneSettings, Settings
from aml.errors import NotFoundError, UsageError
from aml.fs.mounts import refuse_network
from aml.fs.run_lock import run_lock
from aml.fs.runtime_lock import LockPolicy
from aml.hooks import Hooks
from aml.ledger.budget import Limits
from aml.ledger.clock import ClockLimits, Witness, clock_doubt, newest_of, refuse_doubtful_clock, witness_of
from aml.ledger.operations import CLOCK_TRUSTED, Operation, last_operations, note_operation
from aml.ledger.recovery import recover
from aml.ledger.runs import Journal, Run
from aml.ledger.state import FileLockNotes, lock_notes, prepare_folder, run_lock_path
from aml.model.timestamps import to_iso
from aml.repository.local_folder import LocalFolder
from aml.repository.packs import Compression
from aml.store.open import Store
from aml.workflows.notes import MIGRATION, RESTORE, stagings

if TYPE_CHECKING:
    from aml.repository.repository import Reader

#: A run by another host within the last hour is worth a warning.
_OTHER_HOST_SECONDS = 3600.0

_LONGEST_TIMEOUT = 86_400

#: Operations whose dead runs are brought to an end by their own rooms. Said here too, so that a run which meets neither
#: loads neither.
_RESTORE, _MIGRATE = "restore", "migrate"


class Conditions(Struct, frozen=True):
    """What a run finds given: where backups go (None: beside the store), how they are packed, which commands run before
    and after; patience with locks, trust in the clock and in the file system."""

    locks: LockPolicy = LockPolicy()
    clock: ClockLimits = ClockLimits()
    trust_clock: bool = False
    allow_network_store: bool = False
    repository: Path | None = None
    compression: Compression = "default"
    backup_hooks: Hooks = Hooks()
    prune_hooks: Hooks = Hooks()

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        lock_timeout: float | None = None,
        trust_clock: bool = False,
        repository: Path | None = None,
    ) -> Conditions:
        timeout = settings.locks.timeout_seconds if lock_timeout is None else lock_timeout
        if not 0 <= timeout <= _LONGEST_TIMEOUT:
            raise UsageError(f"a lock timeout cannot be {timeout:g} s", advice=f"say 0 to {_LONGEST_TIMEOUT:,} seconds")
        hooks = settings.hooks
        return cls(
            locks=LockPolicy(timeout=timeout),
            clock=ClockLimits(settings.clock.max_behind_minutes, settings.clock.max_ahead_days),
            trust_clock=trust_clock,
            allow_network_store=settings.store.allow_network_store,
            repository=repository,
            compression=settings.backup.compression,
            backup_hooks=Hooks(
                hooks.before_backup,
                hooks.after_backup,
                hooks.after_partial_backup,
                hooks.after_failed_backup,
                hooks.timeout_seconds,
            ),
            prune_hooks=Hooks(
                hooks.before_prune,
                hooks.after_prune,
                hooks.after_partial_prune,
                hooks.after_failed_prune,
                hooks.timeout_seconds,
            ),
        )


def repository_folder(store: Store, conditions: Conditions) -> Path:
    """Where the backups of ``store`` lie. Raises UsageError where that is inside the store, or the store inside it."""
    if conditions.repository is None:
        return store.keep
    real = Path(os.path.realpath(conditions.repository))
    if real == store.root or store.root in real.parents:
        raise UsageError(
            f"the repository {real} lies inside the store, where agents would take it for an agent's memory",
            advice="name a folder outside the store, such as the default beside it",
        )
    if real == store.state or store.state in real.parents:
        raise UsageError(f"the repository {real} lies inside AML's own folder", advice="name another folder")
    if real in store.root.parents:
        raise UsageError(f"the repository {real} holds the store itself", advice="name a folder beside the store")
    return conditions.repository


def destination_of(store: Store, conditions: Conditions, *, writes: bool) -> LocalFolder:
    """The repository as a destination. Raises UsageError, and FileAccessError where it is to be written to on a network
    file system and that is not allowed."""
    folder = repository_folder(store, conditions)
    if writes:
        refuse_network(folder, allowed=conditions.allow_network_store)
    return LocalFolder(folder)


@contextmanager
def reading_backups(store: Store, conditions: Conditions, purpose: str) -> Iterator[Reader]:
    """The repository, opened for reading. Raises NotFoundError where there is none yet, and other AmlError."""
    from aml.repository.repository import reading

    destination = destination_of(store, conditions, writes=False)
    with ExitStack() as opened:
        try:
            reader = opened.enter_context(reading(destination, purpose=purpose, timeout=conditions.locks.timeout))
        except NotFoundError as error:
            raise no_backup_yet(destination) from error
        yield reader


def no_backup_yet(destination: LocalFolder) -> NotFoundError:
    return NotFoundError(f"there is no backup in {destination} yet", advice="aml backup create makes one")


def newest_witness(store: Store, conditions: Conditions, run: Run | None) -> Witness | None:
    """What AML did last, by a clock that was believed: ``run``, or the newest backup."""
    backup = _newest_backup(store, conditions)
    if backup is not None:
        overruled = last_operations(store).get(CLOCK_TRUSTED)
        if overruled is not None and overruled.subject == backup.what:
            backup = None
    return newest_of(witness_of(run), backup)


def _newest_backup(store: Store, conditions: Conditions) -> Witness | None:
    if not (repository_folder(store, conditions) / "snapshots").is_dir():
        return None
    from aml.repository.snapshots import newest_believed

    snapshot = newest_believed(destination_of(store, conditions, writes=False))
    return Witness(f"backup ({snapshot.id})", snapshot.manifest.time.timestamp()) if snapshot is not None else None


def _overrule(store: Store, conditions: Conditions, now: float) -> None:
    """Somebody trusts the clock against what AML did last: a backup that contradicts it must not stop later runs."""
    backup = _newest_backup(store, conditions)
    if backup is not None:
        note_operation(store, Operation(CLOCK_TRUSTED, to_iso(now), 0.0, 0, backup.what))


def doubt_about(store: Store, journal: Journal, now: float, conditions: Conditions) -> str | None:
    """Why now contradicts what AML did last, or None where it does not."""
    return clock_doubt(newest_witness(store, conditions, journal.newest()), now, conditions.clock)


def limits_of(settings: PruneSettings, max_loss: float | None) -> Limits:
    """The loss budget; ``max_loss`` (0 to 1) is meant to the letter: with it, a small agent gets no allowance."""
    return Limits(
        run_share=settings.max_loss if max_loss is None else max_loss,
        window_share=settings.max_window_loss,
        window_days=settings.window_days,
        allowance=settings.small_agent_allowance if max_loss is None else 0,
    )


def clock_note(store: Store, journal: Journal, now: float, conditions: Conditions) -> tuple[str, ...]:
    """What a dry run tells of a clock that a real run would refuse."""
    doubt = None if conditions.trust_clock else doubt_about(store, journal, now, conditions)
    return (f"{doubt}: a real run would refuse without --trust-clock",) if doubt is not None else ()


@contextmanager
def changing(
    store: Store,
    journal: Journal,
    operation: str,
    now: float,
    conditions: Conditions,
    *,
    judges_ages: bool = True,
    wait: float = 0.0,
) -> Iterator[tuple[FileLockNotes, tuple[str, ...]]]:
    """Everything that comes before a change: one run at a time (others are waited for so many seconds), on a sound
    file system, with a believable clock where ages are judged, and with what a crashed run left brought to an end."""
    refuse_network(store.root, allowed=conditions.allow_network_store)
    prepare_folder(store.state)
    with run_lock(run_lock_path(store), operation, to_iso(now), timeout=wait):
        newest = journal.newest()
        if judges_ages:
            doubt = clock_doubt(newest_witness(store, conditions, newest), now, conditions.clock)
            refuse_doubtful_clock(doubt, trusted=conditions.trust_clock)
            if doubt is not None:
                _overrule(store, conditions, now)
        with lock_notes(store) as locks:
            notes = recover(
                store,
                journal,
                {
                    _RESTORE: partial(_end_restore, store, locks, conditions.locks),
                    _MIGRATE: partial(_end_migration, store, locks, conditions.locks),
                },
            )
            notes += _discard_stagings(store)
            notes += _clear_migrations(store, journal)
            yield locks, (*locks.problems, *journal.passed_over, *notes, *_other_host(newest, now))


def _end_restore(store: Store, locks: FileLockNotes, policy: LockPolicy, run: Run) -> str:
    from aml.backup.restore import finish_restore

    run.state, note = finish_restore(store, run.id, locks, policy)
    return note


def _end_migration(store: Store, locks: FileLockNotes, policy: LockPolicy, run: Run) -> str:
    from aml.migrate.ending import end_migration

    return end_migration(store, run, locks, policy)


def _clear_migrations(store: Store, journal: Journal) -> list[str]:
    """Clear up after migrations that are over; returns notes of what could not be done."""
    runs = stagings(store, MIGRATION)
    if not runs:
        return []
    from aml.migrate.ending import clear_ended

    return clear_ended(store, journal, runs)


def _discard_stagings(store: Store) -> list[str]:
    """Remove what a restore left that was over but for its clearing up, since every unfinished one has just been ended;
    returns notes of what could not be removed, which is in nobody's way."""
    runs = stagings(store, RESTORE)
    if not runs:
        return []
    from aml.backup.restore import discard_leftovers

    return discard_leftovers(store, runs)


def _other_host(newest: Run | None, now: float) -> list[str]:
    here = os.uname().nodename
    if newest is None or newest.host in ("", here) or not 0 <= now - newest.started_at < _OTHER_HOST_SECONDS:
        return []
    return [f"{newest.host} ran {newest.operation} here at {newest.started}; two machines must not maintain one store"]
