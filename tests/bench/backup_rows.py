"""The rows about backups: AML beside restic and borg, as they come, both with a repository on the same disk.

restic encrypts and hashes; borg is told not to encrypt. Neither repository's making is timed; AML makes its own in the
timed command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.bench.edit import Edit
from tests.bench.model import Measured, Row, Side, Step, StoreSpec, Target, Words, aml_sides

Work = Literal["full", "unchanged", "changed", "restore", "verify"]
Level = Literal["default", "max"]


@dataclass(frozen=True, slots=True)
class Peer:
    """How another backup program does each kind of work."""

    name: str
    program: str
    make: Step
    backup: Step
    restore: Step
    verify: Step
    environment: tuple[tuple[str, str], ...]

    def side(self, work: Work) -> Side:
        """This program's side of a row."""
        timed = {"restore": self.restore, "verify": self.verify}.get(work, self.backup)
        prepare = (self.make,) if work == "full" else (self.make, self.backup)
        return Side(self.name, timed, prepare, program=self.program, environment=self.environment)


def _restic() -> Peer:
    common = ("restic", "--quiet", "--repo", "{repository}", "--cache-dir", "{home}/cache")
    return Peer(
        name="restic",
        program="restic",
        make=Step((*common, "init")),
        backup=Step((*common, "backup", "."), "{store}"),
        restore=Step((*common, "restore", "latest", "--target", "{target}")),
        verify=Step((*common, "check", "--read-data")),
        environment=(("RESTIC_PASSWORD", "benchmark"),),
    )


def _borg(compression: str) -> Peer:
    return Peer(
        name=f"borg {compression}",
        program="borg",
        make=Step(("borg", "init", "--encryption", "none", "{repository}")),
        backup=Step(("borg", "create", "--compression", compression, "{repository}::run-{count}", "."), "{store}"),
        # "run-1" is the archive that was made by way of preparation
        restore=Step(("borg", "extract", "{repository}::run-1"), "{target}"),
        verify=Step(("borg", "check", "--verify-data", "{repository}")),
        environment=(
            ("BORG_BASE_DIR", "{home}"),
            ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
            ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes"),
        ),
    )


_RESTIC = _restic()
_BORG_LZ4 = _borg("lz4")
_BORG_ZSTD = _borg("zstd,3")

_BACKUP = ("--store", "{store}", "backup")
_FULL = (*_BACKUP, "create", "--full", "-q")
_INCREMENTAL = (*_BACKUP, "create", "--incremental", "-q")
_RESTORE = (*_BACKUP, "restore", "latest", "--target", "{target}", "-q")
_VERIFY = (*_BACKUP, "verify", "--all", "-q")


def _aml(work: Work, level: Level) -> tuple[Side, ...]:
    chosen = () if level == "default" else ("--compression", level)
    full: Words = (*_FULL, *chosen)
    timed: dict[Work, Words] = {
        "full": full,
        "unchanged": (*_INCREMENTAL, *chosen),
        "changed": (*_INCREMENTAL, *chosen),
        "restore": _RESTORE,
        "verify": _VERIFY,
    }
    return aml_sides(timed[work], prepare=() if work == "full" else (full,))


_MEASURED: dict[Work, Measured] = {"full": "stored", "unchanged": "added", "changed": "added"}


def _row(
    name: str,
    text: str,
    work: Work,
    store: StoreSpec,
    *targets: Target,
    peers: tuple[Peer, ...] = (_RESTIC, _BORG_LZ4),
    level: Level = "default",
    edit: Edit | None = None,
    peer_a: float | None = None,
    peer_a_bytes: float | None = None,
) -> Row:
    return Row(
        name=f"backup-{name}",
        group="backup",
        work=text,
        sides=_aml(work, level) + tuple(peer.side(work) for peer in peers),
        targets=targets,
        peer_a=peer_a,
        peer_a_bytes=peer_a_bytes,
        store=store,
        renew="repository" if work == "full" else "nothing",
        edit=edit,
        restores=work == "restore",
        measured=_MEASURED.get(work),
    )


def _seconds(limit: float) -> Target:
    return Target("seconds", limit)


_50_MB = StoreSpec(items=28_300)
_500_MB = StoreSpec(items=283_000)
_FILES = StoreSpec(items=0, small_files=20_000)
_ALL = (_RESTIC, _BORG_LZ4, _BORG_ZSTD)
_PACKING = (_RESTIC, _BORG_ZSTD)
_NEIGHBOURS = Edit(share=0.01, files=3)
_SPREAD = Edit(share=0.01, files=3, spread=True)
_SMALL = (_seconds(0.35), Target("bytes", 1.2, of="restic"))
_DENSE = (Target("seconds", 1.0, of="restic"), Target("bytes", 1.03, of="restic"))
_BIG = (_seconds(2.0), Target("memory", 150e6))
_ONE_PERCENT = (_seconds(0.16), Target("bytes", 0.40e6))

BACKUP_ROWS: tuple[Row, ...] = (
    _row("50-full", "backup full, 50 MB, default compression", "full", _50_MB, *_SMALL, peers=_ALL, peer_a=2.43),
    _row("50-max", "backup full, 50 MB, --compression max", "full", _50_MB, *_DENSE, peers=_PACKING, level="max"),
    _row("50-unchanged", "backup, nothing changed, 50 MB", "unchanged", _50_MB, _seconds(0.12), peer_a=0.35),
    _row(
        "50-changed",
        "backup, 1 % of the records changed in 3 files, neighbours, 50 MB",
        "changed",
        _50_MB,
        *_ONE_PERCENT,
        peers=_ALL,
        edit=_NEIGHBOURS,
        peer_a=0.35,
        # of 10 % of one file
        peer_a_bytes=0.93e6,
    ),
    _row(
        "50-spread",
        "backup, 1 % of the records changed in 3 files, spread over them, 50 MB",
        "changed",
        _50_MB,
        peers=_ALL,
        edit=_SPREAD,
    ),
    _row("50-restore", "restore, 50 MB", "restore", _50_MB, _seconds(0.24), peer_a=0.25),
    _row("50-verify", "verify all data, 50 MB", "verify", _50_MB, _seconds(0.22), peer_a=0.24),
    _row("500-full", "backup full, 500 MB", "full", _500_MB, *_BIG),
    _row("500-unchanged", "backup, nothing changed, 500 MB", "unchanged", _500_MB, _seconds(0.15)),
    _row(
        "500-changed",
        "backup, 1 % of the records changed in 3 files, 500 MB",
        "changed",
        _500_MB,
        _seconds(0.25),
        edit=_NEIGHBOURS,
    ),
    _row("500-restore", "restore, 500 MB", "restore", _500_MB, _seconds(1.4)),
    _row("500-verify", "verify all data, 500 MB", "verify", _500_MB, _seconds(0.9)),
    _row("files-full", "backup full, 20,000 files of 2 KB", "full", _FILES, _seconds(1.0)),
    _row("files-unchanged", "backup, nothing changed, 20,000 files of 2 KB", "unchanged", _FILES, _seconds(0.40)),
    _row("files-restore", "restore, 20,000 files of 2 KB", "restore", _FILES, _seconds(1.2)),
)
