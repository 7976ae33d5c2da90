"""What differs between two backups, or a backup and the store: files and records, counted in another way as well."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.backup.compare import DiffReport, FileDiff
from aml.backup.options import BackupOptions
from aml.store.open import open_store
from aml.workflows.backup import backup, diff_backups
from aml.workflows.conditions import Conditions
from tests.contract.pruning import IMPATIENT
from tests.support.records import NOW
from tests.support.stores import encode_array

CONDITIONS = Conditions(locks=IMPATIENT)

#: Each example makes two backups on disk.
thrifty = settings(max_examples=max(10, settings().max_examples // 2))

Contents = Mapping[str, bytes]

EMPTY = gzip.compress(b"[]", mtime=0)


def lay_out(memory: Path, contents: Contents) -> None:
    """Make the store hold these files and no others."""
    for path in [*memory.rglob("*")]:
        if path.is_file():
            path.unlink()
    for name, data in contents.items():
        (memory / name).parent.mkdir(parents=True, exist_ok=True)
        (memory / name).write_bytes(data)


def compared(tmp_path: Path, before: Contents, after: Contents, *, live: bool = False) -> DiffReport:
    """The difference of two backups, or (``live``) of a backup and the store."""
    memory = tmp_path / ".loom" / "memory"
    memory.mkdir(parents=True)
    store = open_store(memory)
    lay_out(memory, before)
    first = backup(store, now=NOW.timestamp(), conditions=CONDITIONS).id
    lay_out(memory, after)
    second = None if live else backup(store, now=NOW.timestamp() + 1, conditions=CONDITIONS).id
    return diff_backups(store, first, second, conditions=CONDITIONS)


records = st.builds(
    lambda ident, value: {"value": value} | ({} if ident is None else {"id": ident}),
    st.sampled_from([None, "a", "b", "c", "\ud83d", 5]),
    st.integers(0, 2),
)
arrays = st.lists(records, max_size=6)
PATHS = ("alpha/patterns.json", "alpha/decisions.json", "beta/patterns.json")
stores = st.dictionaries(st.sampled_from(PATHS), st.tuples(arrays, st.booleans()), max_size=3)


def _by_key(array: list[dict[str, object]]) -> dict[str, set[str]]:
    """The texts of records by id; one whose id is no text JSON can hold is known by itself alone."""
    found: dict[str, set[str]] = {}
    for record in array:
        text, ident = json.dumps(record), record.get("id")
        known = isinstance(ident, str) and ident.isascii()
        found.setdefault(f"id {ident}" if known else text, set()).add(text)
    return found


def _oracle(path: str, before: list[dict[str, object]] | None, after: list[dict[str, object]] | None) -> FileDiff:
    one, other = _by_key(before or []), _by_key(after or [])
    return FileDiff(
        path,
        "added" if before is None else "removed" if after is None else "changed",
        None,
        None,
        None if before is None else len(before),
        None if after is None else len(after),
        len(other.keys() - one.keys()),
        len(one.keys() - other.keys()),
        sum(one[key] != other[key] for key in one.keys() & other.keys()),
    )


def _bytes(store: dict[str, tuple[list[dict[str, object]], bool]]) -> Contents:
    return {
        path: gzip.compress(encode_array(array)) if packed else encode_array(array)
        for path, (array, packed) in store.items()
    }


@thrifty
@given(stores, stores, st.booleans())
def test_records_are_counted_as_by_hand(
    before: dict[str, tuple[list[dict[str, object]], bool]],
    after: dict[str, tuple[list[dict[str, object]], bool]],
    live: bool,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = compared(Path(folder), _bytes(before), _bytes(after), live=live)
    differing = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    found = [(one, *_sizeless(one)) for one in report.files]
    expected = [
        _oracle(path, *(side[path][0] if path in side else None for side in (before, after))) for path in differing
    ]
    assert [row[1:] for row in found] == [_sizeless(one) for one in expected]
    assert report.same == len(before.keys() & after.keys()) - sum(one.what == "changed" for one in report.files)
    for name in ("records_added", "records_removed", "records_changed"):
        assert report.total(name) == sum(getattr(one, name) for one in expected)


def _sizeless(one: FileDiff) -> tuple[object, ...]:
    return tuple(getattr(one, name) for name in one.__struct_fields__ if not name.startswith("bytes_"))


@pytest.mark.parametrize("live", [False, True])
def test_files_are_told_with_their_sizes_in_order(tmp_path: Path, live: bool) -> None:
    before = {"b/x": b"1", "a/gone": b"22", "a/same": b"=", "loose": b"333"}
    after = {"b/x": b"4444", "a/new": b"55555", "a/same": b"=", "loose": b"333"}
    report = compared(tmp_path, before, after, live=live)
    assert [(one.path, one.what, one.bytes_before, one.bytes_after) for one in report.files] == [
        ("a/gone", "removed", 2, None),
        ("a/new", "added", None, 5),
        ("b/x", "changed", 1, 4),
    ]
    assert report.same == 2
    assert {one.records_added for one in report.files} == {None}


def test_gzip_of_the_same_content_is_the_same_and_another_form_is_not(tmp_path: Path) -> None:
    text = encode_array([{"id": "a", "n": 1}] * 50)
    path, other = PATHS[:2]
    before = {path: gzip.compress(text, 1, mtime=1), other: text}
    after = {path: gzip.compress(text, 9, mtime=2), other: gzip.compress(text)}
    report = compared(tmp_path, before, after)
    (one,) = report.files
    assert (one.path, one.what, one.records_changed, one.records_added) == (other, "changed", 0, 0)
    assert report.same == 1


@pytest.mark.parametrize("damaged", [b"", b"[1", b"{}", EMPTY[:-3], EMPTY + b"x"])
@pytest.mark.parametrize("live", [False, True])
def test_records_of_a_damaged_file_are_not_counted(tmp_path: Path, damaged: bytes, live: bool) -> None:
    report = compared(tmp_path, {PATHS[0]: b'[{"id": "a"}]'}, {PATHS[0]: damaged}, live=live)
    (one,) = report.files
    assert (one.what, one.records_before, one.records_after) == ("changed", 1, None)
    assert (one.records_added, one.records_removed, one.records_changed) == (None, None, None)
    assert report.total("records_added") == 0


@pytest.mark.parametrize(
    "live",
    [
        False,
        True,
    ],
)
def test_records_in_gzip_of_several_members_are_counted(tmp_path: Path, live: bool) -> None:
    halves = gzip.compress(b'[{"id": "a"},') + gzip.compress(b'{"id": "b"}]')
    (one,) = compared(tmp_path, {PATHS[0]: b'[{"id": "a"}]'}, {PATHS[0]: halves}, live=live).files
    assert (one.records_after, one.records_added, one.records_removed, one.records_changed) == (2, 1, 0, 0)


def test_only_what_both_backups_cover_is_compared(tmp_path: Path) -> None:
    memory = tmp_path / ".loom" / "memory"
    memory.mkdir(parents=True)
    store = open_store(memory)
    lay_out(memory, {"alpha/x": b"1", "beta/x": b"1", "loose": b"1"})
    whole = backup(store, now=NOW.timestamp(), conditions=CONDITIONS).id
    lay_out(memory, {"alpha/x": b"2", "beta/x": b"2", "loose": b"2"})
    part = backup(store, BackupOptions(agents=("alpha",)), now=NOW.timestamp(), conditions=CONDITIONS).id
    for one, other in ((whole, part), (part, whole)):
        report = diff_backups(store, one, other, conditions=CONDITIONS)
        assert ([file.path for file in report.files], report.same) == (["alpha/x"], 0)
    alone = diff_backups(store, whole, agents=("beta",), conditions=CONDITIONS)
    assert [file.path for file in alone.files] == ["beta/x"]
