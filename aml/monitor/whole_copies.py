"""Where a file that is damaged now stands whole: the backups that hold it as it was before."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress

from aml.errors import DamagedError, NotFoundError
from aml.fs.files import read_whole
from aml.repository.destination import Destination
from aml.repository.index import load_index
from aml.repository.manifest import Listing, ListingRef
from aml.repository.reader import Reader
from aml.repository.snapshots import Snapshot, Snapshots
from aml.store.layout import agent_of
from aml.store.open import Store

#: So many of the newest backups are looked at.
_MOST_BACKUPS = 50


def newest_whole(
    store: Store, destination: Destination, backups: Snapshots, paths: Collection[str]
) -> dict[str, Snapshot]:
    """By path, the newest backup that holds this file whole, and not as it is now; backups that cannot be read do not.

    Raises FileAccessError, and DamagedError where the repository itself cannot be read.
    """
    snapshots = sorted(backups.readable, key=lambda one: (-one.manifest.sequence, one.id))
    if not (snapshots and paths):
        return {}
    wanted = {path: _digest(store, path) for path in paths}
    found: dict[str, Snapshot] = {}
    # without a lock: nothing is written, and a pack that a rotation takes away is one backup less
    reader = Reader(destination, None, load_index(destination))
    known: dict[str, dict[str, str]] = {}
    try:
        for snapshot in snapshots[:_MOST_BACKUPS]:
            owners = {agent_of(path) for path in wanted if path not in found}
            for reference in snapshot.manifest.listings:
                if reference.agent in owners:
                    whole = _whole_files(reader, reference, known)
                    held = (path for path in wanted if whole.get(path) not in (None, wanted[path]))
                    found |= {path: snapshot for path in held if path not in found}
    finally:
        reader.close()
    return found


def _whole_files(reader: Reader, reference: ListingRef, known: dict[str, dict[str, str]]) -> dict[str, str]:
    """SHA-256 by path of the whole files of a listing; ``known`` are those of before, as most are in many backups."""
    if reference.sha256 not in known:
        listing = Listing(0, [], [])
        with suppress(DamagedError, NotFoundError):
            listing = reader.read_listing(reference)
        known[reference.sha256] = {one.location: one.sha256 for one in listing.files if one.damaged is None}
    return known[reference.sha256]


def _digest(store: Store, path: str) -> str | None:
    """SHA-256 of a file as it is now; None where it cannot be read."""
    try:
        return hashlib.sha256(read_whole(store.root / path)[0]).hexdigest()
    except OSError:
        return None
