"""The fault runner of garbage collection: no record and no byte of a whole file is lost, wherever a run fails.

Garbage collection takes whole files away and replaces damaged ones, which prune never does. So what was there is
judged file by file: each is as it was, or in quarantine byte for byte, or its records are in the store or an archive.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fault.children import (
    POWER_CUTS,
    Aml,
    Children,
    Ended,
    Point,
    Words,
    judge_exit,
    let_agents_clear_locks,
    points_of,
)
from tests.fault.inject import Fault
from tests.fault.runner import ALL_FAULTS, KEEP, STATE, STORE, Inventory, _read_archive
from tests.support.records import NOW
from tests.support.stores import gunzipped, record_spans

#: The server of children whose runs do not rest between two locks of one file: no agents wait for it here.
_RESTLESS = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
pause = time.sleep
time.sleep = lambda seconds: pause(seconds if seconds < 0.5 else 0)
from tests.fault.serve import serve
serve()
"""

#: What reading a file that may be anything raises.
UNREADABLE = (
    ValueError,
    EOFError,
    OSError,
    AssertionError,
    RecursionError,
    LookupError,
    TypeError,
    AttributeError,
    zlib.error,
)

#: Seconds within which a run must end that follows a fault.
_PROMPT = 5.0
_ENDED = ("done", "partial", "failed", "interrupted")


class RestlessChildren(Children):
    """Children whose runs lock a file again at once after they have released it."""

    program = ("-c", _RESTLESS, str(Path(__file__).parents[2]))


@dataclass(frozen=True)
class Files:
    """A project on disk, read without AML: every file of the store, what is in quarantine, what the archives hold."""

    store: dict[str, bytes]
    modes: dict[str, int]
    quarantine: dict[str, list[bytes]]
    archived: Inventory
    torn: list[str]

    @classmethod
    def read(cls, folder: Path) -> Files:
        root = folder / STORE
        paths = sorted(path for path in root.rglob("*") if path.is_file() and ".aml-tmp-" not in path.name)
        store = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
        modes = {path.relative_to(root).as_posix(): path.stat().st_mode for path in paths}
        quarantine: dict[str, list[bytes]] = {}
        for origin in sorted((folder / KEEP / "quarantine").glob("*/.origin/*/*")):
            file = origin.parents[2] / origin.parent.name / origin.name
            if file.is_file() and ".aml-tmp-" not in origin.name:
                quarantine.setdefault(f"{file.parent.name}/{file.name}", []).append(file.read_bytes())
        archived: Inventory = {}
        torn = []
        for path in sorted((folder / KEEP / "archives").glob("*/*.jsonl.gz")):
            if not path.is_file():
                torn.append(f"{path.name} is no file")
                continue
            try:
                _read_archive(path, archived)
            except UNREADABLE as error:
                torn.append(f"{path.name} does not read: {error}")
        return cls(store, modes, quarantine, archived, torn)


def records_of(data: bytes, scratch: Path) -> list[bytes] | None:
    """The records of a sound file, byte for byte; None where it is none."""
    try:
        json.loads(gunzipped(data))
        scratch.write_bytes(data)
        return record_spans(scratch)
    except UNREADABLE:
        return None


@dataclass(frozen=True)
class GarbageScenario:
    """One command to be tried.

    ``build`` fills an empty folder and gives the words to be tried, and the files that were there before any command
    changed them. ``then`` is run after the fault, and must end as it does without one. ``restores`` tells that in the
    end everything must be as it was before any command, ``repacks`` that files may be gzip where they were plain.
    """

    name: str
    build: Callable[[Path, Aml], tuple[Words, Files]]
    then: Callable[[Words], Words] = lambda words: words
    faults: tuple[Fault, ...] = ALL_FAULTS
    restores: bool = False
    repacks: bool = False


