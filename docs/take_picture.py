"""Takes the picture of a report that the README shows: the sample store, after three months of upkeep by cron.

PYTHONPATH=. python docs/take_picture.py [FOLDER]

It needs chromium. The store is made in FOLDER, or in one that goes afterwards.

The days pass by the clock that the commands are given; what they do and measure is real.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aml.cli.invocation import Streams
from aml.cli.main import run
from aml.demo.sample import COUNTS, write_sample_store
from tests.support.chromium import browser
from tests.support.records import NOW
from tests.support.stores import gunzipped, write_array

PICTURE = Path(__file__).resolve().parent / "images" / "report.png"
_DAYS = 90
_WIDTH, _HEIGHT = 1200, 1290
_KINDS = ("patterns", "solutions", "decisions")


def main() -> None:
    with TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch) / "web-shop"
        live(folder)
        with browser(Path(scratch) / "profile") as opened:
            page = opened.new_page()
            page.look(_WIDTH, _HEIGHT)
            page.open(folder / "report.html")
            page.photograph(PICTURE, whole=False)


def live(project: Path) -> None:
    """Three months of a store: agents write, cron backs up, prunes, measures and checks."""
    whole = project.parent / "whole"
    write_sample_store(whole, now=NOW)
    written = {
        (agent, kind): json.loads(gunzipped((whole / agent / f"{kind}.json").read_bytes()))
        for agent in COUNTS
        for kind in _KINDS
        if (agent, kind) != ("devops-engineer", "decisions")
    }
    memory = project / ".loom" / "memory"
    for days in range(_DAYS, -1, -1):
        today = NOW - timedelta(days=days)
        _agents_write(memory, written, today, first=days == _DAYS)
        _cron(project, today)
    _aml(project, NOW, "backup", "verify")
    _aml(project, NOW, "backup", "drill")
    for words in ("cache", "timeout", "retry", "index", "cache"):
        _aml(project, NOW, "query", "--text", words)
    _aml(project, NOW + timedelta(hours=7), "monitor", "report", "--html", "report.html")
    page = project / "report.html"
    page.write_text(page.read_text().replace(str(project.parent), "/srv"))


def _agents_write(memory: Path, written: dict[tuple[str, str], list[Any]], today: datetime, *, first: bool) -> None:
    """Each agent appends what it learned today, or before the first day."""
    yesterday = "" if first else (today - timedelta(days=1)).isoformat()
    for (agent, kind), records in written.items():
        new = [one for one in records if one and yesterday < str(one.get("timestamp", "")) <= today.isoformat()]
        path = memory / agent / f"{kind}.json"
        if new:
            known = json.loads(gunzipped(path.read_bytes())) if path.exists() else []
            write_array(path, [*known, *new], form="gzip")


def _cron(project: Path, today: datetime) -> None:
    _aml(project, today, "backup", "auto")
    if today.day == 1:
        _aml(project, today + timedelta(minutes=1), "prune", "--yes", "--max-loss", "8%")
    _aml(project, today + timedelta(minutes=2), "monitor", "metrics")
    _aml(project, today + timedelta(minutes=3), "monitor", "health")


def _aml(project: Path, moment: datetime, *words: str) -> None:
    told = StringIO()
    streams = Streams(StringIO(), told, StringIO())
    status = run(words, streams=streams, environment={}, clock=moment.timestamp, folder=project)
    if status not in (0, 3, 4, 5):
        raise SystemExit(f"aml {' '.join(words)} ended with {status}:\n{told.getvalue()}")
    # the locks that a run gave back are those of yesterday
    notes = project / ".loom" / "memory.aml" / "locks.jsonl"
    notes.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
