"""Runs one AML command line in this process, with a fault at the n-th call that changes files below one folder.

    python tests/fault/inject.py --folder PROJECT --fault kill-before --at 7 -- prune --yes
    python tests/fault/inject.py --folder PROJECT --count-file CALLS -- prune --yes     (no fault: list the calls)

Every function of ``os`` that changes a file is replaced by one that counts; AML itself knows nothing of it. Calls
on paths outside the folder (byte code, temporary files of the interpreter) pass through and do not count. So is syncfs
of the C library, which ``os`` does not have. What else C code writes without ``os``, such as SQLite, is out of reach.
"""

from __future__ import annotations

import argparse
import builtins
import ctypes
import errno
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any


class Fault(StrEnum):
    """What happens at the n-th call. Those that say "on" go on happening at every later call that they fit."""

    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    POWER_CUT = "power-cut"
    """Everything that was not synced is gone (see power.py)."""
    POWER_CUT_REORDERED = "power-cut-reordered"
    """The same, but that the folder that changed last got to the disk before all that came earlier."""
    TERMINATE = "sigterm"
    SHORT_WRITE = "short-write"
    """The kernel takes only a part, as it may when a signal arrives or the disk is nearly full: no error."""
    NO_SPACE = "enospc"
    FULL_DISK_ON = "full-disk-on"
    """A write gets a part of its data on disk; from then on, everything that needs space fails."""
    IO_ERROR = "eio"
    IO_ERROR_LATE = "eio-late"
    """The call does its work and reports an error all the same."""
    IO_ERROR_ON = "eio-on"
    DENIED = "eacces"
    READ_ONLY_ON = "read-only-on"
    """The kernel mounts a failing disk read-only: nothing can be changed from then on."""
    INTERRUPTED = "eintr"
    """A call that some file systems let signals break off, and that the interpreter does not try again by itself."""


_ERRNO = {
    Fault.NO_SPACE: errno.ENOSPC,
    Fault.FULL_DISK_ON: errno.ENOSPC,
    Fault.IO_ERROR: errno.EIO,
    Fault.IO_ERROR_LATE: errno.EIO,
    Fault.IO_ERROR_ON: errno.EIO,
    Fault.DENIED: errno.EACCES,
    Fault.READ_ONLY_ON: errno.EROFS,
    Fault.INTERRUPTED: errno.EINTR,
}
_POWER_CUTS = {Fault.POWER_CUT, Fault.POWER_CUT_REORDERED}
_LASTING = {Fault.FULL_DISK_ON, Fault.IO_ERROR_ON, Fault.READ_ONLY_ON}

_WRITES = {"write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range"}
#: Calls whose first argument is a descriptor.
_ON_DESCRIPTOR = _WRITES - {"copy_file_range"} | {
    "fsync",
    "fdatasync",
    "ftruncate",
    "fchmod",
    "fchown",
    "posix_fallocate",
}
#: Calls whose first argument is a path, or for some of them a descriptor.
_ON_PATH = {"mkdir", "rmdir", "unlink", "remove", "chmod", "lchmod", "chown", "lchown", "truncate", "utime"}
_ON_PATH |= {"setxattr", "removexattr", "mknod", "mkfifo"}
_ON_TWO = {"rename", "replace", "link"}
_ON_SECOND = {"symlink", "copy_file_range"}
_COUNTED = _ON_DESCRIPTOR | _ON_PATH | _ON_TWO | _ON_SECOND

_NEEDS_SPACE = _WRITES | {"create", "mkdir", "link", "symlink", "setxattr", "mknod", "mkfifo", "posix_fallocate"}
_NEEDS_RIGHTS = _ON_PATH | _ON_TWO | {"symlink", "create", "open"}


def fits(fault: Fault, name: str) -> bool:
    """Whether the system can answer the call ``name`` in that way."""
    if fault in (Fault.NO_SPACE, Fault.FULL_DISK_ON):
        return name in _NEEDS_SPACE
    if fault is Fault.DENIED:
        return name in _NEEDS_RIGHTS
    if fault is Fault.SHORT_WRITE:
        return name in ("write", "pwrite")
    if fault is Fault.INTERRUPTED:
        return name in _ON_PATH | _ON_TWO | {"symlink"}
    if fault is Fault.READ_ONLY_ON:
        return name not in ("fsync", "fdatasync", "syncfs")
    if fault is Fault.IO_ERROR_LATE:
        return name in _ON_TWO | {"mkdir", "rmdir", "unlink", "remove", "fsync", "syncfs", "symlink"}
    return True


