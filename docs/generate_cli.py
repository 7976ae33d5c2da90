"""Writes what is taken from the program: docs/cli.md, the table in docs/settings.md, and the examples in cron/.

python docs/generate_cli.py            write them
python docs/generate_cli.py --check    fail if one of them is out of date
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import Any

from typer.main import get_command

from aml.cli.groups import COMMANDS, LazyGroup
from aml.cli.main import app
from aml.cli.schedule import Place
from aml.cli.schedule_cron import crontab
from aml.cli.schedule_systemd import units
from aml.config import keys, load_settings, sections, variable_name
from aml.errors import ExitStatus

DOCS = Path(__file__).resolve().parent
CRON = DOCS.parent / "cron"

#: What the examples are for: they are what aml config init --schedule writes there.
EXAMPLE = Place(("/usr/local/bin/aml",), "/project/.loom/memory", "loom", "project", ("/project/.loom",))

_NOTE = "<!-- Written by docs/generate_cli.py; edit the help texts in aml/cli instead. -->"
_INTRODUCTION = """\
Every command and every option, as the program itself tells them. `aml COMMAND --help` shows the same.
The tasks are explained in [prune.md](prune.md), [backup.md](backup.md), [optimize.md](optimize.md),
[migrate.md](migrate.md), [monitor.md](monitor.md) and [query.md](query.md), the settings in [settings.md](settings.md),
the output of `--json` in [cli-output.md](cli-output.md). At the end stands [which status each can give](#exit-status).
`aml PATH COMMAND` is an older form of `aml --store PATH COMMAND`."""
_STATUSES_TOLD = """\
Every command may end with 2 and with 130, and with 1 where the system refuses something (a right, room on a disk).
Where several would do, the first in this order counts: 130, 10, 13, 11, 12, 1, 3, 0. What else each can end with:"""
_TABLE_BEGIN = "<!-- Written by docs/generate_cli.py from aml/sections.py: begin -->"
_TABLE_END = "<!-- Written by docs/generate_cli.py from aml/sections.py: end -->"

#: Every group offers these by itself; they make sense for ``aml`` alone.
_ROOT_ONLY = ("--install-completion", "--show-completion")

_MEANINGS = {
    ExitStatus.DONE: "done; also a dry run that could plan",
    ExitStatus.FAILED: "failed, and the message says why",
    ExitStatus.USAGE: "wrong words on the command line, or a setting that is not allowed",
    ExitStatus.PARTIAL: "partial: the loss budget was used up, some files were left alone, or a backup is incomplete",
    ExitStatus.HEALTH_WARNING: "`aml monitor health` found a warning or an info, and `--fail-on` asks for those",
    ExitStatus.HEALTH_CRITICAL: "`aml monitor health` found an error, or what is critical",
    ExitStatus.NO_STORE: "no store where one was looked for",
    ExitStatus.LOCKED: "nothing could be done because of a lock",
    ExitStatus.DAMAGED: "what was asked for is damaged: every record file, an archive, a backup, or the run journal",
    ExitStatus.SCHEMA: "the store holds records of a newer schema; those were left alone",
    ExitStatus.INTERRUPTED: "interrupted by a signal",
}

#: Command -> the statuses that it can give; all may also give 2 (wrong words) and 130 (interrupted).
STATUSES: dict[str, tuple[int, ...]] = {
    "prune": (0, 1, 3, 10, 11, 12, 13),
    "prune history": (0, 10, 12),
    "prune undo": (0, 1, 3, 10, 11, 12),
    "prune explain": (0, 1, 10, 12),
    "backup create": (0, 1, 3, 10, 11, 12, 13),
    "backup list": (0, 1, 10, 11, 12, 13),
    "backup show": (0, 1, 10, 11, 12, 13),
    "backup diff": (0, 1, 3, 10, 11, 12, 13),
    "backup verify": (0, 1, 10, 11, 12, 13),
    "backup restore": (0, 1, 3, 10, 11, 12, 13),
    "backup rotate": (0, 1, 3, 10, 11, 12, 13),
    "backup drill": (0, 1, 3, 10, 11, 12, 13),
    "backup auto": (0, 1, 3, 10, 11, 12, 13),
    "query": (0, 3, 10, 12, 13),
    "show": (0, 1, 10, 12),
    "optimize gc": (0, 1, 3, 10, 11, 12, 13),
    "optimize compress": (0, 1, 3, 10, 11, 12),
    "optimize index": (0, 1, 3, 10, 13),
    "optimize warm-cache": (0, 1, 3, 10, 13),
    "optimize all": (0, 1, 3, 10, 13),
    "migrate detect": (0, 3, 10, 12, 13),
    "migrate plan": (0, 1, 10, 12, 13),
    "migrate up": (0, 1, 3, 10, 11, 12, 13),
    "migrate down": (0, 1, 3, 10, 11, 12),
    "migrate migrate": (0, 1, 10, 11, 12, 13),
    "migrate history": (0, 10, 12),
    "monitor health": (0, 4, 5, 10),
    "monitor metrics": (0, 1, 3, 10),
    "monitor alerts": (0, 1, 10, 12, 13),
    "monitor alerts list": (0, 1, 10, 12, 13),
    "monitor alerts show": (0, 1, 10, 12, 13),
    "monitor alerts ack": (0, 1, 10, 13),
    "monitor alerts resolve": (0, 1, 10, 13),
    "monitor alerts history": (0, 1, 10, 12, 13),
    "monitor alerts test": (0, 1, 10),
    "monitor report": (0, 1, 10),
    "monitor watch": (0, 10),
    "config show": (0,),
    "config path": (0, 10),
    "config init": (0, 1, 10),
    "demo": (0,),
}


def main(words: list[str]) -> int:
    """Write the pages, or check them; returns the exit status."""
    stale = []
    for path, text in pages().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in words:
            stale.append(path.name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python docs/generate_cli.py\n")
    return 1 if stale else 0


def pages() -> dict[Path, str]:
    """The generated pages by path."""
    settings = DOCS / "settings.md"
    schedules = {CRON / one.name: one.text for one in crontab(EXAMPLE)}
    schedules |= {CRON / "systemd" / one.name: one.text for one in units(EXAMPLE)}
    return {DOCS / "cli.md": cli_page(), settings: _with_table(settings.read_text(encoding="utf-8"))} | schedules


def cli_page() -> str:
    parts = [
        "# Command line reference",
        _NOTE,
        _INTRODUCTION,
        *_command_parts("aml", get_command(app)),
    ]
    for path, command in commands():
        parts += _command_parts(path, command)
    parts += ["## Exit status", _exit_table(), _STATUSES_TOLD, _status_table()]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group of commands, by what is typed for it."""
    for name in COMMANDS:
        yield from _tree(f"aml {name}", get_command(import_module(COMMANDS[name][0]).app))


def can_run(command: Any) -> bool:
    """Whether a command does something without a further word."""
    return not hasattr(command, "commands") or command.invoke_without_command


def _tree(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        found = command.loaded(name) if isinstance(command, LazyGroup) else child
        yield from _tree(f"{path} {name}", found)


def _command_parts(path: str, command: Any) -> Iterator[str]:
    """A heading, the usage, what the command does, its parameters and the end of its help."""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and _is_listed(path, param)]
    words = [path, "[OPTIONS]", *(_argument_word(param) for param in arguments)]
    if hasattr(command, "commands"):
        words.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    yield f"## {path}"
    yield f"```text\n{' '.join(words)}\n```"
    yield inspect.cleandoc(command.help or "")
    rows = [(f"`{param.metavar or param.name.upper()}`", param.help or "") for param in arguments]
    rows += [(_option_word(param), _option_help(param)) for param in options]
    if rows:
        yield _table(("option" if not arguments else "argument or option", "meaning"), rows)
    if command.epilog:
        yield _epilog(command.epilog)


def _is_listed(path: str, param: Any) -> bool:
    return path == "aml" or not set(param.opts) & set(_ROOT_ONLY)


def _argument_word(param: Any) -> str:
    word = param.metavar or str(param.name).upper()
    return word if param.required else f"[{word}]"


def _option_word(param: Any) -> str:
    spellings = ", ".join(f"`{spelling}`" for spelling in sorted(param.opts, key=len))
    return spellings if param.is_flag else f"{spellings} `{param.metavar or param.name.upper()}`"


def _option_help(param: Any) -> str:
    default = "" if param.is_flag or param.default is None else f" Default: {param.default}."
    return f"{param.help or ''}{default}"


def _epilog(text: str) -> str:
    """Paragraphs as they are; those that the help does not wrap, marked by a backspace, as a block."""
    paragraphs = []
    for paragraph in text.strip(" \n").split("\n\n"):
        lines = paragraph.removeprefix("\b").strip("\n")
        paragraphs.append(fill(lines, 120) if lines == paragraph else f"```text\n{lines}\n```")
    return "\n\n".join(paragraphs)


def _exit_table() -> str:
    return _table(("status", "meaning"), [(f"{int(status)}", _MEANINGS[status]) for status in ExitStatus])


def _status_table() -> str:
    shown = [int(status) for status in ExitStatus if status not in (ExitStatus.USAGE, ExitStatus.INTERRUPTED)]
    rows = [
        (f"`aml {command}`", *(str(status) if status in statuses else "" for status in shown))
        for command, statuses in STATUSES.items()
    ]
    return _table(("command", *(str(status) for status in shown)), rows)


def settings_table() -> str:
    """All settings, in the order in which the program lists them."""
    described = {one.name: one for one in load_settings(None, {}).listed()}
    rows = []
    for section in sections():
        for key in keys(section):
            one = described[f"{section}.{key}"]
            rows.append((f"`{one.name}`", f"`{variable_name(section, key)}`", _shown(one.default), one.description))
    return _table(("setting", "variable", "default", "meaning"), rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def _with_table(text: str) -> str:
    before, begin, rest = text.partition(_TABLE_BEGIN)
    _, end, after = rest.partition(_TABLE_END)
    if not (begin and end):
        raise SystemExit("docs/settings.md lacks the marks between which the table stands")
    return f"{before}{begin}\n\n{settings_table()}\n\n{end}{after}"


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
