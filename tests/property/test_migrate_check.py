"""Whatever records there are, the independent look at a migration finds nothing wrong with it, up and down again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.codec.json_array import split
from aml.migrate.check import check_migrated
from aml.migrate.transform import migrate_array
from aml.model.kinds import KINDS
from aml.store.layout import RecordFile
from tests.property.migrating import VERSIONS, records

_WAYS = [(target, direction) for target in VERSIONS for direction in ("up", "down")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(st.data())
def test_a_migration_of_any_records_passes_the_check(kind, data) -> None:  # type: ignore[no-untyped-def]
    elements = data.draw(st.lists(records(kind.plural), min_size=1, max_size=4))
    file = RecordFile("alpha", kind.plural, Path("alpha") / kind.file_name)
    text = b"[" + b",\n".join(elements) + b"]"
    for target, direction in data.draw(st.lists(st.sampled_from(_WAYS), min_size=1, max_size=4)):
        array = split(text)
        migrated = migrate_array(array, kind, target, direction)
        assert len(check_migrated(file, array, migrated, target)) == len(elements)
        text = migrated.text
