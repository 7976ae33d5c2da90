"""What earlier runs removed from a store, and putting it back."""

from __future__ import annotations

import time
from contextlib import suppress

from aml import __version__
from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError, NotFoundError, UsageError
from aml.ledger.recovery import ended_in_any_case, settle
from aml.ledger.runs import REMOVING, Journal, Run, RunFile, run_number, state_after
from aml.ledger.undo import FileUndo, OriginalUndo, UndoReport, Wanted, preview_file, undo_file, wanted_of
from aml.ledger.undo_originals import preview_originals, put_back_originals, restored_whole
from aml.store.open import Store
from aml.workflows.conditions import Conditions, changing, doubt_about

#: How the journal calls runs that change the schema of records.
_MIGRATE = "migrate"


def prune_history(store: Store) -> tuple[Run, ...]:
    """All runs of the store that removed records or put some back, newest first."""
    journal = Journal(store)
    runs = [journal.read(run_id) for run_id in reversed(journal.ids())]
    return tuple(run for run in runs if run.operation in (*REMOVING, "undo"))


def prune_undo(
    store: Store,
    run_id: str,
    ids: tuple[str, ...] = (),
    *,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
) -> UndoReport:
    """Put the records of a run (a unique prefix of its id will do), or those with ``ids``, back where they stood.

    Without ``ids``, files that the run took away or replaced whole come back as well.
    """
    conditions = conditions or Conditions()
    journal = Journal(store)
    target = journal.find(run_id)
    if target.operation not in REMOVING:
        raise UsageError(
            f"run {target.id} is of the kind {target.operation}, not a prune or a garbage collection",
            advice="aml prune history lists the runs",
        )
    if dry_run:
        wanted = wanted_of(store, journal, target, ids)
        originals = [] if ids else preview_originals(store, target)
        whole = restored_whole(target, originals)
        files = [whole.get(file.key) or preview_file(store, file) for file in wanted]
        return UndoReport(None, target.id, True, files, originals, _older_schema(journal, target, files))
    moment = time.time() if now is None else now
    # ages play no part in undo, so no clock is too wrong for it
    with changing(store, journal, "undo", moment, conditions, judges_ages=False) as (locks, _):
        target = journal.read(target.id)
        wanted, damage = _wanted_or_damage(store, journal, target, ids)
        if not wanted and damage is None and (ids or not target.quarantined):
            raise NotFoundError(
                f"run {target.id} removed nothing", advice="aml prune history lists what each run removed"
            )
        run = journal.begin("undo", moment, version=__version__, options={"ids": list(ids)}, target=target.id)
        run.clock_doubted = doubt_about(store, journal, moment, conditions) is not None
        journal.write(run)
        with ended_in_any_case(store, journal, run):
            originals = [] if ids else put_back_originals(store, target, locks, conditions.locks)
            if damage is not None:
                raise _with_what_was_done(damage, originals)
            whole = restored_whole(target, originals)
            done = [whole.get(file.key) or undo_file(store, file, locks, conditions.locks) for file in wanted]
            report = UndoReport(run.id, target.id, False, done, originals, _older_schema(journal, target, done))
            run.files = [RunFile(file.agent, file.kind, restored=file.keys) for file in done]
            run.counts = {"restored": sum(file.restored for file in done)}
            if any(file.status == ExitStatus.FAILED for file in done):
                settle(store, journal, run)
            journal.finish(run, state_after(report.status))
        return report


def _older_schema(journal: Journal, target: Run, files: list[FileUndo]) -> tuple[str, ...]:
    """What to tell of records that come back as they were before the store was migrated."""
    if not any(file.restored for file in files):
        return ()
    migrated = None
    for run_id in journal.ids():
        # what cannot be read now is told by whatever needs it
        with suppress(AmlError):
            run = journal.read(run_id) if run_number(run_id) > run_number(target.id) else target
            if run.operation == _MIGRATE and run.counts.get("migrated"):
                migrated = run_id
    if migrated is None:
        return ()
    told = f"what came back has the schema versions of the time before run {migrated} migrated the store"
    return (f"{told}: aml migrate detect",)


def _wanted_or_damage(
    store: Store, journal: Journal, target: Run, ids: tuple[str, ...]
) -> tuple[list[Wanted], AmlError | None]:
    """What is to be put back into each file. An archive that cannot be read is no reason not to put whole files back,
    if there are any."""
    try:
        return wanted_of(store, journal, target, ids), None
    except (DamagedError, FileAccessError) as error:
        if ids or not target.quarantined:
            raise
        return [], error


def _with_what_was_done(damage: AmlError, originals: list[OriginalUndo]) -> AmlError:
    back = [one.path for one in originals if one.put_back]
    told = f"; put back whole before: {', '.join(back)}" if back else ""
    return type(damage)(f"{damage.message}{told}", advice=damage.advice)
