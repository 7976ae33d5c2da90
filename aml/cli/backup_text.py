"""What ``aml backup create``, ``list``, ``show`` and ``diff`` print for people."""

from __future__ import annotations

from aml.backup.compare import DiffReport, FileDiff
from aml.backup.create import BackupReport
from aml.cli.invocation import Invocation
from aml.cli.text import change_of_size, count, size, write_table
from aml.errors import ExitStatus
from aml.workflows.backup import BackupDetails, BackupLine, BackupList


def write_backup(invocation: Invocation, report: BackupReport) -> None:
    """One line; nothing where all went well and quiet is wanted."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        parts = [
            f"backup: {report.id}",
            f"{report.kind}, {count(report.files, 'file')}, {size(report.bytes)}",
            f"{report.new:,} new, {report.changed:,} changed, {report.removed:,} removed",
            f"{size(report.stored_bytes)} written",
        ]
        if report.repaired:
            parts.append(f"{count(report.repaired, 'damaged chunk')} of the repository repaired")
        invocation.out.write("; ".join(parts) + "\n")
    for one in report.unread:
        invocation.note(f"not in the backup: {one.path}: {one.reason}")
    for one in report.damaged:
        if not invocation.quiet:
            invocation.note(f"backed up as it is, damaged: {one.path}: {one.reason}")


def write_list(invocation: Invocation, found: BackupList) -> None:
    if not found.backups:
        none = "no backup can be read" if found.damaged else "no backups"
        invocation.out.write(f"{none} in {found.repository}\n")
    else:
        rows = [
            [
                one.id,
                one.time,
                one.kind if one.complete else f"{one.kind}, incomplete",
                _scope(one),
                f"{one.files:,}",
                size(one.bytes),
                size(one.added_bytes),
                " ".join(one.tags),
                one.description,
            ]
            for one in reversed(found.backups)
        ]
        headers = ["backup", "time", "kind", "agents", "files", "size", "new", "tags", "description"]
        numeric = [False, False, False, False, True, True, True, False, False]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write(f"\n{count(len(rows), 'backup')} in {found.repository}; {size(found.stored_bytes)}\n")
    for flaw in found.damaged:
        others = ["the other backups are not touched by it"] if found.backups else []
        invocation.note(f"cannot be read: {flaw.path}: {flaw.reason}", *others)


def _scope(one: BackupLine) -> str:
    return "all" if one.agents is None else ", ".join(one.agents)


def write_details(invocation: Invocation, details: BackupDetails) -> None:
    one = details.backup
    facts = [
        ("time", one.time),
        ("kind", f"{one.kind}, {'complete' if one.complete else 'INCOMPLETE'}"),
        ("number", str(one.sequence)),
        ("based on", one.parent or "nothing: every file was read"),
        ("agents", _scope(one)),
        ("host", one.host),
        ("tags", " ".join(one.tags) or "none"),
        ("description", one.description or "none"),
        ("files", f"{one.files:,}, {size(one.bytes)}; {size(one.added_bytes)} were new"),
        ("schemas", ", ".join(f"{version}: {number:,}" for version, number in details.schemas.items()) or "none"),
    ]
    write_table(invocation.out, ["backup", one.id], facts, numeric=[False, False], color=invocation.color)
    invocation.out.write("\n")
    rows = [[share.agent or "(no agent)", f"{share.files:,}", size(share.bytes)] for share in details.shares]
    write_table(invocation.out, ["agent", "files", "size"], rows, numeric=[False, True, True], color=invocation.color)
    if details.files:
        invocation.out.write("\n")
        files = [
            [entry.path, entry.form, size(entry.size), "" if entry.records is None else f"{entry.records:,}"]
            for entry in details.files
        ]
        headers = ["file", "form", "size", "records"]
        write_table(invocation.out, headers, files, numeric=[False, False, True, True], color=invocation.color)
    for odd in details.unread:
        invocation.note(f"not in the backup: {odd.path}: {odd.reason}")
    for odd in details.damaged:
        invocation.note(f"backed up as it was, damaged: {odd.path}: {odd.reason}")


def write_diff(invocation: Invocation, report: DiffReport) -> None:
    after = report.after or "the store now"
    if report.files:
        rows = [
            [
                one.what,
                one.path,
                change_of_size(one.bytes_before, one.bytes_after),
                _pair(one.records_before, one.records_after),
                _records(one),
            ]
            for one in report.files
        ]
        headers = ["", "file", "size", "records", "by id"]
        write_table(invocation.out, headers, rows, numeric=[False, False, True, True, False], color=invocation.color)
        invocation.out.write("\n")
    differing = f"{count(len(report.files), 'file')} {'differs' if len(report.files) == 1 else 'differ'}"
    counts = [f"{report.total(f'records_{what}'):,} {what}" for what in ("added", "changed", "removed")]
    invocation.out.write(
        f"diff: {report.before} -> {after}: {differing}, {report.same:,} the same; records: {', '.join(counts)}\n"
    )
    for odd in report.unread:
        invocation.note(f"cannot be told, since it could not be read: {odd.path}: {odd.reason}")


def _pair(before: int | None, after: int | None) -> str:
    if before is None and after is None:
        return ""
    return f"{'-' if before is None else f'{before:,}'} -> {'-' if after is None else f'{after:,}'}"


def _records(one: FileDiff) -> str:
    changes = ((one.records_added, "+"), (one.records_removed, "-"), (one.records_changed, "~"))
    return " ".join(f"{mark}{number:,}" for number, mark in changes if number)
