"""Ways a migration lost data, at the level of records: nothing is dropped, done twice or guessed."""

from __future__ import annotations

import json

import pytest

from aml.codec.json_array import DamagedArrayError, split
from aml.codec.views import view_records
from aml.migrate.registry import VERSIONS
from aml.migrate.transform import migrate_array
from aml.model.kinds import DECISION, KINDS, PATTERN, SOLUTION
from tests.support.records import decision, pattern, solution, to_v110, to_v120, to_v200

_MAKERS = {PATTERN: pattern, SOLUTION: solution, DECISION: decision}
_STEPS = {"1.0.0": dict, "1.1.0": to_v110, "1.2.0": to_v120, "2.0.0": to_v200}


def _text(*records: object) -> bytes:
    return json.dumps(list(records), indent=2).encode()


def test_h07_a_truncated_array_is_damage_and_never_an_empty_array() -> None:
    whole = _text(pattern(), pattern())
    for length in range(len(whole)):
        with pytest.raises(DamagedArrayError):
            split(whole[:length])


def test_h17_half_of_a_surrogate_pair_goes_through_as_it_is_written() -> None:
    text = _text(pattern(note="PLACE")).replace(b"PLACE", rb"\ud83d")
    for target in VERSIONS[1:]:
        found = migrate_array(split(text), PATTERN, target)
        assert (found.changed, found.bad) == (1, ())
        assert rb'"note": "\ud83d"' in found.text
        assert migrate_array(split(found.text), PATTERN, "1.0.0", "down").text == text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_h20_every_version_of_a_record_answers_alike(kind: object) -> None:
    make = _MAKERS[kind]  # type: ignore[index]
    for version, made in _STEPS.items():
        text = _text(made(make(tags=None, active=True)))
        (before,) = view_records(split(text), kind.view)  # type: ignore[attr-defined]
        assert before.schema_version == version
        for target in VERSIONS:
            up = VERSIONS.index(target) > VERSIONS.index(version)
            found = migrate_array(split(text), kind, target, "up" if up else "down")  # type: ignore[arg-type]
            (after,) = view_records(split(found.text), kind.view)  # type: ignore[attr-defined]
            assert after.schema_version == target
            for name in ("ident", "tag_names", "is_inactive", "judgement", "moments", "missing"):
                assert getattr(after, name) == getattr(before, name), (version, target, name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_h21_unknown_fields_variations_and_odd_numbers_are_kept_at_every_level(kind: object) -> None:
    odd = {"owner": {"team": [1, {"deep": None}]}, "variations": [{"of": "x"}], "": "empty", "big": 2**70}
    record = _MAKERS[kind](active=True, price=0.5, **odd)  # type: ignore[index]
    for part in [value for value in record.values() if isinstance(value, dict)]:
        part["unknown"] = {"reviewer": "kim", "n": 2**70}
    text = _text(record).replace(b'"price": 0.5', b'"price": 0.50')
    found = migrate_array(split(text), kind, "2.0.0")  # type: ignore[arg-type]
    after = json.loads(found.text)[0]
    assert {name: after[name] for name in odd} == odd
    assert b'"price": 0.50' in found.text
    unknown = [value["unknown"] for value in after.values() if isinstance(value, dict) and "unknown" in value]
    assert len(unknown) == found.text.count(b'"unknown"') == text.count(b'"unknown"')
    assert migrate_array(split(found.text), kind, "1.0.0", "down").text == text  # type: ignore[arg-type]


def test_h22_records_at_the_target_keep_their_bytes_and_are_not_migrated_twice() -> None:
    text = _text(pattern(id="a", active=True), to_v120(pattern(id="b")), to_v200(pattern(id="c")))
    once = migrate_array(split(text), PATTERN, "1.2.0")
    assert (once.changed, once.kept, once.versions) == (1, 2, {"1.0.0": 1, "1.2.0": 1, "2.0.0": 1})
    before, after = split(text), split(once.text)
    assert [after.raw(ordinal) for ordinal in (1, 2)] == [before.raw(ordinal) for ordinal in (1, 2)]
    array = split(once.text)
    twice = migrate_array(array, PATTERN, "1.2.0")
    assert (twice.changed, twice.text is array.text) == (0, True)


def test_h22_figures_of_a_record_are_not_reset_by_going_up_again() -> None:
    text = _text(to_v200(pattern(success=0.9, executions=77, confidence=0.8)))
    down = migrate_array(split(text), PATTERN, "1.0.0", "down")
    up = migrate_array(split(down.text), PATTERN, "2.0.0")
    assert up.text == text


def test_h50_a_record_that_cannot_be_changed_is_told_with_its_place_and_stays_as_it_is() -> None:
    bad = b'{"id": "bad", "active": true, "active": false, "timestamp": "2026-09-07", "timestamp": "2026-09-08"}'
    text = b"[" + b", ".join([json.dumps(pattern(id="a")).encode(), bad, b"null", b'{"id": 7, "n": nan}']) + b"]"
    found = migrate_array(split(text), PATTERN, "1.1.0")
    assert [(one.ordinal, one.id, one.version) for one in found.bad] == [(1, "bad", "1.0.0"), (3, None, None)]
    assert "'timestamp' is there more than once" in found.bad[0].reason
    assert "not valid JSON" in found.bad[1].reason
    assert (found.changed, found.odd) == (1, 1)
    assert bad in found.text
    assert [(note.ordinal, note.text) for note in found.notes] == [(2, "it is null, not an object")]


def test_a_key_that_is_there_twice_is_told_and_not_collapsed() -> None:
    text = b'[{"id": "a", "note": 1, "note": 2, "active": true}]'
    found = migrate_array(split(text), SOLUTION, "2.0.0")
    assert found.text.startswith(b'[{"id": "a", "note": 1, "note": 2, "tags": [], "active": true, "metadata": ')
    assert [(note.ordinal, note.id, note.text) for note in found.notes] == [
        (0, "a", "the key 'note' is there more than once, and stays so")
    ]


def test_a_record_that_is_nested_very_deeply_is_refused_and_not_a_crash() -> None:
    for depth in (250, 5_000, 200_000):
        deep = b'{"id": "deep", "x": ' + b"[" * depth + b"]" * depth + b"}"
        found = migrate_array(split(b"[" + deep + b"]"), PATTERN, "2.0.0")
        assert [one.ordinal for one in found.bad] == [0]
        assert "nested" in found.bad[0].reason
        assert deep in found.text


def test_records_of_a_newer_or_unknown_version_are_counted_and_left_alone() -> None:
    text = _text(
        {"id": "new", "version": "3.0.0"}, {"id": "odd", "version": "1.0.5"}, {"id": "own", "version": "draft"}
    )
    found = migrate_array(split(text), DECISION, "1.1.0")
    assert (found.changed, found.too_new) == (1, 1)
    assert [(one.id, one.reason) for one in found.bad] == [("odd", "there is no schema version '1.0.5'")]
