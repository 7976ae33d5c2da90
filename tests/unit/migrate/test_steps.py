"""What each step makes of records as they are found, and back: files to look at, in tests/golden/migrate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aml.codec.json_array import split
from aml.migrate.registry import STEPS, Step
from aml.migrate.times import is_time, with_offset
from aml.migrate.transform import migrate_array
from aml.model.kinds import KINDS, Kind
from aml.model.timestamps import parse_timestamp
from tests.support.migrated import migrate_record

_GOLDEN = Path(__file__).parents[2] / "golden" / "migrate"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.end)
def test_each_step_makes_of_each_kind_what_the_golden_files_show(step: Step, kind: Kind) -> None:
    folder = _GOLDEN / f"{step.start}-to-{step.end}"
    before = (folder / f"{kind.plural}.before.json").read_bytes()
    after = (folder / f"{kind.plural}.after.json").read_bytes()
    up = migrate_array(split(before), kind, step.end)
    assert (up.text, up.bad, up.moved) == (after, (), {(step.start, step.end): up.changed})
    down = migrate_array(split(after), kind, step.start, "down")
    assert (down.text, down.bad, down.moved) == (before, (), {(step.end, step.start): down.changed})


def test_records_as_the_runtime_writes_them_need_no_notes() -> None:
    for folder in sorted(_GOLDEN.iterdir()):
        for path in sorted(folder.glob("*.after.json")):
            assert "x_aml" not in json.loads(path.read_bytes())[0], path.name


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'"2026-09-07T23:25:56.930Z"', None),
        (b'"2026-09-07T23:25:56+02:00"', None),
        (b'"2026-09-07T23:25:56"', b'"2026-09-07T23:25:56+00:00"'),
        (b'"2026-09-07 23:25:56.123456"', b'"2026-09-07 23:25:56.123456+00:00"'),
        (b'"2026-09-07T23:25"', b'"2026-09-07T23:25+00:00"'),
        (b'"20260907T232556"', b'"20260907T232556+00:00"'),
        (b'"2026-09-07"', b'"2026-09-07T00:00:00.000Z"'),
        (b'"2026-11"', None),
        (b'"2026-W47-5"', b'"2026-11-20T00:00:00.000Z"'),
        (b'"2026-09-07T24:00"', b'"2026-09-07T24:00+00:00"'),
        (b'"2026\\u002d09-07T23:25:56"', b'"2026\\u002d09-07T23:25:56+00:00"'),
        (b"1788823556", b'"2026-09-07T23:25:56.000Z"'),
        (b"1788823556930", b'"2026-09-07T23:25:56.930Z"'),
        (b"1788823556.1234567", b'"2026-09-07T23:25:56.123457Z"'),
        (b'"1788823556"', None),
        (b'"yesterday"', None),
        (b'"2026-09-07\\ud83d23:25:56"', None),
        (b'"1970-01-01T00:00:00"', None),
        (b"0", None),
        (b"NaN", None),
        (b"true", None),
        (b"null", None),
        (b"1" * 5000, None),
        (b'{"a": 1}', None),
    ],
)
def test_times_get_an_offset_where_they_can_be_read(raw: bytes, expected: bytes | None) -> None:
    found = with_offset(raw)
    assert found == (expected or raw)
    assert with_offset(found) == found
    if expected:
        assert is_time(found)
        assert parse_timestamp(json.loads(found)) == pytest.approx(parse_timestamp(json.loads(raw)), abs=1e-6)


def test_what_an_agent_writes_in_between_stays_and_what_was_kept_comes_back_beside_it() -> None:
    newer = b'{"id":"a","active":true,"tags":[],"metadata":{"by":1.10},"version":"2.0.0","timestamp":"2026-09-07"}'
    older = migrate_record(newer, "solutions", "2.0.0", "1.1.0")
    edited = older.replace(b'"tags":[]', b'"tags":["new"]')
    found = json.loads(migrate_record(edited, "solutions", "1.1.0", "2.0.0"))
    assert (found["tags"], found["metadata"], found["version"]) == (["new"], {"by": 1.1}, "2.0.0")
    assert "x_aml" not in found


def test_an_original_that_was_written_over_stays_in_the_notes() -> None:
    naive = b'{"id":"a","timestamp":"2026-09-07 23:25:56","active":true,"tags":null}'
    up = migrate_record(naive, "solutions", "1.0.0", "1.1.0")
    edited = up.replace(b'"2026-09-07 23:25:56+00:00"', b'"2026-10-01T00:00:00Z"')
    down = migrate_record(edited, "solutions", "1.1.0", "1.0.0")
    assert json.loads(down) == {
        "id": "a",
        "timestamp": "2026-10-01T00:00:00Z",
        "active": True,
        "tags": None,
        "x_aml": {"down_to_1.0.0": {"set": {"timestamp": "2026-09-07 23:25:56"}}},
    }
    assert migrate_record(down, "solutions", "1.0.0", "1.1.0") == edited


@pytest.mark.parametrize(
    "mine", [b"5", b'"mine"', b"null", b"{}", b'{"foo": [1.10]}', b'{"was": 1}', b'{"down_to_1.0.0": 3}']
)
def test_an_x_aml_that_is_somebody_elses_survives(mine: bytes) -> None:
    raw = b'{"id":"a","timestamp":"2026-09-07 23:25:56","active":true,"x_aml":' + mine + b',"z":1}'
    up = migrate_record(raw, "decisions", "1.0.0", "2.0.0")
    assert migrate_record(up, "decisions", "2.0.0", "1.0.0") == raw


def test_the_example_of_the_documentation_is_what_happens() -> None:
    page = (Path(__file__).parents[3] / "docs" / "migrations.md").read_text(encoding="utf-8")
    before, after = (part.partition("\n```")[0] for part in page.split("```json\n")[1:3])
    made = migrate_record(before.strip().encode(), "solutions", "1.0.0", "1.1.0")
    assert json.loads(made) == json.loads(after)
    assert list(json.loads(made)) == list(json.loads(after))
