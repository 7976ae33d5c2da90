"""Schedules as AML writes them, and what cron and systemd make of a line, by their manuals, written apart from AML's
own quoting."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cli.running import aml

#: The name of a folder with all that cron, the shell or systemd would make something of.
ODD = "pro ject %d 'q\" é$HOME\\n;x"
_BLANKS = " \t\n\r"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}


def scheduled(project: Path, form: str, *words: str, **keywords: Any) -> dict[str, str]:
    """The files of a schedule by name."""
    answer = aml(project, "config", "init", "--schedule", form, "--print", "--json", *words, **keywords)
    assert answer.status == 0, answer.out
    return {one["name"]: one["text"] for one in answer.envelope["data"]["files"]}


def cron_commands(command: str) -> list[str]:
    """What the shell gets of a crontab's command: by crontab(5), from a cron that takes the backslash before a percent
    sign away, from one that leaves it, from one that makes one of two backslashes too, from one without the rule."""
    taken, left, halved = [], [], []
    ends = False
    index = 0
    while index < len(command) and not ends:
        one, after = command[index], command[index + 1 : index + 2]
        if one == "\\" and after:
            taken.append(after if after == "%" else one + after)
            left.append(one + after)
            halved.append(after if after in "%\\" else one + after)
            index += 2
            continue
        ends = one == "%"
        if not ends:
            for version in (taken, left, halved):
                version.append(one)
        index += 1
    return ["".join(taken), "".join(left), "".join(halved), command]


def shell_words(command: str) -> list[str]:
    """The words of a command as /bin/sh parts them."""
    script = "show() { for word; do printf '%s\\0' \"$word\"; done; }; show " + command
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, timeout=20, check=True)
    return [word.decode(errors="surrogateescape") for word in done.stdout.split(b"\0")[:-1]]


def systemd_words(value: str, *, escapes: bool = True) -> list[str]:
    """Words parted as systemd.syntax(7) and systemd.service(5) say: quotes, and C escapes or only a plain backslash."""
    words: list[str] = []
    index = 0
    while index < len(value):
        if value[index] in _BLANKS:
            index += 1
            continue
        word, index = _systemd_word(value, index, escapes)
        words.append(word)
    return words


def _systemd_word(value: str, index: int, escapes: bool) -> tuple[str, int]:
    parts: list[str] = []
    quote = ""
    while index < len(value):
        one = value[index]
        if one == "\\":
            escaped = value[index + 1]
            parts.append(_ESCAPES.get(escaped, escaped) if escapes else escaped)
            assert not escapes or escaped in {*_ESCAPES, "\\", '"', "'"}, "only what systemd knows"
            index += 2
            continue
        if quote:
            parts.append("" if one == quote else one)
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        elif one in _BLANKS:
            break
        else:
            parts.append(one)
        index += 1
    assert not quote, "quotes that do not end"
    return "".join(parts), index


def without_specifiers(word: str) -> str:
    """``%%`` is a percent sign, and any other specifier would be replaced by something."""
    assert not re.search(r"%[^%]", word.replace("%%", "")), f"{word} has a specifier"
    assert word.count("%") % 2 == 0
    return word.replace("%%", "%")


def systemd_command(value: str) -> list[str]:
    """The program and arguments that ExecStart= starts."""
    program, *others = [without_specifiers(word) for word in systemd_words(value)]
    assert program[0] == "/", "no prefix that changes how it is run"
    for word in others:
        assert not re.search(r"\$(?!\$)", word.replace("$$", "")), f"{word} has a variable"
    return [program, *(word.replace("$$", "$") for word in others)]


def systemd_paths(value: str) -> list[str]:
    """The folders of ReadWritePaths= and RequiresMountsFor=, where backslashes only take the meaning from a quote."""
    return [without_specifiers(word) for word in systemd_words(value, escapes=False)]


def settings_of(unit: str) -> dict[str, str]:
    """The settings of a unit, by name; comments and sections are left out."""
    lines = [line for line in unit.split("\n") if line and line[0] not in "#;["]
    assert not any(line.endswith("\\") for line in lines), "no line goes on in the next"
    pairs: Sequence[tuple[str, str, str]] = [line.partition("=") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}
