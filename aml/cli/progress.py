"""What is being worked on, shown on standard error while it lasts, and on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aml.cli.invocation import Invocation
from aml.cli.layout import cut_to
from aml.cli.text import printable, width_of_terminal

_CLEAR_LINE = "\r\x1b[2K"
_WIDTH = 60
_MORE = " ..."


@contextmanager
def shown_progress(invocation: Invocation) -> Iterator[Callable[[str], None]]:
    """A function to be told what comes next; the line it keeps is gone afterwards."""
    is_dumb = invocation.environment.get("TERM") == "dumb"
    if is_dumb or not invocation.err.isatty() or invocation.quiet or invocation.json:
        yield lambda _: None
        return

    def show(what: str) -> None:
        # a line that went on below would not be cleared as a whole
        width = min(_WIDTH, width_of_terminal(invocation.err) - len(_MORE) - 1)
        invocation.err.write(f"{_CLEAR_LINE}{cut_to(printable(what), width)}{_MORE}")
        invocation.err.flush()

    try:
        yield show
    finally:
        invocation.err.write(_CLEAR_LINE)
        invocation.err.flush()
