"""What ``aml backup verify``, ``rotate``, ``drill`` and ``auto`` print for people."""

from __future__ import annotations

from aml.backup.drill import DrillReport
from aml.backup.rotate import RotateReport
from aml.cli.invocation import Invocation
from aml.cli.text import count, size, write_table
from aml.errors import ExitStatus
from aml.repository.check import Finding
from aml.workflows.upkeep import AutoReport, VerifyReport

#: How many files of a finding are named without --verbose.
_NAMED = 10


def write_verify(invocation: Invocation, report: VerifyReport) -> None:
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        subject = count(report.snapshots, "backup") if report.snapshot is None else report.snapshot
        found = "no damage" if not report.findings else count(len(report.findings), "finding")
        looked = f"{report.packs:,} of {count(report.packs_total, 'pack')}"
        invocation.out.write(f"verify ({report.tier}): {subject}, {looked}: {found}\n")
    for finding in report.findings:
        _write_finding(invocation, finding)


def _write_finding(invocation: Invocation, finding: Finding) -> None:
    lines = [f"damaged: {finding.key}: {finding.problem}"]
    if finding.snapshots:
        lines.append(f"touches {count(len(finding.snapshots), 'backup')}: {', '.join(finding.snapshots)}")
    paths = sorted({one.path for one in finding.files})
    shown = paths if invocation.verbose else paths[:_NAMED]
    lines += [f"file: {path}" for path in shown]
    if len(shown) < len(paths):
        lines.append(f"and {count(len(paths) - len(shown), 'file')} more: --verbose names them")
    if finding.advice:
        lines.append(f"next: {finding.advice}")
    invocation.note(*lines)


def write_rotation(invocation: Invocation, report: RotateReport) -> None:
    if invocation.quiet and report.status is ExitStatus.DONE:
        return
    if report.backups and (report.dry_run or invocation.verbose):
        rows = [
            ["keep" if one.keep else "remove", one.id, " ".join(one.tags), "; ".join(one.reasons)]
            for one in reversed(report.backups)
        ]
        write_table(
            invocation.out, ["", "backup", "tags", "because"], rows, numeric=[False] * 4, color=invocation.color
        )
        invocation.out.write("\n")
    verb = "would remove" if report.dry_run else "removed"
    parts = [
        f"rotate: {verb} {report.removed:,} of {count(len(report.backups), 'backup')}",
        f"{size(report.freed_bytes)} freed",
    ]
    if report.packs_repacked:
        parts.append(f"{count(report.packs_repacked, 'pack')} repacked")
    if report.archives:
        parts.append(f"{count(len(report.archives), 'expired archive')}, {size(report.archives_bytes)}")
    invocation.out.write("; ".join(parts) + "\n")
    if report.removed and not (report.dry_run or report.freed_bytes):
        invocation.note("packs younger than an hour stay until a later rotation")
    if report.packs_left:
        invocation.note(
            f"left as damaged and still needed: {count(report.packs_left, 'pack')}",
            "run aml backup verify, and then aml backup create --full",
        )


def write_drill(invocation: Invocation, report: DrillReport) -> None:
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        found = "all came back as they were" if not report.wrong else f"{count(len(report.wrong), 'file')} did not"
        invocation.out.write(
            f"drill: {report.snapshot} of {report.time}: {count(report.files, 'file')}, {size(report.bytes)} restored, "
            f"{report.compared:,} compared with the store: {found}\n"
        )
    for one in report.wrong:
        invocation.note(f"{one.path}: {one.reason}")
    for one in report.unread:
        invocation.note(f"never in that backup: {one.path}: {one.reason}")


def write_auto(invocation: Invocation, report: AutoReport) -> None:
    made, verified, rotated = report.backup, report.verify, report.rotate
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        parts = [f"auto: backup {made.id}, {made.kind}, {count(made.files, 'file')}, {size(made.stored_bytes)} written"]
        if verified is not None:
            found = "no damage" if not verified.findings else count(len(verified.findings), "finding")
            parts.append(f"{verified.packs:,} of {count(verified.packs_total, 'pack')} verified: {found}")
        if rotated is not None:
            parts.append(f"{count(rotated.removed, 'backup')} rotated out, {size(rotated.freed_bytes)} freed")
        invocation.out.write("; ".join(parts) + "\n")
    for one in made.unread:
        invocation.note(f"not in the backup: {one.path}: {one.reason}")
    for finding in verified.findings if verified is not None else ():
        _write_finding(invocation, finding)
    for problem in report.problems:
        invocation.note(f"{problem.path}: {problem.reason}")
