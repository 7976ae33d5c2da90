"""What a backup notes of one file: its form, its hashes, its records, its schema, and what is the matter with it."""

from __future__ import annotations

import gzip
import hashlib
import os
from functools import partial
from pathlib import Path

import pytest

from aml.backup.read import entry_of, is_record_file, read_settled
from aml.errors import FileAccessError
from aml.repository.manifest import FileEntry
from aml.repository.repository import StoredDocument
from tests.property.trees import huge
from tests.support.records import Record, pattern, to_v110, to_v120, to_v200
from tests.support.stores import encode_array

PATTERNS = "alpha/patterns.json"
TEXT = encode_array([pattern(id="p1"), pattern(id="p2"), pattern(id="p3")])
packed = partial(gzip.compress, mtime=0)


def short(value: object) -> str | None:
    """Names of cases that are not their whole content."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else None


def entry(
    data: bytes, path: str = PATTERNS, *, folder: Path, limit: int = 1 << 20, stored: list[bytes] | None = None
) -> FileEntry:
    """The entry of a file that holds ``data``; what is to be stored of it goes to ``stored``."""
    file = folder / "file"
    file.write_bytes(data)
    read = read_settled(file)
    assert read is not None
    kept: list[bytes] = [] if stored is None else stored

    def keep(content: bytes) -> StoredDocument:
        kept.append(content)
        return StoredDocument(hashlib.sha256(content).hexdigest(), len(content), ["00" * 32])

    return entry_of(path, read, keep, limit)


def test_plain_records_are_stored_as_they_are(tmp_path: Path) -> None:
    stored: list[bytes] = []
    found = entry(TEXT, folder=tmp_path, stored=stored)
    assert stored == [TEXT]
    assert (found.form, found.size, found.records, found.damaged) == ("plain", len(TEXT), 3, None)
    assert found.sha256 == found.stored_sha256 == hashlib.sha256(TEXT).hexdigest()
    assert (found.content_sha256, found.content_size) == (None, None)


@pytest.mark.parametrize("path", [PATTERNS, "alpha/solutions.json", "b c/decisions.json", "global/any name.json"])
def test_one_gzip_member_is_stored_unpacked(tmp_path: Path, path: str) -> None:
    data, stored = packed(TEXT), list[bytes]()
    found = entry(data, path, folder=tmp_path, stored=stored)
    assert stored == [TEXT]
    assert (found.form, found.size, found.content_size) == ("gzip", len(data), len(TEXT))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.content_sha256 == found.stored_sha256 == hashlib.sha256(TEXT).hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "patterns.json",
        "alpha/x/patterns.json",
        "alpha/context.json",
        "alpha/patterns.json.gz",
        "global/a/b.json",
        "global/notes.md",
        "backup/patterns.json",
        ".x/patterns.json",
        os.fsdecode(b"\xff/patterns.json"),
    ],
)
def test_no_other_file_is_unpacked_nor_judged(tmp_path: Path, path: str) -> None:
    for data in (packed(TEXT), b"no JSON", b""):
        stored: list[bytes] = []
        found = entry(data, path, folder=tmp_path, stored=stored)
        assert stored == [data]
        assert (found.form, found.records, found.schema, found.damaged) == ("plain", None, None, None)


def test_several_gzip_members_are_kept_verbatim_and_their_records_counted(tmp_path: Path) -> None:
    data = packed(TEXT[:100]) + packed(TEXT[100:])
    found = entry(data, folder=tmp_path)
    assert (found.form, found.records, found.damaged) == ("plain", 3, None)
    assert found.sha256 == found.stored_sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"null", "null"),
        (b'{"id": 1}', "an object"),
        (TEXT[:-5], "never ends"),
        (TEXT + TEXT, "follow the end"),
        (packed(TEXT)[:-5], "too early"),
        (packed(TEXT)[:-8] + b"\0" * 8, "damaged"),
        (packed(TEXT) + b"garbage", "7 bytes of something else"),
        (packed(b"\x00"), "no JSON"),
        (packed(b""), "empty"),
        (packed(TEXT) + packed(b"x"), "follow the end"),
        (b"\x1f\x8b", "too early"),
    ],
    ids=short,
)
def test_what_holds_no_records_is_kept_verbatim_and_flagged(tmp_path: Path, data: bytes, words: str) -> None:
    stored: list[bytes] = []
    found = entry(data, folder=tmp_path, stored=stored)
    assert stored == [data]
    assert (found.form, found.records, found.schema) == ("plain", None, None)
    assert words in str(found.damaged)


def test_gzip_that_unpacks_beyond_the_limit_is_kept_verbatim_and_flagged(tmp_path: Path) -> None:
    text = encode_array([{"id": "x", "text": "a" * 100_000}])
    data = packed(text)
    assert entry(data, folder=tmp_path, limit=len(text)).form == "gzip"
    found = entry(data, folder=tmp_path, limit=len(text) - 1)
    assert (found.form, found.size) == ("plain", len(data))
    assert "more than" in str(found.damaged)


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"[]", 0),
        (b" [ ]\n", 0),
        (b"\xef\xbb\xbf" + TEXT, 3),
        (b'[NaN, {"x": Infinity}]', 2),
        (b'[{"t": "\\ud83d"}, null, 1, [], "a"]', 5),
        (b'[{"n": %s}]' % (b"9" * 5_000), 1),
        (b"[" + b"[" * 5_000 + b"]" * 5_000 + b", {}]", 2),
        (b'[{"id": "\xff"}]', 1),
        (huge(4_000), 4_000),
    ],
    ids=short,
)
def test_odd_records_are_records_all_the_same(tmp_path: Path, data: bytes, records: int) -> None:
    for written in (data, packed(data)):
        found = entry(written, folder=tmp_path, limit=1 << 24)
        assert (found.records, found.damaged) == (records, None)


@pytest.mark.parametrize(
    "data",
    [b'{"a": 1}', b"[]", b"null", b"1", b'"x"', b"\xef\xbb\xbf{}", b'{"a": NaN}', b'{"a": %s}' % (b"9" * 400)],
    ids=short,
)
def test_a_global_document_may_be_any_json(tmp_path: Path, data: bytes) -> None:
    assert entry(data, "global/x.json", folder=tmp_path).damaged is None
    assert entry(packed(data), "global/x.json", folder=tmp_path).form == "gzip"


@pytest.mark.parametrize("data", [b"", b"{", b"{}{}", b"no JSON", b"\xff\xfe", packed(b"{"), b"[" * 100_000], ids=short)
def test_a_global_document_that_is_no_json_is_kept_verbatim_and_flagged(tmp_path: Path, data: bytes) -> None:
    stored: list[bytes] = []
    found = entry(data, "global/x.json", folder=tmp_path, stored=stored)
    assert stored == [data]
    assert (found.form, found.records) == ("plain", None)
    assert found.damaged is not None


def test_a_document_nested_beyond_the_interpreter_s_stack_stops_nothing(tmp_path: Path) -> None:
    data = b"[" * 100_000 + b"]" * 100_000
    stored: list[bytes] = []
    found = entry(data, "global/x.json", folder=tmp_path, stored=stored)
    assert (stored, found.sha256) == ([data], hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("record", "version"),
    [
        (pattern(), "1.0.0"),
        (to_v110(pattern()), "1.1.0"),
        (to_v120(pattern()), "1.2.0"),
        (to_v200(pattern()), "2.0.0"),
        ({"version": "9.1.0"}, "9.1.0"),
        ({}, "1.0.0"),
    ],
)
def test_the_schema_is_that_of_the_first_record(tmp_path: Path, record: Record, version: str) -> None:
    found = entry(encode_array([record, {"version": "7.7.7"}]), folder=tmp_path)
    assert found.schema == version


@pytest.mark.parametrize("text", [b"[]", b"[null]", b"[1, {}]", b"[[]]", b'[{"a": NaN}]'])
def test_where_the_first_element_is_no_record_the_schema_is_unknown(tmp_path: Path, text: bytes) -> None:
    assert entry(text, folder=tmp_path).schema is None


def test_mode_time_and_exact_name_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"x")
    file.chmod(0o440)
    os.utime(file, ns=(0, -1_500_000_001))
    read = read_settled(file)
    assert read is not None
    path = os.fsdecode(b"alpha/caf\xe9")
    found = entry_of(path, read, lambda data: StoredDocument("00" * 32, len(data), []), 1 << 20)
    assert (found.mode, found.mtime_ns, found.location) == (0o440, -1_500_000_001, path)
    assert (found.path, found.path_hex) == ("alpha/caf\ufffd", b"alpha/caf\xe9".hex())


def test_a_file_that_has_just_changed_is_not_known_by_its_status(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"x")
    # the time of its content can be set back, that of its last change cannot
    os.utime(file, (0, 0))
    assert entry(b"x", folder=tmp_path).stat is None
    read = read_settled(file)
    assert read is not None
    assert entry_of("x", read, lambda data: StoredDocument("00" * 32, 1, []), 1).stat is None


def test_a_file_that_is_gone_is_nothing(tmp_path: Path) -> None:
    assert read_settled(tmp_path / "gone") is None


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(FileAccessError, match="cannot read"):
        read_settled(tmp_path / "link")


def test_record_files_are_three_of_each_agent() -> None:
    assert all(is_record_file(f"alpha/{kind}.json") for kind in ("patterns", "solutions", "decisions"))
    others = ["patterns.json", "alpha/metrics.json", "global/patterns.json", "alpha/x/patterns.json", "alpha"]
    assert not any(is_record_file(path) for path in others)
