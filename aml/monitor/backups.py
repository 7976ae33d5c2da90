"""What can be told of a store's backups without reading their data."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aml.ledger.operations import Operation, last_operations, last_successes
from aml.model.timestamps import to_iso
from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import Scope
from aml.repository.snapshots import Snapshot, Snapshots
from aml.store.open import Store

#: What a repository's own keys begin with: archives and quarantine may lie in the same folder.
_OWN = ("packs/", "index/", "snapshots/", "repository.json")


class BackupsSeen(Struct, frozen=True):
    """The backups in a repository: how many can be read and are complete, and what they take on disk (bytes).

    ``newest`` is the id of the newest complete one of the whole store and ``newest_time`` when it was made,
    ``newest_full`` that of the newest full one; ``verified``, ``drilled`` and ``rotated`` are when that last succeeded,
    ``last_verify`` and ``last_drill`` the exit statuses of the last attempts. Times are ISO 8601 UTC, None is never.
    ``damaged`` are the manifests that cannot be read, and ``incomplete`` is the id of the newest backup of the whole
    store where that is none of the complete ones.
    """

    repository: str
    count: int = 0
    complete: int = 0
    stored_bytes: int = 0
    newest: str | None = None
    newest_time: str | None = None
    newest_full: str | None = None
    verified: str | None = None
    last_verify: int | None = None
    drilled: str | None = None
    last_drill: int | None = None
    rotated: str | None = None
    damaged: tuple[str, ...] = ()
    incomplete: str | None = None


def look_at_backups(store: Store, destination: LocalFolder, found: Snapshots) -> BackupsSeen:
    """What there is in a repository, of which ``found`` are the backups; nothing, where there is none yet.

    Raises FileAccessError where it cannot be listed.
    """
    entries = destination.entries("")
    complete = found.complete(Scope())
    newest = _last(complete)
    full = _last([one for one in complete if one.manifest.kind == "full"])
    last_whole = _last([one for one in found.readable if one.manifest.scope == Scope()])
    last, succeeded = last_operations(store), last_successes(store)
    return BackupsSeen(
        repository=str(destination),
        count=len(found.readable),
        complete=len(found.complete()),
        stored_bytes=sum(entry.size for entry in entries if entry.key.startswith(_OWN)),
        newest=None if newest is None else newest.id,
        newest_time=_made(newest),
        newest_full=_made(full),
        verified=_when(succeeded.get("verify")),
        last_verify=_how(last.get("verify")),
        drilled=_when(succeeded.get("drill")),
        last_drill=_how(last.get("drill")),
        rotated=_when(succeeded.get("rotate")),
        damaged=tuple(flaw.key for flaw in found.flaws),
        incomplete=None if last_whole is None or last_whole.manifest.complete else last_whole.id,
    )


def _last(ordered: Sequence[Snapshot]) -> Snapshot | None:
    return ordered[-1] if ordered else None


def _made(snapshot: Snapshot | None) -> str | None:
    return None if snapshot is None else to_iso(snapshot.manifest.time.timestamp())


def _when(operation: Operation | None) -> str | None:
    return None if operation is None else operation.started


def _how(operation: Operation | None) -> int | None:
    return None if operation is None else operation.exit
