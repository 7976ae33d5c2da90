"""Is now believable? A wrong clock must not make every record look old. Pure."""

from __future__ import annotations

from msgspec import Struct

from aml.errors import ClockError
from aml.ledger.runs import Run
from aml.model.timestamps import SECONDS_PER_DAY, to_iso


class ClockLimits(Struct, frozen=True):
    """How far now may lie before the newest run (minutes), and after it (days)."""

    behind_minutes: float = 5.0
    ahead_days: float = 60.0


class Witness(Struct, frozen=True):
    """Something that AML did at ``time`` (seconds since 1970 UTC) by a clock that was believed."""

    what: str
    time: float


def witness_of(run: Run | None) -> Witness | None:
    return None if run is None else Witness(f"run ({run.id})", run.started_at)


def newest_of(*witnesses: Witness | None) -> Witness | None:
    """The latest of several, or None where there is none."""
    return max((one for one in witnesses if one is not None), key=lambda one: one.time, default=None)


def clock_doubt(newest: Witness | None, now: float, limits: ClockLimits) -> str | None:
    """Why now (seconds since 1970 UTC) contradicts what AML did last, or None where it does not."""
    if newest is None:
        return None
    since, when = now - newest.time, to_iso(newest.time)
    if since < -limits.behind_minutes * 60:
        return f"the clock says {to_iso(now)}, but the newest {newest.what} was made later, at {when}"
    if since > limits.ahead_days * SECONDS_PER_DAY:
        days = since / SECONDS_PER_DAY
        return f"the clock says {to_iso(now)}, {days:.0f} days after the newest {newest.what}, at {when}"
    return None


def refuse_doubtful_clock(doubt: str | None, *, trusted: bool) -> None:
    """Raise ClockError for a doubt that nobody has confirmed."""
    if doubt is not None and not trusted:
        raise ClockError(doubt, advice="check the date of this machine; if it is right, say --trust-clock")
