"""Compress: plan, apply under the run lock, journal; a dry run packs as well, and writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import to_builtins

from aml import __version__
from aml.config import CompressSettings
from aml.errors import UsageError
from aml.ledger.recovery import ended_in_any_case
from aml.ledger.runs import Journal, state_after
from aml.ledger.state import FileLockNotes
from aml.optimize.compress import CompressOptions, CompressPlan, apply_compress, estimate_compress, plan_compress
from aml.optimize.compress_report import CompressReport, build_report
from aml.store.open import Store
from aml.workflows.conditions import Conditions, changing, clock_note, doubt_about
from aml.workflows.notes import stranger_notes

_OLDEST_DAYS = 36_500


def compress_options(
    settings: CompressSettings,
    *,
    agents: tuple[str, ...] = (),
    age_days: float | None = None,
    decompress: bool = False,
    plain: bool | None = None,
) -> CompressOptions:
    """Options from settings and what was asked for by hand; what is turned back is so whatever its age.

    Raises UsageError for an age that is none.
    """
    if age_days is not None and not 0 <= age_days <= _OLDEST_DAYS:
        raise UsageError(f"an age cannot be {age_days:g} days", advice=f"say 0 to {_OLDEST_DAYS:,} days")
    default = 0.0 if decompress else settings.age_days
    return CompressOptions(
        agents=agents,
        age_days=default if age_days is None else age_days,
        decompress=decompress,
        plain=settings.plain if plain is None else plain,
    )


def compress(
    store: Store,
    options: CompressOptions | None = None,
    *,
    now: float | None = None,
    dry_run: bool = False,
    conditions: Conditions | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> CompressReport:
    """Compress record files in place, or turn that back; their text, mode, owner and modification time stay.

    ``now`` in seconds since 1970 UTC. ``progress`` is told the file that comes next. Raises AmlError; what befalls
    single files is in the report.
    """
    options = options or CompressOptions()
    conditions = conditions or Conditions()
    moment = time.time() if now is None else now
    store.choose_agents(options.agents)
    journal = Journal(store)
    strangers = stranger_notes(store)
    judges_ages = options.age_days > 0
    if dry_run:
        notes = clock_note(store, journal, moment, conditions) if judges_ages else ()
        plan = plan_compress(store, options, moment)
        return build_report(plan, estimate_compress(store, plan, progress), run=None, notes=(*notes, *strangers))
    with changing(store, journal, "compress", moment, conditions, judges_ages=judges_ages) as (locks, found):
        plan = plan_compress(store, options, moment)
        return apply_and_note(store, journal, plan, locks, conditions, (*found, *strangers), progress)


def apply_and_note(
    store: Store,
    journal: Journal,
    plan: CompressPlan,
    locks: FileLockNotes,
    conditions: Conditions,
    notes: tuple[str, ...],
    progress: Callable[[str], None],
) -> CompressReport:
    """Do what a plan says, as a run of its own in the journal. The run lock must be held."""
    run = journal.begin("compress", plan.now, version=__version__, options=to_builtins(plan.options))
    # a run that judges no ages was not asked whether it believes the clock
    run.clock_doubted = not plan.options.age_days and doubt_about(store, journal, plan.now, conditions) is not None
    if plan.due:
        journal.write(run)
    with ended_in_any_case(store, journal, run):
        outcomes = apply_compress(store, plan, locks, conditions.locks, progress)
        report = build_report(plan, outcomes, run=run.id, notes=notes)
        run.counts = report.counts()
        journal.finish(run, state_after(report.status))
    return report
