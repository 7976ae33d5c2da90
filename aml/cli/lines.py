"""Lines for people: folded at 80 columns, or at those of a narrower terminal, but for commands, which stay whole so
that they can be copied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from aml.cli.invocation import Invocation
from aml.cli.text import printable, size, width_of_terminal
from aml.model.moments import format_age
from aml.monitor.report.commands import parted

_WIDTH, _LEAST_WIDTH = 80, 16
_BETWEEN = "; "
#: The end of the first noun of a unit such as ``stale locks``.
_PLURAL = re.compile(r"s\b")


def folded(invocation: Invocation, head: str, text: str) -> list[str]:
    """``text`` behind ``head``, its lines below each other. A word longer than a line, such as a path, stays whole."""
    width = max(min(_WIDTH, width_of_terminal(invocation.out)) - len(head), _LEAST_WIDTH)
    lines = wrap(printable(text), width, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{head if place == 0 else ' ' * len(head)}{line}" for place, line in enumerate(lines)]


def advised(invocation: Invocation, head: str, advice: str) -> list[str]:
    """``advice`` behind ``head``, each part of it on a line of its own, with commands that mean this very store."""
    lines: list[str] = []
    for part, has_command in _parts(invocation, advice):
        before = " " * len(head) if lines else head
        lines += [before + printable(part)] if has_command else folded(invocation, before, part)
    return lines


def _parts(invocation: Invocation, advice: str) -> Iterator[tuple[str, bool]]:
    """What semicolons divide, each part with whether a command is in it; those in a command divide nothing."""
    text, has_command = "", False
    for words, is_command in parted(advice):
        if is_command:
            text, has_command = text + invocation.spelled(words), True
            continue
        first, *others = words.split(_BETWEEN)
        text += first
        for other in others:
            yield text, has_command
            text, has_command = other, False
    yield text, has_command


def summed_up(invocation: Invocation, parts: Sequence[str], *way_back: str) -> str:
    """What was done, and the words of the command that undoes it, if any does: on one line for a log; on a terminal
    that command has its own, where it can be copied."""
    told = _BETWEEN.join(parts)
    if not way_back:
        return told
    between = "\n" if invocation.out.isatty() else _BETWEEN
    return f"{told}{between}undo with: {invocation.spell(*way_back)}"


def amount(value: float, unit: str) -> str:
    """What a check measured: ``1.5 KiB``, ``8 d``, ``95%``, ``1 stale lock``."""
    if unit == "bytes":
        return size(value)
    if unit == "seconds":
        return format_age(value)
    if unit.startswith("share"):
        return f"{value:.0%}"
    return f"{value:,.10g} {_PLURAL.sub('', unit, count=1) if value == 1 else unit}".rstrip()
