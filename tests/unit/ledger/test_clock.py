"""Is now believable beside the newest run?"""

from __future__ import annotations

import pytest

from aml.errors import ClockError
from aml.ledger.clock import ClockLimits, Witness, clock_doubt, newest_of, refuse_doubtful_clock, witness_of
from aml.ledger.runs import Run

STARTED = "2026-11-20T12:00:00.000Z"
RUN = Run("run-1", "prune", STARTED)
NEWEST = witness_of(RUN)
LIMITS = ClockLimits()
MINUTE, DAY = 60.0, 86_400.0


@pytest.mark.parametrize(
    ("since", "doubtful"),
    [(-DAY, True), (-5.1 * MINUTE, True), (-4.9 * MINUTE, False), (0, False), (59.9 * DAY, False), (60.1 * DAY, True)],
)
def test_doubt(since: float, doubtful: bool) -> None:
    doubt = clock_doubt(NEWEST, RUN.started_at + since, LIMITS)
    assert (doubt is not None) == doubtful
    if doubt:
        assert "run-1" in doubt


def test_without_a_run_there_is_no_doubt() -> None:
    assert clock_doubt(None, 0, LIMITS) is None


def test_the_later_of_run_and_backup_counts() -> None:
    backup = Witness("backup b-1", RUN.started_at + DAY)
    assert newest_of(NEWEST, None, backup) == newest_of(backup, NEWEST) == backup
    doubt = clock_doubt(newest_of(NEWEST, backup), RUN.started_at + MINUTE, LIMITS)
    assert doubt is not None
    assert "b-1" in doubt
    assert newest_of(None, witness_of(None)) is None


def test_a_doubt_is_refused_unless_it_is_trusted() -> None:
    refuse_doubtful_clock(None, trusted=False)
    refuse_doubtful_clock("doubt", trusted=True)
    with pytest.raises(ClockError, match="--trust-clock"):
        refuse_doubtful_clock("doubt", trusted=False)
