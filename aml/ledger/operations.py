"""When each operation last ran, and with what result: runs that change nothing in the store leave no journal entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from aml.fs.durable import write_in_turn
from aml.fs.files import MOST_STATE, is_there, read_regular
from aml.fs.flock import file_lock
from aml.ledger.state import prepare_folder
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

_NAME = "operations.json"
_LOCK_NAME = "operations.lock"
#: The file is small and held for one write: whoever keeps it longer (seconds) is stuck.
_LOCK_SECONDS = 10.0

#: Noted when a clock is trusted: what it contradicted, which from then on is no measure.
CLOCK_TRUSTED = "clock-trusted"


class Operation(Struct, frozen=True):
    """One run: times are ISO 8601 UTC, ``seconds`` how long it took, ``exit`` its status, ``subject`` what it was about
    (such as the id of a backup)."""

    operation: str
    started: str
    seconds: float
    exit: int
    subject: str = ""
    counts: dict[str, int] = {}


class _Operations(Struct):
    """Per operation its last run, and its last one that succeeded."""

    last: dict[str, Operation] = {}
    succeeded: dict[str, Operation] = {}


def note_operation(store: Store, run: Operation) -> None:
    """Write down a run as the last of its kind. Raises FileAccessError, LockedError."""
    with state_lock(store):
        known = _read(store)
        known.last[run.operation] = run
        if run.exit == 0:
            known.succeeded[run.operation] = run
        write_in_turn(store.state / _NAME, msgspec.json.encode(known))


def last_operations(store: Store) -> dict[str, Operation]:
    """The last run of each operation by name. Raises FileAccessError."""
    return _read(store).last


def last_successes(store: Store) -> dict[str, Operation]:
    """The last run of each operation that ended with exit status 0, by name. Raises FileAccessError."""
    return _read(store).succeeded


def _read(store: Store) -> _Operations:
    path = store.state / _NAME
    if not is_there(path):
        return _Operations()
    try:
        return msgspec.json.decode(read_regular(path, most=MOST_STATE), type=_Operations)
    except UNDECODABLE:
        # derived from runs that are over: what is lost with it is when they were
        return _Operations()


@contextmanager
def state_lock(store: Store, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keep others from writing, or clearing away, what is written without the run lock in the folder beside the store.

    Raises LockedError where somebody keeps it for longer than ``seconds``, FileAccessError.
    """
    prepare_folder(store.state)
    path = store.state / _LOCK_NAME
    with file_lock(path, seconds, taken=f"{path} stays locked", advice="wait for the other AML runs to end"):
        yield
