"""Times whole processes of all sides of a row by turns, on copies of generated stores, and calibrates the machine."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.bench.edit import GZIP_MAGIC, change_records
from tests.bench.generate import Form, derive, generate
from tests.bench.model import Figure, Row, Side, Step, StoreSpec, Words
from tests.bench.process import RunFailedError, Usage, run_process

CHECKOUT = Path(__file__).resolve().parents[2]
CALIBRATION_BLOCKS = 18
CALIBRATION_BLOCK_BYTES = 1_000_000
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: its seconds, the most memory it had (bytes), the bytes its row asks for, a share (0 to 1), and the
    seconds of all processors, which tell more than the others where something else is at work."""

    seconds: float | None = None
    memory: float | None = None
    bytes: float | None = None
    share: float | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """All runs of one side, and why they stopped early if they did."""

    samples: tuple[Sample, ...]
    error: str | None = None

    @property
    def median(self) -> float | None:
        """The median in seconds; None after an error or without a run."""
        return self.figure("seconds")

    def figure(self, figure: Figure) -> float | None:
        """The median, but of memory the most; None after an error or where it was not measured."""
        values = [value for sample in self.samples if (value := getattr(sample, figure)) is not None]
        if self.error is not None or not values:
            return None
        return float(max(values)) if figure == "memory" else statistics.median(values)


@dataclass(frozen=True, slots=True)
class Measured:
    """What all sides of a row took, by their names, and of the plain store its bytes and those of its largest file."""

    timings: Mapping[str, Timing]
    store_bytes: int = 0
    largest_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """How AML is started: the first words of the command line, and variables to add to the environment."""

    words: Words
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, path: Path | None) -> Command:
        """The program at ``path``, else the one beside the interpreter, else this checkout by ``python -m aml``."""
        beside = Path(sys.executable).with_name("aml")
        program = path.absolute() if path is not None else beside
        if path is not None or beside.is_file():
            return cls((str(program),))
        return cls((sys.executable, "-m", "aml"), {"PYTHONPATH": str(CHECKOUT)})


@dataclass(slots=True)
class Player:
    """One side of a row at work in its own folder."""

    side: Side
    project: Path
    command: Command
    samples: list[Sample] = field(default_factory=list)
    error: str | None = None
    _count: int = 0

    @property
    def store(self) -> Path:
        return self.project / ".loom" / "memory"

    @property
    def repository(self) -> Path:
        """Where AML puts the backups of the store by default."""
        return self.project / ".loom" / "memory-backup"

    @property
    def target(self) -> Path:
        return self.project / "target"

    def copy_store(self, master: Path) -> None:
        """A fresh copy of the store, and nothing else."""
        self.remove()
        shutil.copytree(master, self.store)

    def drop_repository(self) -> None:
        """Forget all backups, and what any program noted about them."""
        for folder in (self.repository, self.project / ".loom" / "memory.aml", self.project / "home"):
            shutil.rmtree(folder, ignore_errors=True)
        self._count = 0

    def prepare(self) -> None:
        self._guarded(lambda: [self._run(step) for step in self.side.prepare])

    def play(self, row: Row) -> None:
        """The timed run, and what the row asks for beside its time."""
        self._guarded(lambda: self._play(row))

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.project)
        self._count = 0

    def timing(self) -> Timing:
        return Timing(tuple(self.samples), self.error)

    def _play(self, row: Row) -> None:
        before = tree_sizes(self.repository)[0] if row.measured is not None else 0
        usage = self._run(self.side.timed, read=row.inside)
        if row.inside:
            self.samples.append(Sample(**json.loads(usage.output)))
            return
        found: int | None = None
        if row.measured == "store":
            found = tree_sizes(self.store)[0]
        elif row.measured is not None:
            found = tree_sizes(self.repository)[0] - (before if row.measured == "added" else 0)
        if row.restores:
            _compare(self.store, self.target, sizes=self.side.form == "plain")
            shutil.rmtree(self.target)
        self.samples.append(Sample(usage.seconds, usage.memory, found, cpu=usage.cpu))

    def _guarded(self, work: Callable[[], object]) -> None:
        """Do work unless there was an error; note the error if there is one now."""
        if self.error is None:
            try:
                work()
            except RunFailedError as failure:
                self.error = str(failure)

    def _run(self, step: Step, *, read: bool = False) -> Usage:
        if any("{count}" in word for word in step.words):
            self._count += 1
        places = {
            "{project}": self.project,
            "{store}": self.store,
            "{repository}": self.repository,
            "{target}": self.target,
            "{home}": self.project / "home",
            "{count}": self._count,
            "{python}": sys.executable,
            "{checkout}": CHECKOUT,
            "{id}": _some_id(self.store) if "{id}" in step.words else "",
        }
        folder = Path(_filled(step.folder, places))
        folder.mkdir(exist_ok=True)
        words = [part for word in step.words for part in (self.command.words if word == "{aml}" else (word,))]
        added = dict(self.command.environment) if self.side.program is None else {}
        variables = {name: _filled(value, places) for name, value in self.side.environment}
        return run_process(
            [_filled(word, places) for word in words], folder, _environment(added | variables), read=read
        )


