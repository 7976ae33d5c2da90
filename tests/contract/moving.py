"""Migrations of small real stores through the command line, and what may be true of a store after one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Answer, aml
from tests.support.json_tokens import Node, parse_bytes
from tests.support.schema_versions import (
    KINDS,
    NEWEST,
    Meaning,
    agents_of,
    all_records,
    read_meaning,
    version_in,
    versioned_store,
)
from tests.support.stores import Form, gunzipped, tree_digest

ROUND = {"up": "2.0.0", "down": "1.0.0"}
"""How far a store can go in either direction."""

Place = tuple[str, str]
Versions = Counter[tuple[str, str]]

#: What a step between two versions may add, take away or write anew, at the top level of a record.
_CHANGING = {
    "patterns": {"version", "tags", "active", "metadata", "variations", "x_aml", "timestamp"},
    "solutions": {"version", "tags", "active", "metadata", "variations", "x_aml", "timestamp"},
    "decisions": {"version", "tags", "active", "metadata", "variations", "x_aml", "timestamp", "reviewedAt"},
}
_RENAMED = {
    "metrics": "performance",
    "evolution": "lifecycle",
    "successRate": "success_rate",
    "executionCount": "execution_count",
    "avgTimeSavedMs": "avg_time_saved_ms",
    "errorPreventionCount": "error_prevention_count",
    "created": "created_at",
    "lastUsed": "last_used_at",
    "refinements": "refinement_count",
    "confidenceScore": "confidence",
}
_MOMENTS = {"created", "lastUsed"}


def cases(every: Iterable[str], *always: str) -> list[Any]:
    """Parameters of which only these are tried in every run, and the others where there is time."""
    return [one if one in always else pytest.param(one, marks=pytest.mark.slow) for one in every]


def migrate(project: Path, *words: str, now: float | None = None) -> Answer:
    """``aml migrate`` with these words, answered with yes; up is to the newest version where none is named."""
    up = ("--to", NEWEST) if words[0] == "up" and "--to" not in words else ()
    return aml(project, "migrate", *words, *up, "--yes", "--json", now=now)


def looked(project: Path, *words: str) -> Answer:
    """``aml migrate`` with these words, which change nothing."""
    return aml(project, "migrate", *words, "--json")


def migrated(project: Path, *words: str, now: float | None = None) -> dict[str, Any]:
    """The data of a migration that did all it was asked for."""
    answer = migrate(project, *words, now=now)
    assert answer.status == 0, (answer.out, answer.err)
    data = answer.envelope["data"]
    assert isinstance(data, dict)
    return data


def small_store(project: Path, version: str = "1.0.0", form: Form = "plain") -> Path:
    """A store of two agents with a few records of each kind."""
    return versioned_store(project, version, form=form, agents=agents_of(6))


def versions_of(memory: Path) -> dict[str, int]:
    """How many records there are of each version, told without the code under test."""
    return dict(Counter(version_in(record) for _, _, record in all_records(memory) if isinstance(record, dict)))


def meanings_of(memory: Path) -> dict[tuple[str, str, str], Meaning]:
    """What each record says, by agent, kind and id; each id must be there once."""
    found: dict[tuple[str, str, str], Meaning] = {}
    for agent, kind, record in all_records(memory):
        key = (agent, kind, record["id"])
        assert key not in found, f"{key} is there twice"
        found[key] = read_meaning(kind, record)
    return found


def record_files(memory: Path) -> dict[Place, bytes]:
    """The bytes of each record file by agent and kind."""
    paths = {(agent.name, kind): agent / f"{kind}.json" for agent in memory.iterdir() for kind in KINDS}
    return {place: path.read_bytes() for place, path in sorted(paths.items()) if path.is_file()}


def other_files(memory: Path) -> dict[str, tuple[str, int, int, int]]:
    """The digest of everything that no migration may touch."""
    names = {f"{kind}.json" for kind in KINDS}
    return {path: one for path, one in tree_digest(memory).items() if path.rpartition("/")[2] not in names}


def elements(data: bytes) -> list[Node]:
    """The elements of a record file, plain or gzip, as they are written."""
    return list(parse_bytes(gunzipped(data)))


def changed(kind: str, before: Node, after: Node) -> list[str]:
    """What of one record a migration upwards altered besides what it has to: text, numbers, order, unknown fields."""
    if before.text == after.text or not before.text.startswith("{"):
        return [] if before.text == after.text else [f"{before.text} became {after.text}"]
    wrong = _compared(before, after, _CHANGING[kind] | set(_RENAMED) | set(_RENAMED.values()))
    if kind == "patterns":
        for name in ("metrics", "evolution"):
            if name in before:
                inner = after[_RENAMED[name]] if _RENAMED[name] in after else after[name]
                wrong += _compared(_as_renamed(before[name]), _as_renamed(inner), _MOMENTS)
    return wrong


def _compared(before: Node, after: Node, leave_out: set[str]) -> list[str]:
    old, new = before.without(*leave_out), after.without(*leave_out)
    return [] if old == new else [f"{old} became {new}"]


def _as_renamed(node: Node) -> Node:
    """With the names of schema 1.x."""
    old_names = {f'"{new}"': f'"{old}"' for old, new in _RENAMED.items()}
    return Node(node.text, tuple((old_names.get(key, key), value) for key, value in node.members))


def left_behind(project: Path) -> list[str]:
    """What no run may leave: locks and unfinished writes anywhere, staged files, runs that never ended."""
    loom = project / ".loom"
    found = [
        path.relative_to(loom).as_posix()
        for path in loom.rglob("*")
        if (path.name.endswith((".lock", ".tmp")) and path.is_dir()) or ".aml-tmp" in path.name
    ]
    for state in loom.glob("*.aml"):
        found += [
            path.relative_to(loom).as_posix()
            for name in ("migrate", "migration", "staging", "restore")
            for path in (state / name).rglob("*")
        ]
        for run in (state / "runs").glob("*.json"):
            if json.loads(run.read_bytes())["state"] == "begun":
                found.append(f"{run.name} is begun")
    quarantine = list(loom.glob("*-backup/quarantine/*"))
    return sorted(found + [path.relative_to(loom).as_posix() for path in quarantine])


def assert_untouched(memory: Path, before: dict[str, Any], project: Path) -> None:
    """The store is what ``tree_digest`` told of it before, and no run has left anything."""
    assert tree_digest(memory) == before
    assert left_behind(project) == []
