"""Every command that changes anything, as it is run on one small project, and what no fault may do to it.

The project has garbage, records that go, files that can be compressed and a backup of an earlier state, so that each
command has work to do. What must hold is the same for all of them: see ``judge``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fault.beside import age_unfinished, strays
from tests.fault.children import Aml, Ended
from tests.fault.garbage_runner import Files, gunzipped_if_it_can_be, is_record_file, records_of
from tests.fault.real import noise
from tests.fault.runner import STATE, STORE
from tests.support.records import NOW, decision, pattern, solution
from tests.support.stores import write_array

Words = tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command, ``words``, or what ``prepare`` makes of a project in which it has something to do.

    ``heavy`` tells that it needs more room than the project itself.
    """

    words: Words = ()
    prepare: Callable[[Path, Aml], Words] | None = None
    heavy: bool = False

    def made_ready(self, folder: Path, aml: Aml) -> Words:
        return self.words if self.prepare is None else self.prepare(folder, aml)


def write_project(folder: Path, *, size: int = 400) -> None:
    """Two agents with records to prune, garbage to collect, and files to compress; about 80 times ``size`` bytes."""
    store = folder / STORE
    alpha = [pattern(id=f"a{n}", unused_days=5 + 300 * (n % 2), note=noise(size, n)) for n in range(20)]
    write_array(store / "alpha" / "patterns.json", [None, *alpha, alpha[3]])
    write_array(store / "alpha" / "decisions.json", [decision(id=f"d{n}") for n in range(6)])
    (store / "alpha" / "solutions.json").touch()
    beta = [pattern(id=f"b{n}", agent="beta", unused_days=5 + 300 * (n % 2), note=noise(size, n)) for n in range(20)]
    write_array(store / "beta" / "patterns.json", beta, form="gzip")
    fixes = [solution(id=f"s{n}", agent="beta", note=noise(size, n)) for n in range(20)]
    write_array(store / "beta" / "solutions.json", fixes)
    (store / "global").mkdir()
    (store / "global" / "cross-agent.json").write_text("{}", encoding="utf-8")
    for path in store.glob("*/*.json"):
        os.utime(path, (NOW.timestamp() - 86_400 * 300,) * 2)


def _pruned(folder: Path, aml: Aml) -> Words:
    # its status is partial, since the empty file is nothing that can be read
    told = json.loads(aml(*PRUNE, "--no-backup", "--json").out)
    return "prune", "undo", told["data"]["run"]


def _planned(folder: Path, aml: Aml) -> Words:
    aml.must("prune", "--plan", "plan.json", "--max-loss", "100%")
    return "prune", "--apply", "plan.json", "--max-loss", "100%"


def _compressed(folder: Path, aml: Aml) -> Words:
    aml.must("optimize", "compress", "--age-days", "0")
    return "optimize", "compress", "--decompress"


def _backed_up(*words: str) -> Callable[[Path, Aml], Words]:
    """Two backups with an edit after each; to be tried: ``words``."""

    def prepare(folder: Path, aml: Aml) -> Words:
        for number in range(2):
            aml.must("backup", "create")
            later = [pattern(id=f"later-{number}-{n}", note=noise(400, 100 * number + n)) for n in range(9)]
            write_array(folder / STORE / "alpha" / "patterns.json", later)
        return words

    return prepare


def _impatient(prepare: Callable[[Path, Aml], Words]) -> Callable[[Path, Aml], Words]:
    """The same with short pauses between the attempts that a command makes by itself."""

    def prepare_so(folder: Path, aml: Aml) -> Words:
        (folder / ".loom" / "aml.toml").write_text("[backup]\nretries = 2\nretry_seconds = 0.1\n", encoding="utf-8")
        return prepare(folder, aml)

    return prepare_so


def _readable(*words: str) -> Callable[[Path, Aml], Words]:
    """A store in which every file can be read, since a migration is of all or of none; to be tried: ``words``."""

    def prepare(folder: Path, aml: Aml) -> Words:
        (folder / STORE / "alpha" / "solutions.json").unlink()
        if words[1] == "down":
            aml.must("migrate", "up", "--to", "1.2.0", "--yes")
        return words

    return prepare


def _alerted(folder: Path, aml: Aml) -> Words:
    aml("monitor", "health")
    alerts = json.loads((folder / STATE / "alerts.json").read_bytes())["alerts"]
    return "monitor", "alerts", "ack", alerts[0]["id"], "--note", "seen"


PRUNE = ("prune", "--max-loss", "100%")

