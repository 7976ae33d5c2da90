"""A project whose backups are made, restored and rotated while others are at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from aml.fs.runtime_lock import LockPolicy
from aml.store.open import open_store
from aml.workflows.backup import backup, list_backups
from aml.workflows.conditions import Conditions
from aml.workflows.restore import restore
from tests.cli.running import PROJECT, Answer, aml_child
from tests.support.live_writer import fresh_pattern
from tests.support.stores import Form, make_store, read_array, write_array

AGENTS = ("alpha", "beta")
IMPATIENT = Conditions(locks=LockPolicy(timeout=2, rest=0))


def make_project(folder: Path, *, form: Form = "plain", records: int = 400) -> list[Path]:
    """Two agents with some hundred patterns each; returns their files."""
    kinds = {agent: {"patterns": [fresh_pattern(agent) for _ in range(records)]} for agent in AGENTS}
    store = make_store(folder, kinds, form=form)
    return [store / agent / "patterns.json" for agent in AGENTS]


def memory(project: Path) -> Path:
    return project / ".loom" / "memory"


def ids_of(project: Path) -> list[str]:
    return [one.id for one in list_backups(open_store(memory(project))).backups]


def contents(root: Path) -> dict[str, list[Any]]:
    """The elements of each array file below a folder, by relative path; all of them must parse."""
    return {path.relative_to(root).as_posix(): read_array(path) for path in sorted(root.rglob("*.json"))}


def restored(project: Path, wanted: str, target: Path) -> dict[str, list[Any]]:
    restore(open_store(memory(project)), wanted, target=target)
    found = contents(target)
    shutil.rmtree(target)
    return found


def assert_all_sound(project: Path) -> None:
    answer = aml_child(project, "backup", "verify", "--json")
    assert answer.status == 0, answer.out
    names = [path.name for path in (project / ".loom").rglob("*")]
    assert not [name for name in names if ".aml-tmp-" in name or name.endswith(".json.lock")]


def start(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aml", *words],
        cwd=project,
        env={name: value for name, value in os.environ.items() if not name.startswith("AML_")}
        | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    return Answer(process.returncode, out, err)


def key(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)


def records_in(found: dict[str, list[Any]]) -> set[str]:
    return {key(record) for records in found.values() for record in records}


def changed_since_backup(project: Path) -> str:
    """Make a project; returns its one backup, since which files and folders have come, gone, and changed in content,
    mode and time."""
    make_project(project, records=3)
    root = memory(project)
    (root / "alpha/notes/deep").mkdir(parents=True)
    for path in ("alpha/notes/deep/one.md", "alpha/mode.md", "beta/gone.md"):
        (root / path).write_bytes(b"then")
    made = backup(open_store(root)).id
    shutil.rmtree(root / "alpha/notes")
    (root / "alpha/mode.md").chmod(0o640)
    (root / "beta/gone.md").unlink()
    (root / "alpha/since").mkdir()
    (root / "alpha/since/more.md").write_bytes(b"since")
    for agent in AGENTS:
        write_array(root / agent / "patterns.json", [fresh_pattern(agent)])
    return made


def killed_restore(project: Path, only: str, at: int = 1) -> Path:
    """The staging folder of a restore that was killed just after a call that begins so."""
    done = subprocess.run(
        [
            sys.executable,
            str(PROJECT / "tests/fault/inject.py"),
            *("--folder", str(project), "--fault", "kill-after", "--only", only, "--at", str(at), "--"),
            *("--store", str(project / ".loom/memory"), "backup", "restore", "latest", "--yes"),
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr
    return next((project / ".loom/memory.aml/restore").iterdir())
