"""A migration keeps the text of whatever it does not have to change, as it is written, in real files (H21)."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.moving import cases, changed, elements, left_behind, migrate, migrated, other_files, versions_of
from tests.support.json_tokens import Node
from tests.support.records import Record, decision, pattern, solution
from tests.support.schema_versions import KINDS, VERSIONS, meanings, written
from tests.support.stores import gunzipped, make_store, tree_digest

#: Stands for a text that no encoder writes: `RAW:` and the text itself.
_RAW = re.compile(r'"RAW:((?:[^"\\]|\\.)*)"')

ODD_VALUES: dict[str, Any] = {
    "big": "RAW:123456789012345678901234567890",
    "price": "RAW:1.10",
    "power": "RAW:1E+05",
    "tiny": "RAW:1e-400",
    "minus": "RAW:-0.0",
    "zeros": "RAW:0.50000000000000000000001",
    "many": ["RAW:1.0", "RAW:1.00", "RAW:18446744073709551616", [], {}, "", None, True],
    "": "a key of no text",
    "a b\tc": "keys, too",
    "__proto__": {"constructor": 1},
    "text": "naïve 学 \U0001f9e0 \u2028 \u007f",
    "deep": {"version": "9.9.9", "tags": 1, "metrics": {"successRate": "RAW:1.50"}, "x_aml": None},
}
#: Ways to write one string by escapes, which must stay as they are.
ESCAPED = r'{"lone": "\ud83d", "both": "\ud83e\udde0", "slash": "a\/b", "letter": "\u0041", "null": "\u0000"}'


def odd_records(kind: str) -> list[Record]:
    """Records of schema 1.0.0 with unknown fields everywhere, and others of later versions."""
    own = {"x-own": ODD_VALUES, "escapes": "ESCAPED", "aaa": "first in the alphabet, last in the record"}
    if kind == "patterns":
        one = pattern(id="p1") | own
        one["metrics"] |= {"successRate": "RAW:0.50", "executionCount": "RAW:5e0", "own": ODD_VALUES}
        one["evolution"] = {"own": ODD_VALUES} | one["evolution"] | {"confidenceScore": "RAW:0.70"}
        two = own | pattern(id="p2", tags=["b", "a", "b"], active=False, variations=["RAW:1.10", {"x": "RAW:1e1"}])
        return [one, two]
    if kind == "solutions":
        one = solution(id="s1") | own
        one["effectiveness"] |= {"own": ODD_VALUES, "preventedRecurrence": "RAW:1.0"}
        return [one, own | solution(id="s2", tags=[], active=True, verified=None)]
    one = decision(id="d1", scores={"developmentSpeed": "RAW:1.20", "own": ODD_VALUES}) | own  # type: ignore[dict-item]
    return [one, own | decision(id="d2", tags=["t"], active=True, reviewed_days=3) | {"outcome": None}]


def encoded(records: list[Any], indent: int | str | None, separators: tuple[str, str]) -> bytes:
    text = json.dumps(records, indent=indent, separators=separators, ensure_ascii=False)
    text = _RAW.sub(lambda match: match.group(1), text.replace('"ESCAPED"', ESCAPED))
    return text.encode()


def gzip_of_members(data: bytes) -> bytes:
    """Three members, cut in the middle of a character or a number."""
    cuts = (0, len(data) // 3, len(data) // 2, len(data))
    return b"".join(gzip.compress(data[a:b], mtime=0) for a, b in itertools.pairwise(cuts))


PRETTY = (2, (",", ": "))
LAYOUTS = {
    "as the runtime writes it": lambda records: encoded(records, *PRETTY),
    "compact": lambda records: encoded(records, None, (",", ":")),
    "on one line": lambda records: encoded(records, None, (", ", ": ")),
    "by tabs, with CRLF": lambda records: encoded(records, "\t", (",", ": ")).replace(b"\n", b"\r\n") + b"\r\n",
    "after a byte order mark": lambda records: b"\xef\xbb\xbf" + encoded(records, 4, (" ,", " : ")),
    "blanks all about": lambda records: b" \n\t[ \n" + encoded(records, *PRETTY)[1:-1] + b" \r\n] \n\n",
    "a record a line": lambda records: (
        b"[\n" + b",\n".join(encoded([one], None, (",", ":"))[1:-1] for one in records) + b"\n]\n"
    ),
    "gzip": lambda records: gzip.compress(encoded(records, *PRETTY), mtime=0),
    "gzip of several members": lambda records: gzip_of_members(encoded(records, *PRETTY)),
}


def odd_store(tmp_path: Path, layout: str) -> dict[str, bytes]:
    """A store with odd records in one layout; its files by kind."""
    memory = make_store(tmp_path, {"alpha": {}})
    for kind in ("patterns", "solutions", "decisions"):
        records = odd_records(kind)
        (memory / "alpha" / f"{kind}.json").write_bytes(LAYOUTS[layout]([records[0], None, *records[1:]]))
    (memory / "alpha/metrics.json").write_bytes(b'{"successRate": 1.10}')
    return files_of(memory)


def files_of(memory: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (memory / "alpha").glob("*s.json") if path.stem != "metrics"}


@pytest.mark.parametrize("layout", cases(LAYOUTS, "by tabs, with CRLF", "gzip of several members"))
def test_h21_text_numbers_order_and_unknown_fields_survive_the_way_up_and_back(tmp_path: Path, layout: str) -> None:
    """H21: migrating dropped variations and unknown fields."""
    before, memory = odd_store(tmp_path, layout), tmp_path / ".loom/memory"
    others = other_files(memory)
    for version in ("1.1.0", "1.2.0", "2.0.0"):
        migrated(tmp_path, "up", "--to", version)
        after = files_of(memory)
        for kind, data in before.items():
            pairs = list(zip(elements(data), elements(after[kind]), strict=True))
            assert [wrong for old, new in pairs for wrong in changed(kind, old, new)] == []
            assert data[:2] == after[kind][:2], "gzip stays gzip, a byte order mark stays where it was"
    assert versions_of(memory) == {"2.0.0": 6}
    migrated(tmp_path, "down", "--to", "1.0.0")
    for kind, data in files_of(memory).items():
        for old, new in zip(elements(before[kind]), elements(data), strict=True):
            if old.text != new.text:  # it was of 1.1.0, and has to say somehow that it is older now
                assert "tags" in old
                assert "active" in old
                names = ("x_aml", "version", "tags", "active")
                assert new.without(*names) == old.without(*names)
        assert _glue(before[kind]) == _glue(data)
    assert other_files(memory) == others
    assert left_behind(tmp_path) == []


def _glue(data: bytes) -> bytes:
    """All that stands between the elements of an array."""
    text = gunzipped(data)
    for one in sorted((one.text.encode() for one in elements(data)), key=len, reverse=True):
        text = text.replace(one, b"_", 1)
    return text


@pytest.mark.parametrize("version", cases(VERSIONS, "1.0.0"))
@pytest.mark.parametrize("layout", cases(LAYOUTS, "blanks all about"))
def test_a_file_that_came_back_is_the_same_byte_for_byte(tmp_path: Path, layout: str, version: str) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    for kind in KINDS:
        records = [written(one, version) for one in meanings(kind, "alpha", 12, seed=5)]
        (memory / "alpha" / f"{kind}.json").write_bytes(LAYOUTS[layout]([None, *records, 1.5]))
    before = {kind: gunzipped(data) for kind, data in files_of(memory).items()}
    ways = [[("up", "2.0.0")], [("up", "1.1.0"), ("up", "1.2.0")], [("down", "1.0.0")], [("down", "1.1.0")]]
    for way in ways:
        for direction, target in way:
            migrated(tmp_path, direction, "--to", target)
        for direction, target in (("down", version), ("up", version)):
            migrated(tmp_path, direction, "--to", target)
        assert {kind: gunzipped(data) for kind, data in files_of(memory).items()} == before


@pytest.mark.parametrize("layout", cases(LAYOUTS, "as the runtime writes it"))
def test_up_and_down_and_up_again_is_up(tmp_path: Path, layout: str) -> None:
    odd_store(tmp_path, layout)
    memory = tmp_path / ".loom/memory"
    migrated(tmp_path, "up")
    once = {kind: elements(data) for kind, data in files_of(memory).items()}
    migrated(tmp_path, "down", "--to", "1.0.0")
    migrated(tmp_path, "up")
    again = {kind: elements(data) for kind, data in files_of(memory).items()}
    for kind, nodes in once.items():
        for old, new in zip(nodes, again[kind], strict=True):
            assert json.loads(old.text) == json.loads(new.text)
            assert list(old.scalars()) == list(new.scalars())


def test_files_without_anything_to_migrate_keep_bytes_and_times(tmp_path: Path) -> None:
    memory = make_store(tmp_path, {"alpha": {"patterns": odd_free_newest()}, "beta": {}, "gamma": {"patterns": [None]}})
    for number, data in enumerate([b"[]", b" [ ] \n", b"\xef\xbb\xbf[]", b"[null, null]"]):
        (memory / f"beta{number}").mkdir()
        (memory / f"beta{number}/patterns.json").write_bytes(data)
    before = tree_digest(memory)
    migrated(tmp_path, "up")
    assert tree_digest(memory) == before


def odd_free_newest() -> list[Record]:
    return [{"version": "2.0.0", "id": "p", "agent": "alpha", "metadata": {}, "tags": [], "active": True, "own": 1}]


ODD_TEXTS = {
    "a repeated unknown key": '"own": 1.10, "own": 2',
    "a repeated metrics": '"metrics": {"successRate": 0.1}, "metrics": {"successRate": 0.9}',
    "a repeated figure": '"metrics": {"successRate": 0.1, "successRate": 0.9}',
    "a repeated figure by escapes": r'"metrics": {"successRate": 0.1, "success\u0052ate": 0.9}',
    "a figure in both spellings": '"metrics": {"successRate": 0.1, "success_rate": 0.9}',
    "both metrics and performance": '"metrics": {"successRate": 0.1}, "performance": {"success_rate": 0.9}',
    "both, of different figures": '"metrics": {"successRate": 0.1}, "performance": {"execution_count": 9}',
    "both evolution and lifecycle": '"evolution": {"created": "2020-01-01"}, "lifecycle": {"created_at": "2021-01-01"}',
    "repeated tags": '"tags": ["a"], "tags": ["b"]',
    "repeated metadata": '"metadata": {"created_by": "a"}, "metadata": {"version": "1.2.0"}',
    "a repeated version": '"version": "2.0.0", "version": "1.0.0"',
    "a repeated id": '"id": "other"',
    "NaN": '"metrics": {"successRate": NaN, "executionCount": Infinity, "avgTimeSavedMs": -Infinity}',
    "NaN in a field of its own": '"own": NaN',
    "metrics that are none": '"metrics": []',
    "metrics of null": '"metrics": null, "evolution": null',
    "metrics of text": '"metrics": "good"',
    "performance that is none": '"performance": 3, "metrics": {"successRate": 0.5}',
    "metadata that is none": '"metadata": "1.2.0"',
    "metadata of null": '"metadata": null',
    "tags of text": '"tags": "api, cache"',
    "tags of null": '"tags": null, "active": null',
    "active of text": '"active": "no", "tags": []',
    "a version of its own": '"version": 3, "tags": [], "active": true',
    "a version in words": '"version": "draft", "tags": [], "active": true',
    "a version that there is not": '"version": "1.5.0"',
    "a version of schema 1": '"version": "1.1.0"',
    "x_aml of somebody else": '"x_aml": "mine"',
    "x_aml of another form": '"x_aml": {"own": [1, 2], "metrics": 5, "tags": 7, "1.2.0": {"variations": 3}}',
    "x_aml repeated": '"x_aml": 1, "x_aml": 2',
    "variations that are none": '"variations": {"a": 1.10}',
    "a time that is none": '"timestamp": "last week", "evolution": {"created": "soon", "lastUsed": 0}',
    "a time in digits": '"timestamp": 1700000000.123456789',
    "a time with parts of a microsecond": '"timestamp": "2025-01-01T00:00:00.123456789Z"',
    "a time in another zone": '"timestamp": "2025-01-01T00:00:00.5-03:30"',
    "a day": '"timestamp": "2025-01-01"',
    "a month": '"timestamp": "2025-01"',
    "the last minute of a day": '"timestamp": "2025-01-01T24:00:00Z"',
    "times of null": '"timestamp": null, "evolution": {"created": null, "lastUsed": null}',
}


_IN_EVERY_RUN = (
    "a repeated metrics",
    "a repeated unknown key",
    "a time in digits",
    "a version in words",
    "both metrics and performance",
    "NaN",
    "tags of null",
    "x_aml of another form",
)


@pytest.mark.parametrize("case", cases(ODD_TEXTS, *_IN_EVERY_RUN))
def test_an_odd_record_is_kept_or_told(tmp_path: Path, case: str) -> None:
    """Either it goes up with all of its text, and comes back the same; or it stays byte for byte, and is named."""
    memory = make_store(tmp_path, {"alpha": {}})
    path = memory / "alpha/patterns.json"
    text = f'{{"id": "odd",\n  "agent": "alpha", {ODD_TEXTS[case]}, "last": 1.10}}'
    neighbour = json.dumps(pattern(id="plain"))
    path.write_bytes(f"[{neighbour},\n{text}]".encode(errors="surrogateescape"))
    before = path.read_bytes()
    (old,) = elements(before)[1:]
    answer = migrate(tmp_path, "up")
    if answer.status != 0:
        assert path.read_bytes() == before, "one bad record stops everything before anything changed"
        assert "odd" in answer.out
        answer = migrate(tmp_path, "up", "--skip-bad")
        assert answer.status in (3, 12), answer.out
        new = elements(path.read_bytes())
        assert new[1].text == old.text
        assert new[0]["version"].text == '"2.0.0"'
        assert "odd" in answer.out
        return
    (new,) = elements(path.read_bytes())[1:]
    if new.text == old.text:
        assert "odd" in answer.out or "version" in ODD_TEXTS[case], "left at its version without a word"
        return
    assert _lost(old, new) == []
    first = new.text
    migrated(tmp_path, "down", "--to", "1.0.0")
    assert _lost(old, elements(path.read_bytes())[1]) == []
    migrated(tmp_path, "up")
    assert sorted(elements(path.read_bytes())[1].scalars()) == sorted(parse_scalars(first))


@pytest.mark.parametrize("value", ["NaN", r'"\ud83d"'])
def test_what_only_a_tolerant_reader_takes_may_become_text_beside_records_that_stay(tmp_path: Path, value: str) -> None:
    memory = make_store(tmp_path, {"alpha": {}})
    file = memory / "alpha/solutions.json"
    stays = '{"id": "a", "tags": [], "active": true}'
    file.write_text(f'[{stays}, {{"id": "b",\n\t"tags": ["x"],"metadata":{{"own": {value}}}}}]', encoding="utf-8")
    before = file.read_bytes()
    migrated(tmp_path, "down", "--to", "1.1.0")
    assert versions_of(memory) == {"1.1.0": 2}
    migrated(tmp_path, "up", "--to", "1.2.0")
    first, second = elements(file.read_bytes())
    assert second.text == elements(before)[1].text
    assert "metadata" in first


def parse_scalars(text: str) -> list[str]:
    (node,) = elements(f"[{text}]".encode(errors="surrogateescape"))
    return list(node.scalars())


def _scalars(node: Node) -> Iterator[str]:
    for one in node.scalars():
        yield one
        if one.startswith('"{'):
            (within,) = elements(f"[{json.loads(one)}]".encode(errors="surrogateescape"))
            yield from _scalars(within)


def _lost(old: Node, new: Node) -> list[str]:
    """Scalars that are not there any more at all; they may be in the text of a record that is kept within another."""
    left = list(_scalars(new))
    missing = []
    for one in old.scalars():
        if one in left:
            left.remove(one)
        elif one.strip('"') not in VERSIONS:
            missing.append(one)
    return missing
