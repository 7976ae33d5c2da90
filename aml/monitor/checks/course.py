"""Checks of how things went: AML's own runs, its clock, and records that went without a run of AML's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

from msgspec import Struct

from aml.errors import DamagedError
from aml.ledger.budget import budget
from aml.ledger.runs import Run
from aml.model.timestamps import SECONDS_PER_DAY, parse_timestamp, to_iso
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level
from aml.monitor.inspection import Inspection

if TYPE_CHECKING:
    from aml.monitor.baselines import Baseline

#: So many of the last runs are looked at: each run settles those before it.
_LAST_RUNS = 50

#: Operations without a journal entry of which a failure is told here: others have a check of their own.
_NOTED = ("backup", "rotate")
#: Options that narrow a restore down to some agents.
_NARROWING = ("agents", "paths")
#: States of a restore that changed nothing.
_UNCHANGED = ("failed", "interrupted")
#: Exit statuses of an operation that did its work, with or without something left out.
_WORKED = (0, 3)

_unsound = partial(Finding, "runs")


def _runs(seen: Inspection) -> Measure:
    findings: list[Finding] = []
    half_done = seen.unfinished_restore()
    if half_done is not None:
        findings.append(_unsound("restore under way", Level.ERROR, half_done, "aml backup create, or any other run"))
    last: dict[str, Run] = {}
    unfinished = 0
    for run_id in reversed(seen.journal.ids()[-_LAST_RUNS:]):
        try:
            run = seen.journal.read(run_id)
        except DamagedError as error:
            findings.append(_unsound(f"run {run_id}", Level.ERROR, error.message, error.advice))
            continue
        if run.is_unfinished and not _is_under_way(run):
            message = f"run {run.id} ({run.operation}) of {run.started} never ended"
            advice = "the next run that changes the store brings it to its end, such as aml backup create"
            findings.append(_unsound(f"run {run.id}", Level.WARNING, message, advice))
            unfinished += 1
        last.setdefault(run.operation, run)
    for run in last.values():
        if run.state in ("failed", "interrupted"):
            message = f"the last {run.operation}, run {run.id} of {run.started}, {_ended(run.state)}"
            findings.append(_unsound(run.operation, Level.WARNING, message, "run it again, and see what it tells"))
    findings += _failed_operations(seen)
    return Measure(tuple(findings), unfinished, 0, "unfinished runs")


def _ended(state: str) -> str:
    return "failed" if state == "failed" else "was interrupted"


def _is_under_way(run: Run) -> bool:
    """Whether the process of a run is still there; on another machine, nobody can tell."""
    if run.host != os.uname().nodename or run.pid <= 0:
        return False
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _failed_operations(seen: Inspection) -> Iterator[Finding]:
    for name in _NOTED:
        run = seen.operations.get(name)
        if run is not None and run.exit not in _WORKED:
            message = f"the last {name}, of {run.started}, failed (exit status {run.exit})"
            yield _unsound(name, Level.WARNING, message, "run it again, and see what it tells")


def _clock(seen: Inspection) -> Measure:
    doubt = seen.clock_doubt()
    if doubt is None:
        return Measure()
    advice = "check the date of this machine; if it is right, let one run go on with --trust-clock"
    return Measure((Finding("clock", "", Level.WARNING, doubt, advice),))


class _Removed(Struct, frozen=True):
    """What one run took from an agent: records less those it put back, at ``time`` (seconds since 1970 UTC).

    ``all_changed`` is whether records may have come and gone in it in other ways; if so, and the agent is since as in a
    backup, ``restored`` is the id of that. An empty ``agent`` is all of them.
    """

    time: float
    agent: str
    records: int
    all_changed: bool = False
    restored: str | None = None


def _collapse(seen: Inspection) -> Measure:
    from aml.monitor.baselines import baselines  # which needs to know repositories from within

    now: Counter[str] = Counter(dict.fromkeys(seen.survey.agents, 0))
    unknown = {path.split("/")[0] for path, _ in seen.survey.unlisted}
    # by their bytes: in a locale that has no such text, the folder of an agent is there all the same
    unknown |= {os.fsencode(name).decode(errors="replace") for name in seen.survey.strangers}
    for facts in seen.record_files:
        now[facts.file.folder] += facts.records
        if facts.damage is not None or facts.error is not None:
            unknown.add(facts.file.folder)
    since = seen.now - seen.thresholds.collapse_days * SECONDS_PER_DAY
    removed = list(_removed_since(seen, since))
    findings: dict[str, Finding] = {}
    worst = 0.0
    for base in baselines(seen.store, seen.destination, seen.snapshots, since, seen.now):
        for agent, before in base.records.items():
            if agent in unknown or not before:
                continue
            lost = _unexplained(base, agent, before, now[agent], removed)
            if lost is None or lost <= 0:
                continue
            worst = max(worst, lost / before)
            if lost > budget(before, 0, False, seen.thresholds.loss).limit:
                known = findings.get(agent)
                if known is None or (known.value or 0) < lost:
                    findings[agent] = _collapsed(seen, agent, base, before, now[agent], lost)
    return Measure(tuple(findings.values()), round(worst, 4), seen.thresholds.loss.run_share, "share of the records")


def _unexplained(base: Baseline, agent: str, before: int, now: int, removed: list[_Removed]) -> int | None:
    """How many records of an agent went since without a run of AML's; None where that cannot be told."""
    runs = [one for one in removed if one.agent in (agent, "") and one.time > base.time]
    turns = [one for one in runs if one.all_changed]
    if turns:
        last = max(turns, key=lambda one: one.time)
        if base.backup is None or last.restored != base.backup:
            return None
        runs = [one for one in runs if one.time > last.time]
    return before - sum(one.records for one in runs) - now


