"""What a shell can complete after ``aml``: names that are in the store. Runs outside an invocation and never fails."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from aml.errors import AmlError
from aml.fs.access import explained
from aml.model.kinds import KINDS
from aml.store.open import Store, find_store, open_store


def _store(ctx: typer.Context) -> Store:
    """Raises AmlError."""
    named = ctx.find_root().params.get("store") or os.environ.get("AML_STORE")
    # that folder may have been removed under the shell
    with explained("look for a store from", Path(".")):
        return open_store(named or find_store(Path.cwd()))


def complete_agent(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of agents that begin with what was typed."""
    try:
        return [name for name in _store(ctx).agents() if name.startswith(incomplete)]
    except AmlError:
        return []


def complete_kind(incomplete: str) -> list[str]:
    """Kinds of records that begin with what was typed."""
    return [kind.name for kind in KINDS if kind.name.startswith(incomplete)]


def complete_prune_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of prune runs, the newest first, that begin with what was typed."""
    from aml.ledger.runs import REMOVING, Journal

    try:
        journal = Journal(_store(ctx))
        fitting = [run_id for run_id in reversed(journal.ids()) if run_id.startswith(incomplete)]
        return [run_id for run_id in fitting if journal.read(run_id).operation in REMOVING]
    except AmlError:
        return []


def complete_backup(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of backups, the newest first, and ``latest``, that begin with what was typed."""
    from aml.repository.local_folder import LocalFolder
    from aml.repository.snapshots import list_snapshots

    try:
        named = ctx.find_root().params.get("repository") or os.environ.get("AML_REPOSITORY")
        folder = Path(named) if named else _store(ctx).keep
        ids = [one.id for one in reversed(list_snapshots(LocalFolder(folder)).readable)]
    except AmlError:
        ids = []
    return [ident for ident in ("latest", *ids) if ident.startswith(incomplete)]


def complete_alert(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of alerts, those that last first, that begin with what was typed."""
    from aml.monitor.alert_file import read_alerts

    try:
        known = read_alerts(_store(ctx))
        return [one.id for one in (*known.opened(), *known.resolved()) if one.id.startswith(incomplete)]
    except AmlError:
        return []
