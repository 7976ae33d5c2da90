"""Room for what a store holds: what lies on disk now, and what can take less of it without a record being removed."""

from __future__ import annotations

from aml.ledger.runs import Journal
from aml.ledger.state import FileLockNotes
from aml.model.kinds import DECISION
from aml.optimize.compress import CompressOptions, CompressPlan, estimate_compress, plan_compress
from aml.prune.options import Space
from aml.prune.space import Sizes
from aml.store.open import Store
from aml.store.sizes import size_below, size_of_store
from aml.workflows.compress import apply_and_note
from aml.workflows.conditions import Conditions


class RoomMaker:
    """Measures a store, and first compresses the decisions of agents that hold more than their limit, or of all where
    the store holds more than its own."""

    def __init__(
        self,
        store: Store,
        agents: tuple[str, ...],
        space: Space,
        now: float,
        conditions: Conditions,
        *,
        compresses: bool = True,
    ) -> None:
        self._store = store
        self._agents = agents
        self._space = space
        self._now = now
        self._conditions = conditions
        self._compresses = compresses
        self._saved: dict[str, int] | None = None
        self._plain: frozenset[str] = frozenset()

    def sizes(self) -> Sizes:
        """What lay on disk before ``compress``, and what that saved; before it was called, what it is to save."""
        found = self._measured()
        if self._saved is None:
            plan = self._plan(found)
            outcomes = estimate_compress(self._store, plan, _in_silence) if plan is not None else ()
            smaller = [one for one in outcomes if one.fate == "compressed"]
            saved = {one.file.agent: one.bytes_before - one.bytes_after for one in smaller}
            shrinks = {one.file.agent: one.bytes_after / one.bytes_before for one in smaller}
            return Sizes(found.agents, found.store, saved, shrinks, self._plain)
        # what was saved is not on disk any more
        agents = {name: size + self._saved.get(name, 0) for name, size in found.agents.items()}
        return Sizes(agents, found.store + sum(self._saved.values()), self._saved, plain=self._plain)

    def compress(self, locks: FileLockNotes) -> tuple[str, ...]:
        """Compress decisions where that is allowed and room is needed; returns notes. The run lock must be held."""
        self._saved = {}
        plan = self._plan(self._measured())
        if plan is None or not plan.due:
            return ()
        journal = Journal(self._store)
        report = apply_and_note(self._store, journal, plan, locks, self._conditions, (), _in_silence)
        self._saved = {one.agent: one.bytes_before - one.bytes_after for one in report.changed}
        return tuple(f"not compressed: {one.agent}/{one.file}: {one.problem}" for one in report.problems)

    def _measured(self) -> Sizes:
        agents = {name: size_below(self._store.root / name) for name in self._agents}
        return Sizes(agents, size_of_store(self._store))

    def _plan(self, found: Sizes) -> CompressPlan | None:
        over = [name for name, size in found.agents.items() if size > self._space.agent_bytes]
        if found.store > self._space.store_bytes:
            over = list(self._agents)
        if not over or not self._compresses:
            return None
        options = CompressOptions(tuple(over), (DECISION.plural,), age_days=0.0, plain=self._space.compress_plain)
        plan = plan_compress(self._store, options, self._now)
        self._plain = frozenset(one.file.agent for one in plan.files if one.reason == "no_gzip_yet")
        return plan


def _in_silence(_: str) -> None:
    """Progress that nobody is told of."""
