"""What ``aml migrate`` prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

from aml.cli.invocation import Invocation
from aml.cli.text import count, left_alone, printable, size, sizes, write_table
from aml.errors import ExitStatus
from aml.migrate.claim import Claim
from aml.migrate.detect import DetectReport
from aml.migrate.registry import Direction
from aml.migrate.report import MigrateReport, SampleRecord
from aml.model.schema import READABLE, UNREADABLE, VERSIONS
from aml.workflows.migrate import MigrateHistory

#: So many records that cannot be migrated are named, and the others counted.
_NAMED = 10

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_PLAIN = "\x1b[0m"


def write_detect(invocation: Invocation, report: DetectReport) -> None:
    """A matrix of agents, kinds and versions, what claims one, and a line that sums it up."""
    unread = any(file.problem for file in report.files)
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        _write_matrix(invocation, report)
        for claim in report.claims:
            invocation.out.write(printable(_claim(claim, is_whole=not unread)) + "\n")
        invocation.out.write(_found(invocation, report) + "\n")
    for file in report.files:
        if file.problem:
            invocation.note(left_alone(f"{file.agent}/{file.kind}.json", file.problem))
        if file.too_new:
            told = f"{count(file.too_new, 'record')} of a newer schema than AML knows"
            invocation.note(f"{file.agent}/{file.kind}.json: {told}")


def _write_matrix(invocation: Invocation, report: DetectReport) -> None:
    """One line for each file that can be read: how many of its records have which version."""
    files = [file for file in report.files if not file.problem]
    columns = {version: [file.versions.get(version, 0) for file in files] for version in report.versions}
    columns |= {"newer": [file.too_new for file in files], "no record": [file.odd for file in files]}
    columns = {header: numbers for header, numbers in columns.items() if any(numbers)}
    if columns:
        rows = [
            [file.agent, file.kind, *(_number(numbers[place]) for numbers in columns.values())]
            for place, file in enumerate(files)
        ]
        numeric = [False, False, *([True] * len(columns))]
        write_table(invocation.out, ["agent", "kind", *columns], rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _number(number: int) -> str:
    return f"{number:,}" if number else "."


def _claim(claim: Claim, *, is_whole: bool = True) -> str:
    """What one file says of the store, and whether that is so, as far as all files could be read."""
    if claim.version is None:
        return f"{claim.path}: {claim.problem}"
    true = "true" if is_whole else "true of what can be read"
    return f"{claim.path} claims {claim.version}, which is {true if claim.is_true else 'not true of all records'}"


def _found(invocation: Invocation, report: DetectReport) -> str:
    newer = sum(file.too_new for file in report.files)
    parts = [f"{number:,} of {version}" for version, number in report.versions.items()]
    if newer:
        parts.append(f"{newer:,} newer than AML knows")
    if not parts:
        unread = any(file.problem for file in report.files)
        return f"migrate: no records{' that can be read' if unread else ''}"
    mixed = f"; several versions are mixed{_way_to_one(invocation, report)}" if report.is_mixed else ""
    return f"migrate: {count(sum(report.versions.values()) + newer, 'record')}: {', '.join(parts)}{mixed}"


def _way_to_one(invocation: Invocation, report: DetectReport) -> str:
    """The commands after which all records have one version, the newest that agents read."""
    unknown = [version for version in report.versions if version not in VERSIONS]
    if unknown:
        return f", and there is no schema version {' or '.join(unknown)}"
    known = set(report.versions)
    ways = []
    if known & UNREADABLE:
        ways.append(invocation.spell("migrate", "down", "--to", READABLE))
    if known - UNREADABLE - {READABLE}:
        ways.append(invocation.spell("migrate", "up"))
    return f": {' and then '.join(ways)} {'bring' if len(ways) > 1 else 'brings'} all to {READABLE}"


def write_migrate(invocation: Invocation, report: MigrateReport) -> None:
    """A table and records before and after for a dry run, one line for a log."""
    if not (invocation.quiet and report.status is ExitStatus.DONE):
        if report.dry_run or invocation.verbose or invocation.out.isatty():
            _write_table(invocation, report)
        for one in report.samples:
            _write_sample(invocation, one)
        invocation.out.write(_summary(report) + "\n")
    if report.unreadable:
        verb, turns = ("could not", "would turn") if report.dry_run else ("cannot", "turns")
        patterns = count(report.unreadable, "pattern")
        invocation.note(
            f"the agents' runtime {verb} read {patterns} any more: it reads {READABLE} and older",
            f"{invocation.spell('migrate', 'down', '--to', READABLE)} {turns} that back",
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


def question(preview: MigrateReport) -> str:
    """What is to be answered before anything is changed."""
    asked = f"Migrate {count(preview.migrated, 'record')} {preview.direction} to {preview.target}"
    if preview.unreadable:
        asked += f", although the agents' runtime could not read {count(preview.unreadable, 'pattern')} any more"
    return f"{asked}?"


def _write_table(invocation: Invocation, report: MigrateReport) -> None:
    rows = [
        [
            file.agent,
            file.file,
            file.fate,
            _steps(file.moved, report.direction),
            size(file.bytes_before),
            size(file.bytes_after),
        ]
        for file in report.files
        if invocation.verbose or file.fate != "kept"
    ]
    if rows:
        headers = ["agent", "file", "would be" if report.dry_run else "", "records", "before", "after"]
        numeric = [False, False, False, False, True, True]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")


def _steps(moved: dict[str, int], direction: Direction) -> str:
    """How many records took each step, in the order in which one would take them all."""
    in_order = sorted(moved.items(), reverse=direction == "down")
    return ", ".join(f"{step}: {number:,}" for step, number in in_order)


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
        parts.append(_steps(report.moved, report.direction))
        before = sum(file.bytes_before for file in report.changed)
        parts.append(sizes(before, sum(file.bytes_after for file in report.changed)))
    if report.others:
        stay = "would stay" if report.dry_run else "stays" if report.others == 1 else "stay"
        parts.append(f"{count(report.others, 'record')} of another version {stay}")
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
