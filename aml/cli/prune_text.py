"""What ``aml prune`` prints for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aml.cli.invocation import Invocation
from aml.cli.left_text import TAKEN_LATER, write_deferred, write_left_alone
from aml.cli.lines import summed_up
from aml.cli.text import count, left_alone, size, sizes, write_table
from aml.errors import ExitStatus
from aml.ledger.runs import Run
from aml.ledger.undo import OriginalUndo, UndoReport
from aml.prune.report import PruneReport

_COUNTS = ("records", "removed", "kept", "protected", "deferred", "unreadable", "came_back")


def write_prune(invocation: Invocation, report: PruneReport) -> None:
    """Tables for a dry run and on a terminal, one line for a log; nothing where all went well and quiet is wanted."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.dry_run or invocation.verbose or invocation.out.isatty():
            _write_tables(invocation, report)
        invocation.out.write(_summary(invocation, report) + "\n")
    _write_advice(invocation, report)


def _write_tables(invocation: Invocation, report: PruneReport) -> None:
    files = [file for file in report.files if file.records or file.problem]
    if files:
        shown = [name for name in _COUNTS if name in ("records", "removed", "kept") or report.total(name)]
        rows = [
            [
                file.agent,
                file.kind,
                *(f"{getattr(file, name):,}" for name in shown),
                sizes(file.bytes_before, file.bytes_after),
            ]
            for file in files
        ]
        after = None if report.dry_run else report.total("bytes_after")
        total = [
            "total",
            "",
            *(f"{report.total(name):,}" for name in shown),
            sizes(report.total("bytes_before"), after),
        ]
        removed = "to remove" if report.dry_run else "removed"
        headers = [
            "agent",
            "kind",
            *(removed if name == "removed" else name.replace("_", " ") for name in shown),
            "size",
        ]
        numeric = [False, False, *(True for _ in shown), True]
        write_table(invocation.out, headers, [*rows, total], numeric=numeric, color=invocation.color)
        invocation.out.write("\n")
    _write_space(invocation, report)
    _write_reasons(invocation, report)
    strange = [
        [file.agent, file.kind, f"{record.position:,}", record.reason]
        for file in report.files
        for record in (file.unreadable_records if invocation.verbose else ())
    ]
    if strange:
        headers = ["agent", "kind", "position", "kept as it is, because"]
        write_table(invocation.out, headers, strange, numeric=[False, False, True, False], color=invocation.color)
        invocation.out.write("\n")
    if report.records:
        fates = {"removed": "to remove"} if report.dry_run else {}
        rows = [
            [fates.get(one.fate, one.fate), one.agent, one.kind, one.id or "(no id)", one.rule, one.reason]
            for one in report.records
        ]
        headers = ["", "agent", "kind", "id", "rule", "reason"]
        write_table(invocation.out, headers, rows, numeric=[False] * 6, color=invocation.color)
        invocation.out.write("\n")


def _write_reasons(invocation: Invocation, report: PruneReport) -> None:
    """Records by fate, kind and reason; by agent too where every detail is wanted."""
    removed: Counter[tuple[str, ...]] = Counter()
    protected: Counter[tuple[str, ...]] = Counter()
    for file in report.files:
        place = (file.agent, file.kind) if invocation.verbose else (file.kind,)
        removed.update({(*place, rule): number for rule, number in file.removed_by_rule.items()})
        protected.update({(*place, reason): number for reason, number in file.protected_by_reason.items()})
    rows = [
        [fate, *keys, f"{number:,}"]
        for fate, counts in (("remove" if report.dry_run else "removed", removed), ("protect", protected))
        for keys, number in sorted(counts.items(), key=lambda one: (one[0][:-1], -one[1]))
    ]
    if rows:
        headers = ["", *(["agent"] if invocation.verbose else []), "kind", "rule or reason", "records"]
        numeric = [False] * (len(headers) - 1) + [True]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _write_space(invocation: Invocation, report: PruneReport) -> None:
    """What held more than its limit, where room was asked for."""
    rows = [
        [one.agent or "the store", *(size(octets) for octets in (one.before, one.limit, one.after, one.target)), short]
        for one in report.space
        for short in (size(one.short_by) if one.short_by else "",)
    ]
    if rows:
        after = "will hold" if report.dry_run else "holds now"
        headers = ["over its limit", "held", "limit", after, "target", "short by"]
        write_table(invocation.out, headers, rows, numeric=[False] + [True] * 5, color=invocation.color)
        invocation.out.write("\n")


