"""Which name in a store is an agent, which file holds which records. Pure: no file is opened here."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct

from aml.errors import UsageError
from aml.model.kinds import Kind

#: The folder of what all agents share.
GLOBAL = "global"

#: The folder in which older scripts keep settings, and what schema version they made.
CONFIG = "config"

#: Top-level names that the runtime, older scripts or AML use for something else than an agent.
_COPIES = frozenset({"backup", "backups"})
_RESERVED = _COPIES | {GLOBAL, CONFIG, "audit", "monitoring"}
_RESERVED_PREFIXES = (".", "backup-")

#: What ends the name of a file's compressed form, which older scripts made, and of a write that did not end.
PACKED, UNFINISHED = ".gz", ".tmp"
_OTHER_FORMS = (PACKED, UNFINISHED)


class RecordFile(Struct, frozen=True):
    """One agent's file of one kind of records, whether it exists or not."""

    agent: str
    kind: str
    path: Path

    @property
    def path_in_store(self) -> str:
        """The file's path in the store, as the journal names it."""
        return f"{self.agent}/{self.path.name}"


def is_agent_name(name: str) -> bool:
    """Whether a real folder of that name at a store's top level belongs to an agent."""
    return bool(name) and name not in _RESERVED and not name.startswith(_RESERVED_PREFIXES)


def is_file_of_folder(path: str) -> bool:
    """Whether that is the path, inside a store, of a file in an agent's own folder or in the one all agents share."""
    folder, _, name = path.partition("/")
    own = is_agent_name(folder) or folder == GLOBAL
    return own and bool(name) and "/" not in name and "\0" not in path and name not in (".", "..")


def is_copy(name: str) -> bool:
    """Whether a folder of that name at a store's top level holds copies that the agents' runtime makes for itself."""
    return name in _COPIES or name.startswith("backup-")


def is_text(name: str) -> bool:
    """Whether a name is text in this locale: the system gives bytes that are none as lone surrogates."""
    return name.isascii() or not any("\ud800" <= one <= "\udfff" for one in name)


def agent_of(path: str, *, is_folder: bool = False) -> str | None:
    """The agent whose folder a path inside the store is, or lies in; None where it belongs to no agent."""
    top, slash, _ = path.partition("/")
    if not (slash or is_folder) or not is_agent_name(top):
        return None
    try:
        # by its bytes: in a locale that has no such text, the agent is the same one
        return top if top.isascii() else os.fsencode(top).decode()
    except UnicodeDecodeError:
        return None


def record_file(root: Path, agent: str, kind: Kind) -> RecordFile:
    """The file of an agent's records. Raises UsageError for a name that could lead out of the store."""
    if not is_agent_name(agent) or "/" in agent or "\0" in agent:
        raise UsageError(f"{agent!r} cannot be the name of an agent", advice="an agent is one folder inside the store")
    return RecordFile(agent, kind.plural, root / agent / kind.file_name)


def locked_file(root: Path, path: str) -> RecordFile:
    """The file whose lock protects the one at ``path`` in a store: itself, or the one that it is another form of."""
    folder, _, name = path.partition("/")
    for ending in _OTHER_FORMS:
        name = name.removesuffix(ending)
    return RecordFile(folder, Path(name).stem, root / folder / name)


def choose(wanted: tuple[str, ...], known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The names in ``wanted`` in the order of ``known``, or all of ``known`` where none is wanted.

    Raises UsageError for a name that is not known: a misspelt filter must never widen what a command touches.
    """
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            valid = ", ".join(known) if known else "there are none in this store"
            raise UsageError(f"unknown {what} {name!r}", advice=f"{guess}known: {valid}")
    return tuple(name for name in known if name in wanted) if wanted else known
