"""Small real stores on disk, and ways to look at them that do not go through the code under test."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

Form = Literal["plain", "gzip"]

_GZIP_MAGIC = b"\x1f\x8b"
_BLANK = re.compile(r"[ \t\n\r]*")


def encode_array(records: Sequence[object], *, indent: int | None = 2) -> bytes:
    """An array as JSON.stringify writes it: text unescaped but for lone surrogates, no final newline."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(list(records), indent=indent, ensure_ascii=False, separators=separators)
    return text.encode("utf-8", errors="backslashreplace")


def write_array(path: Path, records: Sequence[object], *, form: Form = "plain", indent: int | None = 2) -> None:
    """Write an array as the runtime does: plain, or gzip bytes under the plain name."""
    data = encode_array(records, indent=indent)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if form == "gzip" else data)


def make_store(tmp_path: Path, agents: Mapping[str, Mapping[str, Sequence[object]]], *, form: Form = "plain") -> Path:
    """Make ``tmp_path/.loom/memory`` with these records by agent and kind (``patterns``, ...); returns that folder."""
    memory = tmp_path / ".loom" / "memory"
    memory.mkdir(parents=True, exist_ok=True)
    for agent, kinds in agents.items():
        (memory / agent).mkdir(exist_ok=True)
        for kind, records in kinds.items():
            write_array(memory / agent / f"{kind}.json", records, form=form)
    return memory


def gunzipped(data: bytes) -> bytes:
    """The data itself, or what it holds if its magic bytes are those of gzip."""
    return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data


def read_array(path: Path) -> list[Any]:
    """The elements of an array file, plain or gzip."""
    value = json.loads(gunzipped(path.read_bytes()))
    assert isinstance(value, list), f"{path} holds no array"
    return value


def record_spans(path: Path) -> list[bytes]:
    """The exact bytes of each element of an array file, plain or gzip."""
    text = gunzipped(path.read_bytes()).decode("utf-8-sig")
    decoder = json.JSONDecoder()
    place = _skip(text, _expect(text, _skip(text, 0), "["))
    spans: list[bytes] = []
    while not text.startswith("]", place):
        if spans:
            place = _skip(text, _expect(text, place, ","))
        _, end = decoder.raw_decode(text, place)
        spans.append(text[place:end].encode())
        place = _skip(text, end)
    assert _skip(text, place + 1) == len(text), f"{path} goes on after its array"
    return spans


def tree_digest(root: Path) -> dict[str, tuple[str, int, int, int]]:
    """SHA-256, size (bytes), mtime (ns) and mode of every file below a folder, by relative path.

    Of a link the target counts, not what it leads to.
    """
    digests: dict[str, tuple[str, int, int, int]] = {}
    for folder, subfolders, files in os.walk(root):
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        for name in (*files, *links):
            path = Path(folder) / name
            digests[path.relative_to(root).as_posix()] = _digest(path)
    return digests


def _digest(path: Path) -> tuple[str, int, int, int]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    else:
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    return hashlib.sha256(content).hexdigest(), status.st_size, status.st_mtime_ns, status.st_mode


def _skip(text: str, place: int) -> int:
    """The place of the next character that is not blank."""
    match = _BLANK.match(text, place)
    assert match is not None
    return match.end()


def _expect(text: str, place: int, mark: str) -> int:
    """The place after a mark that must stand here."""
    assert text.startswith(mark, place), f"{mark!r} expected at character {place}"
    return place + 1
