"""Explaining one record: what a prune would do to it, and why."""

from __future__ import annotations

import time

from aml.ledger.runs import Journal
from aml.prune.explain import ExplainReport, explain_record
from aml.prune.options import SPACE, PruneOptions
from aml.store.open import Store
from aml.workflows.conditions import Conditions, clock_note
from aml.workflows.space import RoomMaker


def prune_explain(
    store: Store,
    ident: str,
    options: PruneOptions | None = None,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
) -> ExplainReport:
    """What ``prune`` with these options would do to the record with that id, or a unique beginning of it, and why.

    ``now`` in seconds since 1970 UTC. Reads only and takes no lock. Raises NotFoundError for an id that neither the
    store nor an earlier run knows, and other AmlError.
    """
    options = options or PruneOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    sizes = None
    if SPACE in options.strategies:
        sizes = RoomMaker(store, store.choose_agents(options.agents), options.space, moment, conditions).sizes()
    notes = clock_note(store, Journal(store), moment, conditions)
    return explain_record(store, ident, options, moment, sizes=sizes, notes=notes)
