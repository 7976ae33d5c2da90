"""What a migration did, or would do, file by file and summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct, structs

from aml.codec.views import Unreadable, view_record
from aml.errors import AmlError, ExitStatus
from aml.migrate.apply import FileOutcome
from aml.migrate.plan import BadRecord, FilePlan, MigratePlan, Sample
from aml.migrate.registry import Direction
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.record import RecordView

Fate = Literal["migrated", "kept", "left", "gone"]

_KINDS = list(KIND_BY_PLURAL)


class MigratedFile(Struct, frozen=True):
    """One file by agent and name. Sizes in bytes on disk.

    Its ``fate``: records in it moved (or would), it is kept since none was to, left for a ``problem`` (which ``status``
    is worth), or gone by now. ``versions`` counts its records by version as they were found, ``migrated`` those that
    moved and ``moved`` their single steps by ``from -> to``; ``bad`` and ``too_new`` ones stay as they are, ``odd``
    elements are no records.
    """

    agent: str
    file: str
    fate: Fate
    versions: dict[str, int]
    migrated: int
    moved: dict[str, int]
    bad: int
    odd: int
    too_new: int
    bytes_before: int
    bytes_after: int
    problem: str | None
    status: int


class SampleRecord(Struct, frozen=True):
    """One record before and after, as text: where it stands (``position`` from 0), and its id."""

    agent: str
    file: str
    position: int
    id: str | None
    before: str
    after: str


class MigrateReport(Struct, frozen=True):
    """Migrating one store. ``run`` is None where nothing was changed, ``backup`` where none was made before.

    ``versions``, ``migrated`` and ``moved`` sum the files up; ``others`` counts records that do not have the target's
    version in the end, whatever the reason. ``bad`` are the records that cannot be migrated. ``unreadable`` counts
    those that the agents' runtime cannot read afterwards, and could before. ``claimed`` tells whether what claims a
    version was brought up to date. ``obstacle`` is what would stop the run before it changes anything, in a dry run.
    """

    run: str | None
    dry_run: bool
    direction: Direction
    target: str
    backup: str | None
    files: tuple[MigratedFile, ...]
    versions: dict[str, int]
    migrated: int
    moved: dict[str, int]
    others: int
    bad: tuple[BadRecord, ...]
    unreadable: int
    samples: tuple[SampleRecord, ...]
    claimed: bool
    obstacle: str | None
    notes: tuple[str, ...]
    status: ExitStatus

    @property
    def changed(self) -> tuple[MigratedFile, ...]:
        return tuple(file for file in self.files if file.fate == "migrated")

    @property
    def problems(self) -> tuple[MigratedFile, ...]:
        return tuple(file for file in self.files if file.problem)

    def counts(self) -> dict[str, int]:
        """What the journal keeps."""
        return {
            "records": sum(self.versions.values()),
            "migrated": self.migrated,
            "others": self.others,
            "bad": len(self.bad),
            "too_new": sum(file.too_new for file in self.files),
            "unread": len(self.problems),
            "files": len(self.changed),
            "bytes_before": sum(file.bytes_before for file in self.changed),
            "bytes_after": sum(file.bytes_after for file in self.changed),
            **self.moved,
        }


def build_report(
    plan: MigratePlan,
    outcomes: Sequence[FileOutcome] = (),
    left: Sequence[FilePlan] = (),
    *,
    run: str | None,
    dry_run: bool,
    notes: tuple[str, ...] = (),
) -> MigrateReport:
    """``outcomes`` are in the order in which they came about; ``left`` are files that agents wrote meanwhile, and in
    which something stays as it is."""
    plans = {file.file: file for file in plan.files}
    files = {file.file: _file(file, _fate(file)) for file in plan.files}
    for one in outcomes:
        place = one.plan.file
        plans[place] = one.plan
        files[place] = _after(files.get(place), one)
    for late in left:
        plans[late.file] = late
        files[late.file] = _file(late, "left" if late.problem else "kept")
    in_order = sorted(files, key=lambda file: (file.agent, _KINDS.index(file.kind)))
    found = tuple(files[file] for file in in_order)
    obstacle = plan.obstacle if dry_run else None
    return MigrateReport(
        run=run,
        dry_run=dry_run,
        direction=plan.options.direction,
        target=plan.options.target,
        backup=None,
        files=found,
        versions=_sum(file.versions for file in found),
        migrated=sum(file.migrated for file in found),
        moved=_sum(file.moved for file in found),
        others=sum(plans[file].others for file in in_order),
        bad=tuple(record for file in in_order for record in plans[file].bad),
        unreadable=sum(one.unreadable for one in plans.values()),
        samples=_samples(plan.files),
        claimed=False,
        obstacle=None if obstacle is None else str(obstacle),
        notes=(*notes, *(note for file in in_order for note in plans[file].notes)),
        status=_status(found, obstacle, dry_run=dry_run),
    )


def _fate(plan: FilePlan) -> Fate:
    return "left" if plan.problem else "migrated" if plan.is_due else "kept"


def _after(before: MigratedFile | None, outcome: FileOutcome) -> MigratedFile:
    """A file after what was done to it last."""
    if not outcome.is_replaced:
        return _file(outcome.plan, "kept" if outcome.seen is not None else "gone")
    after = _file(outcome.plan, "migrated")
    if before is None or before.fate != "migrated" or not outcome.is_late:
        return after
    # agents had written to it again: both times count
    return structs.replace(
        after,
        migrated=before.migrated + after.migrated,
        moved=_sum((before.moved, after.moved)),
        bytes_before=before.bytes_before,
    )


def _file(plan: FilePlan, fate: Fate) -> MigratedFile:
    is_moved = fate == "migrated"
    return MigratedFile(
        agent=plan.file.agent,
        file=plan.file.path.name,
        fate=fate,
        versions=plan.versions,
        migrated=plan.changed if is_moved else 0,
        moved=plan.moved if is_moved else {},
        bad=len(plan.bad),
        odd=plan.odd,
        too_new=plan.too_new,
        bytes_before=plan.size,
        bytes_after=plan.size_after if is_moved else plan.size,
        problem=plan.problem,
        status=int(plan.status),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _samples(files: Sequence[FilePlan]) -> tuple[SampleRecord, ...]:
    """One of each kind, as far as there are any."""
    by_kind: dict[str, Sample] = {}
    for file in files:
        if file.sample is not None:
            by_kind.setdefault(file.file.kind, file.sample)
    return tuple(_sample(one) for one in by_kind.values())


def _sample(one: Sample) -> SampleRecord:
    seen = view_record(one.before, RecordView)
    ident = None if isinstance(seen, Unreadable) else seen.ident
    return SampleRecord(one.agent, one.file, one.position, ident, _pretty(one.before), _pretty(one.after))


def _pretty(raw: bytes) -> str:
    """The text of a record on several lines; every number and string stays as it is written."""
    # what JSON does not allow, such as NaN, as it stands
    with suppress(msgspec.MsgspecError, RecursionError, ValueError):
        raw = msgspec.json.format(raw, indent=2)
    return raw.decode(errors="backslashreplace")


def _status(files: Sequence[MigratedFile], obstacle: AmlError | None, *, dry_run: bool) -> ExitStatus:
    if dry_run:
        return ExitStatus.DONE if obstacle is None else obstacle.status
    left = any(file.problem or file.bad or file.too_new for file in files)
    return ExitStatus.PARTIAL if left else ExitStatus.DONE
