"""Command groups that load a command's module only when that command runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from aml.errors import UsageError

#: Command word -> module, and the line that help shows without importing it.
COMMANDS = {
    "prune": ("aml.cli.prune", "Remove low-value records by rules; see and undo earlier runs."),
    "backup": ("aml.cli.backup", "Make backups, verify them, restore from them, and let the old ones go."),
    "query": ("aml.cli.query", "Find records by agent, kind, tags, words and figures."),
    "show": ("aml.cli.show", "Print one record."),
    "optimize": ("aml.cli.optimize", "Make a store smaller and faster: collect garbage, compress old files, index."),
    "migrate": ("aml.cli.migrate", "Move records between schema versions, up and down, all of them or none."),
    "monitor": ("aml.cli.monitor", "Know that memory is healthy: checks, figures, alerts, a report for people."),
    "config": ("aml.cli.config", "Show the settings in effect, or write a settings file."),
    "demo": ("aml.cli.demo", "Write a realistic sample store and show AML at work on it."),
}

#: The same for the parts of ``aml optimize``, each of which needs much that the others do not.
PARTS_OF_OPTIMIZE = {
    "gc": ("aml.cli.optimize_gc", "Take away what no agent can use."),
    "compress": ("aml.cli.optimize_compress", "Compress record files that nobody has changed for long, in place."),
    "index": ("aml.cli.optimize_index", "Bring the index up to date: read the files that changed."),
    "warm-cache": ("aml.cli.optimize_index", "Write the hot set, with which a loader begins."),
    "all": ("aml.cli.optimize_all", "All of these, each reported."),
}

#: The same for the parts of ``aml monitor``.
PARTS_OF_MONITOR = {
    "health": ("aml.cli.monitor_health", "Check all that can go wrong with a store, its backups and AML itself."),
    "metrics": ("aml.cli.monitor_metrics", "Figures: sizes, counts, ages, growth, backups, the index."),
    "alerts": ("aml.cli.monitor_alerts", "What checks found, from when it is first seen until it has passed."),
    "report": ("aml.cli.monitor_report", "All of it for people: text, Markdown, or one HTML file with plots."),
    "watch": ("aml.cli.monitor_watch", "A live view in the terminal."),
}


class LazyGroup(TyperGroup):
    """A group of commands: stubs serve help and completion, the real one is imported when it is called."""

    #: Command word -> module, and the line that help shows without importing it.
    lazily: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, summary) in self.lazily.items():
            self.add_command(TyperCommand(name, help=summary, short_help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.lazily:
            return args[0], self.loaded(args[0]), args[1:]
        return super().resolve_command(ctx, args)

    def loaded(self, name: str) -> Any:
        """The real command of that name."""
        return _load(name, self.lazily[name][0])


class RootGroup(LazyGroup):
    lazily = COMMANDS

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found = [] if args[0] in COMMANDS or args[0].startswith("-") else _groups_with(args[0])
        if found:
            told = " or ".join(f"aml {group} {args[0]}" for group in found)
            raise UsageError(f"No such command {args[0]!r}.", advice=f"did you mean {told}?")
        return super().resolve_command(ctx, args)


class OptimizeGroup(LazyGroup):
    lazily = PARTS_OF_OPTIMIZE


class MonitorGroup(LazyGroup):
    lazily = PARTS_OF_MONITOR


def _groups_with(name: str) -> list[str]:
    """The groups that have a command of that name."""
    loaded = {group: _load(group, module) for group, (module, _) in COMMANDS.items()}
    return [group for group, command in loaded.items() if name in getattr(command, "commands", {})]


# a process that runs several command lines, as the demo does, builds each command once
@cache
def _load(name: str, module: str) -> Any:
    app: typer.Typer = import_module(module).app
    command = get_command(app)
    # a module may have several commands of a group, or be a group with a command of its own name
    found = command if command.name == name else getattr(command, "commands", {}).get(name, command)
    found.name = name
    return found