class GarbageRunner:
    """Tries the points of one scenario."""

    def __init__(self, scenario: GarbageScenario, children: Children, workspace: Path) -> None:
        self.scenario = scenario
        self._children, self._workspace = children, workspace
        self._copies = 0
        self._template = workspace / "template"
        self._template.mkdir(parents=True)
        builder = Aml(children, self._template, NOW.timestamp() - 3600)
        self._words, self._whole = scenario.build(self._template, builder)
        self._now = builder.now
        self._scratch = workspace / "scratch.json"
        self._texts = {path: records_of(data, self._scratch) for path, data in self._whole.store.items()}
        self._faultless_runs()

    @property
    def words(self) -> Words:
        """The command line that is tried."""
        return self._words

    def points(self, faults: Sequence[Fault] | None = None) -> list[Point]:
        """Every fault at every call that can meet it."""
        return points_of(self._calls, [one for one in self.scenario.faults if faults is None or one in faults])

    def try_all(self, points: Sequence[Point]) -> list[str]:
        """What went wrong at each point that went wrong, in words."""
        return [f"{point}: {problem}" for point in points for problem in self.try_point(point)]

    def try_point(self, point: Point) -> list[str]:
        """What went wrong, in words; nothing where all promises were kept."""
        folder = self._copy()
        aml = Aml(self._children, folder, self._now)
        ended = aml(*self._words, fault=point.fault, at=point.at)
        if point.fault in POWER_CUTS:
            let_agents_clear_locks(folder / STORE)
        after = Files.read(folder)
        problems = judge_exit(point, ended, folder, self._exit, len(self._calls))
        if ended.exit == self._exit and ended.exit == 0 and after.store != self._goal.store:
            problems.append(f"exit {ended.exit} although not everything was done: {ended.out.strip()}")
        problems += self._judge_files(after)
        then = self.scenario.then(self._words)
        problems += self._judge_next(aml(*then), then)
        later = Files.read(folder)
        problems += [f"in the end {problem}" for problem in self._judge_files(later)]
        problems += self._judge_end(later)
        problems += unaccounted(folder, self._whole)
        if not problems:
            problems += self._judge_way_back(aml, folder)
        if not problems:
            shutil.rmtree(folder)
        return problems

    def _faultless_runs(self) -> None:
        folder, listing = self._copy(), self._workspace / "calls.json"
        aml = Aml(self._children, folder, self._now)
        ended = aml(*self._words, calls=str(listing))
        assert ended.exit >= 0, ended
        assert "Traceback" not in ended.err, ended.err
        self._exit = ended.exit
        self._calls = [(name, path) for name, path in json.loads(listing.read_text(encoding="utf-8"))]
        self._goal = Files.read(folder)
        self._exit_then = aml(*self.scenario.then(self._words)).exit
        problems = [*self._judge_files(self._goal), *unaccounted(folder, self._whole)]
        self._end = Files.read(folder)
        problems += self._judge_way_back(aml, folder)
        assert not problems, f"without any fault: {problems}"

    def _copy(self) -> Path:
        self._copies += 1
        return Path(shutil.copytree(self._template, self._workspace / f"copy-{self._copies}", symlinks=True))

    def _judge_next(self, ended: Ended, words: Words) -> list[str]:
        line = f"the next run (aml {' '.join(words)})"
        if ended.exit != self._exit_then:
            return [f"{line}: exit {ended.exit}, not {self._exit_then}: {(ended.err or ended.out).strip()}"]
        return [f"{line} took {ended.seconds:.1f} s"] if ended.seconds > _PROMPT else []

    def _judge_files(self, after: Files) -> Iterator[str]:
        yield from after.torn
        for path, data in after.store.items():
            known = self._whole.store.get(path)
            if is_record_file(path) and data != known:
                yield from self._judge_written(path, data)
            elif data != known:
                yield f"{path} has changed"
        for path, data in self._whole.store.items():
            if after.store.get(path) != data and data not in after.quarantine.get(path, []):
                yield from self._judge_gone(path, after)

    def _judge_written(self, path: str, data: bytes) -> Iterator[str]:
        """A record file that AML wrote must read, and hold only what was in it before, or in what lay beside it."""
        found = records_of(data, self._scratch)
        if found is None:
            yield f"{path} does not read"
            return
        text = b"\n".join(gunzipped_if_it_can_be(self._whole.store.get(path + end, b"")) for end in ("", ".gz"))
        made_up = [one for one in found if one not in text]
        if made_up:
            yield f"made up in {path}: {made_up[:3]}"

    def _judge_gone(self, path: str, after: Files) -> Iterator[str]:
        records = self._texts[path]
        if records is None or not is_record_file(path):
            yield f"lost: {path}"
            return
        agent, _, name = path.partition("/")
        there = Counter(records_of(after.store.get(path, b"[]"), self._scratch) or [])
        there += after.archived.get((agent, name.removesuffix(".json")), Counter())
        if lack := Counter(records) - there:
            yield f"lost of {path}: {list(lack)[:3]}"

    def _judge_end(self, later: Files) -> Iterator[str]:
        if self.scenario.restores:
            yield from self._judge_restored(later)
        elif later.store != self._end.store:
            paths = {*later.store, *self._end.store}
            differ = [path for path in paths if later.store.get(path) != self._end.store.get(path)]
            yield f"in the end not as without a fault: {sorted(differ)}"

    def _judge_restored(self, back: Files) -> Iterator[str]:
        """Every file is there with its records, in their order and form; what never was a whole array to the byte."""
        for path in sorted({*back.store, *self._whole.store}):
            here, before = back.store.get(path), self._whole.store.get(path)
            if here == before:
                continue
            records = self._texts.get(path)
            form_stays = self.scenario.repacks or (here and before and here[:2] == before[:2])
            if here is None or before is None or records is None or not form_stays:
                yield f"not back: {path}"
            elif records_of(here, self._scratch) != records:
                yield f"not back: {path} has other records, or another order"
        yield from (f"another mode: {path}" for path, mode in self._whole.modes.items() if back.modes.get(path) != mode)

    def _judge_way_back(self, aml: Aml, folder: Path) -> list[str]:
        """Undoing every run, the newest first, brings everything back, and once more changes nothing."""
        runs = [run for run in journal(folder) if run["operation"] == "gc" and removed_anything(run)]
        for run in sorted(runs, key=lambda run: str(run["id"]), reverse=True):
            ended = aml("prune", "undo", run["id"])
            if ended.exit:
                return [f"undo of {run['id']}: exit {ended.exit}: {ended.err or ended.out}"]
        return [f"after undoing everything: {one}" for one in self._judge_restored(Files.read(folder))]


