"""What each command does to the disk, counted exactly: what makes it slower shows here without a clock.

A figure that has to change says why here, or it is a regression.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from tests.cli.running import aml
from tests.support.calls import counted
from tests.support.records import NOW, decision, pattern
from tests.support.stores import write_array

#: Record files, and the bytes of all of them.
FILES, ALL = 6, 40_051


class Cost(NamedTuple):
    """Of record files: how often one was opened, and bytes read. Syncs and renames by place: the repository with the
    archives (keep), AML's own folder (state), the index, the records, and their folders and drafts (store)."""

    opened: int = 0
    read: int = 0
    synced: dict[str, int] = {}  # noqa: RUF012  (never changed)
    renamed: dict[str, int] = {}  # noqa: RUF012


#: A run that changes anything writes its journal when it begins and when it ends: each time file and folder are synced.
_JOURNAL_ENDS = {"state": 2}
#: What a backup that finds nothing new writes: the snapshot and its folder; when it ran, the same.
_NO_NEWS = {"keep": 2, "state": 2}

STEPS: tuple[tuple[str, Cost], ...] = (
    # each file once, and nothing else
    ("prune --dry-run", Cost(FILES, ALL)),
    ("optimize gc --dry-run", Cost(FILES, ALL)),
    # the first run makes AML's own folder (1), its .gitignore (2), and ends in the journal (2)
    ("optimize gc", Cost(FILES, ALL, {"state": 5}, {"state": 2})),
    # what can be made again is not waited for, but for the .gitignore and the folders
    ("optimize index", Cost(FILES, ALL, {"state": 1, "index": 2}, {"index": 3})),
    # an index that is fresh: no record file is opened, only the statistics of use are put anew
    ("optimize index", Cost(renamed={"index": 1})),
    ("query --limit 0 --ids", Cost(renamed={"index": 1})),
    # one record is read at its place
    ("show alpha-1", Cost(1, 813, renamed={"index": 1})),
    # the first query for words reads all; then only the twenty records that are shown
    ("query --text cache", Cost(FILES + 20, ALL + 16_270, renamed={"index": 2})),
    ("query --text cache", Cost(20, 16_270, renamed={"index": 1})),
    # pack, table, snapshot, description and .gitignore, each with its folder, new folders, and at last all of it
    ("backup create", Cost(FILES, ALL, {"keep": 14, "state": 4}, {"keep": 5, "state": 2})),
    # nothing has changed: no record file is opened
    ("backup create", Cost(0, 0, _NO_NEWS, {"keep": 1, "state": 1})),
    ("backup create --full", Cost(FILES, ALL, _NO_NEWS, {"keep": 1, "state": 1})),
    ("backup list", Cost()),
    ("backup verify", Cost(synced={"state": 4}, renamed={"state": 2})),
    ("backup diff", Cost()),
    ("backup restore latest --dry-run", Cost()),
    # figures come from the index
    ("monitor metrics", Cost()),
    # each file is judged as a whole, once
    ("monitor health", Cost(FILES, ALL, {"state": 4}, {"state": 2})),
    ("monitor report", Cost(FILES, ALL)),
    # only the first bytes, which tell the form
    ("optimize compress --age-days 90", Cost(FILES, 16, _JOURNAL_ENDS, {"state": 1})),
    ("prune --no-backup --agent gamma", Cost(2, 18_609, _JOURNAL_ENDS, {"state": 1})),
    # two files change: read under the lock and read back; an archive and the file itself for each, with their folders
    (
        "prune --max-loss 100% --no-backup",
        Cost(
            FILES + 2 * 2,
            70_608,
            {"state": 4, "keep": 9, "store": 4},
            {"state": 2, "keep": 2, "records": 2},
        ),
    ),
    # nothing to remove: no backup is made, and each file is read once
    ("prune --max-loss 100%", Cost(FILES, 36_732, _JOURNAL_ENDS, {"state": 1})),
    ("prune history", Cost()),
    ("migrate detect", Cost(FILES, 36_732)),
    ("migrate plan", Cost(FILES, 36_732)),
    ("migrate up --dry-run", Cost(FILES, 36_732)),
)


def write_project(folder: Path) -> None:
    """Three agents with two files each, one of them packed, that nobody has changed for ten days."""
    store = folder / ".loom" / "memory"
    for agent in ("alpha", "beta", "gamma"):
        unused = [300 if n % 5 == 0 and agent != "gamma" else 5 for n in range(20)]
        patterns = [pattern(id=f"{agent}-{n}", agent=agent, unused_days=days) for n, days in enumerate(unused)]
        write_array(store / agent / "patterns.json", patterns, form="gzip" if agent == "beta" else "plain")
        write_array(store / agent / "decisions.json", [decision(id=f"{agent}-d{n}", agent=agent) for n in range(5)])
    (store / "global").mkdir()
    (store / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    for path in store.rglob("*.json"):
        os.utime(path, (NOW.timestamp() - 86_400 * 10,) * 2)


def test_each_command_does_as_much_to_the_disk_as_it_must(tmp_path: Path) -> None:
    write_project(tmp_path)
    time.sleep(2.1)  # a file that is younger may change without its times showing it, and is read again
    wrong = []
    for number, (line, cost) in enumerate(STEPS):
        with counted(tmp_path) as calls:
            answer = aml(tmp_path, *line.split(), now=NOW.timestamp() + 60 * number)
        assert answer.status == 0, answer.err
        opened, read = calls.opened["records"], calls.read["records"]
        found = Cost(opened, read, dict(calls.synced), dict(calls.renamed))
        if found != cost:
            wrong.append(f"aml {line}: {found}, not {cost}")
    assert not wrong, "\n".join(wrong)
