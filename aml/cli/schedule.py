"""What runs when on a store that is looked after: the jobs of crontabs and timers, and the place they are for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from aml.errors import UsageError
from aml.fs.access import explained, owner_name

if TYPE_CHECKING:
    from aml.cli.invocation import Invocation
    from aml.store.open import Store

Form = Literal["cron", "systemd"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  (systemd gives a service others of its own)


class Job(Struct, frozen=True):
    """One command and its time, as cron and as systemd write it.

    ``does`` says what for, ``uses_network`` that it may send alerts. ``is_done_when_partial``: that some records wait
    for the next run, or a damaged file was left alone, is no failure of it.
    """

    name: str
    words: tuple[str, ...]
    does: str
    cron: str
    calendar: str
    uses_network: bool = False
    is_done_when_partial: bool = False


#: The order is that in which they run where several are due at once.
JOBS = (
    Job(
        "backup",
        ("backup", "auto"),
        "Every day at 02:00: back up (in full once a week), verify a tenth of the repository, let old backups go.",
        "0 2 * * *",
        "*-*-* 02:00:00",
    ),
    Job(
        "prune",
        ("prune",),
        "Every Sunday at 03:00: remove what the rules find, archived first, within the loss budget.",
        "0 3 * * 0",
        "Sun *-*-* 03:00:00",
        is_done_when_partial=True,
    ),
    Job(
        "optimize",
        ("optimize", "all"),
        "On the first of each month at 04:00: collect garbage, compress old files, renew index and hot set.",
        "0 4 1 * *",
        "*-*-01 04:00:00",
        is_done_when_partial=True,
    ),
    Job(
        "drill",
        ("backup", "drill"),
        "On the first of each month at 05:00: restore the newest backup into a scratch folder, and compare every file.",
        "0 5 1 * *",
        "*-*-01 05:00:00",
    ),
    Job(
        "health",
        ("monitor", "health"),
        "Every day at 06:00: check the health of the store and of its backups, and raise alerts.",
        "0 6 * * *",
        "*-*-* 06:00:00",
        uses_network=True,
    ),
)


class Place(Struct, frozen=True):
    """What the jobs are for. All paths are absolute.

    ``program`` is AML's own executable with what must stand before its words. ``repository`` and ``config`` are named
    only where the settings do not say them. ``writable`` are folders that a job writes to; ``needs_home`` and
    ``needs_tmp`` tell that something lies under /home or the like, or under /tmp.
    """

    program: tuple[str, ...]
    store: str
    user: str
    name: str
    writable: tuple[str, ...]
    repository: str | None = None
    config: str | None = None
    needs_home: bool = False
    needs_tmp: bool = False

    def command(self, job: Job) -> tuple[str, ...]:
        """The words of a job, the program first."""
        named = (("--store", self.store), ("--repository", self.repository), ("--config", self.config))
        options = [word for option, value in named if value is not None for word in (option, value)]
        return (*self.program, *options, *job.words)


class File(Struct, frozen=True):
    """One file of a schedule, as it is to be written."""

    name: str
    text: str


def place_of(invocation: Invocation, store: Store, name: str | None) -> Place:
    """What this invocation says about the store. Raises UsageError for a name, or a path, that cannot be written."""
    settings = invocation.settings
    named = os.path.abspath(invocation.store_path())
    repository = invocation.conditions(store).repository or store.keep
    config = invocation.config_option or invocation.environment.get("AML_CONFIG")
    folders = {os.path.dirname(store.root), _existing(repository)}
    if settings.log.file:
        folders.add(_existing(Path(store.root.parent, settings.log.file).parent))
    place = Place(
        program=_program(),
        store=named,
        user=_owner(store),
        name=_checked_name(name) if name is not None else _name_of(Path(named)),
        writable=_outermost(folders),
        repository=_absolute(invocation, invocation.repository_option),
        config=_absolute(invocation, config),
    )
    paths = [*place.program, named, place.config or "", *place.writable, sys.base_prefix, sys.prefix]
    _refuse_control_characters([*paths, place.repository or ""])
    return structs.replace(place, needs_home=_lies_in(paths, _HOMES), needs_tmp=_lies_in(paths, _TEMPORARY))


def _program() -> tuple[str, ...]:
    """How this very AML is started: by its script, or by Python where there is none."""
    started = Path(os.path.abspath(sys.argv[0]))
    for script in (started, Path(sys.executable).with_name("aml")):
        if script.name == "aml" and os.access(script, os.X_OK) and script.is_file():
            return (str(script),)
    return (sys.executable, "-m", "aml")


def _owner(store: Store) -> str:
    with explained("read", store.root):
        return owner_name(store.root)


def _existing(folder: Path) -> str:
    """The folder, or the nearest one above it that is there: what is to be made needs that one."""
    real = Path(os.path.realpath(folder))
    return str(next(one for one in (real, *real.parents) if one.is_dir()))


def _outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """Folders without those that lie in another of them."""
    kept: list[str] = []
    for folder in sorted(folders):
        if not any(Path(folder).is_relative_to(one) for one in kept):
            kept.append(folder)
    return tuple(kept)


def _absolute(invocation: Invocation, path: str | None) -> str | None:
    return None if not path else os.path.abspath(invocation.folder / path)


def _lies_in(paths: Iterable[str], folders: Iterable[str]) -> bool:
    real = [Path(os.path.realpath(path)) for path in paths if path.startswith("/")]
    return any(path.is_relative_to(folder) for path in real for folder in folders)


def _name_of(store: Path) -> str:
    """The name of the project that a store belongs to, in letters that names of units may have."""
    project = store.parent.parent if store.parent.name == ".loom" else store
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", project.name).strip("-.")[:64].rstrip("-.")
    return name or "store"


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r} is no name for units", advice="use letters, digits, and _ . - within")
    return name


def _refuse_control_characters(paths: Iterable[str]) -> None:
    for path in paths:
        if any(ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 for one in path):
            raise UsageError(
                f"{path!r} has a control character, which no schedule can hold",
                advice="rename it, or name it by a link",
            )
