"""Whatever a record holds and however it is laid out: a step and the step back make the same bytes again."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aml.codec.json_object import parse_object
from aml.migrate.marks import version_of
from aml.migrate.moving import BadRecordError
from aml.migrate.transform import migrate_record
from tests.property.migrating import PLURALS, VERSIONS, records

by_kind = pytest.mark.parametrize("kind", PLURALS)


def _migrated(raw: bytes, kind: str, target: str) -> tuple[str, bytes]:
    """The version of an accepted record, and the record at the target; others are no examples."""
    version = version_of(parse_object(raw))
    assume(version in VERSIONS)
    try:
        return version, migrate_record(raw, kind, version, target)
    except BadRecordError as error:
        assume("more than once" in error.reason or "metadata are no object" in error.reason)
        assume(False)
        raise


@by_kind
@given(data=st.data(), target=st.sampled_from(VERSIONS))
def test_there_and_back_is_the_same_bytes(kind: str, data: st.DataObject, target: str) -> None:
    raw = data.draw(records(kind))
    version, moved = _migrated(raw, kind, target)
    assert version_of(parse_object(moved)) == target
    assert migrate_record(moved, kind, target, version) == raw
    assert migrate_record(moved, kind, target, target) == moved
