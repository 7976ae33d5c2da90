"""Stand-in."""

from __future__ import annotations

import json
from typing import Any, Literal

from msgspec import Struct

from aml.codec.json_array import RecordArray
from aml.migrate.registry import VERSIONS
from aml.model.kinds import Kind
from aml.model.schema import is_too_new, version_of


class MigratedArray(Struct, frozen=True):
    text: bytes
    versions: dict[str, int]
    moved: dict[tuple[str, str], int]
    changed: int
    kept: int
    odd: int
    too_new: int
    bad: tuple[tuple[int, str | None, str, str], ...]
    notes: tuple[str, ...]


def migrate_array(array: RecordArray, kind: Kind, target: str, direction: Literal["up", "down"]) -> MigratedArray:
    versions: dict[str, int] = {}
    moved: dict[tuple[str, str], int] = {}
    bad: list[tuple[int, str | None, str, str]] = []
    pieces: dict[int, bytes] = {}
    odd = too_new = kept = 0
    for ordinal, raw in enumerate(array.elements):
        record: Any = json.loads(bytes(raw))
        if not isinstance(record, dict):
            odd += 1
            continue
        version = version_of(record)
        versions[version] = versions.get(version, 0) + 1
        if is_too_new(version):
            too_new += 1
            continue
        if record.get("broken"):
            bad.append((ordinal, record.get("id"), version, "broken"))
            continue
        if (version >= target) if direction == "up" else (version <= target):
            kept += 1
            continue
        record = _to(record, target, kind)
        moved[version, target] = moved.get((version, target), 0) + 1
        pieces[ordinal] = json.dumps(record, indent=2).encode()
    text = array.text
    if pieces:
        out, last = [], 0
        for ordinal, (start, end) in enumerate(array.spans):
            out += [text[last:start], pieces.get(ordinal, text[start:end])]
            last = end
        text = b"".join([*out, text[last:]])
    return MigratedArray(text, versions, moved, len(pieces), kept, odd, too_new, tuple(bad), ())


def _to(record: dict[str, Any], target: str, kind: Kind) -> dict[str, Any]:
    level = VERSIONS.index(target)
    record.setdefault("tags", [])
    record.setdefault("active", True)
    record.pop("version", None)
    if level < 2:
        record.pop("metadata", None)
    if level < 1:
        record.pop("active", None)
    if level >= 2:
        record.setdefault("metadata", {})
    if level == 3:
        record["version"] = target
    pairs = (("metrics", "performance"), ("evolution", "lifecycle"))
    for old, new in pairs if kind.name == "pattern" else ():
        first, second = (old, new) if level == 3 else (new, old)
        if first in record:
            record[second] = record.pop(first)
    return record
