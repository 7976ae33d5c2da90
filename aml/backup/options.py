"""What a user can ask of a backup and of a restore."""

from __future__ import annotations

from msgspec import Struct

from aml.repository.manifest import Kind
from aml.repository.packs import Compression

#: Tag of the backup that a restore makes of what it is about to replace.
PRE_RESTORE = "pre-restore"
#: Tag of the backup that a prune makes before it removes anything.
PRE_PRUNE = "pre-prune"
#: Tag of the backup that a migration makes before it replaces anything.
PRE_MIGRATION = "pre-migration"
#: Tag of the backups that cron makes.
AUTO = "auto"
#: Tags that nobody chose, so they say nothing about how much a backup is worth to anybody.
OWN_TAGS = frozenset({PRE_RESTORE, PRE_PRUNE, PRE_MIGRATION, AUTO})


class BackupOptions(Struct, frozen=True):
    """``kind`` full reads every file again; incremental takes over what has not changed since the parent.

    ``agents`` empty means the whole store.
    """

    kind: Kind = "incremental"
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    compression: Compression = "default"


class RestoreOptions(Struct, frozen=True):
    """Which part of a backup, and how.

    ``agents`` and ``paths`` (files or folders, relative to the store) narrow it down; empty means all of it. Exact
    unless ``keep_extra``: what the backup does not hold goes. ``skip_damaged`` leaves alone what cannot be read whole
    from the repository, instead of stopping before anything is changed.
    """

    agents: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    keep_extra: bool = False
    skip_damaged: bool = False
