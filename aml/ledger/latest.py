"""The last run of each operation, by the journal and by what is noted of those that change nothing."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from aml.errors import AmlError, ExitStatus
from aml.fs.files import MOST_STATE, read_regular
from aml.ledger.operations import CLOCK_TRUSTED, Operation, last_operations
from aml.ledger.runs import Journal, is_run_id, run_number
from aml.model.timestamps import parse_timestamp
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

#: Operations that the journal knows; when all are found, older runs need not be read.
_JOURNALED = frozenset({"prune", "gc", "compress", "restore", "undo", "migrate"})
#: How many runs are looked through at most, the newest first.
_MOST_RUNS = 2000

#: What an exit status says of an operation that leaves no journal; a check that finds trouble has done its work.
_STATES: dict[int, str] = {
    ExitStatus.DONE: "done",
    ExitStatus.PARTIAL: "partial",
    ExitStatus.HEALTH_WARNING: "trouble",
    ExitStatus.HEALTH_CRITICAL: "trouble",
}


class LastRun(Struct, frozen=True):
    """The last run of an operation: times are ISO 8601 UTC, ``seconds`` how long it took (None: it has not ended).

    ``state`` is that of a run in the journal (begun, done, partial, failed or interrupted), and of other operations
    done, partial, trouble (which a check of health found) or failed, with their ``exit`` status. ``subject`` is what it
    was about, such as the id of a backup.
    """

    operation: str
    started: str
    seconds: float | None
    state: str
    exit: int | None
    subject: str
    counts: dict[str, int]


class LastRuns(Struct, frozen=True):
    """By operation, the newest first; ``problems`` tell of what could not be read."""

    runs: tuple[LastRun, ...]
    problems: tuple[str, ...]


class _Line(Struct):
    """What of a run in the journal is looked at here: the records that it removed may be many."""

    id: str
    operation: str
    started: str
    state: str = "begun"
    finished: str | None = None
    target: str | None = None
    counts: dict[str, int] = {}


def last_runs(store: Store) -> LastRuns:
    """The last run of each operation; of those in the journal, among its newest 2,000. Never raises for what cannot be
    read."""
    found: dict[str, LastRun] = {}
    problems: list[str] = []
    try:
        found = {name: _noted(one) for name, one in last_operations(store).items() if name != CLOCK_TRUSTED}
    except AmlError as error:
        problems.append(error.message)
    journal, damaged = _from_journal(store)
    for run in journal.values():
        other = found.get(run.operation)
        if other is None or (parse_timestamp(other.started) or 0.0) <= (parse_timestamp(run.started) or 0.0):
            found[run.operation] = run
    runs = sorted(found.values(), key=lambda run: parse_timestamp(run.started) or 0.0, reverse=True)
    return LastRuns(tuple(runs), (*problems, *damaged))


def _noted(one: Operation) -> LastRun:
    state = _STATES.get(one.exit, "failed")
    return LastRun(one.operation, one.started, one.seconds, state, one.exit, one.subject, one.counts)


def _from_journal(store: Store) -> tuple[dict[str, LastRun], list[str]]:
    """The newest run of each operation by number, and what could not be read."""
    found: dict[str, LastRun] = {}
    try:
        ids = [run_id for run_id in Journal(store).ids() if is_run_id(run_id)]
    except AmlError as error:
        return found, [error.message]
    problems = []
    for run_id in sorted(ids, key=run_number, reverse=True)[:_MOST_RUNS]:
        try:
            line = msgspec.json.decode(
                read_regular(store.state / "runs" / f"{run_id}.json", most=MOST_STATE), type=_Line
            )
        except AmlError as error:
            problems.append(error.message)
        except UNDECODABLE as error:
            problems.append(f"the run journal {run_id} is damaged: {error}")
        else:
            found.setdefault(line.operation, _journaled(line))
        if found.keys() >= _JOURNALED:
            break
    return found, problems


def _journaled(line: _Line) -> LastRun:
    began, ended = parse_timestamp(line.started), parse_timestamp(line.finished)
    seconds = None if began is None or ended is None else round(max(0.0, ended - began), 3)
    return LastRun(line.operation, line.started, seconds, line.state, None, line.target or "", line.counts)
