"""1.2.0 to 2.0.0: every record states its ``version``, and patterns have ``performance`` and ``lifecycle``.

Patterns: ``performance`` {success_rate, execution_count, avg_time_saved_ms, error_prevention_count} stands where
``metrics`` {successRate, executionCount, avgTimeSavedMs, errorPreventionCount} stood, and ``lifecycle`` {created_at,
last_used_at, refinement_count, confidence} where ``evolution`` {created, lastUsed, refinements, confidenceScore}
stood. Keys of other names stay inside, and keep their names. A record that has both, the old and the new one, keeps
both. All kinds: ``version`` "2.0.0" is added at the end, and ``metadata.version`` follows.

Back at 1.2.0 ``version`` goes, unless there are no ``metadata`` to tell the version by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aml.codec.json_object import JsonObject, key_of, parse_object
from aml.migrate.marks import follow_version, has_metadata, own_version, set_version

FROM, TO = "1.2.0", "2.0.0"
#: Keys that a rule of this step, up or down, puts into a record.
ADDS = ("version",)
#: Keys of objects within which this step may change something.
OPENS = ("metrics", "performance", "evolution", "lifecycle", "metadata")

_FIGURES = {
    "success_rate": ("successRate",),
    "execution_count": ("executionCount",),
    "avg_time_saved_ms": ("avgTimeSavedMs",),
    "error_prevention_count": ("errorPreventionCount",),
}
_COURSE = {
    "created_at": ("created", "createdAt"),
    "last_used_at": ("lastUsed", "last_used"),
    "refinement_count": ("refinements",),
    "confidence": ("confidenceScore", "confidence_score"),
}
#: What a part of a pattern is called before and after, and what stands within: the new name, and the old spellings in
#: the order in which the view looks for them.
PARTS: Sequence[tuple[str, str, Mapping[str, Sequence[str]]]] = (
    ("metrics", "performance", _FIGURES),
    ("evolution", "lifecycle", _COURSE),
)


def upgrade(record: JsonObject, kind: str) -> JsonObject:
    """A record of 1.2.0 as one of 2.0.0."""
    record = record.copy()
    if kind == "patterns":
        for old, new, names in PARTS:
            _move(record, old, new, names)
    _follow_in_metadata(record, FROM, TO)
    if own_version(record) != FROM:
        record.remove("version")  # somebody's own
    set_version(record, TO)
    return record


def downgrade(record: JsonObject, kind: str) -> JsonObject:
    """A record of 2.0.0 as one of 1.2.0."""
    record = record.copy()
    if kind == "patterns":
        for old, new, names in PARTS:
            _move(record, new, old, {spellings[0]: (name,) for name, spellings in names.items()})
    _follow_in_metadata(record, TO, FROM)
    if has_metadata(record):
        record.remove("version")
    else:
        set_version(record, FROM)
    return record


def _move(record: JsonObject, name: str, new: str, names: Mapping[str, Sequence[str]]) -> None:
    if not record.has(name) or record.has(new):
        return
    raw = record.get(name) or b""
    if raw[:1] == b"{":
        part = parse_object(raw)
        for reached, spellings in names.items():
            found = next((spelling for spelling in spellings if part.has(spelling)), None)
            if found is not None and not part.has(reached):
                part.rename(found, reached)
        record.set(name, part.to_bytes())
    record.rename(name, new)


def _follow_in_metadata(record: JsonObject, left: str, reached: str) -> None:
    if has_metadata(record):
        metadata = parse_object(record.get("metadata") or b"{}")
        if metadata.get("version") == key_of(left):
            follow_version(metadata, left, reached)
            record.set("metadata", metadata.to_bytes())
