"""What earlier runs removed from each agent: the ground for the loss budget, and for telling what came back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from aml.ledger.runs import Journal, RecordKey, Run
from aml.model.timestamps import SECONDS_PER_DAY


class AgentHistory(Struct):
    """Removed and not put back by undo, for one agent: ``removed`` maps each kind to the keys of its records."""

    removed: dict[str, set[RecordKey]] = field(default_factory=dict)
    counted: dict[str, set[RecordKey]] = field(default_factory=dict)
    allowance_used: bool = False

    def ids(self, kind: str) -> frozenset[str]:
        """Ids of removed records of a kind: where one is in the store now, it came back."""
        return frozenset(key.id for key in self.removed.get(kind, ()) if key.id is not None)

    def lost(self, present: dict[str, frozenset[str]]) -> int:
        """How many records removed within the window are not in the store now; ``present`` holds ids by kind."""
        return sum(key.id not in present.get(kind, frozenset()) for kind, keys in self.counted.items() for key in keys)


def read_history(journal: Journal, now: float, window_days: float) -> dict[str, AgentHistory]:
    """History by agent of the window before ``now``, and of the newest prune run however old it is."""
    return _gather(_relevant(journal, now - window_days * SECONDS_PER_DAY), now - window_days * SECONDS_PER_DAY)


def _relevant(journal: Journal, start: float) -> Iterator[Run]:
    runs = list(journal.since(start))
    if not any(run.operation == "prune" for run in runs):
        for run_id in reversed(journal.ids()):
            run = journal.read(run_id)
            if run.operation == "prune":
                yield run
                break
    yield from runs


def _gather(runs: Iterable[Run], start: float) -> dict[str, AgentHistory]:
    history: dict[str, AgentHistory] = {}
    for run in runs:
        for file in run.files:
            agent = history.setdefault(file.agent, AgentHistory())
            for keys in (agent.removed, agent.counted):
                keys.setdefault(file.kind, set()).difference_update(file.restored)
            agent.removed[file.kind].update(file.removed)
            if run.started_at >= start:
                agent.counted[file.kind].update(file.removed)
                agent.allowance_used |= file.used_allowance
    return history
