"""Figures about a store, counted with the standard library alone from what the files hold: what the program must say.

For the records that tests/support/records.py makes: ages are told by the first time that such a record carries.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.stores import gunzipped

KINDS = ("patterns", "solutions", "decisions")
NO_AGENTS = ("global", "audit", "config", "backup", "backups", "monitoring")
_BOUNDS = ((7, "under_7_days"), (30, "days_7_to_30"), (90, "days_30_to_90"))
_FURTHER = ((180, "days_90_to_180"), (365, "days_180_to_365"), (1e9, "older"))


@dataclass
class Counted:
    """What one pass over a store came to; sizes are bytes."""

    disk: Counter[tuple[str, str]] = field(default_factory=Counter)
    unpacked: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    inactive: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: Counter[tuple[str, str]] = field(default_factory=Counter)
    damaged: set[tuple[str, str]] = field(default_factory=set)
    created: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    schemas: Counter[str] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    """Bytes of other files by the folder at the top that they lie in; "" is the store itself."""
    copies: int = 0


def count_store(memory: Path, now: datetime) -> Counted:
    """Count everything in a store."""
    found = Counted()
    for path in sorted(memory.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        top, *rest = path.relative_to(memory).parts
        size = path.stat().st_size
        if top in ("backup", "backups") or top.startswith("backup-"):
            found.copies += size
        elif len(rest) == 1 and path.stem in KINDS and path.suffix == ".json" and _is_agent(top):
            _count_file(found, (top, path.stem), path.read_bytes(), now)
        else:
            found.others[top if rest else ""] += size
    found.agents = {path.name for path in memory.iterdir() if path.is_dir() and _is_agent(path.name)}
    return found


def _is_agent(name: str) -> bool:
    return name not in NO_AGENTS and not name.startswith((".", "backup-"))


def _count_file(found: Counted, name: tuple[str, str], data: bytes, now: datetime) -> None:
    found.disk[name] += len(data)
    try:
        text = gunzipped(data)
    except (OSError, EOFError):
        found.damaged.add(name)
        return
    found.unpacked[name] += len(text)
    try:
        elements = json.loads(text)
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        found.damaged.add(name)
        return
    for one in elements:
        if isinstance(one, dict) and one.get("version", "2.0.0") <= "2.0.0":
            _count_record(found, name, one, now)
        elif one is not None:
            found.unreadable[name] += 1


def _count_record(found: Counted, name: tuple[str, str], one: dict[str, Any], now: datetime) -> None:
    found.records[name] += 1
    found.inactive[name] += one.get("active") is False
    found.schemas[_schema(one)] += 1
    course = one.get("lifecycle") or one.get("evolution") or {}
    created = course.get("created_at") or course.get("created") or one.get("timestamp")
    used = {
        "patterns": course.get("last_used_at") or course.get("lastUsed"),
        "solutions": one.get("timestamp"),
        "decisions": one.get("reviewedAt") or one.get("timestamp"),
    }
    found.created[_age(created, now)] += 1
    found.used[_age(used[name[1]], now)] += 1


def _schema(one: dict[str, Any]) -> str:
    if "version" in one:
        return str(one["version"])
    return "1.2.0" if "metadata" in one else "1.1.0" if "tags" in one and "active" in one else "1.0.0"


def _age(moment: Any, now: datetime) -> str:
    if moment is None:
        return "unknown"
    parsed = datetime.fromisoformat(moment)
    days = (now - (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))).total_seconds() / 86_400
    return next(name for bound, name in (*_BOUNDS, *_FURTHER) if days < bound)
