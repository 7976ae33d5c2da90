"""The errors AML raises, and the exit status each of them becomes.

    AmlError                      1  anything AML can name and explain
    ├── UsageError                2  wrong words on the command line or in the settings
    │   └── SettingsError         2  a key or value that the settings do not allow
    ├── StoreNotFoundError       10  no store where one was looked for
    ├── LockedError              11  somebody else holds a lock for too long
    ├── DamagedError             12  what was asked for cannot be read
    ├── SchemaError              13  records newer than this AML knows
    ├── NotFoundError             1  no record, run or backup of that id, or several
    ├── ClockError                1  this machine's clock contradicts AML's own times
    ├── FileAccessError           1  the system refused a call on a path
    ├── InterruptedRunError     130  somebody asked for the run to stop
    ├── HookError                 1  a user's command that was to run before an operation failed
    └── ChangedError              1  a file changed between looking and writing

Every message says what failed, on which path, and what to do next. Nothing here imports anything of ours.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """The one table of exit statuses; numbers are never reused."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    HEALTH_WARNING = 4
    HEALTH_CRITICAL = 5
    NO_STORE = 10
    LOCKED = 11
    DAMAGED = 12
    SCHEMA = 13
    INTERRUPTED = 130


#: Where several statuses apply, the first in this order is the one that is reported.
PRECEDENCE = (
    ExitStatus.INTERRUPTED,
    ExitStatus.NO_STORE,
    ExitStatus.SCHEMA,
    ExitStatus.LOCKED,
    ExitStatus.DAMAGED,
    ExitStatus.FAILED,
    ExitStatus.PARTIAL,
    ExitStatus.DONE,
)


class AmlError(Exception):
    """Base of all errors that AML explains to its user.

    ``message`` names what failed and where, ``advice`` what to do next (may be empty).
    """

    status: ClassVar[ExitStatus] = ExitStatus.FAILED

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} ({self.advice})" if self.advice else self.message


class UsageError(AmlError):
    """The command line asks for something that does not exist or does not fit together."""

    status = ExitStatus.USAGE


class SettingsError(UsageError):
    """A settings file or an AML_* variable holds an unknown key or a value that is not allowed."""


class StoreNotFoundError(AmlError):
    """There is no store at the path given, or none upwards from the current folder."""

    status = ExitStatus.NO_STORE


class LockedError(AmlError):
    """Another process holds the lock that is needed, and kept it past the timeout."""

    status = ExitStatus.LOCKED


class DamagedError(AmlError):
    """Bytes that cannot be read as what they should be; they are left exactly as they are."""

    status = ExitStatus.DAMAGED


class SchemaError(AmlError):
    """Records of a schema version that this AML does not know."""

    status = ExitStatus.SCHEMA


class NotFoundError(AmlError):
    """An id or a prefix of one that fits nothing, or more than one thing."""


class ClockError(AmlError):
    """Now, by this machine's clock, cannot be true beside the times of AML's own runs and backups."""


class FileAccessError(AmlError):
    """The operating system refused a call; the message names the call's aim, the path and the system's reason."""


class HookError(AmlError):
    """The user's command that was to run before an operation failed, so the operation did not begin."""


class InterruptedRunError(AmlError):
    """Somebody asked for the run to stop."""

    status = ExitStatus.INTERRUPTED


class ChangedError(AmlError):
    """The content or the lock of a file changed under AML, which therefore threw its own result away."""
