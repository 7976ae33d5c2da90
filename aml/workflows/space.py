"""Room for what a store holds: what it takes on disk now, and what takes less without a record being removed."""

from __future__ import annotations

from aml.ledger.state import FileLockNotes
from aml.prune.options import PruneOptions
from aml.prune.space import Sizes
from aml.store.open import Store
from aml.store.sizes import size_below
from aml.workflows.conditions import Conditions


class RoomMaker:
    """Measures a store, and first compresses the decisions of agents that are over their limit."""

    def __init__(self, store: Store, agents: tuple[str, ...], options: PruneOptions, conditions: Conditions) -> None:
        self._store = store
        self._agents = agents
        self._space = options.space
        self._conditions = conditions
        self._saved: dict[str, int] = {}

    def sizes(self) -> Sizes:
        """What lies on disk now, as it was before ``compress``, and what that saved, or is expected to save."""
        store, saved = self._store, self._saved
        agents = {name: size_below(store.root / name) + saved.get(name, 0) for name in self._agents}
        return Sizes(agents, size_below(store.root) + sum(saved.values()), saved)

    def compress(self, locks: FileLockNotes) -> None:
        """Compress decisions where that is allowed and room is needed. The run lock must be held.

        Compressing joins here: what it saves of each agent's folder goes into ``_saved``.
        """
