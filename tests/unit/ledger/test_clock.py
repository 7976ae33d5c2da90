"""Is now believable beside the newest run?"""

from __future__ import annotations

import pytest

from aml.errors import ClockError
from aml.ledger.clock import ClockLimits, clock_doubt, refuse_doubtful_clock
from aml.ledger.runs import Run

STARTED = "2026-11-20T12:00:00.000Z"
NEWEST = Run("run-1", "prune", STARTED)
LIMITS = ClockLimits()
MINUTE, DAY = 60.0, 86_400.0


@pytest.mark.parametrize(
    ("since", "doubtful"),
    [(-DAY, True), (-5.1 * MINUTE, True), (-4.9 * MINUTE, False), (0, False), (59.9 * DAY, False), (60.1 * DAY, True)],
)
def test_doubt(since: float, doubtful: bool) -> None:
    doubt = clock_doubt(NEWEST, NEWEST.started_at + since, LIMITS)
    assert (doubt is not None) == doubtful
    if doubt:
        assert "run-1" in doubt


def test_without_a_run_there_is_no_doubt() -> None:
    assert clock_doubt(None, 0, LIMITS) is None


def test_a_doubt_is_refused_unless_it_is_trusted() -> None:
    refuse_doubtful_clock(None, trusted=False)
    refuse_doubtful_clock("doubt", trusted=True)
    with pytest.raises(ClockError, match="--trust-clock"):
        refuse_doubtful_clock("doubt", trusted=False)
