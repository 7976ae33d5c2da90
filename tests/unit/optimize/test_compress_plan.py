"""The plan of compressing looks at names, times and first bytes alone; the report sums up what became of the files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from aml.errors import ExitStatus, UsageError
from aml.optimize.compress import CompressOptions, CompressOutcome, CompressPlan, PlannedFile, plan_compress
from aml.optimize.compress_report import build_report
from aml.store.layout import RecordFile
from aml.store.open import open_store
from tests.contract.compressing import aged, old_store
from tests.support.records import NOW

RUN = "20261120T120000-0001-abcd"


def file_of(agent: str, kind: str = "patterns") -> RecordFile:
    return RecordFile(agent, kind, Path(agent, f"{kind}.json"))


def test_a_plan_reads_no_file_to_its_end(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    huge = memory / "alpha" / "patterns.json"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    aged(huge, 50)
    plan = plan_compress(open_store(memory), CompressOptions(plain=True), NOW.timestamp())
    assert next(one for one in plan.due if one.file.path.samefile(huge)).unpacked == 1 << 40


def test_a_gzip_file_is_planned_by_the_size_that_it_tells(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    file = memory / "alpha" / "patterns.json"
    file.write_bytes(gzip.compress(b" " * 5_000_000 + b"[]"))
    options = CompressOptions(decompress=True, age_days=0, agents=("alpha",))
    (due,) = plan_compress(open_store(memory), options, NOW.timestamp()).due
    assert (due.unpacked, due.size) == (5_000_002, file.stat().st_size)


@pytest.mark.parametrize("options", [CompressOptions(agents=("nobody",)), CompressOptions(kinds=("ideas",))])
def test_names_that_do_not_exist_are_refused(tmp_path: Path, options: CompressOptions) -> None:
    with pytest.raises(UsageError):
        plan_compress(open_store(old_store(tmp_path)), options, NOW.timestamp())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem_of_its_own(tmp_path: Path) -> None:
    memory = old_store(tmp_path)
    (memory / "alpha" / "patterns.json").chmod(0)
    plan = plan_compress(open_store(memory), CompressOptions(plain=True), NOW.timestamp())
    assert [file.status for file in plan.files if file.problem] == [ExitStatus.FAILED]
    assert len(plan.due) == 6


@pytest.mark.parametrize(
    ("outcomes", "planned_problems", "status"),
    [
        ([], [], ExitStatus.DONE),
        ([("compressed", 0)], [], ExitStatus.DONE),
        ([("compressed", 0), ("left", ExitStatus.LOCKED)], [], ExitStatus.PARTIAL),
        ([("kept", 0), ("left", ExitStatus.LOCKED)], [], ExitStatus.LOCKED),
        ([("compressed", 0), ("left", ExitStatus.DAMAGED)], [], ExitStatus.PARTIAL),
        ([("left", ExitStatus.DAMAGED)], [], ExitStatus.DAMAGED),
        ([("left", ExitStatus.LOCKED), ("left", ExitStatus.DAMAGED)], [], ExitStatus.PARTIAL),
        ([("compressed", 0), ("left", ExitStatus.FAILED)], [], ExitStatus.FAILED),
        ([("compressed", 0)], [ExitStatus.FAILED], ExitStatus.PARTIAL),
        ([], [ExitStatus.FAILED], ExitStatus.FAILED),
        ([("left", ExitStatus.PARTIAL)], [], ExitStatus.PARTIAL),
    ],
)
def test_the_exit_status_is_the_first_that_applies(
    outcomes: list[tuple[str, int]], planned_problems: list[int], status: ExitStatus
) -> None:
    due = [PlannedFile(file_of(f"due-{number}"), 100, 100) for number in range(len(outcomes))]
    odd = [
        PlannedFile(file_of(f"odd-{number}"), problem="why", status=found)
        for number, found in enumerate(planned_problems)
    ]
    plan = CompressPlan(NOW.timestamp(), CompressOptions(), (*due, *odd), frozenset())
    done = [
        CompressOutcome(one.file, fate, 100, 50, problem="why" if found else None, status=found)  # type: ignore[arg-type]
        for one, (fate, found) in zip(due, outcomes, strict=True)
    ]
    done += [CompressOutcome(one.file, "left", 0, 0, problem="why", status=one.status) for one in odd]
    assert build_report(plan, tuple(done), run=RUN).status is status
    assert build_report(plan, tuple(done), run=None).status is ExitStatus.DONE
