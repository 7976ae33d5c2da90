"""A command group that loads a command's module only when that command runs."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

#: Command word -> module, and the line that help shows without importing it.
COMMANDS = {
    "prune": ("aml.cli.prune", "Remove low-value records by rules; see and undo earlier runs."),
    "backup": ("aml.cli.backup", "Make backups, verify them, restore from them, and let the old ones go."),
    "query": ("aml.cli.query", "Find records by agent, kind, tags, words and figures."),
    "show": ("aml.cli.show", "Print one record."),
    "optimize": ("aml.cli.optimize", "Make a store smaller and faster: collect garbage, compress old files, index."),
    "config": ("aml.cli.config", "Show the settings in effect, or write a settings file."),
    "demo": ("aml.cli.demo", "Write a realistic sample store and show AML at work on it."),
}


class LazyGroup(TyperGroup):
    """The root group: stubs serve help and completion, the real command is imported when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary, short_help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            return args[0], _load(args[0]), args[1:]
        return super().resolve_command(ctx, args)


# a process that runs several command lines, as the demo does, builds each command once
@cache
def _load(name: str) -> Any:
    module = import_module(COMMANDS[name][0])
    app: typer.Typer = module.app
    command = get_command(app)
    command.name = name
    return command
