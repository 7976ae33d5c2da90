"""What earlier runs removed from each agent: the ground for the loss budget, and for telling what came back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, field

from aml.codec.json_array import RecordArray
from aml.codec.views import Seen, Unreadable
from aml.ledger.archive import NULL
from aml.ledger.runs import Journal, RecordKey, Run, run_number
from aml.model.timestamps import SECONDS_PER_DAY

#: How a removed null is noted, which was no record.
_NULL = RecordKey.of(None, hashlib.sha256(NULL).hexdigest())


class RemovedKeys(Struct):
    """Records of one agent and kind that earlier runs removed and no undo put back.

    A record that is in the store again is known by its id, whatever an agent changed in it since; but by id and content
    where the id is ``shared`` with a record that stayed, or where there is none.
    """

    keys: set[RecordKey] = field(default_factory=set)
    counted: set[RecordKey] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)

    def by_id(self) -> dict[str, set[RecordKey]]:
        """Keys by id, without those that are known by content only."""
        index: dict[str, set[RecordKey]] = {}
        for key in self.keys:
            if key.id is not None and key.id not in self.shared:
                index.setdefault(key.id, set()).add(key)
        return index

    def carried(self, seen: Sequence[Seen], array: RecordArray) -> Iterator[set[RecordKey]]:
        """The keys that each element of an array carries, of those that carry any; ``seen`` are their views."""
        if not self.keys:
            return
        by_id = self.by_id()
        nothing: set[RecordKey] = set()
        for ordinal, view in enumerate(seen):
            if isinstance(view, Unreadable):
                continue
            ident = view.ident
            if ident is None or ident in self.shared:
                keys = self.keys & {RecordKey.of(ident, hashlib.sha256(array.elements[ordinal]).hexdigest())}
            else:
                keys = by_id.get(ident, nothing)
            if keys:
                yield keys


class AgentHistory(Struct):
    """What earlier runs removed from one agent by kind, and what within the window by the allowance."""

    removed: dict[str, RemovedKeys] = field(default_factory=dict)
    by_allowance: set[tuple[str, RecordKey]] = field(default_factory=set)

    @property
    def allowance_used(self) -> bool:
        """Whether a run within the window took the allowance for small agents, and was not undone."""
        return bool(self.by_allowance)

    def of(self, kind: str) -> RemovedKeys:
        return self.removed.get(kind) or RemovedKeys()

    def lost(self, present: dict[str, frozenset[RecordKey]]) -> int:
        """How many records removed within the window are not in the store now; ``present`` holds keys by kind."""
        return sum(len(found.counted - present.get(kind, frozenset())) for kind, found in self.removed.items())


def read_history(journal: Journal, now: float, window_days: float) -> dict[str, AgentHistory]:
    """History by agent of the window before ``now``, and of the newest prune run however old it is."""
    start = now - window_days * SECONDS_PER_DAY
    return _gather(_relevant(journal, start), start)


def _relevant(journal: Journal, start: float) -> Iterator[Run]:
    runs = list(journal.since(start))
    if not any(run.operation == "prune" for run in runs):
        # by number: a clock that once stood wrong may have stamped the newest one with an old time
        for run_id in sorted(journal.ids(), key=run_number, reverse=True):
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
            found = agent.removed.setdefault(file.kind, RemovedKeys())
            found.keys.difference_update(file.restored)
            found.counted.difference_update(file.restored)
            agent.by_allowance.difference_update((file.kind, key) for key in file.restored)
            gone = frozenset(file.removed).difference(file.copies)
            found.keys.update(gone)
            found.shared.update(file.shared)
            if run.started_at >= start:
                found.counted.update(gone - {_NULL})
                if file.used_allowance:
                    agent.by_allowance.update((file.kind, key) for key in file.removed)
    return history
