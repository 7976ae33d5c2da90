"""Archives and quarantines that are old enough to go for good: after that, their run cannot be undone any more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from aml.errors import DamagedError, NotFoundError
from aml.fs.access import explained
from aml.fs.durable import remove_durably
from aml.fs.new_folder import remove_tree
from aml.ledger.quarantine import FOLDER as QUARANTINE
from aml.ledger.runs import Journal
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.timestamps import SECONDS_PER_DAY
from aml.store.open import Store
from aml.store.sizes import size_below

#: The id of a run, with the time at which it began, in the name of its archives.
_RUN_ID = re.compile(r"((\d{8}T\d{6})-\d{4,}-[0-9a-f]{4})")
_OF_RESTORE = re.compile(r"backup-((\d{8}T\d{6})-\d{4,}-[0-9a-f]{4})")
_OF_KIND = re.compile(rf"(?:{'|'.join(KIND_BY_PLURAL)})-((\d{{8}}T\d{{6}})-\d{{4,}}-[0-9a-f]{{4}})\.jsonl\.gz")


class Expired(Struct, frozen=True):
    """An archive that is due: its path inside the folder beside the store, the run it belongs to, its size (bytes)."""

    path: str
    run: str
    size: int


def expired_archives(store: Store, now: float, days: float) -> list[Expired]:
    """Archives of runs that began more than so many days before ``now`` (seconds since 1970 UTC)."""
    return [one for one, began in _archives(store) if now - began > days * SECONDS_PER_DAY]


def expire(store: Store, journal: Journal, archives: list[Expired]) -> None:
    """Remove archives; the journal says first that they are gone, so that nobody looks for them.

    The run lock must be held. Raises FileAccessError.
    """
    paths = {one.path for one in archives}
    for run_id in sorted({one.run for one in archives}):
        try:
            run = journal.read(run_id)
        except (NotFoundError, DamagedError):
            continue  # nobody can undo that run anyway
        for file in run.files:
            if file.archive in paths:
                file.archive, file.expired = None, True
        if f"{QUARANTINE}/{run_id}" in paths:
            run.quarantined, run.quarantine_expired = [], True
        journal.write(run)
    for one in archives:
        path = store.keep / one.path
        if path.is_dir() and not path.is_symlink():
            with explained("remove", path):
                remove_tree(path)
        else:
            remove_durably(path)


def _archives(store: Store) -> Iterator[tuple[Expired, float]]:
    """Every archive and quarantine, and when its run began."""
    for quarantine in _listed(store.keep / QUARANTINE):
        if (began := _began(_RUN_ID, quarantine.name)) is not None:
            yield Expired(f"{QUARANTINE}/{quarantine.name}", began[0], size_below(quarantine)), began[1]
    folder = store.keep / "archives"
    for agent in _listed(folder):
        if (began := _began(_OF_RESTORE, agent.name)) is not None:
            yield Expired(f"archives/{agent.name}", began[0], size_below(agent)), began[1]
        elif agent.is_dir() and not agent.is_symlink():
            for path in _listed(agent):
                if (began := _began(_OF_KIND, path.name)) is not None:
                    relative = f"archives/{agent.name}/{path.name}"
                    yield Expired(relative, began[0], path.stat(follow_symlinks=False).st_size), began[1]


def _listed(folder: Path) -> list[Path]:
    with explained("list", folder):
        try:
            return sorted(folder / name for name in os.listdir(folder))
        except FileNotFoundError:
            return []


def _began(pattern: re.Pattern[str], name: str) -> tuple[str, float] | None:
    match = pattern.fullmatch(name)
    if match is None:
        return None
    try:
        began = datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return match[1], began
