"""The table of fault points in the documentation is about every command, and true."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from aml.cli.groups import COMMANDS, LazyGroup
from tests.fault import every, table

#: Commands that change no file at all, or none but the index, which a query brings up to date in the same way.
ONLY_LOOKING = {
    "prune history", "prune explain", "show", "backup list", "backup show", "backup diff", "monitor watch",
    "monitor alerts", "monitor alerts list", "monitor alerts show", "monitor alerts history", "monitor alerts test",
    "migrate detect", "migrate plan", "migrate history", "config show", "config path",
}  # fmt: skip


def _leaves(path: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield path
    for name, child in children.items():
        if child.hidden:
            continue  # an older spelling of another
        yield from _leaves(f"{path} {name}", command.loaded(name) if isinstance(command, LazyGroup) else child)


def _documented() -> dict[str, table.Row]:
    return table.parsed(table.PAGE.read_text(encoding="utf-8"))


def test_every_command_that_changes_anything_meets_faults_of_both_kinds() -> None:
    all_commands = {
        leaf for name in COMMANDS for leaf in _leaves(name, get_command(import_module(COMMANDS[name][0]).app))
    }
    assert all_commands >= ONLY_LOOKING, "they are still there"
    changing = all_commands - ONLY_LOOKING
    assert changing <= set(_documented())
    assert {name for name in changing if name not in every.COMMANDS} <= {"monitor alerts resolve"}


@pytest.mark.slow
def test_the_table_of_fault_points_is_true() -> None:
    found, told = table.rows(), _documented()
    assert found.keys() == told.keys()
    for command, row in found.items():
        # threads take turns otherwise each time, so that some calls are made or not
        for name, number in vars(row).items():
            assert number == pytest.approx(vars(told[command])[name], rel=0.2, abs=5), f"{command}: {name}"
