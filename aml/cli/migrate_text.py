"""What ``aml migrate`` prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

from aml.cli.invocation import Invocation
from aml.cli.text import count, left_alone, printable, size, sizes, write_table
from aml.errors import ExitStatus
from aml.migrate.claim import Claim
from aml.migrate.detect import DetectReport
from aml.migrate.options import READABLE
from aml.migrate.report import MigrateReport, SampleRecord
from aml.workflows.migrate import MigrateHistory

#: So many records that cannot be migrated are named, and the others counted.
_NAMED = 10

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_PLAIN = "\x1b[0m"


def write_detect(invocation: Invocation, report: DetectReport) -> None:
    """A matrix of agents, kinds and versions, what claims one, and a line that sums it up."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.versions:
            versions = list(report.versions)
            rows = [
                [file.agent, file.kind, *(_number(file.versions.get(one, 0)) for one in versions), _odd(file.odd)]
                for file in report.files
                if not file.problem
            ]
            headers = ["agent", "kind", *versions, "no record"]
            numeric = [False, False, *([True] * (len(versions) + 1))]
            write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
            invocation.out.write("\n")
        for claim in report.claims:
            invocation.out.write(printable(_claim(claim)) + "\n")
        invocation.out.write(_found(report) + "\n")
    for file in report.files:
        if file.problem:
            invocation.note(left_alone(f"{file.agent}/{file.kind}.json", file.problem))
        if file.too_new:
            newer = f"{count(file.too_new, 'record')} of a newer schema than AML knows"
            invocation.note(f"{file.agent}/{file.kind}.json: {newer}")


def _number(number: int) -> str:
    return f"{number:,}" if number else "."


def _odd(number: int) -> str:
    return f"{number:,}" if number else ""


def _claim(claim: Claim) -> str:
    if claim.version is None:
        return f"{claim.path}: {claim.problem}"
    return f"{claim.path} claims {claim.version}, which is {'true' if claim.is_true else 'not true'}"


def _found(report: DetectReport) -> str:
    if not report.versions:
        return "migrate: no records"
    parts = [f"{number:,} of {version}" for version, number in report.versions.items()]
    mixed = "; several versions are mixed: aml migrate up brings all to one" if report.is_mixed else ""
    return f"migrate: {count(sum(report.versions.values()), 'record')}: {', '.join(parts)}{mixed}"


def write_migrate(invocation: Invocation, report: MigrateReport) -> None:
    """A table and records before and after for a dry run, one line for a log."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.dry_run or invocation.verbose or invocation.out.isatty():
            _write_table(invocation, report)
        for one in report.samples:
            _write_sample(invocation, one)
        invocation.out.write(_summary(report) + "\n")
    if report.unreadable:
        verb = "could not" if report.dry_run else "cannot"
        patterns = count(report.unreadable, "pattern")
        invocation.note(
            f"the agents' runtime {verb} read {patterns} any more: it reads {READABLE} and older",
            f"{invocation.spell('migrate', 'down', '--to', READABLE)} turns that back",
        )
    if report.obstacle:
        invocation.note(f"a run would stop before it changes anything: {report.obstacle}")
    shown = report.bad if invocation.verbose else report.bad[:_NAMED]
    for bad in shown:
        invocation.note(f"{'cannot be migrated' if report.dry_run else 'left as it is'}: {bad}")
    if len(shown) < len(report.bad):
        invocation.note(f"and {len(report.bad) - len(shown):,} more, which --verbose lists")
    for file in report.problems:
        invocation.note(left_alone(f"{file.agent}/{file.file}", file.problem or ""))


def _write_table(invocation: Invocation, report: MigrateReport) -> None:
    rows = [
        [file.agent, file.file, file.fate, _steps(file.moved), size(file.bytes_before), size(file.bytes_after)]
        for file in report.files
        if invocation.verbose or file.fate != "kept"
    ]
    if rows:
        headers = ["agent", "file", "would be" if report.dry_run else "", "records", "before", "after"]
        numeric = [False, False, False, False, True, True]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _steps(moved: dict[str, int]) -> str:
    return ", ".join(f"{step}: {number:,}" for step, number in moved.items())


def _write_sample(invocation: Invocation, one: SampleRecord) -> None:
    """One record before and after, in the form of a patch."""
    has_colors = invocation.color and invocation.out.isatty()
    for line in _patch(one):
        text = printable(line)
        color = _COLORS.get(text[:1]) if has_colors else None
        invocation.out.write(f"{color}{text}{_PLAIN}\n" if color else f"{text}\n")
    invocation.out.write("\n")


def _patch(one: SampleRecord) -> Iterator[str]:
    name = f"{one.agent}/{one.file} {one.id or f'position {one.position}'}"
    before, after = one.before.split("\n"), one.after.split("\n")
    return unified_diff(before, after, f"{name} before", f"{name} after", lineterm="")


def _summary(report: MigrateReport) -> str:
    verb = "would go" if report.dry_run else "went"
    where = f"{report.direction} to {report.target}"
    if not report.migrated:
        parts = [f"migrate: nothing {verb} {where}"]
    else:
        parts = [f"migrate: {verb} {where}: {count(report.migrated, 'record')} in {count(len(report.changed), 'file')}"]
        parts.append(_steps(report.moved))
        before = sum(file.bytes_before for file in report.changed)
        parts.append(sizes(before, sum(file.bytes_after for file in report.changed)))
    if report.others:
        parts.append(
            f"{count(report.others, 'record')} of another version {'would stay' if report.dry_run else 'stay'}"
        )
    if report.backup:
        parts.append(f"backup {report.backup}")
    return "; ".join(parts)


def write_history(invocation: Invocation, history: MigrateHistory) -> None:
    runs = history.runs
    for claim in history.claims:
        invocation.out.write(printable(_claim(claim)) + "\n")
    if not runs:
        invocation.out.write("no run has migrated this store yet\n")
        return
    rows = [
        [
            run.id,
            run.started,
            f"{run.options.get('direction', '')} to {run.options.get('target', '')}",
            run.state,
            f"{run.counts.get('migrated', 0):,}",
            run.target or "",
        ]
        for run in runs
    ]
    headers = ["run", "started", "what", "state", "records", "backup before"]
    numeric = [False, False, False, False, True, False]
    write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
    if invocation.verbose:
        steps = [[run.id, step, f"{number:,}"] for run in runs for step, number in run.counts.items() if " -> " in step]
        if steps:
            invocation.out.write("\n")
            write_table(
                invocation.out, ["run", "step", "records"], steps, numeric=[False, False, True], color=invocation.color
            )
