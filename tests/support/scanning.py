"""A search that reads every file with the standard library alone: what the index must agree with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.stores import gunzipped

KINDS = ("patterns", "solutions", "decisions")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Scanned:
    """One record: where it is, its id, its exact decoded content."""

    agent: str
    kind: str
    record: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.agent, self.kind, json.dumps(self.record, sort_keys=True)

    @property
    def words(self) -> set[str]:
        """All words of its text values, for plain ASCII."""
        return {word for text in _texts(self.record) for word in _WORD.findall(text.lower())}


def scan(memory: Path) -> list[Scanned]:
    """Every object in the record files of every agent; files that are no array have none."""
    found = []
    for folder in sorted(memory.iterdir()):
        if folder.is_dir() and folder.name not in ("global", "audit"):
            for kind in KINDS:
                found += [Scanned(folder.name, kind, one) for one in _array(folder / f"{kind}.json")]
    return found


def _array(path: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads(gunzipped(path.read_bytes()))
    except (OSError, ValueError, EOFError):
        return []
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