#: By the words that name it in the help.
COMMANDS = {
    "prune": Command(PRUNE),
    "prune --plan": Command(("prune", "--plan", "plan.json")),
    "prune --apply": Command(prepare=_planned),
    "prune undo": Command(prepare=_pruned),
    "optimize gc": Command(("optimize", "gc", "--max-loss", "100%")),
    "optimize compress": Command(("optimize", "compress", "--age-days", "0")),
    "optimize compress --decompress": Command(prepare=_compressed),
    "optimize index": Command(("optimize", "index")),
    "optimize warm-cache": Command(("optimize", "warm-cache")),
    "optimize all": Command(("optimize", "all", "--max-loss", "100%")),
    "query": Command(("query", "--text", "cache")),
    "show": Command(("show", "a2")),
    "backup create": Command(("backup", "create")),
    "backup restore": Command(prepare=_backed_up("backup", "restore", "--at", "2026-11-20T11:02:00Z")),
    "backup restore --target": Command(prepare=_backed_up("backup", "restore", "latest", "--target", "restored")),
    "backup verify": Command(prepare=_backed_up("backup", "verify")),
    "backup rotate": Command(prepare=_backed_up("backup", "rotate", "--keep-last", "1")),
    "backup drill": Command(prepare=_backed_up("backup", "drill")),
    "backup auto": Command(prepare=_impatient(_backed_up("backup", "auto"))),
    "migrate up": Command(prepare=_readable("migrate", "up", "--to", "2.0.0", "--yes")),
    "migrate down": Command(prepare=_readable("migrate", "down", "--to", "1.0.0", "--yes")),
    "monitor metrics": Command(("monitor", "metrics", "--output", "figures.txt")),
    "monitor health": Command(("monitor", "health")),
    "monitor report": Command(("monitor", "report", "--html", "report.html")),
    "monitor alerts ack": Command(prepare=_alerted),
    "config init": Command(("config", "init")),
    "demo": Command(("demo", "sample", "-q"), heavy=True),
}


def judge(folder: Path, whole: Files, aml: Aml, scratch: Path) -> Iterator[str]:
    """What is wrong with a project after a command failed in it: every file is as it was, or in quarantine, or its
    records are in the store or in an archive; or else a backup restores them."""
    after = Files.read(folder)
    yield from after.torn
    gone = [path for path, data in whole.store.items() if not _is_kept(path, data, after, scratch)]
    backups = list(_restored(folder, aml, scratch)) if gone else []
    for path in gone:
        # a packed file comes back as what it says, though packed by another hand
        said = gunzipped_if_it_can_be(whole.store[path])
        if said not in (gunzipped_if_it_can_be(backup[path]) for backup in backups if path in backup):
            yield f"lost: {path}"
    for path, data in after.store.items():
        if is_record_file(path) and data != whole.store.get(path) and data and records_of(data, scratch) is None:
            yield f"{path} does not read"


def _is_kept(path: str, data: bytes, after: Files, scratch: Path) -> bool:
    if after.store.get(path) == data or data in after.quarantine.get(path, []):
        return True
    records = records_of(data, scratch)
    if records is None or not is_record_file(path):
        return False
    agent, _, name = path.partition("/")
    there = Counter(records_of(after.store.get(path, b"[]"), scratch) or [])
    there += after.archived.get((agent, name.removesuffix(".json")), Counter())
    return not Counter(records) - there


def _restored(folder: Path, aml: Aml, scratch: Path) -> Iterator[dict[str, bytes]]:
    listed = aml.look("backup", "list", "--json")
    for number, backup in enumerate(json.loads(listed.out)["data"]["backups"]):
        target = scratch.with_name(f"backup-{number}")
        shutil.rmtree(target, ignore_errors=True)
        aml.must("backup", "restore", backup["id"], "--target", str(target), unforked=True)
        yield {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def judge_end(folder: Path, words: Sequence[str], aml: Aml, statuses: set[int]) -> Iterator[str]:
    """What is wrong with the ordinary runs that follow: the same again ends as it does without a fault, and after a
    run that clears up nothing is left over."""
    if words[0] == "demo":
        return
    age_unfinished(folder)
    again = aml(*words)
    if again.exit not in statuses:
        yield f"the same again: exit {again.exit}, not {statuses}: {(again.err or again.out).strip()}"
    for clears_up in (("optimize", "gc"), ("optimize", "index", "--rebuild")):
        ended = aml(*clears_up)
        if ended.exit not in (0, 3):
            yield f"aml {' '.join(clears_up)}: exit {ended.exit}: {ended.err.strip()}"
    yield from strays(folder)


def judge_words(ended: Ended) -> Iterator[str]:
    """What is wrong with how a command ended that may have failed: it says so, without a traceback."""
    if "Traceback" in ended.err:
        yield f"traceback: {ended.err.strip().splitlines()[-1]}"
    if ended.exit not in (0, 1, 2, 3, 5, 11, 12):
        yield f"exit {ended.exit}: {ended.err.strip()}"
