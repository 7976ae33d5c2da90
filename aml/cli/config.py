"""``aml config``: the settings in effect, where each comes from, and files to start from."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec import Struct

from aml.cli.invocation import Invocation
from aml.cli.options import GLOBAL_OPTIONS
from aml.cli.text import printable, write_table
from aml.config import Setting, as_toml, load_settings
from aml.errors import ExitStatus, FileAccessError, StoreNotFoundError, UsageError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Show the settings in effect, or write a settings file.",
    epilog="\b\nExamples:\n  aml config show\n  aml config init --print" + GLOBAL_OPTIONS,
)


class Shown(Struct, frozen=True):
    """All settings, in the order of the sections."""

    settings: tuple[Setting, ...]


class SettingsFile(Struct, frozen=True):
    """The settings file that is in effect, whether it exists or not."""

    path: str
    exists: bool


class Written(Struct, frozen=True):
    """The settings file that was written."""

    path: str


class Printed(Struct, frozen=True):
    """A settings file as it would be written."""

    text: str


@app.command("show", epilog="\b\nExample:\n  aml config show --json" + GLOBAL_OPTIONS)
def show_command(ctx: typer.Context) -> int:
    """Print every setting that is in effect, and where it comes from."""
    invocation = Invocation.of(ctx)
    listed = invocation.effective.listed()

    def write_text() -> None:
        rows = [[one.name, _shown(one.value), one.origin] for one in listed]
        write_table(invocation.out, ["setting", "value", "origin"], rows, numeric=[False] * 3, color=invocation.color)

    return invocation.answer(Shown(listed), ExitStatus.DONE, write_text)


@app.command("path", epilog="\b\nExample:\n  aml config path" + GLOBAL_OPTIONS)
def path_command(ctx: typer.Context) -> int:
    """Print the path of the settings file, whether it exists or not."""
    invocation = Invocation.of(ctx)
    path = _settings_path(invocation)
    data = SettingsFile(str(path), path.exists())
    return invocation.answer(data, ExitStatus.DONE, lambda: _print(invocation, str(path)))


@app.command(
    "init",
    epilog="\b\nExamples:\n  aml config init --print\n  aml config init\n  aml config init --schedule cron --print\n"
    "  aml config init --schedule systemd --output units" + GLOBAL_OPTIONS,
)
def init_command(
    ctx: typer.Context,
    print_only: Annotated[bool, typer.Option("--print", help="Print what would be written instead.")] = False,
    schedule: Annotated[
        Literal["cron", "systemd"] | None,
        typer.Option(
            help="Write a crontab, or services and timers, for this store instead of the settings.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="With --schedule: the folder for its files; default: aml-schedule, here."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --schedule systemd: a name for the units; default: the project's."),
    ] = None,
) -> int:
    """Write a settings file in which every key is explained and commented out, or a schedule.

    What exists is never overwritten.
    """
    invocation = Invocation.of(ctx)
    if schedule is not None:
        from aml.cli.schedule_files import init_schedule

        return init_schedule(invocation, schedule, output, name, print_only=print_only)
    if output is not None or name is not None:
        raise UsageError("--output and --name are for --schedule", advice="--config FILE says where settings go")
    text = as_toml(load_settings(None, {}))
    if print_only:
        return invocation.answer(Printed(text), ExitStatus.DONE, lambda: _print(invocation, text))
    path = _settings_path(invocation)
    if os.path.lexists(path):
        raise FileAccessError(f"{path} exists already", advice="edit it, or move it away first")
    from aml.fs.durable import write_output

    write_output(path, text.encode(), mode=0o644)
    return invocation.answer(
        Written(str(path)), ExitStatus.DONE, lambda: _print(invocation, f"wrote {printable(str(path))}")
    )


def _settings_path(invocation: Invocation) -> Path:
    path = invocation.settings_path()
    if path is None:
        raise StoreNotFoundError(
            f"no .loom/memory in {invocation.folder} or any folder above it, so there is no place for settings",
            advice="name the store with --store PATH, or the file with --config FILE",
        )
    return path


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value) or "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _print(invocation: Invocation, text: str) -> None:
    invocation.out.write(text + "\n")
