"""What was migrated is looked at once more, by other means: whatever a step would get wrong stops the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.codec.json_array import split
from aml.errors import AmlError
from aml.migrate.check import check_migrated, lost_values
from aml.migrate.transform import MigratedArray, migrate_array
from aml.model.kinds import PATTERN
from aml.store.layout import RecordFile
from tests.support.records import Record, pattern
from tests.support.stores import encode_array

FILE = RecordFile("alpha", "patterns", Path("/store/alpha/patterns.json"))
RECORDS = [pattern(id=f"p{number}", note="x") for number in range(3)]


def spoilt(change: Callable[[list[Record]], object]) -> tuple[bytes, MigratedArray]:
    """Records, and what a migration made of them that was changed afterwards."""
    before = encode_array(RECORDS)
    migrated = migrate_array(split(before), PATTERN, "1.1.0")
    records = json.loads(migrated.text)
    change(records)
    return before, migrated._replace(text=encode_array(records))


def test_what_a_migration_makes_is_sound() -> None:
    before = split(encode_array(RECORDS))
    migrated = migrate_array(before, PATTERN, "1.1.0")
    assert len(check_migrated(FILE, before, migrated, "1.1.0")) == 3
    assert migrated.moved == Counter({("1.0.0", "1.1.0"): 3})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda records: records.pop(), "3 elements became 2"),
        (lambda records: records.append(records[0]), "3 elements became 4"),
        (lambda records: records[1].update(id="other"), "position 1 changed its id"),
        (lambda records: records[2].update(tags=None), "position 2 has the version 1.0.0"),
        (lambda records: records[0].pop("note"), 'position 0 lost "x"'),
        (lambda records: records[0]["metrics"].pop("executionCount"), "position 0 lost"),
        (lambda records: records.reverse(), "changed its id"),
    ],
)
def test_what_is_not_sound_is_told(change: Callable[[list[Record]], object], reason: str) -> None:
    before, migrated = spoilt(change)
    with pytest.raises(AmlError, match=reason) as raised:
        check_migrated(FILE, split(before), migrated, "1.1.0")
    assert str(FILE.path) in raised.value.message


def test_a_record_that_was_to_stay_and_changed_is_told() -> None:
    before = split(encode_array(RECORDS))
    migrated = migrate_array(before, PATTERN, "1.1.0")
    with pytest.raises(AmlError, match="3 records changed in place of 2"):
        check_migrated(FILE, before, migrated._replace(changed=2), "1.1.0")


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (b'{"a": 1.10}', b'{"a": 1.1}', ['"1.10"']),
        (b'{"a": 1}', b'{"a": "1"}', ['"1"']),
        (b'{"a": 1}', b'{"a": 1.0}', ['"1"']),
        (b'{"a": 36893488147419103232}', b'{"a": 3.6893488147419103e19}', ['"36893488147419103232"']),
        (b'{"a": "\\ud83d"}', b'{"a": "?"}', ['"\\ud83d"']),
        (b'{"a": [1, {"b": "c"}]}', b'{"x": "c", "y": 1}', []),
        (b'{"a": "2026-01-01T00:00:00Z"}', b'{"a": "2026-01-01T00:00:00+00:00"}', []),
        (b'{"a": "2026-01-01T00:00:00Z"}', b'{"a": "2026-01-01T00:00:01+00:00"}', ['"2026-01-01T00:00:00Z"']),
        (b'{"version": "1.2.0"}', b'{"version": "2.0.0"}', []),
        (b'{"a": 1, "x_aml": {"drop": ["tags"]}}', b'{"a": 1}', []),
    ],
)
def test_single_values_are_compared_as_they_are_written(before: bytes, after: bytes, lost: list[str]) -> None:
    assert lost_values(before, after) == lost


def test_a_text_of_somebody_elses_that_is_nested_without_end_is_no_obstacle() -> None:
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    before = split(encode_array([{**RECORDS[0], "version": "1.0.0", "x_aml": {"theirs": deep}}]))
    migrated = migrate_array(before, PATTERN, "1.2.0")
    assert migrated.changed == 1
    assert len(check_migrated(FILE, before, migrated, "1.2.0")) == 1
