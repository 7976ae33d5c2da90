"""``aml monitor watch``: a live view of a store."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from types import FrameType
from typing import Annotated

import typer

from aml.cli.invocation import Invocation
from aml.cli.options import examples
from aml.errors import ExitStatus, UsageError
from aml.monitor.report.watch import Line, Tone, watch_lines
from aml.workflows.watch import Look, Watch

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_WIDTH = 80
#: To and from a screen of its own, without a cursor.
_ENTER, _LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"
#: How soon (seconds) a change of the terminal's size is seen.
_GLANCE_SECONDS = 0.2
_STYLES: dict[Tone, str] = {
    "plain": "",
    "soft": "dim",
    "strong": "bold",
    "good": "bold green",
    "warning": "yellow",
    "error": "bold red",
}


@app.command(
    "watch", epilog=examples("  aml monitor watch\n  aml monitor watch --interval 60\n  aml monitor watch --count 1")
)
def watch_command(
    ctx: typer.Context,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, max=86_400, help="How often the view is made anew.")
    ] = 5.0,
    number: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="End after N views. Default: at ctrl-c, or 1 in a pipe."),
    ] = None,
) -> int:
    """Show the store as it is, again and again: its health, figures, what AML is doing to it, the last runs.

    It only reads, and ends with ctrl-c (exit status 0). The checks, which read every file, are made every 30 seconds.
    """
    invocation = Invocation.of(ctx)
    if invocation.json:
        raise UsageError("watch is for people", advice="aml monitor report --json tells the same once")
    store = invocation.open_store()
    conditions = invocation.look_into(store)
    watch = Watch(store, conditions, invocation.settings, user_cache=invocation.user_cache)
    is_live = invocation.out.isatty() and invocation.environment.get("TERM") != "dumb"
    try:
        if is_live:
            _show_live(invocation, watch, interval, number)
        else:
            _print(invocation, watch, interval, number or 1)
    except KeyboardInterrupt:
        # how it is meant to end
        pass
    except OSError as error:
        if error.errno != errno.EIO or not is_live:
            raise
        # the terminal was closed: what is still to be said goes nowhere, so that the interpreter does not complain
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (invocation.out, invocation.err):
            os.dup2(nowhere, stream.fileno())
    finally:
        watch.close()
    if not is_live and number is None:
        what = "this terminal cannot be drawn upon" if invocation.out.isatty() else "this is no terminal"
        invocation.note(f"{what}, so that was one look; --count says how many there shall be")
    return int(ExitStatus.DONE)


def _print(invocation: Invocation, watch: Watch, interval: float, number: int) -> None:
    """Views one after the other."""
    for place in range(number):
        if place:
            time.sleep(interval)
            invocation.out.write("\n")
        look = watch.look(invocation.clock())
        lines = watch_lines(look.data, look.holder, _WIDTH, "")
        invocation.out.write("".join(f"{line.words}\n" for line in lines).rstrip("\n") + "\n")
        invocation.out.flush()


def _show_live(invocation: Invocation, watch: Watch, interval: float, number: int | None) -> None:
    """Views one in the place of the other, on a screen of their own, which is as it was before in the end."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(file=invocation.out, no_color=not invocation.color, highlight=False)
    footer = f"every {interval:g} s; ctrl-c ends"

    def drawn(look: Look, size: tuple[int, int]) -> Group:
        found = _fitting(watch_lines(look.data, look.holder, size[0], footer), size[1])
        lines = (Text(line.words, style=_STYLES[line.tone], no_wrap=True, overflow="crop") for line in found)
        return Group(*lines)

    with (
        _leaving_well(invocation.out.fileno()) as stops,
        Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
    ):
        shown = 0
        # a terminal that was closed is none any more, and nobody need have said so
        while invocation.out.isatty() and (number is None or shown < number):
            look, seen = watch.look(invocation.clock()), (_size(invocation), len(stops))
            live.update(drawn(look, seen[0]), refresh=True)
            shown += 1
            until = time.monotonic() + interval
            while (left := until - time.monotonic()) > 0 and shown != number and invocation.out.isatty():
                time.sleep(min(left, _GLANCE_SECONDS))
                if (_size(invocation), len(stops)) != seen:
                    seen = _size(invocation), len(stops)
                    live.update(drawn(look, seen[0]), refresh=True)


@contextmanager
def _leaving_well(descriptor: int) -> Iterator[list[float]]:
    """Give the screen back while ctrl-z stops the view, and when ctrl-backslash ends it. Yields the moments at which
    it went on, after which it has to be drawn again."""
    stops: list[float] = []

    def stop(_number: int, _frame: FrameType | None) -> None:
        # past all buffers: one of them may just be written
        os.write(descriptor, _LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.write(descriptor, _ENTER)
        stops.append(time.monotonic())

    handlers = {signal.SIGTSTP: stop, signal.SIGQUIT: signal.default_int_handler}
    before = {}
    # who ignores a signal, or handles it, means to
    if threading.current_thread() is threading.main_thread():
        chosen = [number for number in handlers if signal.getsignal(number) is signal.SIG_DFL]
        before = {number: signal.signal(number, handlers[number]) for number in chosen}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fitting(lines: tuple[Line, ...], height: int) -> tuple[Line, ...]:
    """As many lines as there is room for, and the last one, which tells how it ends; no heading of nothing."""
    if len(lines) <= height:
        return lines
    first = list(lines[: max(0, height - 1)])
    while len(first) > 1 and (not first[-1].words or first[-1].tone == "strong"):
        first.pop()
    return (*first, lines[-1])


def _size(invocation: Invocation) -> tuple[int, int]:
    """Columns and lines of the terminal."""
    try:
        found = os.get_terminal_size(invocation.out.fileno())
    except (OSError, ValueError):
        found = get_terminal_size((_WIDTH, 24))
    return max(found.columns, 1), max(found.lines, 1)
