"""What a child tells of a record file that it judged: a few bytes for each record, and none of any record itself."""

from __future__ import annotations

from array import array as packed_array
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, structs

from aml.ledger.runs import RecordKey
from aml.prune.plan import FilePlan, FileScan, Finding

if TYPE_CHECKING:
    from aml.prune.candidates import Candidates

#: Figures of a finding are whole numbers or not, which must stay so.
_Finding = tuple[str | None, str, str, dict[str, Any], float, int]

#: The same of Candidates, in the order of its fields, with numbers packed.
_Candidates = tuple[bytes, bytes, bytes, bytes, bytes, tuple[str, ...], dict[int, int]]


class _Scan(Struct, array_like=True):
    """A FileScan but for the name of its file, with numbers packed."""

    records: int
    sha256: str
    size: int
    ordinals: bytes
    rules: bytes
    values: bytes
    ids: list[str | None]
    findings: dict[int, _Finding]
    protected: dict[str, int]
    unreadable: list[tuple[int, str]]
    too_new: int
    present: list[RecordKey]
    came_back: int
    shared_ids: dict[str, tuple[int, ...]]
    first_of: dict[int, int]
    candidates: _Candidates | None
    freed: bytes
    problem: str | None


class _Told(Struct, array_like=True):
    """A file that was judged, or why it is left alone: size, problem and status."""

    scan: _Scan | None = None
    left: tuple[int, str | None, int] = (0, None, 0)


def tell(part: FileScan | FilePlan) -> bytes:
    """A scan, or the plan of a file that cannot be read, for ``hear``."""
    if isinstance(part, FilePlan):
        return msgspec.msgpack.encode(_Told(left=(part.size, part.problem, part.problem_status)))
    return msgspec.msgpack.encode(_Told(scan=_scan_told(part)))


def hear(agent: str, kind: str, answer: bytes) -> FileScan | FilePlan:
    """What ``tell`` was given, of the file of that agent and kind."""
    told = msgspec.msgpack.decode(answer, type=_Told)
    if told.scan is not None:
        return _scan_heard(agent, kind, told.scan)
    size, problem, status = told.left
    return FilePlan(agent, kind, size=size, problem=problem, problem_status=status)


def _scan_told(scan: FileScan) -> _Scan:
    return _Scan(
        records=scan.records,
        sha256=scan.sha256,
        size=scan.size,
        ordinals=_packed("Q", scan.ordinals),
        rules=bytes(scan.rules),
        values=_packed("d", scan.values),
        ids=scan.ids,
        findings={ordinal: structs.astuple(one) for ordinal, one in scan.findings.items()},
        protected=scan.protected,
        unreadable=scan.unreadable,
        too_new=scan.too_new,
        present=list(scan.present),
        came_back=scan.came_back,
        shared_ids=scan.shared_ids,
        first_of=scan.first_of,
        candidates=None if scan.candidates is None else _candidates_told(scan.candidates),
        freed=_packed("d", scan.freed),
        problem=scan.problem,
    )


def _scan_heard(agent: str, kind: str, told: _Scan) -> FileScan:
    return FileScan(
        agent,
        kind,
        records=told.records,
        sha256=told.sha256,
        size=told.size,
        ordinals=_unpacked("Q", told.ordinals).tolist(),
        rules=list(told.rules),
        values=_unpacked("d", told.values).tolist(),
        ids=told.ids,
        findings={ordinal: Finding(*one) for ordinal, one in told.findings.items()},
        protected=Counter(told.protected),
        unreadable=told.unreadable,
        too_new=told.too_new,
        present=set(told.present),
        came_back=told.came_back,
        shared_ids=told.shared_ids,
        first_of=told.first_of,
        candidates=None if told.candidates is None else _candidates_heard(told.candidates),
        freed=_unpacked("d", told.freed),
        problem=told.problem,
    )


def _candidates_told(found: Candidates) -> _Candidates:
    return (
        _packed("Q", found.ordinals),
        _packed("d", found.values),
        _packed("d", found.freed),
        _packed("d", found.confidences),
        _packed("H", found.guards),
        tuple(found.reasons),
        found.first_of,
    )


def _candidates_heard(told: _Candidates) -> Candidates:
    from aml.prune.candidates import Candidates  # only where room is to be made

    ordinals, values, freed, confidences, guards, reasons, first_of = told
    return Candidates(
        _unpacked("Q", ordinals),
        _unpacked("d", values),
        _unpacked("d", freed),
        _unpacked("d", confidences),
        _unpacked("H", guards),
        reasons,
        first_of,
    )


def _packed(code: Any, numbers: Iterable[float]) -> bytes:
    return packed_array(code, numbers).tobytes()


def _unpacked(code: Any, data: bytes) -> packed_array[Any]:
    numbers = packed_array(code)
    numbers.frombytes(data)
    return numbers
