"""The keep rules: which backups a rotation keeps, and for each of them why. Nothing here reads or writes anything.

Backups are judged within their scope. Newer and newest go by sequence number, so that a wrong clock neither hides the
latest backup nor counts an old one as new; times only tell which hour, day, week, month or year one belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo

from msgspec import Struct

from aml.backup.options import OWN_TAGS, PRE_RESTORE
from aml.errors import UsageError
from aml.model.moments import format_age
from aml.model.timestamps import SECONDS_PER_DAY

#: Rules that keep the newest complete backup of each period, and how each names its periods (strftime).
_PERIODS = (
    # the zone's name, since an hour comes twice when daylight saving ends
    ("hourly", "%Y-%m-%d %H:00 %Z"),
    ("daily", "%Y-%m-%d"),
    ("weekly", "%G-W%V"),
    ("monthly", "%Y-%m"),
    ("yearly", "%Y"),
)
#: The earliest and latest times (seconds) that every zone can show; a wrong clock may have set others.
_FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LAST_MOMENT = datetime(9999, 12, 30, tzinfo=UTC).timestamp()

_NEWEST = "newest of its scope"
_FILLED = "newest of its scope that holds any file"

Scope = tuple[str, ...] | None


class KeepRules(Struct, frozen=True):
    """What to keep in each scope; a backup that any rule keeps stays, and 0 switches a rule off.

    ``last`` and the periods are numbers of complete backups, ``within`` is an age in seconds, ``tags`` keep whatever
    has one of them. ``max_backups`` limits all scopes together.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: float = 0.0
    tags: tuple[str, ...] = ()
    max_backups: int = 0


DEFAULT_RULES = KeepRules(last=3, within=30 * SECONDS_PER_DAY)


class Candidate(Struct, frozen=True):
    """A backup to judge: ``time`` in seconds since 1970 (UTC), ``scope`` None for the whole store.

    ``source`` names the store: the backups of each are judged by themselves. ``files`` is how many it holds.
    """

    id: str
    time: float
    sequence: int
    scope: Scope
    complete: bool
    tags: tuple[str, ...]
    source: str = ""
    files: int = 1


class Verdict(Struct, frozen=True):
    """Whether a backup stays, and why or why not, in words for people."""

    id: str
    keep: bool
    reasons: tuple[str, ...]


#: Why each backup (by its id) is kept; empty where no rule keeps it.
_Reasons = dict[str, list[str]]


def judge(candidates: Sequence[Candidate], rules: KeepRules, now: float, zone: tzinfo = UTC) -> list[Verdict]:
    """One verdict on each candidate, in the order given. ``now`` is in seconds since 1970 (UTC).

    The periods are those of ``zone``'s calendar. The newest complete backup of a scope is kept whatever the rules
    say, or the newest one where none is complete. Raises UsageError for a negative number in the rules.
    """
    _check(rules)
    newest_first = sorted(candidates, key=_age_order, reverse=True)
    scopes: dict[tuple[str, Scope], list[Candidate]] = {}
    for one in newest_first:
        scopes.setdefault((one.source, one.scope), []).append(one)
    reasons: _Reasons = {one.id: [] for one in candidates}
    lost: dict[str, str] = {}
    safe: set[str] = set()
    for members in scopes.values():
        # what a restore replaced is no state that anybody wanted
        complete = [one for one in members if one.complete and PRE_RESTORE not in one.tags]
        complete = complete or [one for one in members if one.complete]
        _keep_counted(complete, rules, zone, reasons)
        _keep_marked(members, rules, now, reasons)
        _judge_others(members, complete, max(rules.last, 1), reasons, lost)
        newest = (complete or members)[0]
        reasons[newest.id].append(_NEWEST if complete else f"{_NEWEST}, though incomplete")
        safe.add(newest.id)
        # of a store that has become empty, the last state that was not is what somebody will want
        filled = next((one for one in complete if one.files), newest)
        if filled is not newest:
            reasons[filled.id].append(_FILLED)
            safe.add(filled.id)
    if rules.max_backups:
        for one in _beyond(rules.max_backups, [one for one in newest_first if reasons[one.id]], safe):
            reasons[one.id].clear()
            lost[one.id] = f"beyond the limit of {rules.max_backups}"
    return [_verdict(one, reasons[one.id], lost.get(one.id, "no rule keeps it")) for one in candidates]


def _verdict(one: Candidate, reasons: list[str], lost: str) -> Verdict:
    return Verdict(one.id, bool(reasons), tuple(reasons) or (lost,))


def _age_order(one: Candidate) -> tuple[int, str]:
    return one.sequence, one.id


def _check(rules: KeepRules) -> None:
    for name in ("last", *(name for name, _ in _PERIODS), "within", "max_backups"):
        value = getattr(rules, name)
        if not value >= 0:
            raise UsageError(
                f"{value:g} is no number of {'seconds' if name == 'within' else 'backups'} for the rule {name}",
                advice="give 0, which switches the rule off, or more",
            )


def _keep_counted(complete: Sequence[Candidate], rules: KeepRules, zone: tzinfo, reasons: _Reasons) -> None:
    """The rules that count: the last few, and the newest of each of the last few periods that hold a backup."""
    for one in complete[: rules.last]:
        reasons[one.id].append(f"last {rules.last}")
    for name, form in _PERIODS:
        limit = getattr(rules, name)
        seen: set[str] = set()
        for one in complete:
            if len(seen) == limit:
                break
            period = _local_time(one, zone).strftime(form)
            if period not in seen:
                seen.add(period)
                reasons[one.id].append(f"{name} {period}")


def _local_time(one: Candidate, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(min(max(one.time, _FIRST_MOMENT), _LAST_MOMENT), zone)


def _keep_marked(members: Iterable[Candidate], rules: KeepRules, now: float, reasons: _Reasons) -> None:
    """The rules that look at one backup alone, complete or not: its age and its tags."""
    within = f"within {format_age(rules.within)}"
    for one in members:
        if rules.within and one.time > now:
            reasons[one.id].append("dated in the future")
        elif rules.within and now - one.time <= rules.within:
            reasons[one.id].append(within)
        reasons[one.id].extend(f"tag {tag}" for tag in rules.tags if tag in one.tags)


def _judge_others(
    newest_first: Iterable[Candidate],
    complete: Sequence[Candidate],
    limit: int,
    reasons: _Reasons,
    lost: dict[str, str],
) -> None:
    """The last few that do not count, since they are incomplete or were made by a restore, stay until one that counts
    follows: they may hold what nothing else does."""
    counted = {one.id for one in complete}
    kept = 0
    for one in newest_first:
        if one.id in counted:
            continue
        what = "what a restore replaced" if one.complete else "incomplete"
        if not complete:
            lost[one.id] = f"{what}, and a newer one exists"
        elif _age_order(one) > _age_order(complete[0]):
            kept += 1
            if kept > limit:
                lost[one.id] = f"{what}, and newer ones exist"
                continue
            reasons[one.id].append(f"{what}, but newer than the newest complete backup")
        else:
            lost[one.id] = f"{what}, and a newer complete one exists"


def _beyond(limit: int, kept: Sequence[Candidate], safe: set[str]) -> list[Candidate]:
    """Those of ``kept`` that go so that ``limit`` stay: the oldest first, tagged by people last, never ``safe``."""

    def worth(one: Candidate) -> tuple[bool, tuple[int, str]]:
        return bool(set(one.tags) - OWN_TAGS), _age_order(one)

    droppable = sorted((one for one in kept if one.id not in safe), key=worth)
    return droppable[: max(0, len(kept) - limit)]
