"""docs/benchmarks.md has the rows and targets that the benchmark has, and no others. Nothing is timed here."""

from __future__ import annotations

import json

import pytest

from tests.bench.growth import GROWTH_ROWS, SIZES, Growth, document, growths_of
from tests.bench.measure import Measured, Sample, Timing
from tests.bench.model import Row
from tests.bench.page import PAGE, PARTS, growth_of, lines_of, part_of, rows_in, table_of, with_part
from tests.bench.report import RowResult, row_document
from tests.bench.rows import ROWS, select

TEXT = PAGE.read_text(encoding="utf-8")


def _result(name: str, **seconds: float) -> RowResult:
    (row,) = select((name,))
    timings = {side.name: Timing((Sample(1.0, 70e6, 1e6),)) for side in row.sides}
    return RowResult(row, Measured(timings | {name: Timing((Sample(took),)) for name, took in seconds.items()}, 50, 10))


def test_the_page_has_every_row_with_its_work_and_target_and_no_other() -> None:
    expected = [cells for row in ROWS for cells in lines_of(row, None)]
    assert [cells[:3] for cells in rows_in(TEXT, "table")] == expected


def test_the_page_has_every_row_of_the_growth_at_all_sizes_and_no_other() -> None:
    assert [cells[:2] for cells in rows_in(TEXT, "growth")] == [(f"`{row.name}`", row.work) for row in GROWTH_ROWS]
    head = next(line for line in part_of(TEXT, "growth").splitlines() if line)
    assert [cell.strip() for cell in head.split("|") if cell.strip()[:1].isdigit()] == [f"{size:,}" for size in SIZES]


def test_no_two_rows_have_one_name_or_one_text() -> None:
    for rows in (ROWS, GROWTH_ROWS):
        assert len({row.name for row in rows}) == len({row.work for row in rows}) == len(rows)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_put_anew_and_all_else_stays(part: str) -> None:
    text = with_part(TEXT, part, "| `new` |")
    assert part_of(text, part) == "| `new` |"
    assert with_part(text, part, part_of(TEXT, part)) == TEXT


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the marks of: table"):
        with_part("# Benchmarks\n", "table", "")


def test_a_target_is_marked_as_met_or_missed() -> None:
    (met,) = lines_of(select(("version",))[0], _result("version", aml=0.020))
    assert met[3:5] == ("0.02 s", "0.80, met")
    (missed,) = lines_of(select(("version",))[0], _result("version", aml=0.030))
    assert missed[3:5] == ("0.03 s", "1.20, **missed**")


def test_a_share_must_reach_its_target() -> None:
    row = select(("loader-hits",))[0]
    for share, told in ((0.9, "0.89, met"), (0.6, "1.33, **missed**")):
        result = RowResult(row, Measured({side.name: Timing((Sample(share=share),)) for side in row.sides}))
        (cells,) = lines_of(row, result)
        assert cells[2:5] == ("at least 80%", f"{share:.0%}", told)


def test_a_row_with_figures_of_bytes_has_a_line_for_them() -> None:
    seconds, size = lines_of(select(("backup-50-max",))[0], _result("backup-50-max"))
    assert seconds[1:3] == ("backup full, 50 MB, --compression max", "that of restic")
    assert size[1:3] == ("backup full, 50 MB, --compression max: size of the repository", "1.03 times that of restic")
    assert size[3:5] == ("1.00 MB", "0.97, met")


def test_memory_is_held_against_the_largest_file_on_both_forms_of_store() -> None:
    (cells,) = lines_of(select(("gc",))[0], _result("gc"))
    assert cells[-1] == "70 / 70 of 60, **missed**"


def test_a_side_that_failed_or_was_absent_is_told() -> None:
    row = select(("backup-500-verify",))[0]
    timings = {"aml": Timing((), "exit 1"), "aml (gzip store)": Timing((Sample(1.0),))}
    (cells,) = lines_of(row, RowResult(row, Measured(timings), ("borg", "restic")))
    assert cells[3:5] == ("**failed**", "not measured")
    assert cells[7:9] == ("absent", "absent")


def test_figures_come_back_from_a_run_as_they_were() -> None:
    results = [_result(row.name) for row in ROWS]
    documents = [row_document(result) for result in results]
    table, missed = table_of({"rows": documents})
    assert [line for line in table.splitlines() if line.startswith("| `")]
    assert "- `version`: 1.000 s, target 0.025 s, 40.00 times" in missed
    with pytest.raises(ValueError, match="the run has no figures of: version"):
        table_of({"rows": documents[1:]})


def _grown(*seconds: float) -> list[Growth]:
    return [
        Growth(row, {size: _at(row, took) for size, took in zip(SIZES, seconds, strict=True)}) for row in GROWTH_ROWS
    ]


def _at(row: Row, seconds: float) -> RowResult:
    return RowResult(row, Measured({"aml": Timing((Sample(seconds, 50e6),))}, 1, 1))


def test_growth_is_judged_by_tens() -> None:
    (growth, *_) = _grown(0.1, 1.0, 12.0)
    assert growth.times(SIZES[0]) is None
    assert growth.times(SIZES[1]) == pytest.approx(10)
    assert growth.missed() == [f"{growth.row.name}: 1,000,000 records take 12.0 times as long as a tenth"]


def test_growth_comes_back_from_a_run_as_it_was() -> None:
    grown = _grown(0.1, 1.0, 12.0)
    told = json.loads(json.dumps(document({}, grown)))
    assert growths_of(told) == grown
    table, missed = growth_of(told)
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(lines) == len(GROWTH_ROWS)
    assert lines[0].endswith("| 0.1 s | 1 s | 10.0, met | 12 s | 12.0, **missed** | 50 of 60; 50 of 60; 50 of 60 |")
    assert "- `growth-prune-dry`: 1,000,000 records take 12.0 times as long as a tenth" in missed


def test_what_was_missed_or_failed_is_listed_by_the_names_of_rows() -> None:
    _, missed = table_of({"rows": [row_document(_result(row.name)) for row in ROWS]})
    lines = missed.splitlines()
    assert {line.split("`")[1] for line in lines} <= {row.name for row in ROWS}
    assert "- `gc` (aml (gzip store)): 70 MB of memory, target 60 MB, 1.17 times" in lines
