"""Whatever a record holds and however it is laid out: a step and the step back make the same bytes again."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aml.codec.json_object import parse_object
from aml.codec.views import view_record
from aml.migrate.marks import version_of
from aml.migrate.moving import BadRecordError
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.record import RecordView
from tests.property.migrating import PLURALS, VERSIONS, records
from tests.support.migrated import migrate_record

by_kind = pytest.mark.parametrize("kind", PLURALS)
targets = st.sampled_from(VERSIONS)

_NEW_PARTS = {"metrics": "performance", "evolution": "lifecycle"}
_KNOWN = {"timestamp", "reviewedAt", "reviewed_at", "tags", "active", "metadata", "variations", "version", "x_aml"}
_KNOWN |= {*_NEW_PARTS, *_NEW_PARTS.values()}
_KNOWN_WITHIN = {"successRate", "executionCount", "avgTimeSavedMs", "errorPreventionCount", "refinements"}
_KNOWN_WITHIN |= {"success_rate", "execution_count", "avg_time_saved_ms", "error_prevention_count", "refinement_count"}
_KNOWN_WITHIN |= {"created", "createdAt", "created_at", "lastUsed", "last_used", "last_used_at"}
_KNOWN_WITHIN |= {"confidenceScore", "confidence_score", "confidence"}


def _migrated(raw: bytes, kind: str, target: str) -> tuple[str, bytes]:
    """The version of an accepted record, and the record at the target; others are no examples."""
    version = version_of(parse_object(raw))
    assume(version in VERSIONS)
    try:
        return version, migrate_record(raw, kind, version, target)
    except BadRecordError as error:
        assume("more than once" not in error.reason and "metadata are no object" not in error.reason)
        raise


@by_kind
@given(data=st.data(), target=targets)
def test_there_and_back_is_the_same_bytes(kind: str, data: st.DataObject, target: str) -> None:
    raw = data.draw(records(kind))
    version, moved = _migrated(raw, kind, target)
    assert version_of(parse_object(moved)) == target
    assert migrate_record(moved, kind, target, version) == raw
    assert migrate_record(moved, kind, target, target) == moved


@by_kind
@given(data=st.data(), target=targets)
def test_what_operations_ask_is_answered_alike_before_and_after(kind: str, data: st.DataObject, target: str) -> None:
    raw = data.draw(records(kind))
    view = KIND_BY_PLURAL[kind].view
    before = view_record(raw, view)
    assume(isinstance(before, RecordView))
    _, moved = _migrated(raw, kind, target)
    after = view_record(moved, view)
    assert isinstance(before, RecordView)
    assert isinstance(after, RecordView)
    names = [name for name, found in vars(RecordView).items() if isinstance(found, property)]
    for name in set(names) - {"schema_version", "created", "last_used", "moments", "_begun"}:
        assert getattr(after, name) == getattr(before, name), name
    # a time has six decimals at most
    assert [time and round(time, 5) for time in after.moments] == [time and round(time, 5) for time in before.moments]


@by_kind
@given(data=st.data(), target=targets)
def test_unknown_keys_stay_where_they_are_with_their_values(kind: str, data: st.DataObject, target: str) -> None:
    raw = data.draw(records(kind))
    _, moved = _migrated(raw, kind, target)
    before, after = parse_object(raw), parse_object(moved)
    unknown = [(one.key, one.value) for one in before if one.name not in _KNOWN]
    assert [(one.key, one.value) for one in after if one.name not in _KNOWN] == unknown
    for old, new in _NEW_PARTS.items() if kind == "patterns" else ():
        part = [parse_object(value) for name in (old, new) for value in before.values(name) if value[:1] == b"{"]
        reached = [parse_object(value) for name in (old, new) for value in after.values(name) if value[:1] == b"{"]
        wanted = [(one.key, one.value) for each in part for one in each if one.name not in _KNOWN_WITHIN]
        assert [(one.key, one.value) for each in reached for one in each if one.name not in _KNOWN_WITHIN] == wanted


_EDITS = {
    "timestamp": b'"2031-01-01T00:00:00.000Z"',
    "agent": b'"somebody else"',
    "added by an agent": b'{"n": 1.10}',
    "evolution": b'{"lastUsed": "2031-01-01T00:00:00.000Z", "created_at": "2030-01-01T00:00:00.000Z"}',
    "lifecycle": b'{"last_used_at": "2031-01-01T00:00:00.000Z", "note": 1}',
    "metrics": b'{"successRate": 0.125, "execution_count": 77777}',
    "performance": b'{"success_rate": 0.125, "executionCount": 77777}',
    "tags": b'["written since"]',
    "variations": b'["written since"]',
    "metadata": b'{"written": "since"}',
}


@by_kind
@given(data=st.data(), target=targets, name=st.sampled_from(sorted(_EDITS)))
def test_what_is_written_in_between_is_never_overwritten_by_what_was_kept(
    kind: str, data: st.DataObject, target: str, name: str
) -> None:
    version, moved = _migrated(data.draw(records(kind, foreign=False)), kind, target)
    record = parse_object(moved)
    assume(record.names.count(name) <= 1)
    record.set(name, _EDITS[name])
    edited = record.to_bytes()
    reached, back = _migrated(edited, kind, version)
    assert migrate_record(back, kind, version, reached) == edited
    found = parse_object(back)
    values = [one.value for one in found if one.name in {name, _NEW_PARTS.get(name, name)} | _old_parts(name)]
    if name in ("tags", "variations", "metadata"):
        assert _EDITS[name] in back.replace(b"\\", b"")  # also within the text of a whole record
    else:
        assert any(_means(value, _EDITS[name]) for value in values)


def _old_parts(name: str) -> set[str]:
    return {old for old, new in _NEW_PARTS.items() if new == name}


def _means(value: bytes, edit: bytes) -> bool:
    """Whether a value is the edited one, but for the names of keys."""
    if edit[:1] != b"{" or value[:1] != b"{":
        return value == edit
    return [one.value for one in parse_object(value)] == [one.value for one in parse_object(edit)]