def is_record_file(path: str) -> bool:
    return Path(path).name in ("patterns.json", "solutions.json", "decisions.json")


def gunzipped_if_it_can_be(data: bytes) -> bytes:
    """What the file says, also where it was cut short."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    return zlib.decompressobj(31).decompress(data)


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / STATE / "runs").glob("*.json"))]


def removed_anything(run: dict[str, Any]) -> bool:
    return bool(run.get("quarantined")) or any(file.get("removed") for file in run.get("files", []))


def unaccounted(folder: Path, whole: Files) -> Iterator[str]:
    """What a finished command must not leave: locks, unfinished writes, what the journal does not know of."""
    for path in folder.rglob("*"):
        if path.is_dir() and path.name.endswith(".lock"):
            yield f"left over: the lock {path.relative_to(folder)}"
        # those of the index are taken away when it is written and they are old: test_index_faults.py looks at them
        elif "aml-tmp" in path.name and path.parent != folder / STATE / "index":
            yield f"left over: the temporary file {path.relative_to(folder)}"
    runs = journal(folder)
    yield from (
        f"left over: the journal calls run {run['id']} {run['state']}" for run in runs if run["state"] not in _ENDED
    )
    known = {f"{run['id']}/{path}" for run in runs for path in run.get("quarantined", [])}
    quarantine = folder / KEEP / "quarantine"
    found = {path.relative_to(quarantine).as_posix() for path in quarantine.rglob("*") if path.is_file()}
    origins = {one.replace("/.origin/", "/") for one in found if "/.origin/" in one}
    files = {one for one in found if "/.origin/" not in one}
    yield from (f"quarantine and journal differ: {one}" for one in origins ^ known)
    yield from (f"in quarantine without its origin: {one}" for one in files - origins)
    archives = {file["archive"] for run in runs for file in run.get("files", []) if file.get("archive")}
    there = {path.relative_to(folder / KEEP).as_posix() for path in (folder / KEEP / "archives").rglob("*.gz")}
    yield from (f"archives and journal differ: {one}" for one in archives ^ there)
