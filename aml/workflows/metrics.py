"""Figures about a store, collected once: as an answer, as a sample of its history, and as a file for others."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from msgspec import Struct

from aml.errors import AmlError, ExitStatus, FileAccessError, LockedError, UsageError
from aml.fs.durable import write_output
from aml.fs.files import stat_if_there
from aml.fs.mounts import refuse_network
from aml.index.folder import index_folder
from aml.index.index import Index, told_of_damage
from aml.index.state import look_at_index
from aml.index.statistics import Statistics, read_statistics
from aml.ledger.latest import last_runs
from aml.monitor.backups import BackupsSeen, look_at_backups
from aml.monitor.collect import Told, collect, sample_of
from aml.monitor.metrics import Metrics
from aml.monitor.samples import Sample, append_sample, read_samples
from aml.repository.snapshots import list_snapshots
from aml.store.open import Store, settings_file_for
from aml.workflows.conditions import Conditions, destination_of, repository_folder
from aml.workflows.notes import stranger_notes

#: What others may read: figures, and names of agents.
_PUBLIC_FILE = 0o644


class MetricsReport(Struct, frozen=True):
    """The figures, whether a sample of them joined the history, and notes on what is missing from either."""

    metrics: Metrics
    recorded: bool
    notes: tuple[str, ...]
    status: ExitStatus


def collect_metrics(
    store: Store,
    *,
    now: float | None = None,
    conditions: Conditions | None = None,
    record: bool = True,
    user_cache: Path | None = None,
    index: Index | None = None,
) -> MetricsReport:
    """The figures of a store, ``now`` (seconds since 1970 UTC).

    The index is brought up to date, and a sample of the figures added to their history, where they can be kept; without
    ``record`` nothing at all is written. What cannot be looked at is left out and told (status PARTIAL). ``user_cache``
    is the folder for the index of a store on a network file system. Who asks again and again gives an ``index``, which
    stays open. Raises AmlError where the store cannot be listed.
    """
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    left_out: list[str] = []
    folder = index_folder(store, user_cache)
    given, index = index, index or Index(store, folder, keep=record)
    try:
        with told_of_damage(index):
            done = index.refresh()
            runs = last_runs(store)
            left_out += [f"left out: {problem}" for problem in runs.problems]
            told = Told(
                index=look_at_index(index, folder, done),
                statistics=Statistics() if folder is None else read_statistics(folder),
                operations=runs.runs,
                backups=_backups(store, conditions, left_out),
                samples=_samples(store, left_out),
            )
            metrics = collect(store, index, told, moment)
        notes = [index.trouble] if index.trouble else []
    finally:
        if given is None:
            index.close()
    left_out += [f"left out: {one.agent}/{one.kind}: {one.problem}" for one in metrics.damaged]
    problem = _try_to_record(store, conditions, sample_of(metrics, moment)) if record else None
    notes += [*stranger_notes(store), *left_out]
    if problem is not None:
        notes.append(f"not added to the history: {problem}")
    return MetricsReport(
        metrics=metrics,
        recorded=record and problem is None,
        notes=tuple(notes),
        status=ExitStatus.PARTIAL if left_out else ExitStatus.DONE,
    )


def _backups(store: Store, conditions: Conditions, left_out: list[str]) -> BackupsSeen | None:
    destination = destination_of(store, conditions, writes=False)
    try:
        return look_at_backups(store, destination, list_snapshots(destination))
    except AmlError as error:
        left_out.append(f"left out: the backups: {error.message}")
        return None


def _samples(store: Store, left_out: list[str]) -> list[Sample]:
    try:
        return read_samples(store)
    except FileAccessError as error:
        left_out.append(f"left out: the history: {error.message}")
        return []


def _try_to_record(store: Store, conditions: Conditions, sample: Sample) -> str | None:
    """Why a sample could not be added to the history, if so: figures are worth telling even where nothing is kept."""
    try:
        refuse_network(store.root, allowed=conditions.allow_network_store)
        append_sample(store, sample)
    except (FileAccessError, LockedError, OSError) as error:
        return str(error)
    return None


def write_for_others(
    store: Store,
    path: Path,
    data: bytes,
    conditions: Conditions,
    *,
    settings_file: Path | None = None,
    mode: int = _PUBLIC_FILE,
) -> None:
    """Write figures to a file that any user may read, in one step: whoever reads it sees the old or the new ones.

    Raises UsageError where the file would lie in the store or in AML's own folders, is the store's settings file or the
    ``settings_file`` in effect, where something else than a file is there, or a link that another user made, and
    FileAccessError.
    """
    if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise UsageError(f"{path} is a link that another user made", advice="name a file in a folder of your own")
    real = Path(os.path.realpath(path))
    own = {"the store": store.root, "AML's own folder": store.state, "the folder of the archives": store.keep}
    own["the repository"] = Path(os.path.realpath(repository_folder(store, conditions)))
    for what, folder in own.items():
        if real == folder or folder in real.parents:
            raise UsageError(f"{path} lies in {what}", advice="name a file outside the store and what belongs to it")
    if str(real) in {
        os.path.realpath(one) for one in (settings_file_for(store.root), settings_file) if one is not None
    }:
        raise UsageError(f"{path} is the settings file", advice="name another file")
    found = stat_if_there(real)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file", advice="name a file, or one that is not there yet")
    write_output(real, data, mode=mode)
