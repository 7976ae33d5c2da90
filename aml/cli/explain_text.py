"""What ``aml prune explain`` prints for people, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from aml.cli.invocation import Invocation
from aml.cli.text import count, printable, size, width_of_terminal
from aml.prune.explain import ExplainReport, Explanation, Removed
from aml.prune.space import Room

_WIDTH, _LEAST_WIDTH = 80, 16
#: In fewer columns what a rule asks stands below its name.
_SIDE_BY_SIDE = 70

_FATES = {
    "removed": "would be removed",
    "deferred": "would be deferred to a later run, since the loss budget is used up",
    "protected": "would stay: it is protected",
    "kept": "would stay",
    "unreadable": "would stay as it is: it cannot be judged",
}


def write_explanation(invocation: Invocation, report: ExplainReport) -> None:
    """One block for each record that carries the id, or for each run that removed it."""
    for number, record in enumerate(report.records):
        if number:
            invocation.out.write("\n")
        _write(invocation, _record_lines(invocation, record))
    if not report.records:
        _write(invocation, [f"{report.id} is not in the store", "", *_removed_lines(invocation, report.removed)])


def _write(invocation: Invocation, lines: Iterable[str]) -> None:
    for line in lines:
        invocation.out.write(f"{printable(line)}\n")


def _record_lines(invocation: Invocation, record: Explanation) -> Iterable[str]:
    yield record.id
    place = f"{record.agent}/{record.kind}, position {record.position:,}, {count(record.size, 'byte')}"
    yield from _wrapped(invocation, place, "")
    yield ""
    by = f"{record.rule}: " if record.rule else ""
    yield from _wrapped(invocation, f"{_FATES[record.fate]}; {by}{record.reason}", "  ")
    if record.value is not None:
        trust = "unknown" if record.confidence is None else f"{record.confidence:.2f}"
        yield ""
        yield f"  value      {record.value:.2f}, confidence {trust}"
        yield f"  created    {record.created or 'unknown'}"
        yield f"  last used  {record.last_used or 'unknown'}"
        yield from _verdict_lines(invocation, record)
    yield ""
    yield "  loss budget"
    told = f"{record.agent} may lose {count(record.budget.limit, 'record')} in one run ({record.budget.reason})"
    yield from _wrapped(invocation, f"{told}; {record.budget.condemned:,} are condemned", "    ")
    for room in record.space:
        yield from _wrapped(invocation, _room_told(room), "    ")
    if record.removed_before:
        yield ""
        yield f"  removed before{', and it came back' if record.came_back else ''}"
        yield from ("  " + line for line in _removed_lines(invocation, record.removed_before))


def _verdict_lines(invocation: Invocation, record: Explanation) -> Iterable[str]:
    for title, asked in (("rules", True), ("rules of strategies that were not asked", False)):
        chosen = [one for one in record.rules if one.asked is asked]
        if chosen:
            yield ""
            yield f"  {title}"
        for one in chosen:
            head = f"    {one.verdict:<14}  {one.rule:<19}  "
            if width_of_terminal(invocation.out) < _SIDE_BY_SIDE:
                yield head.rstrip()
                head = "      "
            for condition in one.conditions:
                yield from _wrapped(invocation, condition.text, head, " " * len(head))
                head = " " * len(head)
    yield ""
    yield "  protection"
    for guard in record.protections:
        head = f"    {'holds' if guard.holds else 'does not hold':<14}  "
        yield from _wrapped(invocation, guard.reason, head, " " * len(head))


def _room_told(room: Room) -> str:
    whose = "the store" if room.agent is None else room.agent
    return f"{whose} holds {size(room.before)} of {size(room.limit)} on disk; room is to be made to {size(room.target)}"


def _removed_lines(invocation: Invocation, removed: Iterable[Removed]) -> Iterable[str]:
    for one in removed:
        what = f"removed from {one.agent}/{one.kind} by run {one.run}"
        yield from _wrapped(invocation, what, "  ", "    ")
        if one.rule is not None:
            yield from _wrapped(invocation, f"under {one.rule}: {one.reason}", "    ")
        else:
            yield from _wrapped(invocation, "its archive cannot be read, or has expired", "    ")
        if one.undone:
            yield "    that was undone"
        elif one.rule is not None:
            yield "    put it back with:"
            yield f"      {invocation.spell('prune', 'undo', one.run, '--id', one.id)}"


def _wrapped(invocation: Invocation, text: str, first: str, further: str | None = None) -> list[str]:
    """Lines of at most 80 columns, or those of a narrower terminal; a word that is longer stays whole, to be copied."""
    return wrap(
        text,
        max(min(_WIDTH, width_of_terminal(invocation.out)), len(further or first) + _LEAST_WIDTH),
        initial_indent=first,
        subsequent_indent=first if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )
