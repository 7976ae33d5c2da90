"""``aml config init --schedule``: a crontab, or units of systemd, filled in for one store."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from aml.cli.invocation import Invocation
from aml.cli.schedule import File, Form, Place, place_of
from aml.cli.text import printable
from aml.errors import AmlError, ExitStatus, FileAccessError, UsageError
from aml.fs.access import explained
from aml.fs.durable import write_output
from aml.fs.files import read_regular
from aml.store.open import Store

_DEFAULT_FOLDER = "aml-schedule"
_UNITS = "/etc/systemd/system"
_READABLE = 0o644


class ScheduleFile(Struct, frozen=True):
    """One file: its ``path`` where it was written, None where it was only printed."""

    name: str
    path: str | None
    text: str


class ScheduleReport(Struct, frozen=True):
    """A schedule for one store, and the ``steps`` that put it in use: command lines and words about them."""

    form: Form
    files: tuple[ScheduleFile, ...]
    steps: tuple[str, ...]


def init_schedule(invocation: Invocation, form: Form, output: str | None, name: str | None, *, print_only: bool) -> int:
    """Write, or only print, the files of a schedule; returns the exit status."""
    if name is not None and form == "cron":
        raise UsageError("--name is for --schedule systemd", advice="leave it out")
    store = invocation.open_store()
    place = place_of(invocation, store, name)
    files = _files(form, place)
    if print_only:
        if output is not None:
            raise UsageError("--print and --output contradict each other", advice="say one of them")
        return _answer(
            invocation, ScheduleReport(form, tuple(ScheduleFile(one.name, None, one.text) for one in files), ())
        )
    folder = _folder_for(invocation, store, output)
    there = _write(folder, files)
    written = tuple(ScheduleFile(one.name, str(folder / one.name), one.text) for one in files)
    return _answer(invocation, ScheduleReport(form, written, _steps(form, place, folder)), there)


def _write(folder: Path, files: Sequence[File]) -> list[str]:
    """Write the files but for those that are there already, such as from a call that was broken off; returns the paths
    of these. Raises FileAccessError, and then writes none, where something else stands in the place of one."""
    # a path whose bytes are not UTF-8 is written with these bytes
    wanted = {folder / one.name: os.fsencode(one.text) for one in files}
    there = [path for path in wanted if os.path.lexists(path)]
    for path in there:
        if not _holds(path, wanted[path]):
            raise FileAccessError(f"{path} exists already", advice="move it away, or name another folder by --output")
    with explained("create", folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, data in wanted.items():
        if path not in there:
            write_output(path, data, mode=_READABLE)
    return [str(path) for path in there]


def _holds(path: Path, data: bytes) -> bool:
    """Whether it is a file of just these bytes; whoever may not read it cannot tell, and leaves it as another's."""
    try:
        return read_regular(path, most=len(data)) == data
    except AmlError:
        return False


def _files(form: Form, place: Place) -> tuple[File, ...]:
    if form == "cron":
        from aml.cli.schedule_cron import crontab

        return crontab(place)
    from aml.cli.schedule_systemd import units

    return units(place)


def _folder_for(invocation: Invocation, store: Store, output: str | None) -> Path:
    """Where the files go. Raises UsageError for a folder in the store, which agents would take for theirs."""
    if output == "":
        raise UsageError("--output is empty", advice="name a folder, or leave the option out")
    folder = invocation.folder / (output or _DEFAULT_FOLDER)
    real = Path(os.path.realpath(folder))
    if any(real.is_relative_to(one) for one in (store.root, store.state, store.keep)):
        raise UsageError(f"{folder} is no place for a schedule: agents or AML keep their files there")
    return folder


def _steps(form: Form, place: Place, folder: Path) -> tuple[str, ...]:
    """What root types to put the files in that folder in use."""
    where = shlex.quote(str(folder))
    if form == "cron":
        return (f"{shlex.join(['crontab', '-u', place.user, '-e'])}    # and read {where}/aml.crontab in there",)
    from aml.cli.schedule_systemd import timers

    return (
        f"cp {where}/aml-{place.name}-* {_UNITS}/",
        "systemctl daemon-reload",
        shlex.join(["systemctl", "enable", "--now", *timers(place)]),
    )


def _answer(invocation: Invocation, report: ScheduleReport, there: Collection[str] = ()) -> int:
    def write() -> None:
        for one in report.files:
            if one.path is not None:
                told = "there already:" if one.path in there else "wrote"
                invocation.out.write(f"{told} {printable(one.path)}\n")
            else:
                invocation.out.write(one.text if len(report.files) == 1 else f"## {one.name}\n{one.text}\n")
        if report.steps:
            invocation.out.write(
                "".join(["as root, to put it in use:\n", *(f"  {printable(step)}\n" for step in report.steps)])
            )

    return invocation.answer(report, ExitStatus.DONE, write)
