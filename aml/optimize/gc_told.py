"""What a child tells of a record file in which it looked for garbage: none of any record but what it is told by."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, structs

from aml.ledger.removal import Removal
from aml.ledger.runs import RecordKey
from aml.optimize.garbage import Scan
from aml.optimize.gc_plan import FilePlan, Judged
from aml.optimize.sources import Step

#: As a Removal; its figures are whole numbers or not, which must stay so.
_Removal = tuple[int, str | None, str, str, dict[str, Any], float, tuple[int, ...]]


class _Judged(Struct, array_like=True):
    """A Judged but for the name of its file."""

    pins: tuple[str | None, str | None]
    size: int
    steps: tuple[Step, ...]
    records: int
    garbage: list[_Removal]
    pinned: int
    odd: list[tuple[int, str]]
    too_new: int
    free: set[int]
    copies: list[tuple[str, ...]]
    present: set[RecordKey]
    shared: dict[str, tuple[int, ...]]
    first_of: dict[int, int]


class _Told(Struct, array_like=True):
    """A file that was judged, or why it is left alone: size, problem and status."""

    judged: _Judged | None = None
    left: tuple[int, str | None, int] = (0, None, 0)


def tell(part: Judged | FilePlan) -> bytes:
    """A file judged, or the plan of one that cannot be read, for ``hear``."""
    if isinstance(part, FilePlan):
        return msgspec.msgpack.encode(_Told(left=(part.size, part.problem, part.problem_status)))
    scan = part.scan
    told = _Judged(
        pins=part.pins,
        size=part.size,
        steps=part.steps,
        records=scan.records,
        garbage=[structs.astuple(one) for one in scan.garbage],
        pinned=scan.pinned,
        odd=scan.odd,
        too_new=scan.too_new,
        free=scan.free,
        copies=scan.copies,
        present=scan.present,
        shared=scan.shared,
        first_of=scan.first_of,
    )
    return msgspec.msgpack.encode(_Told(judged=told))


def hear(agent: str, kind: str, answer: bytes) -> Judged | FilePlan:
    """What ``tell`` was given, of the file of that agent and kind."""
    told = msgspec.msgpack.decode(answer, type=_Told)
    one = told.judged
    if one is None:
        size, problem, status = told.left
        return FilePlan(agent, kind, size=size, problem=problem, problem_status=status)
    scan = Scan(
        agent,
        kind,
        records=one.records,
        garbage=[Removal(*found) for found in one.garbage],
        pinned=one.pinned,
        odd=one.odd,
        too_new=one.too_new,
        free=one.free,
        copies=one.copies,
        present=one.present,
        shared=one.shared,
        first_of=one.first_of,
    )
    return Judged(one.pins, one.size, one.steps, scan)
