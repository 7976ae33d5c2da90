"""What ``aml backup restore`` prints for people."""

from __future__ import annotations

from aml.backup.restore import RestoredFile, RestoreReport
from aml.cli.invocation import Invocation
from aml.cli.lines import summed_up
from aml.cli.text import change_of_size, count, size, write_table
from aml.errors import ExitStatus

_VERBS = {"added": "add", "changed": "change", "removed": "remove"}


def write_restore(invocation: Invocation, report: RestoreReport) -> None:
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.files and (report.dry_run or invocation.verbose) and report.target is None:
            _write_files(invocation, report)
        invocation.out.write(_summary(invocation, report) + "\n")
    for odd in report.damaged:
        invocation.note(f"not restored, damaged in the repository: {odd.path}: {odd.reason}")
    for odd in report.left:
        invocation.note(f"left alone: {odd.path}: {odd.reason}")
    for odd in report.overwritten:
        invocation.note(f"an agent wrote {odd.path} meanwhile; what it wrote is kept in {odd.reason}")


def _write_files(invocation: Invocation, report: RestoreReport) -> None:
    rows = [
        [
            _VERBS[one.what] if report.dry_run else one.what,
            one.path,
            change_of_size(one.bytes_before, one.bytes_after),
            _records(one),
        ]
        for one in report.files
    ]
    headers = ["", "file", "size", "records"]
    write_table(invocation.out, headers, rows, numeric=[False, False, True, True], color=invocation.color)
    invocation.out.write("\n")


def _records(one: RestoredFile) -> str:
    if one.records_before is None and one.records_after is None:
        return ""
    return f"{one.records_before or 0:,} -> {one.records_after or 0:,}"


def _summary(invocation: Invocation, report: RestoreReport) -> str:
    head = f"restore: {'would restore' if report.dry_run else 'restored'} {report.snapshot} of {report.time}"
    if report.target is not None:
        files = count(report.count("added"), "file")
        return f"{head} to {report.target}: {files}, {count(report.records_after, 'record')}, {size(report.bytes)}"
    counts = [f"{report.count(what):,} {what}" for what in ("added", "changed", "removed")]
    parts = [
        f"{head}: {', '.join(counts)}, {report.same:,} the same",
        f"records {report.records_before:,} -> {report.records_after:,}",
    ]
    return summed_up(invocation, parts, *(() if report.backup is None else ("backup", "restore", report.backup)))
