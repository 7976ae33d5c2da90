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


def clock_doubt(newest: Run | None, now: float, limits: ClockLimits) -> str | None:
    """Why now (seconds since 1970 UTC) contradicts the newest run, or None where it does not."""
    if newest is None:
        return None
    since = now - newest.started_at
    if since < -limits.behind_minutes * 60:
        return f"the clock says {to_iso(now)}, but the newest run ({newest.id}) began later, at {newest.started}"
    if since > limits.ahead_days * SECONDS_PER_DAY:
        days = since / SECONDS_PER_DAY
        return f"the clock says {to_iso(now)}, {days:.0f} days after the newest run ({newest.id}, {newest.started})"
    return None


def refuse_doubtful_clock(doubt: str | None, *, trusted: bool) -> None:
    """Raise ClockError for a doubt that nobody has confirmed."""
    if doubt is not None and not trusted:
        raise ClockError(doubt, advice="check the date of this machine; if it is right, say --trust-clock")
