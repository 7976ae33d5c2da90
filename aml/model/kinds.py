"""The registry of record kinds: which file of an agent holds which records, and how to view them.

A new kind of memory joins AML by one entry here and one view in record.py.
"""

from __future__ import annotations

from msgspec import Struct

from aml.model.record import DecisionView, PatternView, RecordView, SolutionView


class Kind(Struct, frozen=True):
    """One kind of record. ``plural`` is also the stem of its file's name."""

    name: str
    plural: str
    view: type[RecordView]

    @property
    def file_name(self) -> str:
        return f"{self.plural}.json"


PATTERN = Kind("pattern", "patterns", PatternView)
SOLUTION = Kind("solution", "solutions", SolutionView)
DECISION = Kind("decision", "decisions", DecisionView)

#: In the order in which AML reads, reports and breaks ties.
KINDS = (PATTERN, SOLUTION, DECISION)
KIND_BY_PLURAL = {kind.plural: kind for kind in KINDS}
KIND_BY_FILE_NAME = {kind.file_name: kind for kind in KINDS}
