"""Operations with hooks around them, and commands to be hooks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from aml.hooks import HookError, Hooks, Told, hooked

PROJECT = Path(__file__).parents[2]
PYTHON = (sys.executable, "-I", "-S", "-c")


class Scene:
    """A store and a repository that hooks are told of, a log that they write, and the warnings given."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "memory"
        self.repository = folder / "memory-backup"
        self.log = folder / "log"
        self.warnings: list[str] = []

    def logging(self, then: str = "") -> tuple[str, ...]:
        """A hook that logs its moment and status, and then runs a line of shell."""
        return ("/bin/sh", "-c", f'echo "$AML_HOOK_MOMENT:$AML_HOOK_STATUS" >>"$0"; {then}', str(self.log))

    def all_logging(self) -> Hooks:
        return Hooks(self.logging(), self.logging(), self.logging(), self.logging())

    def logged(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def run(self, hooks: Hooks, body: Callable[[Told], object]) -> None:
        with hooked(hooks, "prune", store=self.store, repository=self.repository, warn=self.warnings.append) as told:
            body(told)

    def warned(self, command: tuple[str, ...], timeout: float = 60.0) -> str:
        """The one warning, where ``command`` runs after a success."""
        self.run(Hooks(success=command, timeout=timeout), done)
        (warning,) = self.warnings
        return warning

    def refusal(self, command: tuple[str, ...], timeout: float = 60.0) -> HookError:
        """The error, where ``command`` runs before."""
        with pytest.raises(HookError) as raised:
            self.run(Hooks(before=command, timeout=timeout), must_not_run)
        assert not self.warnings
        return raised.value


def done(told: Told) -> None:
    told.status = ExitStatus.DONE


def must_not_run(_: Told) -> None:
    pytest.fail("the operation ran")


def ends_with(status: ExitStatus | None) -> Callable[[Told], None]:
    def body(told: Told) -> None:
        told.status = status

    return body


def raises(error: BaseException) -> Callable[[Told], None]:
    def body(told: Told) -> None:
        told.status = ExitStatus.DONE
        raise error

    return body


def shell(line: str, *arguments: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", line, *arguments)


def appears(path: Path) -> str:
    """The content of a file that another process is about to write."""
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.01)
    return path.read_text().strip()


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def ends_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
