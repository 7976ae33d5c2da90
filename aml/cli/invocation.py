"""One call of the command line: its streams, its global options, and the answer in text or JSON."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from io import StringIO
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import typer

from aml.cli.text import encoded_json, escaped_json, printable
from aml.config import Effective, Settings, load_settings
from aml.errors import AmlError, ExitStatus, StoreNotFoundError
from aml.store.open import DEFAULT_STORE, Store, find_store, open_store, settings_file_for

if TYPE_CHECKING:
    from aml.cli.event_log import EventLog
    from aml.workflows.conditions import Conditions

#: How long an interrupt may wait while a question is open.
_GLANCE_SECONDS = 0.1

#: Version of the JSON answers: raised when a field changes its meaning or goes.
JSON_SCHEMA = 1


class Streams(msgspec.Struct, frozen=True):
    """Where a call reads and writes; a test gives its own."""

    out: TextIO
    err: TextIO
    stdin: TextIO


class Invocation:
    """What every command gets: streams, clock and environment from outside, options from the command line."""

    def __init__(
        self,
        streams: Streams,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        folder: Path,
        rerun: Callable[[Sequence[str], Streams, Mapping[str, str]], int],
    ) -> None:
        self._rerun = rerun
        self.out, self.err, self.stdin = streams.out, streams.err, streams.stdin
        self.environment = environment
        self.clock = clock
        self.now = clock()
        self.folder = folder
        self.command = ""
        self.store_option: str | None = None
        self.repository_option: str | None = None
        self.named_repository: str | None = None
        self.config_option: str | None = None
        self.log_option: str | None = None
        self.json = False
        self.quiet = False
        self.verbose = False
        self.no_color = False
        self.warnings: list[str] = []
        self._log: EventLog | None = None
        self._log_is_sought = False
        self._has_answered = False

    @property
    def color(self) -> bool:
        return not self.no_color and not self.environment.get("NO_COLOR") and self.environment.get("TERM") != "dumb"

    @property
    def is_narrow(self) -> bool:
        """Whether standard output cannot encode every text, so that JSON must be escaped as JSON does it."""
        return (getattr(self.out, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"

    @property
    def is_interactive(self) -> bool:
        """Whether somebody is there to answer a question."""
        return self.stdin.isatty() and self.err.isatty() and not self.json

    def store_path(self) -> Path:
        """Where the store should be: flag, then AML_STORE, then upwards. Raises StoreNotFoundError."""
        named = self.store_option or self.environment.get("AML_STORE")
        return self.folder / named if named else find_store(self.folder)

    def open_store(self) -> Store:
        path = self.store_path()
        try:
            return open_store(path, max_unpacked_bytes=self.settings.store.max_unpacked_mb << 20)
        except StoreNotFoundError as error:
            if self.store_option or not self.environment.get("AML_STORE"):
                raise
            raise StoreNotFoundError(f"{error.message} (AML_STORE names that path)", advice=error.advice) from error

    @property
    def user_cache(self) -> Path | None:
        """Where the user keeps what programs can make again; None where the environment does not say."""
        named = self.environment.get("XDG_CACHE_HOME", "")
        home = self.environment.get("HOME", "")
        # a relative path there is to be ignored, says the specification of these variables
        return Path(named) if named.startswith("/") else Path(home, ".cache") if home.startswith("/") else None

    @property
    def webhook_secret(self) -> str | None:
        """What signs messages to the webhook. It is no setting, so that no list of settings can show it."""
        return self.environment.get("AML_WEBHOOK_SECRET")

    def open_place(self) -> Store:
        """The store, or where it was: backups can be looked at and restored when the store itself is gone."""
        try:
            return self.open_store()
        except StoreNotFoundError:
            store = Store(Path(os.path.realpath(self._lost_store_path())), self.settings.store.max_unpacked_mb << 20)
            if os.path.lexists(store.root) or not (store.keep.is_dir() or self.repository_option):
                raise
            return store

    def look_into(self, store: Store) -> Conditions:
        """The same as ``conditions``, for a command that only reads: it tells what a crash has left half-done."""
        from aml.workflows.notes import unfinished_notes

        for told in unfinished_notes(store):
            self.warn(told)
        return self.conditions(store)

    def _lost_store_path(self) -> Path:
        """Where a store should be: as named, or beside the nearest repository upwards. Raises StoreNotFoundError."""
        named = self.store_option or self.environment.get("AML_STORE")
        if named:
            return self.folder / named
        for folder in (self.folder, *self.folder.parents):
            if Store(folder / DEFAULT_STORE).keep.is_dir():
                return folder / DEFAULT_STORE
        return find_store(self.folder)

    def conditions(self, store: Store, *, lock_timeout: float | None = None, trust_clock: bool = False) -> Conditions:
        """What a run on that store finds given: settings, and what the command line says beside them."""
        # only commands that work on records need all that these need
        from aml.fs.arenas import share_one_arena
        from aml.workflows.conditions import Conditions

        share_one_arena()
        settings = self.settings
        repository = self._repository(store.root, settings)
        return Conditions.of(settings, lock_timeout=lock_timeout, trust_clock=trust_clock, repository=repository)

    def _repository(self, root: Path, settings: Settings) -> Path | None:
        """The repository of the store at ``root`` where the command line or the settings name one."""
        if self.repository_option:
            return self.folder / self.repository_option
        return root.parent / settings.backup.repository if settings.backup.repository else None

    def spell(self, *words: str) -> str:
        """A command line that means this store, to be typed as it is."""
        store = ["--store", self.store_option] if self.store_option else []
        repository = ["--repository", self.named_repository] if self.named_repository else []
        # a settings file may name the repository; what is said of settings files names its own
        config = ["--config", self.config_option] if self.config_option and words[:1] != ("config",) else []
        return shlex.join(["aml", *store, *repository, *config, *words])

    def to_be_typed(self, advice: str) -> str:
        """``advice`` with the commands in it as they have to be typed to mean this very store."""
        if not (self.store_option or self.named_repository or self.config_option):
            return advice
        from aml.monitor.report.commands import parted  # only what went wrong needs it

        return "".join(self.spelled(words) if is_command else words for words, is_command in parted(advice))

    def spelled(self, command: str) -> str:
        """A command of AML's with the options that this call was given to find the store; any other as it is."""
        words = command.removeprefix("aml ")
        if words == command or words.startswith(("--", "demo")) or words.endswith("--help"):
            return command
        group, space, rest = words.partition(" ")
        return f"{self.spell(group)}{space}{rest}"

    def settings_path(self) -> Path | None:
        """The settings file in effect, whether it exists or not; None where there is no store to belong to."""
        named = self.config_option or self.environment.get("AML_CONFIG")
        if named:
            return self.folder / named
        try:
            return settings_file_for(Path(self.store_path()).resolve())
        except StoreNotFoundError:
            return None

    @cached_property
    def effective(self) -> Effective:
        named = bool(self.config_option or self.environment.get("AML_CONFIG"))
        return load_settings(self.settings_path(), self.environment, required=named)

    @property
    def settings(self) -> Settings:
        return self.effective.settings

    def run_other(self, words: Sequence[str], environment: Mapping[str, str], *, show: bool) -> int:
        """Run another command line in this one's surroundings, with that environment; returns its exit status."""
        streams = Streams(self.out, self.err, self.stdin) if show else Streams(StringIO(), StringIO(), self.stdin)
        return self._rerun(words, streams, environment)

    @classmethod
    def of(cls, ctx: Any) -> Invocation:
        """The invocation that a command runs in; from now on its answers name the whole command."""
        invocation: Invocation = ctx.find_root().obj
        invocation.command = command_of(ctx)
        invocation._begin_log()
        return invocation

    def _begin_log(self) -> None:
        """Begin the log that is asked for, if any. Raises UsageError where it would lie in a folder that is not for it.

        Settings that cannot be read are told by the command itself, if it needs them.
        """
        if self._log_is_sought:
            return
        self._log_is_sought = True
        root: Path | None = None
        settings = Settings()
        with suppress(AmlError):
            root = Path(os.path.realpath(self.store_path()))
        with suppress(AmlError):
            settings = self.settings
        named = self.log_option or settings.log.file
        if not named:
            return
        from aml.cli.event_log import begin

        beside = self.folder if self.log_option or root is None else root.parent
        self._log = begin(
            beside / named,
            settings.log,
            self.command,
            store=root,
            own_folders=[] if root is None else self._own_folders(root, settings),
            clock=self.clock,
            environment=self.environment,
            tell=self._tell_of_log,
            settings_file=self.settings_path(),
        )

    def _own_folders(self, root: Path, settings: Settings) -> list[Path]:
        """Where agents and AML keep their files, and nobody else."""
        store = Store(root)
        repository = self._repository(root, settings)
        return [store.root, store.state, store.keep, *([repository] if repository else [])]

    def _tell_of_log(self, error: AmlError) -> None:
        told = f"no log of this command: {error}"
        if self._has_answered:
            self.note(told)
        else:
            self.warn(told)

    def end_log(self, status: int) -> None:
        """Write the last line of the log, if there is one; no answer comes after it."""
        if self._log is not None:
            self._has_answered = True
            self._log.ended(status)

    def confirm(self, question: str) -> bool:
        """Ask on the terminal until the answer is yes or no (or nothing). Raises typer.Abort where the input ends."""
        while True:
            self.err.write(f"{question} [y/N]: ")
            self.err.flush()
            try:
                # woken now and then: an interrupt just before a read blocks would otherwise wait for the answer
                while not select([self.stdin], [], [], _GLANCE_SECONDS)[0]:
                    continue
                answer = self.stdin.readline()
            except KeyboardInterrupt:
                answer = ""
            if not answer:
                self.err.write("\n")
                raise typer.Abort
            if answer.strip().lower() in ("y", "yes"):
                return True
            if answer.strip().lower() in ("", "n", "no"):
                return False
            self.err.write("please answer y or n\n")

    def warn(self, *messages: str) -> None:
        """Notes that must be seen but are not the answer: standard error, and ``warnings`` in JSON."""
        for message in messages:
            self._keep_warning(message)
            if not self.json:
                self.note(message)

    def remind(self, message: str, advice: str) -> None:
        """A warning that nobody needs who knows: on standard error ``--quiet`` silences it."""
        self._keep_warning(f"{message}; {advice}")
        if not (self.quiet or self.json):
            self.note(message, advice)

    def _keep_warning(self, message: str) -> None:
        self.warnings.append(message)
        if self._log is not None:
            self._log.warning(message)

    def note(self, *lines: str) -> None:
        """What happened, and lines of advice, for a person on standard error; what they quote from a store is made
        harmless to a terminal."""
        # a log that is full must not change what the command does, nor its exit status
        with suppress(OSError):
            for number, line in enumerate(lines):
                # the first may quote commands that were given by somebody else
                shown = f"     {printable(self.to_be_typed(line))}" if number else f"aml: {printable(line)}"
                self.err.write(f"{shown}\n")
            self.err.flush()

    def answer(self, data: Any, status: ExitStatus, write_text: Callable[[], None]) -> int:
        """Give the answer of a command, in JSON or by ``write_text``, and return its exit status."""
        if self._log is not None:
            self._log.answered(data)
        if self.json:
            self._write_json(data, status, [])
        else:
            write_text()
        return int(status)

    def fail(self, error: AmlError) -> int:
        """Explain an error, in JSON or on standard error, and return its exit status."""
        # wrong words may come before any command does, or be no path at all
        with suppress(AmlError, OSError, UnicodeEncodeError):
            self._begin_log()
        if self._log is not None:
            self._log.failed(error)
        if self.json:
            found = {"type": type(error).__name__, "message": error.message, "advice": error.advice}
            self._write_json(None, error.status, [found])
        else:
            self.note(error.message, *([error.advice] if error.advice else []))
        return int(error.status)

    def _write_json(self, data: Any, status: ExitStatus, errors: Sequence[dict[str, str]]) -> None:
        envelope = {
            "schema": JSON_SCHEMA,
            "command": self.command,
            "status": status.name.lower(),
            "exit": int(status),
            "data": data,
            "warnings": self.warnings,
            "errors": errors,
        }
        try:
            formatted = msgspec.json.format(encoded_json(envelope), indent=2)
        except RecursionError:
            # of what nests as deep as can be read, each level that called us counts
            from aml.fs.parallel import on_own_stack

            formatted = on_own_stack(lambda: msgspec.json.format(encoded_json(envelope), indent=2))
        if self.is_narrow or self.out.isatty():
            formatted = escaped_json(formatted, only_ascii=self.is_narrow)
        self.out.write(formatted + "\n")


def command_of(ctx: Any) -> str:
    """The words of the command that is run, such as ``prune undo``."""
    path: str = ctx.command_path
    return path.removeprefix("aml ").strip()
