"""What is to be told about records that a plan names by their position: their files are read again for it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from aml.codec.json_array import RecordArray
from aml.codec.views import Unreadable, view_record
from aml.errors import AmlError, ChangedError
from aml.model.kinds import KIND_BY_PLURAL
from aml.prune.plan import FilePlan, PrunePlan, finding_of
from aml.prune.rules import AGENT_SPACE
from aml.store.layout import record_file
from aml.store.open import Store
from aml.store.read import read_content


def planned_array(store: Store, file: FilePlan) -> RecordArray:
    """The records that a plan was made for. Raises ChangedError where the file is another one now, and AmlError."""
    place = record_file(store.root, file.agent, KIND_BY_PLURAL[file.kind])
    content = read_content(place, store.max_unpacked_bytes)
    if content.sha256 != file.sha256:
        raise ChangedError(f"{place.path} changed while it was looked at", advice="run the command again")
    return content.array()


def find(array: RecordArray, file: FilePlan, plan: PrunePlan, chosen: Iterable[tuple[int, int]]) -> None:
    """Add what is to be told about the ``chosen`` records, each with the place of its rule, to the file's findings."""
    view = KIND_BY_PLURAL[file.kind].view
    for ordinal, place in chosen:
        raw = array.raw(ordinal)
        seen = view_record(raw, view)
        if not isinstance(seen, Unreadable):
            file.findings[ordinal] = finding_of(seen, place, len(raw), plan.options, plan.now)


def find_for_space(store: Store, plan: PrunePlan) -> None:
    """Add findings of what goes, or is deferred, for space; of a file that changed meanwhile nothing is told."""
    for file in plan.files:
        chosen = [
            (ordinal, place)
            for some in (file.removals, file.deferred)
            for ordinal, place in zip(some.ordinals, some.rules, strict=True)
            if place >= AGENT_SPACE
        ]
        if chosen:
            with suppress(AmlError):
                find(planned_array(store, file), file, plan, chosen)