def _removed_since(seen: Inspection, since: float) -> Iterator[_Removed]:
    """What AML's runs removed, from a day before that moment on: a run may last."""
    for run in seen.journal.since(since - SECONDS_PER_DAY):
        ended = parse_timestamp(run.finished) or run.started_at
        if run.operation == "restore" and run.state not in _UNCHANGED:
            yield from _restored(run, ended)
        for file in run.files:
            yield _Removed(ended, file.agent, len(file.removed) - len(file.restored))
        for path in run.quarantined:
            yield _Removed(ended, path.split("/")[0], 0, all_changed=True)


def _restored(run: Run, ended: float) -> Iterator[_Removed]:
    """What a restore did: to all agents, or to those that it was asked for."""
    asked = (run.options.get(name) for name in _NARROWING)
    agents, paths = (value if isinstance(value, list) else [] for value in asked)
    is_whole = run.state == "done" and not (paths or run.options.get("skip_damaged"))
    names = [str(name).split("/")[0] for name in (*agents, *paths)]
    for name in names or [""]:
        yield _Removed(ended, name, 0, all_changed=True, restored=run.target if is_whole else None)


def _collapsed(seen: Inspection, agent: str, base: Baseline, before: int, now: int, lost: int) -> Finding:
    message = (
        f"agent {agent} had {before:,} records by {base.source} at {to_iso(base.time)}, and has {now:,}: "
        f"{lost:,} went without a run of AML's"
    )
    backup = f"--at {to_iso(base.time)}" if base.backup is None else base.backup
    advice = f"aml backup restore {backup} --agent {quote(agent)} --dry-run shows what a backup brings back"
    if base.backup is not None:
        advice = f"aml backup diff {backup} shows what went; {advice}"
    limit = budget(before, 0, False, seen.thresholds.loss).limit
    return Finding("collapse", agent, Level.CRITICAL, message, advice, lost, limit, "records")


COURSE = (
    Check("runs", "AML's own runs ended, and well", _runs),
    Check("clock", "this machine's clock does not contradict AML's runs and backups", _clock),
    Check("collapse", "no agent lost more records than a run of AML's may remove", _collapse),
)
