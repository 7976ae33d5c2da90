"""Migrating through the Python API, at a fixed moment and without waiting between locks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aml.fs.runtime_lock import LockPolicy
from aml.migrate.detect import DetectReport
from aml.migrate.options import MigrateOptions
from aml.migrate.registry import Direction
from aml.migrate.report import MigrateReport
from aml.store.open import open_store
from aml.workflows.conditions import Conditions
from aml.workflows.migrate import detect_schema, migrate
from tests.support.records import NOW, Record, decision, pattern, solution
from tests.support.stores import Form, gunzipped, make_store, read_array

RECORD_FILES = ("patterns.json", "solutions.json", "decisions.json")


def run_migrate(
    memory: Path,
    target: str = "1.2.0",
    direction: Direction = "up",
    *,
    agents: tuple[str, ...] = (),
    skip_bad: bool = False,
    dry_run: bool = False,
    backup: bool = True,
    accept_unreadable: bool = True,
    lock_timeout: float = 0.2,
    progress: Callable[[str], None] = lambda _: None,
) -> MigrateReport:
    """Migrate the store at ``memory`` at NOW."""
    return migrate(
        open_store(memory),
        MigrateOptions(target, direction, agents, skip_bad),
        now=NOW.timestamp(),
        dry_run=dry_run,
        backup=backup,
        accept_unreadable=accept_unreadable,
        conditions=Conditions(locks=LockPolicy(timeout=lock_timeout, rest=0)),
        progress=progress,
    )


def detected(memory: Path) -> DetectReport:
    return detect_schema(open_store(memory))


def two_agents(tmp_path: Path, *, form: Form = "plain", change: Callable[[Record], Record] = lambda one: one) -> Path:
    """Two agents with all kinds of records of 1.0.0, or of what ``change`` makes of them."""
    made = {
        agent: {
            "patterns": [change(pattern(id=f"p{number}", agent=agent)) for number in range(4)],
            "solutions": [change(solution(id=f"s{number}", agent=agent)) for number in range(3)],
            "decisions": [change(decision(id=f"d{number}", agent=agent)) for number in range(2)],
        }
        for agent in ("alpha", "beta")
    }
    return make_store(tmp_path, made, form=form)


def contents(memory: Path) -> dict[str, bytes]:
    """The bytes of every file in the store, by relative path."""
    return {
        path.relative_to(memory).as_posix(): path.read_bytes() for path in sorted(memory.rglob("*")) if path.is_file()
    }


def ids(memory: Path) -> Counter[tuple[str, str]]:
    """Every record with an id, by its file."""
    found: Counter[tuple[str, str]] = Counter()
    for name in RECORD_FILES:
        for path in memory.glob(f"*/{name}"):
            records = [one for one in read_array(path) if isinstance(one, dict)]
            found.update((f"{path.parent.name}/{name}", str(one.get("id"))) for one in records)
    return found


def loaded(memory: Path, path: str) -> Any:
    return json.loads(gunzipped((memory / path).read_bytes()))


def claim_of(memory: Path) -> Any:
    """AML's claim about a store; None where there is none."""
    path = memory.with_name("memory.aml") / "schema.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def left_behind(memory: Path) -> list[str]:
    """What a migration that is over must not leave beside the store."""
    places = (memory.with_name("memory.aml") / "migration", memory.with_name("memory-backup") / "quarantine")
    return [path.name for place in places for path in place.rglob("*") if path.is_file()]
