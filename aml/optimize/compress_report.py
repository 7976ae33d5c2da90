"""What compressing did, or would do, file by file and summed up."""

from __future__ import annotations

from msgspec import Struct

from aml.errors import PRECEDENCE, ExitStatus
from aml.optimize.compress import CompressOutcome, CompressPlan, Fate, Reason, agents_of


class CompressedFile(Struct, frozen=True):
    """One file, by agent (or ``global``) and name. Sizes in bytes on disk, in a dry run ``bytes_after`` those to come.

    Its ``fate``: it was (or would be) compressed or decompressed, kept for ``reason``, or left since there was a
    ``problem``, which ``status`` is worth.
    """

    agent: str
    file: str
    fate: Fate
    reason: Reason | None
    bytes_before: int
    bytes_after: int
    problem: str | None
    status: int


class CompressReport(Struct, frozen=True):
    """Compressing one store, or turning that back. ``run`` is None for a dry run.

    ``first_gzip`` names the agents (and ``global``) that had no gzip file before: who edits their files must be able to
    read one now.
    """

    run: str | None
    dry_run: bool
    decompress: bool
    files: tuple[CompressedFile, ...]
    first_gzip: tuple[str, ...]
    notes: tuple[str, ...]
    status: ExitStatus

    @property
    def changed(self) -> tuple[CompressedFile, ...]:
        """The files that have another form now, or would have."""
        return tuple(file for file in self.files if file.fate in ("compressed", "decompressed"))

    @property
    def problems(self) -> tuple[CompressedFile, ...]:
        return tuple(file for file in self.files if file.problem)

    def counts(self) -> dict[str, int]:
        """Files by fate, and the bytes of those that changed."""
        fates = ("compressed", "decompressed", "kept", "left")
        return {
            "files": len(self.files),
            **{fate: sum(file.fate == fate for file in self.files) for fate in fates},
            "bytes_before": sum(file.bytes_before for file in self.changed),
            "bytes_after": sum(file.bytes_after for file in self.changed),
        }


def build_report(
    plan: CompressPlan, outcomes: tuple[CompressOutcome, ...], *, run: str | None, notes: tuple[str, ...] = ()
) -> CompressReport:
    """``run`` is None for a dry run, whose exit status is 0 whatever it found."""
    files = tuple(
        CompressedFile(
            agent=one.file.agent,
            file=one.file.path.name,
            fate=one.fate,
            reason=one.reason,
            bytes_before=one.bytes_before,
            bytes_after=one.bytes_after,
            problem=one.problem,
            status=int(one.status),
        )
        for one in outcomes
    )
    attempted = {(file.file.agent, file.file.path.name) for file in plan.due}
    return CompressReport(
        run=run,
        dry_run=run is None,
        decompress=plan.options.decompress,
        files=files,
        first_gzip=tuple(agent for agent in agents_of(outcomes, "compressed") if agent in plan.unpacked_agents),
        notes=notes,
        status=ExitStatus.DONE if run is None else _status(files, attempted),
    )


def _status(files: tuple[CompressedFile, ...], attempted: set[tuple[str, str]]) -> ExitStatus:
    problems = [file for file in files if file.problem]
    found = {ExitStatus.PARTIAL if problems else ExitStatus.DONE}
    failed = [file for file in problems if file.status == ExitStatus.FAILED]
    if any((file.agent, file.file) in attempted for file in failed) or (failed and len(failed) == len(files)):
        found.add(ExitStatus.FAILED)
    changed = [file for file in files if file.fate in ("compressed", "decompressed")]
    for status in (ExitStatus.LOCKED, ExitStatus.DAMAGED):
        if problems and not changed and all(file.status == status for file in problems):
            found.add(status)
    return next(status for status in PRECEDENCE if status in found)
