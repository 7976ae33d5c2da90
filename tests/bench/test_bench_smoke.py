"""The benchmark runs: tiny stores, one run of a row. Times are not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.edit import Edit, change_records
from tests.bench.generate import Form, derive, generate
from tests.bench.growth import GROWTH_ROWS, growths_of
from tests.bench.growth import main as measure_growth
from tests.bench.measure import CHECKOUT, Measured, Sample, Timing
from tests.bench.report import RowResult, table
from tests.bench.rows import select
from tests.support.stores import read_array

GROUPS = ("startup", "prune", "optimize", "index", "loader", "migrate", "monitor")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _bench(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _run("tests.bench.run", "--runs", "1", "--scale", "0.002", *words, **environment)


def _run(module: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _program(tmp_path: Path, script: str) -> str:
    """A stand-in for the program; ``$4`` is the word after ``backup``, ``$7`` the target of a restore."""
    program = tmp_path / "aml"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def _timings(**seconds: float) -> dict[str, Timing]:
    return {side.replace("_", " "): Timing((Sample(value, 70_000_000, 1000),)) for side, value in seconds.items()}


@pytest.mark.slow
@pytest.mark.bench
def test_rows_run_and_are_reported(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _bench("--rows", ",".join(GROUPS), "--json", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = select(GROUPS)
    assert all(row.work in done.stdout for row in rows)
    results = {result["name"]: result for result in json.loads(report.read_text(encoding="utf-8"))["rows"]}
    assert list(results) == [row.name for row in rows]
    for row in rows:
        sides = results[row.name]["sides"]
        assert set(sides) == {side.name for side in row.sides}
        assert all(len(side["samples"]) == 1 and side["error"] is None for side in sides.values())
        assert all(any(side["samples"][0].values()) for side in sides.values())


@pytest.mark.slow
@pytest.mark.bench
def test_a_backup_row_runs_all_sides_that_are_installed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _bench("--only", "50-restore", "--json", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(report.read_text(encoding="utf-8"))["rows"]
    names = {side.name for side in select((), "50-restore")[0].sides if side.program not in row["absent"]}
    assert set(row["sides"]) == names
    assert all(side["error"] is None for side in row["sides"].values())


@pytest.mark.slow
@pytest.mark.bench
def test_growth_is_measured_at_each_size(tmp_path: Path) -> None:
    report = tmp_path / "growth.json"
    words = ["--sizes", "100,300", "--runs", "1", "--settle", "0", "--json", str(report)]
    done = _run("tests.bench.growth", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    grown = growths_of(json.loads(report.read_text(encoding="utf-8")))
    assert [growth.row.name for growth in grown] == [row.name for row in GROWTH_ROWS]
    assert all(list(growth.results) == [100, 300] and growth.times(300) for growth in grown)


@pytest.mark.bench
@pytest.mark.parametrize("words", ["--sizes 200,100", "--sizes 100 --runs 1,2", "--only nothing", "--runs 0"])
def test_a_growth_that_makes_no_sense_is_refused(words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        measure_growth(words.split())
    assert ended.value.code == 2


@pytest.mark.bench
def test_a_command_that_fails_is_an_error_of_the_benchmark(tmp_path: Path) -> None:
    program = _program(tmp_path, "echo 'the disk is full' >&2; echo '     make room' >&2; exit 3")
    done = _bench("--aml", program, "--rows", "version")
    assert done.returncode == 1
    assert "error: version (aml): exit 3: the disk is full" in done.stdout


@pytest.mark.bench
def test_a_restore_that_leaves_files_out_is_an_error_of_the_benchmark(tmp_path: Path) -> None:
    program = _program(tmp_path, '[ "$4" = restore ] || exit 0; exec /bin/mkdir "$7"')
    without = {"PATH": "", "AML_REQUIRE_RESTIC": "", "AML_REQUIRE_BORG": ""}
    done = _bench("--aml", program, "--only", "files-restore", **without)
    assert done.returncode == 1
    assert "error: backup-files-restore (aml): restored 0 files that are not like the 56 of the store" in done.stdout


@pytest.mark.bench
def test_a_peer_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    without = {"PATH": "", "AML_REQUIRE_RESTIC": "", "AML_REQUIRE_BORG": ""}
    done = _bench("--aml", _program(tmp_path, "exit 0"), "--only", "50-verify", **without)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: borg is not installed" in done.stdout
    assert "left out: restic is not installed" in done.stdout


@pytest.mark.bench
def test_a_peer_that_is_required_and_not_installed_is_an_error(tmp_path: Path) -> None:
    done = _bench("--only", "50-verify", PATH="", AML_REQUIRE_RESTIC="1", AML_REQUIRE_BORG="")
    assert done.returncode == 1
    assert done.stderr == "error: restic is not installed, and AML_REQUIRE_RESTIC is set\n"


def test_a_part_of_a_name_chooses_rows() -> None:
    assert {row.name for row in select((), "files-")} == {f"backup-files-{x}" for x in ("full", "unchanged", "restore")}
    assert [row.name for row in select(("prune",), "50k")] == ["prune-50k"]
    with pytest.raises(KeyError):
        select(("prune",), "restic")


def test_a_target_by_a_peer_is_so_many_times_what_the_peer_took() -> None:
    (row,) = select((), "50-max")
    result = RowResult(row, Measured(_timings(aml=2.0, restic=1.6)))
    assert result.limit("seconds") == 1.6
    assert result.limit("bytes") == pytest.approx(1030)
    assert "missed: backup-50-max: 2.000 s, target 1.600 s, 1.25 times" in table([result])
    assert RowResult(row, Measured(_timings(aml=2.0)), ("restic",)).limit("seconds") is None


@pytest.mark.parametrize("form", ["plain", "gzip"])
@pytest.mark.parametrize("spread", [False, True])
def test_a_change_touches_the_wanted_share_of_the_records_in_three_files(
    tmp_path: Path, form: Form, *, spread: bool
) -> None:
    roots = (tmp_path / "before", tmp_path / "after")
    for root in roots:
        generate(root, items=1000, form=form, now=NOW)
    assert change_records(roots[1], Edit(0.01, 3, spread), 1000, seed=1) == 10
    before, after = ({path.relative_to(root): path.read_bytes() for path in root.glob("*/*.json")} for root in roots)
    changed = [path for path in before if before[path] != after[path]]
    assert len(changed) == 3
    assert all(path.name == "patterns.json" for path in changed)


def test_small_files_have_two_kilobytes(tmp_path: Path) -> None:
    generate(tmp_path / "store", items=0, small_files=1100, now=NOW)
    sizes = [path.stat().st_size for path in (tmp_path / "store").glob("*/notes-*/*.json")]
    assert len(sizes) == 1100
    assert 1900 < sum(sizes) / len(sizes) < 2100


def test_a_derived_store_holds_the_same_records_in_another_form_and_schema(tmp_path: Path) -> None:
    source, derived = tmp_path / "source", tmp_path / "derived"
    generate(source, items=200, small_files=20, now=NOW)
    derive(source, derived, form="gzip", schema="1.0.0")
    files = {path.relative_to(source): read_array(path) for path in source.glob("*/*.json")}
    assert {path.relative_to(derived) for path in derived.glob("*/*.json")} == files.keys()
    for name, records in files.items():
        assert (derived / name).read_bytes().startswith(b"\x1f\x8b")
        plainer = [{key: value for key, value in one.items() if key not in ("tags", "active")} for one in records]
        assert read_array(derived / name) == plainer
    assert len(list(derived.glob("*/notes-*/*.json"))) == 20


def test_a_derived_store_has_the_wanted_share_of_garbage(tmp_path: Path) -> None:
    generate(tmp_path / "source", items=2000, now=NOW)
    derive(tmp_path / "source", tmp_path / "derived", garbage=0.05)
    found = [one for path in (tmp_path / "derived").glob("*/*.json") for one in read_array(path)]
    assert len(found) == 2000
    spoilt = [one for one in found if one is None or "agent" not in one or one.get("tags") == ["older"]]
    assert 90 < len(spoilt) < 110
