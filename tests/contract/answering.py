"""What every operation answers about a store, without all that has to differ between two versions of one schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cli.running import aml
from tests.contract.backing_up import tree
from tests.support.records import NOW
from tests.support.schema_versions import all_records

Answers = dict[str, Any]

#: Sizes, and what is worked out of them; digests of text; ids of runs and backups; how long it took; where it is.
_MUST_DIFFER = {
    "added_bytes",
    "after",
    "before",
    "bytes",
    "bytes_after",
    "bytes_before",
    "density",
    "limit_bytes",
    "saved",
    "schemas",
    "seconds",
    "sha256",
    "short_by",
    "size",
    "stored_bytes",
    "record",
    "text",
    "time",
}
_SIZE = re.compile(r"\b[0-9.]+ [KM]?i?B\b")
#: So little that all must go, since what goes first depends on sizes only where something may stay.
_SMALL_LIMIT = {"AML_SPACE_AGENT_MB": "0.00001", "AML_SPACE_STORE_MB": "0.00001"}

_PRUNES: dict[str, tuple[str, ...]] = {
    "default": (),
    "time": ("--strategy", "time"),
    "performance": ("--strategy", "performance"),
    "aggressive": ("--aggressive", "--max-loss", "100%"),
    "without limit": ("--max-loss", "100%"),
    "one agent": ("--agent", "alpha", "--max-loss", "10%"),
}
_SPACES: dict[str, tuple[str, ...]] = {
    "by value": ("--strategy", "space", "--policy", "value", "--max-loss", "100%"),
    "by confidence": ("--strategy", "space", "--policy", "confidence", "--max-loss", "100%"),
    "all three": ("--strategy", "time", "--strategy", "performance", "--strategy", "space", "--policy", "value"),
}
_QUERIES: dict[str, tuple[str, ...]] = {
    "all by value": ("--sort", "value"),
    "by last use": ("--sort", "last-used"),
    "by creation": ("--sort", "created"),
    "one agent": ("--agent", "alpha", "--sort", "created"),
    "patterns": ("--kind", "pattern"),
    "solutions": ("--kind", "solution"),
    "decisions": ("--kind", "decision", "--sort", "last-used"),
    "tag": ("--tag", "api"),
    "two tags": ("--tag", "api", "--tag", "cache"),
    "words by creation": ("--text", "price list", "--sort", "created"),
    "confidence": ("--min-confidence", "0.5"),
    "success": ("--min-success", "50%", "--kind", "pattern"),
    "since": ("--since", "50d", "--sort", "last-used"),
    "since a day": ("--since", "2026-06-01"),
}
#: What fits best depends on the length of the text, so that only what is found can be the same.
_BY_RELEVANCE = {
    "words": ("--text", "naïve"),
    "everything at once": ("--agent", "alpha", "--text", "cache", "--min-confidence", "0.1", "--since", "900d"),
}


def answers(project: Path, scratch: Path, *, now: float | None = None) -> Answers:
    """By name, what each operation says; none of them changes a record. ``scratch`` is where a backup is restored."""
    memory = project / ".loom/memory"
    found: Answers = {}
    for name, words in _PRUNES.items():
        found[f"prune {name}"] = _asked(project, now, "prune", "--dry-run", *words)
    for name, words in _SPACES.items():
        found[f"prune {name}"] = _asked(project, now, "prune", "--dry-run", *words, environment=_SMALL_LIMIT)
    for name, words in _QUERIES.items():
        found[f"query {name}"] = _asked(project, now, "query", "--limit", "0", *words)
    for name, words in _BY_RELEVANCE.items():
        asked = _asked(project, now, "query", "--limit", "0", *words)
        asked["data"]["records"].sort(key=json.dumps)
        found[f"query {name}"] = asked
    for ident in _some_ids(memory):
        found[f"explain {ident}"] = _asked(project, now, "prune", "explain", ident)
        found[f"show {ident}"] = _asked(project, now, "show", ident)
    found["gc"] = _asked(project, now, "optimize", "gc", "--dry-run", "--max-loss", "100%")
    found["compress"] = _asked(project, now, "optimize", "compress", "--dry-run", "--age-days", "0")
    found["index"] = _asked(project, now, "optimize", "index", "--rebuild")
    return found | backup_answers(project, scratch, now=now)


def backup_answers(project: Path, scratch: Path, *, now: float | None = None) -> Answers:
    """A backup is made, listed, compared with the store and restored elsewhere."""
    moment = NOW.timestamp() if now is None else now
    made = aml(project, "backup", "create", "--full", "--json", now=moment)
    ident = made.envelope["data"]["id"]
    listed = aml(project, "backup", "list", "--json", now=moment).envelope["data"]["backups"]
    found: Answers = {
        "backup create": {name: made.envelope["data"][name] for name in ("agents", "files", "folders", "unread")},
        "backup list": [(one["files"], one["complete"]) for one in listed if one["id"] == ident],
        "backup verify": aml(project, "backup", "verify", ident, "--json", now=moment).envelope["data"]["findings"],
    }
    diff = aml(project, "backup", "diff", ident, "--json", now=moment).envelope["data"]
    found["backup diff"] = {name: diff[name] for name in ("files", "same", "unread")}
    dry = aml(project, "backup", "restore", ident, "--dry-run", "--json", now=moment).envelope["data"]
    found["backup restore, dry"] = {name: dry[name] for name in ("files", "same", "records_before", "records_after")}
    target = scratch / f"restored-{ident}"
    done = aml(project, "backup", "restore", ident, "--target", str(target), "--json", now=moment)
    found["backup restore"] = done.status
    assert tree(target) == tree(project / ".loom/memory"), "what is restored is not what was backed up"
    return found


def _asked(project: Path, now: float | None, *words: str, environment: Mapping[str, str] | None = None) -> Any:
    answer = aml(project, *words, "--json", environment=environment, now=now)
    return {"exit": answer.status, "data": without(answer.envelope["data"], _MUST_DIFFER)}


def without(value: Any, names: set[str]) -> Any:
    """The value without any member of these names, at any depth, and without sizes in its sentences."""
    if isinstance(value, str):
        return _SIZE.sub("(size)", value)
    if isinstance(value, dict):
        return {key: without(one, names) for key, one in value.items() if key not in names}
    return [without(one, names) for one in value] if isinstance(value, list) else value


def _some_ids(memory: Path, each: int = 4) -> list[str]:
    """The first records of each agent and kind that have an id of their own."""
    places: dict[tuple[str, str], list[str]] = {}
    for agent, kind, record in all_records(memory):
        if isinstance(record, dict) and isinstance(record.get("id"), str):
            places.setdefault((agent, kind), []).append(record["id"])
    return [ident for idents in places.values() for ident in idents[:each]]


def differences(expected: Answers, found: Answers) -> Sequence[str]:
    """The operations that answer otherwise, with the place of the first difference."""
    assert expected.keys() == found.keys()
    return [
        f"{name}: {_first_difference(expected[name], found[name])}"
        for name in expected
        if expected[name] != found[name]
    ]


def _first_difference(one: Any, other: Any, place: str = "") -> str:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(_first_difference(one[key], other[key], f"{place}.{key}") for key in one if one[key] != other[key])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next(_first_difference(a, b, f"{place}[{number}]") for number, (a, b) in pairs if a != b)
    return f"at {place}: {json.dumps(one)[:400]} became {json.dumps(other)[:400]}"
