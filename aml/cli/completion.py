"""What a shell can complete after ``aml``: names that are in the store. Runs outside an invocation and never fails."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from aml.errors import AmlError
from aml.ledger.runs import Journal
from aml.store.open import Store, find_store, open_store


def _store(ctx: typer.Context) -> Store:
    named = ctx.find_root().params.get("store") or os.environ.get("AML_STORE")
    return open_store(named or find_store(Path.cwd()))


def complete_agent(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of agents that begin with what was typed."""
    try:
        return [name for name in _store(ctx).agents() if name.startswith(incomplete)]
    except AmlError:
        return []


def complete_prune_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of prune runs, the newest first, that begin with what was typed."""
    try:
        journal = Journal(_store(ctx))
        fitting = [run_id for run_id in reversed(journal.ids()) if run_id.startswith(incomplete)]
        return [run_id for run_id in fitting if journal.read(run_id).operation == "prune"]
    except AmlError:
        return []
