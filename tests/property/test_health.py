"""Whatever lies in a store or beside it: every check comes to an end, and a file is damaged where it is no JSON."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.codec.compression import pack
from tests.contract.checking import health, result, store_with
from tests.property.json_text import odd_scalars, sound_scalars, sound_values
from tests.support.stores import make_store

PLACES = {
    "alpha/patterns.json": "alpha/patterns",
    "alpha/solutions.json": "alpha/solutions",
    "alpha/decisions.json": "alpha/decisions",
    "alpha/metrics.json": "alpha/metrics.json",
    "alpha/patterns.json.gz": "alpha/patterns.json.gz",
    "global/cross-agent.json": "global/cross-agent.json",
    "audit/audit-1.json": "audit/audit-1.json",
    "config.json": "config.json",
}

_texts = st.one_of(
    st.binary(max_size=40),
    sound_values,
    st.lists(st.one_of(sound_values, odd_scalars), max_size=4).map(lambda parts: b"[" + b",".join(parts) + b"]"),
    st.lists(sound_scalars, max_size=3).map(lambda parts: b"\xef\xbb\xbf[" + b" , ".join(parts) + b"]"),
    st.just(b""),
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Bytes of a file: text, perhaps packed, perhaps cut or with a byte changed."""
    data = draw(_texts)
    if draw(st.booleans()):
        data = pack(data)
    fate = draw(st.sampled_from(["whole", "whole", "cut", "changed"]))
    if data and fate == "cut":
        data = data[: draw(st.integers(0, len(data) - 1))]
    elif data and fate == "changed":
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return data


def is_whole(data: bytes, *, array: bool) -> bool:
    """Whether a plain reader finds one JSON value in a file, or for records one array."""
    try:
        text = _gunzipped(data) if data.startswith(b"\x1f\x8b") else data
        value = json.loads(text.decode("utf-8-sig"), parse_int=str)
    except (ValueError, zlib.error):
        return False
    return isinstance(value, list) or not array


def _gunzipped(data: bytes) -> bytes:
    text = b""
    while data:
        inflater = zlib.decompressobj(31)
        text += inflater.decompress(data)
        if not inflater.eof:
            raise ValueError("cut short")
        data = inflater.unused_data
    return text


@given(st.sampled_from(sorted(PLACES)), contents())
def test_integrity_says_what_a_plain_json_reader_says(path: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = store_with(Path(folder))
        (memory / path).parent.mkdir(exist_ok=True)
        (memory / path).write_bytes(data)
        report = health(memory)
        critical = [one.subject for one in result(report, "integrity").findings if one.level.word == "critical"]
        whole = is_whole(data, array=path.endswith(("patterns.json", "solutions.json", "decisions.json")))
        assert critical == ([] if whole else [PLACES[path]]), report.findings
        assert [one.name for one in report.checks if one.state == "not_run"] == []
        assert len({(one.check, one.subject) for one in report.findings}) == len(report.findings)


STATE = [
    "memory.aml/operations.json",
    "memory.aml/metrics.jsonl",
    "memory.aml/index/statistics.json",
    "memory.aml/index/records.sqlite",
    "memory.aml/runs/20261120T120000-0001-abcd.json",
    "memory.aml/runs/odd.json",
    "memory-backup/repository.json",
    "memory-backup/snapshots/20261120T120000.000000Z-01234567.json.gz",
    "memory/config.json",
]


@given(st.dictionaries(st.sampled_from(STATE), contents(), min_size=1))
def test_no_state_makes_a_check_break(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = make_store(Path(folder), {"alpha": {"patterns": []}})
        for path, data in files.items():
            file = memory.parent / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        for finding in health(memory).findings:
            assert "a fault of AML's own" not in finding.advice, finding


@pytest.mark.parametrize("depth", [150, 300, 5_000, 200_000])
def test_deep_nesting_breaks_no_check(tmp_path: Path, depth: int) -> None:
    memory = store_with(tmp_path)
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    (memory / "alpha/metrics.json").write_bytes(deep)
    (memory / "alpha/patterns.json").write_bytes(b"[" + deep + b"]")
    report = health(memory)
    assert [one.name for one in report.checks if one.state == "not_run"] == []
    assert report.records == 4
