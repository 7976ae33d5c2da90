"""What the report of any command says of single files and other subjects, told by the shape of its parts.

A report is a struct; what it lists are structs too, and their fields have the same names in every operation. So a new
operation is logged without a word here as long as it keeps to those names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct, structs

from aml.errors import ExitStatus
from aml.model.kinds import KIND_BY_PLURAL

Level = Literal["info", "warning", "error"]

_RESTORED = {"path", "what", "bytes_before", "bytes_after", "records_before", "records_after"}
#: Whole numbers that are no counts.
_NO_COUNTS = ("status", "exit", "schema", "sequence", "position", "level")
#: What a file holds, rather than what became of it.
_HELD = ("records", "kept", "protected", "pinned", "already_there", "bytes_before", "bytes_after", "size")
#: Lists of a report whose length is worth a count, where no sum says it.
_LISTS = (
    "files",
    "backups",
    "records",
    "runs",
    "findings",
    "unread",
    "damaged",
    "left",
    "overwritten",
    "wrong",
    "archives",
    "alerts",
    "checks",
)


class Outcome(Struct, frozen=True):
    """What became of one subject: a ``file`` of an ``agent``, a backup, a part of a command, or what a check is about.

    ``event`` names the kind of subject, ``what`` what became of it, ``message`` what is the matter, if anything is, and
    ``run`` the run that it belongs to.
    """

    event: Literal["file", "backup", "finding", "part"]
    level: Level
    agent: str | None = None
    file: str | None = None
    subject: str | None = None
    what: str | None = None
    message: str | None = None
    run: str | None = None
    counts: dict[str, int] = {}


def run_of(data: Any) -> str | None:
    """Id of the run that a report is about; None where it has none, or several."""
    found = getattr(data, "run", None)
    return found if isinstance(found, str) else None


def is_dry_run(data: Any) -> bool:
    return getattr(data, "dry_run", False) is True


def outcomes(data: Any) -> Iterator[Outcome]:
    """What a report says of single subjects, those of its parts included. Files that stay as they are have no line."""
    if not isinstance(data, Struct):
        return
    run = run_of(data)
    if _has(data, "id", "parent", "stored_bytes"):
        made: Any = data
        yield Outcome("backup", "info", subject=made.id, what="made")
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if _has(value, "status"):
            yield _part(name, value.status, value, None)
            yield from outcomes(value)
        elif isinstance(value, (tuple, list)):
            for one in value:
                if _has(one, "name", "report", "error"):
                    yield _part(one.name, one.status, one.report, one.error)
                    yield from outcomes(one.report)
                elif isinstance(one, Struct):
                    yield from (structs.replace(told, run=run) for told in _told(name, one))


def counts(data: Any) -> dict[str, int]:
    """What a report counts as a whole: its own numbers, sums over what it lists, else how much it lists."""
    if not isinstance(data, Struct):
        return {}
    found = _numbers(data)
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if not isinstance(value, (tuple, list)):
            continue
        sums: Counter[str] = Counter()
        for one in value:
            if _has(one, "problem", "status"):
                sums.update(_numbers(one))
        if name in _LISTS:
            sums.setdefault(name, len(value))
        for key, number in sums.items():
            found.setdefault(key, number)
    return found


def _told(name: str, one: Struct) -> Iterator[Outcome]:
    """What one element of the list of that name says."""
    fields = set(one.__struct_fields__)
    any_one: Any = one
    if {"check", "level", "message"} <= fields:
        yield _finding(any_one)
    elif {"problem", "status"} <= fields:
        yield from _file(any_one)
    elif fields == {"path", "reason"}:
        yield Outcome("file", "warning", file=any_one.path, what=name, message=any_one.reason)
    elif {"key", "problem"} <= fields:
        yield Outcome("file", "error", file=any_one.key, what="damaged", message=any_one.problem)
    elif {"name", "state", "findings"} <= fields:
        yield from outcomes(one)
    elif {"keep", "reasons"} <= fields and not any_one.keep:
        yield Outcome("backup", "info", subject=any_one.id, what="removed", message="; ".join(any_one.reasons))
    elif fields == _RESTORED:
        yield Outcome("file", "info", file=any_one.path, what=any_one.what, counts=_numbers(one))


def _file(one: Any) -> Iterator[Outcome]:
    """A file that a run changed or would change, or that something is the matter with."""
    what = getattr(one, "fate", None) or getattr(one, "what", None)
    numbers = _numbers(one)
    is_told = one.problem or what not in (None, "kept") or getattr(one, "put_back", False)
    if is_told or any(number for name, number in numbers.items() if name not in _HELD):
        level = _level(one.problem, one.status)
        agent = getattr(one, "agent", None)
        yield Outcome("file", level, agent, _file_of(one), what=what, message=one.problem, counts=numbers)


def _finding(one: Any) -> Outcome:
    word = str(getattr(one.level, "name", one.level)).lower()
    level: Level = "info" if word == "info" else "warning" if word == "warning" else "error"
    return Outcome("finding", level, subject=one.subject or None, what=one.check, message=one.message)


def _part(name: str, status: int, report: Any, error: str | None) -> Outcome:
    what = ExitStatus(status).name.lower()
    level = _level(error, status)
    return Outcome("part", level, subject=name, what=what, message=error, run=run_of(report), counts=counts(report))


def _file_of(one: Any) -> str | None:
    """Path of the file in the store, as far as the report says it."""
    path, agent, file, kind = (getattr(one, name, None) for name in ("path", "agent", "file", "kind"))
    if path is None and kind in KIND_BY_PLURAL:
        file = KIND_BY_PLURAL[kind].file_name
    return path or (f"{agent}/{file}" if agent and file else file)


def _level(problem: str | None, status: int) -> Level:
    if status in (ExitStatus.DONE, ExitStatus.PARTIAL, ExitStatus.LOCKED, ExitStatus.SCHEMA):
        return "warning" if problem or status else "info"
    return "error"


def _has(one: Any, *fields: str) -> bool:
    return isinstance(one, Struct) and set(fields) <= set(one.__struct_fields__)


def _numbers(one: Struct) -> dict[str, int]:
    """Its whole numbers, those in a field ``counts`` among them."""
    found = {name: getattr(one, name) for name in one.__struct_fields__ if name not in _NO_COUNTS}
    inner = found.pop("counts", None)
    numbers = {name: value for name, value in found.items() if type(value) is int}
    return numbers | (inner if isinstance(inner, dict) else {})
