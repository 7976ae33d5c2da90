"""What every run that changes something begins with: one run at a time, a believable clock, a sound file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from aml.config import Settings
from aml.errors import UsageError
from aml.fs.run_lock import run_lock
from aml.fs.runtime_lock import LockPolicy
from aml.ledger.clock import ClockLimits, clock_doubt, refuse_doubtful_clock
from aml.ledger.recovery import recover
from aml.ledger.runs import Journal, Run
from aml.ledger.state import FileLockNotes, lock_notes, prepare_folder, run_lock_path
from aml.model.timestamps import to_iso
from aml.store.open import Store, refuse_network_store

#: A run by another host within the last hour is worth a warning.
_OTHER_HOST_SECONDS = 3600.0

_LONGEST_TIMEOUT = 86_400


class Conditions(Struct, frozen=True):
    """What a run may take for granted: patience with locks, trust in the clock and in the file system."""

    locks: LockPolicy = LockPolicy()
    clock: ClockLimits = ClockLimits()
    trust_clock: bool = False
    allow_network_store: bool = False

    @classmethod
    def of(cls, settings: Settings, *, lock_timeout: float | None = None, trust_clock: bool = False) -> Conditions:
        timeout = settings.locks.timeout_seconds if lock_timeout is None else lock_timeout
        if not 0 <= timeout <= _LONGEST_TIMEOUT:
            raise UsageError(f"a lock timeout cannot be {timeout:g} s", advice=f"say 0 to {_LONGEST_TIMEOUT:,} seconds")
        return cls(
            locks=LockPolicy(timeout=timeout),
            clock=ClockLimits(settings.clock.max_behind_minutes, settings.clock.max_ahead_days),
            trust_clock=trust_clock,
            allow_network_store=settings.store.allow_network_store,
        )


@contextmanager
def changing(
    store: Store, journal: Journal, operation: str, now: float, conditions: Conditions
) -> Iterator[tuple[FileLockNotes, tuple[str, ...]]]:
    """Everything that comes before a change: one run at a time, on a sound file system, with a believable clock, and
    with whatever a crashed run left cleared away."""
    refuse_network_store(store, allowed=conditions.allow_network_store)
    prepare_folder(store.state)
    with run_lock(run_lock_path(store), operation, to_iso(now)):
        newest = journal.newest()
        refuse_doubtful_clock(clock_doubt(newest, now, conditions.clock), trusted=conditions.trust_clock)
        with lock_notes(store) as locks:
            notes = recover(store, journal)
            yield locks, (*locks.problems, *notes, *_other_host(newest, now))


def _other_host(newest: Run | None, now: float) -> list[str]:
    here = os.uname().nodename
    if newest is None or newest.host in ("", here) or not 0 <= now - newest.started_at < _OTHER_HOST_SECONDS:
        return []
    return [f"{newest.host} ran {newest.operation} here at {newest.started}; two machines must not maintain one store"]
