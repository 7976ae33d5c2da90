"""Rotation: which backups go by the keep rules, and what nobody needs any more goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aml.backup.checked import Checked
from aml.backup.keep import Candidate, KeepRules, judge
from aml.errors import ExitStatus
from aml.model.timestamps import to_iso
from aml.repository.cleanup import apply_cleanup, needed_chunks, plan_cleanup
from aml.repository.repository import Reader, Writer
from aml.repository.snapshots import Snapshots, delete_snapshot


class RotatedBackup(Struct, frozen=True):
    """One backup, whether it stays, and why or why not; ``agents`` None means the whole store."""

    id: str
    time: str
    agents: tuple[str, ...] | None
    tags: tuple[str, ...]
    complete: bool
    keep: bool
    reasons: tuple[str, ...]


class RotateReport(Struct, frozen=True):
    """A rotation, or what a dry run would do. Sizes in bytes.

    ``packs_removed`` held nothing that is needed any more; ``packs_repacked`` held little, or were damaged or small,
    and what is needed of them was written anew; ``packs_left`` hold damaged chunks that cannot be read.
    ``archives`` are the expired ones of removed records.
    """

    dry_run: bool
    backups: tuple[RotatedBackup, ...]
    packs_removed: int
    packs_repacked: int
    packs_left: int
    freed_bytes: int
    archives: tuple[str, ...]
    archives_bytes: int
    notes: tuple[str, ...]
    status: ExitStatus

    @property
    def removed(self) -> int:
        """How many backups go."""
        return sum(not one.keep for one in self.backups)


class _Judged(Struct, frozen=True):
    backups: tuple[RotatedBackup, ...]
    kept: Snapshots

    def dropped(self) -> list[str]:
        return [one.id for one in self.backups if not one.keep]


def preview_rotation(reader: Reader, rules: KeepRules, now: float, checked: Checked) -> RotateReport:
    """What a rotation would do. ``now`` in seconds since 1970 UTC. Raises DamagedError as ``rotate`` does."""
    judged = _judge(reader.snapshots(), rules, now)
    needed = needed_chunks(reader, judged.kept)
    plan = plan_cleanup(reader, needed, now, damaged=checked.damaged_packs)
    freed = sum(use.size for use in plan.removed)
    return _report(judged, len(plan.removed), len(plan.repacked), 0, freed, dry_run=True)


def rotate(writer: Writer, rules: KeepRules, now: float, checked: Checked) -> RotateReport:
    """Remove the backups that no rule keeps, then the packs that no backup needs.

    What goes is taken from ``checked``. Raises DamagedError, before anything is removed, where a manifest or a list of
    files cannot be read; FileAccessError.
    """
    judged = _judge(writer.snapshots(), rules, now)
    needed = needed_chunks(writer, judged.kept)
    for identity in judged.dropped():
        delete_snapshot(writer.destination, identity)
    plan = plan_cleanup(writer, needed, now, damaged=checked.damaged_packs)
    outcome = apply_cleanup(writer, plan, needed)
    gone = set(outcome.removed)
    checked.packs = {name: when for name, when in checked.packs.items() if name in writer.loaded.packs}
    checked.damaged_packs = [name for name in checked.damaged_packs if name in writer.loaded.packs]
    repacked = sum(use.name in gone for use in plan.repacked)
    return _report(judged, len(gone) - repacked, repacked, len(outcome.left), outcome.freed_bytes, dry_run=False)


def _judge(snapshots: Snapshots, rules: KeepRules, now: float) -> _Judged:
    candidates = [
        Candidate(
            one.id,
            one.manifest.time.timestamp(),
            one.manifest.sequence,
            one.manifest.scope.agents,
            one.manifest.complete,
            tuple(one.manifest.tags),
            one.manifest.source,
            one.manifest.totals.files,
        )
        for one in snapshots.readable
    ]
    verdicts = judge(candidates, rules, now)
    kept = {verdict.id for verdict in verdicts if verdict.keep}
    backups = tuple(
        RotatedBackup(one.id, to_iso(one.time), one.scope, one.tags, one.complete, verdict.keep, verdict.reasons)
        for one, verdict in zip(candidates, verdicts, strict=True)
    )
    return _Judged(backups, Snapshots([one for one in snapshots.readable if one.id in kept], snapshots.flaws))


def _report(
    judged: _Judged, removed: int, repacked: int, left: int, freed: int, *, dry_run: bool, notes: Sequence[str] = ()
) -> RotateReport:
    return RotateReport(
        dry_run=dry_run,
        backups=judged.backups,
        packs_removed=removed,
        packs_repacked=repacked,
        packs_left=left,
        freed_bytes=freed,
        archives=(),
        archives_bytes=0,
        notes=tuple(notes),
        status=ExitStatus.PARTIAL if left else ExitStatus.DONE,
    )
