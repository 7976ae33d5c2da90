"""What ``aml optimize gc`` prints for people."""

from __future__ import annotations

from aml.cli.invocation import Invocation
from aml.cli.left_text import write_deferred, write_left_alone
from aml.cli.lines import summed_up
from aml.cli.text import count, left_alone, sizes, write_table
from aml.errors import ExitStatus
from aml.optimize.garbage import RULES
from aml.optimize.gc_report import GcReport
from aml.optimize.leftovers import STALE_LOCK, UNFINISHED_WRITE
from aml.optimize.sources import EMPTY, MERGED, SALVAGED

_LABELS = {
    "null_element": "null",
    "duplicate_id": "older version of an id",
    "without_id": "record without id",
    "without_agent": "record without agent",
    "without_timestamp": "record without time",
    EMPTY: "empty file",
    MERGED: "compressed copy",
    SALVAGED: "damaged file",
    UNFINISHED_WRITE: "unfinished write",
}


def ask_about(invocation: Invocation, preview: GcReport) -> bool:
    """Show what would go, and ask whether it may."""
    write_gc(invocation, preview)
    return invocation.confirm("Take that away, archived first?")


def write_gc(invocation: Invocation, report: GcReport) -> None:
    """Tables for a dry run and on a terminal, one line for a log; nothing where all went well and quiet is wanted."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.dry_run or invocation.verbose or invocation.out.isatty():
            _write_tables(invocation, report)
        invocation.out.write(_summary(invocation, report) + "\n")
    _write_advice(invocation, report)


def _write_tables(invocation: Invocation, report: GcReport) -> None:
    verb = "to remove" if report.dry_run else "removed"
    rows = [
        [verb, file.agent, file.kind, _LABELS[rule], f"{file.removed_by_rule[rule]:,}"]
        for file in report.files
        for rule in RULES
        if rule in file.removed_by_rule
    ]
    rows += [
        [
            _done(step.what, dry_run=report.dry_run),
            file.agent,
            file.kind,
            _LABELS[step.what],
            f"{step.records:,}" if step.records else "",
        ]
        for file in report.files
        for step in file.steps
    ]
    rows += [[verb, *one.path.split("/", 1), _LABELS[one.what], ""] for one in report.leftovers if one.removed]
    _table(invocation, ["", "agent", "kind or file", "what", "records"], rows, numeric=[False] * 4 + [True])
    if invocation.verbose:
        fates = {"removed": verb}
        told = [
            [
                fates.get(one.fate, one.fate),
                one.agent,
                one.kind,
                f"{one.position:,}",
                one.id or "(no id)",
                one.reason,
            ]
            for one in report.records
        ]
        told += [
            ["odd, kept", file.agent, file.kind, f"{odd.position:,}", "", odd.reason]
            for file in report.files
            for odd in file.odd_elements
        ]
        told += [
            ["equal, kept", file.agent, file.kind, "", ", ".join(group), "the same but for the id"]
            for file in report.files
            for group in file.content_duplicates
        ]
        headers = ["", "agent", "kind", "position", "id", "reason"]
        _table(invocation, headers, told, numeric=[False, False, False, True, False, False])


def _done(what: str, *, dry_run: bool) -> str:
    tense = {EMPTY: ("to remove", "removed"), MERGED: ("to merge", "merged"), SALVAGED: ("to salvage", "salvaged")}
    return tense[what][0 if dry_run else 1]


def _table(invocation: Invocation, headers: list[str], rows: list[list[str]], *, numeric: list[bool]) -> None:
    if rows:
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _summary(invocation: Invocation, report: GcReport) -> str:
    removed = report.total("removed")
    verb = "would remove" if report.dry_run else "removed"
    elements = count(report.total("records") + report.counts["null_element"], "element")
    gone = [f"gc: {verb} {removed:,} of {elements}"]
    would = ("would merge", "would salvage") if report.dry_run else ("merged", "salvaged")
    gone += [count(report.counts[what], _LABELS[what]) for what in (EMPTY, UNFINISHED_WRITE) if report.counts[what]]
    parts = [", ".join(gone)]
    files = {
        MERGED: f"{would[0]} {_copies(report.counts[MERGED])}",
        SALVAGED: f"{would[1]} {count(report.counts[SALVAGED], 'damaged file')}",
    }
    parts += [text for name, text in files.items() if report.counts[name]]
    parts += [f"{report.total(name):,} {name}" for name in ("deferred", "pinned") if report.total(name)]
    if report.counts["content_duplicate"]:
        parts.append(f"{count(report.counts['content_duplicate'], 'record')} equal to another but for the id")
    if not report.dry_run and report.changes:
        shown = sizes(report.total("bytes_before"), report.total("bytes_after"))
        parts += [shown] if " -> " in shown else []
        return summed_up(invocation, parts, "prune", "undo", str(report.run))
    return summed_up(invocation, parts)


def _copies(number: int) -> str:
    return f"{number:,} compressed {'copy' if number == 1 else 'copies'}"


def _write_advice(invocation: Invocation, report: GcReport) -> None:
    for file in report.files:
        write_left_alone(invocation, file)
        for step in file.steps if not invocation.quiet else ():
            if step.what == SALVAGED:
                invocation.note(f"{_done(step.what, dry_run=report.dry_run)}: {step.path}: {step.reason}")
    for one in report.leftovers:
        if one.problem:
            invocation.note(left_alone(one.path, one.problem))
        elif one.what == STALE_LOCK and not one.removed and not invocation.quiet:
            hours = one.age_seconds / 3600
            invocation.note(
                f"stale lock: {one.path}: nobody has touched it for {hours:,.1f} hours",
                "agents take it over by themselves; if none runs, remove that folder",
            )
    write_deferred(invocation, report)
