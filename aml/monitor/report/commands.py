"""Finding the commands in a sentence of advice, so that they can be shown as such."""

from __future__ import annotations

import re
from collections.abc import Iterator

_GROUPS = r"(?:prune|backup|optimize|monitor|migrate|query|show|config|demo)"
_PARTS = (
    r"(?:alerts|all|auto|compress|create|detect|diff|down|drill|explain|gc|health|history|index|init|list|metrics|path|"
    r"plan|report|restore|rotate|show|undo|up|verify|warm-cache|watch)"
)
#: Options that take no value; the word after any other one belongs to it.
_FLAGS = (
    r"--(?:aggressive|all|dry-run|full|help|incremental|json|keep-extra|no-backup|no-record|packs|quick|rebuild|salvage|"
    r"skip-damaged|trust-clock|verbose|yes)\b"
)
#: A value, but for the comma, full stop or semicolon that ends it.
_VALUE = r"(?:'[^']*'|[^\s'](?:\S*[^\s,.;:)])?(?=[,.;:)]*(?:\s|$)))"
#: Atomic: a sentence quotes names from a store, and must not be read in ever more ways where it ends unlike a command.
_OPTION = rf"(?>{_FLAGS}|--[a-z][a-z-]*[ =]{_VALUE}|-[a-z]\b)"
#: What stands for itself in advice: a placeholder, or an id of a run, a backup or a record.
_WORD = r"(?:latest\b|[A-Z]{2,}\b|(?=\S*\d)[0-9A-Za-z][0-9A-Za-z.-]*[0-9A-Za-z])"
_CALL = rf"{_GROUPS}\b(?: {_PARTS}\b)?(?: (?:{_OPTION}|{_WORD}))*"
_RIGHTS = rf"(?:chmod [0-7u]\S*|chown {_VALUE}|rmdir) {_VALUE}"
#: An option by itself, and the placeholder of its value.
_ALONE = r"(?<![\w-])--[a-z][a-z-]*\b(?: [A-Z]{2,}\b)?"
_COMMAND = re.compile(rf"\b(?:aml(?:(?: {_OPTION})* {_CALL}|(?: {_OPTION})+)|{_RIGHTS})|{_ALONE}")


def parted(advice: str) -> Iterator[tuple[str, bool]]:
    """The parts of a sentence in their order, each with whether it is a command."""
    end = 0
    for match in _COMMAND.finditer(advice):
        if match.start() > end:
            yield advice[end : match.start()], False
        yield match[0], True
        end = match.end()
    if end < len(advice):
        yield advice[end:], False