class Injector:
    """Counts the calls that change files below ``folder``, and lets the ``at``-th one (from 1) meet its ``fault``.

    With ``only``, such as "rename a/b", the fault counts just calls of that name on paths that begin so.
    """

    def __init__(self, folder: Path, fault: Fault | None = None, at: int = 0, only: str = "") -> None:
        self._calls: list[tuple[str, str]] = []
        self._parents: dict[str, str] = {}
        self._folder = os.path.realpath(folder)
        self._fault = fault
        self._at = at
        self._only = only
        self._matching = 0
        self._paths: dict[int, str] = {}
        self._real: dict[str, Callable[..., Any]] = {}
        self._disk: Any = None
        self._turn = threading.RLock()
        self._happened = self._wrote_half = False

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Names and paths (below the folder) of all calls so far."""
        return [(name, os.path.relpath(path, self._folder)) for name, path in self._calls]

    def install(self) -> None:
        """Replace the functions for the rest of this process."""
        from tests.support.disk import Library

        self._real = {name: getattr(os, name) for name in (*_COUNTED, "open", "close") if hasattr(os, name)}
        stand_ins = {name: self._counting(name) for name in self._real.keys() & _COUNTED}
        stand_ins |= {"open": self._open, "close": self._close}
        # killing a process loses nothing that it wrote, so the tests need not wait for the disk
        self._real["fsync"] = self._real["fdatasync"] = lambda descriptor: None
        for name, stand_in in stand_ins.items():
            setattr(os, name, stand_in)
            for abilities in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                if self._real[name] in abilities:
                    abilities.add(stand_in)
        if self._fault in _POWER_CUTS:
            from tests.fault.power import Disk

            self._disk = Disk(self._folder, self._real)
        real_open = builtins.open
        builtins.open = io.open = self._opening(real_open)  # type: ignore[assignment]
        real_library = ctypes.CDLL
        ctypes.CDLL = lambda *args, **keywords: Library(real_library(*args, **keywords), self._syncfs)  # type: ignore[assignment,misc]

    def _counting(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            path = self._inside(name, args, keywords)
            if path is None:
                return self._real[name](*args, **keywords)
            return self._meet(name, path, lambda: self._real[name](*args, **keywords), args)

        return call

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = self._place(path, dir_fd)
        if place is None:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        creates = flags & os.O_CREAT and not os.path.lexists(place)
        changes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)

        def call() -> int:
            descriptor = int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
            self._paths[descriptor] = place
            return descriptor

        return int(self._meet("create" if creates else "open", place, call, (path,))) if changes else call()

    def _close(self, descriptor: int) -> None:
        self._paths.pop(descriptor, None)
        self._real["close"](descriptor)

    def _syncfs(self, descriptor: int) -> int:
        """As the C library has it: the number of an error is to be asked for. Nothing needs to wait for the disk."""
        path = self._place(descriptor, None)
        try:
            if path is not None:
                self._meet("syncfs", path, lambda: None, (descriptor,))
        except OSError as error:
            ctypes.set_errno(error.errno or errno.EIO)
            return -1
        return 0

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """``open`` for writing goes through the counting ``os.open`` and ``os.write``."""

        def opening(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            if not set(mode) & set("wax+") or self._place(file, None) is None:
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = _CountingFile(
                file,
                mode.replace("b", "").replace("t", ""),
                closefd=closefd,
                opener=opener or (lambda path, flags: os.open(path, flags, 0o666)),
            )
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)  # type: ignore[type-var]
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        return opening

    def _inside(self, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> str | None:
        """The path that counts, or None for a call on something else."""
        if name in _ON_TWO:
            source = self._place(args[0], keywords.get("src_dir_fd"))
            return self._place(args[1], keywords.get("dst_dir_fd")) or source
        return self._place(args[1 if name in _ON_SECOND else 0], keywords.get("dir_fd"))

    def _place(self, path: Any, folder: int | None) -> str | None:
        if isinstance(path, int):
            return self._paths.get(path)
        base = self._paths.get(folder, "/") if folder is not None else ""
        full = os.path.abspath(os.path.join(base, os.fsdecode(path)))
        parent, name = os.path.split(full)
        if parent not in self._parents:
            self._parents[parent] = os.path.realpath(parent)
        real = os.path.join(self._parents[parent], name)
        return real if real.startswith(self._folder + os.sep) or real == self._folder else None

    def _meet(self, name: str, path: str, call: Callable[[], Any], args: Sequence[Any]) -> Any:
        with self._turn:
            self._calls.append((name, path))
            fault = self._fault
            if fault is None or not self._is_due(fault, name, path):
                return call() if self._disk is None else self._disk.perform(name, path, args, call)
            self._happened = True
            return self._happen(fault, name, args, call)

    def _is_due(self, fault: Fault, name: str, path: str) -> bool:
        """Whether this call meets the fault: where threads take turns otherwise than before, the next one that fits."""
        if not f"{name} {os.path.relpath(path, self._folder)}".startswith(self._only):
            return False
        self._matching += 1
        if self._happened and fault not in _LASTING:
            return False
        return self._matching >= self._at and fits(fault, name)

    def _happen(self, fault: Fault, name: str, args: Sequence[Any], call: Callable[[], Any]) -> Any:
        if fault in _ERRNO:
            return self._fail(fault, name, args, call)
        if fault is Fault.SHORT_WRITE:
            return self._write_half(name, args)
        if fault is Fault.KILL_AFTER:
            with suppress(OSError):
                call()
        elif self._disk is not None:
            self._disk.cut(reordered=fault is Fault.POWER_CUT_REORDERED)
        os.kill(os.getpid(), signal.SIGTERM if fault is Fault.TERMINATE else signal.SIGKILL)
        return call()

    def _fail(self, fault: Fault, name: str, args: Sequence[Any], call: Callable[[], Any]) -> Any:
        if fault is Fault.IO_ERROR_LATE:
            call()
        if fault is Fault.FULL_DISK_ON and not self._wrote_half and name in ("write", "pwrite") and len(args[1]) > 1:
            return self._write_half(name, args)
        raise _error(_ERRNO[fault], name, args)

    def _write_half(self, name: str, args: Sequence[Any]) -> Any:
        self._wrote_half = True
        return self._real[name](args[0], memoryview(args[1])[: (len(args[1]) + 1) // 2], *args[2:])


class _CountingFile(io.FileIO):
    def write(self, data: Any) -> int:
        return os.write(self.fileno(), bytes(data))

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        os.ftruncate(self.fileno(), length)
        return length


def _error(number: int, name: str, args: Sequence[Any]) -> OSError:
    """The error as the interpreter raises it: with the path where the call has one, without for a descriptor."""
    if isinstance(args[0], int):
        return OSError(number, os.strerror(number))
    if name in _ON_TWO:
        return OSError(number, os.strerror(number), args[0], None, args[1])
    return OSError(number, os.strerror(number), args[0])


def run_aml(words: Sequence[str], *, now: float | None = None) -> int:
    """AML's own entry point with that command line, by a clock that goes on from ``now`` (seconds since 1970 UTC)."""
    from aml.__main__ import main

    if now is not None:
        set_clock(now)
    sys.argv = ["aml", *words]
    return main()


