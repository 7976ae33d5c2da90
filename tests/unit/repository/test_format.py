"""The format is as docs/repository-format.md tells it; docs/recover.md reads it without AML."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from aml.repository.chunking import ends
from aml.repository.local_folder import LocalFolder
from tests.unit.repository.repositories import back_up, records

DOCUMENT = Path(__file__).parents[3] / "docs" / "repository-format.md"
TREE = {
    "alice/patterns.json": records(300),
    "alice/empty.json": b"",
    "bob/ü x.json": records(99, seed=2),
    "c.json": b"{}",
}


def test_index_and_manifest_are_as_told(tmp_path: Path) -> None:
    destination = LocalFolder(tmp_path)
    snapshot = back_up(destination, TREE, pack_bytes=50_000, unread=["alice/x"])
    (path,) = (tmp_path / "index").iterdir()
    assert path.name == hashlib.sha256(path.read_bytes()).hexdigest() + ".json.gz"
    index = json.loads(gzip.decompress(path.read_bytes()))
    assert set(index) == {"format", "packs"}
    for pack in index["packs"]:
        data = (tmp_path / "packs" / pack["pack"][:2] / f"{pack['pack']}.gz").read_bytes()
        assert len(data) == pack["size"]
        last = pack["members"][-1]
        own = json.loads(gzip.decompress(data[last[0] + last[1] :]))
        assert own == {"format": 1, **{name: pack[name] for name in ("members", "sha256", "lengths")}}
        assert data[last[0] + last[1] :][:16].hex() == "1f8b08040000000000ff0800414d0400"
        first = gzip.decompress(data[: last[0] + last[1]])
        assert len(first) == sum(pack["lengths"])
        assert hashlib.sha256(first[: pack["lengths"][0]]).hexdigest() == pack["sha256"][:64]
    manifest = json.loads(gzip.decompress((tmp_path / "snapshots" / f"{snapshot.id}.json.gz").read_bytes()))
    told = re.findall(
        r"^\| `([a-z_]+)`(?:, `([a-z_]+)`)? \|", DOCUMENT.read_text().partition("## Snapshots")[2], re.MULTILINE
    )
    fields = {name for pair in told for name in pair if name}
    assert set(manifest) <= fields
    assert manifest["unread"] == [{"path": "alice/x", "reason": "no right"}]
    assert set(manifest["listings"][0]) == {"agent", "sha256", "size", "chunks", "files", "bytes"}
    assert json.loads((tmp_path / "repository.json").read_bytes()).keys() == {"format", "id", "created"}


def told_cuts(data: bytes) -> list[int]:
    """Where the document's rules cut, written down once more and slowly."""
    head = re.match(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[([ \t\r\n]*)\{", data)
    compact, line = rb"\},[ \t\r\n]*(?=\{)", rb"\n"
    if head and b"\n" in head[1]:
        anchors = [re.escape(head[1][head[1].rindex(b"\n") :]) + rb"(?=\{)", line, compact]
    else:
        anchors = [compact, line] if head else [line, compact]
    ends = [0, len(data)]
    for anchor in anchors:
        found = list(ends)
        for low, high in pairwise(ends):
            if high - low <= (65_536 if len(ends) > 2 else 8192):
                continue
            sums = {
                m.end(): zlib.crc32(data[m.end() : m.end() + 128])
                for m in re.finditer(anchor, data[:high])
                if m.start() >= low
            }
            for place, own in sums.items():
                before = [one for other, one in sums.items() if place - 8192 <= other < place]
                after = [one for other, one in sums.items() if place < other <= place + 8192]
                if low + 8192 <= place <= high - 8192 and all(own < one for one in before):
                    found += [place] if all(own <= one for one in after) else []
        ends = sorted(found)
    for low, high in pairwise(list(ends)):
        forced = list(range(low + 65_536, high, 65_536))
        if forced and high - forced[-1] < 8192:
            forced[-1] -= 8192
        ends += forced
    return sorted(set(ends))[1:]


@pytest.mark.parametrize("indent", [None, 2])
def test_chunks_are_cut_as_told(indent: int | None) -> None:
    values = json.loads(records(250))
    for document in (
        values,
        {"all": values},
        [{"same": "x" * 130, **one} for one in values],
        [values[0] | {"big": "y" * 150_000}],
    ):
        data = json.dumps(document, indent=indent).encode()
        assert list(ends(data)) == told_cuts(data)
    assert list(ends(bytes(140_000))) == told_cuts(bytes(140_000))