@dataclass(slots=True)
class Bench:
    """Runs rows in a scratch folder; stores are generated once and copied from then on."""

    scratch: Path
    command: Command
    runs: int = 5
    scale: float = 1.0
    settle_seconds: float = 0.0
    """Rest between a change of a store and the next command: AML leaves a freshly released file alone for 1.5 s, and
    takes none for unchanged that it read less than 2 s after its last change."""
    _masters: dict[tuple[StoreSpec, Form], Path] = field(default_factory=dict)

    def measure(self, row: Row, sides: Sequence[Side]) -> Measured:
        """Times the runs of those sides of a row, by turns, so that what else the machine does hits all of them."""
        players = [
            Player(side, self.scratch / f"side-{place}", self.command) for place, side in enumerate(sides, start=1)
        ]
        try:
            for turn in range(self.runs):
                self._set_up(row, players, turn)
                for player in players[turn % len(players) :] + players[: turn % len(players)]:
                    player.play(row)
                    # what this one wrote must not be paid for by the next one
                    os.sync()
        finally:
            for player in players:
                player.remove()
        timings = {player.side.name: player.timing() for player in players}
        return Measured(timings, *tree_sizes(self._master(row.store.scaled(self.scale), "plain")))

    def forget_stores(self) -> None:
        """Remove all generated stores."""
        for master in self._masters.values():
            shutil.rmtree(master)
        self._masters.clear()

    def _set_up(self, row: Row, players: Sequence[Player], turn: int) -> None:
        """Everything that is not timed: copies of the store, empty repositories, first backups, changes."""
        spec = row.store.scaled(self.scale)
        fresh_store = turn == 0 or row.renew == "store"
        for player in players:
            if fresh_store:
                player.copy_store(self._master(spec, player.side.form))
            elif row.renew == "repository":
                player.drop_repository()
        if fresh_store or row.renew == "repository":
            if fresh_store and any(player.side.prepare for player in players):
                self._rest()
            for player in players:
                player.prepare()
        if row.edit is not None:
            for player in players:
                in_child(change_records, player.store, row.edit, spec.items, turn)
        if fresh_store or row.edit is not None:
            self._rest()
        os.sync()

    def _master(self, spec: StoreSpec, form: Form) -> Path:
        key = (spec, form)
        if key not in self._masters:
            master = self.scratch / f"master-{len(self._masters)}"
            base = replace(spec, garbage=0.0, schema=None)
            if key == (base, "plain"):
                sizes = {"patterns_only": spec.patterns_only, "small_files": spec.small_files}
                in_child(generate, master, items=spec.items, **sizes)
            else:
                source = self._master(base, "plain")
                in_child(derive, source, master, form=form, garbage=spec.garbage, schema=spec.schema)
            self._masters[key] = master
        return self._masters[key]

    def _rest(self) -> None:
        """Let the disk take what was copied, so that no run pays for it."""
        os.sync()
        time.sleep(self.settle_seconds)


def calibrate(scratch: Path, runs: int) -> dict[str, Timing]:
    """What the machine needs for ``python -c pass`` and for a sequential write of 18 MB with fsync."""
    block = os.urandom(CALIBRATION_BLOCK_BYTES)
    start = [sys.executable, "-c", "pass"]
    started = [run_process(start, scratch, _environment({})) for _ in range(runs)]
    written = [_timed_write(scratch / "calibration", block) for _ in range(runs)]
    return {
        "python -c pass": Timing(tuple(Sample(usage.seconds, usage.memory) for usage in started)),
        "write and fsync 18 MB": Timing(tuple(Sample(seconds) for seconds in written)),
    }


def in_child(work: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Do work in a process of its own: the memory of this one is a lower bound of what is measured of its children."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(work, *arguments, **named).result()


def tree_sizes(root: Path) -> tuple[int, int]:
    """The bytes of all files below a folder, and of the largest; 0 if it does not exist."""
    total = largest = 0
    for path in _files(root):
        size = path.stat().st_size
        total, largest = total + size, max(largest, size)
    return total, largest


def _files(root: Path) -> Iterator[Path]:
    """One by one: the memory of this process is a lower bound of what is measured of its children."""
    return (path for path in root.rglob("*") if path.is_file())


def _compare(store: Path, restored: Path, *, sizes: bool) -> None:
    """Raise RunFailedError unless both hold the same files, and of the same sizes if asked for.

    A file that is packed again may have another size.
    """
    expected, found = (sum(1 for _ in _files(root)) for root in (store, restored))
    alike = found == expected
    for path in _files(store) if alike else ():
        twin = restored / path.relative_to(store)
        alike = alike and twin.is_file() and (not sizes or twin.stat().st_size == path.stat().st_size)
    if not alike:
        raise RunFailedError(f"restored {found} files that are not like the {expected} of the store")


def _timed_write(path: Path, block: bytes) -> float:
    begin = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(CALIBRATION_BLOCKS):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    path.unlink()
    return seconds


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would change the work or keep bytecode from being cached."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AML_", "RESTIC_", "BORG_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | dict(added)


def _some_id(store: Path) -> str:
    """The id of the first record of a generated store; no more is read, for the sake of this process's memory."""
    path = min(store.glob("*/patterns.json"))
    with path.open("rb") as plain, gzip.open(path) as packed:
        is_packed = plain.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        plain.seek(0)
        start = (packed if is_packed else plain).read(HEAD_BYTES)
    return start[: start.index(b",")].decode().rsplit('"', 2)[1]


def _filled(text: str, places: Mapping[str, object]) -> str:
    for name, value in places.items():
        text = text.replace(name, str(value))
    return text
