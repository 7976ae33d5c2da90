"""How many records each command decodes, counted exactly: a record that is decoded twice shows here without a clock.

A figure that has to change says why here, or it is a regression.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from tests.cli.running import aml
from tests.support.decoding import MARK, Records, counted_records
from tests.support.records import NOW, decision, pattern
from tests.support.stores import write_array

#: Record files; records in all of them, in one with four to prune, and in all when those are gone.
FILES, ALL, STALE, LEFT = 4, 50, 20, 46


def ident(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


STEPS: tuple[tuple[str, Records], ...] = (
    # each record is found in its array, and decoded once
    ("prune --dry-run", Records(ALL, ALL)),
    ("optimize gc --dry-run", Records(ALL, ALL)),
    ("optimize gc", Records(ALL, ALL)),
    ("optimize index", Records(ALL, ALL)),
    # an index that is fresh
    ("optimize index", Records()),
    ("query --limit 0 --ids", Records()),
    (f"show {ident('alpha-1')} --json", Records(1)),
    # the records that are shown; before that, once, the words of all
    ("query --text cache --limit 7", Records(ALL + 7)),
    ("query --text cache --limit 7", Records(7)),
    # of each file the first record tells the schema
    ("backup create", Records(FILES, ALL)),
    ("backup create", Records()),
    ("backup create --full", Records(FILES, ALL)),
    # that each text is whole
    ("backup verify", Records(0, ALL)),
    ("backup restore latest --dry-run", Records()),
    # figures come from the index
    ("monitor metrics", Records()),
    # the runtime would take all of them, which is told in one pass
    ("monitor health", Records(ALL)),
    ("monitor report", Records(ALL)),
    # what is removed is decoded once more for the archive; its file is read again under the lock, and read back
    ("prune --max-loss 100% --no-backup", Records(ALL + 4, ALL + STALE + (STALE - 4))),
    ("prune --max-loss 100%", Records(LEFT, LEFT)),
    # one file has changed
    ("optimize index", Records(STALE - 4, STALE - 4)),
    ("backup create", Records(1, STALE - 4)),
    ("migrate detect", Records(LEFT, LEFT)),
    # Of each record: its keys, and those when it was moved; and for the proof, views and all values of both. In each
    # file the first is moved as any record would be, step by step, which tells how the others are. A dry run shows one.
    ("migrate up --dry-run", Records(6 * LEFT + 6 * FILES + 2, 2 * LEFT)),
    ("migrate up --no-backup", Records(6 * LEFT + 6 * FILES, 2 * LEFT)),
    # nothing to move: its keys tell, and the proof is made of views alone
    ("migrate up", Records(3 * LEFT, 2 * LEFT)),
    ("optimize index", Records(LEFT, LEFT)),
    ("monitor health", Records(LEFT)),
)


def write_project(folder: Path) -> None:
    """Two agents with two files each, one of them packed, that nobody has changed for ten days."""
    store = folder / ".loom" / "memory"
    for agent in ("alpha", "beta"):
        unused = [300 if n % 5 == 0 and agent == "alpha" else 5 for n in range(STALE)]
        patterns = [
            pattern(id=ident(f"{agent}-{n}"), agent=agent, unused_days=days) | {MARK: True}
            for n, days in enumerate(unused)
        ]
        decisions = [decision(id=ident(f"{agent}-d{n}"), agent=agent) | {MARK: True} for n in range(5)]
        write_array(store / agent / "patterns.json", patterns, form="gzip" if agent == "beta" else "plain")
        write_array(store / agent / "decisions.json", decisions)
    for path in store.rglob("*.json"):
        os.utime(path, (NOW.timestamp() - 86_400 * 10,) * 2)


def test_each_command_decodes_as_many_records_as_it_must(tmp_path: Path) -> None:
    write_project(tmp_path)
    time.sleep(2.1)  # a file that is younger may change without its times showing it, and is read again
    wrong = []
    for number, (line, wanted) in enumerate(STEPS):
        with counted_records() as found:
            answer = aml(tmp_path, *line.split(), now=NOW.timestamp() + 60 * number)
        assert answer.status == 0, answer.err
        if found != wanted:
            wrong.append(f"aml {line}: {found}, not {wanted}")
    assert not wrong, "\n".join(wrong)
