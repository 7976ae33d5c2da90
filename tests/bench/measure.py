"""Times whole processes on fresh copies of generated stores, and calibrates the machine."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.generate import Form, generate
from tests.bench.rows import Arguments, Peer, Row, StoreSpec

CHECKOUT = Path(__file__).resolve().parents[2]
CALIBRATION_BYTES = 18_000_000


class RunFailedError(Exception):
    """A process could not be started, or ended with an exit status other than 0."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each run, and why the runs stopped early if they did."""

    seconds: tuple[float, ...]
    error: str | None = None

    @property
    def median(self) -> float | None:
        """The median in seconds; None after an error or without a run."""
        return statistics.median(self.seconds) if self.seconds and self.error is None else None


@dataclass(frozen=True, slots=True)
class Command:
    """How AML is started: the first words of the command line, and variables to add to the environment."""

    words: Arguments
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
class Bench:
    """Runs rows in a scratch folder; stores are generated once and copied from then on."""

    scratch: Path
    command: Command
    runs: int = 5
    scale: float = 1.0
    settle_seconds: float = 2.0
    """Rest between the copying of a store and the timed run: AML leaves a freshly released file alone for 1.5 s."""
    _masters: dict[tuple[StoreSpec, Form], Path] = field(default_factory=dict)

    def measure(self, row: Row, form: Form) -> Timing:
        """Times the runs of a row on stores of one form."""
        variables = _environment(self.command.environment)
        prepare = [self.command.words + words for words in row.prepare]
        return self._time(row, form, self.command.words + row.arguments, prepare, variables)

    def measure_peer(self, row: Row, peer: Peer) -> Timing:
        """Times the runs of the other program, which must be installed, on plain stores."""
        variables = _environment(dict(peer.environment))
        return self._time(row, "plain", peer.command, peer.prepare, variables)

    def _time(
        self, row: Row, form: Form, words: Arguments, prepare: Sequence[Arguments], variables: Mapping[str, str]
    ) -> Timing:
        seconds: list[float] = []
        copies, runs_each = (self.runs, 1) if row.changes_store else (1, self.runs)
        try:
            for _ in range(copies):
                with self._project(row.store, form) as project:
                    for step in prepare:
                        _run(_filled(step, project), project, variables)
                    self._rest()
                    seconds += [_run(_filled(words, project), project, variables) for _ in range(runs_each)]
        except RunFailedError as failure:
            return Timing(tuple(seconds), str(failure))
        return Timing(tuple(seconds))

    @contextmanager
    def _project(self, spec: StoreSpec, form: Form) -> Iterator[Path]:
        """A folder with a fresh copy of the store at ``.loom/memory``; it is gone afterwards."""
        project = self.scratch / "project"
        master = self._master(spec.scaled(self.scale), form)
        try:
            shutil.copytree(master, project / ".loom" / "memory")
            yield project
        finally:
            shutil.rmtree(project)

    def _master(self, spec: StoreSpec, form: Form) -> Path:
        key = (spec, form)
        if key not in self._masters:
            master = self.scratch / f"master-{len(self._masters)}"
            generate(master, items=spec.items, form=form, patterns_only=spec.patterns_only)
            self._masters[key] = master
        return self._masters[key]

    def _rest(self) -> None:
        """Let the disk take what was copied, so that no run pays for it."""
        os.sync()
        time.sleep(self.settle_seconds)


def calibrate(scratch: Path, runs: int) -> dict[str, Timing]:
    """What the machine needs for ``python -c pass`` and for a sequential write of 18 MB with fsync."""
    block = os.urandom(CALIBRATION_BYTES)
    start = [sys.executable, "-c", "pass"]
    return {
        "python -c pass": Timing(tuple(_run(start, scratch, _environment({})) for _ in range(runs))),
        "write and fsync 18 MB": Timing(tuple(_timed_write(scratch / "calibration", block) for _ in range(runs))),
    }


def _timed_write(path: Path, block: bytes) -> float:
    begin = time.perf_counter()
    with path.open("wb") as file:
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
        if not name.startswith("AML_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | dict(added)


def _filled(words: Arguments, project: Path) -> list[str]:
    store = str(project / ".loom" / "memory")
    return [word.replace("{store}", store).replace("{project}", str(project)) for word in words]


def _run(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> float:
    """Seconds from the start of a process to its end; raises RunFailedError."""
    begin = time.perf_counter()
    try:
        # No time limit: waiting with one polls, which would be seen in the shortest rows.
        done = subprocess.run(
            words,
            cwd=folder,
            env=variables,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError as failure:
        raise RunFailedError(f"{words[0]}: {failure.strerror}") from failure
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RunFailedError(f"exit {done.returncode}: {lines[-1] if lines else 'nothing on standard error'}")
    return seconds
