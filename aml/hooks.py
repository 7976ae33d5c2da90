"""Hooks: commands of the user's that run before an operation, and after it by how it ended.

A hook is a program and its arguments. No shell reads them, standard input is empty, and the hook has a session of its
own. What it writes is shown only where it fails, with the command itself: secrets belong in a file, not in arguments.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from aml.errors import AmlError, ExitStatus, HookError
from aml.model.printable import printable

if TYPE_CHECKING:
    from subprocess import Popen

Moment = Literal["before", "success", "partial", "failure"]

_PREFIX = b"AML_HOOK_"
_MOMENTS: dict[ExitStatus, Moment] = {ExitStatus.DONE: "success", ExitStatus.PARTIAL: "partial"}

#: Whoever interrupts a run waits for its end, and may soon kill it.
_INTERRUPTED_SECONDS = 30.0
#: How long a killed process may take to die: one in a system call that never returns, or of another user, does not.
_DEATH_SECONDS = 5.0
_LOOK_SECONDS = 0.25

_TAIL_BYTES = 1 << 16
_FILE_BYTES = 1 << 24
_LINES = 5
_LINE_CHARACTERS = 300

#: SIGINT last: where Python's own handlers are in place it is the one that raises, and by then the others are restored.
_INTERRUPTS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

_HINTS = {
    errno.ENOENT: "there is no such program, or the interpreter that the script names is missing",
    errno.EACCES: "it must be a file with the right to execute: chmod +x",
    errno.ENOEXEC: "the first line of a script must name its interpreter, such as #!/bin/sh",
}


class Hooks(Struct, frozen=True):
    """The commands of one operation, each a program and its arguments; empty means none. ``timeout`` in seconds."""

    before: tuple[str, ...] = ()
    success: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    timeout: float = 600.0


class Told(Struct):
    """What the operation has to tell the hooks after it: ``ids`` and ``counts`` by name, and how it ended."""

    ids: dict[str, str] = {}
    counts: dict[str, int] = {}
    status: ExitStatus | None = None


@contextmanager
def hooked(
    hooks: Hooks, operation: str, *, store: Path, repository: Path, warn: Callable[[str], None]
) -> Iterator[Told]:
    """Run the operation inside between its hooks; it fills in what is yielded, at least the status.

    Raises HookError where the command before fails, and then nothing inside is run. The failure hook runs for that too,
    for any exception, and for any status but DONE and PARTIAL. A failing hook after the operation is only warned of.
    """
    if os.environ.get(f"{os.fsdecode(_PREFIX)}OPERATION"):
        # a hook that runs AML would start itself, and so on
        hooks = Hooks()
    scene = _Scene(hooks, operation, store, repository, warn)
    told = Told()
    try:
        scene.before(told)
        yield told
    except BaseException as error:
        scene.after("failure", told, _status_of(error))
        raise
    status = ExitStatus.FAILED if told.status is None else told.status
    scene.after(_MOMENTS.get(status, "failure"), told, status)


def _status_of(error: BaseException) -> ExitStatus:
    if isinstance(error, AmlError):
        return error.status
    return ExitStatus.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitStatus.FAILED


class _Scene(Struct, frozen=True):
    """Whose hooks they are, and what all of them are told."""

    hooks: Hooks
    operation: str
    store: Path
    repository: Path
    warn: Callable[[str], None]

    def before(self, told: Told) -> None:
        """Raises HookError."""
        failure = self._run("before", self.hooks.before, told, None, self.hooks.timeout)
        if failure:
            raise HookError(
                f"{failure}; nothing was changed",
                advice="mend the hook, or take it out of the settings, and run the same command again",
            )

    def after(self, moment: Moment, told: Told, status: ExitStatus) -> None:
        interrupted = status == ExitStatus.INTERRUPTED
        timeout = min(self.hooks.timeout, _INTERRUPTED_SECONDS) if interrupted else self.hooks.timeout
        command: tuple[str, ...] = getattr(self.hooks, moment)
        failure = self._run(moment, command, told, status, timeout)
        if failure:
            self.warn(f"{failure}; the outcome of {self.operation} stays as it is")

    def _run(
        self, moment: Moment, command: tuple[str, ...], told: Told, status: ExitStatus | None, timeout: float
    ) -> str:
        """Run a hook to its end; returns what went wrong, nothing where all is well or there is no such hook."""
        if not command:
            return ""
        failure = _failure_of(command, lambda: self._environment(moment, told, status), timeout)
        return f"the {moment} hook of {self.operation}, {_shown_command(command)}, {failure}" if failure else ""

    def _environment(self, moment: Moment, told: Told, status: ExitStatus | None) -> dict[bytes, bytes]:
        values = {
            "OPERATION": self.operation,
            "MOMENT": moment,
            "STATUS": "" if status is None else str(int(status)),
            "STORE": str(self.store.absolute()),
            "REPOSITORY": str(self.repository.absolute()),
            **{f"ID_{name}": value for name, value in told.ids.items()},
            **{f"COUNT_{name}": str(number) for name, number in told.counts.items()},
        }
        # a hook may start AML again: what its own hooks are not told must not look as if they were
        ours = {name: value for name, value in os.environb.items() if not name.startswith(_PREFIX)}
        return ours | {_PREFIX + _variable(name): _octets(value) for name, value in values.items()}


def _variable(name: str) -> bytes:
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in name).upper().encode()


def _octets(text: str) -> bytes:
    """``text`` as a variable can hold it: the bytes of a path as they are, what has no bytes escaped."""
    try:
        octets = os.fsencode(text)
    except UnicodeEncodeError:
        octets = text.encode(errors="backslashreplace")
    return octets.replace(b"\0", b"\\x00")


def _failure_of(command: tuple[str, ...], environment: Callable[[], dict[bytes, bytes]], timeout: float) -> str:
    """Run a command, for ``timeout`` seconds at most; returns how it failed, nothing where it did not."""
    process: Popen[bytes] | None = None
    try:
        with _Output() as output:
            try:
                with _interrupts_kept_back():
                    process = _start(command, environment(), output)
                in_time = _wait(process, output, timeout)
            finally:
                # whatever broke in: nobody will wait for it any more
                dead = process is None or process.returncode is not None or _kill(process)
            if in_time and process.returncode == 0:
                return ""
            ending = _ending(process.returncode) if in_time else _overrun(timeout, dead=dead)
            said = _last_lines(output.tail())
            return f"{ending}; its output ends: {said}" if said else f"{ending}, without a word"
    except (OSError, ValueError) as error:
        return f"could not be {'watched' if process else 'started'}: {_reason(error, command[0])}"


class _Output:
    """What a hook writes, in a file without a name: a pipe might fill up, or be held open by what the hook leaves."""

    def __init__(self) -> None:
        import fcntl
        import tempfile

        self._earlier = b""
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by __exit__)
        # the end may move to the front: by trim, or by a script that opens /dev/stderr anew
        flags = fcntl.fcntl(self.fileno(), fcntl.F_GETFL)
        fcntl.fcntl(self.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    def tail(self) -> bytes:
        """The last bytes written, up to _TAIL_BYTES."""
        start = max(0, os.fstat(self.fileno()).st_size - _TAIL_BYTES)
        return (self._earlier + os.pread(self.fileno(), _TAIL_BYTES, start))[-_TAIL_BYTES:]

    def trim(self) -> None:
        """Throw away all but the tail where a chatty hook would fill the disk."""
        if os.fstat(self.fileno()).st_size > _FILE_BYTES:
            self._earlier = self.tail()
            os.ftruncate(self.fileno(), 0)


@contextmanager
def _interrupts_kept_back() -> Iterator[None]:
    """An interrupt that comes while a process is being started comes after it: there would be no one to kill it.

    An ignored signal stays ignored in a process that is started; inside, none is, and the process gets the defaults.
    """
    from threading import current_thread, main_thread

    if current_thread() is not main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            # None: a handler that Python did not install and cannot put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received in came:
            signal.raise_signal(received)


def _start(command: tuple[str, ...], environment: dict[bytes, bytes], output: _Output) -> Popen[bytes]:
    """Start a command as the leader of a session of its own. Raises OSError, ValueError."""
    from subprocess import DEVNULL, STDOUT, Popen

    return Popen(  # noqa: S603  (what the user's settings say is to be run)
        command,
        stdin=DEVNULL,
        stdout=output.fileno(),
        stderr=STDOUT,
        env=environment,
        close_fds=True,
        start_new_session=True,
    )


def _wait(process: Popen[bytes], output: _Output, timeout: float) -> bool:
    """Whether the process ends within ``timeout`` seconds. What it leaves in the background is not waited for."""
    from subprocess import TimeoutExpired

    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            process.wait(max(0.0, min(left, _LOOK_SECONDS)))
            return True
        except TimeoutExpired:
            output.trim()
            if left <= _LOOK_SECONDS:
                return False


def _kill(process: Popen[bytes]) -> bool:
    """Kill a process that has not been waited for, with its group; whether it is dead."""
    from subprocess import TimeoutExpired

    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_DEATH_SECONDS)
        return True
    except TimeoutExpired:
        return False


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        name = f" ({signal.Signals(-returncode).name})"
    except ValueError:
        name = ""
    return f"was killed by signal {-returncode}{name}"


def _overrun(timeout: float, *, dead: bool) -> str:
    return f"took more than {timeout:g} s and {'was' if dead else 'could not be'} killed"


def _reason(error: OSError | ValueError, program: str) -> str:
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or str(error)
    about = _HINTS.get(error.errno or 0) if error.filename == program else error.filename
    return f"{reason} ({about})" if about else reason


def _last_lines(output: bytes) -> str:
    """The last lines that say something, on one line and safe to print."""
    lines = [line.strip() for line in output.decode(errors="backslashreplace").splitlines()]
    return " | ".join(_shown(line) for line in [line for line in lines if line][-_LINES:])


def _shown_command(command: tuple[str, ...]) -> str:
    import shlex

    return _shown(shlex.join(command))


def _shown(text: str) -> str:
    """``text`` safe to show, and not too long."""
    return printable(text if len(text) <= _LINE_CHARACTERS else f"{text[:_LINE_CHARACTERS]} ...")
