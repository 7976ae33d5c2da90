"""What a log tells of a report goes by the shape of its parts, so that reports still to come are told as well."""

from __future__ import annotations

import pytest
from msgspec import Struct

from aml.cli.log_outcomes import Outcome, counts, is_dry_run, outcomes, run_of
from aml.errors import ExitStatus
from aml.monitor.findings import Finding, Level


class File(Struct, frozen=True):
    agent: str
    file: str
    fate: str = "kept"
    problem: str | None = None
    status: int = ExitStatus.DONE
    moved: int = 0
    bytes_before: int = 10
    is_odd: bool = True


class Report(Struct, frozen=True):
    run: str | None
    dry_run: bool
    files: tuple[File, ...]
    others: int
    notes: tuple[str, ...] = ()
    status: ExitStatus = ExitStatus.DONE


class Result(Struct, frozen=True):
    name: str
    state: str
    findings: tuple[Finding, ...]


class Checkup(Struct, frozen=True):
    checks: tuple[Result, ...]
    status: ExitStatus = ExitStatus.DONE


def report(*files: File) -> Report:
    return Report("r1", False, files, 3, ("a note",))


def test_a_file_is_told_where_it_changed_or_something_is_the_matter() -> None:
    kept, changed = File("a", "x.json"), File("b", "y.json", "moved", moved=2)
    odd = File("c", "z.json", "left", "cannot read it", ExitStatus.DAMAGED)
    late = File("d", "z.json", moved=1)
    assert list(outcomes(report(kept, changed, odd, late))) == [
        Outcome("file", "info", "b", "b/y.json", what="moved", run="r1", counts={"moved": 2, "bytes_before": 10}),
        Outcome(
            "file",
            "error",
            "c",
            "c/z.json",
            what="left",
            message="cannot read it",
            run="r1",
            counts={"moved": 0, "bytes_before": 10},
        ),
        Outcome("file", "info", "d", "d/z.json", what="kept", run="r1", counts={"moved": 1, "bytes_before": 10}),
    ]


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (ExitStatus.PARTIAL, "warning"),
        (ExitStatus.LOCKED, "warning"),
        (ExitStatus.SCHEMA, "warning"),
        (ExitStatus.DAMAGED, "error"),
        (ExitStatus.FAILED, "error"),
    ],
)
def test_how_bad_a_problem_is_goes_by_its_status(status: ExitStatus, level: str) -> None:
    (told,) = outcomes(report(File("a", "x", "left", "why", status)))
    assert told.level == level


def test_what_a_report_counts_are_its_own_numbers_and_sums() -> None:
    found = counts(report(File("a", "x", moved=2), File("b", "y", moved=3)))
    assert found == {"others": 3, "moved": 5, "bytes_before": 20, "files": 2}, "no statuses, and no booleans"


def test_findings_are_told_by_their_checks() -> None:
    bad = Finding("structure", "alpha", Level.CRITICAL, "it is gone", "restore it", 1.0, 2.0)
    note = Finding("same_disk", "", Level.INFO, "one disk")
    found = list(outcomes(Checkup((Result("structure", "critical", (bad,)), Result("same_disk", "info", (note,))))))
    assert found == [
        Outcome("finding", "error", subject="alpha", what="structure", message="it is gone"),
        Outcome("finding", "info", what="same_disk", message="one disk"),
    ]
    assert counts(Checkup(())) == {"checks": 0}


@pytest.mark.parametrize("data", [None, {"a": 1}, "text", 7])
def test_what_is_no_report_tells_nothing(data: object) -> None:
    assert list(outcomes(data)) == []
    assert counts(data) == {}
    assert run_of(data) is None
    assert not is_dry_run(data)