def _summary(invocation: Invocation, report: PruneReport) -> str:
    removed, records = report.total("removed"), report.total("records")
    verb = "would remove" if report.dry_run else "removed"
    parts = [f"prune: {verb} {removed:,} of {count(records, 'record')}"]
    others = {name: report.total(name) for name in ("protected", "deferred", "unreadable", "came_back")}
    parts += [f"{number:,} {name.replace('_', ' ')}" for name, number in others.items() if number]
    saved = sum(one.saved for one in report.space if one.agent is None) or sum(one.saved for one in report.space)
    if saved:
        parts.append(f"{size(saved)} {'to be ' if report.dry_run else ''}saved by compressing decisions")
    if not report.dry_run and removed:
        shown = sizes(report.total("bytes_before"), report.total("bytes_after"))
        parts += [shown] if " -> " in shown else []
        return summed_up(invocation, parts, "prune", "undo", str(report.run))
    return summed_up(invocation, parts)


def _write_advice(invocation: Invocation, report: PruneReport) -> None:
    for file in report.files:
        write_left_alone(invocation, file)
    rest = "once this plan is applied, write a new one for the rest" if report.plan_file else TAKEN_LATER
    write_deferred(invocation, report, rest)
    came_back = report.total("came_back")
    if came_back and not invocation.quiet:
        invocation.note(
            f"{count(came_back, 'record')} came back since an earlier run, most likely from the cache of a live agent",
            "prune while agents are idle, or restart them",
        )


def write_history(invocation: Invocation, runs: Sequence[Run]) -> None:
    if not runs:
        invocation.out.write("no run has pruned this store yet\n")
        return
    undone = Counter[str]()
    for run in runs:
        undone[run.target or ""] += run.counts.get("restored", 0)
    rows = [
        [
            run.id,
            run.started,
            f"undo of {run.target}" if run.target else run.operation,
            run.state,
            f"{sum(len(file.removed) for file in run.files):,}",
            f"{run.counts.get('restored', 0) if run.target else undone[run.id]:,}",
        ]
        for run in runs
    ]
    headers = ["run", "started", "what", "state", "removed", "put back"]
    numeric = [False] * 4 + [True] * 2
    if any(run.quarantined for run in runs):
        headers, numeric = [*headers, "whole files"], [*numeric, True]
        rows = [[*row, f"{len(run.quarantined):,}"] for row, run in zip(rows, runs, strict=True)]
    write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
    if invocation.verbose:
        _write_keys(invocation, runs)


def _write_keys(invocation: Invocation, runs: Sequence[Run]) -> None:
    rows = [
        [run.id, file.agent, file.kind, fate, key.id or "(no id)"]
        for run in runs
        for file in run.files
        for fate, found in (("removed", file.removed), ("put back", file.restored))
        for key in found
    ]
    rows += [[run.id, *path.split("/", 1), "taken whole", ""] for run in runs for path in run.quarantined]
    if rows:
        invocation.out.write("\n")
        headers = ["run", "agent", "kind or file", "", "id"]
        write_table(invocation.out, headers, rows, numeric=[False] * 5, color=invocation.color)


def write_undo(invocation: Invocation, report: UndoReport) -> None:
    restored = sum(file.restored for file in report.files)
    there = sum(file.already_there for file in report.files)
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        verb = "would put back" if report.dry_run else "put back"
        made = sum(one.put_back and one.was_made for one in report.originals)
        files = sum(one.put_back for one in report.originals) - made
        whole = f" and {count(files, 'whole file')}" if files else ""
        took = "would remove" if report.dry_run else "removed"
        whole += f", {took} {count(made, 'file')} that the run had made," if made else ""
        already = f"; there already: {there:,}" if there else ""
        invocation.out.write(f"undo: {verb} {count(restored, 'record')}{whole} of run {report.target}{already}\n")
    rows = [[file.agent, file.kind, key.id or "(no id)"] for file in report.files for key in file.keys]
    rows += [[*one.path.split("/", 1), _whole(one, dry_run=report.dry_run)] for one in report.originals if one.put_back]
    if invocation.verbose and rows:
        headers = ["agent", "kind or file", "id"]
        write_table(invocation.out, headers, rows, numeric=[False] * 3, color=invocation.color)
    for original in report.originals:
        if original.problem:
            invocation.note(left_alone(original.path, original.problem))
    told = {original.problem for original in report.originals}
    for file in report.files:
        if file.problem and file.problem not in told:
            invocation.note(left_alone(f"{file.agent}/{file.kind}", file.problem))
        for ident in file.conflicts:
            invocation.note(
                f"left in the archive: {file.agent}/{file.kind} {ident}: that id is there again with other content, "
                "which an agent wrote, or which was migrated since"
            )


def _whole(original: OriginalUndo, *, dry_run: bool) -> str:
    """What became, or would become, of a whole file, in place of an id."""
    if original.was_made:
        return "(the run made it: to remove)" if dry_run else "(the run had made it: removed)"
    return "(whole file: to put back)" if dry_run else "(whole file: put back)"
