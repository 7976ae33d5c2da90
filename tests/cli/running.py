"""Running ``aml``: in this process with streams, clock, folder and environment of the test's own, or as a child."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aml.cli.invocation import Streams
from aml.cli.main import run
from tests.support.records import NOW, Record, pattern
from tests.support.stores import make_store

_RELEASED = re.compile(rb'("released":)[0-9.]+')

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    """What one call of ``aml`` came to."""

    status: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def aml(
    folder: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    now: float | None = None,
    stdin: str = "",
) -> Answer:
    """One call in ``folder``, at NOW unless told otherwise, without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    moment = NOW.timestamp() if now is None else now
    status = run(
        words,
        streams=Streams(out, err, io.StringIO(stdin)),
        environment=environment or {},
        clock=lambda: moment,
        folder=folder,
    )
    give_agents_their_turn(folder)
    return Answer(status, out.getvalue(), err.getvalue())


def give_agents_their_turn(folder: Path) -> None:
    """Make the locks that a run gave back as good as long ago: the next run leaves their files alone for a while, for
    the sake of agents, and no test needs to wait for that."""
    for notes in folder.glob(".loom/*.aml/locks.jsonl"):
        if notes.is_file() and not notes.is_symlink():
            before = notes.read_bytes()
            after = _RELEASED.sub(rb"\g<1>1.0", before)
            if after != before:
                notes.write_bytes(after)


def aml_child(folder: Path, *words: str | bytes, **environment: str) -> Answer:
    """One call as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "aml", *words],
        cwd=folder,
        env=clean_environment() | environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def clean_environment() -> dict[str, str]:
    """This process's own, without settings of AML's and with the project under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AML_") and name != "NO_COLOR"}
    return kept | {"PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8"}


def old(ident: str, **extra: object) -> Record:
    """A record that goes, whether today or at NOW."""
    record = pattern(id=ident, **extra)  # type: ignore[arg-type]
    record["timestamp"] = record["evolution"]["created"] = record["evolution"]["lastUsed"] = "2020-01-01T00:00:00.000Z"
    return record


def kept(ident: str) -> Record:
    """A record that stays, whether today or at NOW: its last use is unknown."""
    return pattern(id=ident, unused_days=None)


def small_store(tmp_path: Path) -> Path:
    """A project folder whose store has one record to prune among five."""
    make_store(tmp_path, {"alpha": {"patterns": [kept("k1"), old("o1"), kept("k2"), kept("k3"), kept("k4")]}})
    return tmp_path
