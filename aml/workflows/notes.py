"""What several commands tell beside their answer."""

from __future__ import annotations

import os
import stat

from aml.fs.files import is_there
from aml.store.open import Store

#: Folders beside the store of what a restore, or a migration, makes ready.
RESTORE, MIGRATION = "restore", "migration"

#: Where somebody saw what a run would do, and said no.
NOT_CONFIRMED = "nothing was changed: not confirmed"


def stranger_notes(store: Store) -> tuple[str, ...]:
    """What is told of folders that would be agents if their names could be read."""
    return tuple(
        f"left alone: the folder {name}, whose name is not UTF-8, or not in this locale" for name in store.strangers()
    )


def unfinished_notes(store: Store) -> tuple[str, ...]:
    """What to tell whoever looks at a store that a dead run has left half-done: the next run that changes it ends
    that."""
    return tuple(told for told in (unfinished_restore(store), unfinished_migration(store)) if told is not None)


def unfinished_restore(store: Store) -> str | None:
    """What to tell where a restore died half-way and no run has brought it to an end yet."""
    if not any(is_there(store.state / RESTORE / run / "steps.json") for run in stagings(store, RESTORE)):
        return None
    return (
        "a restore died half-way: the store is neither what it was nor what it should be, until the next run that "
        "changes it (such as aml backup create) brings it to an end"
    )


def unfinished_migration(store: Store) -> str | None:
    """What to tell where a migration is under way, or died and no run has brought it to an end yet."""
    if not stagings(store, MIGRATION):
        return None
    return "a migration is under way, or died: the next run that changes the store brings it to an end"


def stagings(store: Store, of: str) -> list[str]:
    """The runs whose restores, or migrations, have a folder of their own still; a link or a file of that name is
    somebody else's."""
    folder = store.state / of
    try:
        if not stat.S_ISDIR(os.stat(folder, follow_symlinks=False).st_mode):
            return []
        with os.scandir(folder) as entries:
            found = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        # whoever has to change something there will say so
        return []
    if not found:
        return []
    from aml.ledger.runs import is_run_id  # hardly ever needed, and queries are to start fast

    return [name for name in found if is_run_id(name)]
