"""The run journal: one small file for each run that changed a store or meant to.

A run is written down as begun before it changes anything and as done afterwards, so that a crash is seen by the next
run. The file also names each record removed, by id and content, which is what the loss budget counts and what tells
that a live agent wrote a removed record back.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aml.errors import DamagedError, ExitStatus, NotFoundError, UsageError
from aml.fs.access import explained
from aml.fs.durable import make_private_folder, write_durably
from aml.fs.files import MOST_STATE, is_there, read_regular, stat_if_there
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.timestamps import parse_timestamp, to_iso
from aml.model.undecodable import UNDECODABLE, encodable
from aml.store.layout import is_file_of_folder, record_file
from aml.store.open import Store

#: Version of the journal's own format.
FORMAT = 1

#: Operations that remove records, and so can be undone.
REMOVING = ("prune", "gc")

_SUFFIX = ".json"
_RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_RUN_ID = re.compile(r"\d{8}T\d{6}-\d{4,}-[0-9a-f]{4}")


class RecordKey(msgspec.Struct, frozen=True, array_like=True):
    """A record as the journal knows it: its id (None where it has none) and 16 hex digits of its SHA-256."""

    id: str | None
    digest: str

    @classmethod
    def of(cls, ident: str | None, sha256: str) -> RecordKey:
        return cls(ident, sha256[:16])


class RunFile(msgspec.Struct):
    """What a run did to one record file. ``archive`` is relative to the folder kept beside the store.

    ``shared`` are ids of removed records that other records, which stayed, carry as well, and ``copies`` those of
    ``removed`` of which an identical one stayed: they were no loss. ``expired`` tells that there
    was an archive, which grew so old that it was removed.
    """

    agent: str
    kind: str
    archive: str | None = None
    removed: list[RecordKey] = []
    restored: list[RecordKey] = []
    shared: list[str] = []
    copies: list[RecordKey] = []
    bytes_before: int = 0
    bytes_after: int = 0
    used_allowance: bool = False
    expired: bool = False

    @property
    def path(self) -> str:
        """The record file's path in the store."""
        return f"{self.agent}/{KIND_BY_PLURAL[self.kind].file_name}"


class Run(msgspec.Struct):
    """One run. ``state`` is begun, done, partial, failed or interrupted; times are ISO 8601, UTC.

    ``clock_doubted`` marks a run that went on although its clock contradicted the runs before it. ``quarantined`` are
    paths in the store of files that it took away or replaced whole, each copied to quarantine before, until that
    grew so old that it was removed (``quarantine_expired``).
    """

    id: str
    operation: str
    started: str
    state: str = "begun"
    finished: str | None = None
    host: str = ""
    pid: int = 0
    version: str = ""
    options: dict[str, Any] = {}
    target: str | None = None
    files: list[RunFile] = []
    quarantined: list[str] = []
    quarantine_expired: bool = False
    counts: dict[str, int] = {}
    clock_doubted: bool = False
    format: int = FORMAT

    @property
    def started_at(self) -> float:
        """Seconds since 1970 UTC."""
        return parse_timestamp(self.started) or 0.0

    @property
    def is_unfinished(self) -> bool:
        return self.state == "begun"


