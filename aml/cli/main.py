"""Parses a command line, runs the command, and turns whatever happens into an exit status."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer.main import get_command

from aml import __version__
from aml.cli.argv import arrange, value_of, wants_json
from aml.cli.groups import COMMANDS, RootGroup
from aml.cli.invocation import Invocation, Streams, command_of
from aml.errors import AmlError, ExitStatus, InterruptedRunError, UsageError
from aml.fs.access import explain

_EPILOG = (
    "\b\nExamples:\n  aml demo\n  aml prune --dry-run\n  aml --store /project/.loom/memory prune -q\n\n"
    "Global options may stand before or after the command. "
    "Exit status: 0 done, 1 failed, 2 usage, 3 partial, 4 health warning (only where --fail-on asks), 5 health error, "
    "10 no store, 11 locked, 12 damaged, 13 schema too new, 130 interrupted."
)

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = typer.Typer(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"aml {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="The memory folder; default: AML_STORE, else the nearest .loom/memory upwards."
        ),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The backup repository; default: AML_REPOSITORY, else STORE-backup.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The settings file; default: AML_CONFIG, else aml.toml beside the store."),
    ] = None,
    log_json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Add a JSON line for each event to this log; default: the setting log.file."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")] = False,  # noqa: ARG001  (read before parsing)
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing where all went well.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print each record and each detail.")] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colour even on a terminal; NO_COLOR does the same.")
    ] = False,
    version: Annotated[  # noqa: ARG001  (its callback answers)
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep the memory of AI agents small, fast, safe, current and watched.

    AML works on the JSON files that agents keep under .loom/memory. Nothing leaves the store without a way back, no
    byte of a record that stays is changed, and a dry run shows exactly what a run would do.
    """
    invocation: Invocation = ctx.obj
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other", advice="say one of them")
    for name, value in (
        ("--store", store),
        ("--repository", repository),
        ("--config", config),
        ("--log-json", log_json),
    ):
        if value == "":
            raise UsageError(f"{name} is empty", advice="name a path, or leave the option out")
    invocation.store_option = store
    invocation.named_repository = repository
    invocation.repository_option = repository or invocation.environment.get("AML_REPOSITORY")
    invocation.config_option = config
    invocation.log_option = log_json
    invocation.quiet = quiet
    invocation.verbose = verbose
    invocation.no_color = no_color


def run(
    words: Sequence[str],
    *,
    streams: Streams,
    environment: Mapping[str, str],
    clock: Callable[[], float],
    folder: Path,
) -> int:
    """Run one command line and return its exit status; never raises for anything that can be explained."""

    def rerun(other: Sequence[str], others: Streams, known: Mapping[str, str]) -> int:
        return run(other, streams=others, environment=known, clock=clock, folder=folder)

    invocation = Invocation(streams, environment, clock, folder, rerun)
    invocation.json = wants_json(words)
    arranged = arrange(words, COMMANDS)
    # known before parsing: words that cannot be parsed are logged too
    invocation.store_option = value_of(arranged, "--store")
    invocation.config_option = value_of(arranged, "--config")
    invocation.log_option = value_of(arranged, "--log-json")
    status = int(ExitStatus.FAILED)
    try:
        status = _run(invocation, arranged)
        streams.out.flush()
    except KeyboardInterrupt:
        status = int(ExitStatus.INTERRUPTED)
        raise
    finally:
        invocation.end_log(status)
    return status


def _run(invocation: Invocation, arranged: list[str]) -> int:
    invocation.command = next((word for word in arranged if word in COMMANDS), "")
    try:
        result = _command_line().main(args=arranged, prog_name="aml", standalone_mode=False, obj=invocation)
    except NoArgsIsHelpError as help_wanted:
        if invocation.json:
            called = help_wanted.ctx.command_path if help_wanted.ctx is not None else "aml"
            return invocation.fail(UsageError("a command is missing", advice=f"{called} --help lists them"))
        invocation.out.write(help_wanted.format_message() + "\n")
        return int(ExitStatus.USAGE)
    except ClickException as error:
        # only some of them know where they came up
        if (ctx := getattr(error, "ctx", None)) is not None:
            invocation.command = command_of(ctx)
        return invocation.fail(_as_usage_error(error, invocation.command))
    except AmlError as error:
        return invocation.fail(error)
    except typer.Abort:
        # ctrl-c or the end of the input where a question was asked
        return invocation.fail(InterruptedRunError("not confirmed; nothing was changed"))
    except BrokenPipeError:
        raise
    except MemoryError:
        return invocation.fail(
            AmlError("there is not enough memory for this", advice="free some, or allow this process more of it")
        )
    except UnicodeEncodeError as error:
        # names that are text in one locale are none in another
        name = error.object.encode(errors="backslashreplace").decode()
        return invocation.fail(
            AmlError(f"this locale has no way to write {name!r}", advice="set LC_ALL=C.UTF-8 and try again")
        )
    except OSError as error:
        path = Path(str(error.filename)) if error.filename else Path("standard output")
        return invocation.fail(explain(error, "use" if error.filename else "write to", path))
    status = int(result) if isinstance(result, int) else int(ExitStatus.DONE)
    if status == ExitStatus.INTERRUPTED:
        told = "interrupted; no record is lost: each file is either as it was or as the command leaves it"
        return invocation.fail(InterruptedRunError(told))
    return status


@cache
def _command_line() -> Any:
    return get_command(app)


def _as_usage_error(error: ClickException, command: str) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else f"aml {command}".strip()
    return UsageError(_plain(error.format_message()), advice=f"{path} --help shows what is possible")


def _plain(message: str) -> str:
    """What the parser says, without its own words for types."""
    for kind, words in (("float", "a number"), ("integer", "a whole number"), ("int", "a whole number")):
        for suffix in (" range", ""):
            message = message.replace(f"is not a valid {kind}{suffix}.", f"is not {words}")
    return message


def run_process() -> int:
    """Run the command line of this process: real streams, environment, clock, signals."""
    for number in _INTERRUPTS:
        signal.signal(number, _interrupt)
    streams = _streams()
    try:
        status = run(sys.argv[1:], streams=streams, environment=os.environ, clock=time.time, folder=_folder())
    except BrokenPipeError:
        # the reader of our output has gone; point the stream nowhere, so that the interpreter does not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), streams.out.fileno())
        status = int(ExitStatus.FAILED)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), streams.out.fileno())
        streams.err.write(f"aml: cannot write the answer: {error.strerror}\n")
        status = int(ExitStatus.FAILED)
    # all is done and said: a signal from now on could only make the interpreter complain while it ends
    _ignore_interrupts()
    return status


def _streams() -> Streams:
    """The standard streams; one that whoever started this process had closed is nowhere."""
    # a process may be started with a stream closed, which the types do not know of
    found: list[Any] = [sys.stdout, sys.stderr, sys.stdin]
    out, err, stdin = (stream or _nowhere() for stream in found)
    for stream in (out, err):
        stream.reconfigure(errors="backslashreplace")
    return Streams(out, err, stdin)


def _nowhere() -> Any:
    return open(os.devnull, "r+", encoding="utf-8")


def _folder() -> Path:
    """The current folder, or the root where it was removed under this process."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _interrupt(_number: int, _frame: object) -> None:
    # the first one starts the clearing up, which a second one must not break off
    _ignore_interrupts()
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
