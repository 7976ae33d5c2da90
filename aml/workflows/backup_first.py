"""The backup before a run that changes records: without it, nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import structs

from aml.errors import AmlError
from aml.ledger.runs import Journal
from aml.store.open import Store
from aml.workflows.conditions import Conditions

if TYPE_CHECKING:
    from aml.backup.create import BackupReport


def back_up_first(
    store: Store,
    journal: Journal,
    tag: str,
    now: float,
    conditions: Conditions,
    progress: Callable[[str], None],
    *,
    unchanged: str,
    otherwise: str,
) -> BackupReport:
    """A backup of the whole store with that tag; the run lock must be held.

    Raises AmlError that says what is ``unchanged``, and, where that could be done, how to do ``otherwise``.
    """
    # most runs are dry or find nothing to change, and need none of this
    from aml.backup.options import BackupOptions
    from aml.workflows.backup import back_up

    options = BackupOptions(tags=(tag,), compression=conditions.compression)
    try:
        report = back_up(store, journal, options, now, conditions, progress)
    except AmlError as error:
        # without that folder there is no place for archives and originals either
        could = store.keep.is_dir() or not os.path.lexists(store.keep)
        ways = [error.advice, f"or {otherwise}: --no-backup" if could else ""]
        raise type(error)(f"{unchanged}: {error.message}", advice="; ".join(way for way in ways if way)) from error
    # what the backup cannot read, nobody can change either
    left_out = tuple(f"the backup made before is without {one.path}: {one.reason}" for one in report.unread)
    return structs.replace(report, notes=(*report.notes, *left_out))
