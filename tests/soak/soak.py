"""Live agents and all maintenance at once, for as long as one likes: what was acknowledged is there in the end.

Writers that keep the runtime's lock protocol append records, one of them in Node where that is there, while every
maintenance command runs in a loop as a process of its own; now and then one of them is killed. A reader parses every
file all the while. A writer dies loudly of a broken file, of a lock that was stolen from it, and of starvation.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import aml
from tests.support.live_writer import Acknowledged, Writer, fresh_pattern, node_writer, start_writer, unused_pattern
from tests.support.stores import gunzipped, make_store, read_array

#: One round; {run} is the last run that removed anything, without which the line is left out. What puts another state
#: in place of the store (a restore) takes back acknowledged writes on purpose, and goes to a folder here.
ROUND = (
    "prune --max-loss 100%",
    "optimize index",
    "backup create",
    "query --text cache --limit 5",
    "optimize compress --age-days 0",
    "monitor metrics",
    "optimize gc",
    "prune undo {run}",
    "backup verify",
    "optimize warm-cache",
    "monitor health",
    "optimize compress --decompress",
    "backup rotate --keep-last 4",
    "prune --max-loss 100% --no-backup",
    "backup drill",
    "optimize all",
    "monitor report --html {folder}/report.html",
    "backup auto",
    "backup restore latest --target {folder}/look",
    "prune history",
)
#: Done, partial, health findings, locked: everything else is wrong.
ALLOWED = {0, 3, 4, 5, 11}
#: Of so many commands one is killed.
_KILLED = 9
#: Seconds within which every lock must be free for an agent: it gives up after some forty.
LONGEST_WAIT = 30.0


@dataclass
class Seen:
    """What was observed: statuses and seconds by command line, how many were killed, how often files were read."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    killed: int = 0
    reads: int = 0
    writes: list[list[Acknowledged]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The figures, for a person."""
        yield f"{'command':46} {'runs':>5} {'median s':>9} {'longest s':>10}  statuses"
        for line, seconds in self.seconds.items():
            told = ", ".join(f"{status}: {number}" for status, number in sorted(self.statuses[line].items()))
            yield f"{line:46} {len(seconds):>5} {statistics.median(seconds):>9.2f} {max(seconds):>10.2f}  {told}"
        yield f"commands killed in their midst: {self.killed}; reads of all files: {self.reads:,}"
        for number, writes in enumerate(self.writes):
            waits = [one.waited for one in writes] or [0.0]
            yield (
                f"writer {number}: {len(writes):,} writes acknowledged; "
                f"waited {statistics.median(waits):.2f} s (median), {max(waits):.2f} s (longest)"
            )
        yield from (f"PROBLEM: {problem}" for problem in self.problems)


def soak(
    folder: Path, minutes: float, *, seed: int = 1, say: Callable[[str], None] = lambda _: None, records: int = 300
) -> Seen:
    """Let writers and maintenance work on a new store in ``folder`` for so long; returns what was seen."""
    agents = {
        agent: {"patterns": [fresh_pattern(agent) for _ in range(records)] + [unused_pattern(agent) for _ in range(5)]}
        for agent in ("alpha", "beta", "gamma")
    }
    store = make_store(folder, agents)
    files = [store / agent / "patterns.json" for agent in agents]
    at_first = [record for file in files for record in read_array(file)]
    programs: list[Sequence[str]] = [(), (), node_writer()]
    writers = [
        start_writer(files[n:] + files[:n], folder / f"{n}.log", seconds=60 * minutes, program=program, pause=0.4)
        for n, program in enumerate(programs)
    ]
    seen = Seen()
    try:
        with _reading_all_the_while(files, seen):
            _maintain(store, writers, seen, random.Random(seed), say)
        for writer in writers:
            try:
                seen.writes.append(writer.finish())
            except AssertionError as error:
                seen.problems.append(str(error))
                seen.writes.append(writer.acknowledged())
    finally:
        for writer in writers:
            writer.kill()
    _settle(store, seen)
    seen.problems += _lost(store, at_first, seen)
    return seen


def _maintain(
    store: Path, writers: Sequence[Writer], seen: Seen, chance: random.Random, say: Callable[[str], None]
) -> None:
    """One command after the other for as long as any writer lives."""
    for number, template in enumerate(cycle(ROUND)):
        if all(writer.process.poll() is not None for writer in writers):
            return
        line = _filled(template, store)
        if line is not None:
            _run(store, template, line, seen, chance.uniform(0.2, 1.0) if number % _KILLED == _KILLED - 1 else None)
            say(line)


def _filled(template: str, store: Path) -> str | None:
    if template.endswith("look"):
        shutil.rmtree(store.parents[1] / "look", ignore_errors=True)
    runs = [json.loads(path.read_bytes()) for path in (store.parent / "memory.aml" / "runs").glob("*.json")]
    removed = [run["id"] for run in runs if run["operation"] == "prune" and run["state"] in ("done", "partial")]
    if "{run}" in template and not removed:
        return None
    return template.format(run=max(removed, default=""), folder=store.parents[1])


def _run(store: Path, template: str, line: str, seen: Seen, kill_after: float | None) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AML_")}
    environment = inherited | {"PYTHONPATH": str(Path(aml.__file__).parents[1]), "NO_COLOR": "1"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "aml", "--store", str(store), *line.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        out, err = process.communicate(timeout=kill_after or 180)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if kill_after is None:
            seen.problems.append(f"aml {line}: hung")
        seen.killed += 1
        return
    name = template.replace("{folder}/", "").replace("{run}", "RUN")
    seen.seconds.setdefault(name, []).append(time.monotonic() - began)
    seen.statuses.setdefault(name, Counter())[process.returncode] += 1
    if process.returncode not in ALLOWED or "Traceback" in err:
        seen.problems.append(f"aml {line}: exit {process.returncode}: {(err or out).strip()[-600:]}")


@contextmanager
def _reading_all_the_while(files: Sequence[Path], seen: Seen) -> Iterator[None]:
    """Read the files without a lock over and over, as any reader may."""
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.2):
            for file in files:
                try:
                    json.loads(gunzipped(file.read_bytes()))
                    seen.reads += 1
                except (ValueError, EOFError, OSError) as error:
                    seen.problems.append(f"a reader saw a broken {file.parent.name}/{file.name}: {error!r}")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


def _settle(store: Path, seen: Seen) -> None:
    """Ordinary runs after all of it: they end well, and leave no lock and no unfinished write."""
    time.sleep(2)
    for line in ("optimize gc", "backup create", "optimize index"):
        _run(store, f"{line} (in the end)", line, seen, None)
    for path in store.parent.rglob("*"):
        if path.name.endswith(".lock") and path.is_dir():
            seen.problems.append(f"left over: {path}")
        if ".aml-tmp-" in path.name and path.parent.name != "index":
            seen.problems.append(f"left over: {path}")


def _lost(store: Path, at_first: Sequence[dict[str, Any]], seen: Seen) -> Iterator[str]:
    """Records that are not where they belong: fresh ones in the store, others there or in an archive; none changed."""
    live = [record for file in sorted(store.glob("*/patterns.json")) for record in read_array(file)]
    archived = [
        json.loads(json.loads(line)["text"])
        for archive in sorted(store.with_name("memory-backup").glob("archives/**/*.jsonl.gz"))
        for line in gzip.decompress(archive.read_bytes()).splitlines()
    ]
    in_store = {record["id"]: record for record in live}
    by_id = {record["id"]: record for record in archived} | in_store
    if len(in_store) != len(live):
        yield f"{len(live) - len(in_store)} records are in the store twice"
    written = [entry for entries in seen.writes for entry in entries]
    for record in [*at_first, *(entry.record for entry in written)]:
        if by_id.get(record["id"]) != record:
            yield f"lost or changed: {record['id']}"
    yield from (
        f"removed though fresh: {one.record['id']}" for one in written if one.fresh and one.record["id"] not in in_store
    )
    for number, writes in enumerate(seen.writes):
        longest = max((one.waited for one in writes), default=0.0)
        if not writes or longest > LONGEST_WAIT:
            yield f"writer {number} starved: {len(writes)} writes, the longest wait {longest:.1f} s"
