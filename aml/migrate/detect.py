"""Which schema versions a store holds: told by each record, and compared with what the store is said to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from aml.codec.json_object import parse_object
from aml.codec.views import Unreadable, view_records
from aml.errors import PRECEDENCE, AmlError, DamagedError, ExitStatus
from aml.migrate.claim import Claim, read_claims
from aml.migrate.marks import version_of
from aml.model.record import RecordView
from aml.model.schema import ORDINARY_MIX, is_too_new
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, read_ahead


class DetectedFile(Struct, frozen=True):
    """One record file: how many records it holds by version; ``odd`` elements are no records, ``too_new`` have a schema
    newer than AML knows. ``problem`` says why it cannot be read, if so, which ``status`` is worth."""

    agent: str
    kind: str
    versions: dict[str, int]
    odd: int = 0
    too_new: int = 0
    problem: str | None = None
    status: int = ExitStatus.DONE


class DetectReport(Struct, frozen=True):
    """The versions of all records of the agents in question: ``versions`` sums the files up.

    ``is_mixed`` tells of more versions than one, of which 1.0.0 among 1.1.0 is no second one. ``claims`` are of the
    whole store, and not looked at where only some agents are in question.
    """

    files: tuple[DetectedFile, ...]
    versions: dict[str, int]
    is_mixed: bool
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    status: ExitStatus


def detect(
    store: Store,
    agents: tuple[str, ...] = (),
    *,
    notes: tuple[str, ...] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> DetectReport:
    """Read every record file and tell the versions. Raises UsageError for an agent that is not there."""
    files = [file for agent in store.choose_agents(agents) for file in store.record_files(agent)]
    found = []
    for file, content in read_ahead(files, store.max_unpacked_bytes, hashed=False):
        progress(file.path_in_store)
        found.append(_detected(file, content))
        del content  # freed before the next file is read
    versions: Counter[str] = Counter()
    for one in found:
        versions.update(one.versions)
    return DetectReport(
        files=tuple(found),
        versions=dict(sorted(versions.items())),
        is_mixed=is_mixed(versions),
        claims=() if agents else read_claims(store, versions | Counter(newer=sum(one.too_new for one in found))),
        notes=notes,
        status=_status(found),
    )


def is_mixed(versions: Counter[str]) -> bool:
    """Whether there are records of several versions, beyond the mix that is ordinary."""
    there = {version for version, number in versions.items() if number}
    return len(there) > 1 and not there <= ORDINARY_MIX


def _detected(file: RecordFile, content: Content | AmlError) -> DetectedFile:
    try:
        if isinstance(content, AmlError):
            raise content
        array = content.array()
        views = view_records(array, RecordView)
    except AmlError as error:
        return DetectedFile(file.agent, file.kind, {}, problem=str(error), status=error.status)
    versions = Counter(one.schema_version for one in views if not isinstance(one, Unreadable))
    told = [_patiently(array.raw(place)) for place, one in enumerate(views) if isinstance(one, Unreadable)]
    versions.update(version for version in told if version is not None and not is_too_new(version))
    too_new = sum(map(is_too_new, told))
    return DetectedFile(file.agent, file.kind, dict(sorted(versions.items())), told.count(None), too_new)


def _patiently(raw: bytes) -> str | None:
    """The version of what has no view, such as a record with NaN in it, or a newer one; None where it is no record."""
    try:
        return version_of(parse_object(raw))
    except DamagedError:
        return None


def _status(files: list[DetectedFile]) -> ExitStatus:
    problems = [file for file in files if file.problem]
    found = {ExitStatus.PARTIAL if problems else ExitStatus.DONE}
    if any(file.too_new for file in files):
        found.add(ExitStatus.SCHEMA)
    if problems and len(problems) == len(files):
        damaged = any(file.status == ExitStatus.DAMAGED for file in problems)
        found.add(ExitStatus.DAMAGED if damaged else ExitStatus.FAILED)
    return next(status for status in PRECEDENCE if status in found)
