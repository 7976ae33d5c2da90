"""The log of what commands do: one JSON object for each event, for those who collect and search logs.

Loaded only where a log is wanted.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from aml import __version__
from aml.cli.log_outcomes import Level, counts, is_dry_run, outcomes, run_of
from aml.config import LogSettings
from aml.errors import AmlError, ExitStatus, UsageError
from aml.fs.log_file import LogFile
from aml.model.timestamps import to_iso
from aml.model.undecodable import encodable

_URL = re.compile(r"\b(https?://)(?:[^/\s@]*@)?([^/\s?#]*)[^\s]*")
#: A shorter value would blot out parts of words.
_SHORTEST_SECRET = 6


class LoggedError(Struct, frozen=True):
    """An error as it is in the answers of --json."""

    type: str
    message: str
    advice: str


class Event(Struct, frozen=True, omit_defaults=True):
    """One line. ``time`` is ISO 8601 UTC, ``seconds`` how long the command took; what does not apply is left out.

    ``call`` is the same in all lines of one command, ``operation`` the words of the command, ``run`` the id in the run
    journal. ``subject`` is a backup, a part of a command, or what a finding is about.
    """

    time: str
    level: Level
    event: Literal["started", "file", "backup", "finding", "part", "warning", "error", "ended"]
    operation: str
    call: str
    aml: str
    host: str
    pid: int
    store: str | None = None
    run: str | None = None
    dry_run: bool = False
    agent: str | None = None
    file: str | None = None
    subject: str | None = None
    what: str | None = None
    message: str | None = None
    counts: dict[str, int] = {}
    error: LoggedError | None = None
    status: str | None = None
    exit: int | None = None
    seconds: float | None = None


class EventLog:
    """The log of one command. ``tell`` is told once where it cannot be written; nothing else comes of that."""

    def __init__(
        self,
        file: LogFile,
        operation: str,
        store: Path | None,
        *,
        clock: Callable[[], float],
        environment: Mapping[str, str],
        tell: Callable[[AmlError], None],
    ) -> None:
        self._file: LogFile | None = file
        self._clock, self._tell = clock, tell
        self._began = time.monotonic()
        self._secrets = _secrets_in(environment)
        where = None if store is None else str(store)
        call, host = os.urandom(4).hex(), os.uname().nodename
        self._head = Event("", "info", "started", operation, call, __version__, host, os.getpid(), where)
        self._counts: dict[str, int] = {}
        self._write([self._head])

    def warning(self, message: str) -> None:
        self._write([structs.replace(self._head, level="warning", event="warning", message=message)])

    def failed(self, error: AmlError) -> None:
        found = LoggedError(type(error).__name__, self._harmless(error.message), self._harmless(error.advice))
        self._write([structs.replace(self._head, level="error", event="error", error=found)])

    def answered(self, data: Any) -> None:
        """The answer of the command: what it says of single files, and what it comes to."""
        head = self._head = structs.replace(self._head, run=run_of(data), dry_run=is_dry_run(data))
        self._counts = counts(data)
        self._write(structs.replace(head, **structs.asdict(one)) for one in outcomes(data))

    def ended(self, status: int) -> None:
        level: Level = "error"
        if status in (ExitStatus.DONE, ExitStatus.PARTIAL, ExitStatus.HEALTH_WARNING, ExitStatus.INTERRUPTED):
            level = "warning" if status else "info"
        end = structs.replace(
            self._head,
            level=level,
            event="ended",
            counts=self._counts,
            status=ExitStatus(status).name.lower(),
            exit=status,
            seconds=round(time.monotonic() - self._began, 3),
        )
        self._write([end])

    def _write(self, events: Iterable[Event]) -> None:
        if self._file is None:
            return
        now = to_iso(self._clock())
        lines = []
        for one in events:
            message = None if one.message is None else self._harmless(one.message)
            lines.append(_encoded(structs.replace(one, time=now, message=message)))
        try:
            self._file.append(lines)
        except AmlError as error:
            self._file = None
            self._tell(error)

    def _harmless(self, text: str) -> str:
        """``text`` without what may let its reader in somewhere: all of an URL but its host, and known secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _URL.sub(r"\1\2/***", text) if "://" in text else text


def begin(
    path: Path,
    settings: LogSettings,
    operation: str,
    *,
    store: Path | None,
    own_folders: Collection[Path],
    clock: Callable[[], float],
    environment: Mapping[str, str],
    tell: Callable[[AmlError], None],
    settings_file: Path | None = None,
) -> EventLog:
    """Begin the log of a command. Raises UsageError for a file in one of ``own_folders``: the store, or beside it, and
    for the settings file."""
    real = Path(os.path.realpath(path.parent), path.name)
    if settings_file is not None and real == Path(os.path.realpath(settings_file)):
        raise UsageError(f"{path} is the settings file, and cannot be the log", advice="name another file")
    for folder in own_folders:
        if real.is_relative_to(os.path.realpath(folder)):
            raise UsageError(
                f"the log {path} would lie in {folder}, which is not for logs", advice="name a file elsewhere"
            )
    file = LogFile(real, int(settings.max_mb * (1 << 20)), settings.keep)
    return EventLog(file, operation, store, clock=clock, environment=environment, tell=tell)


def _encoded(event: Event) -> bytes:
    """One line in ASCII alone, so that no character of a text ends it, or means anything to a terminal."""
    return json.dumps(encodable(msgspec.to_builtins(event)), separators=(",", ":")).encode() + b"\n"


def _secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    found = (value for name, value in environment.items() if name.startswith("AML_") and name.endswith("SECRET"))
    return tuple(value for value in found if len(value) >= _SHORTEST_SECRET)
