"""The words of a command line brought into one order, before they are parsed. Pure.

Global options may stand before or after the command, the store may be named in the older form ``aml PATH COMMAND``,
the older ``--strategies A B`` means ``--strategy A --strategy B``, and ``aml help COMMAND`` is ``aml COMMAND --help``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

_VALUED = ("--store", "--repository", "--config", "--log-json")
_FLAGS = ("--json", "-q", "--quiet", "-v", "--verbose", "--no-color")
_OLD_STRATEGIES = "--strategies"
_HELP = "help"


def arrange(words: Sequence[str], commands: Collection[str]) -> list[str]:
    """``words`` with all global options in front, then the command and what belongs to it."""
    front: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--":
            rest += words[index:]
            break
        name, equals, _ = word.partition("=")
        if word in _FLAGS or (equals and name in _VALUED):
            front.append(word)
        elif word in _VALUED:
            if index + 1 == len(words):
                return [*front, word]  # its value is missing: let the parser say so
            front += words[index : index + 2]
            index += 1
        else:
            rest.append(word)
        index += 1
    if rest and rest[0] == _HELP:
        return [*front, *rest[1:], f"--{_HELP}"]
    return front + _spell_strategies(_name_store(rest, commands))


def wants_json(words: Sequence[str]) -> bool:
    """Whether the answer, even to words that cannot be parsed, is to be JSON."""
    before = list(words[: words.index("--")]) if "--" in words else list(words)
    return "--json" in before


def value_of(arranged: Sequence[str], option: str) -> str | None:
    """What a global option that takes a value says, in words that are in order; None where it is left out."""
    found = None
    words = iter(arranged)
    for word in words:
        name, equals, value = word.partition("=")
        if name in _VALUED:
            said = value if equals else next(words, None)
            found = said if name == option else found
        elif word not in _FLAGS:
            break
    return found


def _name_store(words: list[str], commands: Collection[str]) -> list[str]:
    """``PATH COMMAND ...`` as ``--store PATH COMMAND ...``; a command word wins over a folder of that name."""
    if len(words) < 2 or words[0].startswith("-") or words[0] in commands:
        return words
    # a word with a separator can only be a path, even where the command after it is misspelt
    if words[1] in commands or "/" in words[0]:
        return ["--store", words[0], *words[1:]]
    return words


def _spell_strategies(words: list[str]) -> list[str]:
    spelt: list[str] = []
    listing = False
    for index, word in enumerate(words):
        if word == "--":
            return spelt + words[index:]
        if word.startswith("-"):
            listing = word == _OLD_STRATEGIES
            if not listing or index + 1 == len(words) or words[index + 1].startswith("-"):
                spelt.append("--strategy" if listing else word)
        elif listing:
            spelt += ["--strategy", word]
        else:
            spelt.append(word)
    return spelt