class Journal:
    """The runs of one store.

    A run's id is its start time, its number in sequence and four random hex digits: ids sort by time, no two collide,
    and the newest run is told by its number even where the clock once stood wrong.

    Damage to one of its files raises DamagedError; only where ``passes_over_damage``, for work that no run can stand in
    the way of, ``all`` and ``newest`` go on without it, and ``passed_over`` tells so.
    """

    def __init__(self, store: Store, *, passes_over_damage: bool = False) -> None:
        self._store = store
        self._folder = store.state / "runs"
        self._passes_over_damage = passes_over_damage
        self._passed_over: dict[str, str] = {}

    @property
    def passed_over(self) -> tuple[str, ...]:
        """What was wrong with each file that was passed over."""
        return tuple(self._passed_over.values())

    def begin(
        self,
        operation: str,
        now: float,
        *,
        version: str,
        options: dict[str, Any],
        files: list[RunFile] | None = None,
        target: str | None = None,
    ) -> Run:
        """A run that begins now (seconds since 1970 UTC). It is not on disk before ``write``."""
        number = max((run_number(run_id) for run_id in self.ids()), default=0) + 1
        return Run(
            id=f"{_stamp(now)}-{number:04d}-{os.urandom(2).hex()}",
            operation=operation,
            started=to_iso(now),
            host=os.uname().nodename,
            pid=os.getpid(),
            version=version,
            options=options,
            target=target,
            files=files or [],
        )

    def write(self, run: Run) -> None:
        """Put a run's present state on disk."""
        make_private_folder(self._folder)
        # options hold what was asked for, such as a path whose bytes are not UTF-8
        run.options = encodable(run.options)
        write_durably(self._path(run.id), msgspec.json.encode(run))

    def finish(self, run: Run, state: str) -> None:
        """Put on disk that a run has ended, now, in that state."""
        run.state = state
        run.finished = to_iso(time.time())
        self.write(run)

    def ids(self) -> list[str]:
        """Ids of all runs, sorted by the time they began. Raises FileAccessError."""
        if stat_if_there(self._folder) is None:
            return []
        with explained("list", self._folder):
            names = os.listdir(self._folder)
        return sorted(
            name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")
        )

    def read(self, run_id: str) -> Run:
        """Raises DamagedError where the run's file is not what AML writes, NotFoundError where there is none;
        FileAccessError."""
        path = self._path(run_id)
        if not is_there(path):
            raise NotFoundError(f"there is no run {run_id!r} in {self._folder}", advice="aml prune history lists them")
        data = read_regular(path, most=MOST_STATE)
        failures: tuple[type[Exception], ...] = (UsageError, *UNDECODABLE)
        try:
            run = msgspec.json.decode(data, type=Run)
            _check(run, run_id)
        except failures as error:
            raise DamagedError(
                f"the run journal {path} is damaged: {error}",
                advice="move that file away to go on; the archives of removed records are not touched by it",
            ) from error
        return run

    def since(self, moment: float) -> Iterator[Run]:
        """Runs begun at or after ``moment`` (seconds since 1970 UTC), in the order in which they really began."""
        first = _stamp(max(moment, 0.0))
        return (self.read(run_id) for run_id in sorted(self.ids(), key=run_number) if run_id >= first)

    def newest(self) -> Run | None:
        """The run that began last, by sequence and not by clock, of those whose clock was not in doubt."""
        return next(
            (run for run in self._each(sorted(self.ids(), key=run_number, reverse=True)) if not run.clock_doubted), None
        )

    def all(self) -> Iterator[Run]:
        """Every run, in the order of ``ids``."""
        return self._each(self.ids())

    def find(self, prefix: str) -> Run:
        """The run with that id or unique prefix of it. Raises NotFoundError, naming the nearest ones."""
        ids = self.ids()
        if prefix in ids:
            return self.read(prefix)
        fitting = [run_id for run_id in ids if prefix and run_id.startswith(prefix)]
        if len(fitting) == 1:
            return self.read(fitting[0])
        if fitting:
            raise NotFoundError(
                f"{prefix} fits {len(fitting)} runs", advice=f"say more of it: {', '.join(fitting[-5:])}"
            )
        raise NotFoundError(f"there is no run {prefix!r}", advice=_nearest(prefix, ids))

    def _each(self, run_ids: Iterable[str]) -> Iterator[Run]:
        for run_id in run_ids:
            try:
                yield self.read(run_id)
            except DamagedError as error:
                if not self._passes_over_damage:
                    raise
                self._passed_over[run_id] = error.message

    def _path(self, run_id: str) -> Path:
        if not _RUN_ID.fullmatch(run_id):
            if run_id in self.ids():
                raise DamagedError(
                    f"the run journal has a file that is no run's: {self._folder / (run_id + _SUFFIX)}",
                    advice="move that file away to go on",
                )
            raise NotFoundError(f"{run_id!r} is no id of a run", advice="aml prune history lists the runs")
        return self._folder / f"{run_id}{_SUFFIX}"


def _check(run: Run, run_id: str) -> None:
    """The journal names files to write and archives to read, so it must not name anything else."""
    if run.id != run_id:
        raise ValueError(f"it says that it is run {run.id}")
    for file in run.files:
        if file.kind not in KIND_BY_PLURAL:
            raise ValueError(f"it names an unknown kind {file.kind!r}")
        record_file(Path(), file.agent, KIND_BY_PLURAL[file.kind])
        if file.archive not in (None, archive_name(file.agent, file.kind, run_id)):
            raise ValueError(f"it names a strange archive {file.archive!r}")
    for path in run.quarantined:
        if not is_file_of_folder(path):
            raise ValueError(f"it names a strange file {path!r}")


def state_after(status: ExitStatus, *, failed: bool = False) -> str:
    """The state of a run that ended with a status, which may hide that something ``failed`` in it."""
    if failed:
        return "failed"
    return {ExitStatus.DONE: "done", ExitStatus.PARTIAL: "partial", ExitStatus.SCHEMA: "partial"}.get(status, "failed")


def is_run_id(name: str) -> bool:
    """Whether a name is one that ``Journal.begin`` gives to a run."""
    return _OWN_RUN_ID.fullmatch(name) is not None


def archive_name(agent: str, kind: str, run_id: str) -> str:
    """Path of the archive of one file by one run, inside the folder kept beside the store."""
    return f"archives/{agent}/{kind}-{run_id}.jsonl.gz"


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%S")


def run_number(run_id: str) -> int:
    """The place of a run in their sequence; 0 where its id tells none."""
    parts = run_id.split("-")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0


def _nearest(prefix: str, ids: list[str]) -> str:
    if not ids:
        return "this store has no runs yet"
    from difflib import get_close_matches

    return f"nearest: {', '.join(get_close_matches(prefix, ids, n=3, cutoff=0.5) or ids[-3:])}"