def set_clock(now: float) -> None:
    """Make the clock of this process go on from ``now``."""
    real, real_ns = time.time, time.time_ns
    ahead_ns = int((now - real()) * 1e9)
    time.time = lambda: real() + ahead_ns / 1e9
    time.time_ns = lambda: real_ns() + ahead_ns


def run_injected(injector: Injector, words: Sequence[str], now: float | None, calls: str | None) -> int:
    injector.install()
    try:
        return run_aml(words, now=now)
    finally:
        if calls:
            Path(calls).write_text(json.dumps(injector.calls), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run one AML command line with a fault at the n-th call.")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="only calls on paths below it count")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), help="what happens")
    parser.add_argument("--at", type=int, default=1, help="at which call, from 1")
    parser.add_argument("--only", default="", help='count just calls that begin so, such as "rename a/b"')
    parser.add_argument("--count-file", help="where to write the calls that counted, as JSON")
    parser.add_argument("--now", type=float, help="what the clock says at the start, in seconds since 1970")
    parser.add_argument("words", nargs="*", help="the command line of AML, after --")
    chosen = parser.parse_args()
    injector = Injector(chosen.folder, chosen.fault, chosen.at, chosen.only)
    return run_injected(injector, chosen.words, chosen.now, chosen.count_file)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    sys.exit(main())
