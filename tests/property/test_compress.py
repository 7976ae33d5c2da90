"""Whatever a store says, and in whatever order it is compressed and turned back: text, time and mode stay."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aml.codec.compression import pack, unpacks_to
from aml.errors import ExitStatus
from tests.contract.compressing import GZIP, run_compress
from tests.support.stores import gunzipped

#: A real run costs several flushes to disk.
thrifty = settings(max_examples=max(10, settings().max_examples // 4))

texts = st.one_of(
    st.builds(lambda values: json.dumps(values * 40).encode(), st.lists(st.integers() | st.text(), max_size=5)),
    st.binary(max_size=300),
    st.builds(lambda data: b"[" + data * 30 + b"]", st.binary(max_size=40)),
    st.builds(lambda data: GZIP + data, st.binary(max_size=60)),
    st.builds(lambda data: pack(b"[" + b"1," * len(data) + b"1]"), st.binary(max_size=300)),
)
steps = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5)


@thrifty
@given(
    texts,
    st.sampled_from(["alpha/patterns.json", "alpha/decisions.json", "global/cross-agent.json"]),
    st.integers(0, 2**31 * 10**9),
    st.sampled_from([0o600, 0o640, 0o644, 0o444]),
    steps,
)
def test_text_time_and_mode_stay(
    data: bytes, name: str, mtime_ns: int, mode: int, runs: list[tuple[bool, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder).resolve() / ".loom" / "memory"
        file = memory / name
        file.parent.mkdir(parents=True)
        (memory / "alpha").mkdir(exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)
        os.utime(file, ns=(mtime_ns, mtime_ns))
        said, time_ns = said_by(data), file.stat().st_mtime_ns
        for decompress, dry_run in runs:
            before = file.read_bytes()
            report = run_compress(memory, age_days=0, decompress=decompress, dry_run=dry_run)
            after = file.read_bytes()
            (told,) = report.files
            assert said_by(after) == said
            assert (file.stat().st_mtime_ns, file.stat().st_mode & 0o7777) == (time_ns, mode)
            assert os.listdir(file.parent) == [file.name]
            assert (told.fate in ("compressed", "decompressed")) >= (after != before)
            assert dry_run or told.bytes_after == len(after)
            assert report.status in (ExitStatus.DONE, ExitStatus.DAMAGED)
            if told.fate in ("kept", "left") or dry_run:
                assert after == before
            elif not decompress:
                assert after.startswith(GZIP)
                assert len(after) < len(before)


def said_by(data: bytes) -> bytes:
    """The text of a file; of one that cannot be unpacked, the bytes themselves."""
    try:
        return gunzipped(data)
    except (OSError, EOFError, ValueError):
        return data
    except Exception as error:
        if type(error).__name__ != "error":
            raise
        return data


@given(st.binary(max_size=5000), st.integers(1, 300))
def test_what_was_packed_is_told_from_everything_else(data: bytes, times: int) -> None:
    text = data * times
    packed = pack(text)
    assert unpacks_to(packed, text)
    assert not unpacks_to(packed, text + b"x")
    assert not unpacks_to(packed, text[:-1]) or not text
    assert not unpacks_to(packed + packed, text)
    assert not unpacks_to(packed[:-1], text)
    assert not unpacks_to(packed[:-8] + bytes(8), text) or packed.endswith(bytes(8))
    if text:
        assert not unpacks_to(packed, bytes([text[0] ^ 1]) + text[1:])
